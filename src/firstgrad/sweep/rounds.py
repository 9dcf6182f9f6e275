"""Runs plans and duels: every record is kept before the next sample begins, and an executor does the measuring."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from firstgrad.case import Scenario
from firstgrad.doubts import is_to_be_repeated, why_unusable
from firstgrad.errors import SpecError
from firstgrad.sweep.plan import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence

    from firstgrad.case import Case
    from firstgrad.measuring.events import Event
    from firstgrad.record import Record, Status
    from firstgrad.sweep.plan import Plan

_TRIES_AGAIN = 2  # of a sample that stood still for a while


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleBegan:
    """A sample is being measured; `worker` names the cluster's worker, '' for this machine."""

    job: Job
    worker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleProgress:
    """Something happened within a running sample."""

    job: Job
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleLost:
    """A sample's worker is gone; the sample will be measured again."""

    job: Job
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleEnded:
    """A sample ended, and its record is kept; or it can't be, and whoever keeps it says so."""

    job: Job
    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSkipped:
    """A sample isn't measured, since an earlier one of its case failed or was stopped by its limit."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that a person should know: the store's server is away, workers are missing or unfit."""

    message: str


type SweepEvent = SampleBegan | SampleProgress | SampleLost | SampleEnded | SampleSkipped | Notice


class Executor(Protocol):
    """What measures samples: this machine, a cluster, or a test."""

    def run(self, jobs: Iterator[Job], tell: Callable[[SweepEvent], None]) -> Iterator[tuple[Job, Record]]:
        """Measure jobs, and yield each one's record as soon as it is there.

        The next job is to be asked for only when it can be begun, and never from two threads. `tell` takes events from
        any thread. When the generator is closed, what still runs is stopped.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSummary:
    """How a sweep ended: how many samples with which status, and how many were not measured."""

    statuses: Mapping[Status, int]
    skipped: int  # since an earlier sample of their case gave no numbers


def run_sweep(
    plan: Plan, executor: Executor, *, keep: Callable[[Record], None], tell: Callable[[SweepEvent], None]
) -> SweepSummary:
    """Measure what a plan has left to measure; a case that gave no numbers once gets no further sample.

    `keep` puts a record where it lasts; only then does the sample count as done. One that stood still for a while says
    nothing: it is kept, and measured again at the end.
    """
    statuses: Counter[Status] = Counter()
    settled: set[str] = set()
    skipped = 0
    # Of warm samples, which begin with a filled cache: how many run
    running: Counter[str] = Counter()

    def wanted(jobs: Sequence[Job]) -> Iterator[Job]:
        nonlocal skipped
        # Of them again: how many are still to come
        to_come = Counter(job.case.question for job in jobs if job.case.scenario is Scenario.WARM)
        for job in jobs:
            question, is_warm = job.case.question, job.case.scenario is Scenario.WARM
            to_come[question] -= is_warm
            if question in settled:
                skipped += 1
                tell(SampleSkipped(job=job))
                continue
            yield replace(job, needed=frozenset(+to_come).difference(settled).union(+running))
            running[question] += is_warm

    jobs: Sequence[Job] = plan.jobs
    for tries_left in reversed(range(1 + _TRIES_AGAIN)):
        again: list[Job] = []
        for job, record in executor.run(wanted(jobs), tell):
            try:
                keep(record)
            finally:
                tell(SampleEnded(job=job, record=record))
            running[job.case.question] -= job.case.scenario is Scenario.WARM
            is_suspended = is_to_be_repeated(record)
            if is_suspended and tries_left:
                again.append(job)
            else:
                statuses[record.status] += 1
            if why_unusable(record) and not is_suspended:
                settled.add(job.case.question)
        jobs = again
        if not jobs:
            break
    return SweepSummary(statuses=statuses, skipped=skipped)


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelSide:
    """One side of a duel."""

    label: str  # of its records
    case: Case
    done: int = 0  # how many of its samples are stored already, of a duel that is taken up again


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """Two sides measured in rounds, each round both, so that what changes with time falls on both alike."""

    base: DuelSide
    head: DuelSide
    rounds: int  # at most so many samples of each
    looks: Collection[int] = ()  # after which rounds to ask whether it is decided
    budget_seconds: float | None = None
    """No round is begun that is expected to end later than this; the first always is."""
    seed: int = 0  # of the order within the rounds

    def __post_init__(self) -> None:
        if self.base.label == self.head.label:
            raise SpecError("label", f"both sides have {self.base.label!r}: their records could not be told apart")

    def round(self, number: int) -> tuple[Job, ...]:
        """List what a round (from 1) has to measure, in a random order that follows from the seed alone."""
        sides = [self.base, self.head]
        random.Random(f"{self.seed} {number}").shuffle(sides)  # noqa: S311 - an order, no secret
        return tuple(Job(case=side.case, number=number, side=side.label) for side in sides if side.done < number)

    def jobs(self) -> tuple[Job, ...]:
        """List what all rounds have to measure."""
        return tuple(job for number in range(1, self.rounds + 1) for job in self.round(number))


class Ending(StrEnum):
    """Why a duel ended."""

    ALL_ROUNDS = "all_rounds"
    DECIDED = "decided"
    OUT_OF_TIME = "out_of_time"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelSummary:
    """How a duel ended."""

    ending: Ending
    rounds: int  # how many are whole, those that were stored before included
    measured: int  # how many samples were measured now


def run_duel(
    duel: Duel,
    executor: Executor,
    *,
    keep: Callable[[Record], None],
    tell: Callable[[SweepEvent], None],
    is_decided: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> DuelSummary:
    """Measure both sides, round by round.

    A side whose sample gives no numbers ends the duel with that round: it would fail again, and there is nothing to
    compare the other one with.

    The executor measures one sample at a time; a job's `side` is the label of its records. `keep` puts a record where
    it lasts, before the next sample begins; `is_decided` is asked after the rounds that `Duel.looks` names.
    """
    began = clock()
    ending = Ending.ALL_ROUNDS
    rounds = measured = 0
    has_failed = is_suspended = False

    def wanted() -> Iterator[Job]:
        nonlocal ending, rounds
        longest_seconds = 0.0
        for number in range(1, duel.rounds + 1):
            round_began = clock()
            jobs = duel.round(number)
            would_end = round_began - began + longest_seconds
            if jobs and longest_seconds and duel.budget_seconds is not None and would_end > duel.budget_seconds:
                ending = Ending.OUT_OF_TIME
                return
            for job in jobs:
                yield job  # it is kept when this goes on
                for _ in range(_TRIES_AGAIN):
                    if is_suspended:
                        yield job
            rounds = number
            longest_seconds = max(longest_seconds, clock() - round_began)
            if has_failed:
                ending = Ending.FAILED
                return
            # Also where nothing had to be measured: a duel that goes on may have been decided before.
            if number in duel.looks and is_decided():
                ending = Ending.DECIDED
                return

    for job, record in executor.run(wanted(), tell):
        try:
            keep(record)
        finally:
            tell(SampleEnded(job=job, record=record))
        measured += 1
        is_suspended = is_to_be_repeated(record)
        has_failed |= bool(why_unusable(record)) and not is_suspended
    return DuelSummary(ending=ending, rounds=rounds, measured=measured)


class SidesExecutor:
    """Measures each side by an executor of its own, which lives as long as the duel: it may keep filled caches.

    `executors` are by the side's label; each measures one sample at a time.
    """

    def __init__(self, executors: Mapping[str, Executor]) -> None:
        self._executors = executors

    def run(self, jobs: Iterator[Job], tell: Callable[[SweepEvent], None]) -> Iterator[tuple[Job, Record]]:
        """Measure jobs; see `Executor`."""
        waiting: dict[str, deque[Job]] = {label: deque() for label in self._executors}
        with ExitStack() as stack:
            running = {
                # Generators: closing one stops what runs, and removes its private folder.
                label: stack.enter_context(closing(_generate(executor, waiting[label], tell)))
                for label, executor in self._executors.items()
            }
            for job in jobs:
                waiting[job.side].append(job)
                yield next(running[job.side])


def _generate(
    executor: Executor, waiting: deque[Job], tell: Callable[[SweepEvent], None]
) -> Generator[tuple[Job, Record]]:
    def hand_over() -> Iterator[Job]:
        while waiting:
            yield waiting.popleft()

    yield from executor.run(hand_over(), tell)
