"""Eight schools as a user writes it: sampled, and predicted from."""

import numpy as np
import pymc as pm

effects = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
errors = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])

with pm.Model() as model:
    mu = pm.Normal("mu", 0.0, 5.0)
    tau = pm.HalfCauchy("tau", 5.0)
    z = pm.Normal("z", shape=8)
    pm.Normal("effect", mu + tau * z, errors, observed=effects)
    trace = pm.sample(draws=200, tune=200, chains=2, random_seed=1, progressbar=False)
    predicted = pm.sample_posterior_predictive(trace, random_seed=1, progressbar=False)

print(f"mu {float(trace['posterior']['mu'].mean()):.2f}")
