"""A user's model, as small as a model can be: a pair, a model alone, a discrete one, and one with NaN values."""

from __future__ import annotations

import numpy as np
import pymc as pm


def build(n: int = 3):
    model = alone(n)
    return model, model.initial_point()


def alone(n: int = 3):
    with pm.Model() as model:
        mu = pm.Normal("mu")
        sigma = pm.HalfNormal("sigma")
        pm.Normal("y", mu, sigma, observed=np.arange(float(n)))
    return model


def only_discrete():
    with pm.Model() as model:
        pm.Poisson("k", 3.0)
    return model


def with_nan():
    with pm.Model() as model:
        a = pm.Normal("a")
        b = pm.Normal("b", shape=4)
        # The norm of (0, 0): its value is finite, its gradient 0 / 0.
        pm.Potential("bad", a * pm.math.sqrt(b[0] ** 2 + b[1] ** 2))
    return model, {"a": np.array(1.0), "b": np.zeros(4)}


def with_wrong_start():
    return alone(), {"mu": np.array(0.0)}
