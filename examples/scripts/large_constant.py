"""Data of more than a million bytes as a constant: no cache keeps the function, in PyTensor 3.3.8.

``python large_constant.py cured`` puts them into `pm.Data`.
"""

import sys

import numpy as np
import pymc as pm

IS_CURED = sys.argv[1:] == ["cured"]
x = np.random.default_rng(1).normal(size=200_000)

with pm.Model() as model:
    slope, spread = pm.Normal("slope"), pm.HalfNormal("spread")
    values = pm.Data("values", x) if IS_CURED else x
    pm.Normal("y", slope, spread, observed=values)
    draws = pm.sample(20, tune=20, chains=1, cores=1, nuts_sampler="pymc", random_seed=1, progressbar=False)
print(round(float(draws["posterior"]["slope"].mean()), 1))
