"""Soil moisture that follows itself from day to day, by scan, and was measured now and then: PyMC imputes the gaps.

Right answer: nothing is wrong. The step is of order one, so a scan is how to write it. JAX is by far the soonest.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt


def build(fields: int = 2, days: int = 20, *, imputed: bool = True, seed: int = 3) -> pm.Model:
    """Build the model of `fields` over `days`; without `imputed` the gaps are left out instead."""
    rng = np.random.default_rng(seed)
    measured = np.cumsum(rng.normal(0, 0.4, size=(days, fields)), axis=0)
    missing = rng.binomial(1, 0.6, size=measured.shape).astype(bool)
    with pm.Model() as model:
        stays = pm.Beta("stays", 5.0, 2.0)
        rain = pm.HalfNormal("rain", 1.0)
        noise = pm.HalfNormal("noise", 0.5)
        shower = pm.Normal("shower", shape=(days, fields))
        moisture = pytensor.scan(
            lambda shower, before, stays, rain: stays * before + rain * shower,
            sequences=[shower],
            outputs_info=[pt.zeros(fields)],
            non_sequences=[stays, rain],
            return_updates=False,
        )
        if imputed:
            pm.Normal("measured", moisture, noise, observed=np.ma.masked_array(measured, missing))
        else:
            day, field = np.nonzero(~missing)
            pm.Normal("measured", moisture[day, field], noise, observed=measured[day, field])
    return model
