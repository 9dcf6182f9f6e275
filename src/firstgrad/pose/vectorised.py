"""The pose model with one array a quantity: no loop over bones, states or cameras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from firstgrad.pose.data import MIN_DEPTH, ancestor_matrix
from firstgrad.pose.per_joint import markov_terms, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from firstgrad.pose.spec import PoseSpec


def bones(spec: PoseSpec, rho: Any, sigma2: Any) -> tuple[Any, Any]:
    """Directions (T, K, 3) and lengths (T, K) of all bones."""
    steps, n_bones = spec.n_timesteps, spec.n_directions
    raw = pm.Normal("raw_u", 0.0, 1.0, shape=(steps, n_bones, 3))
    length = pm.Normal("length", rho, pt.sqrt(sigma2), shape=(steps, n_bones))
    return unit(raw), length


def positions(spec: PoseSpec, x_root: Any, directions: Any, lengths: Any) -> Any:
    """Joint positions, (T, J, 3): one product with the skeleton's ancestor matrix."""
    offsets = lengths[..., None] * directions
    ancestors = pt.constant(ancestor_matrix(spec.joint_parents))
    return x_root[:, None, :] + pt.matmul(ancestors, offsets)


def project(positions: Any, cameras: NDArray[np.float64]) -> Any:
    """Pixels, (C, T, J, 2): one matrix product for all cameras."""
    n_cameras = cameras.shape[0]
    steps, joints = positions.type.shape[:2]
    rotation = pt.constant(cameras[:, :, :3].reshape(n_cameras * 3, 3).T)
    shift = pt.constant(cameras[:, :, 3].reshape(n_cameras * 3))
    seen = (pt.dot(positions.reshape((steps * joints, 3)), rotation) + shift).reshape((steps, joints, n_cameras, 3))
    pixels = seen[..., :2] / pt.maximum(seen[..., 2:], MIN_DEPTH)
    return pixels.transpose(2, 0, 1, 3)


def hmm_terms(spec: PoseSpec, directions: Any) -> tuple[Any, Any, Any]:
    """Emissions (T, S), log of the initial (S,) and of the transition probabilities (S, S)."""
    if spec.hmm is None:  # pragma: no cover - the factory asks first
        raise ValueError("this spec has no HMM")
    n_states, steps, n_bones = spec.hmm.n_states, spec.n_timesteps, spec.n_directions
    mu = unit(pm.Normal("hmm_mu_raw", 0.0, 1.0, shape=(n_states, spec.n_joints, 3)))
    kappa = pm.HalfNormal("hmm_kappa", np.float64(spec.priors.kappa_sigma), shape=(n_states, spec.n_joints))
    # The root's direction is zero, so its row of parameters is left out of the product.
    weights = (kappa[:, 1:, None] * mu[:, 1:, :]).reshape((n_states, n_bones * 3))
    emissions = pt.dot(directions.reshape((steps, n_bones * 3)), weights.T)
    return emissions, *markov_terms(spec)
