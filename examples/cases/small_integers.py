"""Shares with a prior that is sure of itself, its parameters written as whole numbers.

Right answer: the start point is NaN and the log-density infinite. PyTensor keeps 90 and 60 in 8 bits, and their sum is
more than fits (127). Cure: write them with a point.
"""

from __future__ import annotations

import numpy as np
import pymc as pm


def build(shops: int = 3, *, cured: bool = False, seed: int = 3) -> pm.Model:
    """Build the model of sales in `shops`; `cured` has the point."""
    sold = np.random.default_rng(seed).binomial(200, 0.6, size=shops)
    yes, no = (90.0, 60.0) if cured else (90, 60)
    with pm.Model() as model:
        share = pm.Beta("share", yes, no, shape=shops)
        pm.Binomial("sold", n=200, p=share, observed=sold)
    return model
