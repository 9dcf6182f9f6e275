"""How much of a drug is free in the blood: an equation solved by an Op of one's own, with a derivative that is wrong.

Right answer: the gradient is suspect, in the group `half` and by the Op `FreeDrug`; with `cured` nothing is wrong. The
Op has no JAX, which is to be said with its name and what does work.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op


class FreeDrug(Op):
    """The root `free` of ``free + capacity * free / (half + free) = dose``."""

    __props__ = ("right",)

    def __init__(self, right):
        self.right = right

    def make_node(self, dose, capacity, half):
        """Make a node of three vectors or numbers."""
        inputs = [pt.as_tensor_variable(value) for value in (dose, capacity, half)]
        return Apply(self, inputs, [inputs[0].type()])

    def perform(self, node, inputs, outputs):
        """Solve it: a quadratic equation."""
        dose, capacity, half = inputs
        middle = (dose - capacity - half) / 2
        outputs[0][0] = np.asarray(middle + np.sqrt(middle**2 + half * dose), dtype=node.outputs[0].dtype)

    def pullback(self, inputs, outputs, cotangents):
        """Derive by implicit differentiation; `half` with one power too few unless it is to be `right`."""
        _, capacity, half = inputs
        free = outputs[0]
        whole = half + free
        by_dose = cotangents[0] / (1 + capacity * half / whole**2)
        by_half = capacity * free / (whole**2 if self.right else whole)
        return [by_dose, (-by_dose * free / whole).sum(), (by_dose * by_half).sum()]


def build(samples: int = 20, *, cured: bool = False, seed: int = 3) -> pm.Model:
    """Build the model of `samples` of blood; `cured` has the right derivative."""
    rng = np.random.default_rng(seed)
    dose = rng.uniform(0.5, 8.0, size=samples)
    effect = 2.0 * np.sqrt(dose) + rng.normal(0, 0.2, size=samples)
    with pm.Model() as model:
        capacity = pm.Gamma("capacity", 6.0, 3.0)
        half = pm.Gamma("half", 4.0, 4.0)
        strength = pm.HalfNormal("strength", 2.0)
        noise = pm.HalfNormal("noise", 1.0)
        pm.Normal("effect", strength * FreeDrug(cured)(dose, capacity, half), noise, observed=effect)
    return model
