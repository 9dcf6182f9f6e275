from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstgrad.growth.fit import fit_growth_laws
from firstgrad.growth.law import GrowthLaw, GrowthVerdict, Interval, NoLaw, Observations, judge_growth

SIZES = (10, 30, 100, 300, 1000)


def observe(value_at, *, sizes=SIZES, samples=3, noise=0.0, seed=0, limit=math.inf, hosts=("a",)):
    """Samples of a planted law; each host is ten times slower than the one before it."""
    rng = np.random.default_rng(seed)
    taken = [(size, host, 10**level) for level, host in enumerate(hosts) for size in sizes for _ in range(samples)]
    values = [level * value_at(size) * math.exp(noise * rng.normal()) for size, _, level in taken]
    return Observations(
        sizes=tuple(float(size) for size, _, _ in taken),
        values=tuple(min(value, limit) for value in values),
        is_censored=tuple(value > limit for value in values),
        hosts=tuple(host for _, host, _ in taken),
    )


def fit_growth_law(observations):
    (law,) = fit_growth_laws([observations])
    return law


def ratios_of(law):
    """Observed by fitted, one an observation."""
    seen = law.observations
    return [
        value / law.curve([size], host)[0].value
        for size, value, host in zip(seen.sizes, seen.values, seen.hosts, strict=True)
    ]


def interval_of(value):
    return pytest.approx((value, value, value), rel=1e-6)


def ends(interval):
    return interval.value, interval.low, interval.high


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("fixed", [0.0, 5.0, 50.0])
def test_a_law_without_noise_comes_out_exactly_and_without_width(exponent, fixed):
    law = fit_growth_law(observe(lambda size: fixed + 2 * size**exponent))
    assert ends(law.exponent) == interval_of(exponent)
    assert ends(law.constant) == interval_of(2.0)
    assert ends(law.fixed_cost) == pytest.approx((fixed,) * 3, rel=1e-5, abs=1e-9)
    assert ends(law.growth) == interval_of((fixed + 2 * 1000**exponent) / (fixed + 2 * 10**exponent))
    assert law.spread == 0
    assert law.r_squared == pytest.approx(1.0)
    assert ratios_of(law) == pytest.approx([1.0] * 15)


def test_exactly_linear_growth_is_linear():
    assert fit_growth_law(observe(lambda size: 7 + 3 * size)).verdict is GrowthVerdict.LINEAR


def test_a_constant_count_does_not_grow_and_has_no_r_squared():
    law = fit_growth_law(observe(lambda _: 42.0))
    assert law.verdict is GrowthVerdict.DOES_NOT_GROW
    assert ends(law.growth) == interval_of(1.0)
    assert ends(law.exponent) == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)
    assert math.isnan(law.r_squared)


def test_repeating_a_deterministic_metric_makes_its_misfit_no_surer():
    def steps(size):
        return 3 * size + 7 * (size % 4) + 11

    once, often = (fit_growth_law(observe(steps, sizes=(10, 21, 50, 103, 200, 501), samples=count)) for count in (1, 5))
    assert often.exponent.width == pytest.approx(once.exponent.width, rel=0.05)


def test_a_law_over_an_exact_count_has_no_interval_and_says_what_it_misses():
    sizes = (10, 21, 50, 103, 200, 501)
    counts, seconds = (
        fit_growth_law(replace(observe(lambda size: 3 * size + 7 * (size % 4), sizes=sizes), is_exact=is_exact))
        for is_exact in (True, False)
    )
    assert seconds.exponent.width > 0
    assert counts.verdict is seconds.verdict
    for interval in (counts.exponent, counts.slope, counts.constant, counts.fixed_cost, counts.growth):
        assert interval.width == 0
    assert all(one.width == 0 for one in counts.curve((10, 501)))
    assert "an exact count, so without intervals; the law misses it by about" in counts.sentence
    assert counts.misfit > 0.005
    assert seconds.misfit == 0
    assert "misses" not in fit_growth_law(replace(observe(lambda size: 2 * size), is_exact=True)).sentence


def test_three_sizes_make_a_law_without_fixed_cost_that_says_so():
    law = fit_growth_law(observe(lambda size: 50 + 2 * size, sizes=(10, 100, 1000), noise=0.02))
    assert not law.has_fixed_cost
    assert law.exponent == law.slope
    assert ends(law.fixed_cost) == (0.0, 0.0, 0.0)
    assert "three sizes can't tell a fixed cost" in law.sentence


def test_four_single_samples_make_a_law_with_fixed_cost():
    law = fit_growth_law(observe(lambda size: 50 + 2 * size, sizes=SIZES[:4], samples=1, noise=0.001))
    assert law.has_fixed_cost
    assert 1.0 in law.exponent
    assert 50.0 in law.fixed_cost


@pytest.mark.parametrize(
    ("observations", "reason"),
    [
        (observe(lambda size: size, sizes=(10, 100)), "3 different sizes"),
        (observe(lambda size: size, sizes=()), "no samples"),
        (observe(lambda _: 0.0), "a value of 0"),
        (observe(lambda _: -2.0), "a value of -2"),
        (observe(lambda _: math.nan), "a value of nan"),
        (observe(lambda _: 1.0, sizes=(0, 1, 2, 3)), "a size of 0"),
        (observe(lambda size: size, limit=50), "no host has more than 2"),
    ],
)
def test_what_makes_no_law_says_why(observations, reason):
    found = fit_growth_law(observations)
    assert isinstance(found, NoLaw)
    assert reason in found.reason
    assert found.observations is observations


def test_sizes_are_counted_on_one_host():
    scattered = Observations(
        sizes=(10, 30, 100, 300), values=(1, 3, 10, 30), is_censored=(False,) * 4, hosts=("a", "a", "b", "b")
    )
    assert isinstance(fit_growth_law(scattered), NoLaw)


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        Observations(sizes=(1.0,), values=(1.0, 2.0), is_censored=(False,), hosts=("a",))


def test_hosts_have_levels_of_their_own():
    law = fit_growth_law(observe(lambda size: 5 + size, hosts=("quick", "slow", "slowest")))
    assert law.hosts == ("quick", "slow", "slowest")
    assert law.levels == pytest.approx([15, 150, 1500])
    assert ends(law.exponent) == interval_of(1.0)
    assert ends(law.fixed_cost) == interval_of(5.0)
    assert law.r_squared == pytest.approx(1.0)


def test_a_slow_host_at_the_large_sizes_is_not_taken_for_growth():
    quick, slow = observe(lambda _: 1.0, sizes=SIZES[:4]), observe(lambda _: 50.0, sizes=SIZES[1:])
    joined = Observations(
        sizes=quick.sizes + slow.sizes,
        values=quick.values + slow.values,
        is_censored=quick.is_censored + slow.is_censored,
        hosts=quick.hosts + ("b",) * len(slow.hosts),
    )
    assert fit_growth_law(joined).verdict is GrowthVerdict.DOES_NOT_GROW


def test_one_wild_sample_of_fifteen_does_not_carry_the_fit():
    calm = observe(lambda size: 20 + 2 * size, noise=0.05, seed=1)
    for wild in range(15):
        values = tuple(value * (8 if number == wild else 1) for number, value in enumerate(calm.values))
        law, undisturbed = fit_growth_law(replace(calm, values=values)), fit_growth_law(calm)
        assert law.exponent.value == pytest.approx(undisturbed.exponent.value, abs=0.06)
        assert law.growth.value == pytest.approx(undisturbed.growth.value, rel=0.1)
        assert ratios_of(law)[wild] == pytest.approx(8, rel=0.25)


def test_censored_samples_are_neither_dropped_nor_taken_as_values():
    proper, dropped, taken = [], [], []
    for seed in range(100):
        seen = observe(lambda size: 2 * size**1.5, sizes=(10, 20, 40, 80), samples=4, noise=0.4, seed=seed, limit=700)
        kept = [number for number, censored in enumerate(seen.is_censored) if not censored]
        without = Observations(
            **{
                name: tuple(getattr(seen, name)[number] for number in kept)
                for name in ("sizes", "values", "is_censored", "hosts")
            }
        )
        as_values = replace(seen, is_censored=(False,) * len(seen.sizes))
        proper.append(seen)
        dropped.append(without)
        taken.append(as_values)
    slopes = [[law.slope.value for law in fit_growth_laws(each)] for each in (proper, dropped, taken)]
    assert np.mean(slopes[0]) == pytest.approx(1.5, abs=0.06)
    assert np.mean(slopes[1]) < 1.44
    assert np.mean(slopes[2]) < 1.36


def test_a_censored_size_beyond_the_others_rules_out_slow_growth():
    values = (1.0, 1.02, 0.99, 1.01, 50.0)
    seen = Observations(sizes=SIZES, values=values, is_censored=(False,) * 4 + (True,), hosts=("a",) * 5)
    law = fit_growth_law(seen)
    assert law.growth.value > 30
    assert sum(law.observations.is_censored) == 1
    assert law.verdict != GrowthVerdict.DOES_NOT_GROW


def test_an_exact_law_stays_exact_beside_a_censored_sample():
    law = fit_growth_law(observe(lambda size: 2 * size, limit=700))
    assert ends(law.slope) == interval_of(1.0)
    assert sum(law.observations.is_censored) == 3
    assert ratios_of(law)[-1] == pytest.approx(700 / 2000, rel=1e-3)


def test_a_host_with_nothing_but_censored_samples_says_nothing():
    seen = observe(lambda size: size)
    more = Observations(
        sizes=(*seen.sizes, 1000.0),
        values=(*seen.values, 5.0),
        is_censored=(*seen.is_censored, True),
        hosts=(*seen.hosts, "b"),
    )
    law = fit_growth_law(more)
    assert law.hosts == ("a",)
    assert ends(law.exponent) == interval_of(1.0)


def test_r_squared_is_the_explained_share_within_hosts():
    seen = observe(lambda size: size, noise=0.5, hosts=("a", "b"), seed=3)
    law = fit_growth_law(seen)
    logs, hosts = np.log(seen.values), np.array(seen.hosts)
    total = sum(((logs[hosts == host] - logs[hosts == host].mean()) ** 2).sum() for host in ("a", "b"))
    assert law.r_squared == pytest.approx(1 - (np.log(ratios_of(law)) ** 2).sum() / total)
    assert 0.8 < law.r_squared < 0.99


def test_the_spread_is_the_planted_one():
    spreads = [fit_growth_law(observe(lambda size: 5 + size, noise=0.1, seed=seed)).spread for seed in range(60)]
    assert np.mean(spreads) == pytest.approx(0.1, rel=0.15)


def test_the_curve_meets_the_law_and_its_band_holds_it():
    law = fit_growth_law(observe(lambda size: 20 + 2 * size, noise=0.05, hosts=("a", "b")))
    curve = law.curve((10, 55, 1000), "b")
    a, b, c = law.fixed_cost.value, law.constant.value, law.exponent.value
    level = law.levels[1] / law.levels[0]
    assert [one.value for one in curve] == pytest.approx([level * (a + b * size**c) for size in (10, 55, 1000)])
    assert all(one.low < one.value < one.high for one in curve)
    assert curve[2].value / curve[0].value == pytest.approx(law.growth.value)
    assert law.curve((10,))[0].value == pytest.approx(law.levels[0])


def test_the_band_widens_beyond_the_measured_sizes():
    law = fit_growth_law(observe(lambda size: 20 + 2 * size, noise=0.05))
    within, beyond = law.curve((100, 10_000))
    assert beyond.high / beyond.low > 1.1 * within.high / within.low


def test_an_exact_law_has_a_band_without_width():
    curve = fit_growth_law(observe(lambda size: 20 + 2 * size)).curve((5, 2000))
    assert [one.value for one in curve] == pytest.approx([30, 4020])
    assert all(one.width == 0 for one in curve)


def test_a_curve_for_an_unknown_host_is_refused():
    with pytest.raises(ValueError, match="no host 'b' in this law: it has a"):
        fit_growth_law(observe(lambda size: size)).curve((10,), "b")


@pytest.mark.parametrize(
    ("value_at", "noise", "verdict"),
    [
        (lambda _: 5.0, 0.03, GrowthVerdict.DOES_NOT_GROW),
        (lambda size: 5 / size, 0.03, GrowthVerdict.SHRINKS),
        (lambda size: size**0.5, 0.03, GrowthVerdict.SLOWER_THAN_LINEAR),
        (lambda size: 20 + size, 0.03, GrowthVerdict.LINEAR),
        (lambda size: 20 + size**2, 0.03, GrowthVerdict.FASTER_THAN_LINEAR),
        (lambda size: 1000 + 0.5 * size, 0.05, GrowthVerdict.GROWS),
        (lambda _: 5.0, 0.8, GrowthVerdict.UNDECIDED),
    ],
)
def test_verdicts_of_planted_laws(value_at, noise, verdict):
    law = fit_growth_law(observe(value_at, noise=noise, seed=2))
    assert law.verdict is verdict
    assert law.sentence.startswith(verdict.value)


NARROW = Interval(50.0, 40.0, 60.0)


@pytest.mark.parametrize(
    ("growth", "slope", "exponent", "verdict"),
    [
        (Interval(1.1, 1.01, 1.19), Interval(0.1, 0.05, 0.2), Interval(1, 0.9, 1.1), GrowthVerdict.DOES_NOT_GROW),
        (Interval(1.1, 1.01, 1.21), Interval(0.1, 0.05, 0.2), Interval(1, 0.9, 1.1), GrowthVerdict.LINEAR),
        (Interval(1.1, 1.01, 1.21), Interval(0.1, -0.05, 0.2), Interval(1, 0.9, 1.1), GrowthVerdict.UNDECIDED),
        (NARROW, Interval(1, 0.9, 1.1), Interval(1, 0.7, 1.3), GrowthVerdict.GROWS),
        (NARROW, Interval(1, 0.9, 1.1), Interval(0.9, 0.8, 0.99), GrowthVerdict.SLOWER_THAN_LINEAR),
        (NARROW, Interval(1, 0.9, 1.1), Interval(1.1, 1.01, 9.0), GrowthVerdict.FASTER_THAN_LINEAR),
        (Interval(0.5, 0.4, 0.6), Interval(-0.3, -0.4, -0.2), Interval(1, 0, 2), GrowthVerdict.SHRINKS),
        (Interval(0.5, 0.4, 1.3), Interval(-0.3, -0.4, 0.2), Interval(1, 0, 2), GrowthVerdict.UNDECIDED),
    ],
)
def test_the_rules_of_verdicts(growth, slope, exponent, verdict):
    assert judge_growth(growth, slope, exponent) is verdict


def test_cliffs_come_with_the_law():
    law = fit_growth_law(
        observe(lambda size: size * (3 if size > 50 else 1), sizes=(10, 20, 50, 100, 200, 500), noise=0.02)
    )
    assert [(cliff.from_size, cliff.to_size) for cliff in law.cliffs] == [(50, 100)]


def test_many_laws_are_those_of_each_one_in_order():
    many = [
        observe(lambda size: 20 + 2 * size, noise=0.1, seed=seed, samples=2 + seed % 2, limit=900 if seed == 4 else 1e9)
        for seed in range(6)
    ]
    many.insert(2, observe(lambda _: 0.0))
    together = fit_growth_laws(many)
    for law, alone in zip(together, [fit_growth_law(each) for each in many], strict=True):
        if isinstance(alone, GrowthLaw):
            assert ends(law.exponent) == pytest.approx(ends(alone.exponent), rel=1e-6)
            assert ends(law.growth) == pytest.approx(ends(alone.growth), rel=1e-6)
            assert law.observations is alone.observations
        else:
            assert law == alone


@given(
    unit=st.floats(1e-9, 1e9),
    size_unit=st.floats(1e-3, 1e3),
    seed=st.integers(0, 1000),
    exponent=st.floats(0.2, 2.5),
    fixed=st.floats(0, 100),
)
@settings(max_examples=15, deadline=None)
def test_units_of_sizes_and_values_change_nothing_but_units(unit, size_unit, seed, exponent, fixed):
    seen = observe(lambda size: fixed + size**exponent, noise=0.05, seed=seed)
    scaled = replace(
        seen,
        sizes=tuple(size * size_unit for size in seen.sizes),
        values=tuple(value * unit for value in seen.values),
    )
    law, same = fit_growth_law(seen), fit_growth_law(scaled)
    assert ends(same.exponent) == pytest.approx(ends(law.exponent), rel=1e-3, abs=1e-4)
    assert ends(same.growth) == pytest.approx(ends(law.growth), rel=1e-3)
    assert same.fixed_cost.value == pytest.approx(unit * law.fixed_cost.value, rel=1e-3, abs=1e-4 * unit)
    assert same.verdict is law.verdict


@given(
    logs=st.lists(st.floats(-20, 20), min_size=4, max_size=12),
    sizes=st.lists(st.integers(1, 6), min_size=12, max_size=12),
    censored=st.lists(st.booleans(), min_size=12, max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_any_positive_numbers_give_a_law_in_order_or_a_reason(logs, sizes, censored):
    count = len(logs)
    found = fit_growth_law(
        Observations(
            sizes=tuple(10.0 * 2**size for size in sizes[:count]),
            values=tuple(math.exp(each) for each in logs),
            is_censored=tuple(censored[:count]),
            hosts=("a",) * count,
        )
    )
    if isinstance(found, NoLaw):
        assert found.reason
        return
    for interval in (found.exponent, found.slope, found.growth, found.constant, found.fixed_cost):
        assert interval.low <= interval.value <= interval.high
        assert not math.isnan(interval.low + interval.high) or math.isinf(interval.high)
    assert found.fixed_cost.low >= 0


def test_zeros_alone_have_no_law_and_say_so():
    nothing = Observations(sizes=(1, 2, 3), values=(0, 0, 0), is_censored=(False,) * 3, hosts=("a",) * 3)
    assert fit_growth_law(nothing).reason.startswith("every observation has a value of 0")
