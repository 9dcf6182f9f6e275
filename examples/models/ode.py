"""Hares and lynxes (Lotka and Volterra): an ordinary differential equation, integrated within the graph by `scan`.

Watch for: `method` "rk4" takes four times the operations of "euler" in each step, so the graph differs, and so does
what it costs to compile. `pm.ode.DifferentialEquation` calls SciPy instead, which JAX cannot compile.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt


def build(steps: int = 20, method: str = "rk4", seed: int = 1) -> pm.Model:
    """Build the model of `steps` observed years, integrated by "euler" or "rk4"."""
    rng = np.random.default_rng(seed)
    observed = np.exp(rng.normal(0, 0.2, size=(steps, 2))) * [30.0, 8.0]
    dt = 0.1
    with pm.Model() as model:
        birth = pm.LogNormal("birth", np.log(0.55), 0.2)
        eaten = pm.LogNormal("eaten", np.log(0.028), 0.2)
        growth = pm.LogNormal("growth", np.log(0.024), 0.2)
        death = pm.LogNormal("death", np.log(0.8), 0.2)
        start = pm.LogNormal("start", np.log([30.0, 8.0]), 0.3, shape=2)
        noise = pm.HalfNormal("noise", 0.5)

        def slope(state, birth, eaten, growth, death):
            hares, lynxes = state[0], state[1]
            return pt.stack([(birth - eaten * lynxes) * hares, (growth * hares - death) * lynxes])

        def step(state, *rates):
            one = slope(state, *rates)
            if method == "euler":
                return state + dt * one
            two = slope(state + dt / 2 * one, *rates)
            three = slope(state + dt / 2 * two, *rates)
            four = slope(state + dt * three, *rates)
            return state + dt / 6 * (one + 2 * two + 2 * three + four)

        animals = pytensor.scan(
            step,
            outputs_info=[start],
            non_sequences=[birth, eaten, growth, death],
            n_steps=steps,
            return_updates=False,
        )
        pm.LogNormal("animals", pt.log(animals), noise, observed=observed)
    return model
