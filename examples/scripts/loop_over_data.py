"""A model a data set, each compiled anew.

``python loop_over_data.py [nutpie|pymc] [cured]``: by which sampler, and with one model whose data change instead.
"""

import sys

import numpy as np
import nutpie
import pymc as pm
from pymc.model.transform.optimization import freeze_model

SAMPLER = "pymc" if "pymc" in sys.argv else "nutpie"
DATA = [np.arange(8.0) + step for step in range(3)]
OPTIONS = {"draws": 200, "tune": 200, "chains": 1}


def build(values, *, is_data=False):
    with pm.Model() as model:
        mean, spread = pm.Normal("mean", 0, 10), pm.HalfNormal("spread")
        pm.Normal("y", mean, spread, observed=pm.Data("values", values) if is_data else values)
    return model


def sample(model):
    with model:
        return pm.sample(**OPTIONS, cores=1, nuts_sampler=SAMPLER, random_seed=1, progressbar=False)


if "cured" not in sys.argv:
    results = [sample(build(values)) for values in DATA]
elif SAMPLER == "nutpie":
    compiled = nutpie.compile_pymc_model(build(DATA[0], is_data=True))
    results = [
        nutpie.sample(compiled.with_data(values=values), **OPTIONS, seed=1, progress_bar=False) for values in DATA
    ]
else:
    frozen = freeze_model(build(DATA[0], is_data=True))
    results = []
    for values in DATA:
        with frozen:
            pm.set_data({"values": values})
        results.append(sample(frozen))
print([round(float(draws["posterior"]["mean"].mean()), 1) for draws in results])
