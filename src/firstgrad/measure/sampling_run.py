"""The parent's side of a sampling run: a case and a plan in, a run out. Imports no PyMC and no nutpie."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from firstgrad.case import Scenario
from firstgrad.measure.launch import explain_end, make_task
from firstgrad.measure.memory import summarise
from firstgrad.measure.private import PrivateCaches
from firstgrad.measure.session import Session
from firstgrad.measure.stage_clock import add_up
from firstgrad.record import Failure
from firstgrad.row.bounds import WHILE_FILLING
from firstgrad.sampling import Sampler, SamplerUnavailable, SamplingRun, check_sampling

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.case import Case
    from firstgrad.measure.events import Event, Task
    from firstgrad.measure.session import Heard
    from firstgrad.sampling import SamplingPlan


def sample_case(
    case: Case,
    plan: SamplingPlan,
    *,
    label: str = "",
    threads: int = 1,
    on_event: Callable[[Event], None] | None = None,
) -> SamplingRun:
    """Sample a case's model in a fresh process with private caches.

    For ``warm``, a process that makes one draw after one first fills the caches.

    Parameters
    ----------
    case : Case
        Model, backend, scenario and limits; its target and evaluations play no part.
    plan : SamplingPlan
        How to sample.
    label : str
        The user's name for this run.
    threads : int
        Threads of BLAS and OpenMP.
    on_event : callable, optional
        Takes each event as it happens, for a display.

    Returns
    -------
    SamplingRun
        Always: failures, crashes and limits are runs too.

    Raises
    ------
    SpecError
        Where case and plan don't fit each other.
    SamplerUnavailable
        Where the sampler's package is missing.
    """
    check_sampling(case, plan)
    if plan.sampler is Sampler.NUTPIE and find_spec("nutpie") is None:
        raise SamplerUnavailable(
            "sampler 'nutpie' needs the package nutpie, which is not here. "
            'Install it: pip install "firstgrad[nutpie]"'
        )

    def run(case: Case, plan: SamplingPlan) -> SamplingRun:
        task = replace(make_task(case, private, label=label, threads=threads), sampling=plan)
        worker = "firstgrad.measure.sample_worker"
        return conclude_sampling(task, Session(task, private, on_event or (lambda _: None), worker=worker).run())

    with PrivateCaches() as private:
        if case.scenario is Scenario.WARM:
            filled = run(replace(case, scenario=Scenario.COLD), replace(plan, draws=1, tune=1))
            if filled.failure is not None:
                failure = replace(filled.failure, message=WHILE_FILLING + filled.failure.message)
                return replace(filled, case=case, plan=plan, failure=failure)
            private.save()
        private.restore()
        return run(case, plan)


def conclude_sampling(task: Task, heard: Heard) -> SamplingRun:
    """Make a sampling run of what was heard.

    Parameters
    ----------
    task : Task
        What was asked for, with a plan.
    heard : Heard
        What came back.

    Returns
    -------
    SamplingRun
        The worker's own where it sent one, with memory; else one with the stages that ended and the reason why there
        is no more.
    """
    run = heard.sampling
    if run is not None and run.failure is not None:
        run = replace(run, failure=replace(run.failure, stderr_tail=heard.stderr_tail))
    if run is None:
        status, kind, message = explain_end(task.case, heard)
        if task.sampling is None:
            raise ValueError("a task without a sampling plan")
        run = SamplingRun(
            run_id=task.record_id,
            started_at=task.started_at,
            case=task.case,
            plan=task.sampling,
            status=status,
            environment=task.environment,
            stages=add_up(heard.stages),
            failed_stage=heard.stages[-1].stage if heard.stages else None,
            failure=Failure(kind=kind, message=message, stderr_tail=heard.stderr_tail),
        )
    return replace(run, memory=summarise((), heard.samples, heard.zero, None))
