"""Softplus by hand, ``log(1 + exp(x))``, where exp overflows: read literally it is infinite, compiled it is finite.

Right answer: nothing is wrong. PyTensor writes it as softplus, whatever it compiles to.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt


def build(steepness: float = 2000.0) -> pm.Model:
    """Build the model, whose term `cost` is about -2 `steepness` at the start point."""
    with pm.Model() as model:
        strain = pm.Normal("strain", 0.5, 1.0, shape=4, initval=np.full(4, 0.5))
        pm.Potential("cost", -pt.log(1 + pt.exp(steepness * strain)).sum())
    return model
