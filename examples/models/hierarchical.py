"""Varying intercepts and slopes (as radon in Minnesota): houses within counties, written with `coords` and `dims`.

Watch for: `pm.Data` gives `county` to the graph as an input; with JAX it needs a static shape, hence `shape=`.
"""

from __future__ import annotations

import numpy as np
import pymc as pm


def build(counties: int = 8, houses: int = 10, seed: int = 1) -> pm.Model:
    """Build the regression for `counties` with `houses` each."""
    rng = np.random.default_rng(seed)
    county = np.repeat(np.arange(counties), houses)
    floor = rng.binomial(1, 0.3, size=county.size).astype(float)
    radon = rng.normal(1.3, 0.3, size=counties)[county] - 0.6 * floor + rng.normal(0, 0.7, size=county.size)
    coords = {"county": [f"county {number}" for number in range(counties)], "house": np.arange(county.size)}
    with pm.Model(coords=coords) as model:
        county_of = pm.Data("county_of", county, dims="house", shape=county.shape)
        basement = pm.Data("basement", floor, dims="house", shape=floor.shape)
        mean = pm.Normal("mean", 0.0, 2.0)
        spread = pm.HalfNormal("spread", 1.0)
        offset = pm.Normal("offset", dims="county")
        slope_mean = pm.Normal("slope_mean", 0.0, 1.0)
        slope_spread = pm.HalfNormal("slope_spread", 1.0)
        slope = pm.Normal("slope", slope_mean, slope_spread, dims="county")
        intercept = pm.Deterministic("intercept", mean + spread * offset, dims="county")
        noise = pm.Exponential("noise", 1.0)
        pm.Normal("radon", intercept[county_of] + slope[county_of] * basement, noise, observed=radon, dims="house")
    return model
