"""River flow from rain: what the soil kept is raised to a power, and one gauge starts with dry days.

Right answer: the gradient by `kept` is NaN in the last of its values alone. The derivative of ``x ** a`` by ``x`` is
infinite at 0 when ``a`` is below 1, and ``x`` is 0 times `kept` there. Cure: a floor before the power. There is no mask
in it, so nothing is to be said of masks; and without dry days nothing is wrong.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt


def build(days: int = 40, gauges: int = 2, dry: int = 5, *, cured: bool = False, seed: int = 3) -> pm.Model:
    """Build the model of `days` of flow at `gauges`, the last of them dry for `dry` days; `cured` has the floor."""
    rng = np.random.default_rng(seed)
    rain = rng.gamma(1.5, 1.0, size=(days, gauges)) + 0.01
    rain[:dry, -1] = 0.0
    memory = 4
    before = np.stack([np.vstack([np.zeros((lag, gauges)), rain[: days - lag]]) for lag in range(memory)])
    flow = 1.0 + rain.sum(axis=1) ** 0.6 + rng.normal(0, 0.2, size=days)
    with pm.Model(coords={"gauge": [f"gauge {number}" for number in range(gauges)]}) as model:
        kept = pm.Beta("kept", 2.0, 3.0, dims="gauge")
        bend = pm.Beta("bend", 3.0, 3.0, dims="gauge")
        share = pm.HalfNormal("share", 1.0, dims="gauge")
        noise = pm.HalfNormal("noise", 1.0)
        weight = kept ** np.arange(memory)[:, None]
        soil = (weight[:, None, :] * before).sum(axis=0)
        if cured:
            soil = pt.maximum(soil, 1e-9)
        runoff = share * soil**bend
        pm.Normal("flow", 1.0 + runoff.sum(axis=1), noise, observed=flow)
    return model
