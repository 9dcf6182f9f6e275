"""Fit growth laws: how a metric grows with a size, whatever the hosts' levels, with a fixed cost and with noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from firstgrad.analysis.cliffs import find_cliffs
from firstgrad.analysis.growth_follow import make_profiles
from firstgrad.analysis.growth_law import CONFIDENCE, GrowthLaw, Interval, NoLaw, Observations
from firstgrad.analysis.growth_optimum import best_bent, best_straight
from firstgrad.analysis.growth_problem import Problem
from firstgrad.analysis.growth_scatter import EXACT, robust_sigmas, scatter_around
from firstgrad.analysis.growth_settle import settle
from firstgrad.analysis.growth_verdict import judge_growth

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from firstgrad.analysis.growth_profile import Profile

    Floats = NDArray[np.float64]

_LEAST_SIZES = 3
_LEAST_SIZES_FOR_FIXED_COST = 4
_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """One form of the law (straight or bent), fitted to one metric; residuals of the used observations."""

    profile: Profile
    residuals: Floats
    sigma: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Input:
    """Metrics with one design (sizes, hosts, what is censored) in the form that fits take."""

    problem: Problem
    used: NDArray[np.bool_]
    cells: NDArray[np.int64]
    hosts: tuple[str, ...]
    smallest_size: float
    n_sizes: int
    n_sizes_on_one_host: int

    @property
    def has_fixed_cost(self) -> bool:
        return self.n_sizes_on_one_host >= _LEAST_SIZES_FOR_FIXED_COST


def fit_growth_law(observations: Observations) -> GrowthLaw | NoLaw:
    """Fit ``value = a + b * size ** c`` to a metric, on logarithms.

    Robust least squares (Huber's weights; wild samples weigh nothing) of the logarithms, with a level for each host; a
    censored sample counts by the probability of lying above its bound (Tobin, Econometrica 26, 1958). Intervals are
    profile likelihoods', see `firstgrad.analysis.growth_profile`.

    Parameters
    ----------
    observations : Observations
        Sizes are counted on the host that has most of them, by samples that aren't censored: 3 make a law without fixed
        cost, 4 one with it.

    Returns
    -------
    GrowthLaw or NoLaw
        No law where there are too few sizes, or values or sizes that have no logarithm.
    """
    return fit_growth_laws([observations])[0]


def fit_growth_laws(observations: Iterable[Observations]) -> list[GrowthLaw | NoLaw]:
    """Fit many laws as `fit_growth_law` fits one, in their order; those of equal sizes and hosts at once, so faster."""
    many = list(observations)
    found: dict[int, GrowthLaw | NoLaw] = {}
    alike: dict[tuple[object, ...], list[int]] = {}
    for number, each in enumerate(many):
        reason = _unusable(each)
        if reason:
            found[number] = NoLaw(observations=each, reason=reason)
        else:
            alike.setdefault((each.sizes, each.is_censored, each.hosts), []).append(number)
    for numbers in alike.values():
        for begin in range(0, len(numbers), _AT_ONCE):
            chosen = numbers[begin : begin + _AT_ONCE]
            found.update(zip(chosen, _fit_alike([many[number] for number in chosen]), strict=True))
    return [found[number] for number in range(len(many))]


def _fit_alike(many: Sequence[Observations]) -> list[GrowthLaw | NoLaw]:
    given = _arrange(many)
    if given.n_sizes_on_one_host < _LEAST_SIZES:
        reason = (
            f"a law takes {_LEAST_SIZES} different sizes with a result on one host, "
            f"and no host has more than {given.n_sizes_on_one_host}"
        )
        return [NoLaw(observations=each, reason=reason) for each in many]
    straight = _fit(given, has_fixed_cost=False)
    bent = _fit(given, has_fixed_cost=True) if given.has_fixed_cost else straight
    return [
        _conclude(observations, given, number, straight[number], bent[number])
        for number, observations in enumerate(many)
    ]


def _unusable(observations: Observations) -> str:
    if not observations.sizes:
        return "there are no samples"
    if not any(observations.values):
        return "every observation has a value of 0, and a power law takes numbers above zero"
    for name, numbers in (("size", observations.sizes), ("value", observations.values)):
        bad = [number for number in numbers if not (math.isfinite(number) and number > 0)]
        if bad:
            return f"a power law takes numbers above zero, and there is a {name} of {bad[0]:g}"
    return ""


def _arrange(many: Sequence[Observations]) -> _Input:
    first = many[0]
    sizes, censored = np.asarray(first.sizes, dtype=float), np.asarray(first.is_censored, dtype=bool)
    hosts = tuple(dict.fromkeys(first.hosts))
    numbers = np.array([hosts.index(host) for host in first.hosts])
    seen_by_host = [len(set(sizes[(numbers == each) & ~censored])) for each in range(len(hosts))]
    fitted = np.array([number for number, count in enumerate(seen_by_host) if count], dtype=int)
    used = np.isin(numbers, fitted)
    smallest = float(sizes[used].min(initial=np.inf))
    steps = np.log(sizes[used] / smallest)
    problem = Problem(
        steps=steps,
        span=float(steps.max(initial=0.0)),
        logs=np.log(np.array([each.values for each in many], dtype=float)[:, used]),
        is_censored=censored[used],
        members=(numbers[used, None] == fitted).astype(float),
    )
    _, size_numbers = np.unique(sizes, return_inverse=True)
    return _Input(
        problem=problem,
        used=used,
        cells=(size_numbers * len(hosts) + numbers)[used],
        hosts=tuple(hosts[number] for number in fitted),
        smallest_size=smallest,
        n_sizes=len(set(first.sizes)),
        n_sizes_on_one_host=max(seen_by_host),
    )


def _fit(given: _Input, *, has_fixed_cost: bool) -> list[_Fit]:
    problem, best = given.problem, best_bent if has_fixed_cost else best_straight
    n_parameters = problem.members.shape[1] + (2 if has_fixed_cost else 1)
    noise, optima = settle(problem, best, n_parameters)
    residuals = problem.logs - optima.fitted(problem)
    seen = ~problem.is_censored
    is_exact = np.abs(residuals[:, seen]).max(axis=1) < EXACT
    allowances = np.zeros(len(residuals))
    for number in np.flatnonzero(~is_exact):
        scatter = scatter_around(residuals[number, seen], noise.weights[number, seen], given.cells[seen], n_parameters)
        allowances[number] = scatter.threshold(CONFIDENCE)
    profiles = make_profiles(
        problem, noise, optima, allowances, smallest_size=given.smallest_size, has_fixed_cost=has_fixed_cost
    )
    sigmas = np.where(is_exact, 0.0, robust_sigmas(residuals[:, seen], n_parameters))
    return [
        _Fit(profile=profile, residuals=row, sigma=float(sigma))
        for profile, row, sigma in zip(profiles, residuals, sigmas, strict=True)
    ]


def _conclude(observations: Observations, given: _Input, number: int, straight: _Fit, bent: _Fit) -> GrowthLaw:
    growth, slope = bent.profile.growth(), straight.profile.exponent
    if 0 in slope:  # then c and a are anybody's guess, and a bent law may follow the noise alone
        steady = straight.profile.growth()
        growth = Interval(growth.value, min(growth.low, steady.low), max(growth.high, steady.high))
    judged = judge_growth(growth, slope, bent.profile.exponent, has_fixed_cost=given.has_fixed_cost)
    shown = bent if judged.is_growing else straight
    seen = ~given.problem.is_censored
    ratios = np.full(len(observations.values), np.nan)
    ratios[given.used] = np.exp(bent.residuals)
    return GrowthLaw(
        observations=observations,
        verdict=judged.verdict,
        sentence=judged.sentence,
        exponent=shown.profile.exponent,
        slope=slope,
        constant=shown.profile.constant(0),
        fixed_cost=bent.profile.fixed_cost(0) if given.has_fixed_cost else Interval(0.0, 0.0, 0.0),
        growth=growth,
        has_fixed_cost=given.has_fixed_cost,
        spread=bent.sigma,
        r_squared=_r_squared(given.problem.logs[number, seen], given.problem.members[seen], bent.residuals[seen]),
        ratios=tuple(ratios.tolist()),
        n_samples=len(observations.values),
        n_sizes=given.n_sizes,
        n_censored=sum(observations.is_censored),
        hosts=given.hosts,
        levels=tuple(math.exp(level) for level in bent.profile.best[2]),
        cliffs=find_cliffs(observations),
        profile=bent.profile,
    )


def _r_squared(logs: Floats, members: Floats, residuals: Floats) -> float:
    means = (logs @ members) / members.sum(axis=0)
    total = float(((logs - members @ means) ** 2).sum())
    if total <= len(residuals) * EXACT**2:
        return float("nan")
    return 1 - float((residuals**2).sum()) / total
