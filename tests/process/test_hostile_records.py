"""Records from strangers: what no report could bear is refused with its line; what is imported harms no report."""

from __future__ import annotations

import json
import sqlite3

import pytest

from builders import firstgrad, sample, store_of
from firstgrad.codec import to_json
from firstgrad.store import Store
from firstgrad.store.jsonl import import_jsonl

HUGE = 10**3000

REFUSED = {
    "memory": ({"memory.peak_rss_bytes": HUGE}, "a number of 3,001 digits"),
    "large memory": ({"memory.peak_rss_bytes": 10**200}, r"it has 1e\+200 bytes"),
    "retained": ({"memory.retained_bytes": -(10**40)}, r"it has -1e\+40 bytes"),
    "counts": ({"counts.nodes_after": 10**40}, r"it has 1e\+40 things"),
    "work": ({"work": {"counts": [["calls_rewrite", 10**40]], "parts": []}}, r"it has 1e\+40 things"),
    "seconds": ({"phases.0.wall_seconds": 1e308}, "its phases took longer"),
    "seconds of a failure": ({"phases.0.wall_seconds": 1e308, "status": "failed"}, r"it has 1e\+308 s"),
    "NaN": ({"time_to_first_gradient_seconds": float("nan")}, "NaN is no number of JSON"),
    "written NaN": ({"time_to_first_gradient_seconds": "nan"}, "has nan s"),
    "infinity": ({"evaluation_seconds": [float("inf")]}, "Infinity is no number of JSON"),
    "minus": ({"time_to_first_gradient_seconds": -5.0}, "has -5.000 s"),
    "version 0": ({"schema_version": 0}, "schema version 0 is from before"),
    "long version": ({"schema_version": int("9" * 4000)}, r"schema version 9{40}\.\.\.9{20} \(4,000 letters\)"),
    "parameter": ({"case.model.parameters": [["n", HUGE]]}, "a number of 3,001 digits"),
    "cores": ({"environment.host.cores": 0}, "of 0 processor cores"),
}
BORNE = {
    "no phases": {"phases": []},
    "no phases, no time": {"phases": [], "time_to_first_gradient_seconds": None},
    "nothing": {"phases": [], "evaluation_seconds": [], "memory": None, "counts": None},
    "no day": {"started_at": "yesterday"},
    "no name": {"record_id": ""},
    "half a letter": {
        "environment.label": "\udcff",
        "case.model.reference": "\udcff.py:b",
        "case.model.parameters": [["s", "\udcff"]],
    },
    "nothing took time": {
        "phases.0.wall_seconds": 0.0,
        "phases.0.cpu_seconds": 0.0,
        "time_to_first_gradient_seconds": 0.0,
        "evaluation_seconds": [0.0, 0.0],
        "memory.peak_rss_bytes": 0,
    },
    "a limit without end": {"case.time_limit_seconds": "inf", "case.evaluations": 10**12},
    "a long text": {"environment.compiler": "x" * 100_000, "environment.device": "y" * 100_000},
}


def damaged(changes) -> str:
    """A good record's line with other values at some places."""
    document = json.loads(to_json(sample(2.0, label="strange", git_commit="c" * 40)))
    for place, value in changes.items():
        *outer, last = place.split(".")
        inner = document
        for name in outer:
            inner = inner[int(name) if name.isdecimal() else name]
        inner[last] = value
    return json.dumps(document)


@pytest.mark.parametrize(("changes", "why"), REFUSED.values(), ids=REFUSED)
def test_what_no_report_could_bear_is_refused_with_its_line(tmp_path, monkeypatch, changes, why):
    monkeypatch.chdir(tmp_path)
    good = to_json(sample(1.0, number=1))
    (tmp_path / "x.jsonl").write_text(f"{good}\n{damaged(changes)}\n")
    ended = firstgrad("import", "x.jsonl")
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith("firstgrad: x.jsonl: line 2: ")
    assert len(line) < 700
    with pytest.raises(Exception, match=why):
        list(import_jsonl("x.jsonl"))
    with Store.open() as store:
        assert len(store) == 1


@pytest.mark.parametrize("changes", BORNE.values(), ids=BORNE)
def test_what_is_imported_harms_no_report(tmp_path, monkeypatch, changes):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.jsonl").write_text(f"{damaged(changes)}\n{to_json(sample(1.0, number=1, label='good'))}\n")
    assert firstgrad("import", "x.jsonl").code == 0
    for words in (("report",), ("report", "--from", "x.jsonl", "--axis", "commit"), ("compare", "good", "strange")):
        ended = firstgrad(*words)
        assert ended.code in (0, 1, 2), ended.err
        assert "Traceback" not in ended.err
    assert firstgrad("report").code == 0
    assert firstgrad("sweep", "pose", "--dry-run").code == 0


def test_a_file_without_lines_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = firstgrad("import", "/dev/zero")
    assert ended.code == 2
    assert "/dev/zero: line 1 is longer than a record" in ended.err


@pytest.mark.parametrize("version", ["9" * 5000, "-1", "", "0", "\N{ARABIC-INDIC DIGIT THREE}" * 20])
def test_a_store_of_an_odd_version_is_refused(tmp_path, monkeypatch, version):
    monkeypatch.chdir(tmp_path)
    path = store_of([sample(1.0)], tmp_path / "s.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (version,))
    connection.close()
    ended = firstgrad("report", "--store", path)
    assert ended.code == 2
    assert len(ended.err) < 700


@pytest.mark.parametrize(
    "url", ["postgresql+zzz://a:secret@b/c", "postgresql+asyncpg://a:secret@b/c", "zzz://a:secret@b", "sqlite://host/x"]
)
def test_an_address_of_no_store_is_wrong_use(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    ended = firstgrad("report", "--store", url)
    assert ended.code == 2
    assert "secret" not in ended.err
    assert "postgresql://USER@HOST/DATABASE" in ended.err
