"""Tickets sold by bus stops passed: a design matrix of nearly nothing but zeros, kept sparse.

Right answer: nothing is wrong. At this size a dense matrix compiles sooner with JAX, which knows few sparse operations.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.sparse as ps
import pytensor.tensor as pt
import scipy.sparse


def build(rides: int = 150, stops: int = 40, *, dense: bool = False, seed: int = 3) -> pm.Model:
    """Build the regression of `rides`, each past two of `stops`."""
    rng = np.random.default_rng(seed)
    passed = rng.integers(0, stops, size=(rides, 2))
    places = (np.repeat(np.arange(rides), 2), passed.ravel())
    matrix = scipy.sparse.csr_matrix((np.ones(2 * rides), places), shape=(rides, stops))
    tickets = rng.poisson(np.exp(1.0 + matrix @ rng.normal(0, 0.3, size=stops)))
    with pm.Model() as model:
        usual = pm.Normal("usual", 1.0, 1.0)
        weight = pm.Normal("weight", 0.0, 0.5, shape=stops)
        if dense:
            effect = pt.dot(matrix.toarray(), weight)
        else:
            effect = ps.structured_dot(ps.as_sparse_variable(matrix), weight[:, None])[:, 0]
        pm.Poisson("tickets", pt.exp(usual + effect), observed=tickets)
    return model
