"""Mining disasters (a change of rate in an unknown year): a discrete variable beside continuous ones.

Watch for: only the two rates have a gradient. It is taken with the year held at its start value, as NUTS does within a
compound step; a record says so. PyMC would sample the year by Metropolis steps in between.
"""

from __future__ import annotations

import numpy as np
import pymc as pm


def build(years: int = 40, seed: int = 1) -> pm.Model:
    """Build the model of `years` counts, of which the later half are lower."""
    rng = np.random.default_rng(seed)
    number = np.arange(years)
    disasters = rng.poisson(np.where(number < years // 2, 3.0, 1.0))
    with pm.Model() as model:
        change = pm.DiscreteUniform("change", 0, years - 1)
        early = pm.Exponential("early", 1.0)
        late = pm.Exponential("late", 1.0)
        pm.Poisson("disasters", pm.math.switch(change > number, early, late), observed=disasters)
    return model
