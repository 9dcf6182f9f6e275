"""A Gaussian process over days and hours, by the eigenvalues of two covariances, some of which nearly coincide.

Right answer: the gradient is wrong, and differs from backend to backend; the derivative of an eigendecomposition
divides by the differences of eigenvalues. `cured` takes a Cholesky factor of the whole covariance.
"""

from __future__ import annotations

import numpy as np
import pymc as pm


def build(days: int = 8, hours: int = 7, *, cured: bool = False, seed: int = 3) -> pm.Model:
    """Build the process on a grid of `days` by `hours`; what repeats itself does so every four hours."""
    rng = np.random.default_rng(seed)
    across, along = np.linspace(0, 3, days)[:, None], np.arange(float(hours))[:, None]
    seen = rng.normal(size=days * hours)
    with pm.Model() as model:
        width = pm.InverseGamma("width", 5, 5)
        length = pm.InverseGamma("length", 5, 5)
        noise = pm.HalfNormal("noise", 1.0)
        if cured:
            points = np.array([[x, y] for x in across[:, 0] for y in along[:, 0]])
            cov = pm.gp.cov.Matern52(2, width, active_dims=[0]) * pm.gp.cov.Periodic(2, 4.0, ls=length, active_dims=[1])
            pm.gp.Marginal(cov_func=cov).marginal_likelihood("seen", points, seen, sigma=noise)
        else:
            covs = [pm.gp.cov.Matern52(1, width), pm.gp.cov.Periodic(1, period=4.0, ls=length)]
            pm.gp.MarginalKron(cov_funcs=covs).marginal_likelihood("seen", [across, along], seen, sigma=noise)
    return model
