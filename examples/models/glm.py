"""Logistic regression: which of many features matter, with one weight each.

Watch for: the design matrix is a constant of the graph, so the number of nodes doesn't grow with `n` or `features`;
only evaluation does.
"""

from __future__ import annotations

import numpy as np
import pymc as pm


def build(n: int = 200, features: int = 5, seed: int = 1) -> pm.Model:
    """Build the regression of `n` coin flips on `features` standardised features."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, features))
    weights = rng.normal(size=features)
    flips = rng.binomial(1, 1 / (1 + np.exp(-(0.5 + x @ weights))))
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0.0, 2.0)
        beta = pm.Normal("beta", 0.0, 1.0, shape=features)
        pm.Bernoulli("flips", logit_p=intercept + pm.math.dot(x, beta), observed=flips)
    return model
