"""A declared workload: the model whose gradient an image has compiled."""

from __future__ import annotations

import numpy as np
import pymc as pm


def build() -> pm.Model:
    """Build a regression with made-up data; the seed makes them the same in each process."""
    random = np.random.default_rng(1)
    x = random.normal(size=50)
    with pm.Model() as model:
        slope = pm.Normal("slope")
        pm.Normal("y", slope * x, 1.0, observed=2 * x + random.normal(size=50))
    return model
