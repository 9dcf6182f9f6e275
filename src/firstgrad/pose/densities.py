"""Parts of the pose model's density in NumPy alone: elementary densities, geometry, the hidden Markov model.

Everything is analytic in its arguments apart from where a maximum is chosen, and that choice looks at real parts
only; so a complex step through these functions is exact. In the hidden Markov model weights are logarithms and need not
be normalised; a weight of ``-inf`` forbids a start or a step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstgrad.pose.data import MIN_DEPTH, UNIT_EPSILON

type Numbers = NDArray[Any]
"""float64, or complex128 within `firstgrad.pose.oracle.complex_step_gradient`."""

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


@dataclass(frozen=True, slots=True, eq=False)
class UnitDirection:
    """Vectors brought to length one (nearly: `UNIT_EPSILON` is added under the root)."""

    value: Numbers  # shape (..., 3): the unit vectors
    norm: Numbers  # shape (..., 1): what the raw ones were divided by

    def pull_back(self, by_value: Numbers) -> Numbers:
        """Turn a derivative by the unit vectors into one by the raw ones."""
        along = np.sum(self.value * by_value, axis=-1, keepdims=True)
        by_raw: Numbers = (by_value - self.value * along) / self.norm
        return by_raw


def unit(raw: Numbers) -> UnitDirection:
    """Normalise along the last axis."""
    norm = np.sqrt(np.sum(raw * raw, axis=-1, keepdims=True) + UNIT_EPSILON)
    return UnitDirection(raw / norm, norm)


def follow(x_root: Numbers, offsets: Numbers, parents: Numbers) -> Numbers:
    """Give the joints' positions, shape (T, J, 3), from the bones' offsets, shape (T, K, 3)."""
    positions = np.empty((len(x_root), len(parents), 3), dtype=np.result_type(x_root, offsets))
    positions[:, 0] = x_root
    for joint in range(1, len(parents)):
        positions[:, joint] = positions[:, parents[joint]] + offsets[:, joint - 1]
    return positions


def follow_back(by_position: Numbers, parents: Numbers) -> tuple[Numbers, Numbers]:
    """Turn a derivative by positions into those by the root's position and by the bones' offsets."""
    total = by_position.copy()
    for joint in range(len(parents) - 1, 0, -1):
        total[:, parents[joint]] += total[:, joint]
    return total[:, 0], total[:, 1:]


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Joints as the cameras see them."""

    pixels: Numbers  # shape (C, T, J, 2): where they appear
    depth: Numbers  # shape (C, T, J, 1): what was divided by, at least `MIN_DEPTH`
    is_in_front: Numbers  # shape (C, T, J, 1): whether that was the true depth

    def pull_back(self, by_pixel: Numbers, cameras: Numbers) -> Numbers:
        """Turn a derivative by pixels into one by positions, shape (T, J, 3)."""
        by_plane = by_pixel / self.depth
        by_depth = -np.sum(by_plane * self.pixels, axis=-1, keepdims=True) * self.is_in_front
        by_seen = np.concatenate([by_plane, by_depth], axis=-1)
        by_position: Numbers = (by_seen @ cameras[:, None, :, :3]).sum(axis=0)
        return by_position


def project(positions: Numbers, cameras: Numbers) -> Projection:
    """Project joints, shape (T, J, 3), by cameras, shape (C, 3, 4)."""
    seen = positions @ cameras[:, None, :, :3].swapaxes(-1, -2) + cameras[:, None, None, :, 3]
    depth = seen[..., 2:]
    is_in_front = depth.real > MIN_DEPTH
    depth = np.where(is_in_front, depth, MIN_DEPTH)
    return Projection(seen[..., :2] / depth, depth, is_in_front)


def log_marginal(log_init: Numbers, log_trans: Numbers, emissions: Numbers) -> np.inexact[Any]:
    """Sum the hidden states out by the forward algorithm in log space.

    Shapes: `log_init` (S,), `log_trans` (S, S), `emissions` (T, S). Returns complex where an argument is, so that it
    can be differentiated by a complex step.
    """
    return _scalar(logsumexp(_forward(log_init, log_trans, emissions)[-1], axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """The gradient of `log_marginal`."""

    log_marginal: float  # the marginal itself
    gamma: NDArray[np.float64]
    """shape (T, S): probability of each state at each time: the derivative by the emissions; its first row is that by
    the initial log-weights.
    """
    xi: NDArray[np.float64]
    """shape (S, S): expected number of steps between each two states: the derivative by the transition log-weights."""


def posterior(
    log_init: NDArray[np.float64], log_trans: NDArray[np.float64], emissions: NDArray[np.float64]
) -> Posterior:
    """Run the forward and backward algorithms."""
    alpha = _forward(log_init, log_trans, emissions)
    beta = np.zeros_like(alpha)
    for time in range(len(emissions) - 1, 0, -1):
        beta[time - 1] = logsumexp(log_trans + (emissions[time] + beta[time]), axis=1)
    total = float(logsumexp(alpha[-1], axis=0))
    ahead = (emissions + beta)[1:]
    steps = alpha[:-1, :, None] + log_trans + ahead[:, None, :] - total
    return Posterior(total, gamma=np.exp(alpha + beta - total), xi=np.exp(steps).sum(axis=0))


def _scalar(total: Numbers) -> np.inexact[Any]:
    number: np.inexact[Any] = total.dtype.type(total)
    return number


def _forward(log_init: Numbers, log_trans: Numbers, emissions: Numbers) -> Numbers:
    alpha = np.empty(emissions.shape, dtype=np.result_type(log_init, log_trans, emissions))
    alpha[0] = log_init + emissions[0]
    for time in range(1, len(emissions)):
        alpha[time] = logsumexp(alpha[time - 1][:, None] + log_trans, axis=0) + emissions[time]
    return alpha
