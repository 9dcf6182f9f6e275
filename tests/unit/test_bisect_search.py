"""Where a bisection looks next: every place of a step, revisions that can't be measured, several changes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.bisecting.search import Search


def search_through(numbers, *, unmeasurable=(), **how):
    """Search a line whose numbers are known; returns the search and the places that were looked at."""
    search = Search(last=len(numbers) - 1, good=numbers[0], bad=numbers[-1], **how)
    looked = []
    while (place := search.next_place()) is not None:
        assert place not in looked, "nothing is measured twice"
        looked.append(place)
        search.add(place, None if place in unmeasurable else numbers[place])
    return search, looked


@pytest.mark.parametrize("size", [2, 3, 4, 17, 60, 61])
def test_a_step_is_found_wherever_it_is_in_as_many_steps_as_a_bisection_takes(size):
    for culprit in range(1, size):
        for good, bad in ((10.0, 11.0), (11.0, 10.0), (0.0, 3.0), (1.0, 0.0)):
            numbers = [good] * culprit + [bad] * (size - culprit)
            search, looked = search_through(numbers)
            best = search.best()
            assert (best.low, best.high) == (culprit - 1, culprit)
            assert best.gain == abs(bad - good)
            assert len(looked) <= math.ceil(math.log2(size))


def test_how_many_are_left_and_how_many_steps_that_takes():
    search = Search(last=60, good=0.0, bad=1.0)
    assert search.left() == (59, 6)
    search.add(search.next_place(), 1.0)
    assert search.left() == (29, 5)
    for place in range(2, 30):
        search.add(place, 1.0)
    assert search.left() == (1, 1)
    search.add(1, 0.0)
    assert search.left() == (0, 0)
    assert search.next_place() is None


@given(
    culprit=st.integers(1, 59),
    broken=st.sets(st.integers(1, 58), max_size=8),
)
def test_around_skipped_places_the_step_is_found_as_nearly_as_can_be(culprit, broken):
    numbers = [1.0] * culprit + [2.0] * (60 - culprit)
    search, looked = search_through(numbers, unmeasurable=broken)
    best = search.best()
    assert best.low < culprit <= best.high
    assert set(range(best.low + 1, best.high)) <= broken
    assert len(looked) <= 7 + 2 * len(broken)


def test_a_long_range_that_cannot_be_measured_is_given_up():
    numbers = [1.0] * 50 + [2.0] * 150
    search, looked = search_through(numbers, unmeasurable=range(20, 180), most_skipped=5)
    best = search.best()
    assert (best.low < 20, best.high >= 180) == (True, True)
    assert 5 <= len(search.skipped) <= 12
    assert len(looked) < 25


@given(st.lists(st.integers(0, 30), min_size=2, max_size=40))
def test_of_several_changes_none_between_two_measured_places_is_larger_than_the_one_that_is_told(levels):
    numbers = [float(level) for level in levels]
    if numbers[0] == numbers[-1]:
        numbers[-1] += 1
    search, _ = search_through(numbers)
    best = search.best()
    assert best.high == best.low + 1
    assert best.gain > 0
    assert best.gain == max(one.gain for one in search.intervals())


def test_the_largest_of_three_steps_is_found_and_the_first_where_that_is_asked_for():
    numbers = [100.0] * 7 + [110.0] * 20 + [150.0] * 20 + [155.0] * 13
    search, _ = search_through(numbers)
    assert (search.best().low, search.best().high) == (26, 27)
    search, _ = search_through(numbers, is_first=True)
    assert (search.best().low, search.best().high) == (6, 7)


def test_a_drift_is_not_taken_for_a_step():
    numbers = [100.0 + place for place in range(33)]
    search, _ = search_through(numbers)
    assert search.best().gain == 1
