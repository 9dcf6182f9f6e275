"""Where each group lies in the flat vector, and which pose models the hand-written densities know."""

from __future__ import annotations

from dataclasses import replace

from firstgrad.errors import SpecError
from firstgrad.pose.spec import Formulation, Likelihood, PoseSpec, WalkAxis


def places(spec: PoseSpec) -> dict[str, tuple[int, int, tuple[int, ...]]]:
    """Give each group's begin, end and shape in the flat vector of the ``vectorised`` formulation.

    Raises
    ------
    SpecError
        Where the spec asks for what is not written by hand: its own skeleton's order is free, its density is not.
    """
    if spec.likelihood is not Likelihood.MIXTURE:
        raise SpecError("likelihood", "the hand-written densities know 'mixture' only")
    if spec.walk_axis is not WalkAxis.TIME:
        raise SpecError("walk_axis", "the hand-written densities know 'time' only")
    found, begin = {}, 0
    for group in replace(spec, formulation=Formulation.VECTORISED).groups:
        found[group.value_name] = (begin, begin + group.size, group.shape)
        begin += group.size
    return found
