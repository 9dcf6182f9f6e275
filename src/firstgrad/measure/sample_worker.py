"""The process that samples: ``python -m firstgrad.measure.sample_worker TASK_FD EVENT_FD``.

As `firstgrad.measure.worker` it takes its task through a private pipe; its last word is a sampling run.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.backends import load_backend
from firstgrad.errors import FirstgradError, WorkerError
from firstgrad.measure.cache_watch import CacheWatch
from firstgrad.measure.draw_tally import DrawTally
from firstgrad.measure.events import Sampled, Started
from firstgrad.measure.stage_clock import StageClock
from firstgrad.measure.worker import open_pipes, require_private_cache
from firstgrad.record import Failure, Status
from firstgrad.sampling import Sampler, SamplingRun, SamplingStage

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.measure.events import Task, WorkerEvent
    from firstgrad.sampling import StartGradient


class Sampling:
    """One sampling run in this process.

    Parameters
    ----------
    task : Task
        With a plan.
    emit : callable
        Takes each event as it happens.
    """

    def __init__(self, task: Task, emit: Callable[[WorkerEvent], None]) -> None:
        if task.sampling is None:
            raise WorkerError("a task without a sampling plan")
        self._task, self._plan = task, task.sampling
        self._clock = StageClock(emit)
        emit(Started(monotonic_seconds=self._clock.zero))
        self._tally = DrawTally(self._plan, emit)
        self._start: StartGradient | None = None

    def run(self) -> SamplingRun:
        """Sample.

        Returns
        -------
        SamplingRun
            With a failure in it where the model, the backend or the sampler raised.
        """
        try:
            return self._run()
        except Exception as error:  # noqa: BLE001 - whatever a model or sampler raises is told
            if not isinstance(error, FirstgradError):
                sys.excepthook(type(error), error, error.__traceback__)
            status = Status.OUT_OF_MEMORY if isinstance(error, MemoryError) else Status.FAILED
            failure = Failure(kind=type(error).__name__, message=str(error).strip())
            self._clock.end()
            return replace(self._told(), status=status, failure=failure, failed_stage=self._clock.stage)

    def _run(self) -> SamplingRun:
        case, folder, clock = self._task.case, Path(self._task.cache_folder), self._clock
        watch = CacheWatch(folder)
        watch.remember()
        clock.begin(SamplingStage.IMPORT)
        backend = load_backend(case.backend)
        backend.import_modules()
        sample = _load_sampler(self._plan.sampler)
        build = backend.load(case.model)
        require_private_cache(folder)
        watch.begin()
        clock.begin(SamplingStage.BUILD)
        problem = build()
        clock.begin(SamplingStage.COMPILE)
        unsure_seconds = sample(backend, problem, self._plan, clock, self._tally, self._take_start)
        clock.end()
        return replace(self._told(), stages=clock.times(unsure_seconds=unsure_seconds), caches=watch.end(case.scenario))

    def _take_start(self, start: StartGradient) -> None:
        self._start = start

    def _told(self) -> SamplingRun:
        tally = self._tally
        return SamplingRun(
            run_id=self._task.record_id,
            started_at=self._task.started_at,
            case=self._task.case,
            plan=self._plan,
            status=Status.OK,
            environment=self._task.environment,
            stages=self._clock.times(),
            tuning=tally.tuning,
            drawing=tally.drawing,
            step_size=tally.step_size,
            stuck_chains=tally.stuck_chains,
            start=self._start,
        )


def _load_sampler(sampler: Sampler) -> Callable[..., float]:
    if sampler is Sampler.NUTPIE:
        import nutpie  # noqa: F401 - imported for its time

        from firstgrad.measure.sample_nutpie import sample_with_nutpie

        return sample_with_nutpie
    from firstgrad.measure.sample_pymc import sample_with_pymc

    return sample_with_pymc


def main() -> None:
    """Take a task from one pipe, sample, and answer through the other."""
    task, emit = open_pipes()
    emit(Sampled(run=Sampling(task, emit).run()))


if __name__ == "__main__":
    main()
