"""Stochastic volatility that decays to its mean, step by step in a `pytensor.scan`.

Watch for: with `scan` the graph is as large for 1000 steps as for 10, and each step costs at evaluation; PyMC before
5.27 has no JAX for the gradient of a scan.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt


def build(timesteps: int = 20, seed: int = 1) -> pm.Model:
    """Build the model of `timesteps` returns."""
    rng = np.random.default_rng(seed)
    returns = rng.normal(0, np.exp(0.5 * np.sin(np.arange(timesteps) / 5)), size=timesteps)
    with pm.Model() as model:
        level = pm.Normal("level", 0.0, 1.0)
        decay = pm.Beta("decay", 20.0, 1.5)
        scale = pm.HalfNormal("scale", 0.5)
        shocks = pm.Normal("shocks", shape=timesteps)

        def step(shock, before, level, decay, scale):
            return level + decay * (before - level) + scale * shock

        volatility = pytensor.scan(
            step, sequences=[shocks], outputs_info=[level], non_sequences=[level, decay, scale], return_updates=False
        )
        pm.Normal("returns", 0.0, pt.exp(volatility / 2), observed=returns)
    return model
