"""Fits of growth laws with the exponent held: many laws and exponents at once, as profile likelihoods need them.

The law is written ``log y = level[host] + log(1 + (exp(g) - 1) * h(c, size))`` with ``h`` going from 0 at the smallest
size to 1 at the largest as ``size ** c`` does. ``g``, the logarithm of the growth over the measured sizes, is well
determined by the ends of the curve and ``c`` by its bend, so the two hardly depend on each other; fixed cost and
constant follow. No fixed cost means ``g = c * span``, and a larger g would mean a negative one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from firstgrad.analysis.growth_problem import LEAST, Noise, Problem, condense

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Shape = Callable[[Floats], tuple[Floats, Floats]]

_STEPS = 25
_LONGEST_STEP = 1.0
_MOST_GROWTH = 30.0
_STEEPEST = 500.0
_LEAST_EXPONENT = 1e-6
_FAR = 1e4
_SETTLED = 1e-4  # the step after it would be shorter by far: convergence is quadratic


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Best fits on k lines of constant exponent, for each of m metrics.

    Attributes
    ----------
    exponents, growths : array of float, m by k
        The exponent and the best logarithm of growth.
    levels : array of float, m by k by hosts
        Best logarithms of the value at the smallest size.
    deviances : array of float, m by k
        Weighted sum of squares, and for censored observations -2 sigma^2 log P(above the bound).
    growth_variances, covariances, level_variances : array of float, m by k, and by hosts
        Inverse of the deviance's curvature on the line; 0 for a growth that is held.
    """

    exponents: Floats
    growths: Floats
    levels: Floats
    deviances: Floats
    growth_variances: Floats
    covariances: Floats
    level_variances: Floats


def rise(exponents: Floats, steps: Floats, span: float) -> Floats:
    """Give h: (size ** c - smallest ** c) by (largest ** c - smallest ** c), k exponents by n steps."""
    held = np.where(np.abs(exponents) < _LEAST_EXPONENT, _LEAST_EXPONENT, exponents)[:, None]
    risen: Floats = np.expm1(held * steps) / np.expm1(held * span)
    return risen


def free_lines(problem: Problem, noise: Noise, exponents: Floats, growths: Floats) -> Lines:
    """Fit growth and levels at each exponent (m by k), whatever fixed cost (even a negative one) this means."""
    problem, noise, within = condense(problem, noise)
    risen = rise(exponents.ravel(), problem.steps, problem.span)

    def shape(growth: Floats) -> tuple[Floats, Floats]:
        grown = np.expm1(growth)[:, None]
        value = 1.0 + grown * risen
        return np.log(value), (grown + 1.0) * risen / value

    return _with_more(_solve(problem, noise, exponents, growths, shape), within)


def straight_lines(problem: Problem, noise: Noise, exponents: Floats) -> Lines:
    """Fit the levels alone at each exponent (m by k), without fixed cost."""
    problem, noise, within = condense(problem, noise)
    logs = exponents.reshape(-1, 1) * problem.steps
    growths = exponents * problem.span
    lines = _solve(problem, noise, exponents, growths, lambda _: (logs, logs), holds_growth=True, most=_STEEPEST)
    return _with_more(lines, within)


def straight_line(problem: Problem, noise: Noise, slopes: Floats) -> Lines:
    """Fit slope and levels without fixed cost: one line a metric, whose exponent is the best one.

    Parameters
    ----------
    problem, noise
        What is fitted.
    slopes : array of float, m
        To start from, where there are censored observations; without them there is a closed form.
    """
    if not problem.has_censored:
        return _straight_in_closed_form(problem, noise)
    relative = problem.steps[None, :] / problem.span
    fitted = _solve(
        problem,
        noise,
        slopes[:, None],
        slopes[:, None] * problem.span,
        lambda growth: (growth[:, None] * relative, relative),
        most=_STEEPEST,
    )
    return replace(fitted, exponents=fitted.growths / problem.span)


def _with_more(lines: Lines, within: Floats) -> Lines:
    return replace(lines, deviances=lines.deviances + within[:, None])


def _straight_in_closed_form(problem: Problem, noise: Noise) -> Lines:
    members, weights, span = problem.members, noise.weights, problem.span
    by_host = weights @ members
    tilt = (weights * problem.steps) @ members / by_host
    across = problem.steps - tilt @ members.T
    pulled = weights * across
    curvature = np.maximum(_rowwise(pulled, across), LEAST)
    slopes = _rowwise(pulled, problem.logs) / curvature
    levels = (weights * problem.logs) @ members / by_host - slopes[:, None] * tilt
    residuals = problem.logs - slopes[:, None] * problem.steps - levels @ members.T
    variances = span**2 / curvature
    return Lines(
        exponents=slopes[:, None],
        growths=slopes[:, None] * span,
        levels=levels[:, None],
        deviances=_rowwise(weights * residuals, residuals)[:, None],
        growth_variances=variances[:, None],
        covariances=(-tilt / span * variances[:, None])[:, None],
        level_variances=(1 / by_host + (tilt / span) ** 2 * variances[:, None])[:, None],
    )


def working(problem: Problem, noise: Noise, residuals: Floats) -> tuple[Floats, Floats]:
    """Put in place of a censored observation the weighted one that has its likelihood's slope and curvature.

    Returns
    -------
    weights, residuals : array of float, m by n
        As they are where nothing is censored.
    """
    if not problem.has_censored:
        return noise.weights, residuals
    sigmas = noise.sigmas[:, None]
    hazard, weight = censored_score(residuals[:, problem.is_censored] / sigmas)
    weights, pulls = noise.weights.copy(), residuals.copy()
    weights[:, problem.is_censored] = weight
    pulls[:, problem.is_censored] = sigmas * hazard / weight
    return weights, pulls


def deviance(problem: Problem, noise: Noise, residuals: Floats) -> Floats:
    """Give the deviance of each row of residuals."""
    seen = ~problem.is_censored
    kept = residuals[:, seen]
    deviances: Floats = _rowwise(noise.weights[:, seen] * kept, kept)
    if problem.has_censored:
        from scipy.special import log_ndtr

        above = log_ndtr(-residuals[:, problem.is_censored] / noise.sigmas[:, None])
        deviances -= 2 * noise.sigmas**2 * above.sum(axis=1)
    return deviances


def censored_score(shortfall: Floats) -> tuple[Floats, Floats]:
    """Give the normal hazard at `shortfall` (bound less fit, by sigma), and the weight that Newton's step takes."""
    from scipy.special import erfcx

    with np.errstate(divide="ignore", over="ignore"):
        hazard = np.sqrt(2 / np.pi) / erfcx(shortfall / np.sqrt(2))
    # far above the fit the difference drowns in rounding, and its limit is 1
    weight = np.where(shortfall > _FAR, 1.0, hazard * (hazard - shortfall))
    return hazard, np.clip(weight, 1e-12, 1.0)


def _solve(
    problem: Problem,
    noise: Noise,
    exponents: Floats,
    growths: Floats,
    shape: Shape,
    *,
    holds_growth: bool = False,
    most: float = _MOST_GROWTH,
) -> Lines:
    """Newton's method in growth and levels, on all lines at once; the levels come out in closed form a step."""
    metrics, lines = exponents.shape
    of_line = np.repeat(np.arange(metrics), lines)
    problem, noise, members = problem.picked(of_line), noise.picked(of_line), problem.members
    has_censored, weights = problem.has_censored, noise.weights
    growths = np.minimum(np.maximum(growths.ravel(), -most), most)
    fitted, slopes = shape(growths)
    levels = ((problem.logs - fitted) * weights) @ members / (weights @ members)
    tilt = across = np.zeros(0)
    for _ in range(_STEPS):
        weights, residuals = working(problem, noise, problem.logs - levels @ members.T - fitted)
        by_host = weights @ members
        shift = (weights * residuals) @ members / by_host
        largest = np.abs(shift).max(initial=0.0) if has_censored else 0.0
        if holds_growth:
            levels = levels + shift
        else:
            tilt = (weights * slopes) @ members / by_host
            across = slopes - tilt @ members.T
            pulled = weights * across
            step = _rowwise(pulled, residuals) / np.maximum(_rowwise(pulled, across), LEAST)
            step = np.minimum(np.maximum(step, -_LONGEST_STEP), _LONGEST_STEP)
            moved = np.minimum(np.maximum(growths + step, -most), most)
            levels = levels + shift - tilt * (moved - growths)[:, None]
            largest = max(largest, np.abs(moved - growths).max(initial=0.0))
            growths = moved
            fitted, slopes = shape(growths)
        if largest < _SETTLED:
            break
    if not has_censored:  # the exact levels for these growths
        levels = ((problem.logs - fitted) * weights) @ members / by_host
    residuals = problem.logs - levels @ members.T - fitted
    weights, _ = working(problem, noise, residuals)
    by_host = weights @ members
    tilt, growth_variances = np.zeros_like(by_host), np.zeros(len(growths))
    if not holds_growth:
        tilt = (weights * slopes) @ members / by_host
        across = slopes - tilt @ members.T
        growth_variances = 1 / np.maximum(_rowwise(weights * across, across), LEAST)
    return Lines(
        exponents=exponents,
        growths=growths.reshape(metrics, lines),
        levels=levels.reshape(metrics, lines, members.shape[1]),
        deviances=deviance(problem, noise, residuals).reshape(metrics, lines),
        growth_variances=growth_variances.reshape(metrics, lines),
        covariances=(-tilt * growth_variances[:, None]).reshape(metrics, lines, members.shape[1]),
        level_variances=(1 / by_host + tilt**2 * growth_variances[:, None]).reshape(metrics, lines, members.shape[1]),
    )


def _rowwise(one: Floats, other: Floats) -> Floats:
    products: Floats = np.einsum("kn,kn->k", one, other)
    return products
