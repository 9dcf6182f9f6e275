"""Estimates with planted answers."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import quantile_test

from firstgrad.estimates import Estimate, estimate_median

SAMPLES = 500


def coverage(draw, true_median, size, confidence=0.95):
    """How often the interval holds the true median."""
    chance = random.Random(size)  # noqa: S311 - reproducible, not secret
    held = 0
    for _ in range(SAMPLES):
        found = estimate_median([draw(chance) for _ in range(size)], confidence=confidence)
        held += found.low <= true_median <= found.high
    return held / SAMPLES


@pytest.mark.parametrize("size", [6, 9, 12, 30, 75])
@pytest.mark.parametrize(
    ("draw", "true_median"),
    [
        (lambda chance: chance.gauss(3.0, 1.0), 3.0),
        (lambda chance: chance.lognormvariate(0.0, 2.0), 1.0),  # as times are: a long tail
        (lambda chance: chance.uniform(-1.0, 0.0), -0.5),
    ],
    ids=["normal", "long_tail", "uniform"],
)
def test_the_interval_holds_the_true_median_as_often_as_it_says(size, draw, true_median):
    assert 0.93 <= coverage(draw, true_median, size) <= 0.995


def test_another_confidence_is_kept_too():
    assert coverage(lambda chance: chance.gauss(0.0, 1.0), 0.0, 40, confidence=0.8) == pytest.approx(0.81, abs=0.05)


@pytest.mark.parametrize(
    ("count", "confidence"), [(1, 0.0), (2, 0.5), (3, 0.75), (4, 0.875), (5, 0.9375), (6, 0.96875)]
)
def test_few_samples_give_their_range_with_the_confidence_it_has(count, confidence):
    samples = [float(number) for number in range(count)]
    found = estimate_median(samples)
    assert found == Estimate(
        value=statistics.median(samples), low=samples[0], high=samples[-1], confidence=confidence, samples=count
    )


@pytest.mark.parametrize(("count", "low", "high"), [(8, 0, 7), (9, 1, 7), (10, 1, 8), (20, 5, 14), (50, 17, 32)])
def test_the_ends_are_the_order_statistics_of_the_tables(count, low, high):
    # Conover, table A3 (binomial, p = 0.5): the innermost pair that reaches 95%, counted from 0.
    found = estimate_median(range(count))
    assert (found.low, found.high) == (low, high)
    assert found.confidence >= 0.95


def test_the_ends_are_those_of_scipy_where_it_has_any():
    chance = random.Random(4)  # noqa: S311 - reproducible, not secret
    for count in (6, 9, 12, 30, 75):
        samples = [chance.gauss(0.0, 1.0) for _ in range(count)]
        found, known = estimate_median(samples), quantile_test(samples, p=0.5).confidence_interval(0.95)
        assert (found.low, found.high) == (known.low, known.high)


def test_constant_samples_have_an_interval_of_no_width_and_no_samples_are_refused():
    found = estimate_median([2.5] * 11)
    assert (found.value, found.low, found.high, found.samples) == (2.5, 2.5, 2.5, 11)
    with pytest.raises(ValueError, match="no samples"):
        estimate_median([])


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60), st.floats(0.01, 0.999))
def test_the_median_lies_in_its_interval_and_the_interval_within_the_range(samples, confidence):
    found = estimate_median(samples, confidence=confidence)
    assert min(samples) <= found.low <= found.value <= found.high <= max(samples)
    assert found.value == statistics.median(samples)
    is_range = (found.low, found.high) == (min(samples), max(samples))
    assert found.confidence >= confidence or is_range
    assert estimate_median(sorted(samples, reverse=True), confidence=confidence) == found


@given(st.integers(1, 200), st.floats(0.5, 0.99), st.floats(0.5, 0.99))
def test_more_confidence_never_gives_a_narrower_interval(count, one, other):
    less, more = (estimate_median(range(count), confidence=each) for each in sorted((one, other)))
    assert more.low <= less.low <= less.high <= more.high
