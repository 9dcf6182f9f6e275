"""Predictions for one set of predictors after the other: the function is compiled for each.

``python predict_again.py cured`` freezes the model, which then keeps its functions.
"""

import sys

import numpy as np
import pymc as pm
from pymc.model.transform.optimization import freeze_model

with pm.Model() as model:
    x = pm.Data("x", np.arange(8.0))
    slope, spread = pm.Normal("slope"), pm.HalfNormal("spread")
    pm.Normal("y", slope * x, spread, observed=2 * np.arange(8.0), shape=x.shape)
    draws = pm.sample(100, tune=200, chains=1, cores=1, nuts_sampler="pymc", random_seed=1, progressbar=False)

used = freeze_model(model) if sys.argv[1:] == ["cured"] else model
for start in range(4):
    with used:
        pm.set_data({"x": np.arange(5.0) + start})
        predicted = pm.sample_posterior_predictive(draws, predictions=True, random_seed=1, progressbar=False)
    print(round(float(predicted["predictions"]["y"].mean()), 1))
