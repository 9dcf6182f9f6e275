"""Named sizes of a sweep over the pose model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from firstgrad.case import BackendName, Scenario
from firstgrad.spec import Formulation, HmmAlgorithm
from firstgrad.sweep.grid import PoseAxes


class TierName(StrEnum):
    """``quick``: minutes. ``standard``: an hour or more. ``full``: the whole grid, days."""

    QUICK = "quick"
    STANDARD = "standard"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """What a sweep measures where its options don't say otherwise."""

    axes: PoseAxes
    backends: tuple[BackendName, ...]
    scenarios: tuple[Scenario, ...]
    samples: int
    one_at_a_time: bool


_ALL_BACKENDS = (BackendName.JAX, BackendName.C, BackendName.NUMBA)

TIERS = {
    TierName.QUICK: Tier(
        axes=PoseAxes(timesteps=(30, 10, 100), directions=(2, 1, 5), hmm=(False, True)),
        backends=(BackendName.JAX,),
        scenarios=(Scenario.COLD,),
        samples=2,
        one_at_a_time=True,
    ),
    TierName.STANDARD: Tier(
        axes=PoseAxes(
            timesteps=(100, 10, 30, 300, 1000), directions=(5, 1, 2, 10, 20), hmm=(False, True), states=(2, 4, 8)
        ),
        backends=_ALL_BACKENDS,
        scenarios=(Scenario.COLD, Scenario.WARM),
        samples=1,
        one_at_a_time=True,
    ),
    TierName.FULL: Tier(
        axes=PoseAxes(
            timesteps=(10, 30, 100, 300, 1000),
            directions=(1, 2, 5, 10, 20),
            hmm=(False, True),
            states=(2, 4, 8),
            hmm_algorithm=tuple(HmmAlgorithm),
            formulation=tuple(Formulation),
        ),
        backends=_ALL_BACKENDS,
        scenarios=tuple(Scenario),
        samples=3,
        one_at_a_time=False,
    ),
}
"""Each tier; options of the command line replace single axes."""
