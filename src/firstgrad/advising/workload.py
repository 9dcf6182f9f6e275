"""What is planned with a model: how many gradient evaluations, or draws, one after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from firstgrad.errors import SpecError
from firstgrad.units import require_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firstgrad.case import BackendName

TUNE, DRAWS, MOST_CORES, LEAST_CHAINS = 1000, 1000, 4, 2
"""As `pm.sample` takes them where nothing is said: chains are its cores, two at least."""
_MOST = 1_000_000_000  # so that products of two are still counts


class Counted(StrEnum):
    """What is counted in a plan; ``first_draw``: nothing comes after the first draw, or what comes isn't known."""

    EVALUATIONS = "evaluations"
    DRAWS = "draws"
    FIRST_DRAW = "first_draw"

    @property
    def first(self) -> str:
        """What is waited for before any of them."""
        return "first gradient" if self is Counted.EVALUATIONS else "first draw"

    @property
    def one(self) -> str:
        """One of them, in words."""
        return "an evaluation" if self is Counted.EVALUATIONS else "a draw"

    @property
    def metrics(self) -> tuple[str, str]:
        """Names of the metrics of the first, and of each one after it."""
        if self is Counted.EVALUATIONS:
            return "time_to_first_gradient", "evaluation"
        return "time_to_first_draw", "seconds_a_draw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """How much is planned, and in how many processes."""

    evaluations: int  # in all; or draws, tuning included
    chains: int = 1
    cores: int = 1  # how many chains run at a time; 1 chain on 1 core where the number of evaluations was given
    origin: str = "as given"  # where the number comes from, in words
    counted: Counted = Counted.EVALUATIONS
    tune: int = TUNE  # of each chain; this and the next two where draws are planned
    draws: int = DRAWS
    leapfrog: float | None = None  # steps a draw; none: those that were counted

    def __post_init__(self) -> None:
        for name in ("evaluations", "chains", "cores"):
            require_count(f"--{name}", getattr(self, name))

    @classmethod
    def of_sampling(
        cls,
        *,
        here: int,
        chains: int | None = None,
        tune: int = TUNE,
        draws: int = DRAWS,
        cores: int | None = None,
        leapfrog: float | None = None,
    ) -> Self:
        """Derive it from what `pm.sample` is going to be told, on a machine of so many cores.

        Raises SpecError naming the option that doesn't fit.
        """
        if tune < 0 or draws < 0 or tune + draws < 1:
            raise SpecError("--tune, --draws", f"expected whole numbers >= 0, not both 0, got {tune} and {draws}")
        if leapfrog is not None and not (math.isfinite(leapfrog) and leapfrog > 0):
            raise SpecError("--leapfrog", f"expected a positive number, got {leapfrog!r}")
        cores = min(MOST_CORES, here) if cores is None else cores
        chains = max(LEAST_CHAINS, cores) if chains is None else chains
        for name, value in {"--tune": tune, "--draws": draws, "--chains": chains, "--cores": cores}.items():
            require_count(name, value, least=0, most=_MOST)
        return cls(
            evaluations=chains * (tune + draws),
            chains=chains,
            cores=min(cores, chains),
            origin=f"{chains} chains x ({tune:,} + {draws:,}) draws",
            counted=Counted.DRAWS,
            tune=tune,
            draws=draws,
            leapfrog=leapfrog,
        )

    def in_evaluations(self) -> Self:
        """Count its gradient evaluations instead of its draws; raises SpecError where nobody said how many a draw."""
        if self.leapfrog is None:
            raise SpecError(
                "--leapfrog",
                "samples of gradients don't tell how many leapfrog steps a draw takes: give their number (firstgrad "
                "sample counts them), or leave --target out, and draws are measured",
            )
        return replace(
            self,
            evaluations=max(round(self.evaluations * self.leapfrog), 1),
            origin=f"{self.origin} x {self.leapfrog:g} leapfrog steps",
            counted=Counted.EVALUATIONS,
        )

    @property
    def in_a_row(self) -> float:
        """How many wait for each other: all of them on one core, less where chains run side by side."""
        if self.counted is Counted.FIRST_DRAW:
            return 0.0
        return self.evaluations * math.ceil(self.chains / self.cores) / self.chains

    def compiles(self, backend: BackendName) -> int:
        """How many times a backend's first gradient is waited for.

        Where chains run in processes of their own, PyMC forks C and Numba, which have compiled by then. JAX must not be
        forked: PyMC starts its chains afresh, and each compiles again, all at the same time. A first draw is measured
        with as many chains, so whatever they compile is in it.
        """
        is_again = self.counted is Counted.EVALUATIONS and self.cores > 1 and str(backend).startswith("jax")
        return 2 if is_again else 1

    def assumptions(self) -> tuple[str, ...]:
        """Say what is taken for granted, a sentence each."""
        if self.counted is not Counted.EVALUATIONS:
            return tuple(self._of_draws())
        if self.cores == 1:
            return ("Assumed: everything runs one after the other on one core, in one process that compiles once.",)
        return (
            f"Assumed: {self.cores} chains at a time on {self.cores} cores that don't slow each other down, so "
            f"{self.in_a_row:,.0f} of the {self.evaluations:,} evaluations wait for each other.",
            "C and Numba compile once: PyMC forks the chains (on Linux, up to Python 3.13). JAX's chains are started "
            "afresh and compile again side by side: counted as one more first gradient, which is the most that it can "
            "be.",
        )

    def _of_draws(self) -> Iterator[str]:
        together = f"{self.cores} chains at a time" if self.cores > 1 else "one chain after the other"
        yield f"Measured with {together}, as pm.sample runs them; what the imports take is beside."
        if self.counted is Counted.FIRST_DRAW:
            yield (
                "What draws cost after the first isn't known from these samples, so this is about the first alone; "
                "without --from and --no-measure it is measured by a short run."
            )
            return
        steps = f"{self.leapfrog:g} leapfrog steps each" if self.leapfrog else "as many leapfrog steps as there"
        yield (
            "Assumed: every draw costs what those of a short run after the first one did, half of them tuning, and "
            f"takes {steps}. Chains that are tuned for longer often take fewer."
        )
        if self.chains > self.cores:
            yield (
                f"Assumed: {self.chains} chains take {math.ceil(self.chains / self.cores)} turns, so "
                f"{self.in_a_row:,.0f} draws wait for each other."
            )
