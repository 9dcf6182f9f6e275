"""What the cameras say about the projected joints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor.tensor as pt

from firstgrad.data import IMAGE_HEIGHT, IMAGE_WIDTH
from firstgrad.spec import Missing

if TYPE_CHECKING:
    from firstgrad.data import PoseData


def log_observed(pixels: Any, data: PoseData, obs_sigma: Any, logodds: Any | None, missing: Missing) -> Any:
    """Log-density of the observed points of each timestep.

    Parameters
    ----------
    pixels : tensor, shape (C, T, J, 2)
        Where the model expects the points.
    data : PoseData
        What was seen; a missed point contributes nothing.
    obs_sigma, logodds : tensor
        Pixel noise, and the inlier log-odds (none: every point is an inlier).
    missing : Missing
        ``safe`` replaces missed points by a finite stand-in before any arithmetic. ``naive`` masks them
        afterwards: 0 x NaN is NaN, so the gradient is poisoned although the log-density is finite.

    Returns
    -------
    tensor, shape (T,)
    """
    seen = data.seen
    observed = data.observations
    if missing is Missing.SAFE:
        observed = np.where(seen[..., None], observed, 0.0)
    residual = (pt.constant(observed) - pixels) / obs_sigma
    log_inlier = -0.5 * pt.sum(residual**2, axis=-1) - 2 * pt.log(obs_sigma) - math.log(2 * math.pi)
    if logodds is None:
        log_point = log_inlier
    else:
        log_outlier = -pt.softplus(logodds) - math.log(IMAGE_WIDTH * IMAGE_HEIGHT)
        log_point = pt.logaddexp(-pt.softplus(-logodds) + log_inlier, log_outlier)
    return pt.sum(pt.where(pt.constant(seen), log_point, 0.0), axis=(0, 2))
