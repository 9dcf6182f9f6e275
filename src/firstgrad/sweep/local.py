"""Measures on this machine: one sample at a time, or as many as was asked for."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from firstgrad.case import Scenario
from firstgrad.errors import SpecError
from firstgrad.measure.launch import measure
from firstgrad.measure.private import PrivateCaches
from firstgrad.sweep.rounds import SampleBegan, SampleProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from firstgrad.case import Case
    from firstgrad.measure.events import Event
    from firstgrad.measure.interpreter import Interpreter
    from firstgrad.record import Record
    from firstgrad.sweep.plan import Job
    from firstgrad.sweep.rounds import SweepEvent


class _Stopped(Exception):  # noqa: N818 - no error: the sweep was ended
    """Raised within a running sample to end it."""


@dataclass(slots=True, kw_only=True)
class LocalExecutor:
    """Measures samples in processes of this machine.

    `threads` are those of BLAS and OpenMP in each worker; more than one sample `at_once` disturb each other. With
    `keep_filled` cold samples leave their filled caches to the warm ones of the same model until the sweep ends.
    Another `interpreter` than this process's may measure.
    """

    label: str = ""
    threads: int = 1
    at_once: int = 1
    keep_filled: bool = True
    interpreter: Interpreter | None = None
    _stop: threading.Event = field(default_factory=threading.Event, init=False)

    def run(self, jobs: Iterator[Job], tell: Callable[[SweepEvent], None]) -> Iterator[tuple[Job, Record]]:
        """Measure jobs; see `firstgrad.sweep.rounds.Executor`."""
        # Its folder goes when this process does, even when it is killed.
        with PrivateCaches() as filled:
            folder = filled.folder / "kept" if self.keep_filled else None
            if self.at_once == 1:
                for job in jobs:
                    yield job, self._measure(job, tell, folder)
            else:
                yield from self._run_side_by_side(jobs, tell, folder)

    def _run_side_by_side(
        self, jobs: Iterator[Job], tell: Callable[[SweepEvent], None], folder: Path | None
    ) -> Iterator[tuple[Job, Record]]:
        running: dict[Future[Record], Job] = {}
        with ThreadPoolExecutor(self.at_once) as pool:
            try:
                while True:
                    while len(running) < self.at_once and (job := next(jobs, None)) is not None:
                        running[pool.submit(self._measure, job, tell, folder)] = job
                    if not running:
                        return
                    ended, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in ended:
                        yield running.pop(future), future.result()
            finally:
                self._stop.set()

    def _measure(self, job: Job, tell: Callable[[SweepEvent], None], folder: Path | None) -> Record:
        tell(SampleBegan(job=job))

        def pass_on(event: Event) -> None:
            if self._stop.is_set():
                raise _Stopped
            tell(SampleProgress(job=job, event=event))

        (record,) = measure(
            job.case,
            label=self.label,
            threads=self.threads,
            on_event=pass_on,
            keep_filled=folder_of_filled(folder, job.case),
            interpreter=self.interpreter,
        )
        return record


def folder_of_filled(folder: Path | None, case: Case) -> Path | None:
    """Find where a filled cache is kept, the same for all scenarios of one model; none where the case needs none."""
    if folder is None or case.scenario is Scenario.HOT:
        return None
    return folder / replace(case, scenario=Scenario.WARM).question


def check_cores(*, at_once: int, threads: int, cores: int, allowed: bool) -> None:
    """Refuse with a `SpecError` to run more at a time than there are cores, unless that was allowed."""
    if at_once * threads > cores and not allowed:
        raise SpecError(
            "--at-once",
            f"{at_once} samples of {threads} threads need {at_once * threads} cores, and there are {cores}: they "
            "would measure each other. Take fewer, or say --overload if you mean it",
        )
