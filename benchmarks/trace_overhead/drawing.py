"""A script that draws much and compiles little: PyMC's own sampler on a small model, so that each call is short."""

import sys

import numpy as np
import pymc as pm

if __name__ == "__main__":
    seen = np.random.default_rng(1).normal(1.0, 2.0, size=(30, 8))
    with pm.Model():
        level = pm.Normal("level", 0.0, 5.0, shape=8)
        spread = pm.HalfNormal("spread", 5.0)
        pm.Normal("seen", level, spread, observed=seen)
        drawn = pm.sample(
            draws=int(sys.argv[1]), tune=500, chains=2, cores=1, random_seed=1, nuts_sampler="pymc", progressbar=False
        )
    print(float(drawn.posterior["level"].sum()).hex())
