"""The log-density of the pose model on PyMC's transformed space, term by term.

All formulations, HMM algorithms and ways of missing points are one density; it is written once, over the
values of the ``vectorised`` formulation. `firstgrad.oracle.gradient` goes the way back through `Forward`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from firstgrad.data import IMAGE_HEIGHT, IMAGE_WIDTH
from firstgrad.errors import SpecError
from firstgrad.oracle.densities import (
    LOG_2PI,
    Numbers,
    log_gamma,
    log_half_normal,
    log_softmax,
    logaddexp,
    normal,
)
from firstgrad.oracle.geometry import Projection, Unit, follow, project, unit
from firstgrad.oracle.hmm import log_marginal
from firstgrad.points import Point, groups, to_vectorised
from firstgrad.spec import Formulation, Likelihood, PoseSpec, WalkAxis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firstgrad.data import PoseData

LOG_OUTLIER = -math.log(IMAGE_WIDTH * IMAGE_HEIGHT)
"""Log-density of an outlier: uniform over the image."""


def logp(spec: PoseSpec, data: PoseData, point: Mapping[str, NDArray[np.float64]]) -> float:
    """Give the log-density of a pose model, every constant and every Jacobian included.

    Parameters
    ----------
    spec : PoseSpec
        The model.
    data : PoseData
        What the cameras saw; `firstgrad.data.check_data` holds.
    point : mapping of str to array
        Values by value name, in the formulation of `spec`.

    Returns
    -------
    float
        What ``model.compile_logp()(point)`` gives.

    Raises
    ------
    SpecError
        Where the point lacks a group or has it in a wrong shape.
    """
    return float(sum(logp_terms(spec, data, point).values()))


def logp_terms(spec: PoseSpec, data: PoseData, point: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """Give the log-density in parts: the prior of each ``vectorised`` group, and ``likelihood``.

    Parameters
    ----------
    spec, data, point
        As in `logp`.

    Returns
    -------
    dict of str to float
        Their sum is `logp`.
    """
    values = canonical(spec, point)
    with np.errstate(over="ignore", invalid="ignore"):
        terms = complex_terms(spec, values, forward(spec, data, values))
    return {name: float(np.real(term)) for name, term in terms.items()}


def canonical(spec: PoseSpec, point: Mapping[str, NDArray[np.float64]]) -> Point:
    """Check a point and bring it to the ``vectorised`` formulation.

    Returns
    -------
    Point

    Raises
    ------
    SpecError
        Where the point lacks a group or has it in a wrong shape.
    """
    for group in groups(spec):
        if group.value_name not in point:
            raise SpecError("point", f"no value for {group.value_name!r}")
        shape = np.shape(point[group.value_name])
        if shape != group.shape:
            raise SpecError("point", f"{group.value_name!r}: expected shape {group.shape}, got {shape}")
    return to_vectorised(point, spec)


def vectorised(spec: PoseSpec) -> PoseSpec:
    """Give the same model in the ``vectorised`` formulation."""
    return replace(spec, formulation=Formulation.VECTORISED)


@dataclass(frozen=True, slots=True, eq=False)
class Hidden:
    """The HMM's share of a `Forward`.

    Attributes
    ----------
    mu : Unit
        Preferred directions, shape (S, J, 3).
    kappa : array, shape (S, J)
        How strongly they are preferred.
    log_init : array, shape (S,)
        Initial log-probabilities.
    log_trans : array, shape (S, S)
        Transition log-probabilities.
    emissions : array, shape (T, S)
        Of the directions alone, without the observations.
    """

    mu: Unit
    kappa: Numbers
    log_init: Numbers
    log_trans: Numbers
    emissions: Numbers


@dataclass(frozen=True, slots=True, eq=False)
class Forward:
    """What lies between the values and the log-density, kept for the way back.

    Attributes
    ----------
    direction : Unit
        The bones' directions, shape (T, K, 3).
    projection : Projection
        The joints as the cameras see them.
    seen : array of bool, shape (C, T, J)
        Which points count.
    residual : array, shape (C, T, J, 2)
        Observed less projected pixels; zero where missed.
    inlier : array, shape (C, T, J)
        Log-weight of a point as an inlier; the normal density alone without the mixture.
    point_logp : array, shape (C, T, J)
        Log-likelihood of each point; zero where missed.
    hidden : Hidden, optional
        The HMM.
    """

    direction: Unit
    projection: Projection
    seen: NDArray[np.bool_]
    residual: Numbers
    inlier: Numbers
    point_logp: Numbers
    hidden: Hidden | None


def forward(spec: PoseSpec, data: PoseData, values: Mapping[str, Numbers]) -> Forward:
    """Compute everything up to each point's likelihood.

    Parameters
    ----------
    spec, data
        As in `logp`.
    values : mapping of str to array
        A `canonical` point; complex arrays are welcome.

    Returns
    -------
    Forward
    """
    direction = unit(values["raw_u"])
    positions = follow(values["x_root"], values["length"][..., None] * direction.value, data.parents)
    projection = project(positions, data.cameras)
    # The mask comes before the arithmetic: a missed point has residual zero, whatever was written for it.
    seen = data.seen
    finite = np.where(seen[..., None], data.observations, 0.0)
    residual = np.where(seen[..., None], finite - projection.pixels, 0.0)
    log_sigma = values["obs_sigma_log__"]
    squared = np.sum(residual * residual, axis=-1)
    inlier = -0.5 * squared * np.exp(-2 * log_sigma) - 2 * log_sigma - LOG_2PI
    point_logp = inlier
    if spec.likelihood is Likelihood.MIXTURE:
        logodds = values["logodds_inlier"]
        inlier = inlier - logaddexp(0.0, -logodds)
        point_logp = logaddexp(inlier, LOG_OUTLIER - logaddexp(0.0, logodds))
    return Forward(
        direction=direction,
        projection=projection,
        seen=seen,
        residual=residual,
        inlier=inlier,
        point_logp=np.where(seen, point_logp, 0.0),
        hidden=_hidden(values, direction) if spec.hmm else None,
    )


def _hidden(values: Mapping[str, Numbers], direction: Unit) -> Hidden:
    mu, kappa = unit(values["hmm_mu_raw"]), np.exp(values["hmm_kappa_log__"])
    # The root's direction is zero, so its row of mu and kappa adds nothing.
    pull = kappa[:, 1:, None] * mu.value[:, 1:]
    return Hidden(
        mu=mu,
        kappa=kappa,
        log_init=log_softmax(values["hmm_init_logits"]),
        log_trans=log_softmax(values["hmm_trans_logits"]),
        emissions=np.einsum("tkd,skd->ts", direction.value, pull),
    )


def complex_terms(spec: PoseSpec, values: Mapping[str, Numbers], state: Forward) -> dict[str, Numbers]:
    """Give `logp_terms` of a `canonical` point, without dropping imaginary parts."""
    priors = spec.priors
    log_eta2, log_sigma2 = values["eta2_root_log__"], values["sigma2_log__"]
    first, steps = walk_steps(spec, values["x_root"])
    walk = np.sum(normal(first, 0.0, math.log(priors.root_first_sigma)))
    terms = {
        "eta2_root": log_half_normal(log_eta2, priors.eta2_root_sigma),
        "rho": np.sum(log_half_normal(values["rho_log__"], priors.rho_sigma)),
        "sigma2": np.sum(log_half_normal(log_sigma2, priors.sigma2_sigma)),
        "x_root": walk + np.sum(normal(steps, 0.0, log_eta2 / 2)),
        "raw_u": np.sum(normal(values["raw_u"], 0.0, 0.0)),
        "length": np.sum(normal(values["length"], np.exp(values["rho_log__"]), log_sigma2 / 2)),
        "obs_sigma": log_gamma(values["obs_sigma_log__"], *priors.obs_sigma_gamma),
    }
    if spec.likelihood is Likelihood.MIXTURE:
        terms["logodds_inlier"] = normal(values["logodds_inlier"], 0.0, math.log(priors.logodds_sigma))
    log_obs = state.point_logp.sum(axis=(0, 2))
    if state.hidden is None:
        return {**terms, "likelihood": log_obs.sum()}
    log_logits_sigma = math.log(priors.logits_sigma)
    for name in ("hmm_init_logits", "hmm_trans_logits"):
        terms[name] = np.sum(normal(values[name], 0.0, log_logits_sigma))
    terms["hmm_mu_raw"] = np.sum(normal(values["hmm_mu_raw"], 0.0, 0.0))
    terms["hmm_kappa"] = np.sum(log_half_normal(values["hmm_kappa_log__"], priors.kappa_sigma))
    hidden = state.hidden
    total = log_marginal(hidden.log_init, hidden.log_trans, hidden.emissions + log_obs[:, None])
    return {**terms, "likelihood": np.asarray(total)}


def walk_steps(spec: PoseSpec, x_root: Numbers) -> tuple[Numbers, Numbers]:
    """Cut the root's walk into its first step and its innovations, along the spec's axis."""
    if spec.walk_axis is WalkAxis.TIME:
        return x_root[0], np.diff(x_root, axis=0)
    return x_root[:, 0], np.diff(x_root, axis=1)
