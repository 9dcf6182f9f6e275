"""The oracle: the pose model's log-density and gradient in NumPy alone. Every measured function is checked against it.

All formulations, HMM algorithms and ways of missing points are one density; it is written once, on PyMC's transformed
space, over the values of the ``vectorised`` formulation. The analytic gradient walks back through `Forward`, a chain
rule a line; tests hold it against a complex step, which only evaluates the log-density.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from firstgrad.errors import SpecError
from firstgrad.pose.data import IMAGE_HEIGHT, IMAGE_WIDTH
from firstgrad.pose.densities import (
    LOG_2PI,
    Numbers,
    Projection,
    UnitDirection,
    follow,
    follow_back,
    log_gamma,
    log_half_normal,
    log_marginal,
    log_softmax,
    logaddexp,
    normal,
    posterior,
    project,
    unit,
)
from firstgrad.pose.points import to_per_joint, to_vectorised
from firstgrad.pose.spec import Formulation, Likelihood, PoseSpec, WalkAxis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firstgrad.points import Point
    from firstgrad.pose.data import PoseData

LOG_OUTLIER = -math.log(IMAGE_WIDTH * IMAGE_HEIGHT)
"""Log-density of an outlier: uniform over the image."""


def logp(spec: PoseSpec, data: PoseData, point: Mapping[str, NDArray[np.float64]]) -> float:
    """Give the log-density of a pose model, every constant and every Jacobian included.

    Returns what ``model.compile_logp()(point)`` gives. Raises SpecError where the point lacks a group or has it in a
    wrong shape.
    """
    return float(sum(logp_terms(spec, data, point).values()))


def logp_terms(spec: PoseSpec, data: PoseData, point: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """Give the log-density in parts: the prior of each ``vectorised`` group, and ``likelihood``.

    Their sum is `logp`.
    """
    values = canonical(spec, point)
    with np.errstate(over="ignore", invalid="ignore"):
        terms = complex_terms(spec, values, forward(spec, data, values))
    return {name: float(np.real(term)) for name, term in terms.items()}


def canonical(spec: PoseSpec, point: Mapping[str, NDArray[np.float64]]) -> Point:
    """Check a point and bring it to the ``vectorised`` formulation.

    Raises SpecError where the point lacks a group or has it in a wrong shape.
    """
    for group in spec.groups:
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
    """The HMM's share of a `Forward`."""

    mu: UnitDirection  # preferred directions, shape (S, J, 3)
    kappa: Numbers  # shape (S, J): how strongly they are preferred
    log_init: Numbers  # shape (S,): initial log-probabilities
    log_trans: Numbers  # shape (S, S): transition log-probabilities
    emissions: Numbers  # shape (T, S): of the directions alone, without the observations


@dataclass(frozen=True, slots=True, eq=False)
class Forward:
    """What lies between the values and the log-density, kept for the way back."""

    direction: UnitDirection  # the bones' directions, shape (T, K, 3)
    projection: Projection  # the joints as the cameras see them
    seen: NDArray[np.bool_]  # shape (C, T, J): which points count
    residual: Numbers  # shape (C, T, J, 2): observed less projected pixels; zero where missed
    inlier: Numbers  # shape (C, T, J): Log-weight of a point as an inlier; the normal density alone without the mixture
    point_logp: Numbers  # shape (C, T, J): Log-likelihood of each point; zero where missed
    hidden: Hidden | None  # the HMM


def forward(spec: PoseSpec, data: PoseData, values: Mapping[str, Numbers]) -> Forward:
    """Compute everything up to each point's likelihood."""
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


def _hidden(values: Mapping[str, Numbers], direction: UnitDirection) -> Hidden:
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


def gradient(spec: PoseSpec, data: PoseData, point: Mapping[str, NDArray[np.float64]]) -> Point:
    """Give the gradient of `firstgrad.pose.oracle`, analytically.

    Returns one array a group, by value name, in the formulation of `spec` and in model order. Raises SpecError where
    the point lacks a group or has it in a wrong shape.
    """
    return value_and_gradient(spec, data, point)[1]


def value_and_gradient(spec: PoseSpec, data: PoseData, point: Mapping[str, NDArray[np.float64]]) -> tuple[float, Point]:
    """Give the log-density and its gradient in one pass."""
    values = canonical(spec, point)
    with np.errstate(over="ignore", invalid="ignore"):
        state = forward(spec, data, values)
        value = float(sum(float(term) for term in complex_terms(spec, values, state).values()))
        found = _prior_gradient(spec, values)
        _add_likelihood(spec, data, values, state, found)
    return value, _in_formulation(spec, found)


def _in_formulation(spec: PoseSpec, found: Point) -> Point:
    if spec.formulation is Formulation.PER_JOINT:
        return to_per_joint(found, vectorised(spec))
    return {group.value_name: found[group.value_name] for group in spec.groups}


def _prior_gradient(spec: PoseSpec, values: Point) -> Point:
    priors = spec.priors
    eta2, sigma2 = np.exp(values["eta2_root_log__"]), np.exp(values["sigma2_log__"])
    rho = np.exp(values["rho_log__"])
    first, steps = walk_steps(spec, values["x_root"])
    off = values["length"] - rho
    shape, rate = priors.obs_sigma_gamma
    found = {
        "eta2_root_log__": 1 - (eta2 / priors.eta2_root_sigma) ** 2 + np.sum(0.5 * steps**2 / eta2 - 0.5),
        "rho_log__": 1 - (rho / priors.rho_sigma) ** 2 + rho * np.sum(off, axis=0) / sigma2,
        "sigma2_log__": 1 - (sigma2 / priors.sigma2_sigma) ** 2 + np.sum(0.5 * off**2 / sigma2 - 0.5, axis=0),
        "x_root": _walk_gradient(spec, first / priors.root_first_sigma**2, steps / eta2),
        "raw_u": -values["raw_u"],
        "length": -off / sigma2,
        "obs_sigma_log__": shape - rate * np.exp(values["obs_sigma_log__"]),
    }
    if spec.likelihood is Likelihood.MIXTURE:
        found["logodds_inlier"] = -values["logodds_inlier"] / priors.logodds_sigma**2
    if spec.hmm:
        kappa = np.exp(values["hmm_kappa_log__"])
        found["hmm_mu_raw"] = -values["hmm_mu_raw"]
        found["hmm_kappa_log__"] = 1 - (kappa / priors.kappa_sigma) ** 2
        for name in ("hmm_init_logits", "hmm_trans_logits"):
            found[name] = -values[name] / priors.logits_sigma**2
    return {name: np.asarray(slope, dtype=np.float64) for name, slope in found.items()}


def _walk_gradient(spec: PoseSpec, first: NDArray[np.float64], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    by_root = np.zeros((spec.n_timesteps, 3))
    along = by_root if spec.walk_axis is WalkAxis.TIME else by_root.T
    steps = steps if spec.walk_axis is WalkAxis.TIME else steps.T
    along[0] -= first
    along[1:] -= steps
    along[:-1] += steps
    return by_root


def _add_likelihood(spec: PoseSpec, data: PoseData, values: Point, state: Forward, found: Point) -> None:
    # Through the HMM or not, each point's log-likelihood enters the log-density with derivative one.
    is_inlier = np.where(state.seen, 1.0, 0.0)
    if spec.likelihood is Likelihood.MIXTURE:
        is_inlier *= np.exp(state.inlier - np.where(state.seen, state.point_logp, state.inlier))
        share = 1 / (1 + np.exp(-values["logodds_inlier"]))
        found["logodds_inlier"] = found["logodds_inlier"] + np.sum(is_inlier - share * state.seen)
    precision = np.exp(-2 * values["obs_sigma_log__"])
    pull = is_inlier[..., None] * precision * state.residual
    found["obs_sigma_log__"] = found["obs_sigma_log__"] + np.sum(pull * state.residual) - 2 * np.sum(is_inlier)
    by_position = state.projection.pull_back(pull, data.cameras)
    by_root, by_offset = follow_back(by_position, data.parents)
    found["x_root"] = found["x_root"] + by_root
    found["length"] = found["length"] + np.sum(by_offset * state.direction.value, axis=-1)
    by_direction = by_offset * values["length"][..., None]
    if state.hidden is not None:
        by_direction = by_direction + _add_hidden(state.hidden, state.direction.value, found)
    found["raw_u"] = found["raw_u"] + state.direction.pull_back(by_direction)


def _add_hidden(hidden: Hidden, direction: NDArray[np.float64], found: Point) -> NDArray[np.float64]:
    # The observations are alike in all states, so the posterior of the states doesn't see them.
    states = posterior(hidden.log_init, hidden.log_trans, hidden.emissions)
    init, trans = np.exp(hidden.log_init), np.exp(hidden.log_trans)
    found["hmm_init_logits"] = found["hmm_init_logits"] + states.gamma[0] - init * states.gamma[0].sum()
    leaving = states.xi.sum(axis=1, keepdims=True)
    found["hmm_trans_logits"] = found["hmm_trans_logits"] + states.xi - trans * leaving
    # The root's direction is zero: only its prior moves it.
    met = np.einsum("ts,tkd->skd", states.gamma, direction)
    kappa, mu = hidden.kappa[:, 1:, None], hidden.mu.value[:, 1:]
    by_kappa = np.sum(met * mu, axis=-1, keepdims=True)
    found["hmm_kappa_log__"][:, 1:] += (kappa * by_kappa)[..., 0]
    by_mu = np.zeros_like(hidden.mu.value)
    by_mu[:, 1:] = kappa * met
    found["hmm_mu_raw"] = found["hmm_mu_raw"] + hidden.mu.pull_back(by_mu)
    by_direction: NDArray[np.float64] = np.einsum("ts,skd->tkd", states.gamma, kappa * mu)
    return by_direction


RECURSION_ROUNDINGS = 16
"""How many times its estimated rounding an HMM's recursion may move a gradient value: see `allowed_rounding`."""


def allowed_rounding(spec: PoseSpec, logp: float) -> float:
    """Tell how far rounding alone may move a gradient value of a model with an HMM.

    The forward recursion adds up to the whole log-density, so each of its T steps rounds at the log-density's size, and
    the states' probabilities, which weigh every value of the gradient, carry the sum. At T=1000, where the log-density
    is -6482, JAX's scan was 3.4e-9 off in a value of 0.0028 whose terms cancel, and the oracle in extended
    precision agreed with itself to 1e-12.

    Returns an absolute difference; 0 without an HMM.
    """
    if spec.hmm is None:
        return 0.0
    return RECURSION_ROUNDINGS * float(np.finfo(np.float64).eps) * spec.n_timesteps * max(abs(logp), 1.0)
