from __future__ import annotations

import math

import numpy as np
import pytest

from firstgrad.growth.contrasts import make_ratio_curve
from firstgrad.growth.law import Observations


def side(samples):
    sizes, values, censored, hosts = zip(*samples, strict=True)
    return Observations(sizes=sizes, values=values, is_censored=censored, hosts=hosts)


def noisy_side(rng, sizes, level, *, samples=3, noise=0.1, host="a"):
    return [
        (size, level * size * math.exp(noise * rng.normal()), False, host) for size in sizes for _ in range(samples)
    ]


def test_equal_samples_give_the_ratio_without_width():
    curve = make_ratio_curve(
        side([(size, 6.0 * size, False, "a") for size in (10, 100) for _ in range(2)]),
        side([(size, 2.0 * size, False, "a") for size in (10, 100) for _ in range(2)]),
    )
    assert [point.ratio for point in curve.points] == pytest.approx([3.0, 3.0])
    assert all(point.interval.width == 0 for point in curve.points)
    assert curve.overall.value == pytest.approx(3.0)
    assert curve.overall.width == 0
    assert curve.is_constant is True


def test_single_samples_give_a_ratio_and_no_interval():
    curve = make_ratio_curve(side([(10, 6.0, False, "a")]), side([(10, 2.0, False, "a")]))
    assert curve.points[0].ratio == pytest.approx(3.0)
    assert curve.points[0].interval is None
    assert (curve.overall, curve.is_constant) == (None, None)


def test_one_repeated_size_gives_all_sizes_an_interval():
    above = [(10, 3.0, False, "a"), (10, 3.3, False, "a"), (100, 6.0, False, "a")]
    curve = make_ratio_curve(side(above), side([(10, 1.0, False, "a"), (100, 1.0, False, "a")]))
    wide, wider = (point.interval for point in (curve.points[0], curve.points[1]))
    assert 1 < wide.high / wide.low < wider.high / wider.low


def test_the_interval_is_students_on_logarithms():
    above = [(10, math.exp(value), False, "a") for value in (1.0, 1.2)]
    below = [(10, math.exp(value), False, "a") for value in (0.0, 0.2)]
    interval = make_ratio_curve(side(above), side(below)).points[0].interval
    # by hand: pooled variance 0.04 / 2, of the difference 0.02, two degrees of freedom: t = 4.302653
    half = 4.302653 * math.sqrt(0.02)
    assert (interval.value, interval.low, interval.high) == pytest.approx(
        (math.e, math.exp(1 - half), math.exp(1 + half)), rel=1e-6
    )


def test_ratios_are_made_within_hosts():
    above = [(10, 2.0, False, "slow"), (10, 2.0, False, "slow"), (10, 0.02, False, "fast"), (10, 0.02, False, "fast")]
    below = [(10, 1.0, False, "slow"), (10, 0.01, False, "fast"), (10, 0.01, False, "fast"), (10, 0.01, False, "fast")]
    point = make_ratio_curve(side(above), side(below)).points[0]
    assert point.ratio == pytest.approx(2.0)  # pooled over hosts it would be 5.5
    assert point.n_samples == 8


def test_the_host_with_more_samples_weighs_more():
    above = [(10, 2.0, False, "few"), *[(10, 8.0, False, "many")] * 3]
    below = [(10, 1.0, False, "few"), *[(10, 1.0, False, "many")] * 3]
    # weights 1 / (1/1 + 1/1) and 1 / (1/3 + 1/3)
    expected = math.exp((0.5 * math.log(2) + 1.5 * math.log(8)) / 2)
    assert make_ratio_curve(side(above), side(below)).points[0].ratio == pytest.approx(expected)


def test_a_size_or_a_host_of_one_side_alone_gives_no_point():
    above = [(10, 2.0, False, "a"), (20, 2.0, False, "a"), (30, 2.0, False, "a")]
    below = [(10, 1.0, False, "a"), (20, 1.0, False, "b"), (40, 1.0, False, "a")]
    assert [point.size for point in make_ratio_curve(side(above), side(below)).points] == [10]
    curve = make_ratio_curve(side(above), side(below[1:]))
    assert curve.points == ()
    assert curve.overall is None


@pytest.mark.parametrize(
    ("above_censored", "below_censored", "bounds"),
    [(True, False, (True, False)), (False, True, (False, True)), (True, True, (True, True))],
)
def test_a_censored_side_makes_a_bound(above_censored, below_censored, bounds):
    above = [(10, 8.0, above_censored, "a"), (10, 8.0, False, "a"), (20, 3.0, False, "a")]
    below = [(10, 2.0, below_censored, "a"), (10, 2.0, False, "a"), (20, 1.0, False, "a")]
    curve = make_ratio_curve(side(above), side(below))
    point, other = curve.points
    assert point.ratio == pytest.approx(4.0)
    assert (point.is_lower_bound, point.is_upper_bound) == bounds
    assert point.interval is None
    assert not other.is_lower_bound
    assert not other.is_upper_bound
    if curve.overall is not None:
        assert curve.overall.value == pytest.approx(3.0)  # the bound is left out


@pytest.mark.parametrize(("is_second_censored", "ratio"), [(False, 3.0), (True, 8.0)])
def test_a_host_without_censored_samples_is_taken_before_bounds_and_of_bounds_the_highest(is_second_censored, ratio):
    above = [(10, 8.0, True, "a"), (10, 3.0, is_second_censored, "b")]
    point = make_ratio_curve(side(above), side([(10, 1.0, False, "a"), (10, 1.0, False, "b")])).points[0]
    assert point.ratio == pytest.approx(ratio)
    assert point.is_lower_bound is is_second_censored


def test_values_without_a_logarithm_are_left_out():
    above = [(10, 0.0, False, "a"), (10, 4.0, False, "a"), (20, -1.0, False, "a"), (30, math.nan, False, "a")]
    below = [(size, 2.0, False, "a") for size in (10, 20, 30)]
    curve = make_ratio_curve(side(above), side(below))
    assert [(point.size, point.ratio) for point in curve.points] == [(10, pytest.approx(2.0))]


def test_the_intervals_hold_the_planted_ratio_as_often_as_they_say(golden):
    sizes, hits, overall_hits, called_constant = (10, 30, 100, 300), 0, 0, 0
    for seed in range(500):
        rng = np.random.default_rng(seed)
        above = noisy_side(rng, sizes, 4.0, samples=2) + noisy_side(rng, sizes, 40.0, samples=3, host="b")
        below = noisy_side(rng, sizes, 2.0, samples=3) + noisy_side(rng, sizes, 20.0, samples=2, host="b")
        curve = make_ratio_curve(side(above), side(below))
        hits += sum(2.0 in point.interval for point in curve.points)
        overall_hits += 2.0 in curve.overall
        called_constant += curve.is_constant
    golden.numbers("coverage", {"curve of ratios": [hits, overall_hits, called_constant]})
    assert 0.93 <= hits / 2000 <= 0.97
    assert 0.92 <= overall_hits / 500 <= 0.98
    assert 0.92 <= called_constant / 500 <= 0.98


def test_a_ratio_that_changes_with_the_size_is_not_called_constant_and_its_interval_is_wider():
    rng = np.random.default_rng(1)
    sizes = (10, 30, 100, 300)
    above = [(size, size**1.5 * math.exp(0.05 * rng.normal()), False, "a") for size in sizes for _ in range(3)]
    curve = make_ratio_curve(side(above), side(noisy_side(rng, sizes, 1.0, noise=0.05)))
    assert curve.is_constant is False
    assert curve.overall.low < curve.points[0].ratio * 2
    assert curve.overall.high / curve.overall.low > curve.points[0].interval.high / curve.points[0].interval.low


def test_unlike_deterministic_ratios_are_not_constant():
    above = [(10, 2.0, False, "a"), (10, 2.0, False, "a"), (20, 3.0, False, "a"), (20, 3.0, False, "a")]
    curve = make_ratio_curve(side(above), side([(10, 1.0, False, "a"), (20, 1.0, False, "a")]))
    assert curve.is_constant is False
    assert curve.overall.low < 2.0
    assert curve.overall.high > 3.0
