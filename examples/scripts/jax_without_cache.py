"""With JAX, and no folder for its cache: each process compiles all of it again.

``JAX_COMPILATION_CACHE_DIR=~/.cache/jax JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0`` before ``python`` keeps it.
"""

import numpy as np
import pymc as pm

with pm.Model() as model:
    mean, spread = pm.Normal("mean"), pm.HalfNormal("spread")
    pm.Normal("y", mean, spread, observed=np.arange(8.0))
    draws = pm.sample(100, tune=100, chains=1, backend="jax", random_seed=1, progressbar=False)
print(round(float(draws["posterior"]["mean"].mean()), 1))
