"""Eight schools (Rubin 1981), or as many as are asked for."""

import numpy as np
import pymc as pm

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
STANDARD_ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def build(schools: int = 8) -> pm.Model:
    """Build the model of the first schools; more than eight repeat them."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 5.0)
        tau = pm.HalfCauchy("tau", 5.0)
        theta = mu + tau * pm.Normal("z", shape=schools)
        pm.Normal("effect", theta, np.resize(STANDARD_ERRORS, schools), observed=np.resize(EFFECTS, schools))
    return model
