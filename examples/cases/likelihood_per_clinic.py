"""Recovery times in many clinics, each clinic with a log-normal likelihood of its own: how not to do it.

Right answer: the terms `days_0`, `days_1`, ... are one subgraph each; one likelihood of all patients, with the clinic's
number as an index, is the cure. With nutpie and Numba this costs memory above all: its wrapper compiles all of it anew.
"""

from __future__ import annotations

import numpy as np
import pymc as pm


def build(clinics: int = 8, patients: int = 10, *, cured: bool = False, seed: int = 3) -> pm.Model:
    """Build the model of `patients` in each of `clinics`; `cured` has one likelihood."""
    rng = np.random.default_rng(seed)
    dose = rng.uniform(0.5, 3.0, size=(clinics, patients))
    days = rng.lognormal(2.5 - 0.4 * dose, 0.3)
    with pm.Model() as model:
        typical = pm.Normal("typical", 2.0, 1.0)
        spread = pm.HalfNormal("spread", 0.5)
        if cured:
            offset = pm.Normal("offset", shape=(clinics, 1))
            half = pm.Gamma("half", 4.0, 2.0, shape=(clinics, 1))
            noise = pm.Exponential("noise", 3.0, shape=(clinics, 1))
            pm.LogNormal("days", typical + spread * offset - dose / (dose + half), noise, observed=days)
            return model
        for clinic in range(clinics):
            offset = pm.Normal(f"offset_{clinic}")
            half = pm.Gamma(f"half_{clinic}", 4.0, 2.0)
            noise = pm.Exponential(f"noise_{clinic}", 3.0)
            middle = typical + spread * offset - dose[clinic] / (dose[clinic] + half)
            pm.LogNormal(f"days_{clinic}", middle, noise, observed=days[clinic])
    return model
