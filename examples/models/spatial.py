"""Disease counts on a grid of districts: neighbours are alike (intrinsic conditional autoregression, ICAR).

Watch for: the neighbour matrix is dense, so memory grows with the fourth power of `side`.
"""

from __future__ import annotations

import numpy as np
import pymc as pm


def build(side: int = 4, seed: int = 1) -> pm.Model:
    """Build the model of a grid of `side` by `side` districts."""
    rng = np.random.default_rng(seed)
    place = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
    neighbours = (np.abs(place[:, None] - place[None]).sum(axis=-1) == 1).astype(int)
    expected = rng.uniform(5.0, 20.0, size=side**2)
    cases = rng.poisson(expected * np.exp(0.2 * (place[:, 0] - place[:, 1])))
    with pm.Model() as model:
        level = pm.Normal("level", 0.0, 1.0)
        scale = pm.HalfNormal("scale", 1.0)
        district = pm.ICAR("district", W=neighbours)
        pm.Poisson("cases", expected * pm.math.exp(level + scale * district), observed=cases)
    return model
