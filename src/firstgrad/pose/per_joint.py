"""The pose model as a user first writes it: one variable group a bone, Python loops over joints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from firstgrad.pose.data import MIN_DEPTH, UNIT_EPSILON

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from firstgrad.pose.spec import PoseSpec


def bones(spec: PoseSpec, rho: Any, sigma2: Any) -> tuple[list[Any], list[Any]]:
    """Directions (T, 3) and lengths (T,) of each bone."""
    steps, numbers = spec.n_timesteps, range(1, spec.n_directions + 1)
    raw = [pm.Normal(f"raw_u_{k}", 0.0, 1.0, shape=(steps, 3)) for k in numbers]
    lengths = [pm.Normal(f"length_{k}", rho[k - 1], pt.sqrt(sigma2[k - 1]), shape=(steps,)) for k in numbers]
    return [unit(each) for each in raw], lengths


def positions(spec: PoseSpec, x_root: Any, directions: list[Any], lengths: list[Any]) -> Any:
    """Joint positions, (T, J, 3): each bone from its parent's end."""
    joints = [x_root]
    for joint, parent in enumerate(spec.joint_parents[1:], start=1):
        joints.append(joints[parent] + lengths[joint - 1][:, None] * directions[joint - 1])
    return pt.stack(joints, axis=1)


def project(positions: Any, cameras: NDArray[np.float64]) -> Any:
    """Pixels, (C, T, J, 2)."""
    homogeneous = pt.concatenate([positions, pt.ones_like(positions[..., :1])], axis=-1)
    seen = pt.einsum("cij,tkj->ctki", pt.constant(cameras), homogeneous)
    return seen[..., :2] / pt.maximum(seen[..., 2:], MIN_DEPTH)


def hmm_terms(spec: PoseSpec, directions: list[Any]) -> tuple[Any, Any, Any]:
    """Emissions (T, S), log of the initial (S,) and of the transition probabilities (S, S)."""
    if spec.hmm is None:  # pragma: no cover - the factory asks first
        raise ValueError("this spec has no HMM")
    states, joints = range(spec.hmm.n_states), range(spec.n_joints)
    mu = {(s, j): unit(pm.Normal(f"hmm_mu_raw_s{s}_j{j}", 0.0, 1.0, shape=(3,))) for s in states for j in joints}
    kappa = {
        (s, j): pm.HalfNormal(f"hmm_kappa_s{s}_j{j}", np.float64(spec.priors.kappa_sigma))
        for s in states
        for j in joints
    }
    # Joint 0 is the root: its direction is zero, so its row of parameters adds nothing.
    emissions = [
        sum(kappa[s, j] * pt.sum(directions[j - 1] * mu[s, j], axis=-1) for j in joints if j > 0) for s in states
    ]
    return pt.stack(emissions, axis=1), *markov_terms(spec)


def markov_terms(spec: PoseSpec) -> tuple[Any, Any]:
    """Log of the initial (S,) and of the transition probabilities (S, S)."""
    if spec.hmm is None:  # pragma: no cover - the factory asks first
        raise ValueError("this spec has no HMM")
    n_states, sigma = spec.hmm.n_states, np.float64(spec.priors.logits_sigma)
    init = pm.Normal("hmm_init_logits", 0.0, sigma, shape=(n_states,))
    trans = pm.Normal("hmm_trans_logits", 0.0, sigma, shape=(n_states, n_states))
    return pt.special.log_softmax(init, axis=-1), pt.special.log_softmax(trans, axis=-1)


def unit(raw: Any) -> Any:
    """Normalise along the last axis; the epsilon under the root keeps the gradient finite at zero."""
    return raw / pt.sqrt(pt.sum(raw**2, axis=-1, keepdims=True) + UNIT_EPSILON)
