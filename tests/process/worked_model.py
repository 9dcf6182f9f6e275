"""A small model whose gradient or rewriting does some more work: `plant` says where."""

from __future__ import annotations

import numpy as np


def nothing() -> None:
    """Be called."""


def _plant(place: object, name: str, calls: int) -> None:
    """Put a function around another one, also where it does no more: each node keeps the stack that made it."""
    function = getattr(place, name)

    def with_more_work(*args, **options):
        nonlocal calls
        for _ in range(calls):
            nothing()
        calls = 0
        return function(*args, **options)

    setattr(place, name, with_more_work)


def build(plant: str = "gradient", calls: int = 0):
    """Make the model, and have PyTensor call `nothing` so often: for the gradient of a power, or in a rewriter."""
    import pymc as pm
    from pytensor.scalar.basic import Pow
    from pytensor.tensor.rewriting.math import local_mul_exp_to_exp_add

    _plant(Pow, "pullback" if hasattr(Pow, "pullback") else "L_op", calls * (plant == "gradient"))
    _plant(local_mul_exp_to_exp_add, "fn", calls * (plant == "rewriting"))
    with pm.Model() as model:
        level = pm.Normal("level", 0.0, 2.0)
        spread = pm.HalfNormal("spread", 1.5, shape=2)
        effect = pm.Normal("effect", level, spread, shape=2)
        pm.Normal("seen", effect, 0.5, observed=np.array([0.25, -0.75]))
    return model
