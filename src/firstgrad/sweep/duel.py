"""A duel: two sides measured in rounds, each round both of them, so that what changes with time falls on both alike."""

from __future__ import annotations

import random
import time
from collections import deque
from contextlib import ExitStack, closing
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from firstgrad.errors import SpecError
from firstgrad.sweep.events import SampleEnded
from firstgrad.sweep.plan import Job
from firstgrad.usability import why_unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Mapping

    from firstgrad.case import Case
    from firstgrad.record import Record
    from firstgrad.sweep.events import SweepEvent
    from firstgrad.sweep.runner import Executor


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One side of a duel.

    Attributes
    ----------
    label : str
        Of its records.
    case : Case
        What is measured of it.
    done : int
        How many of its samples are stored already, of a duel that is taken up again.
    """

    label: str
    case: Case
    done: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """What is going to be measured.

    Attributes
    ----------
    base, head : Contender
        The sides, with labels that differ.
    rounds : int
        At most so many samples of each.
    looks : collection of int
        After which rounds to ask whether it is decided.
    budget_seconds : float, optional
        No round is begun that is expected to end later than this; the first always is.
    seed : int
        Of the order within the rounds.
    """

    base: Contender
    head: Contender
    rounds: int
    looks: Collection[int] = ()
    budget_seconds: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.base.label == self.head.label:
            raise SpecError("label", f"both sides have {self.base.label!r}: their records could not be told apart")

    def round(self, number: int) -> tuple[Job, ...]:
        """List what a round (from 1) has to measure, in a random order that follows from the seed alone."""
        sides = [self.base, self.head]
        random.Random(f"{self.seed} {number}").shuffle(sides)  # noqa: S311 - an order, no secret
        return tuple(Job(case=each.case, number=number, side=each.label) for each in sides if each.done < number)

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
    """How a duel ended.

    Attributes
    ----------
    ending : Ending
        Why.
    rounds : int
        How many rounds are whole, those that were stored before included.
    measured : int
        How many samples were measured now.
    """

    ending: Ending
    rounds: int
    measured: int


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

    Parameters
    ----------
    duel : Duel
        What to measure.
    executor : Executor
        Who measures, one sample at a time; a job's `side` is the label of its records.
    keep : callable
        Puts a record where it lasts, before the next sample begins.
    tell : callable
        Takes events, for a display.
    is_decided : callable
        Asked after the rounds that `Duel.looks` names.
    clock : callable
        In seconds.

    Returns
    -------
    DuelSummary
    """
    began = clock()
    ending = Ending.ALL_ROUNDS
    rounds = measured = 0
    has_failed = False

    def wanted() -> Iterator[Job]:
        nonlocal ending, rounds
        longest_seconds = 0.0
        for number in range(1, duel.rounds + 1):
            round_began = clock()
            jobs = duel.round(number)
            if jobs and _is_too_late(duel, round_began - began, longest_seconds):
                ending = Ending.OUT_OF_TIME
                return
            yield from jobs  # the last of them is kept when this goes on
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
        keep(record)
        measured += 1
        has_failed |= bool(why_unusable(record))
        tell(SampleEnded(job=job, record=record))
    return DuelSummary(ending=ending, rounds=rounds, measured=measured)


class SidesExecutor:
    """Measures each side by an executor of its own, which lives as long as the duel: it may keep filled caches.

    Parameters
    ----------
    executors : mapping of str to Executor
        By the side's label. Each measures one sample at a time.
    """

    def __init__(self, executors: Mapping[str, Executor]) -> None:
        self._executors = dict(executors)

    def run(self, jobs: Iterator[Job], tell: Callable[[SweepEvent], None]) -> Iterator[tuple[Job, Record]]:
        """Measure jobs; see `firstgrad.sweep.runner.Executor`."""
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


def _is_too_late(duel: Duel, elapsed_seconds: float, longest_seconds: float) -> bool:
    if duel.budget_seconds is None or not longest_seconds:
        return False
    return elapsed_seconds + longest_seconds > duel.budget_seconds
