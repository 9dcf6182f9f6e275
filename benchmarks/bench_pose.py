"""The pose model, one class a backend; which cells there are says the tier (`benchmarks.tiers`)."""

from __future__ import annotations

from .common import PoseBenchmarks as _PoseBenchmarks  # underscored: asv looks at every class it sees
from .tiers import Grid, tier

_NAMES = {"jax": "Jax", "c": "C", "numba": "Numba"}


def _suite(grid: Grid) -> type:
    attributes = {
        "__module__": __name__,
        "title": f"pose model, {_NAMES[grid.backend]}",
        "parameters": {
            "timesteps": grid.timesteps,
            "directions": grid.directions,
            "hmm": grid.hmm,
            "formulation": grid.formulation,
        },
        "backends": (grid.backend,),
        "scenarios": grid.scenario,
        "rounds": grid.rounds,
    }
    return type(_NAMES[grid.backend], (_PoseBenchmarks,), attributes)


for _grid in tier():
    globals()[_NAMES[_grid.backend]] = _suite(_grid)
