import json
import statistics

import pandas as pd
import pytest
from typer.testing import CliRunner

from builders import MIB, firstgrad, make_environment, make_record, memory, sample, store_of
from firstgrad.cli.app import app
from firstgrad.cli.carry import THIN_EVALUATIONS, THIN_TIMELINE_POINTS, thinned
from firstgrad.columns import METRICS
from firstgrad.errors import SpecError, StoreError
from firstgrad.store import Store, import_jsonl

RUNNER = CliRunner()


def long_record(**fields):
    timeline = [(number / 100, (9000 if number == 777 else number) / MIB) for number in range(1000)]
    calls = tuple(0.001 + number / 1e6 for number in range(200))
    return make_record(memory=memory(9000 / MIB, timeline=timeline), evaluation_seconds=calls, **fields)


def test_a_thinned_record_keeps_peaks_median_and_extremes():
    record = long_record()
    thin = thinned(record)
    assert len(thin.memory.timeline) <= THIN_TIMELINE_POINTS
    assert max(point.rss_bytes for point in thin.memory.timeline) == 9000
    assert len(thin.evaluation_seconds) == THIN_EVALUATIONS
    for look in (min, max, statistics.median):
        assert look(thin.evaluation_seconds) == pytest.approx(look(record.evaluation_seconds), rel=1e-9)


def test_a_short_record_stays_as_it_is():
    record = make_record(evaluation_seconds=(1.0, 2.0))
    assert thinned(record) == record


def test_records_go_from_store_to_store(tmp_path):
    first, second, file = (str(tmp_path / name) for name in ("a.sqlite", "b.sqlite", "all.jsonl"))
    labelled = [make_environment(label=label) for label in "xxy"]
    store_of([long_record(record_id=f"{n}", environment=each) for n, each in enumerate(labelled)], first)
    done = RUNNER.invoke(app, ["export", file, "--store", first, "--label", "x"])
    assert done.exit_code == 0
    assert "2 records to" in done.stderr
    assert [record.record_id for record in import_jsonl(file)] == ["0", "1"]
    for added in (2, 0):
        done = RUNNER.invoke(app, ["import", file, "--store", second])
        assert f"{added} records added" in done.stderr
    with Store.open(second) as store:
        assert len(store) == 2


@pytest.mark.parametrize(
    ("name", "options", "read"),
    [("x.csv", (), pd.read_csv), ("x.txt", ("--format", "csv"), pd.read_csv), ("x.parquet", (), pd.read_parquet)],
)
def test_a_table_has_a_line_a_sample_and_a_column_a_metric(tmp_path, name, options, read):
    if read is pd.read_parquet:
        pytest.importorskip("pyarrow")
    store_of((sample(1.0, number=number, label=label) for number, label in enumerate("xxy")), tmp_path / "a.sqlite")
    file = tmp_path / name
    done = RUNNER.invoke(app, ["export", str(file), "--store", str(tmp_path / "a.sqlite"), "--label", "x", *options])
    assert done.exit_code == 0, done.output
    assert "2 samples to" in done.stderr
    samples = read(file)
    assert [str(name) for name in samples["record_id"]] == ["0", "1"]
    assert set(samples["label"]) == {"x"}
    assert {metric.name for metric in METRICS} <= set(samples)


def test_a_parquet_without_pyarrow_says_what_to_install_and_leaves_the_old_file(tmp_path, monkeypatch):
    def to_parquet(*_, **__):
        raise ImportError("no pyarrow")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", to_parquet)
    store_of([make_record()], tmp_path / "a.sqlite")
    file = tmp_path / "x.parquet"
    file.write_text("before")
    done = RUNNER.invoke(app, ["export", str(file), "--store", str(tmp_path / "a.sqlite")])
    assert "firstgrad[parquet]" in str(done.exception)
    assert file.read_text() == "before"
    assert not list(tmp_path.glob("*.part"))
    done = RUNNER.invoke(app, ["export", str(file), "--store", str(tmp_path / "a.sqlite"), "--thin"])
    assert isinstance(done.exception, SpecError)


def test_an_export_of_no_store_says_so(tmp_path):
    done = RUNNER.invoke(app, ["export", str(tmp_path / "x.jsonl"), "--store", str(tmp_path / "none.sqlite")])
    assert isinstance(done.exception, StoreError)
    assert not (tmp_path / "x.jsonl").exists()


@pytest.fixture
def show(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: firstgrad("show", *words)


def test_stored_samples_are_listed_the_newest_last(show):
    store_of(sample(1.0 + number, number=number, label=f"night{number % 2}") for number in range(30))
    lines = show().out.splitlines()
    assert lines[0] == "the last 20 of 30 samples"
    assert "30.0 s" in lines[-2]
    listed = json.loads(show("--label", "night1", "--count", "100", "--json").out)
    assert [row["time_to_first_gradient"] for row in listed] == [2.0 + 2 * number for number in range(15)]


def test_one_sample_is_shown_by_the_first_letters_of_its_id(show):
    store_of(sample(1.0 + number, number=number) for number in range(3))
    ids = [row["record_id"] for row in json.loads(show("--json").out)]
    start = next(ids[0][:length] for length in range(1, 33) if sum(one.startswith(ids[0][:length]) for one in ids) == 1)
    shown = json.loads(show(start, "--json").out)
    assert (shown["record_id"], shown["time_to_first_gradient_seconds"]) == (ids[0], 1.0)
    for words, said in ((("zz",), "no sample's id begins with 'zz'"), (("",), "3 ids begin with ''")):
        ended = show(*words)
        assert (ended.code, said in ended.err) == (2, True)


def test_nothing_is_listed_of_models_that_have_no_records(show):
    store_of([sample(1.0)])
    assert show("--model", "other.py:build").code == 2
