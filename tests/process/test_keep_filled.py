"""A filled cache that is kept between calls: warm samples then need no filling of their own."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from builders import run_firstgrad
from firstgrad.case import Scenario
from firstgrad.measuring.launch import measure
from firstgrad.record import Status
from firstgrad.store import Store
from firstgrad.sweep.local import LocalExecutor
from firstgrad.sweep.plan import plan_sweep
from firstgrad.sweep.rounds import SampleBegan, run_sweep
from helpers import make_case, small_disk, write_model


@pytest.fixture
def built(tmp_path):
    """How often the model was built, and a case of it."""
    log = tmp_path / "log"
    log.touch()
    reference = write_model(tmp_path, f"open({str(log)!r}, 'a').write('x')\nreturn Model()")
    return lambda: len(log.read_text()), make_case(reference)


def test_a_cold_sample_fills_the_cache_of_the_warm_ones(built, tmp_path):
    count, cold = built
    kept = tmp_path / "kept" / "one"
    (record,) = measure(cold, keep_filled=kept)
    assert record.caches.is_proven
    assert record.caches.entries_written == 1
    warm = replace(cold, scenario=Scenario.WARM)
    for expected in (2, 3):
        (record,) = measure(warm, keep_filled=kept)
        assert count() == expected
        assert (record.status, record.caches.entries_read, record.caches.entries_written) == (Status.OK, 1, 0)
        assert record.caches.is_proven
    assert [entry.name for entry in kept.parent.iterdir()] == ["one"]


def test_the_first_warm_sample_fills_it_where_there_is_none(built, tmp_path):
    count, cold = built
    kept = tmp_path / "kept"
    warm = replace(cold, scenario=Scenario.WARM)
    for expected in (2, 3):
        (record,) = measure(warm, keep_filled=kept)
        assert count() == expected
        assert record.caches.is_proven


def test_a_cold_sample_never_reads_what_was_kept(built, tmp_path):
    _, cold = built
    kept = tmp_path / "kept"
    for _ in range(2):
        (record,) = measure(cold, keep_filled=kept)
        assert (record.caches.entries_before, record.caches.entries_read) == (0, 0)


def test_a_failed_sample_keeps_nothing(tmp_path):
    case = make_case(write_model(tmp_path, "raise ValueError('no')"))
    kept = tmp_path / "kept"
    for scenario in (Scenario.COLD, Scenario.WARM):
        (record,) = measure(replace(case, scenario=scenario), keep_filled=kept)
        assert record.status is Status.FAILED
    assert not kept.exists()


@pytest.mark.parametrize("scenario", [Scenario.COLD, Scenario.WARM])
def test_the_record_comes_first_and_a_cache_that_cannot_be_kept_is_told(built, tmp_path, scenario):
    _, cold = built
    (tmp_path / "a file").touch()
    told = []
    samples = measure(replace(cold, scenario=scenario), keep_filled=tmp_path / "a file" / "kept", warn=told.append)
    assert next(samples).status is Status.OK
    assert told == []
    assert list(samples) == []
    (line,) = told
    assert "can't be kept (" in line


def filled_caches():
    """Names of the filled caches that sweeps of this process keep now."""
    return [path.name for path in Path(tempfile.gettempdir()).glob("firstgrad-*/kept/[!.]*")]


def sweep_of(references, scenarios, *, samples=1, at_once=1):
    """Sweep models with scenarios; returns how many filled caches were kept when each sample began, and records."""
    cases = [make_case(reference, scenario=scenario) for reference in references for scenario in scenarios]
    plan, records, kept = plan_sweep(cases, samples=samples, done={}), [], []

    def tell(event):
        if isinstance(event, SampleBegan):
            kept.append(len(filled_caches()))

    run_sweep(plan, LocalExecutor(at_once=at_once), keep=records.append, tell=tell)
    return kept, records


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Three models, and a folder for temporary files that nobody else has."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return [write_model(tmp_path, "return Model()", name=f"model_{number}") for number in range(3)]


def test_a_sweep_keeps_a_filled_cache_no_longer_than_a_later_sample_needs_it(models):
    kept, records = sweep_of(models, [Scenario.COLD, Scenario.WARM])
    assert kept == [0, 1, 1, 1, 1, 1]  # one that was used is removed when the next sample begins
    assert all(record.caches.is_proven for record in records)


def test_with_several_rounds_a_model_fills_its_cache_once(models):
    kept, records = sweep_of(models[:2], [Scenario.COLD, Scenario.WARM], samples=2)
    assert max(kept) == 2
    assert all(record.caches.is_proven for record in records)


def test_a_sweep_without_warm_samples_keeps_none(models):
    kept, _ = sweep_of(models[:2], [Scenario.COLD, Scenario.HOT])
    assert set(kept) == {0}


def test_side_by_side_no_cache_is_taken_from_a_sample_that_runs(models):
    _, records = sweep_of(models[:2], [Scenario.COLD, Scenario.WARM], samples=2, at_once=2)
    assert len(records) == 8
    assert all(record.caches.is_proven for record in records)
    assert filled_caches() == []


BIG = """
flags = dict(part.partition("=")[::2] for part in os.environ["PYTENSOR_FLAGS"].split(","))
folder = Path(flags["base_compiledir"])
folder.mkdir(parents=True, exist_ok=True)
(folder / "compiled").write_bytes(bytes(3 * 2**20))
return Model()
"""


@pytest.mark.parametrize("samples", [1, 2])
def test_where_there_is_room_for_one_filled_cache_a_sweep_is_measured_all_the_same(tmp_path, samples):
    reference = write_model(tmp_path, BIG, parameters="n")
    with small_disk(tmp_path / "disk", kib=7 * 2**10 if samples == 2 else 5 * 2**10) as disk:
        words = ("sweep", reference, "--param", "n=1,2", "--backend", "fake", "--scenario", "cold,warm")
        done = run_firstgrad(*words, "--samples", samples, cwd=tmp_path, env=os.environ | {"TMPDIR": str(disk)})
        assert done.returncode == 0, done.stderr
        with Store.open(tmp_path / ".firstgrad" / "results.sqlite") as store:
            records = list(store.records())
        assert len(records) == 4 * samples
        assert all(record.status is Status.OK and record.caches.is_proven for record in records)
        assert list(disk.glob("firstgrad-*")) == []


def test_a_kept_cache_that_can_be_neither_copied_nor_moved_is_a_failed_record(tmp_path):
    reference = write_model(tmp_path, BIG)
    (case, kept) = make_case(reference, scenario=Scenario.WARM), tmp_path / "kept"
    (kept / "pytensor").mkdir(parents=True)
    (kept / "pytensor" / "compiled").write_bytes(bytes(3 * 2**20))
    with small_disk(tmp_path / "disk", kib=2 * 2**10) as disk, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(disk))
        (record,) = measure(case, samples=2, keep_filled=kept)
        assert (record.status, record.case, record.failure.kind) == (Status.FAILED, case, "NoRoom")
        assert "can't be copied there (No space left on device). Free some space" in record.failure.message
        assert list(disk.iterdir()) == []
    assert (kept / "pytensor" / "compiled").exists()
