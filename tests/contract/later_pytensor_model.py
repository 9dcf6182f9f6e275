"""A tiny model, in a PyTensor whose rewrites tell of themselves in shorter tuples, as a later release's might."""

import pymc as pm
from pytensor.graph.rewriting.basic import SequentialGraphRewriter

_apply = SequentialGraphRewriter.apply


def _apply_and_tell_less(self, fgraph):
    told = _apply(self, fgraph)
    return told if told is None else told[:5]


SequentialGraphRewriter.apply = _apply_and_tell_less


def build():
    with pm.Model() as model:
        level = pm.Normal("level")
        pm.Normal("y", level, observed=[1.0, 2.0])
    return model
