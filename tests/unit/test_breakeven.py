"""Break-even with planted crossings."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.advising.breakeven import Option, break_even
from firstgrad.estimates import Estimate


def exactly(value):
    return Estimate(value, value, value, 0.99, 5)


def option(name, first, each):
    return Option(name, exactly(first), exactly(each))


def names(result):
    return [each.name for each in result.leaders]


def test_a_costlier_compile_pays_from_the_planted_number_on():
    result = break_even([option("quick", 10.0, 2e-3), option("fast", 110.0, 1e-3)], 1e6)
    (crossing,) = result.crossings
    assert (crossing.before.name, crossing.after.name) == ("quick", "fast")
    assert crossing.evaluations.value == pytest.approx(100_000)
    assert (crossing.evaluations.low, crossing.evaluations.high) == pytest.approx((100_000, 100_000))
    assert names(result) == ["quick", "fast"]
    assert result.always_ahead is None


def test_an_option_that_is_best_nowhere_takes_no_lead():
    # After 100 evaluations, where `late` takes the lead, both of the others cost 120, and `never` 170.
    result = break_even([option("late", 110.0, 0.1), option("never", 120.0, 0.5), option("early", 10.0, 1.1)], 1000)
    assert names(result) == ["early", "late"]
    assert result.crossings[0].evaluations.value == pytest.approx(100)


def test_three_options_lead_one_after_the_other():
    result = break_even([option("c", 130.0, 0.1), option("a", 10.0, 3.0), option("b", 30.0, 1.1)], 1000)
    assert names(result) == ["a", "b", "c"]
    assert [each.evaluations.value for each in result.crossings] == pytest.approx([20 / 1.9, 100])
    assert [each.name for each in result.options] == ["c", "a", "b"]


def test_one_is_always_ahead_where_it_is_best_in_both():
    result = break_even([option("slow", 20.0, 2.0), option("best", 10.0, 1.0)], 1e6)
    assert result.crossings == ()
    assert result.always_ahead.name == "best"


def test_a_crossing_beyond_the_largest_number_does_not_count():
    options = [option("quick", 10.0, 2e-3), option("fast", 110.0, 1e-3)]
    assert break_even(options, 99_999).always_ahead.name == "quick"
    assert len(break_even(options, 100_001).crossings) == 1


def test_with_equal_slopes_the_cheaper_compile_is_ahead_and_of_twins_the_first():
    assert break_even([option("dear", 20.0, 1.0), option("cheap", 10.0, 1.0)], 100).always_ahead.name == "cheap"
    assert break_even([option("one", 10.0, 1.0), option("other", 10.0, 1.0)], 100).always_ahead.name == "one"
    assert break_even([option("one", 10.0, 2.0), option("other", 10.0, 1.0)], 100).always_ahead.name == "other"


def test_of_options_that_overtake_at_once_the_one_with_the_fastest_calls_leads():
    result = break_even([option("a", 10.0, 3.0), option("b", 20.0, 2.0), option("c", 30.0, 1.0)], 100)
    assert names(result) == ["a", "c"]


def test_the_interval_comes_from_the_corners():
    before = Option("before", Estimate(10.0, 8.0, 12.0, 0.95, 6), Estimate(3.0, 2.5, 3.5, 0.95, 9))
    after = Option("after", Estimate(50.0, 40.0, 60.0, 0.95, 7), Estimate(1.0, 0.5, 1.5, 0.98, 8))
    (crossing,) = break_even([before, after], 1000).crossings
    at = crossing.evaluations
    assert (at.value, at.low, at.high) == pytest.approx((20.0, (40 - 12) / (3.5 - 0.5), (60 - 8) / (2.5 - 1.5)))
    assert at.confidence == pytest.approx(1 - 0.05 - 0.05 - 0.05 - 0.02)
    assert at.samples == 6


def test_overlapping_intervals_leave_the_crossing_open_at_both_ends():
    before = Option("before", Estimate(10.0, 5.0, 15.0, 0.9, 5), Estimate(3.0, 1.0, 5.0, 0.9, 5))
    after = Option("after", Estimate(12.0, 6.0, 18.0, 0.9, 5), Estimate(2.0, 1.0, 3.0, 0.9, 5))
    (crossing,) = break_even([before, after], 1000).crossings
    assert crossing.evaluations.low == 0
    assert math.isinf(crossing.evaluations.high)


def test_totals_add_up_with_their_intervals():
    total = Option("a", Estimate(10.0, 8.0, 12.0, 0.95, 6), Estimate(3.0, 2.0, 4.0, 0.9, 3)).total_seconds(10)
    assert (total.value, total.low, total.high, total.samples) == (40.0, 28.0, 52.0, 3)
    assert total.confidence == pytest.approx(0.85)


@pytest.mark.parametrize(
    ("options", "n_max", "message"),
    [
        ([], 10, "no options"),
        ([option("a", 1.0, 1.0), option("a", 2.0, 2.0)], 10, "two options are called 'a'"),
        ([option("a", 1.0, 1.0)], 1, "n_max"),
        ([option("a", 1.0, 1.0)], math.inf, "n_max"),
        ([option("a", math.nan, 1.0)], 10, "first_gradient of 'a'"),
        ([option("a", 1.0, -1.0)], 10, "evaluation of 'a'"),
        ([Option("a", exactly(1.0), Estimate(1.0, 2.0, 3.0, 0.9, 5))], 10, "evaluation of 'a'"),
    ],
)
def test_what_cannot_be_compared_is_refused(options, n_max, message):
    with pytest.raises(ValueError, match=message):
        break_even(options, n_max)


SECONDS = st.integers(min_value=0, max_value=1000)


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=8), st.integers(min_value=0, max_value=500))
def test_the_leader_is_nowhere_costlier_than_any_option(seconds, evaluations):
    options = [option(str(number), float(first), float(each)) for number, (first, each) in enumerate(seconds)]
    result = break_even(options, 500)
    passed = [each.evaluations.value for each in result.crossings if each.evaluations.value <= evaluations]
    leader = result.leaders[len(passed)]
    least = min(each.total_seconds(evaluations).value for each in options)
    assert leader.total_seconds(evaluations).value == pytest.approx(least, abs=1e-6)
    assert [each.evaluations.value for each in result.crossings] == sorted(
        each.evaluations.value for each in result.crossings
    )
    assert len(result.leaders) == len(result.crossings) + 1
