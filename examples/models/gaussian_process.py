"""A Gaussian process with its length scale unknown, the latent function marginalised out.

Watch for: evaluation grows with `n` to the third power (a Cholesky factor and its gradient), compiling hardly at all.
"""

from __future__ import annotations

import numpy as np
import pymc as pm


def build(n: int = 20, seed: int = 1) -> pm.Model:
    """Build the regression on `n` points of a noisy sine."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 10, n)[:, None]
    y = np.sin(x[:, 0]) + rng.normal(0, 0.2, size=n)
    with pm.Model() as model:
        length = pm.InverseGamma("length", alpha=5.0, beta=5.0)
        height = pm.HalfNormal("height", 2.0)
        noise = pm.HalfNormal("noise", 1.0)
        process = pm.gp.Marginal(cov_func=height**2 * pm.gp.cov.Matern52(1, ls=length))
        process.marginal_likelihood("y", X=x, y=y, sigma=noise)
    return model
