"""Eight schools (Rubin 1981): what coaching did to test scores, school by school."""

from __future__ import annotations

import numpy as np
import pymc as pm

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
STANDARD_ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def build(*, centered: bool = False) -> pm.Model:
    """Build the model, written centred or not."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 5.0)
        tau = pm.HalfCauchy("tau", 5.0)
        theta = pm.Normal("theta", mu, tau, shape=8) if centered else mu + tau * pm.Normal("z", shape=8)
        pm.Normal("effect", theta, STANDARD_ERRORS, observed=EFFECTS)
    return model
