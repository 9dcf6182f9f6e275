"""What the headline compares: the default of the newest PyMC, the fast ways, and the limit by hand."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.limit.variants import PLAIN
from firstgrad.case import BackendName, Case, Scenario
from firstgrad.pose.spec import Formulation, HmmSpec, PoseSpec

BY_HAND, LOOPS = PLAIN, "Numba, loops"
AS_NUTS = "vectorised, numba, warm, as NUTS calls it"
STATES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One way to a gradient that firstgrad measures.

    Attributes
    ----------
    name : str
        As the table writes it.
    formulation, backend
        Of the case, which is cold.
    """

    name: str
    formulation: Formulation
    backend: BackendName

    def case(self, n_states: int, size: tuple[int, int]) -> Case:
        """Make the case of a size (timesteps, directions); no HMM with 0 states."""
        hmm = HmmSpec(n_states=n_states) if n_states else None
        spec = PoseSpec(n_timesteps=size[0], n_directions=size[1], formulation=self.formulation, hmm=hmm)
        return Case(model=spec, backend=self.backend, scenario=Scenario.COLD)


DEFAULT = Side(name="per_joint, numba (the default)", formulation=Formulation.PER_JOINT, backend=BackendName.NUMBA)
QUICK = Side(name="vectorised, jax_quick", formulation=Formulation.VECTORISED, backend=BackendName.JAX_QUICK)
DIRECT = Side(name="vectorised, jax_direct", formulation=Formulation.VECTORISED, backend=BackendName.JAX_DIRECT)
SIDES = (
    DEFAULT,
    Side(name="per_joint, jax", formulation=Formulation.PER_JOINT, backend=BackendName.JAX),
    Side(name="per_joint, jax_fast", formulation=Formulation.PER_JOINT, backend=BackendName.JAX_FAST),
    Side(name="per_joint, jax_direct", formulation=Formulation.PER_JOINT, backend=BackendName.JAX_DIRECT),
    Side(name="vectorised, jax", formulation=Formulation.VECTORISED, backend=BackendName.JAX),
    DIRECT,
    QUICK,
)
