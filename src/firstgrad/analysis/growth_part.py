"""The parts of two growth laws compared: exponents, and fixed costs, each difference with its interval.

An interval of a difference is made from those of both sides (Zou and Donner, Statistics in Medicine 27, 2008): where
each reaches by itself, both reach together by the root of the sum of squares. So the laws' own profile likelihoods are
used, as lopsided as they are, and nothing is fitted again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from firstgrad.analysis.growth_law import CONFIDENCE, Interval
from firstgrad.analysis.growth_scatter import robust_weights, scatter_around
from firstgrad.analysis.growth_verdict import GrowthVerdict

if TYPE_CHECKING:
    from firstgrad.analysis.growth_law import GrowthLaw, NoLaw

LEAST_EXPONENT, SAME_EXPONENT = 0.05, 0.25
"""A smaller difference of exponents is none; an interval within the second one shows that there is none."""

LEAST_SHARE, SAME_SHARE = 0.05, 0.25
"""The same of fixed costs, as a share of BASE's value at the smallest size."""

_NOT_GROWING = frozenset({GrowthVerdict.DOES_NOT_GROW, GrowthVerdict.SHRINKS, GrowthVerdict.UNDECIDED})


class GrowthChangeVerdict(StrEnum):
    """What is said of a part of two laws. The first rule that fits decides.

    1. *grew*: the interval of the difference lies above zero, and the difference is at least the least one.
    2. *shrank*: the reverse.
    3. *same*: the interval lies within what counts as the same.
    4. *undecided*: the samples don't tell. More of them do, or more sizes.
    """

    GREW = "grew"
    SHRANK = "shrank"
    SAME = "same"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedPart:
    """An exponent or a fixed cost on both sides.

    Attributes
    ----------
    base, head : Interval
        As the laws have it, each with 95 % confidence.
    difference : Interval
        HEAD less BASE, with the confidence that was asked for.
    verdict : GrowthChangeVerdict
        By the rules that it documents.
    what : str
        What was compared: ``exponent``, or ``mean slope`` where not both sides surely grow; ``fixed cost``, or
        ``level`` where neither does.
    """

    base: Interval
    head: Interval
    difference: Interval
    verdict: GrowthChangeVerdict
    what: str


def compare_exponents(base: GrowthLaw, head: GrowthLaw, *, confidence: float) -> ChangedPart:
    """Compare how fast two sides grow.

    Parameters
    ----------
    base, head : GrowthLaw
        Of the same metric and size.
    confidence : float
        Of the difference's interval.

    Returns
    -------
    ChangedPart
        Of the exponents where both surely grow, else of the mean slopes on log-log axes, from the smallest size to the
        largest: where nothing grows, a fixed cost makes any exponent possible, and growth alone is determined.
    """
    if is_growing(base) and is_growing(head) and base.has_fixed_cost == head.has_fixed_cost:
        return _changed("exponent", base.exponent, head.exponent, (base, head), confidence, 1.0)
    return _changed("mean slope", _mean_slope(base), _mean_slope(head), (base, head), confidence, 1.0)


def compare_fixed_costs(base: GrowthLaw, head: GrowthLaw, hosts: tuple[int, int], *, confidence: float) -> ChangedPart:
    """Compare what two sides cost at any size.

    Parameters
    ----------
    base, head : GrowthLaw
        Of the same metric and size, each with a fixed cost.
    hosts : tuple of int
        Of each law, the number of the host whose level counts.
    confidence : float
        Of the difference's interval.

    Returns
    -------
    ChangedPart
        In the metric's unit. Where neither side surely grows, all its cost is a fixed one: then the laws' values in
        the middle of the sizes are compared.
    """
    scale = base.levels[hosts[0]]
    if is_growing(base) or is_growing(head):
        ours, theirs = (law.profile.fixed_cost(host) for law, host in zip((base, head), hosts, strict=True))
        return _changed("fixed cost", ours, theirs, (base, head), confidence, scale)
    ours, theirs = (_middle(law, host) for law, host in zip((base, head), hosts, strict=True))
    return _changed("level", ours, theirs, (base, head), confidence, scale)


def is_growing(law: GrowthLaw) -> bool:
    """Whether the law's growth is sure."""
    return law.verdict not in _NOT_GROWING


def has_equal_numbers(base: GrowthLaw | NoLaw, head: GrowthLaw | NoLaw) -> bool:
    """Whether the very same numbers were measured at each size: no law can have changed, however badly it fits."""
    ours, theirs = (
        set(zip(law.observations.sizes, law.observations.values, law.observations.is_censored, strict=True))
        for law in (base, head)
    )
    return bool(ours) and ours == theirs and not any(is_censored for *_, is_censored in ours)


def _mean_slope(law: GrowthLaw) -> Interval:
    growth, span = law.growth, math.log(max(law.observations.sizes) / min(law.observations.sizes))
    value, low, high = (
        math.log(each) / span if each > 0 else -math.inf for each in (growth.value, growth.low, growth.high)
    )
    return Interval(value, low, high)


def _middle(law: GrowthLaw, host: int) -> Interval:
    sizes = law.observations.sizes
    curve = law.curve((math.sqrt(min(sizes) * max(sizes)),), law.hosts[host])
    return Interval(curve.values[0], curve.lows[0], curve.highs[0])


def _changed(
    what: str, base: Interval, head: Interval, laws: tuple[GrowthLaw, GrowthLaw], confidence: float, scale: float
) -> ChangedPart:
    least, same = (
        (LEAST_EXPONENT, SAME_EXPONENT)
        if what in {"exponent", "mean slope"}
        else (LEAST_SHARE * scale, SAME_SHARE * scale)
    )
    if has_equal_numbers(*laws):
        difference = Interval(0.0, 0.0, 0.0)
    else:
        difference = _difference(base, head, tuple(_stretch(law, confidence) for law in laws))
    return ChangedPart(base=base, head=head, difference=difference, verdict=_judge(difference, least, same), what=what)


def _difference(base: Interval, head: Interval, stretches: tuple[float, ...]) -> Interval:
    value = head.value - base.value
    down = math.hypot(stretches[1] * (head.value - head.low), stretches[0] * (base.high - base.value))
    up = math.hypot(stretches[1] * (head.high - head.value), stretches[0] * (base.value - base.low))
    return Interval(value, value - down, value + up)


def _stretch(law: GrowthLaw, confidence: float) -> float:
    """Say by how much a law's interval widens from its own confidence to another, by Student's distribution."""
    from scipy.special import stdtrit

    freedom = _freedom(law)
    wanted, given = (float(stdtrit(freedom, 0.5 + each / 2)) for each in (confidence, CONFIDENCE))
    return wanted / given


def _freedom(law: GrowthLaw) -> float:
    """Find the degrees of freedom that the law's intervals were made with: few where sizes misfit, not samples."""
    seen = law.observations
    ratios = np.array(law.ratios)
    used = np.isfinite(ratios) & ~np.array(seen.is_censored)
    residuals = np.log(ratios[used])
    n_parameters = len(law.hosts) + (2 if law.has_fixed_cost else 1)
    weights = robust_weights(residuals[None, :], n_parameters, drop_wild=True)[0]
    places = list(dict.fromkeys(zip(seen.sizes, seen.hosts, strict=True)))
    cells = np.array([places.index(each) for each in zip(seen.sizes, seen.hosts, strict=True)])[used]
    return scatter_around(residuals, weights, cells, n_parameters).freedom


def _judge(difference: Interval, least: float, same: float) -> GrowthChangeVerdict:
    if difference.low > 0 and difference.value >= least:
        return GrowthChangeVerdict.GREW
    if difference.high < 0 and difference.value <= -least:
        return GrowthChangeVerdict.SHRANK
    if difference.low >= -same and difference.high <= same:
        return GrowthChangeVerdict.SAME
    return GrowthChangeVerdict.UNDECIDED
