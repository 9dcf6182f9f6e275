"""The process that samples: ``python -m firstgrad.sampling.worker TASK_FD EVENT_FD``.

As `firstgrad.measuring.worker` it takes its task through a private pipe; its last word is a sampling run.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.backends import cache_entries, load_backend
from firstgrad.errors import FirstgradError
from firstgrad.measuring.environment import has_bytecode
from firstgrad.measuring.events import Started
from firstgrad.measuring.worker import find_conditions, open_pipes, require_private_cache
from firstgrad.observe.disk_cache import CacheWatch
from firstgrad.record import Failure, Status
from firstgrad.sampling.plan import Sampled, SamplingRun, SamplingStage, SamplingTask
from firstgrad.sampling.watch import SamplerWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.sampling.plan import SamplingEvent


def sample_task(task: SamplingTask, emit: Callable[[SamplingEvent], None]) -> SamplingRun:
    """Sample in this process; the run has a failure where the model, the backend or the sampler raised."""
    watch = SamplerWatch(task.plan, emit)
    emit(Started(monotonic_seconds=watch.clock.zero))
    run = SamplingRun(
        run_id=task.record_id,
        started_at=task.started_at,
        case=task.case,
        plan=task.plan,
        status=Status.OK,
        environment=task.environment,
    )
    process = os.getpid()
    try:
        run = _sample(task, watch, run)
    except BaseException as error:  # whatever a model or sampler raises is told
        if isinstance(error, SystemExit) and os.getpid() != process:
            raise  # a child that the model forked ends as it likes
        if not isinstance(error, FirstgradError):
            sys.excepthook(type(error), error, error.__traceback__)
        watch.clock.end()
        status = Status.OUT_OF_MEMORY if isinstance(error, MemoryError) else Status.FAILED
        failure = Failure.of_error(error)
        run = replace(run, status=status, failure=failure, stages=watch.clock.times(), failed_stage=watch.clock.stage)
    tally = watch.tally
    return replace(
        run,
        tuning=tally.tuning,
        drawing=tally.drawing,
        step_size=tally.step_size,
        stuck_chains=tally.stuck_chains,
        start=watch.start,
    )


def _sample(task: SamplingTask, watch: SamplerWatch, run: SamplingRun) -> SamplingRun:
    case, folder, clock = task.case, Path(task.cache_folder), watch.clock
    caches = CacheWatch(folder, cache_entries())
    caches.remember()
    had_bytecode = has_bytecode("pymc")
    clock.begin(SamplingStage.IMPORT)
    backend = load_backend(case.backend)
    backend.import_modules()
    import_module(str(task.plan.sampler))  # for its time

    from firstgrad.sampling.samplers import SAMPLERS

    build = backend.load(case.model)
    require_private_cache(folder)
    watch.emit(find_conditions(backend, had_bytecode=had_bytecode))
    caches.begin()
    clock.begin(SamplingStage.BUILD)
    problem = build()
    run = replace(run, model_note=problem.note)
    clock.begin(SamplingStage.COMPILE)
    unsure_seconds = SAMPLERS[task.plan.sampler](backend, problem, watch)
    clock.end()
    watch.emit(find_conditions(backend, had_bytecode=had_bytecode))
    return replace(run, stages=clock.times(unsure_seconds=unsure_seconds), caches=caches.end(case.scenario))


def main() -> None:
    """Take a task from one pipe, sample, and answer through the other."""
    task, emit = open_pipes(SamplingTask)
    emit(Sampled(run=sample_task(task, emit)))


if __name__ == "__main__":
    main()
