"""Insects in traps, week by week, with a named variable for each cell of the table: how not to do it.

Right answer: terms of one kind, a cell each; two arrays are the cure. The log-density is a sum of more than 32 terms,
more than NumPy takes operands, and must be evaluated all the same.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt


def build(traps: int = 5, weeks: int = 7, *, cured: bool = False, seed: int = 3) -> pm.Model:
    """Build the model of counts in `traps` over `weeks`; `cured` writes them as arrays."""
    rng = np.random.default_rng(seed)
    caught = rng.poisson(rng.gamma(3.0, 1.0, size=(traps, 1)), size=(traps, weeks))
    with pm.Model() as model:
        usual = pm.Normal("usual", 1.0, 1.0)
        if cured:
            place = pm.Normal("place", 0.0, 1.0, shape=(traps, 1))
            weather = pm.Normal("weather", 0.0, 0.3, shape=(traps, weeks))
            pm.Poisson("caught", pt.exp(usual + place + weather), observed=caught)
            return model
        for trap in range(traps):
            place = pm.Normal(f"place_{trap}", 0.0, 1.0)
            for week in range(weeks):
                weather = pm.Normal(f"weather_{trap}_{week}", 0.0, 0.3)
                rate = pm.Deterministic(f"rate_{trap}_{week}", pt.exp(usual + place + weather))
                pm.Poisson(f"caught_{trap}_{week}", rate, observed=caught[trap, week])
    return model
