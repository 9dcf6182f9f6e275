"""What is planned with a model: how many gradient evaluations, one after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from firstgrad.errors import SpecError
from firstgrad.units import require_count

if TYPE_CHECKING:
    from firstgrad.case import BackendName

CHAINS, TUNE, DRAWS = 4, 1000, 1000
"""As `pm.sample` takes them where nothing is said."""
LEAPFROG = 370.0
"""Gradient evaluations a draw, on average.

The pose model took 357 (T=20, K=2) and 368 (T=100, K=5) a draw in 100 draws of tuning and 20 after, with PyMC's NUTS
(docs/findings.md, "What NaN gradients do to sampling"). Models that are easier to sample take far fewer; the most is
1023.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """How many gradient evaluations are planned, and in how many processes."""

    evaluations: int  # in all
    chains: int = 1
    cores: int = 1  # how many chains run at a time; 1 chain on 1 core where the number of evaluations was given
    origin: str = "as given"  # where the number comes from, in words

    def __post_init__(self) -> None:
        for name in ("evaluations", "chains", "cores"):
            require_count(f"--{name}", getattr(self, name))

    @classmethod
    def of_sampling(
        cls, *, chains: int = CHAINS, tune: int = TUNE, draws: int = DRAWS, leapfrog: float = LEAPFROG, cores: int = 1
    ) -> Self:
        """Derive it from what `pm.sample` is going to be told; raises SpecError naming the option that doesn't fit."""
        if tune < 0 or draws < 0 or tune + draws < 1:
            raise SpecError("--tune, --draws", f"expected whole numbers >= 0, not both 0, got {tune} and {draws}")
        if not (math.isfinite(leapfrog) and leapfrog > 0):
            raise SpecError("--leapfrog", f"expected a positive number, got {leapfrog!r}")
        return cls(
            evaluations=max(round(chains * (tune + draws) * leapfrog), 1),
            chains=chains,
            cores=min(cores, chains),
            origin=f"{chains} chains x ({tune:,} + {draws:,}) draws x {leapfrog:g} leapfrog steps",
        )

    @property
    def in_a_row(self) -> float:
        """Evaluations that wait for each other: all of them on one core, less where chains run side by side."""
        return self.evaluations * math.ceil(self.chains / self.cores) / self.chains

    def compiles(self, backend: BackendName) -> int:
        """How many times a backend's first gradient is waited for.

        Where chains run in processes of their own, PyMC forks C and Numba, which have compiled by then. JAX must not be
        forked: PyMC starts its chains afresh, and each compiles again, all at the same time.
        """
        return 2 if self.cores > 1 and str(backend).startswith("jax") else 1

    def assumptions(self) -> tuple[str, ...]:
        """Say what is taken for granted, a sentence each."""
        if self.cores == 1:
            return ("Assumed: everything runs one after the other on one core, in one process that compiles once.",)
        return (
            f"Assumed: {self.cores} chains at a time on {self.cores} cores that don't slow each other down, so "
            f"{self.in_a_row:,.0f} of the {self.evaluations:,} evaluations wait for each other.",
            "C and Numba compile once: PyMC forks the chains (on Linux, up to Python 3.13). JAX's chains are started "
            "afresh and compile again side by side: counted as one more first gradient, which is the most that it can "
            "be.",
        )
