"""How far samples scatter around a law: robust weights, and the variance that intervals go by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EXACT = 1e-9
"""Scatter of logarithms below which a metric is deterministic and its law exact."""
_LEAST_FREEDOM = 4
_TWO_SIGMA = 0.97725
_WILD = 2.5
_MAD_EFFICIENCY = 0.37
_NORMAL_MAD = 1.4826
_MISFIT = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """The variance of the logarithms, for thresholds of deviances.

    Attributes
    ----------
    variance : float
        Of a sample of weight 1.
    freedom : float
        Degrees of freedom behind it.
    """

    variance: float
    freedom: float

    def threshold(self, confidence: float) -> float:
        """Give by how much a deviance may exceed its least: t squared, in the variance's unit."""
        from scipy.special import stdtrit

        return self.variance * float(stdtrit(self.freedom, 0.5 + confidence / 2)) ** 2


def robust_sigmas(residuals: Floats, n_parameters: int) -> Floats:
    """Estimate standard deviations (m) from the median absolute residuals (m by n), made up for fitted parameters."""
    count = residuals.shape[1]
    sigmas: Floats = _NORMAL_MAD * np.median(np.abs(residuals), axis=1) * np.sqrt(count / max(count - n_parameters, 1))
    return sigmas


def robust_weights(residuals: Floats, n_parameters: int, *, drop_wild: bool) -> Floats:
    """Weigh samples by Huber's function: 1 up to twice the robust standard deviation, then falling.

    With few samples that deviation is itself uncertain, so that it takes more of them, by Student's distribution. With
    fewer than 4 degrees of freedom nobody can say which sample is the wild one, and where more than half of the samples
    fit exactly the others' misfit is no noise: then all weigh the same.

    Parameters
    ----------
    residuals : array of float, m by n
        Of samples that aren't censored.
    n_parameters : int
        How many were fitted.
    drop_wild : bool
        Whether samples beyond 2.5 times that limit (5 standard deviations, of many) weigh nothing at all.
    """
    freedom = residuals.shape[1] - n_parameters
    if freedom < _LEAST_FREEDOM:
        return np.ones_like(residuals)
    from scipy.special import stdtrit

    sigmas = robust_sigmas(residuals, n_parameters)[:, None]
    pull = float(stdtrit(_MAD_EFFICIENCY * freedom, _TWO_SIGMA))
    far = np.abs(residuals) / np.maximum(sigmas, EXACT)
    weights: Floats = pull / np.maximum(far, pull)
    if drop_wild:
        weights[far > _WILD * pull] = 0.0
    return np.where(sigmas < EXACT, 1.0, weights)


def scatter_around(residuals: Floats, weights: Floats, cells: NDArray[np.int64], n_parameters: int) -> Scatter:
    """Estimate the variance that intervals go by.

    That of Huber's estimator (Huber, Robust Statistics, 7.6), unless repeated samples of one size agree with each
    other far better than with the law (test for lack of fit at 1 %; Draper and Smith, Applied Regression Analysis,
    2.1): then the law's misfit is the error, and a size counts once, however often it was measured.

    Parameters
    ----------
    residuals, weights : array of float
        Of samples that aren't censored.
    cells : array of int
        Number of each sample's size and host.
    n_parameters : int
        How many were fitted.
    """
    from scipy.special import fdtrc

    kept = weights > 0
    residuals, weights, cells = residuals[kept], weights[kept], cells[kept]
    freedom = max(len(residuals) - n_parameters, 1)
    unpulled = max(float(np.mean(weights > 1 - EXACT)), 0.5)
    correction = 1 + n_parameters / len(residuals) * (1 - unpulled) / unpulled
    squares = float((weights**2 * residuals**2).sum()) / freedom
    variance = squares * (correction / unpulled) ** 2 * float(weights.mean())
    scatter = Scatter(variance=variance, freedom=freedom)
    by_cell = np.bincount(cells, weights)
    used = by_cell > 0
    means = np.bincount(cells, weights * residuals)[used] / by_cell[used]
    misfit_freedom, repeat_freedom = len(means) - n_parameters, len(residuals) - len(means)
    if misfit_freedom < 1 or repeat_freedom < 1:
        return scatter
    misfit = float(by_cell[used] @ means**2)
    repeats = max(float(weights @ residuals**2) - misfit, 0.0)
    mean_misfit, mean_repeat = misfit / misfit_freedom, repeats / repeat_freedom
    if mean_misfit <= EXACT**2:
        return scatter
    is_misfit = mean_repeat <= EXACT**2 or fdtrc(misfit_freedom, repeat_freedom, mean_misfit / mean_repeat) < _MISFIT
    return Scatter(variance=mean_misfit, freedom=misfit_freedom) if is_misfit else scatter
