"""Eight schools (Rubin 1981): what coaching did to test scores, school by school; with an oracle of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm

if TYPE_CHECKING:
    from numpy.typing import NDArray

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
STANDARD_ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
SCALE = np.float64(5.0)  # a plain 5.0 becomes a float32 constant, and its logarithm is off by 6e-8


def build(*, centered: bool = False) -> pm.Model:
    """Build the model, written centred or not."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, SCALE)
        tau = pm.HalfCauchy("tau", SCALE)
        theta = pm.Normal("theta", mu, tau, shape=8) if centered else mu + tau * pm.Normal("z", shape=8)
        pm.Normal("effect", theta, STANDARD_ERRORS, observed=EFFECTS)
    return model


def oracle(
    parameters: dict[str, Any], point: dict[str, NDArray[np.float64]]
) -> tuple[float, dict[str, NDArray[np.float64]]]:
    """Give log-density and gradient by hand, on the space on which PyMC samples: tau by its logarithm."""
    mu, tau = float(point["mu"]), math.exp(point["tau_log__"])
    z = (point["theta"] - mu) / tau if parameters["centered"] else point["z"]
    pull = (EFFECTS - mu - tau * z) / STANDARD_ERRORS**2
    ratio = (tau / SCALE) ** 2
    logp = (
        _normal(mu / SCALE, SCALE)
        + math.log(2 / (math.pi * SCALE))
        - math.log1p(ratio)
        + math.log(tau)  # the last: d tau / d log tau
        + _normal(z, tau if parameters["centered"] else 1.0)
        + _normal(pull * STANDARD_ERRORS, STANDARD_ERRORS)
    )
    by_tau = 1 - 2 * ratio / (1 + ratio)
    if parameters["centered"]:
        by_mu, by_tau, group, by_group = z.sum() / tau, by_tau + (z**2 - 1).sum(), "theta", pull - z / tau
    else:
        by_mu, by_tau, group, by_group = pull.sum(), by_tau + tau * (z @ pull), "z", tau * pull - z
    return logp, {"mu": by_mu - mu / SCALE**2, "tau_log__": by_tau, group: by_group}


def _normal(deviation: Any, sigma: Any) -> float:
    """Sum the log-densities of normal numbers, given how many standard deviations they are off."""
    return float(np.sum(-0.5 * np.square(deviation) - np.log(sigma) - 0.5 * math.log(2 * math.pi)))
