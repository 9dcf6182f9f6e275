"""Runs a plan: every record is kept before the next sample begins; what failed once is not tried again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from firstgrad.sweep.events import SampleEnded, SampleSkipped
from firstgrad.usability import why_unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firstgrad.record import Record, Status
    from firstgrad.sweep.events import SweepEvent
    from firstgrad.sweep.plan import Job, Plan


class Executor(Protocol):
    """What measures samples: this machine, a cluster, or a test."""

    def run(self, jobs: Iterator[Job], tell: Callable[[SweepEvent], None]) -> Iterator[tuple[Job, Record]]:
        """Measure jobs, and yield each record as soon as it is there.

        Parameters
        ----------
        jobs : iterator of Job
            To be asked for the next one only when it can be begun. Never from two threads.
        tell : callable
            Takes events, from any thread.

        Yields
        ------
        tuple of Job and Record
            Each job once. When the generator is closed, what still runs is stopped.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How a sweep ended.

    Attributes
    ----------
    statuses : tuple of (Status, int)
        How many samples ended how.
    skipped : int
        Samples that were not measured, since an earlier one of their case gave no numbers.
    """

    statuses: tuple[tuple[Status, int], ...]
    skipped: int

    @property
    def measured(self) -> int:
        """How many samples were measured."""
        return sum(count for _, count in self.statuses)


def run_sweep(
    plan: Plan, executor: Executor, *, keep: Callable[[Record], None], tell: Callable[[SweepEvent], None]
) -> Summary:
    """Measure what a plan has left to measure.

    Parameters
    ----------
    plan : Plan
        What to measure, in its order.
    executor : Executor
        Who measures.
    keep : callable
        Puts a record where it lasts; only then does the sample count as done.
    tell : callable
        Takes events, for a display.

    Returns
    -------
    Summary
    """
    statuses: Counter[Status] = Counter()
    settled: set[str] = set()
    skipped = 0

    def wanted() -> Iterator[Job]:
        nonlocal skipped
        for job in plan.jobs:
            if job.case.question in settled:
                skipped += 1
                tell(SampleSkipped(job=job))
            else:
                yield job

    for job, record in executor.run(wanted(), tell):
        keep(record)
        statuses[record.status] += 1
        if why_unusable(record):
            settled.add(job.case.question)
        tell(SampleEnded(job=job, record=record))
    return Summary(statuses=tuple(statuses.items()), skipped=skipped)
