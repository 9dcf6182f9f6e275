"""A mixture of normal distributions, the component of each point summed out (as NUTS needs it).

Watch for: `ordered` keeps the components from swapping names; it wants start values that differ.
"""

from __future__ import annotations

import numpy as np
import pymc as pm


def build(n: int = 100, components: int = 3, seed: int = 1) -> pm.Model:
    """Build the mixture of `components` for `n` points."""
    rng = np.random.default_rng(seed)
    centres = 4.0 * (np.arange(components) - (components - 1) / 2)
    y = rng.normal(rng.choice(centres, size=n), 1.0)
    with pm.Model() as model:
        weights = pm.Dirichlet("weights", np.ones(components))
        mu = pm.Normal("mu", 0.0, 5.0, shape=components, transform=pm.distributions.transforms.ordered, initval=centres)
        sigma = pm.HalfNormal("sigma", 2.0, shape=components)
        pm.NormalMixture("y", w=weights, mu=mu, sigma=sigma, observed=y)
    return model
