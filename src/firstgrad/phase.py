"""The phases that a measurement goes through: a word that listeners know without importing what a record is."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """A timed stage of one measurement, in order."""

    IMPORT = "import"
    BUILD = "build"
    START_POINT = "start_point"
    LOGP_GRAPH = "logp_graph"
    GRAD_GRAPH = "grad_graph"
    REWRITE = "rewrite"
    LINK = "link"
    WRAPPERS = "wrappers"
    OTHER_FUNCTIONS = "other_functions"
    FIRST_CALL = "first_call"
    FIRST_DRAW = "first_draw"
    EVALUATE = "evaluate"


FIRST_GRADIENT_PHASES = (
    Phase.BUILD,
    Phase.LOGP_GRAPH,
    Phase.GRAD_GRAPH,
    Phase.REWRITE,
    Phase.LINK,
    Phase.FIRST_CALL,
)
"""The phases between the start of `build` and the first gradient."""

FIRST_DRAW_PHASES = (
    Phase.START_POINT,
    Phase.LOGP_GRAPH,
    Phase.GRAD_GRAPH,
    Phase.REWRITE,
    Phase.LINK,
    Phase.WRAPPERS,
    Phase.OTHER_FUNCTIONS,
    Phase.FIRST_CALL,
    Phase.FIRST_DRAW,
)
"""The phases between the built model and the first draw of every chain.

Those of the log-density's function are called as in a first gradient; ``start_point``, ``wrappers`` and
``other_functions`` are whole compiles, and ``first_draw`` is what the sampler itself does. A sampler goes back and
forth between them, so a record may have several stretches of one phase.
"""
