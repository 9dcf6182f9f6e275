"""The parent's side of a sampling run: a case and a plan in, a run out. Imports no PyMC and no nutpie."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from firstgrad.case import Scenario
from firstgrad.codec import DecodeError
from firstgrad.columns import WHILE_FILLING
from firstgrad.doubts import impossible_spans
from firstgrad.errors import SamplerUnavailable
from firstgrad.measuring.events import Conditions, Started, kinds_by_name
from firstgrad.measuring.launch import explain_end, find_untrue, make_task, summarise_memory, with_conditions
from firstgrad.measuring.private import PrivateCaches
from firstgrad.measuring.session import Transcript, run_worker
from firstgrad.record import Failure, Status
from firstgrad.sampling.plan import (
    DrawsNow,
    Sampled,
    SamplingPlan,
    SamplingRun,
    SamplingTask,
    StageBegan,
    add_up,
    check_sampling,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from firstgrad.case import Case
    from firstgrad.sampling.plan import SamplingEvent


@dataclass(slots=True)
class SamplingTranscript(Transcript):
    """What came through the pipes of a sampling run."""

    stages: list[StageBegan] = field(default_factory=list)
    run: SamplingRun | None = None

    kinds: ClassVar[Mapping[str, type]] = kinds_by_name(Started, Conditions, StageBegan, DrawsNow, Sampled)

    @property
    def has_last_word(self) -> bool:
        """Whether the worker sent its run."""
        return self.run is not None

    @property
    def place(self) -> str:
        """The stage that began last."""
        return str(self.stages[-1].stage) if self.stages else ""

    def take(self, event: Any, record_id: str) -> None:
        """Keep what an event tells."""
        match event:
            case StageBegan():
                self.stages.append(event)
            case Sampled(run=run):
                if run.run_id != record_id:
                    raise DecodeError(f"a run of another task: {run.run_id}")
                self.run = run
            case _:
                Transcript.take(self, event, record_id)


def sample_case(
    case: Case,
    plan: SamplingPlan,
    *,
    label: str = "",
    threads: int = 1,
    on_event: Callable[[SamplingEvent], None] | None = None,
) -> SamplingRun:
    """Sample a case's model in a fresh process with private caches; failures, crashes and limits are runs too.

    For ``warm``, a process that makes one draw after one first fills the caches.

    The case's target and evaluations play no part; `threads` are those of BLAS and OpenMP.

    Raises SpecError where case and plan don't fit each other; SamplerUnavailable where its package is missing.
    """
    check_sampling(case, plan)
    if find_spec(plan.sampler) is None:
        raise SamplerUnavailable(plan.sampler)

    def run(case: Case, plan: SamplingPlan) -> SamplingRun:
        plain = make_task(case, private, plan.sampler, label=label, threads=threads)
        task = SamplingTask(plan=plan, **{field.name: getattr(plain, field.name) for field in fields(plain)})
        worker = "firstgrad.sampling.worker"
        return conclude_sampling(task, run_worker(task, private, SamplingTranscript(), on_event, worker=worker))

    with PrivateCaches() as private:
        if case.scenario is Scenario.WARM:
            filled = run(replace(case, scenario=Scenario.COLD), replace(plan, draws=1, tune=1))
            if filled.failure is not None:
                failure = replace(filled.failure, message=WHILE_FILLING + filled.failure.message)
                return replace(filled, case=case, plan=plan, failure=failure)
            private.save()
        private.restore()
        return run(case, plan)


def conclude_sampling(task: SamplingTask, heard: SamplingTranscript) -> SamplingRun:
    """Take the worker's own run where it sent one, else make one of the stages that ended and the reason of its end."""
    run = heard.run
    if run is not None and run.failure is not None:
        run = replace(run, failure=replace(run.failure, stderr_tail=heard.stderr_tail))
    if run is None:
        status, kind, message = explain_end(task.case, heard)
        run = SamplingRun(
            run_id=task.record_id,
            started_at=task.started_at,
            case=task.case,
            plan=task.plan,
            status=status,
            environment=task.environment,
            stages=add_up(heard.stages),
            failed_stage=heard.stages[-1].stage if heard.stages else None,
            failure=Failure(kind=kind, message=message, stderr_tail=heard.stderr_tail),
        )
    spans = ((str(spent.stage), spent.wall_seconds, spent.cpu_seconds, heard.lasted_seconds) for spent in run.stages)
    untrue = find_untrue(task, heard, next(impossible_spans(spans, run.environment.host.cores), ""))
    if untrue is not None:
        run = replace(run, status=Status.FAILED, failure=untrue)
    memory = summarise_memory((), heard.samples, heard.zero, None)
    environment, suspended_seconds = with_conditions(run.environment, heard), round(heard.suspended_seconds, 3)
    return replace(run, environment=environment, memory=memory, suspended_seconds=suspended_seconds)
