"""The factory: a PyMC model from a frozen spec and data.

Scales go in as ``np.float64``: PyTensor makes a Python 0.5 or 100.0 a float32 constant, and the logarithm of it
is then off by up to 6e-8, more than the oracle forgives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from firstgrad.data import PoseData, check_data, generate
from firstgrad.models import per_joint, vectorised
from firstgrad.models.cameras import log_observed
from firstgrad.models.hmm import log_marginal
from firstgrad.spec import Formulation, Likelihood, PoseSpec, WalkAxis


def build_pose_model(spec: PoseSpec | None = None, data: PoseData | None = None) -> pm.Model:
    """Build the pose model.

    Parameters
    ----------
    spec : PoseSpec, optional
        Which model; the default has 16 groups and 2313 values.
    data : PoseData, optional
        Observations from outside; generated from the spec's seed where left out.

    Returns
    -------
    pymc.Model
        Its groups are those of ``firstgrad.points.groups(spec)``, in that order.

    Raises
    ------
    SpecError
        Where the data do not fit the spec; the error names the field.
    """
    spec = spec or PoseSpec()
    data = data or generate(spec)
    check_data(spec, data)
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
