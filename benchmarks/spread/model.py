"""A small model that has what models have: a level, a scale, effects, data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from firstgrad.observe.work import WorkCounter

if TYPE_CHECKING:
    import pymc as pm


def build(watched: bool = True) -> pm.Model:
    """Build it; unwatched, nothing of the compilers is counted, to compare with."""
    import pymc as pm

    if not watched:
        WorkCounter._watch_compilers = lambda _: None  # type: ignore[method-assign]  # noqa: SLF001 - the bare side
    with pm.Model() as model:
        level = pm.Normal("level", 0.0, 2.0)
        scale = pm.HalfNormal("scale", 1.5, shape=2)
        effect = pm.Normal("effect", level, scale, shape=2)
        pm.Normal("seen", effect, 0.5, observed=np.array([0.25, -0.75]))
    return model
