"""The same log-density written for the compiler: fewer operations to trace, fewer kernels, time along the last axis.

Against `benchmarks.limit.plain`: skeleton and cameras are one constant matrix, and the way from bones to pixels one
product; constants of the density are added up beforehand; the mixture is one softplus; the hidden states are summed out
by a recursion that is scaled instead of logarithmic.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.limit.layout import places
from firstgrad.pose.data import IMAGE_HEIGHT, IMAGE_WIDTH, MIN_DEPTH, UNIT_EPSILON, ancestor_matrix

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from firstgrad.pose.data import PoseData
    from firstgrad.pose.spec import PoseSpec

LOG_2PI = math.log(2 * math.pi)
LOG_OUTLIER = -math.log(IMAGE_WIDTH * IMAGE_HEIGHT)


def make_logp(spec: PoseSpec, data: PoseData) -> Callable[[Any], Any]:
    """Write the log-density of a flat vector: as `benchmarks.limit.plain.make_logp`."""
    found, priors = places(spec), spec.priors
    steps, bones, joints, n_cameras = spec.n_timesteps, spec.n_directions, spec.n_joints, spec.n_cameras
    seen = data.seen.transpose(0, 2, 1)
    weight, n_seen = seen.astype(np.float64), float(seen.sum())
    observed = np.where(seen[..., None], data.observations.transpose(0, 2, 1, 3), 0.0).transpose(3, 0, 1, 2)
    to_pixels, shift = _to_pixels(spec, data)
    shape, rate = priors.obs_sigma_gamma
    scales = np.r_[priors.eta2_root_sigma, [priors.rho_sigma] * bones, [priors.sigma2_sigma] * bones]
    constant = _constant(spec) + n_seen * LOG_OUTLIER

    def prior(part: dict[str, Any], root: Any, length: Any, square: Any) -> Any:
        log_eta2, log_sigma2 = part["eta2_root_log__"], part["sigma2_log__"]
        log_sigma, logodds = part["obs_sigma_log__"], part["logodds_inlier"]
        head = lax.concatenate([lax.reshape(log_eta2, (1,)), part["rho_log__"], log_sigma2], 0)
        step, off = root[:, 1:] - root[:, :-1], length - jnp.exp(part["rho_log__"])[:, None]
        first = root[:, 0]
        walk = jnp.exp(-log_eta2) * jnp.sum(step * step) + (steps - 1) * 3 * log_eta2
        lengths = jnp.sum(jnp.exp(-log_sigma2) * jnp.sum(off * off, axis=1)) + steps * jnp.sum(log_sigma2)
        fixed = jnp.sum(first * first) / priors.root_first_sigma**2 + logodds * logodds / priors.logodds_sigma**2
        return (
            jnp.sum(head - 0.5 * scales**-2.0 * jnp.exp(2 * head))
            - 0.5 * (walk + lengths + fixed + jnp.sum(square))
            + (shape * log_sigma - rate * jnp.exp(log_sigma))
        )

    def logp(vector: Any) -> Any:
        part = {
            name: lax.reshape(lax.slice(vector, (begin,), (end,)), shape) for name, (begin, end, shape) in found.items()
        }
        root, length = part["x_root"].T, part["length"].T
        raw = lax.transpose(part["raw_u"], (1, 2, 0))
        square = jnp.sum(raw * raw, axis=1, keepdims=True)
        direction = raw * lax.rsqrt(square + UNIT_EPSILON)
        ends = lax.concatenate([lax.reshape(length[:, None, :] * direction, (3 * bones, steps)), root], 0)
        projected = lax.reshape(to_pixels @ ends + shift, (3, n_cameras, joints, steps))
        residual = observed - projected[:2] / lax.max(projected[2:], MIN_DEPTH)
        squared = jnp.sum(residual * residual, axis=0)
        log_sigma, logodds = part["obs_sigma_log__"], part["logodds_inlier"]
        more = -0.5 * jnp.exp(-2 * log_sigma) * squared + (logodds - 2 * log_sigma - LOG_2PI - LOG_OUTLIER)
        points = jnp.sum(weight * _softplus(more)) - n_seen * _softplus(logodds)
        total = constant + prior(part, root, length, square) + points
        if spec.hmm is None:
            return total
        return total + _hidden(spec, part, lax.reshape(direction, (3 * bones, steps)))

    return logp


def _to_pixels(spec: PoseSpec, data: PoseData) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the matrix from bones' offsets and the root to homogeneous pixels, and what is added."""
    ways = np.concatenate([ancestor_matrix(spec.joint_parents), np.ones((spec.n_joints, 1))], axis=1)
    rows = 3 * spec.n_cameras * spec.n_joints
    matrix = np.einsum("crd,jk->rcjkd", data.cameras[:, :, :3], ways).reshape(rows, spec.n_joints * 3)
    return matrix, np.repeat(data.cameras[:, :, 3].T.ravel(), spec.n_joints)[:, None]


def _constant(spec: PoseSpec) -> float:
    """Add up what no value changes."""
    priors, steps, bones = spec.priors, spec.n_timesteps, spec.n_directions
    shape, rate = priors.obs_sigma_gamma
    half = 0.5 * math.log(2 / math.pi)
    total = half - math.log(priors.eta2_root_sigma)
    total += bones * (2 * half - math.log(priors.rho_sigma) - math.log(priors.sigma2_sigma))
    total -= 3 * math.log(priors.root_first_sigma) + math.log(priors.logodds_sigma)
    total -= 0.5 * LOG_2PI * (3 * steps + 4 * bones * steps + 1)
    total += shape * math.log(rate) - math.lgamma(shape)
    if spec.hmm is None:
        return total
    states, logits = spec.hmm.n_states, spec.hmm.n_states * (spec.hmm.n_states + 1)
    total += states * spec.n_joints * (half - math.log(priors.kappa_sigma))
    return total - 0.5 * LOG_2PI * (3 * states * spec.n_joints + logits) - logits * math.log(priors.logits_sigma)


def _hidden(spec: PoseSpec, part: dict[str, Any], direction: Any) -> Any:
    priors, raw, log_kappa = spec.priors, part["hmm_mu_raw"], part["hmm_kappa_log__"]
    init, trans = part["hmm_init_logits"], part["hmm_trans_logits"]
    kappa, mu = jnp.exp(log_kappa), raw[:, 1:]
    logits = (jnp.sum(init * init) + jnp.sum(trans * trans)) / priors.logits_sigma**2
    prior = jnp.sum(log_kappa) - 0.5 * (jnp.sum(raw * raw) + jnp.sum(kappa * kappa) / priors.kappa_sigma**2 + logits)
    length = kappa[:, 1:] * lax.rsqrt(jnp.sum(mu * mu, axis=-1) + UNIT_EPSILON)
    emissions = lax.reshape(mu * length[:, :, None], (len(init), len(direction))) @ direction
    return prior + _log_marginal(emissions, init, trans)


def _log_marginal(emissions: Any, init: Any, trans: Any) -> Any:
    """Sum the hidden states out: probabilities, scaled to one at each step (Rabiner 1989, V.A)."""
    highest = lax.stop_gradient(jnp.max(emissions, axis=0))
    weights = jnp.exp(emissions - highest).T
    # The largest logit is taken off: exp of it would overflow where a sampler strays.
    init = jnp.exp(init - lax.stop_gradient(jnp.max(init)))
    trans = jnp.exp(trans - lax.stop_gradient(jnp.max(trans, axis=1, keepdims=True)))
    trans = trans / jnp.sum(trans, axis=1, keepdims=True)

    def step(alpha: Any, weight: Any) -> tuple[Any, Any]:
        alpha = jnp.sum(alpha[:, None] * trans, axis=0) * weight
        # What the scale is does not matter, so its derivative doesn't either: the two uses cancel.
        scale = lax.stop_gradient(jnp.sum(alpha))
        return alpha / scale, scale

    last, scales = lax.scan(step, init / jnp.sum(init) * weights[0], weights[1:])
    return jnp.sum(highest) + jnp.sum(jnp.log(scales)) + jnp.log(jnp.sum(last))


def _softplus(x: Any) -> Any:
    return lax.max(x, 0.0) + lax.log1p(lax.exp(-lax.abs(x)))
