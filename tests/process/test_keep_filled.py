"""A filled cache that is kept between calls: warm samples then need no filling of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from firstgrad.case import Scenario
from firstgrad.measure.launch import measure
from firstgrad.record import Status
from helpers import make_case, write_model


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
