"""A model of which it is known what each line makes."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt


def soft(value):
    return pt.log1p(pt.exp(value))  # LINE soft


def build(terms: int = 30) -> pm.Model:
    """Build a model in which one line makes `terms` terms of a sum."""
    x = np.linspace(0.1, 1.0, 7)
    with pm.Model() as model:
        slope = pm.Normal("slope", 0.0, 1.0)  # LINE slope
        scale = pm.HalfNormal("scale", 1.0)  # LINE scale
        total = slope * x
        for number in range(terms):
            total = total + pt.sin(slope * (number + 1.5)) ** 2  # LINE loop
        steps = pytensor.scan(
            lambda before: pt.tanh(before * slope),
            outputs_info=[pt.as_tensor(1.0, dtype="float64")],
            n_steps=3,
            return_updates=False,
        )
        pm.Potential("curb", -steps[-1] * soft(scale))  # LINE curb
        pm.Normal("seen", total, scale, observed=np.cos(x))  # LINE seen
    return model
