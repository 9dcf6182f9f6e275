"""One model, sampled once, and looked at once: nothing in it is compiled needlessly."""

import numpy as np
import pymc as pm

with pm.Model() as model:
    mean, spread = pm.Normal("mean"), pm.HalfNormal("spread")
    pm.Normal("y", mean, spread, observed=np.arange(8.0))

with model:
    draws = pm.sample(200, tune=200, chains=2, cores=1, nuts_sampler="pymc", random_seed=1, progressbar=False)
    predicted = pm.sample_posterior_predictive(draws, random_seed=1, progressbar=False)
print(float(draws["posterior"]["mean"].mean()))
