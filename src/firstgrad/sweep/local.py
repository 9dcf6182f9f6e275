"""Measures on this machine: one sample at a time, or as many as was asked for."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from firstgrad.case import Scenario
from firstgrad.errors import SpecError
from firstgrad.measuring.launch import measure
from firstgrad.measuring.private import PrivateCaches
from firstgrad.sweep.rounds import Notice, SampleBegan, SampleProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from firstgrad.measuring.events import Event
    from firstgrad.measuring.interpreter import Interpreter
    from firstgrad.record import Record
    from firstgrad.sweep.plan import Job
    from firstgrad.sweep.rounds import SweepEvent


class _Stopped(Exception):  # noqa: N818 - no error: the sweep was ended
    """Raised within a running sample to end it."""


@dataclass(slots=True, kw_only=True)
class LocalExecutor:
    """Measures samples in processes of this machine.

    `threads` are those of BLAS and OpenMP in each worker; more than one sample `at_once` disturb each other. Cold
    samples leave their filled caches to the warm ones of the same model, as long as there are any to come. Another
    `interpreter` than this process's may measure.
    """

    label: str = ""
    threads: int = 1
    at_once: int = 1
    interpreter: Interpreter | None = None
    _stop: threading.Event = field(default_factory=threading.Event, init=False)

    def run(self, jobs: Iterator[Job], tell: Callable[[SweepEvent], None]) -> Iterator[tuple[Job, Record]]:
        """Measure jobs; see `firstgrad.sweep.rounds.Executor`."""
        # Its folder goes when this process does, even when it is killed.
        with PrivateCaches() as filled:
            folder = filled.folder / "kept"
            if self.at_once == 1:
                for job in jobs:
                    with closing(self._measure(job, tell, folder)) as samples:
                        for record in samples:
                            yield job, record
            else:
                yield from self._run_side_by_side(jobs, tell, folder)

    def _run_side_by_side(
        self, jobs: Iterator[Job], tell: Callable[[SweepEvent], None], folder: Path
    ) -> Iterator[tuple[Job, Record]]:
        running: dict[Future[Record | None], tuple[Job, Generator[Record]]] = {}
        self._stop.clear()
        with ThreadPoolExecutor(self.at_once) as pool:

            def go_on(job: Job, samples: Generator[Record]) -> None:
                running[pool.submit(next, samples, None)] = job, samples

            try:
                while True:
                    while len(running) < self.at_once and (job := next(jobs, None)) is not None:
                        go_on(job, self._measure(job, tell, folder))
                    if not running:
                        return
                    ended, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in ended:
                        job, samples = running.pop(future)
                        with ExitStack() as stack:
                            stack.enter_context(closing(samples))
                            if (record := future.result()) is not None:
                                yield job, record
                                go_on(job, samples)  # with its record stored, it keeps the filled cache
                                stack.pop_all()
            finally:
                self._stop.set()

    def _measure(self, job: Job, tell: Callable[[SweepEvent], None], folder: Path) -> Generator[Record]:
        tell(SampleBegan(job=job))

        def pass_on(event: Event) -> None:
            if self._stop.is_set():
                raise _Stopped
            tell(SampleProgress(job=job, event=event))

        return measure(
            job.case,
            label=self.label,
            threads=self.threads,
            on_event=pass_on,
            keep_filled=make_room(folder, job),
            interpreter=self.interpreter,
            warn=lambda message: tell(Notice(message=message)),
        )


def make_room(folder: Path, job: Job) -> Path | None:
    """Remove the filled caches in a folder that no sample needs any more, and find where this one's is kept.

    None where it is to be forgotten: no warm sample begins with it.
    """
    for kept in folder.glob("[!.]*"):
        if kept.name not in job.needed | {job.filled_cache}:
            shutil.rmtree(kept, ignore_errors=True)
    is_warm = job.case.scenario is Scenario.WARM
    is_left = job.case.scenario is Scenario.COLD and job.filled_cache in job.needed
    return folder / job.filled_cache if is_warm or is_left else None


def check_cores(*, at_once: int, threads: int, cores: int, allowed: bool) -> None:
    """Refuse with a `SpecError` to run more at a time than there are cores, unless that was allowed."""
    if at_once * threads > cores and not allowed:
        raise SpecError(
            "--at-once",
            f"{at_once} samples of {threads} threads need {at_once * threads} cores, and there are {cores}: they "
            "would measure each other. Take fewer, or say --overload if you mean it",
        )
