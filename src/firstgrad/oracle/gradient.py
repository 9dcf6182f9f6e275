"""The gradient of the pose model's log-density, by hand and by complex step.

The analytic one walks back through `firstgrad.oracle.logp.Forward`, a chain rule a line. The complex step
knows nothing of it: it only evaluates the log-density, so that a slip in one shows against the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from firstgrad.oracle.geometry import follow_back
from firstgrad.oracle.hmm import posterior
from firstgrad.oracle.logp import Forward, Hidden, canonical, complex_terms, forward, vectorised, walk_steps
from firstgrad.points import Point, flatten, groups, to_per_joint, unflatten
from firstgrad.spec import Formulation, Likelihood, PoseSpec, WalkAxis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from firstgrad.data import PoseData


def gradient(spec: PoseSpec, data: PoseData, point: Mapping[str, NDArray[np.float64]]) -> Point:
    """Give the gradient of `firstgrad.oracle.logp`, analytically.

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
    Point
        One array a group, by value name, in the formulation of `spec` and in model order.

    Raises
    ------
    SpecError
        Where the point lacks a group or has it in a wrong shape.
    """
    return value_and_gradient(spec, data, point)[1]


def value_and_gradient(spec: PoseSpec, data: PoseData, point: Mapping[str, NDArray[np.float64]]) -> tuple[float, Point]:
    """Give the log-density and its gradient in one pass.

    Parameters
    ----------
    spec, data, point
        As in `gradient`.

    Returns
    -------
    tuple of float and Point
    """
    values = canonical(spec, point)
    with np.errstate(over="ignore", invalid="ignore"):
        state = forward(spec, data, values)
        value = float(sum(float(term) for term in complex_terms(spec, values, state).values()))
        found = _prior_gradient(spec, values)
        _add_likelihood(spec, data, values, state, found)
    return value, _in_formulation(spec, found)


def complex_step_gradient(
    spec: PoseSpec, data: PoseData, point: Mapping[str, NDArray[np.float64]], step: float = 1e-30
) -> Point:
    """Give the gradient by one complex evaluation a value: slow, exact to rounding, independent.

    Parameters
    ----------
    spec, data, point
        As in `gradient`.
    step : float
        Length of the imaginary step. Nothing is subtracted, so it can be tiny.

    Returns
    -------
    Point
        As `gradient` gives it.
    """
    model = vectorised(spec)
    vector = flatten(canonical(spec, point), model)
    slopes = np.empty_like(vector)
    with np.errstate(over="ignore", invalid="ignore"):
        for place in range(len(vector)):
            stepped = vector.astype(np.complex128)
            stepped[place] += 1j * step
            values = unflatten(stepped, model)  # type: ignore[arg-type]  # it only cuts and reshapes
            terms = complex_terms(model, values, forward(model, data, values))
            slopes[place] = sum(float(np.imag(term)) for term in terms.values()) / step
    return _in_formulation(spec, unflatten(slopes, model))


def _in_formulation(spec: PoseSpec, found: Point) -> Point:
    if spec.formulation is Formulation.PER_JOINT:
        return to_per_joint(found, vectorised(spec))
    return {group.value_name: found[group.value_name] for group in groups(spec)}


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
