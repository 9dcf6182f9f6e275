"""What a sampling run is asked and what it answers: plan, stages, draws, and the events on the way.

A run is no measurement of a case and never goes into a store.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from firstgrad.case import BackendName, Case, Sampler, Scenario, check_sampler
from firstgrad.errors import SpecError
from firstgrad.grouping import summed
from firstgrad.measuring.events import Conditions, MemoryNow, Started, Task
from firstgrad.record import SCHEMA_VERSION, CacheUse, Environment, Failure, GroupFiniteness, Memory, Status
from firstgrad.units import require_count

if TYPE_CHECKING:
    from collections.abc import Sequence


class SamplingStage(StrEnum):
    """What a sampling run spends its time on.

    ``compile`` goes up to the end of the first evaluation, lazy compiling included. ``sampling`` stands for tuning and
    drawing where they cannot be told apart. ``other`` is what comes after the last draw: the trace is packed.
    """

    IMPORT = "import"
    BUILD = "build"
    COMPILE = "compile"
    TUNING = "tuning"
    DRAWING = "drawing"
    SAMPLING = "sampling"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingPlan:
    """How to sample."""

    sampler: Sampler = Sampler.PYMC
    draws: int = 20  # kept, of each chain
    tune: int = 100  # draws before them, in which the sampler adapts
    chains: int = 1  # one after the other
    seed: int = 0  # of the sampler's random numbers
    target_accept: float | None = None  # none: the sampler's own

    def __post_init__(self) -> None:
        for name, least in (("draws", 1), ("tune", 1), ("chains", 1), ("seed", 0)):
            require_count(name, getattr(self, name), least=least)
        if self.target_accept is not None and not 0.0 < self.target_accept < 1.0:
            raise SpecError("target_accept", f"expected a number between 0 and 1, got {self.target_accept!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingTask(Task):
    """What a worker is asked to sample."""

    plan: SamplingPlan


def check_sampling(case: Case, plan: SamplingPlan) -> None:
    """Refuse what no sampler can do, by a `SpecError` that names the option."""
    if case.backend is BackendName.FAKE:
        raise SpecError("backend", "fake compiles nothing, so there is nothing to sample")
    if case.backend not in (BackendName.C, BackendName.NUMBA, BackendName.JAX):
        raise SpecError("backend", f"{case.backend} is for measure; sample takes c, numba or jax")
    if case.scenario is Scenario.HOT:
        raise SpecError("scenario", "a sampling run is cold or warm; hot is for measure")
    if plan.sampler not in (Sampler.PYMC, Sampler.NUTPIE):
        raise SpecError("--sampler", f"sample takes pymc or nutpie; {plan.sampler} is for measure --target first_draw")
    check_sampler(plan.sampler, case.backend)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """The time of one stage: of all chains together, by the clocks of the whole process."""

    stage: SamplingStage
    wall_seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawCounts:
    """What the draws of tuning, or those after it, were like; over all chains."""

    draws: int
    divergences: int
    gradient_evaluations: int
    positions: int  # different places at which the chains stood after these draws
    mean_tree_depth: float
    mean_acceptance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StartGradient:
    """The sampler's first evaluation."""

    logp: float | None  # none where the sampler does not tell
    finiteness: tuple[GroupFiniteness, ...]  # of every group of the gradient

    @property
    def n_not_finite(self) -> int:
        """How many gradient values are NaN or infinite."""
        return sum(group.nan + group.infinite for group in self.finiteness)

    @property
    def is_finite(self) -> bool:
        """Whether a chain can leave this place."""
        return self.n_not_finite == 0 and (self.logp is None or math.isfinite(self.logp))


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRun:
    """One sampling run."""

    run_id: str
    started_at: str  # UTC in ISO 8601
    case: Case  # model, backend, scenario and limits
    plan: SamplingPlan
    status: Status
    environment: Environment
    stages: tuple[StageTime, ...] = ()  # that began, in order; of a run that was ended, up to the begin of the last
    tuning: DrawCounts | None = None  # none where no such draw was made or told
    drawing: DrawCounts | None = None
    step_size: float | None = None  # the last one
    stuck_chains: int = 0  # that stood at one place in all draws, or in all after tuning; five draws or more
    start: StartGradient | None = None  # where it came that far
    caches: CacheUse | None = None  # whether the scenario was what its name says
    memory: Memory | None = None  # of the process tree
    suspended_seconds: float = 0.0  # how long its processes stood still, as in `firstgrad.record.Record`
    failed_stage: SamplingStage | None = None
    failure: Failure | None = None
    model_note: str = ""  # how far a script was run for its model
    schema_version: int = SCHEMA_VERSION  # of the records' classes, which are within

    def seconds(self, *stages: SamplingStage) -> float:
        """Add up the wall seconds of stages; 0 for those that did not begin."""
        return sum(spent.wall_seconds for spent in self.stages if spent.stage in stages)

    @property
    def gradient_evaluations(self) -> int:
        """How many evaluations all draws took."""
        return sum(counts.gradient_evaluations for counts in (self.tuning, self.drawing) if counts is not None)

    @property
    def seconds_per_evaluation(self) -> float | None:
        """Wall seconds of tuning and drawing by gradient evaluation, with what the sampler does between them."""
        spent = self.seconds(SamplingStage.TUNING, SamplingStage.DRAWING, SamplingStage.SAMPLING)
        return spent / self.gradient_evaluations if self.gradient_evaluations and self.failure is None else None

    @property
    def is_sound(self) -> bool:
        """Whether the first evaluation was finite and every chain moved."""
        return (self.start is None or self.start.is_finite) and self.stuck_chains == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageBegan:
    """A stage of a sampling run began, by the worker's clocks; it ended the one before."""

    stage: SamplingStage
    at_seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawsNow:
    """So many draws were made so far, of all chains, and so many of them diverged.

    nutpie tells no divergences of tuning on its way; its sampling run has them.
    """

    tuned: int
    drawn: int
    divergences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """The last word of a worker that samples."""

    run: SamplingRun


type SamplingEvent = Started | Conditions | StageBegan | DrawsNow | Sampled | MemoryNow


def add_up(marks: Sequence[StageBegan]) -> tuple[StageTime, ...]:
    """Add up the time between marks by stage, in the order in which stages began; the last mark only ends one.

    Chains that follow each other go through two stages in turn.
    """
    wall = summed((began.stage, ended.at_seconds - began.at_seconds) for began, ended in pairwise(marks))
    cpu = summed((began.stage, ended.cpu_seconds - began.cpu_seconds) for began, ended in pairwise(marks))
    return tuple(StageTime(stage=stage, wall_seconds=wall[stage], cpu_seconds=cpu[stage]) for stage in wall)
