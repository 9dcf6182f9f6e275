"""A store that fails in the middle of a run: no sample is lost, whoever measured it, and nobody is left to guess."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from builders import make_record, run_firstgrad
from firstgrad.codec import from_json
from firstgrad.errors import StoreError
from firstgrad.record import Record
from firstgrad.store import Keeper, Store, import_jsonl
from helpers import linux_only, small_disk, write_model

pytestmark = linux_only

FILL = """
with suppress(OSError), open(Path(os.environ["FILL"], "fill"), "wb", buffering=0) as file:
    while True: file.write(bytes(512))
return Model()
"""
REMOVE = """
if n == 2: shutil.rmtree(os.environ["REMOVE"])
return Model()
"""


def model(folder, body, **how):
    """A reference to a model's file that may import what these models need."""
    reference = write_model(folder, body, **how)
    path = Path(reference.removesuffix(":build"))
    path.write_text(f"import shutil\nfrom contextlib import suppress\n{path.read_text()}")
    return reference


def run(*words, cwd, **variables):
    done = run_firstgrad(*words, "--backend", "fake", "--evaluations", "3", cwd=cwd, env=os.environ | variables)
    assert "Traceback" not in done.stderr
    return done


def ids(place):
    with Store.open(place) as store:
        return [record.record_id for record in store.records()]


# --- a full disk --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["measure", "sweep"])
def test_with_the_stores_disk_full_a_sample_is_shown_and_comes_in_by_the_command_that_is_named(tmp_path, verb):
    reference = model(tmp_path, FILL)
    with small_disk(tmp_path / "disk", kib=512) as disk:
        store = disk / "s.sqlite"
        done = run(verb, reference, "--store", store, "--samples", "2", cwd=tmp_path, FILL=str(disk))
        assert done.returncode == 2
        assert "s.sqlite: the disk is full" in done.stderr
        assert "first gradient" in done.stdout + done.stderr
        (unsaved,) = (tmp_path / ".firstgrad").glob("unsaved-*.jsonl")
        (record,) = import_jsonl(unsaved)
        assert ids(store) == []
        disk.free()
        command = f"firstgrad import {unsaved} --store {store}"
        assert done.stderr.rstrip().endswith(command)
        assert run_firstgrad(*command.split()[1:], cwd=tmp_path).returncode == 0
        assert ids(store) == [record.record_id]


def test_with_the_project_on_the_full_disk_it_goes_to_another(tmp_path):
    reference = model(tmp_path, FILL)
    (tmp_path / "tmp").mkdir()
    with small_disk(tmp_path / "disk", kib=512) as disk:
        done = run("measure", reference, cwd=disk, FILL=str(disk), TMPDIR=str(tmp_path / "tmp"))
        assert done.returncode == 2
        (unsaved,) = (tmp_path / "tmp").glob("unsaved-*.jsonl")
        assert f"safe in {unsaved}" in done.stderr
        assert len(list(import_jsonl(unsaved))) == 1


def test_with_no_room_anywhere_it_goes_to_standard_error(tmp_path):
    reference = model(tmp_path, FILL)
    with small_disk(tmp_path / "disk", kib=512) as disk:
        (disk / "tmp").mkdir()
        done = run("measure", reference, cwd=disk, FILL=str(disk), TMPDIR=str(disk / "tmp"), HOME=str(disk))
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("{"))
    assert from_json(line, Record).case.model.reference == reference
    assert "a line of JSON each on standard error" in done.stderr


# --- a locked file ------------------------------------------------------------------------------------------------


@pytest.fixture
def locked(tmp_path):
    """The address of a store that somebody else keeps locked, by which nobody waits for long."""
    Store.open(tmp_path / "locked.sqlite").close()
    with closing(sqlite3.connect(tmp_path / "locked.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield f"sqlite:///{tmp_path}/locked.sqlite?timeout=0.05"


def unsaved_in(folder):
    return [record for path in sorted(folder.glob("unsaved-*.jsonl")) for record in import_jsonl(path)]


def test_asv_has_its_numbers_and_the_record_is_safe(tmp_path, locked, monkeypatch, capsys):
    from firstgrad.plugins.asv import AsvRun, measure_sample
    from helpers import make_case

    monkeypatch.setenv("FIRSTGRAD_STORE", locked)
    asv_run = AsvRun(folder=tmp_path, environment="existing", environment_folder=None)
    sample = measure_sample(make_case(write_model(tmp_path, "return Model()")), asv_run, limit_seconds=60)
    assert sample.value_of("time_to_first_gradient") > 0
    (record,) = unsaved_in(tmp_path / ".firstgrad")
    said = capsys.readouterr().err
    assert "this record was not stored" in said
    assert f"unsaved-{record.record_id}.jsonl" in said


def test_pytest_benchmark_has_its_numbers_and_the_test_fails_with_where_the_records_are(tmp_path, locked):
    (tmp_path / "test_it.py").write_text(f"""
import pytest
from firstgrad import BackendName, Case, PoseSpec, Store
from firstgrad.pytest_benchmark import bench, worker_clock

@pytest.mark.benchmark(timer=worker_clock)
def test_it(benchmark):
    case = Case(model=PoseSpec(n_timesteps=4, n_directions=1), backend=BackendName.FAKE, evaluations=3)
    with Store.open({locked!r}) as store:
        bench(benchmark, case, rounds=2, store=store)
""")
    plugins = ("-p", "pytest_benchmark.plugin", "-p", "no:cacheprovider", "--benchmark-json=out.json")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", tmp_path, *plugins, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "2000", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        timeout=120,
    )
    assert done.returncode == 1
    assert len(unsaved_in(tmp_path / ".firstgrad")) == 2
    assert "another program keeps it locked" in done.stdout
    (benchmark,) = json.loads((tmp_path / "out.json").read_text())["benchmarks"]
    assert benchmark["stats"]["rounds"] == 2


def test_the_demonstration_shows_what_it_measured(tmp_path, monkeypatch, capsys):
    from benchmarks import demo
    from helpers import make_case

    monkeypatch.chdir(tmp_path)
    store = tmp_path / ".firstgrad" / "results.sqlite"
    body = (
        f"store = Path({str(store)!r})\nstore.unlink()\nstore.write_text('notes, and no database' * 99)\nreturn Model()"
    )
    reference = write_model(tmp_path, body)
    monkeypatch.setattr(demo, "demo_cases", lambda: [make_case(reference)])
    with pytest.raises(SystemExit) as leaving:
        demo.main()
    assert leaving.value.code == 2
    said = capsys.readouterr()
    assert "time to first gradient" in said.out
    assert "not an SQLite file" in said.err
    assert "1 sample of this run: safe in" in said.err
    assert len(unsaved_in(tmp_path / ".firstgrad")) == 1


# --- a file that is removed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_folder_that_is_removed_in_a_sweep_is_there_at_its_end_with_all_samples(tmp_path, at_once):
    reference, folder = model(tmp_path, REMOVE, parameters="n"), tmp_path / ".firstgrad"
    words = ("sweep", reference, "--param", "n=1,2,3", "--samples", "1", "--at-once", at_once)
    done = run(*words, cwd=tmp_path, REMOVE=str(folder))
    assert done.returncode == 0, done.stderr
    assert "removed or replaced while it was in use" in done.stderr
    assert f"Records: {folder / 'results.sqlite'}" in done.stderr
    assert len(ids(folder / "results.sqlite")) == 3


def test_a_folder_that_is_removed_in_a_measurement_comes_back(tmp_path):
    reference, folder = model(tmp_path, REMOVE, parameters="n"), tmp_path / ".firstgrad"
    done = run("measure", reference, "--param", "n=2", "--samples", "2", cwd=tmp_path, REMOVE=str(folder))
    assert done.returncode == 0, done.stderr
    assert len(ids(folder / "results.sqlite")) == 2


@pytest.fixture
def kept(tmp_path):
    """A keeper of a store with a record of earlier, and what it told."""
    place, told = tmp_path / "folder" / "s.sqlite", []
    with Store.open(place) as store:
        store.add(make_record(record_id="earlier"))
    with Keeper(place, folder=tmp_path, tell=told.append) as keeper:
        yield keeper, place, told


def test_after_the_last_sample_it_is_noticed_too(kept):
    keeper, place, told = kept
    for name in "ab":
        keeper.keep(make_record(record_id=name))
    shutil.rmtree(place.parent)
    keeper.__exit__(None)
    assert ids(place) == ["a", "b"]
    (line,) = told
    assert line.startswith(f"{place}: this file was removed or replaced while it was in use")
    assert "the 2 samples of this run" in line


def test_a_file_in_its_place_gets_the_samples_of_this_run(kept, tmp_path):
    keeper, place, told = kept
    keeper.keep(make_record(record_id="a"))
    with Store.open(tmp_path / "other.sqlite") as other:
        other.add(make_record(record_id="other"))
    for file in place.parent.iterdir():
        file.unlink()
    (tmp_path / "other.sqlite").rename(place)
    keeper.keep(make_record(record_id="b"))
    assert ids(place) == ["other", "a", "b"]
    assert len(told) == 1


def test_what_comes_in_its_place_and_is_no_store_leaves_all_samples_in_a_file(kept, tmp_path):
    keeper, place, _ = kept
    keeper.keep(make_record(record_id="a"))
    shutil.rmtree(place.parent)
    place.parent.mkdir()
    place.write_text("These are notes, and no database.\n" * 100)
    with pytest.raises(StoreError, match=r"not an SQLite file.*2 samples of this run: safe in"):
        keeper.keep(make_record(record_id="b"))
    assert sorted(record.record_id for record in unsaved_in(tmp_path)) == ["a", "b"]
    assert place.read_text().startswith("These are notes")


def test_what_is_lost_is_said(kept):
    keeper, place, _ = kept
    keeper.keep(make_record(record_id="a"))
    keeper.store._engine.dispose()  # nothing reads the old file any more
    shutil.rmtree(place.parent)
    with pytest.raises(StoreError, match="It has 0 samples of this run again; 1 are lost"):
        keeper.make_sure()


def test_a_file_that_has_another_number_and_the_same_records_is_no_alarm(kept, tmp_path):
    keeper, place, told = kept
    keeper.keep(make_record(record_id="a"))
    keeper.store._engine.dispose()  # so that all is in the one file
    (tmp_path / "copy").write_bytes(place.read_bytes())
    (tmp_path / "copy").rename(place)
    keeper.keep(make_record(record_id="b"))
    assert told == []
    assert ids(place) == ["earlier", "a", "b"]


def test_nobody_is_alarmed_where_the_file_is_there(kept, tmp_path):
    keeper, place, told = kept
    for name in "abc":
        with Store.open(place) as other:  # another process's, which also truncates the log at its end
            other.add(make_record(record_id=f"{name} of another"))
        keeper.keep(make_record(record_id=name))
    link = tmp_path / "link.sqlite"
    link.symlink_to(place)
    with Keeper(link, tell=told.append) as linked:
        linked.keep(make_record(record_id="d"))
    with Keeper("sqlite://", tell=told.append) as in_memory:
        in_memory.keep(make_record(record_id="e"))
    assert told == []
    assert len(ids(place)) == 8
