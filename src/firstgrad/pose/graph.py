"""Graphs of the pose model in PyMC: what both formulations share. Only this module and they load PyMC.

Scales go in as ``np.float64``: PyTensor makes a Python 0.5 or 100.0 a float32 constant, and the logarithm of it
is then off by up to 6e-8, more than the oracle forgives.
"""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from firstgrad.pose.data import IMAGE_HEIGHT, IMAGE_WIDTH, PoseData, check_data, generate
from firstgrad.pose.spec import Formulation, HmmAlgorithm, Likelihood, Missing, PoseSpec, WalkAxis

if TYPE_CHECKING:
    from firstgrad.pose.spec import HmmSpec


def build_pose_model(spec: PoseSpec | None = None, data: PoseData | None = None) -> pm.Model:
    """Build the pose model.

    Parameters
    ----------
    spec : PoseSpec, optional
        Its sizes and choices; the defaults where left out.
    data : PoseData, optional
        What the cameras saw; generated from the spec's seed where left out.

    Returns
    -------
    pymc.Model
        Its groups are those of ``spec.groups``, in that order.

    Raises
    ------
    SpecError
        Where the data do not fit the spec; the error names the field.
    """
    spec = spec or PoseSpec()
    data = data or generate(spec)
    check_data(spec, data)
    from firstgrad.pose import per_joint, vectorised

    part = per_joint if spec.formulation is Formulation.PER_JOINT else vectorised
    with pm.Model() as model:
        eta2_root = pm.HalfNormal("eta2_root", np.float64(spec.priors.eta2_root_sigma))
        rho = pm.HalfNormal("rho", np.float64(spec.priors.rho_sigma), shape=(spec.n_directions,))
        sigma2 = pm.HalfNormal("sigma2", np.float64(spec.priors.sigma2_sigma), shape=(spec.n_directions,))
        x_root = _root_walk(spec, pt.sqrt(eta2_root))
        directions, lengths = part.bones(spec, rho, sigma2)
        positions = part.positions(spec, x_root, directions, lengths)
        alpha, beta = (np.float64(each) for each in spec.priors.obs_sigma_gamma)
        obs_sigma = pm.Gamma("obs_sigma", alpha=alpha, beta=beta)
        logodds = None
        if spec.likelihood is Likelihood.MIXTURE:
            logodds = pm.Normal("logodds_inlier", 0.0, np.float64(spec.priors.logodds_sigma))
        log_obs = log_observed(part.project(positions, data.cameras), data, obs_sigma, logodds, spec.missing)
        if spec.hmm is None:
            pm.Potential("log_obs", pt.sum(log_obs))
        else:
            emissions, log_init, log_trans = part.hmm_terms(spec, directions)
            # The observations enter once: here, through the hidden states.
            total = emissions + log_obs[:, None]
            pm.Potential("log_hmm", log_marginal(total, log_init, log_trans, spec.hmm, spec.n_timesteps))
    return model


def _root_walk(spec: PoseSpec, innovation_sigma: Any) -> Any:
    steps, first = spec.n_timesteps, np.float64(spec.priors.root_first_sigma)
    if spec.walk_axis is WalkAxis.LAST:
        return pm.GaussianRandomWalk(
            "x_root",
            mu=0.0,
            sigma=innovation_sigma,
            init_dist=pm.Normal.dist(0.0, first),
            shape=(steps, 3),
        )
    # pm.GaussianRandomWalk walks along the last axis and cannot be told otherwise, so this one is
    # written as what it is: a cumulative sum of independent steps along time.
    is_first = np.arange(steps)[:, None] == 0
    step_sigma = pt.where(is_first, first, innovation_sigma)
    return pm.CustomDist(
        "x_root",
        step_sigma,
        dist=lambda sigma, size: pt.cumsum(pm.Normal.dist(0.0, sigma, shape=(steps, 3)), axis=0),  # noqa: ARG005 - PyMC's signature
        shape=(steps, 3),
    )


def log_observed(pixels: Any, data: PoseData, obs_sigma: Any, logodds: Any | None, missing: Missing) -> Any:
    """Log-density of the observed points of each timestep.

    Shapes: `pixels` (C, T, J, 2).
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


def log_marginal(emissions: Any, log_init: Any, log_trans: Any, hmm: HmmSpec, n_timesteps: int) -> Any:
    """Log-probability of all observations, hidden states summed out.

    Shapes: `emissions` (T, S), `log_init`, `log_trans` (S,) and (S, S).

    Notes
    -----
    The forward algorithm in log space (Rabiner 1989, A tutorial on hidden Markov models).
    """
    if hmm.n_states == 1:
        # One state: nothing to sum out. Its log-probabilities are zero, kept so that all groups take part.
        return pt.sum(emissions) + log_init[0] + (n_timesteps - 1) * log_trans[0, 0]
    first = log_init + emissions[0]
    if n_timesteps == 1:
        return _logsumexp(first, axis=0) + 0.0 * pt.sum(log_trans)
    match hmm.algorithm:
        case HmmAlgorithm.SCAN:
            last = _scan(first, emissions, log_trans)
        case HmmAlgorithm.UNROLLED:
            last = first
            for step in range(1, n_timesteps):
                last = _forward(emissions[step], last, log_trans)
        case HmmAlgorithm.TREE:
            product = _tree(log_trans[None, :, :] + emissions[1:, None, :], n_timesteps - 1)
            last = _logsumexp(first[:, None] + product, axis=0)
    return _logsumexp(last, axis=0)


def _forward(emission: Any, alpha: Any, log_trans: Any) -> Any:
    return emission + _logsumexp(alpha[:, None] + log_trans, axis=0)


def _scan(first: Any, emissions: Any, log_trans: Any) -> Any:
    options: dict[str, Any] = {}
    # Newer PyTensor returns the outputs alone; older ones also a dictionary of updates.
    alone = "return_updates" in inspect.signature(pytensor.scan).parameters
    if alone:
        options["return_updates"] = False
    result = pytensor.scan(
        _forward, sequences=[emissions[1:]], outputs_info=[first], non_sequences=[log_trans], **options
    )
    alphas = result if alone else result[0]
    return alphas[-1]


def _tree(matrices: Any, count: int) -> Any:
    """Product of `count` S x S matrices in the log semiring, halving each round: depth log2 of `count`."""
    while count > 1:
        pairs = count // 2
        left, right = matrices[0 : 2 * pairs : 2], matrices[1 : 2 * pairs : 2]
        product = _logsumexp(left[:, :, :, None] + right[:, None, :, :], axis=2)
        if count % 2:
            product = pt.concatenate([product, matrices[2 * pairs :]], axis=0)
        matrices, count = product, pairs + count % 2
    return matrices[0]


def _logsumexp(values: Any, axis: int) -> Any:
    return pt.logsumexp(values, axis=axis)
