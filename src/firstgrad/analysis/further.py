"""How many more samples would decide a comparison."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firstgrad.analysis.noise import Noise
    from firstgrad.analysis.ratio_estimate import RatioFit
    from firstgrad.analysis.thresholds import Thresholds

MOST = 500
_POWER = 0.8
_SAME_ERROR = 0.05


def count_further(
    fit: RatioFit, noise: Noise, thresholds: Thresholds, *, share: float = 1.0, looks: int = 1
) -> int | None:
    """Count how many more samples of each side would decide, with four chances in five.

    By the normal approximation: were the ratio what it is estimated to be, and the spread too, so many samples would
    show that it isn't 1, or that it is within the margin of equality, whichever takes fewer.

    Parameters
    ----------
    fit : RatioFit
        What is known so far.
    noise : Noise
        A change by less is none.
    thresholds : Thresholds
        By which rules.
    share : float
        Which part of the error probability the other comparisons leave to this one.
    looks : int
        How often the comparison will be looked at in all.

    Returns
    -------
    int, optional
        At least 1; none where it would be more than 500.
    """
    if not fit.has_interval or fit.samples < thresholds.least_samples:
        return max(thresholds.least_samples - fit.samples, 1)
    from scipy.special import ndtri

    away, margin = abs(fit.log_ratio), math.log(thresholds.margin(noise.factor))
    spread = fit.standard_error * math.sqrt(fit.samples)
    error, odds = (1 - thresholds.confidence) * share / looks, float(ndtri(_POWER))
    steps = []
    if away > math.log(noise.factor):
        steps.append(away / (odds - float(ndtri(error / 2))))
    if away < margin:
        steps.append((margin - away) / (odds - float(ndtri(_SAME_ERROR / looks / 2))))
    needed = (spread / max(steps)) ** 2 if steps else math.inf
    return max(math.ceil(needed) - fit.samples, 1) if needed - fit.samples <= MOST else None
