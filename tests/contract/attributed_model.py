"""A user's model of which one can say beforehand which operation belongs to which variable."""

from __future__ import annotations

import numpy as np
import pymc as pm


def build():
    with pm.Model() as model:
        level = pm.Normal("level", shape=4)
        spread = pm.HalfNormal("spread")
        # The only cumulative sum of the log-density: it is level's.
        pm.Normal("y", pm.math.cumsum(level), spread, observed=np.arange(4.0))
    return model, {"level": np.zeros(4), "spread_log__": np.array(0.1)}
