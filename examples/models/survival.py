"""Survival with a Weibull distribution: some patients were still alive when the study ended (censored).

Watch for: what a censored patient adds is a tail probability, which underflows for poor start values.
"""

from __future__ import annotations

import numpy as np
import pymc as pm


def build(n: int = 60, end: float = 2.0, seed: int = 1) -> pm.Model:
    """Build the regression of `n` survival times on treatment, with observation up to `end` years."""
    rng = np.random.default_rng(seed)
    treated = rng.binomial(1, 0.5, size=n)
    years = np.exp(0.3 + 0.7 * treated) * rng.weibull(1.4, size=n)
    with pm.Model() as model:
        shape = pm.Gamma("shape", 4.0, 2.0)
        intercept = pm.Normal("intercept", 0.0, 1.0)
        effect = pm.Normal("effect", 0.0, 1.0)
        scale = pm.math.exp(intercept + effect * treated)
        lifetime = pm.Weibull.dist(alpha=shape, beta=scale)
        pm.Censored("years", lifetime, lower=None, upper=end, observed=np.minimum(years, end))
    return model
