"""The laws that samples don't rule out, and from them an interval of anything that a law says.

A profile likelihood: the interval of a quantity is its range over all parameters whose deviance exceeds the least one
by less than the threshold of one degree of freedom (Venzon and Moolgavkar, Applied Statistics 37, 1988; with t squared
in place of chi squared, as the variance is estimated: Bates and Watts, Nonlinear Regression Analysis, 6.1). Unlike a
bootstrap's it needs no random numbers, holds its level with few samples, takes censored ones, and knows no negative
fixed cost. Measured beside the percentile bootstrap of inflated residuals (15 samples, 120 seeds, 95 %), that one's
intervals held the planted law in 89 to 93 %, these in 93 to 96 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from firstgrad.analysis.growth_law import Interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Quantity = Callable[[Floats, Floats, Floats], Floats]

_SLACK = 1e-9
_NUDGE = 1e-12
_SMALL = 1e-3
_LEAST = 1e-300
_SIGNS = np.array([[-1.0], [0.0], [1.0]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The parameters within the threshold: an ellipse of growth and levels on each of k lines of constant exponent.

    Attributes
    ----------
    best : tuple of float, float, tuple of float
        Exponent, logarithm of growth, and levels (logarithms of the values at the smallest size) of the best law.
    smallest_size : float
        At which levels are.
    span : float
        Logarithm of the largest size by the smallest.
    exponent : Interval
        Of c.
    exponents, growths, radii : array of float, k
        Exponent, best logarithm of growth, and by how much the threshold exceeds the line's deviance.
    levels : array of float, k by hosts
        Best logarithms of the values at the smallest size.
    growth_variances, covariances, level_variances : array of float
        As in `firstgrad.analysis.growth_lines.Lines`.
    """

    best: tuple[float, float, tuple[float, ...]]
    smallest_size: float
    span: float
    exponent: Interval
    exponents: Floats
    growths: Floats
    radii: Floats
    levels: Floats
    growth_variances: Floats
    covariances: Floats
    level_variances: Floats

    def growth(self) -> Interval:
        """Give the growth over the measured sizes."""
        return self._exponential(lambda _, growths, levels: growths + 0 * levels, 0, follows_level=False)

    def constant(self, host: int) -> Interval:
        """Give b of ``a + b * size ** c`` on one host (by number)."""
        away = np.log(self.smallest_size)

        def log_constant(exponents: Floats, growths: Floats, levels: Floats) -> Floats:
            with np.errstate(divide="ignore"):
                logs: Floats = levels + np.log(self._growing_share(exponents, growths)) - exponents * away
            return logs

        return self._exponential(log_constant, host)

    def fixed_cost(self, host: int) -> Interval:
        """Give a of ``a + b * size ** c`` on one host (by number)."""

        def fixed(exponents: Floats, growths: Floats, levels: Floats) -> Floats:
            costs: Floats = np.exp(levels) * np.maximum(1 - self._growing_share(exponents, growths), 0.0)
            return costs

        return self._range(fixed, host, lambda costs: costs)

    def band(
        self, sizes: tuple[float, ...], host: int
    ) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
        """Give the curve on one host (by number): values, lows, highs."""
        found = [self._exponential(self._log_value_at(size), host) for size in sizes]
        return (
            tuple(each.value for each in found),
            tuple(each.low for each in found),
            tuple(each.high for each in found),
        )

    def _log_value_at(self, size: float) -> Quantity:
        step = np.log(size / self.smallest_size)

        def log_value(exponents: Floats, growths: Floats, levels: Floats) -> Floats:
            held = np.where(exponents == 0, 1.0, exponents)
            risen = np.expm1(held * step) / np.expm1(held * self.span)
            bent = np.log1p(np.maximum(np.expm1(growths) * risen, -1 + _SLACK))
            logs: Floats = levels + np.where(_is_straight(exponents, growths, self.span), exponents * step, bent)
            return logs

        return log_value

    def _growing_share(self, exponents: Floats, growths: Floats) -> Floats:
        """Give the share of the value at the smallest size that is no fixed cost."""
        with np.errstate(over="ignore"):
            bent = np.expm1(growths) / np.expm1(np.where(exponents == 0, 1.0, exponents) * self.span)
        return np.where(_is_straight(exponents, growths, self.span), 1.0, bent)

    def _exponential(self, quantity: Quantity, host: int, *, follows_level: bool = True) -> Interval:
        """Give the interval of a quantity of which the logarithm is given."""
        found = self._range(quantity, host, np.ones_like if follows_level else np.zeros_like)
        with np.errstate(over="ignore"):
            return Interval(*(float(np.exp(each)) for each in (found.value, found.low, found.high)))

    def _range(self, quantity: Quantity, host: int, by_level: Callable[[Floats], Floats]) -> Interval:
        """Find a quantity's range over the ellipses: at their centres, and where they reach farthest along it.

        `by_level` gives its derivative by the level, from its values.
        """
        exponent, growth, best_levels = self.best
        value = float(quantity(np.array([exponent]), np.array([growth]), np.array([best_levels[host]]))[0])
        if not len(self.exponents):
            return Interval(value, value, value)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = self._extremes(quantity, host, by_level)
        return Interval(value, min(value, found.min(initial=np.inf)), max(value, found.max(initial=-np.inf)))

    def _extremes(self, quantity: Quantity, host: int, by_level: Callable[[Floats], Floats]) -> Floats:
        levels, covariances = self.levels[:, host], self.covariances[:, host]
        nudge = _NUDGE + _SMALL * np.sqrt(self.growth_variances * self.radii)
        nudged = np.stack([self.growths - nudge, self.growths, self.growths + nudge])
        behind, centre, ahead = quantity(self.exponents, nudged, levels)
        is_held = self.growth_variances == 0
        along = np.where(is_held, 0.0, (ahead - behind) / (2 * nudge))
        beside = by_level(centre)
        to_growth = self.growth_variances * along + covariances * beside
        to_level = covariances * along + self.level_variances[:, host] * beside
        reach = _SIGNS * np.sqrt(self.radii / np.maximum(to_growth * along + to_level * beside, _LEAST))
        growths = self.growths + reach * to_growth
        reached = quantity(self.exponents, growths, levels + reach * to_level)
        allowed = is_held | ((growths >= 0) & (growths <= self.exponents * self.span))
        kept: Floats = reached[allowed & np.isfinite(reached)]
        return kept


def _is_straight(exponents: Floats, growths: Floats, span: float) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = np.abs(growths - exponents * span) <= _SLACK * np.maximum(1.0, np.abs(growths))
    return flags
