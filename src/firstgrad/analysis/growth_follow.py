"""Follow deviances around their optima: where `firstgrad.analysis.growth_profile` gets its parameters from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from firstgrad.analysis.growth_law import Interval
from firstgrad.analysis.growth_lines import Lines, free_lines, straight_line, straight_lines
from firstgrad.analysis.growth_optimum import EXPONENTS, Optima
from firstgrad.analysis.growth_profile import Profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from firstgrad.analysis.growth_problem import Noise, Problem

    Floats = NDArray[np.float64]

_NEARBY = np.array([-2, -1.4, -1.15, -1, -0.85, -0.5, 0, 0.5, 0.85, 1, 1.15, 1.4, 2])
_WITHIN = (1 - np.cos(np.linspace(0, np.pi, 15))) / 2
_STRAIGHT = np.linspace(-1, 1, 9)
_SLACK = 1e-9


def make_profiles(
    problem: Problem, noise: Noise, optima: Optima, allowances: Floats, *, smallest_size: float, has_fixed_cost: bool
) -> list[Profile]:
    """Follow the deviances of m metrics around their optima.

    Parameters
    ----------
    problem, noise, optima
        What was fitted, and the best laws.
    allowances : array of float, m
        By how much the deviance may exceed the optimum's; 0 for exact laws, whose intervals have no width.
    smallest_size : float
        Of the sizes that the problem has by their logarithms.
    has_fixed_cost : bool
        Whether bent laws are followed too.
    """
    metrics = len(allowances)
    straight = straight_line(problem, noise, optima.exponents)
    lines = (
        np.concatenate(
            [
                np.tile(EXPONENTS, (metrics, 1)),
                # exact laws have no allowance, and maybe an infinite variance
                _nearby(
                    optima.exponents,
                    np.sqrt(np.where(allowances > 0, optima.exponent_variances, 0.0) * allowances),
                ),
            ],
            axis=1,
        )
        if has_fixed_cost
        else np.zeros((metrics, 0))
    )
    lines = np.sort(lines, axis=1)
    bent = free_lines(problem, noise, lines, np.repeat(optima.growths[:, None], lines.shape[1], axis=1))
    deviances = _allowed_deviances(bent, problem.span)
    limits = np.concatenate([straight.deviances, deviances], axis=1).min(axis=1) + allowances
    edges = limits - straight.deviances[:, 0]
    halves = np.sqrt(np.maximum(edges, 0.0) * straight.growth_variances[:, 0]) / problem.span
    held = straight_lines(problem, noise, straight.exponents + halves[:, None] * _STRAIGHT)
    intervals = []
    for metric, limit in enumerate(limits):
        value = float(optima.exponents[metric])
        interval = Interval(value, value, value)
        if edges[metric] >= 0:
            interval = _hull(interval, float(held.exponents[metric, 0]), float(held.exponents[metric, -1]))
        if (deviances[metric] <= limit).any():
            interval = _hull(interval, *_crossings(lines[metric], deviances[metric], float(limit)))
        intervals.append(interval)
    if has_fixed_cost:
        ends = np.clip([[each.low, each.high] for each in intervals], EXPONENTS[0], EXPONENTS[-1])
        within = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * _WITHIN
        bent = free_lines(problem, noise, within, np.repeat(optima.growths[:, None], within.shape[1], axis=1))
    return [
        _profile(problem, optima, metric, intervals[metric], limits[metric], (bent, held), smallest_size)
        if allowances[metric] > 0
        else _exact_profile(problem, optima, metric, smallest_size)
        for metric in range(metrics)
    ]


def _nearby(exponents: Floats, reaches: Floats) -> Floats:
    finite = np.where(np.isfinite(reaches), reaches, 0.0)
    lines: Floats = np.clip(exponents[:, None] + finite[:, None] * _NEARBY, EXPONENTS[0], EXPONENTS[-1])
    return lines


def _profile(
    problem: Problem,
    optima: Optima,
    metric: int,
    interval: Interval,
    limit: float,
    both: tuple[Lines, Lines],
    smallest_size: float,
) -> Profile:
    radii = limit - np.concatenate([each.deviances[metric] for each in both])
    kept = radii >= -_SLACK * limit
    exponents, growths, levels, growth_variances, covariances, level_variances = (
        np.concatenate([getattr(each, name)[metric] for each in both])[kept]
        for name in ("exponents", "growths", "levels", "growth_variances", "covariances", "level_variances")
    )
    return Profile(
        best=_best(optima, metric),
        smallest_size=smallest_size,
        span=problem.span,
        exponent=interval,
        exponents=exponents,
        growths=growths,
        radii=np.maximum(radii[kept], 0.0),
        levels=levels,
        growth_variances=growth_variances,
        covariances=covariances,
        level_variances=level_variances,
    )


def _exact_profile(problem: Problem, optima: Optima, metric: int, smallest_size: float) -> Profile:
    """Make the profile of a law without any scatter: its optimum alone."""
    best = _best(optima, metric)
    none, no_levels = np.zeros(0), np.zeros((0, len(best[2])))
    return Profile(
        best=best,
        smallest_size=smallest_size,
        span=problem.span,
        exponent=Interval(best[0], best[0], best[0]),
        exponents=none,
        growths=none,
        radii=none,
        levels=no_levels,
        growth_variances=none,
        covariances=no_levels,
        level_variances=no_levels,
    )


def _best(optima: Optima, metric: int) -> tuple[float, float, tuple[float, ...]]:
    levels = tuple(float(level) for level in optima.levels[metric])
    return float(optima.exponents[metric]), float(optima.growths[metric]), levels


def _allowed_deviances(lines: Lines, span: float) -> Floats:
    """Give each line's least deviance among laws whose fixed cost is not negative."""
    beyond = lines.growths - np.minimum(np.maximum(lines.growths, 0.0), lines.exponents * span)
    allowed: Floats = lines.deviances + beyond**2 / np.maximum(lines.growth_variances, 1e-300)
    return allowed


def _hull(interval: Interval, low: float, high: float) -> Interval:
    return Interval(interval.value, min(interval.low, low), max(interval.high, high))


def _crossings(exponents: Floats, deviances: Floats, limit: float) -> tuple[float, float]:
    """Find where the deviance crosses the limit, between lines; beyond the last line the exponent is not determined."""
    inside = np.flatnonzero(deviances <= limit)
    first, last = int(inside[0]), int(inside[-1])
    low = _crossing(exponents, deviances, first, first - 1, limit) if first else float(exponents[0])
    is_open = last == len(exponents) - 1
    return low, np.inf if is_open else _crossing(exponents, deviances, last, last + 1, limit)


def _crossing(exponents: Floats, deviances: Floats, inside: int, outside: int, limit: float) -> float:
    least = float(deviances.min())
    near, far, wanted = (
        float(np.sqrt(max(float(each) - least, 0.0))) for each in (deviances[inside], deviances[outside], limit)
    )
    share = (wanted - near) / (far - near) if far > near else 0.0
    return float(exponents[inside] + share * (exponents[outside] - exponents[inside]))
