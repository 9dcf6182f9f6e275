from __future__ import annotations

import math

import numpy as np
import pytest

from firstgrad.growth.cliffs import find_cliffs
from firstgrad.growth.law import Observations

SIZES = (10, 20, 50, 100, 200, 500, 1000)


def law(size, *, exponent=1.0, fixed=0.0):
    return fixed + size**exponent


def observe(value_at, *, sizes=SIZES, samples=3, noise=0.0, seed=0, hosts=("a",), censored=()):
    rng = np.random.default_rng(seed)
    taken = [(size, host, level) for level, host in enumerate(hosts, 1) for size in sizes for _ in range(samples)]
    return Observations(
        sizes=tuple(size for size, _, _ in taken),
        values=tuple(10**level * value_at(size) * math.exp(noise * rng.normal()) for size, _, level in taken),
        is_censored=tuple(size in censored for size, _, _ in taken),
        hosts=tuple(host for _, host, _ in taken),
    )


def with_jump(size, *, after=100, factor=2.0):
    return law(size) * (factor if size > after else 1.0)


def test_an_exact_jump_is_found_with_its_factors():
    (cliff,) = find_cliffs(observe(with_jump))
    assert (cliff.from_size, cliff.to_size) == (100, 200)
    assert cliff.factor == pytest.approx(4.0)
    assert cliff.expected_factor == pytest.approx(2.0)


@pytest.mark.parametrize("after", [10, 50, 200])
@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_a_jump_is_found_wherever_there_is_a_step_after_it(after, exponent):
    found = find_cliffs(observe(lambda size: law(size, exponent=exponent) * (2 if size > after else 1), samples=1))
    assert [cliff.from_size for cliff in found] == [after]


def test_the_last_step_may_be_the_laws_own_bend():
    assert find_cliffs(observe(lambda size: with_jump(size, after=500))) == ()


def test_two_jumps_are_both_found():
    found = find_cliffs(observe(lambda size: with_jump(size, after=20) * (3 if size > 200 else 1)))
    assert [cliff.from_size for cliff in found] == [20, 200]


@pytest.mark.parametrize(("exponent", "fixed"), [(0.0, 0.0), (0.5, 10.0), (1.0, 300.0), (2.0, 0.0), (2.0, 1e5)])
def test_exact_laws_have_no_cliffs(exponent, fixed):
    assert find_cliffs(observe(lambda size: law(size, exponent=exponent, fixed=fixed))) == ()


def test_a_jump_below_the_least_factor_is_none():
    assert find_cliffs(observe(lambda size: with_jump(size, factor=1.25))) == ()
    assert len(find_cliffs(observe(lambda size: with_jump(size, factor=1.35)))) == 1


def test_a_dip_is_no_jump_although_the_next_step_is_steep():
    assert find_cliffs(observe(lambda size: 1.0 if size <= 100 else 0.5)) == ()


@pytest.mark.parametrize(("samples", "noise"), [(3, 0.1), (2, 0.15), (1, 0.1), (5, 0.05)])
@pytest.mark.parametrize(("exponent", "fixed"), [(1.0, 0.0), (1.5, 500.0), (0.0, 0.0)])
def test_smooth_laws_with_noise_are_given_no_cliffs(samples, noise, exponent, fixed, golden):
    flagged = sum(
        bool(
            find_cliffs(
                observe(lambda size: law(size, exponent=exponent, fixed=fixed), samples=samples, noise=noise, seed=seed)
            )
        )
        for seed in range(500)
    )
    golden.numbers("coverage", {f"cliffs in {exponent} {fixed}, {noise} {samples}, of 500": flagged})
    assert flagged < 10


def test_a_planted_jump_is_found_through_noise():
    found = [find_cliffs(observe(with_jump, noise=0.05, seed=seed)) for seed in range(100)]
    assert sum([cliff.from_size for cliff in each] == [100] for each in found) >= 98
    factors = [each[0].factor for each in found if each]
    assert np.median(factors) == pytest.approx(4.0, rel=0.05)


def test_hosts_of_unlike_levels_are_no_jump_and_show_one_together():
    fast_small, slow_large = (
        observe(law, sizes=SIZES[:5], hosts=("a",)),
        observe(lambda size: 50 * law(size), sizes=SIZES[2:], hosts=("b",)),
    )
    joined = Observations(
        sizes=fast_small.sizes + slow_large.sizes,
        values=fast_small.values + slow_large.values,
        is_censored=fast_small.is_censored + slow_large.is_censored,
        hosts=fast_small.hosts + ("b",) * len(slow_large.hosts),
    )
    assert find_cliffs(joined) == ()
    assert [cliff.from_size for cliff in find_cliffs(observe(with_jump, hosts=("a", "b"), noise=0.05))] == [100]


def test_hosts_without_a_size_in_common_say_nothing_of_jumps():
    joined = Observations(
        sizes=(10, 20, 50, 100, 200, 500),
        values=(1, 2, 5, 100, 200, 500),
        is_censored=(False,) * 6,
        hosts=tuple("aaabbb"),
    )
    assert find_cliffs(joined) == ()


def test_sizes_with_censored_samples_are_left_out():
    assert find_cliffs(observe(with_jump, censored=(100, 200))) != ()
    assert find_cliffs(observe(lambda size: 300.0 if size == 200 else law(size), censored=(200,))) == ()


@pytest.mark.parametrize("sizes", [(10,), (10, 100), ()])
def test_too_few_sizes_have_no_cliffs(sizes):
    assert find_cliffs(observe(with_jump, sizes=sizes)) == ()


def test_single_samples_take_seven_sizes():
    assert find_cliffs(observe(with_jump, samples=1, sizes=SIZES[:6])) == ()
    assert len(find_cliffs(observe(with_jump, samples=1))) == 1
