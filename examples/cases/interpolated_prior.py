"""Last season's posterior as this season's prior: a density that is known on a grid, and interpolated.

Right answer: JAX doesn't know the spline (`pm.Interpolated`) of `start` and `growth`; Numba works, but calls back into
Python for it. `cured` writes them as Normals with the same mean and spread.
"""

from __future__ import annotations

import numpy as np
import pymc as pm


def build(plants: int = 30, grid: int = 50, *, cured: bool = False, seed: int = 3) -> pm.Model:
    """Build the regression of the heights of `plants`, whose priors are known on a `grid`."""
    rng = np.random.default_rng(seed)
    weeks = rng.uniform(0, 5, size=plants)
    heights = 2.0 + 1.5 * weeks + rng.normal(0, 0.5, size=plants)
    with pm.Model() as model:
        line = []
        for name, centre in (("start", 2.0), ("growth", 1.5)):
            points = np.linspace(centre - 3, centre + 3, grid)
            if cured:
                line.append(pm.Normal(name, centre, 0.8))
            else:
                line.append(pm.Interpolated(name, points, np.exp(-0.5 * ((points - centre) / 0.8) ** 2)))
        noise = pm.HalfNormal("noise", 1.0)
        pm.Normal("heights", line[0] + line[1] * weeks, noise, observed=heights)
    return model
