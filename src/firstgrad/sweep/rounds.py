"""Runs plans and duels: every record is kept before the next sample begins, and an executor does the measuring."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from firstgrad.case import Counting, Scenario
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
    """One side of a pair."""

    label: str  # of its records
    case: Case
    done: int = 0  # how many of its samples are stored already, of a duel that is taken up again


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """BASE and HEAD of what is compared with each other."""

    base: DuelSide
    head: DuelSide
    most: int | None = None  # rounds, where it gets fewer than the duel has

    def __post_init__(self) -> None:
        if self.base.label == self.head.label:
            raise SpecError("label", f"both sides have {self.base.label!r}: their records could not be told apart")

    @property
    def sides(self) -> tuple[DuelSide, DuelSide]:
        """Both of them."""
        return self.base, self.head

    @property
    def key(self) -> Case:
        """What it is about, however its samples count: what fails plainly fails counted, too."""
        return replace(self.base.case, counting=Counting.PLAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """Two sides measured in rounds, each round both, so that what changes with time falls on both alike.

    Several models are a pair each. A pair has rounds of its own, and ends alone: failed, decided, or out of time.
    """

    pairs: tuple[Pair, ...]
    rounds: int  # at most so many samples of each side of a pair
    looks: Collection[int] = ()  # after which of its rounds to ask whether a pair is decided
    budget_seconds: float | None = None
    """No round is begun that is expected to end later than this; the first of each pair always is."""
    seed: int = 0  # of the order of pairs, and of the sides within a round

    def most(self, place: int) -> int:
        """Return how many rounds a pair gets at most."""
        return min(self.rounds, self.pairs[place].most or self.rounds)

    def round(self, number: int, place: int = 0) -> tuple[Job, ...]:
        """List what a round (from 1) of a pair has to measure, in a random order that follows from the seed alone."""
        sides = list(self.pairs[place].sides)
        self._chance(number, place).shuffle(sides)
        caches = (Job(case=side.case, number=1) for pair in self.pairs for side in pair.sides)
        needed = frozenset(job.filled_cache for job in caches if job.case.scenario is Scenario.WARM)
        return tuple(
            Job(case=side.case, number=number, side=side.label, needed=needed) for side in sides if side.done < number
        )

    def left(self, rounds: int, place: int) -> Iterator[Job]:
        """Yield what a pair has to measure after so many rounds."""
        return (job for number in range(rounds + 1, self.most(place) + 1) for job in self.round(number, place))

    def jobs(self) -> tuple[Job, ...]:
        """List what all rounds have to measure, pair by pair."""
        return tuple(job for place in range(len(self.pairs)) for job in self.left(0, place))

    def turn(self, number: int, place: int) -> float:
        """Return by what the pairs of a round are ordered: another order each round."""
        return self._chance(number, place, "turn").random()

    def _chance(self, number: int, place: int, *what: str) -> random.Random:
        words = (self.seed, number, *([place] if place else []), *what)
        return random.Random(" ".join(map(str, words)))  # noqa: S311 - an order, no secret


class Ending(StrEnum):
    """Why a pair got no more rounds."""

    ALL_ROUNDS = "all_rounds"
    DECIDED = "decided"
    OUT_OF_TIME = "out_of_time"
    FAILED = "failed"


@dataclass(slots=True, kw_only=True)
class PairState:
    """How far a pair is; at the end, how it ended."""

    rounds: int = 0  # how many are whole, those that were stored before included
    ending: Ending | None = None
    has_failed: bool = False
    spent_seconds: float = 0.0
    longest_seconds: float = 0.0  # of its rounds

    def add_round(self, seconds: float) -> None:
        """Count a round that is over."""
        self.rounds += 1
        self.spent_seconds += seconds
        self.longest_seconds = max(self.longest_seconds, seconds)
        self.ending = Ending.FAILED if self.has_failed else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelSummary:
    """How a duel ended."""

    pairs: tuple[PairState, ...]
    measured: int  # how many samples were measured now


def run_duel(
    duel: Duel,
    executor: Executor,
    *,
    keep: Callable[[Record], None],
    tell: Callable[[SweepEvent], None],
    find_decided: Callable[[], Collection[int]] = tuple,
    clock: Callable[[], float] = time.monotonic,
) -> DuelSummary:
    """Measure both sides of each pair, round by round.

    Next is the pair that has had the fewest rounds; within a time budget the one that has had the least time, so that
    no slow model starves the others. A pair whose sample gives no numbers ends with that round: it would fail again,
    and there is nothing to compare the other side with.

    The executor measures one sample at a time; a job's `side` is the label of its records. `keep` puts a record where
    it lasts, before the next sample begins. `find_decided` is asked, after the rounds that `Duel.looks` names, for the
    places of the pairs that are decided. Such a pair rests; at the end it goes on if the others have undecided it.
    """
    began = clock()
    states = [PairState() for _ in duel.pairs]
    measured = 0
    has_failed = is_suspended = False

    def wanted() -> Iterator[Job]:
        while (place := _choose_pair(duel, states, clock() - began, find_decided)) is not None:
            state, round_began = states[place], clock()
            for job in duel.round(state.rounds + 1, place):
                yield job  # it is kept when this goes on
                for _ in range(_TRIES_AGAIN):
                    if is_suspended:
                        yield job
                state.has_failed |= has_failed
            state.add_round(clock() - round_began)
            # Also where nothing had to be measured: a duel that goes on may have been decided before.
            if not state.ending and state.rounds in duel.looks and place in find_decided():
                state.ending = Ending.DECIDED
            for job in _end(duel, states, place):
                tell(SampleSkipped(job=job))

    for job, record in executor.run(wanted(), tell):
        try:
            keep(record)
        finally:
            tell(SampleEnded(job=job, record=record))
        measured += 1
        is_suspended = is_to_be_repeated(record)
        has_failed = bool(why_unusable(record)) and not is_suspended
    return DuelSummary(pairs=tuple(states), measured=measured)


def _end(duel: Duel, states: Sequence[PairState], place: int) -> list[Job]:
    """Return what a pair that has ended would have measured; one that failed ends those that are about the same."""
    ended = [place] if states[place].ending else []
    if states[place].ending is Ending.FAILED:
        for other, state in enumerate(states):
            if state.ending is None and duel.pairs[other].key == duel.pairs[place].key:
                state.ending = Ending.FAILED
                ended.append(other)
    return [job for one in ended for job in duel.left(states[one].rounds, one)]


def _choose_pair(
    duel: Duel, states: Sequence[PairState], now: float, find_decided: Callable[[], Collection[int]]
) -> int | None:
    """Choose whose round is next, and end those that have none left; none where all have ended."""

    def order(place: int) -> tuple[float, float]:
        state = states[place]
        spent = state.rounds if duel.budget_seconds is None else state.spent_seconds
        return spent, duel.turn(state.rounds + 1, place)

    while True:
        for place in sorted((place for place, state in enumerate(states) if state.ending is None), key=order):
            state = states[place]
            is_late = duel.budget_seconds is not None and now + state.longest_seconds > duel.budget_seconds
            if state.rounds == duel.most(place):
                state.ending = Ending.ALL_ROUNDS
            elif is_late and state.longest_seconds and duel.round(state.rounds + 1, place):
                state.ending = Ending.OUT_OF_TIME
            else:
                return place
        resting = [place for place, state in enumerate(states) if state.ending is Ending.DECIDED]
        # Verdicts are corrected for all others, and those have gone on since.
        again = set(resting).difference(find_decided()) if resting and len(states) > 1 else set()
        again = {place for place in again if states[place].rounds < duel.most(place)}
        if not again:
            return None
        for place in again:
            states[place].ending = None


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
