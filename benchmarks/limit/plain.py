"""The yardstick: the pose model's log-density as one would write it in JAX. No PyMC, no PyTensor.

What is known before the call (observations, cameras, skeleton, scales) is NumPy, and so a constant of the program:
nothing is computed eagerly, since each eager operation of JAX is a program of its own to compile.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from benchmarks.limit.layout import places
from firstgrad.pose.data import IMAGE_HEIGHT, IMAGE_WIDTH, MIN_DEPTH, UNIT_EPSILON, ancestor_matrix

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.pose.data import PoseData
    from firstgrad.pose.spec import PoseSpec

LOG_2PI = math.log(2 * math.pi)


class HmmForm(StrEnum):
    """How the hidden states are summed out: in turn, in pairs by slices, in pairs by ``lax.associative_scan``."""

    SCAN = "scan"
    TREE = "tree"
    ASSOCIATIVE = "associative"


def make_logp(spec: PoseSpec, data: PoseData, form: HmmForm = HmmForm.SCAN) -> Callable[[Any], Any]:
    """Write the log-density of a flat vector.

    Returns
    -------
    callable
        From a float64 vector in the order of `firstgrad.points.flatten` (``vectorised``) to a scalar.

    Raises
    ------
    SpecError
        Where the spec asks for another likelihood or walk than the default.
    """
    found, priors = places(spec), spec.priors
    steps, n_joints, n_cameras = spec.n_timesteps, spec.n_joints, spec.n_cameras
    ancestors = ancestor_matrix(spec.joint_parents)
    rotation = data.cameras[:, :, :3].reshape(n_cameras * 3, 3).T
    shift = data.cameras[:, :, 3].reshape(n_cameras * 3)
    seen = data.seen.transpose(1, 2, 0)
    observed = np.where(seen[..., None], data.observations.transpose(1, 2, 0, 3), 0.0)
    shape, rate = priors.obs_sigma_gamma

    def prior(value: dict[str, Any]) -> Any:
        log_sigma, x_root = value["obs_sigma_log__"], value["x_root"]
        return (
            log_half_normal(value["eta2_root_log__"], priors.eta2_root_sigma)
            + log_half_normal(value["rho_log__"], priors.rho_sigma)
            + log_half_normal(value["sigma2_log__"], priors.sigma2_sigma)
            + log_normal(x_root[0], math.log(priors.root_first_sigma))
            + log_normal(x_root[1:] - x_root[:-1], value["eta2_root_log__"] / 2)
            + log_normal(value["raw_u"], 0.0)
            + log_normal(value["length"] - jnp.exp(value["rho_log__"]), value["sigma2_log__"] / 2)
            + (shape * math.log(rate) - math.lgamma(shape) + shape * log_sigma - rate * jnp.exp(log_sigma))
            + log_normal(value["logodds_inlier"], math.log(priors.logodds_sigma))
        )

    def hidden(value: dict[str, Any], direction: Any) -> Any:
        init, trans = value["hmm_init_logits"], value["hmm_trans_logits"]
        log_kappa, n_states = value["hmm_kappa_log__"], init.shape[0]
        # The root's direction is zero: its row of mu and kappa has a prior and nothing else.
        weights = jnp.exp(log_kappa)[:, 1:, None] * unit(value["hmm_mu_raw"][:, 1:])
        emissions = direction.reshape(steps, -1) @ weights.reshape(n_states, -1).T
        return (
            log_normal(value["hmm_mu_raw"], 0.0)
            + log_half_normal(log_kappa, priors.kappa_sigma)
            + log_normal(init, math.log(priors.logits_sigma))
            + log_normal(trans, math.log(priors.logits_sigma))
            + log_marginal(emissions, jax.nn.log_softmax(init), jax.nn.log_softmax(trans), form)
        )

    def logp(vector: Any) -> Any:
        value = {name: vector[begin:end].reshape(shape) for name, (begin, end, shape) in found.items()}
        log_sigma, logodds = value["obs_sigma_log__"], value["logodds_inlier"]
        direction = unit(value["raw_u"])
        offsets = value["length"][..., None] * direction
        positions = value["x_root"][:, None, :] + jnp.matmul(ancestors, offsets)
        projected = (positions.reshape(steps * n_joints, 3) @ rotation + shift).reshape(steps, n_joints, n_cameras, 3)
        pixels = projected[..., :2] / jnp.maximum(projected[..., 2:], MIN_DEPTH)
        squared = jnp.sum(((observed - pixels) * jnp.exp(-log_sigma)) ** 2, axis=-1)
        log_inlier = -0.5 * squared - 2 * log_sigma - LOG_2PI - jax.nn.softplus(-logodds)
        log_outlier = -jax.nn.softplus(logodds) - math.log(IMAGE_WIDTH * IMAGE_HEIGHT)
        total = prior(value) + jnp.sum(jnp.where(seen, jnp.logaddexp(log_inlier, log_outlier), 0.0))
        # A point is as likely in every state: it stays outside the sum over states.
        return total if spec.hmm is None else total + hidden(value, direction)

    return logp


def unit(raw: Any) -> Any:
    """Normalise along the last axis."""
    return raw / jnp.sqrt(jnp.sum(raw**2, axis=-1, keepdims=True) + UNIT_EPSILON)


def log_normal(difference: Any, log_sigma: Any) -> Any:
    """Sum the normal log-densities of differences from the mean."""
    return jnp.sum(-0.5 * (difference * jnp.exp(-log_sigma)) ** 2 - log_sigma - 0.5 * LOG_2PI)


def log_half_normal(log_x: Any, sigma: float) -> Any:
    """Sum the log-densities of logarithms of half-normal values: the Jacobian's `log_x` is included."""
    constant = 0.5 * math.log(2 / math.pi) - math.log(sigma)
    return jnp.sum(constant - 0.5 * (jnp.exp(log_x) / sigma) ** 2 + log_x)


def log_marginal(emissions: Any, log_init: Any, log_trans: Any, form: HmmForm) -> Any:
    """Sum the hidden states out, in log space."""
    first = log_init + emissions[0]
    if len(emissions) == 1:
        return logsumexp(first)
    if form is HmmForm.SCAN:
        last, _ = jax.lax.scan(
            lambda alpha, emission: (emission + logsumexp(alpha[:, None] + log_trans, axis=0), None),
            first,
            emissions[1:],
        )
        return logsumexp(last)
    matrices = log_trans + emissions[1:, None, :]
    product = jax.lax.associative_scan(_times, matrices)[-1] if form is HmmForm.ASSOCIATIVE else _tree(matrices)
    return logsumexp(first[:, None] + product)


def _times(left: Any, right: Any) -> Any:
    return logsumexp(left[..., :, :, None] + right[..., None, :, :], axis=-2)


def _tree(matrices: Any) -> Any:
    while (count := len(matrices)) > 1:
        pairs = count // 2
        product = _times(matrices[0 : 2 * pairs : 2], matrices[1 : 2 * pairs : 2])
        matrices = jnp.concatenate([product, matrices[2 * pairs :]]) if count % 2 else product
    return matrices[0]
