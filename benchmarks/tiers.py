"""What is measured: the grid of each tier, one for asv and pytest-benchmark.

``FIRSTGRAD_TIER`` chooses: ``quick`` (the default: a pull request, base and head, in some 10 minutes on two
cores), ``standard`` (some two hours a commit: every night), ``full`` (all axes; days), ``releases`` (one model, for
`asv.releases.conf.json`).
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firstgrad import Case

OFF, ON = "off", "on"
VARIABLE = "FIRSTGRAD_TIER"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The axes of one backend."""

    backend: str
    timesteps: tuple[int, ...]
    directions: tuple[int, ...]
    hmm: tuple[str, ...] = (OFF, ON)
    formulation: tuple[str, ...] = ("per_joint", "vectorised")
    scenario: tuple[str, ...] = ("cold", "warm")
    rounds: int = 3
    """Samples of seconds; counts and bytes take one."""

    def cells(self) -> Iterator[dict[str, int | str]]:
        """Each cell of the grid, by the names of its axes."""
        axes = {
            "timesteps": self.timesteps,
            "directions": self.directions,
            "hmm": self.hmm,
            "formulation": self.formulation,
            "backend": (self.backend,),
            "scenario": self.scenario,
        }
        for values in itertools.product(*axes.values()):
            yield dict(zip(axes, values, strict=True))


_ALL_TIMESTEPS, _ALL_DIRECTIONS = (10, 30, 100, 300, 1000), (1, 5, 20)
_ALL_SCENARIOS = ("cold", "warm", "hot")

TIERS: dict[str, tuple[Grid, ...]] = {
    "quick": (
        Grid(backend="jax", timesteps=(20,), directions=(2,), scenario=("cold",), rounds=5),
        # A cold C compile takes minutes whatever the size: one, which fills the cache of the warm samples.
        Grid(
            backend="c",
            timesteps=(20,),
            directions=(2,),
            hmm=(OFF,),
            formulation=("vectorised",),
            scenario=("warm",),
            rounds=5,
        ),
    ),
    "standard": (
        Grid(backend="jax", timesteps=(20, 100), directions=(2, 5)),
        Grid(backend="c", timesteps=(20, 100), directions=(5,), formulation=("vectorised",)),
        Grid(backend="numba", timesteps=(100,), directions=(5,), formulation=("vectorised",)),
    ),
    # The same model under each PyMC release: asv.releases.conf.json
    "releases": tuple(
        Grid(
            backend=backend,
            timesteps=(20,),
            directions=(2,),
            hmm=(OFF,),
            formulation=("vectorised",),
            rounds=rounds,
        )
        for backend, rounds in (("jax", 3), ("c", 1), ("numba", 1))
    ),
    "full": tuple(
        Grid(backend=backend, timesteps=_ALL_TIMESTEPS, directions=_ALL_DIRECTIONS, scenario=_ALL_SCENARIOS)
        for backend in ("jax", "c", "numba")
    ),
}


def tier() -> tuple[Grid, ...]:
    """Find the grids of the tier that the environment asks for; SystemExit for one that there isn't."""
    name = os.environ.get(VARIABLE) or "quick"
    if name not in TIERS:
        raise SystemExit(f"{VARIABLE}={name}: there is no such tier. Choose one of: {', '.join(TIERS)}")
    return TIERS[name]


def case_of(*, timesteps: int, directions: int, hmm: str, formulation: str, backend: str, scenario: str) -> Case:
    """Describe one cell's measurement. firstgrad is imported here: old commits lack some of it."""
    from firstgrad import BackendName, Case, HmmSpec, PoseSpec, Scenario
    from firstgrad.pose.spec import Formulation

    spec = PoseSpec(
        n_timesteps=timesteps,
        n_directions=directions,
        hmm=HmmSpec() if hmm == ON else None,
        formulation=Formulation(formulation),
    )
    return Case(model=spec, backend=BackendName(backend), scenario=Scenario(scenario))


def cases() -> tuple[Case, ...]:
    """All cases of the tier."""
    return tuple(case_of(**cell) for grid in tier() for cell in grid.cells())  # type: ignore[arg-type]


def is_default_backend(backend: str) -> bool:
    """Whether the PyMC that is installed here compiles to it when nothing is asked for."""
    from importlib.metadata import version

    from firstgrad.growth.series import default_backend

    return backend == default_backend(version("pymc"))
