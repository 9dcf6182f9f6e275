"""Intervals of ratios: planted ratios are covered, rounds beat drift, and what has no ratio is refused."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import ttest_ind, ttest_rel

from firstgrad.comparing.ratio import estimate_ratio, fit_ratio
from helpers import COVERAGE, seeds

RATIO = 1.10


def normal(chance, size):
    return np.exp(0.035 * chance.standard_normal(size))


def lognormal(chance, size):
    return np.exp(0.3 * chance.standard_normal(size))


def heavy(chance, size):
    return np.exp(0.025 * chance.standard_t(2, size))


def wild(chance, size):
    """One sample in twelve is hit by something else."""
    return np.exp(0.03 * chance.standard_normal(size) + (chance.random(size) < 0.08) * chance.exponential(0.35, size))


def skewed(chance, size):
    """Never faster than it can be."""
    return 1 + chance.exponential(0.035, size)


def drift_of(chance, size):
    return np.exp(np.cumsum(0.1 * chance.standard_normal(size)))


def covered(noise, count, *, paired, confidence, trials=None, drifts=True):
    chance = np.random.default_rng(11)
    held, trials = 0, trials or seeds(250)
    for _ in range(trials):
        drift = drift_of(chance, count) if drifts else 1.0
        base, head = drift * noise(chance, count), RATIO * drift * noise(chance, count)
        found = estimate_ratio(list(base), list(head), paired=paired, confidence=confidence)
        held += found.low <= RATIO <= found.high
    return held / trials


@pytest.mark.parametrize("count", [5, 8, 10, 20])
@pytest.mark.parametrize("noise", [normal, lognormal, heavy, wild, skewed])
def test_the_interval_holds_the_ratio_as_often_as_it_says(noise, count, golden):
    paired = covered(noise, count, paired=True, confidence=0.95)
    unpaired = covered(noise, count, paired=False, confidence=0.95, drifts=False)
    golden.numbers(COVERAGE, {f"ratio {noise.__name__} {count}": [paired, unpaired]})
    # Three standard errors below 95%: 90.9% with 250 trials.
    assert min(paired, unpaired) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / seeds(250))


@pytest.mark.parametrize("noise", [normal, heavy])
def test_rare_errors_are_as_rare_as_they_say(noise, golden):
    held = covered(noise, 10, paired=True, confidence=0.995, trials=600)
    golden.numbers("coverage", {f"ratio {noise.__name__}, 99.5%": held})
    assert held > 0.986


def test_the_interval_is_no_wider_than_it_must_be():
    assert covered(normal, 20, paired=True, confidence=0.95) < 0.985


def test_pairs_beat_a_drift_that_both_sides_share():
    chance = np.random.default_rng(3)
    drift = drift_of(chance, 10)
    base, head = list(drift * normal(chance, 10)), list(RATIO * drift * normal(chance, 10))
    paired, apart = (estimate_ratio(base, head, paired=each) for each in (True, False))
    assert paired.low > 1
    assert apart.low < 1
    assert math.log(apart.high / apart.low) > 3 * math.log(paired.high / paired.low)


def test_a_wild_sample_moves_little():
    base = [1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.01, 0.99, 1.0, 1.01]
    head = [1.1 * each for each in reversed(base)]
    wild_head = [*head[:-1], 20.0]
    for paired in (True, False):
        found = estimate_ratio(base, wild_head, paired=paired)
        assert found.value == pytest.approx(1.1, abs=0.02)
        assert 1 < found.low < 1.1 < found.high < 1.25


def test_numbers_without_spread_have_an_interval_without_width():
    for paired in (True, False):
        for count in (2, 5, 12):
            found = estimate_ratio([3.0] * count, [3.3] * count, paired=paired)
            assert found.value == found.low == found.high == pytest.approx(1.1)
            assert (found.confidence, found.samples) == (0.95, count)
        fit = fit_ratio([3.0] * 5, [3.3] * 5, paired=paired)
        assert (fit.p_value, fit_ratio([3.0] * 5, [3.0] * 5, paired=paired).p_value) == (0.0, 1.0)


def test_most_numbers_alike_do_not_make_the_rest_wild():
    found = estimate_ratio([1.0] * 10, [1.0] * 7 + [1.5] * 3, paired=True)
    assert found.value > 1.05
    assert found.high > found.low


def test_a_single_sample_has_no_interval_and_proves_nothing():
    for paired in (True, False):
        found = estimate_ratio([2.0], [3.0], paired=paired)
        assert found.value == found.low == found.high == pytest.approx(1.5)
        assert (found.confidence, found.samples) == (0.0, 1)
        assert fit_ratio([2.0], [3.0], paired=paired).p_value == 1.0


def test_one_sample_against_several_has_the_spread_of_those():
    found = estimate_ratio([2.0], [3.0, 3.03, 2.97], paired=False)
    assert found.low < 1.5 < found.high
    assert found.confidence == 0.95


def test_equal_numbers_have_equal_intervals_and_exchanged_sides_reciprocal_ones():
    chance = np.random.default_rng(7)
    base, head = list(wild(chance, 12)), list(RATIO * wild(chance, 12))
    for paired in (True, False):
        one, same = (estimate_ratio(base, head, paired=paired) for _ in range(2))
        other = estimate_ratio(head, base, paired=paired)
        assert one == same
        assert (other.value, other.low, other.high) == pytest.approx((1 / one.value, 1 / one.high, 1 / one.low))


def test_the_unit_does_not_matter():
    chance = np.random.default_rng(8)
    base, head = normal(chance, 12), normal(chance, 12)
    one = estimate_ratio(list(base), list(head), paired=True)
    other = estimate_ratio(list(1000 * base), list(1000 * head), paired=True)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), rel=1e-6)


def test_more_confidence_is_a_wider_interval():
    chance = np.random.default_rng(9)
    base, head = list(normal(chance, 10)), list(normal(chance, 10))
    found = [estimate_ratio(base, head, paired=True, confidence=each) for each in (0.8, 0.95, 0.99, 0.9999)]
    assert all(other.low < one.low and other.high > one.high for one, other in pairwise(found))


def test_the_p_value_is_where_the_interval_touches_1():
    chance = np.random.default_rng(10)
    base, head = list(normal(chance, 10)), list(1.05 * normal(chance, 10))
    fit = fit_ratio(base, head, paired=True)
    assert fit.estimate(1 - fit.p_value).low == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0])
def test_numbers_that_have_no_ratio_are_refused(bad):
    for base, head in (([1.0, bad], [1.0, 1.0]), ([1.0, 1.0], [bad, 1.0])):
        with pytest.raises(ValueError, match="finite numbers above zero"):
            estimate_ratio(base, head, paired=True)


def test_no_numbers_and_incomplete_pairs_are_refused():
    with pytest.raises(ValueError, match="no samples"):
        estimate_ratio([], [1.0], paired=False)
    with pytest.raises(ValueError, match="2 numbers of BASE and 1 of HEAD"):
        estimate_ratio([1.0, 2.0], [1.0], paired=True)


@pytest.mark.parametrize("count", [5, 7])
def test_few_samples_have_the_intervals_of_scipy(count):
    chance = np.random.default_rng(12)
    base, head = wild(chance, count), 1.05 * wild(chance, count)
    known = {True: ttest_rel(np.log(head), np.log(base)), False: ttest_ind(np.log(head), np.log(base), equal_var=False)}
    for paired, test in known.items():
        fit = fit_ratio(list(base), list(head), paired=paired)
        ratio, ends = fit.estimate(0.95), test.confidence_interval(0.95)
        assert fit.p_value == pytest.approx(test.pvalue)
        assert (math.log(ratio.low), math.log(ratio.high)) == pytest.approx((ends.low, ends.high))
