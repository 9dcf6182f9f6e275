"""The best laws for given weights: straight on log-log axes, or bent by a fixed cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from firstgrad.analysis.growth_lines import Lines, deviance, free_lines, straight_line, working
from firstgrad.analysis.growth_problem import condense

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from firstgrad.analysis.growth_problem import Noise, Problem

    Floats = NDArray[np.float64]

EXPONENTS = np.array(
    [0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1, 1.2, 1.4, 1.6, 1.8, 2, 2.3, 2.6, 3, 3.4, 3.8, 4.3, 5, 6, 8]
)
"""Where a bent law's optimum is looked for, and how far its exponent's interval is followed."""
_STEPS = 60
_FEW_STEPS = 3
_HALVINGS = 7
_LONGEST_STEP = 0.7
_ASIDE = 1.05
_SHARED = 1e-9
_FLAT = 1e-14
_SETTLED = 1e-10  # of the step, and of the cost by itself
_LEAST = 1e-300
_MOST_SHRINKING = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Optima:
    """The best laws of m metrics.

    Attributes
    ----------
    exponents, growths : array of float, m
        c and g of `firstgrad.analysis.growth_lines`.
    levels : array of float, m by hosts
        Logarithms of the value at the smallest size.
    exponent_variances : array of float, m
        Inverse of the deviance's curvature along the exponent (growth and levels following); infinite where flat.
    is_straight : array of bool, m
        Whether it has no fixed cost.
    """

    exponents: Floats
    growths: Floats
    levels: Floats
    exponent_variances: Floats
    is_straight: NDArray[np.bool_]

    def fitted(self, problem: Problem) -> Floats:
        """Give the fitted logarithms, m by n."""
        bent, _, _ = _shape(problem, self.exponents, self.growths)
        straight = self.exponents[:, None] * problem.steps
        fitted: Floats = self.levels @ problem.members.T + np.where(self.is_straight[:, None], straight, bent)
        return fitted

    def picked(self, metrics: NDArray[np.int64]) -> Optima:
        """Take some of the metrics."""
        return Optima(
            exponents=self.exponents[metrics],
            growths=self.growths[metrics],
            levels=self.levels[metrics],
            exponent_variances=self.exponent_variances[metrics],
            is_straight=self.is_straight[metrics],
        )

    def replaced(self, metrics: NDArray[np.int64], others: Optima) -> Optima:
        """Put others in place of some of the metrics."""
        made = Optima(
            exponents=self.exponents.copy(),
            growths=self.growths.copy(),
            levels=self.levels.copy(),
            exponent_variances=self.exponent_variances.copy(),
            is_straight=self.is_straight.copy(),
        )
        made.exponents[metrics], made.growths[metrics] = others.exponents, others.growths
        made.levels[metrics], made.exponent_variances[metrics] = others.levels, others.exponent_variances
        made.is_straight[metrics] = others.is_straight
        return made


def best_straight(problem: Problem, noise: Noise, start: Optima | None = None) -> Optima:
    """Find the best laws without fixed cost."""
    line = straight_line(problem, noise, start.exponents if start else np.zeros(len(problem.logs)))
    return Optima(
        exponents=line.exponents[:, 0],
        growths=line.growths[:, 0],
        levels=line.levels[:, 0],
        exponent_variances=line.growth_variances[:, 0] / problem.span**2,
        is_straight=np.ones(len(problem.logs), dtype=bool),
    )


def best_bent(problem: Problem, noise: Noise, start: Optima | None = None) -> Optima:
    """Find the best laws with a fixed cost of zero or more.

    Parameters
    ----------
    problem, noise
        What is fitted.
    start : Optima, optional
        For slightly other weights, from which a few steps go on; where left out, all of `EXPONENTS` are tried.
    """
    problem, noise, _ = condense(problem, noise)  # the same best laws, from fewer numbers
    straight = best_straight(problem, noise, start)
    is_straight = straight.growths <= 0
    if start is None:
        exponents = np.tile(EXPONENTS, (len(problem.logs), 1))
        lines = free_lines(problem, noise, exponents, np.repeat(straight.growths[:, None], len(EXPONENTS), axis=1))
        allowed = (lines.growths > 0) & (lines.growths <= exponents * problem.span)
        is_straight |= ~allowed.any(axis=1)
        begun = _line(lines, np.argmin(np.where(allowed, lines.deviances, np.inf), axis=1))
        bent = _improved(problem, noise, begun, _STEPS)
    else:
        aside = start.is_straight
        begun = Optima(
            exponents=np.clip(np.where(aside, straight.exponents * _ASIDE, start.exponents), *EXPONENTS[[0, -1]]),
            growths=np.where(aside, straight.growths, start.growths),
            levels=np.where(aside[:, None], straight.levels, start.levels),
            exponent_variances=start.exponent_variances,
            is_straight=np.zeros_like(aside),
        )
        bent = _improved(problem, noise, begun, _FEW_STEPS)
    is_straight |= (bent.growths <= 0) | (bent.growths > bent.exponents * problem.span * (1 - _SHARED))
    chosen = np.flatnonzero(is_straight)
    held = straight.picked(chosen)
    return bent.replaced(chosen, _with_variances(held, problem.picked(chosen), noise.picked(chosen)))


def _line(lines: Lines, chosen: NDArray[np.int64]) -> Optima:
    metrics = np.arange(len(chosen))
    return Optima(
        exponents=lines.exponents[metrics, chosen],
        growths=lines.growths[metrics, chosen],
        levels=lines.levels[metrics, chosen],
        exponent_variances=np.full(len(chosen), np.inf),
        is_straight=np.zeros(len(chosen), dtype=bool),
    )


def _improved(problem: Problem, noise: Noise, start: Optima, steps: int) -> Optima:
    """Gauss and Newton's method in exponent, growth and levels; a step that makes it worse is halved."""
    exponents, growths, levels = start.exponents, start.growths, start.levels
    fitted, by_exponent, by_growth = _shape(problem, exponents, growths)
    costs = _costs(problem, noise, levels, fitted)
    variances, is_done = np.full(len(exponents), np.inf), np.zeros(len(exponents), dtype=bool)
    for _ in range(steps):
        weights, residuals = working(problem, noise, problem.logs - levels @ problem.members.T - fitted)
        normal = _normal_equations(problem, weights, by_exponent, by_growth)
        is_done |= normal.is_flat
        variances = np.where(normal.is_flat, variances, normal.exponent_variances)
        pulls = normal.solved(residuals, weights @ problem.members, problem.members, weights)
        length = np.where(is_done, 0.0, 1.0)
        for halving in range(_HALVINGS + 1):
            moved = [length * pulls[0], length * pulls[1], length[:, None] * pulls[2]]
            new_exponents = np.minimum(np.maximum(exponents + moved[0], EXPONENTS[0]), EXPONENTS[-1])
            new_growths, new_levels = np.maximum(growths + moved[1], -_MOST_SHRINKING), levels + moved[2]
            shaped = _shape(problem, new_exponents, new_growths)
            new_costs = _costs(problem, noise, new_levels, shaped[0])
            is_worse = new_costs > costs * (1 + 1e-12) + 1e-30
            if not is_worse.any():
                break
            length[is_worse] = length[is_worse] / 2 if halving < _HALVINGS - 1 else 0.0
        largest = np.maximum(np.abs(new_exponents - exponents), np.abs(moved[1]))
        largest = np.maximum(largest, np.abs(moved[2]).max(axis=1))
        is_done |= costs - new_costs <= _SETTLED * costs
        exponents, growths, levels, costs = new_exponents, new_growths, new_levels, new_costs
        fitted, by_exponent, by_growth = shaped
        is_done |= (largest < _SETTLED) | (growths > exponents * problem.span)  # beyond: a negative fixed cost
        if is_done.all():
            break
    return Optima(
        exponents=exponents,
        growths=growths,
        levels=levels,
        exponent_variances=variances,
        is_straight=np.zeros_like(is_done),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Normal:
    """Gauss and Newton's equations of m metrics, the levels taken out."""

    tilts: tuple[Floats, Floats]
    across: tuple[Floats, Floats]
    bends: Floats
    mixed: Floats
    grows: Floats
    determinants: Floats

    @property
    def is_flat(self) -> NDArray[np.bool_]:
        flat: NDArray[np.bool_] = ~(self.determinants > _FLAT * self.bends * self.grows)
        return flat

    @property
    def exponent_variances(self) -> Floats:
        return np.where(self.is_flat, np.inf, self.grows / np.where(self.is_flat, 1.0, self.determinants))

    def solved(self, residuals: Floats, by_host: Floats, members: Floats, weights: Floats) -> tuple[Floats, ...]:
        """Give the steps of exponent, growth and levels, shortened where they are wild."""
        by_bend, by_growth = (_rowwise(weights * each, residuals) for each in self.across)
        determinants = np.where(self.is_flat, 1.0, self.determinants)
        bend = (self.grows * by_bend - self.mixed * by_growth) / determinants
        growth = (self.bends * by_growth - self.mixed * by_bend) / determinants
        largest = np.maximum(np.maximum(np.abs(bend), np.abs(growth)), _LEAST)
        shorter = np.where(self.is_flat, 0.0, np.minimum(1.0, _LONGEST_STEP / largest))
        bend, growth = bend * shorter, growth * shorter
        shift = (weights * residuals) @ members / by_host
        return bend, growth, shift - self.tilts[0] * bend[:, None] - self.tilts[1] * growth[:, None]


def _normal_equations(problem: Problem, weights: Floats, by_exponent: Floats, by_growth: Floats) -> _Normal:
    by_host = weights @ problem.members
    tilts = tuple((weights * each) @ problem.members / by_host for each in (by_exponent, by_growth))
    bend, growth = by_exponent - tilts[0] @ problem.members.T, by_growth - tilts[1] @ problem.members.T
    pulled = weights * bend
    bends, mixed, grows = _rowwise(pulled, bend), _rowwise(pulled, growth), _rowwise(weights * growth, growth)
    return _Normal(
        tilts=(tilts[0], tilts[1]),
        across=(bend, growth),
        bends=bends,
        mixed=mixed,
        grows=grows,
        determinants=bends * grows - mixed**2,
    )


def _shape(problem: Problem, exponents: Floats, growths: Floats) -> tuple[Floats, Floats, Floats]:
    """Give the logarithms of the shape, and their derivatives by exponent and growth, m by n."""
    held = np.where(np.abs(exponents) < _SHARED, _SHARED, exponents)
    below, above = np.expm1(held[:, None] * problem.steps), np.expm1(held * problem.span)[:, None]
    risen = below / above
    bend = ((below + 1) * problem.steps - risen * (above + 1) * problem.span) / above
    grown = np.expm1(growths)[:, None]
    value = np.maximum(1 + grown * risen, _LEAST)
    return np.log(value), grown * bend / value, (grown + 1) * risen / value


def _costs(problem: Problem, noise: Noise, levels: Floats, fitted: Floats) -> Floats:
    return deviance(problem, noise, problem.logs - levels @ problem.members.T - fitted)


def _with_variances(straight: Optima, problem: Problem, noise: Noise) -> Optima:
    """Give straight optima the variances that their exponents have where a fixed cost is allowed."""
    _, by_exponent, by_growth = _shape(problem, straight.exponents, straight.growths)
    weights, _ = working(problem, noise, problem.logs - straight.fitted(problem))
    normal = _normal_equations(problem, weights, by_exponent, by_growth)
    return Optima(
        exponents=straight.exponents,
        growths=straight.growths,
        levels=straight.levels,
        exponent_variances=normal.exponent_variances,
        is_straight=straight.is_straight,
    )


def _rowwise(one: Floats, other: Floats) -> Floats:
    products: Floats = np.einsum("kn,kn->k", one, other)
    return products
