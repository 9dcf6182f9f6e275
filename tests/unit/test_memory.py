from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.measure.memory import TIMELINE_POINTS, TreeSample, read_sample, summarise, thin, with_tree_peaks
from firstgrad.record import Memory, MemoryPoint, Phase, PhaseRecord

ZERO = 1000.0


def phase(name, began, wall, own=None):
    return PhaseRecord(phase=name, began_seconds=began, wall_seconds=wall, cpu_seconds=0.0, self_peak_rss_bytes=own)


def seen(at, rss, children=0):
    return TreeSample(ZERO + at, rss, children, 1 + bool(children))


def tree_peaks(phases, samples):
    return [each.peak_rss_bytes for each in with_tree_peaks(phases, samples, ZERO)]


def test_a_phase_takes_the_highest_look_within_it():
    phases = [phase(Phase.BUILD, 1.0, 2.0), phase(Phase.LINK, 3.5, 1.0)]
    samples = [seen(0.9, 99), seen(1.0, 5), seen(2.0, 7), seen(3.0, 6), seen(3.2, 88), seen(4.0, 9), seen(4.6, 77)]
    assert tree_peaks(phases, samples) == [7, 9]


def test_the_kernels_exact_peak_counts_where_it_is_higher_than_every_look():
    samples = [seen(1.5, 40)]
    assert tree_peaks([phase(Phase.BUILD, 1.0, 1.0, own=70)], samples) == [70]
    assert tree_peaks([phase(Phase.BUILD, 1.0, 1.0, own=30)], samples) == [40]


def test_a_phase_that_nobody_saw_has_no_peak():
    assert tree_peaks([phase(Phase.BUILD, 1.0, 0.001)], [seen(5.0, 40)]) == [None]
    assert tree_peaks([], [seen(5.0, 40)]) == []


def test_time_moved_from_another_phase_brings_none_of_the_next_ones_looks():
    # One second of linking passed before the rewrites: `link` is longer than the time until `first_call`.
    phases = [phase(Phase.LINK, 3.0, 2.0), phase(Phase.FIRST_CALL, 4.0, 3.0)]
    assert tree_peaks(phases, [seen(3.5, 10), seen(4.5, 500)]) == [10, 500]


def test_what_comes_after_the_last_phase_is_not_counted():
    phases = [phase(Phase.IMPORT, 0.0, 1.0, own=30), phase(Phase.EVALUATE, 2.0, 1.0, own=45)]
    samples = [seen(0.5, 20), seen(1.5, 60, children=15), seen(3.0, 50), seen(3.1, 900, children=800)]
    found = summarise(phases, samples, ZERO, 12)
    assert found == Memory(
        peak_rss_bytes=60,
        self_peak_rss_bytes=45,
        children_peak_rss_bytes=15,
        retained_bytes=12,
        timeline=(
            MemoryPoint(at_seconds=0.5, rss_bytes=20),
            MemoryPoint(at_seconds=1.5, rss_bytes=60, children_rss_bytes=15),
            MemoryPoint(at_seconds=3.0, rss_bytes=50),
        ),
    )


def test_without_phases_everything_seen_counts():
    found = summarise((), [seen(1.0, 10), seen(9.0, 90, children=5)], ZERO, None)
    assert (found.peak_rss_bytes, found.children_peak_rss_bytes, found.self_peak_rss_bytes) == (90, 5, None)


def test_the_exact_mark_of_a_phase_is_part_of_the_whole_peak():
    found = summarise([phase(Phase.BUILD, 0.0, 1.0, own=500)], [seen(0.5, 20)], ZERO, None)
    assert (found.peak_rss_bytes, found.self_peak_rss_bytes) == (500, 500)


def test_where_nothing_was_seen_there_is_no_memory():
    assert summarise((), (), ZERO, None) is None
    assert summarise([phase(Phase.BUILD, 0.0, 1.0)], [seen(2.0, 9)], ZERO, 7) is None


looks = st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)), max_size=200).map(
    lambda sizes: [seen(number * 0.25, *size) for number, size in enumerate(sizes)]
)


@given(looks, st.integers(1, 50))
def test_thinning_keeps_the_peak_and_the_order(samples, points):
    kept = thin(samples, ZERO, points=points)
    assert len(kept) <= points
    assert max((each.rss_bytes for each in kept), default=None) == max(
        (each.rss_bytes for each in samples), default=None
    )
    times = [each.at_seconds for each in kept]
    assert times == sorted(set(times))
    real = {(each.monotonic_seconds - ZERO, each.rss_bytes, each.children_rss_bytes) for each in samples}
    assert {(each.at_seconds, each.rss_bytes, each.children_rss_bytes) for each in kept} <= real


@given(looks)
def test_a_short_time_line_is_kept_whole(samples):
    assert len(samples) <= TIMELINE_POINTS
    assert [each.rss_bytes for each in thin(samples, ZERO)] == [each.rss_bytes for each in samples]


def test_a_line_of_the_watchers_is_read():
    assert read_sample("12.500000 300 100 3") == TreeSample(12.5, 300, 100, 3)


@pytest.mark.parametrize("line", ["", "1 2 3", "1 2 3 4 5", "a 2 3 4", "1 2.5 3 4"])
def test_any_other_line_is_refused(line):
    with pytest.raises(ValueError, match=r".+"):
        read_sample(line)
