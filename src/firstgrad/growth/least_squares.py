"""Least squares of growth laws for given weights: many metrics and exponents at once.

The law is written ``log y = level[host] + log(1 + (exp(g) - 1) * h(c, size))`` with ``h`` going from 0 at the smallest
size to 1 at the largest as ``size ** c`` does. ``g``, the logarithm of the growth over the measured sizes, is well
determined by the ends of the curve and ``c`` by its bend, so the two hardly depend on each other; fixed cost and
constant follow. No fixed cost means ``g = c * span`` (a straight line on log-log axes), and a larger g would mean a
negative one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Numbers = NDArray[np.int64]

EXPONENTS = np.array(
    [0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1, 1.2, 1.4, 1.6, 1.8, 2, 2.3, 2.6, 3, 3.4, 3.8, 4.3, 5, 6, 8]
)
"""Where a bent law's optimum is looked for."""
RANGE = 0.01, 8.0
"""How far the exponent of a bent law is followed."""

SHARED = 1e-9
LEAST = 1e-300
_ASIDE = 1.05
_STEPS, _FEW_STEPS = 60, 4
_LONGEST_STEP = 1.0
_MOST_GROWTH = 30.0
_SETTLED = 1e-10, 1e-10  # the step, and by which share the deviance falls
_SETTLED_LINE = 1e-4, 1e-5
_LEAST_DAMPING, _MOST_DAMPING = 1e-4, 1e8
_N_SHAPE = 2
_FAR = 1e4


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSamples:
    """Logarithms of m metrics at the same n sizes and hosts, and how they are weighed."""

    steps: Floats  # logarithm of each size by the smallest, n
    span: float  # the largest of them
    members: Floats  # 1 where the sample is of that host, n by hosts
    is_censored: NDArray[np.bool_]  # whether the true value lies above, n
    logs: Floats  # m by n
    weights: Floats  # robust ones, m by n
    sigmas: Floats  # standard deviations, m; they matter only where there are censored samples

    @property
    def has_censored(self) -> bool:
        """Whether any sample is."""
        return bool(self.is_censored.any())

    def picked(self, metrics: Numbers) -> LogSamples:
        """Take some of the metrics, or one several times."""
        return replace(self, logs=self.logs[metrics], weights=self.weights[metrics], sigmas=self.sigmas[metrics])

    def seen(self) -> LogSamples:
        """Leave out the censored samples; the span stays."""
        which = ~self.is_censored
        return replace(
            self,
            steps=self.steps[which],
            members=self.members[which],
            is_censored=self.is_censored[which],
            logs=self.logs[:, which],
            weights=self.weights[:, which],
        )

    def condensed(self) -> tuple[LogSamples, Floats]:
        """Put each size's samples on a host together: their weighted mean tells a fit as much as they do.

        Returns also what the deviances then lack: the scatter around the means. With censored samples nothing changes.
        """
        keys = np.column_stack([self.steps, self.members])
        cells, of_sample = np.unique(keys, axis=0, return_inverse=True)
        if self.has_censored or len(cells) == len(keys):
            return self, np.zeros(len(self.logs))
        is_in = (of_sample.ravel()[:, None] == np.arange(len(cells))).astype(float)
        weights = self.weights @ is_in
        means = (self.weights * self.logs) @ is_in / np.maximum(weights, LEAST)
        off = self.logs - means @ is_in.T
        condensed = replace(
            self,
            steps=cells[:, 0],
            members=cells[:, 1:],
            is_censored=np.zeros(len(cells), dtype=bool),
            logs=means,
            weights=weights,
        )
        return condensed, (self.weights * off**2).sum(axis=1)

    def deviances(self, fitted: Floats) -> Floats:
        """Weighted sums of squares, and for censored samples -2 sigma^2 log P(above the bound); m."""
        residuals = self.logs - fitted
        squares: Floats = (self.weights * residuals**2)[:, ~self.is_censored].sum(axis=1)
        if not self.has_censored:
            return squares
        from scipy.special import log_ndtr

        above = log_ndtr(-residuals[:, self.is_censored] / self.sigmas[:, None]).sum(axis=1)
        return squares - 2 * self.sigmas**2 * above

    def working(self, fitted: Floats) -> tuple[Floats, Floats]:
        """Weights and residuals; a censored sample's have its likelihood's slope and curvature."""
        residuals = self.logs - fitted
        if not self.has_censored:
            return self.weights, residuals
        sigmas = self.sigmas[:, None]
        hazard, weight = censored_score(residuals[:, self.is_censored] / sigmas)
        weights = self.weights.copy()
        weights[:, self.is_censored] = weight
        residuals[:, self.is_censored] = sigmas * hazard / weight
        return weights, residuals


def censored_score(shortfall: Floats) -> tuple[Floats, Floats]:
    """Give the normal hazard at `shortfall` (bound less fit, by sigma), and the weight that Newton's step takes."""
    from scipy.special import erfcx

    with np.errstate(divide="ignore", over="ignore"):
        hazard = np.sqrt(2 / np.pi) / erfcx(shortfall / np.sqrt(2))
    # far above the fit the difference drowns in rounding, and its limit is 1
    weight = np.where(shortfall > _FAR, 1.0, hazard * (hazard - shortfall))
    return hazard, np.clip(weight, 1e-12, 1.0)


def fitted_logs(samples: LogSamples, laws: Floats) -> Floats:
    """Give the fitted logarithms, m by n, of laws with or without fixed cost."""
    is_straight = _is_straight(samples, laws)[:, None]
    return np.where(is_straight, _shape(samples, laws, bends=False)[0], _shape(samples, laws, bends=True)[0])


def _is_straight(samples: LogSamples, laws: Floats) -> NDArray[np.bool_]:
    return np.equal(laws[:, 1], laws[:, 0] * samples.span)


def _shape(samples: LogSamples, laws: Floats, *, bends: bool) -> tuple[Floats, Floats]:
    """Give the fitted logarithms (m by n) and their derivatives by the law's parameters (m by n by 2 + hosts)."""
    steps, span, members = samples.steps, samples.span, samples.members
    exponents, growths = laws[:, :1], laws[:, 1:2]
    slopes = np.empty((len(laws), len(steps), laws.shape[1]))
    slopes[:, :, 2:] = members
    if bends:
        held = np.where(np.abs(exponents) < SHARED, SHARED, exponents)
        below, above, grown = np.expm1(held * steps), np.expm1(held * span), np.expm1(growths)
        risen = below / above
        values = np.maximum(1 + grown * risen, LEAST)
        slopes[:, :, 0] = grown * ((below + 1) * steps - risen * (above + 1) * span) / (above * values)
        slopes[:, :, 1] = (grown + 1) * risen / values
        logs = np.log(values)
    else:
        slopes[:, :, 0], slopes[:, :, 1] = steps, 0.0
        logs = exponents * steps
    return logs + laws[:, 2:] @ members.T, slopes


def minimise(
    samples: LogSamples, start: Floats, *, bends: bool = True, holds_exponent: bool = False, steps: int = _STEPS
) -> tuple[Floats, Floats, Floats]:
    """Fit m laws at once by Levenberg and Marquardt's method, each to a metric of the samples.

    `start` has exponents, logarithms of growth and levels (m by 2 + hosts). Without a bend there is no fixed cost, and
    growth follows the exponent. Returns laws, deviances, and covariances: the inverse of the deviance's curvature in
    what isn't held.
    """
    free = np.arange(1 if holds_exponent else 0, start.shape[1])
    if not bends:
        free = free[free != 1]
    settled, gained = _SETTLED_LINE if holds_exponent else _SETTLED
    laws, damping = start.copy(), np.zeros(len(start))
    fitted, slopes = _shape(samples, laws, bends=bends)
    deviances = samples.deviances(fitted)
    for _ in range(steps):
        normal, pulls = _normal_equations(samples, fitted, slopes[:, :, free])
        diagonal = np.einsum("mpp->mp", normal)  # a view
        diagonal += damping[:, None] * diagonal
        moves = np.linalg.solve(normal, pulls)[:, :, 0]
        if bends:  # wild steps of exponent and growth are shortened
            wildest = np.abs(moves[:, free < _N_SHAPE]).max(axis=1, keepdims=True)
            moves *= np.minimum(1.0, _LONGEST_STEP / np.maximum(wildest, LEAST))
        moved = laws.copy()
        moved[:, free] += moves
        if bends:
            moved[:, 0] = np.clip(moved[:, 0], *RANGE)
            moved[:, 1] = np.clip(moved[:, 1], -_MOST_GROWTH, _MOST_GROWTH)
        moved_fitted, moved_slopes = _shape(samples, moved, bends=bends)
        moved_deviances = samples.deviances(moved_fitted)
        is_better = moved_deviances <= deviances * (1 + 1e-12) + 1e-30
        is_done = (np.abs(moved - laws).max(axis=1) < settled) | (damping > _MOST_DAMPING)
        is_done |= is_better & (damping == 0) & (deviances - moved_deviances <= gained * deviances)
        damping = np.where(is_better, np.where(damping > _LEAST_DAMPING, damping / 10, 0.0), 10 * damping + 1e-3)
        laws = np.where(is_better[:, None], moved, laws)
        fitted = np.where(is_better[:, None], moved_fitted, fitted)
        slopes = np.where(is_better[:, None, None], moved_slopes, slopes)
        deviances = np.where(is_better, moved_deviances, deviances)
        if is_done.all():
            break
    if not bends:
        laws[:, 1] = laws[:, 0] * samples.span
    return laws, deviances, np.linalg.inv(_normal_equations(samples, fitted, slopes[:, :, free])[0])


def _normal_equations(samples: LogSamples, fitted: Floats, slopes: Floats) -> tuple[Floats, Floats]:
    weights, residuals = samples.working(fitted)
    pulls = (slopes * weights[:, :, None]).transpose(0, 2, 1)
    normal = pulls @ slopes
    diagonal = np.einsum("mpp->mp", normal)  # a view
    diagonal += np.where(diagonal > LEAST, 1e-13 * diagonal, 1.0)
    return normal, pulls @ residuals[:, :, None]


def find_best(samples: LogSamples, *, bends: bool, start: Floats | None = None) -> Floats:
    """Find the best laws: without fixed cost, or with one of zero or more.

    `start` is that of slightly other weights, from which a few steps go on; without it all of `EXPONENTS` are tried.
    """
    samples, _ = samples.condensed()  # the same best laws, from fewer numbers
    count, span = len(samples.logs), samples.span
    none = np.zeros((count, 2 + samples.members.shape[1]))
    straight, _, _ = minimise(samples, none if start is None else start, bends=False)
    if not bends:
        return straight
    is_straight = straight[:, 1] <= 0
    if start is None:
        lines, deviances, _ = minimise(
            *on_lines(samples, straight, np.tile(EXPONENTS, (count, 1))), holds_exponent=True
        )
        allowed = (lines[:, 1] > 0) & (lines[:, 1] <= lines[:, 0] * span)
        costs = np.where(allowed, deviances, np.inf).reshape(count, -1)
        is_straight |= np.isinf(costs).all(axis=1)
        begun = lines.reshape(count, len(EXPONENTS), -1)[np.arange(count), costs.argmin(axis=1)]
        bent, _, _ = minimise(samples, begun)
    else:
        aside = straight * np.array([_ASIDE] + [1.0] * (straight.shape[1] - 1))
        begun = np.where(_is_straight(samples, start)[:, None], aside, start)
        begun[:, 0] = np.clip(begun[:, 0], *RANGE)
        bent, _, _ = minimise(samples, begun, steps=_FEW_STEPS)
    is_straight |= (bent[:, 1] <= 0) | (bent[:, 1] > bent[:, 0] * span * (1 - SHARED))
    return np.where(is_straight[:, None], straight, bent)


def on_lines(samples: LogSamples, laws: Floats, exponents: Floats) -> tuple[LogSamples, Floats]:
    """Start from m laws at each exponent (m by k): m k samples and laws."""
    metrics = np.repeat(np.arange(len(laws)), exponents.shape[1])
    begun = laws[metrics]
    begun[:, 0] = exponents.ravel()
    begun[:, 1] = np.clip(begun[:, 1], -_MOST_GROWTH, _MOST_GROWTH)
    return samples.picked(metrics), begun
