"""Whether intervals of growth laws hold what was planted as often as they say, and what they claim of constants."""

from __future__ import annotations

import math

import numpy as np
import pytest

from firstgrad.growth.fit import fit_growth_laws
from firstgrad.growth.law import GrowthVerdict, Observations

SIZES = (10, 30, 100, 300, 1000)
SEEDS = 500
GROWING = {
    GrowthVerdict.GROWS,
    GrowthVerdict.LINEAR,
    GrowthVerdict.SLOWER_THAN_LINEAR,
    GrowthVerdict.FASTER_THAN_LINEAR,
}


def shape(size, exponent, share):
    """1 at the smallest size, of which a share is fixed cost."""
    return share + (1 - share) * (size / 10) ** exponent


def planted(exponent, share, *, noise, sizes=SIZES, samples=3, seeds=SEEDS, limit=math.inf, wild=1.0):
    made = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        repeated = np.repeat(np.array(sizes, dtype=float), samples)
        values = 2 * shape(repeated, exponent, share) * np.exp(noise * rng.normal(size=len(repeated)))
        values[rng.integers(len(values))] *= wild
        made.append(
            Observations(
                sizes=tuple(repeated),
                values=tuple(np.minimum(values, limit)),
                is_censored=tuple(bool(above) for above in values > limit),
                hosts=("a",) * len(values),
            )
        )
    return made


def covered(laws, truth, interval_of):
    return sum(interval_of(law).low <= truth <= interval_of(law).high for law in laws) / len(laws)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize(("share", "noise"), [(0.0, 0.1), (0.7, 0.05)])
def test_intervals_hold_the_planted_law(exponent, share, noise, golden):
    laws = fit_growth_laws(planted(exponent, share, noise=noise))
    assert 0.90 <= covered(laws, exponent, lambda law: law.exponent) <= 0.98
    assert 0.90 <= covered(laws, shape(1000, exponent, share), lambda law: law.growth) <= 0.98
    assert 0.90 <= covered(laws, 2 * share, lambda law: law.fixed_cost) <= 1
    constant = 2 * (1 - share) / 10**exponent
    assert 0.90 <= covered(laws, constant, lambda law: law.constant) <= 0.98
    held = {"exponent": covered(laws, exponent, lambda law: law.exponent)}
    held["growth"] = covered(laws, shape(1000, exponent, share), lambda law: law.growth)
    held["fixed cost"] = covered(laws, 2 * share, lambda law: law.fixed_cost)
    golden.numbers("coverage", {f"law {exponent} {share}, {name}": hits for name, hits in held.items()})
    inside = 0
    for law in laws[:100]:
        inside += 2 * shape(100, exponent, share) in law.curve((100,))[0]
    assert inside >= 88


@pytest.mark.parametrize(
    ("noise", "sizes", "samples"), [(0.15, SIZES, 3), (0.1, SIZES[:4], 1), (0.05, (10, 20, 50, 100, 200, 500, 1000), 1)]
)
def test_few_samples_and_much_noise_keep_the_level(noise, sizes, samples, golden):
    laws = fit_growth_laws(planted(1.0, 0.5, noise=noise, sizes=sizes, samples=samples, seeds=250))
    hits = covered(laws, 1.0, lambda law: law.exponent)
    golden.numbers("coverage", {f"law of {len(sizes)} sizes, {noise} {samples}": hits})
    assert 0.90 <= covered(laws, 1.0, lambda law: law.exponent) <= 0.98


@pytest.mark.parametrize(("noise", "samples"), [(0.05, 3), (0.15, 3), (0.1, 1)])
def test_constants_are_hardly_ever_said_to_grow(noise, samples, golden):
    laws = fit_growth_laws(planted(0.0, 0.0, noise=noise, samples=samples))
    assert sum(law.verdict in GROWING for law in laws) / SEEDS <= 0.025
    said = sum(law.verdict in GROWING for law in laws)
    golden.numbers("coverage", {f"constant {noise} {samples}, said to grow": said})
    assert 0.90 <= covered(laws, 0.0, lambda law: law.slope) <= 0.98
    assert covered(laws, 1.0, lambda law: law.growth) >= 0.90


def test_quiet_constants_are_said_not_to_grow():
    laws = fit_growth_laws(planted(0.0, 0.0, noise=0.03, seeds=100))
    assert sum(law.verdict is GrowthVerdict.DOES_NOT_GROW for law in laws) >= 90


def test_a_wild_sample_in_fifteen_takes_nothing_from_the_intervals():
    laws = fit_growth_laws(planted(1.0, 0.7, noise=0.1, wild=6.0, seeds=250))
    assert 0.90 <= covered(laws, 1.0, lambda law: law.exponent) <= 0.98
    calm = fit_growth_laws(planted(1.0, 0.7, noise=0.1, seeds=250))
    widths = [np.median([law.exponent.width for law in each]) for each in (laws, calm)]
    assert widths[0] < 1.3 * widths[1]


def test_censored_samples_keep_the_level(golden):
    laws = fit_growth_laws(planted(1.5, 0.0, noise=0.1, limit=300.0, seeds=150))
    assert sum(any(law.observations.is_censored) for law in laws) == 150
    golden.numbers("coverage", {"law with censored samples": covered(laws, 1.5, lambda law: law.exponent)})
    assert 0.90 <= covered(laws, 1.5, lambda law: law.slope) <= 0.98
    assert 0.90 <= covered(laws, 1.5, lambda law: law.exponent) <= 0.99
