"""Fit and weigh in turn until both settle: robust weights, and with censored samples the standard deviation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from firstgrad.analysis.growth_lines import censored_score
from firstgrad.analysis.growth_problem import Noise, Problem
from firstgrad.analysis.growth_scatter import robust_sigmas, robust_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from firstgrad.analysis.growth_optimum import Optima

    Floats = NDArray[np.float64]
    Best = Callable[[Problem, Noise, Optima | None], Optima]

_ROUNDS = 8
_SETTLED = 1e-3
_SETTLED_SIGMA = 1e-2
_LEAST_SIGMA = 1e-6
_LEAST_WEIGHT = 0.02


def settle(problem: Problem, best: Best, n_parameters: int) -> tuple[Noise, Optima]:
    """Find the noise and the best laws that belong together, for m metrics.

    Parameters
    ----------
    problem : Problem
        What is fitted.
    best : callable
        `firstgrad.analysis.growth_optimum.best_straight` or `best_bent`.
    n_parameters : int
        How many that one fits, levels included.
    """
    seen = problem.seen() if problem.has_censored else problem
    weights, optima = _settle_seen(seen, best, n_parameters)
    if not problem.has_censored:
        return Noise(weights=weights, sigmas=np.ones(len(weights))), optima
    sigmas = np.maximum(robust_sigmas(seen.logs - optima.fitted(seen), n_parameters), _LEAST_SIGMA)
    return _settle_censored(problem, best, weights, sigmas)


def _settle_seen(problem: Problem, best: Best, n_parameters: int) -> tuple[Floats, Optima]:
    """Weigh samples that aren't censored; wild ones go only when the others' weights have settled."""
    sigmas, weights = np.ones(len(problem.logs)), np.ones_like(problem.logs)
    optima = best(problem, Noise(weights=weights, sigmas=sigmas), None)
    is_weighted = np.zeros(len(weights), dtype=bool)
    for drop_wild in (False, True):
        open_ones = np.arange(len(weights))
        for _ in range(_ROUNDS):
            part = problem.picked(open_ones)
            residuals = part.logs - optima.picked(open_ones).fitted(part)
            new = _keep_determined(part, robust_weights(residuals, n_parameters, drop_wild=drop_wild))
            moves = np.abs(new - weights[open_ones]).max(axis=1) >= _SETTLED
            open_ones, new = open_ones[moves], new[moves]
            if not len(open_ones):
                break
            weights[open_ones], is_weighted[open_ones] = new, True
            noise = Noise(weights=new, sigmas=sigmas[open_ones])
            again = best(problem.picked(open_ones), noise, optima.picked(open_ones))
            optima = optima.replaced(open_ones, again)
    changed = np.flatnonzero(is_weighted)
    if len(changed):
        noise = Noise(weights=weights[changed], sigmas=sigmas[changed])
        optima = optima.replaced(changed, best(problem.picked(changed), noise, None))
    return weights, optima


def _keep_determined(problem: Problem, weights: Floats) -> Floats:
    """Give wild samples back a little weight where a host or a size would lose all it has."""
    for number in np.flatnonzero((weights == 0).any(axis=1)):
        kept = weights[number] > 0
        by_host = kept @ problem.members
        if not (by_host > 0).all() or len(set(problem.steps[kept])) < len(set(problem.steps)):
            weights[number] = np.maximum(weights[number], _LEAST_WEIGHT)
    return weights


def _settle_censored(problem: Problem, best: Best, seen_weights: Floats, sigmas: Floats) -> tuple[Noise, Optima]:
    """Fit with the censored samples, standard deviation and fit in turn; the others' weights stay."""
    seen = ~problem.is_censored
    weights = np.ones_like(problem.logs)
    weights[:, seen] = seen_weights
    noise = Noise(weights=weights, sigmas=sigmas)
    optima = best(problem, noise, None)
    for _ in range(_ROUNDS):
        residuals = problem.logs - optima.fitted(problem)
        shortfall = residuals[:, ~seen] / noise.sigmas[:, None]
        hazard, _ = censored_score(shortfall)
        # the likelihood's own equation for sigma: one made up for the fitted parameters would pull the fit upwards
        samples = weights[:, seen].sum(axis=1) - (hazard * shortfall).sum(axis=1)
        squares = (weights[:, seen] * residuals[:, seen] ** 2).sum(axis=1)
        new = np.maximum(np.sqrt(squares / np.maximum(samples, 1.0)), _LEAST_SIGMA)
        is_settled = bool((np.abs(new - noise.sigmas) < _SETTLED_SIGMA * noise.sigmas).all())
        noise = Noise(weights=weights, sigmas=new)
        if is_settled:
            break
        optima = best(problem, noise, optima)
    return noise, best(problem, noise, None)
