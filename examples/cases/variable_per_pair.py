"""Who lends to whom in a village: households have a place on a map, and each pair a Bernoulli variable of its own.

Right answer: as many terms of one kind as there are pairs, so the graph grows with the square of `households`; one
Bernoulli of all pairs is the cure. With `discrete` a household belongs to a group instead, and a gradient holds it.
"""

from __future__ import annotations

import numpy as np
import pymc as pm


def build(households: int = 9, *, discrete: bool = False, cured: bool = False, seed: int = 3) -> pm.Model:
    """Build the model of all pairs of `households`; `cured` has one observed variable."""
    rng = np.random.default_rng(seed)
    one, other = np.triu_indices(households, 1)
    lent = rng.binomial(1, 0.4, size=one.size)
    with pm.Model() as model:
        usual = pm.Normal("usual", 0.0, 1.0)
        if discrete:
            bond = pm.Normal("bond", 0.0, 1.0, shape=(2, 2))
            member = pm.Categorical("member", p=[0.5, 0.5], shape=households)
        else:
            place = pm.Normal("place", 0.0, 1.0, shape=(households, 2))

        def closeness(left, right):
            if discrete:
                return usual + bond[member[left], member[right]]
            return usual - ((place[left] - place[right]) ** 2).sum(axis=-1)

        if cured:
            pm.Bernoulli("lent", logit_p=closeness(one, other), observed=lent)
        else:
            for number, (left, right) in enumerate(zip(one, other, strict=True)):
                pm.Bernoulli(f"lent_{left}_{right}", logit_p=closeness(left, right), observed=lent[number])
    return model
