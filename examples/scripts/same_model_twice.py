"""One model is sampled by two lines, and compiled by both: ``python same_model_twice.py cured`` compiles it once."""

import sys

import numpy as np
import nutpie
import pymc as pm

with pm.Model() as model:
    mean, spread = pm.Normal("mean"), pm.HalfNormal("spread")
    pm.Deterministic("twice", 2 * mean)
    pm.Normal("y", mean, spread, observed=np.arange(8.0))

if sys.argv[1:] == ["cured"]:
    compiled = nutpie.compile_pymc_model(model)
    short = nutpie.sample(compiled, draws=50, tune=50, chains=1, seed=1, progress_bar=False)
    long = nutpie.sample(compiled, draws=500, tune=200, chains=1, seed=1, progress_bar=False)
else:
    with model:
        short = pm.sample(50, tune=50, chains=1, random_seed=1, progressbar=False)
        long = pm.sample(500, tune=200, chains=1, random_seed=1, progressbar=False)
print(float(long["posterior"]["mean"].mean()))
