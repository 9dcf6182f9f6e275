"""Models whose functions are kept, and what a process says that takes their gradients: ``python kept_models.py``."""

from __future__ import annotations

import json
import sys
import warnings

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

import firstgrad
from firstgrad.fast.digest import of_model


def of_a_loop():
    with pm.Model() as model:
        scale = pm.HalfNormal("scale")
        steps = [pm.Normal(f"step_{place}", 0.0, scale, shape=3) for place in range(4)]
        pm.Normal("seen", pt.stack(steps).sum(axis=0), 1.0, observed=pm.Data("data", [0.1, 0.2, 0.3]))
    return model


def with_a_state():
    with pm.Model() as model:
        factor = pm.Beta("factor", 2, 2)
        states = pytensor.scan(
            lambda last, factor: last * factor,
            outputs_info=factor,
            non_sequences=[factor],
            n_steps=4,
            return_updates=False,
        )
        pm.Potential("seen", -pt.sum((states - np.arange(4.0)) ** 2))
    return model


def with_a_covariance():
    """A Cholesky factor is LAPACK's work, which JAX finds when it first lowers one."""
    with pm.Model() as model:
        reach = pm.HalfNormal("reach")
        distance = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))
        cov = pt.exp(-distance / reach) + 0.1 * np.eye(4)
        pm.MvNormal("seen", np.zeros(4), cov=cov, observed=[0.1, 0.4, -0.2, 0.3])
    return model


def with_a_density_of_ones_own():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 3.0)
        pm.CustomDist("seen", mu, logp=lambda value, mu: -((value - mu) ** 4), observed=2.0)
    return model


def with_a_held_value():
    with pm.Model() as model:
        kind = pm.Bernoulli("kind", 0.3)
        mu = pm.Normal("mu", 1.0 + kind)
        pm.Normal("seen", mu, 1.0, observed=2.0)
    return model


def with_a_gradient_that_jax_gets_wrong():
    with pm.Model() as model:
        x = pm.Normal("x", initval=0.0)
        pm.Potential("p", pt.switch(x > 0, x * pt.log(x), 0.0))
    return model


MODELS = {
    name: make for name, make in list(globals().items()) if name.startswith(("of_", "with_")) and name != "of_model"
}


def answers():
    """What each model's gradient gives here, and where it came from."""
    warnings.simplefilter("ignore")
    said = {}
    for name, make in MODELS.items():
        model = make()
        gradient = firstgrad.fast_gradient(model)
        logp, flat = gradient(np.full(gradient.size, 0.1))
        said[name] = {
            "digest": of_model(model).text,
            "kept": gradient.kept,
            "way": gradient.way,
            "notes": list(gradient.notes),
            "names": list(gradient.names),
            "logp": logp.hex(),
            "gradient": [one.hex() for one in flat.tolist()],
        }
    return said


if __name__ == "__main__":
    import jax

    steps = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: steps.append(event))
    said = answers()
    json.dump({"said": said, "steps": steps, "modules": sorted(sys.modules)}, sys.stdout)
