"""Birds counted by hours of watching: in some nights nobody watched, so the rate is exactly zero there.

Right answer: PyTensor's gradient is finite, JAX's own derivative of the same log-density is NaN in `usual` and `moon`:
a way is to be taken that is right. `cured` leaves out the nights without hours.
"""

from __future__ import annotations

import numpy as np
import pymc as pm


def build(nights: int = 24, *, cured: bool = False, seed: int = 3) -> pm.Model:
    """Build the regression of counts in `nights` on the moon."""
    rng = np.random.default_rng(seed)
    hours = rng.binomial(1, 0.7, size=nights) * rng.uniform(1, 6, size=nights)
    moonlight = rng.uniform(size=nights)
    birds = rng.poisson(hours * np.exp(0.5 + moonlight))
    if cured:
        watched = hours > 0
        hours, moonlight, birds = hours[watched], moonlight[watched], birds[watched]
    with pm.Model() as model:
        usual = pm.Gamma("usual", 2.0, 1.0)
        moon = pm.Normal("moon", 0.0, 2.0)
        pm.Poisson("birds", hours * usual * pm.math.exp(moon * moonlight), observed=birds)
    return model
