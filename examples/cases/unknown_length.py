"""A level that wanders, by a Kalman filter of one's own; the series is `pm.Data`, so the graph doesn't know its length.

Right answer: JAX refuses a length that is computed, Numba takes long; JAX isn't lost, though, for with `frozen`
(`freeze_dims_and_data`) it takes the model, and is soonest.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt


def build(days: int = 30, *, frozen: bool = False, seed: int = 3) -> pm.Model:
    """Build the model of a series of `days`; `frozen` makes constants of data and lengths."""
    rng = np.random.default_rng(seed)
    series = np.cumsum(rng.normal(0, 0.3, size=days)) + rng.normal(0, 0.5, size=days)
    with pm.Model() as model:
        data = pm.Data("series", series)
        wander = pm.HalfNormal("wander", 0.5)
        noise = pm.HalfNormal("noise", 0.5)

        def step(number, mean, variance, data, wander, noise):
            spread = variance + wander**2 + noise**2
            missed = data[number] - mean
            gain = (variance + wander**2) / spread
            return mean + gain * missed, gain * noise**2, -0.5 * (pt.log(2 * np.pi * spread) + missed**2 / spread)

        _, _, terms = pytensor.scan(
            step,
            sequences=[pt.arange(data.shape[0])],
            outputs_info=[pt.as_tensor(0.0, dtype="float64"), pt.as_tensor(1.0, dtype="float64"), None],
            non_sequences=[data, wander, noise],
            return_updates=False,
        )
        pm.Potential("filter", terms.sum())
    if frozen:
        from pymc.model.transform.optimization import freeze_dims_and_data

        return freeze_dims_and_data(model)
    return model
