"""Correlated measurements: a multivariate normal distribution with an LKJ prior on its correlations.

Watch for: the Cholesky factor is packed into one vector of d(d + 1)/2 values, filled into a matrix in the graph.
"""

from __future__ import annotations

import numpy as np
import pymc as pm


def build(n: int = 50, d: int = 3, seed: int = 1) -> pm.Model:
    """Build the model of `n` measurements of `d` quantities."""
    rng = np.random.default_rng(seed)
    mixing = np.eye(d) + 0.3 * rng.normal(size=(d, d))
    y = rng.normal(size=(n, d)) @ mixing.T
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 2.0, shape=d)
        cholesky, _, _ = pm.LKJCholeskyCov("cholesky", n=d, eta=2.0, sd_dist=pm.Exponential.dist(1.0, shape=d))
        pm.MvNormal("y", mu, chol=cholesky, observed=y)
    return model
