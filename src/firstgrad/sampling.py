"""A sampling run: a short ``pm.sample`` in a process of its own, its time split, its divergences counted.

It answers what a gradient's numbers mean for sampling; it is no measurement of a case and never goes into a store.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from firstgrad.case import BackendName, Case, Scenario
from firstgrad.errors import FirstgradError, SpecError
from firstgrad.record import CacheUse, Environment, Failure, GroupFiniteness, Memory, Status

SAMPLING_VERSION = 1
"""Version of this module's classes."""


class SamplerUnavailable(FirstgradError):  # noqa: N818 - as BackendUnavailable
    """A sampler's package is missing."""


class Sampler(StrEnum):
    """Who runs NUTS: PyMC itself, in Python, or nutpie, in Rust."""

    PYMC = "pymc"
    NUTPIE = "nutpie"


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
    """How to sample.

    Attributes
    ----------
    sampler : Sampler
        Who runs NUTS.
    draws, tune, chains : int
        Draws that are kept, draws before them in which the sampler adapts, and chains, one after the other.
    seed : int
        Of the sampler's random numbers.
    target_accept : float, optional
        The acceptance rate that the step size is adapted to; the sampler's own where left out.
    """

    sampler: Sampler = Sampler.PYMC
    draws: int = 20
    tune: int = 100
    chains: int = 1
    seed: int = 0
    target_accept: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("draws", 1), ("tune", 1), ("chains", 1), ("seed", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise SpecError(name, f"expected a whole number >= {least}, got {value!r}")
        if self.target_accept is not None and not 0.0 < self.target_accept < 1.0:
            raise SpecError("target_accept", f"expected a number between 0 and 1, got {self.target_accept!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """The time of one stage: of all chains together, by the clocks of the whole process."""

    stage: SamplingStage
    wall_seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawCounts:
    """What the draws of tuning, or those after it, were like; over all chains.

    Attributes
    ----------
    draws, divergences, gradient_evaluations : int
        How many.
    positions : int
        At how many different places the chains stood after these draws.
    mean_tree_depth, mean_acceptance : float
        Means over the draws; NaN where there is none.
    """

    draws: int
    divergences: int
    gradient_evaluations: int
    positions: int
    mean_tree_depth: float
    mean_acceptance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StartGradient:
    """The sampler's first evaluation.

    Attributes
    ----------
    logp : float, optional
        The log-density; none where the sampler does not tell.
    finiteness : tuple of GroupFiniteness
        Every group of the gradient.
    """

    logp: float | None
    finiteness: tuple[GroupFiniteness, ...]

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
    """One sampling run.

    Attributes
    ----------
    run_id, started_at : str
        Unique name, and UTC in ISO 8601.
    case : Case
        Model, backend, scenario and limits.
    plan : SamplingPlan
        How it was sampled.
    status : Status
        How it ended.
    environment : Environment
        Where.
    stages : tuple of StageTime
        Those that began, in order; of a run that was ended, up to the begin of the last one.
    tuning, drawing : DrawCounts, optional
        None where no such draw was made or told.
    step_size : float, optional
        The last one.
    stuck_chains : int
        Chains that stood at one place in all their draws, or in all those after tuning; five draws or more.
    start : StartGradient, optional
        The first evaluation, where it came that far.
    caches : CacheUse, optional
        Whether the scenario was what its name says.
    memory : Memory, optional
        Of the process tree.
    failed_stage : SamplingStage, optional
        Where a run failed.
    failure : Failure, optional
        Why.
    """

    run_id: str
    started_at: str
    case: Case
    plan: SamplingPlan
    status: Status
    environment: Environment
    stages: tuple[StageTime, ...] = ()
    tuning: DrawCounts | None = None
    drawing: DrawCounts | None = None
    step_size: float | None = None
    stuck_chains: int = 0
    start: StartGradient | None = None
    caches: CacheUse | None = None
    memory: Memory | None = None
    failed_stage: SamplingStage | None = None
    failure: Failure | None = None
    sampling_version: int = SAMPLING_VERSION

    def seconds(self, *stages: SamplingStage) -> float:
        """Add up the wall seconds of stages; 0 for those that did not begin."""
        return sum(each.wall_seconds for each in self.stages if each.stage in stages)

    @property
    def gradient_evaluations(self) -> int:
        """How many evaluations all draws took."""
        return sum(each.gradient_evaluations for each in (self.tuning, self.drawing) if each is not None)

    @property
    def seconds_per_evaluation(self) -> float | None:
        """Wall seconds of tuning and drawing by gradient evaluation, with what the sampler does between them."""
        spent = self.seconds(SamplingStage.TUNING, SamplingStage.DRAWING, SamplingStage.SAMPLING)
        return spent / self.gradient_evaluations if self.gradient_evaluations and self.failure is None else None

    @property
    def is_sound(self) -> bool:
        """Whether the first evaluation was finite and every chain moved."""
        return (self.start is None or self.start.is_finite) and self.stuck_chains == 0


def check_sampling(case: Case, plan: SamplingPlan) -> None:
    """Refuse what no sampler can do.

    Raises
    ------
    SpecError
        Naming the option that doesn't fit.
    """
    if case.backend is BackendName.FAKE:
        raise SpecError("backend", "fake compiles nothing, so there is nothing to sample")
    if case.backend not in (BackendName.C, BackendName.NUMBA, BackendName.JAX):
        raise SpecError("backend", f"{case.backend} is for measure; sample takes c, numba or jax")
    if case.scenario is Scenario.HOT:
        raise SpecError("scenario", "a sampling run is cold or warm; hot is for measure")
    if plan.sampler is Sampler.NUTPIE and case.backend is BackendName.C:
        raise SpecError("backend", "nutpie takes numba or jax")
