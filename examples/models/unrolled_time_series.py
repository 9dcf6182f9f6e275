"""The stochastic volatility of `scan_time_series.py`, written with a Python loop over the steps: how not to do it.

Watch for: a node for every step and every operation, so compiling grows with `timesteps`. `firstgrad advise` recognises
it. The density is that of `scan_time_series.py`.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt


def build(timesteps: int = 40, seed: int = 1) -> pm.Model:
    """Build the model of `timesteps` returns."""
    rng = np.random.default_rng(seed)
    returns = rng.normal(0, np.exp(0.5 * np.sin(np.arange(timesteps) / 5)), size=timesteps)
    with pm.Model() as model:
        level = pm.Normal("level", 0.0, 1.0)
        decay = pm.Beta("decay", 20.0, 1.5)
        scale = pm.HalfNormal("scale", 0.5)
        shocks = pm.Normal("shocks", shape=timesteps)
        steps = [level]
        for step in range(timesteps):
            steps.append(level + decay * (steps[-1] - level) + scale * shocks[step])
        pm.Normal("returns", 0.0, pt.exp(pt.stack(steps[1:]) / 2), observed=returns)
    return model
