"""Seeds around a tree: the share that falls within a radius is a hypergeometric function with free parameters.

Right answer: PyTensor's derivative of `hyp2f1` by its parameters is a loop that its JAX mode doesn't know; name the
function and not the inside of the loop. JAX's own derivative works (`jax_direct`), and so does Numba.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt


def build(rings: int = 6, seed: int = 3) -> pm.Model:
    """Build the model of the seeds found within each of `rings` radii."""
    rng = np.random.default_rng(seed)
    radius = np.linspace(1.0, 6.0, rings)
    found = rng.poisson(4 * radius**1.5)
    with pm.Model() as model:
        seeds = pm.Gamma("seeds", 4.0, 1.0)
        near = pm.Gamma("near", 9.0, 6.0)
        tail = pm.Gamma("tail", 9.0, 4.0)
        reach = 12.0
        # The integral of x ** (near - 1) * (1 + x / reach) ** -tail from 0 to the radius.
        share = radius**near / near * pt.hyp2f1(tail, near, near + 1, -radius / reach)
        pm.Poisson("found", seeds * share, observed=found)
    return model
