"""Lifetimes whose hazard has no closed integral: a Python loop sums it over the panels of the trapezoid rule.

Right answer: one line stands in the graph once for each panel. Cure: the panels are one more axis of one expression.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt


def build(panels: int = 30, patients: int = 25, *, cured: bool = False, seed: int = 3) -> pm.Model:
    """Build the model of `patients` whose cumulated hazard is taken over `panels`; `cured` writes it as one array."""
    rng = np.random.default_rng(seed)
    years = rng.weibull(1.5, size=patients) + 0.1
    died = rng.binomial(1, 0.7, size=patients)
    with pm.Model() as model:
        level = pm.Normal("level", 0.0, 1.0)
        slope = pm.Normal("slope", 0.0, 0.5)
        season = pm.HalfNormal("season", 0.5)

        def hazard(time):
            return pt.exp(level + slope * time + season * pt.cos(2 * np.pi * time))

        step = years / panels
        if cured:
            weight = np.r_[0.5, np.ones(panels - 1), 0.5]
            cumulated = (weight[:, None] * hazard(np.arange(panels + 1)[:, None] * step)).sum(axis=0) * step
        else:
            cumulated = 0.5 * (hazard(0 * years) + hazard(years))
            for panel in range(1, panels):
                cumulated = cumulated + hazard(panel * step)
            cumulated = cumulated * step
        pm.Potential("lives", (died * pt.log(hazard(years)) - cumulated).sum())
    return model
