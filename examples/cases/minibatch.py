"""A robust regression on small batches of its rows, as `pm.fit` takes it.

Right answer: nothing is wrong. Each evaluation draws other rows, so values and gradients cannot be compared with each
other: that is to be said, and is no alarm.
"""

from __future__ import annotations

import numpy as np
import pymc as pm


def build(rows: int = 500, features: int = 3, batch: int = 32, seed: int = 3) -> pm.Model:
    """Build the regression of `rows` on `features`, of which a `batch` is seen at a time."""
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(rows, features))
    outcome = design @ np.arange(features) + rng.standard_t(4, size=rows)
    with pm.Model() as model:
        seen_design, seen_outcome = pm.Minibatch(
            pm.Data("design", design), pm.Data("outcome", outcome), batch_size=batch
        )
        weight = pm.Normal("weight", 0.0, 2.0, shape=features)
        noise = pm.HalfNormal("noise", 1.0)
        pm.StudentT("seen", nu=4, mu=seen_design @ weight, sigma=noise, observed=seen_outcome, total_size=rows)
    return model
