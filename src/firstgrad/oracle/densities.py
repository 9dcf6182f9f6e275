"""Elementary log-densities and sums in log space, for float64 and, where `logp` is stepped, complex128.

Everything here is analytic in its arguments apart from where a maximum is chosen, and that choice looks at
real parts only; so a complex step through these functions is exact.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

type Numbers = NDArray[Any]
"""float64, or complex128 within `firstgrad.oracle.complex_step_gradient`."""

LOG_2PI = math.log(2 * math.pi)


def normal(x: Numbers, mean: Numbers | float, log_sigma: Numbers | float) -> Numbers:
    """Give the normal log-density of each `x`; the standard deviation comes as its logarithm."""
    z = (x - mean) * np.exp(-log_sigma)
    return -0.5 * z * z - log_sigma - 0.5 * LOG_2PI


def log_half_normal(log_x: Numbers, sigma: float) -> Numbers:
    """Give the log-density of log x where x is half-normal: the Jacobian's `log_x` is included."""
    z = np.exp(log_x) / sigma
    return 0.5 * math.log(2 / math.pi) - math.log(sigma) - 0.5 * z * z + log_x


def log_gamma(log_x: Numbers, shape: float, rate: float) -> Numbers:
    """Give the log-density of log x where x is gamma: the Jacobian's `log_x` is included."""
    return shape * math.log(rate) - math.lgamma(shape) + shape * log_x - rate * np.exp(log_x)


def logaddexp(a: Numbers | float, b: Numbers | float) -> Numbers:
    """Add in log space; `numpy.logaddexp` knows no complex numbers."""
    a, b = np.broadcast_arrays(a, b)
    first = a.real >= b.real
    return np.where(first, a, b) + np.log1p(np.exp(np.where(first, b - a, a - b)))


def logsumexp(x: Numbers, axis: int) -> Numbers:
    """Sum in log space along an axis; a sum of nothing but ``-inf`` is ``-inf``."""
    largest = np.max(x.real, axis=axis, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore"):
        total: Numbers = np.log(np.sum(np.exp(x - largest), axis=axis)) + np.squeeze(largest, axis=axis)
    return total


def log_softmax(logits: Numbers) -> Numbers:
    """Normalise along the last axis in log space."""
    return logits - logsumexp(logits, axis=-1)[..., None]
