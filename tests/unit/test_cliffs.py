from __future__ import annotations

import math

import numpy as np
import pytest

from firstgrad.growth.law import Observations, find_cliffs

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


@pytest.mark.parametrize(("exponent", "fixed"), [(0.0, 0.0), (0.5, 10.0), (1.0, 300.0), (2.0, 0.0), (2.0, 1e5)])
def test_exact_laws_have_no_cliffs(exponent, fixed):
    assert find_cliffs(observe(lambda size: law(size, exponent=exponent, fixed=fixed))) == ()


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


APART = Observations(
    sizes=(10, 20, 50, 100, 200, 500), values=(1, 2, 5, 100, 200, 500), is_censored=(False,) * 6, hosts=tuple("aaabbb")
)
JUMPS = {
    "the last step may be the law's own bend": (observe(lambda size: with_jump(size, after=500)), []),
    "two jumps": (observe(lambda size: with_jump(size, after=20) * (3 if size > 200 else 1)), [20, 200]),
    "below the least factor": (observe(lambda size: with_jump(size, factor=1.25)), []),
    "above the least factor": (observe(lambda size: with_jump(size, factor=1.35)), [100]),
    "a dip, although the next step is steep": (observe(lambda size: 1.0 if size <= 100 else 0.5), []),
    "hosts without a size in common": (APART, []),
    "a censored size is left out": (observe(lambda size: 300 if size == 200 else law(size), censored=(200,)), []),
    "one size": (observe(with_jump, sizes=(10,)), []),
    "two sizes": (observe(with_jump, sizes=(10, 100)), []),
    "no size": (observe(with_jump, sizes=()), []),
    "single samples of six sizes": (observe(with_jump, samples=1, sizes=SIZES[:6]), []),
    "single samples of seven sizes": (observe(with_jump, samples=1), [100]),
}


@pytest.mark.parametrize(("observations", "jumps"), JUMPS.values(), ids=JUMPS)
def test_jumps_begin_at_these_sizes(observations, jumps):
    assert [cliff.from_size for cliff in find_cliffs(observations)] == jumps


def test_a_jump_is_found_beside_sizes_with_censored_samples():
    assert find_cliffs(observe(with_jump, censored=(100, 200))) != ()
