"""A plan: which samples are still to be measured, and in which order."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firstgrad.case import Case, Scenario
from firstgrad.record import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from firstgrad.row import Row

_SCENARIO_ORDER = tuple(Scenario)  # cold fills the cache that warm begins with


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One sample to measure.

    Attributes
    ----------
    case : Case
        Of which case.
    number : int
        The how-manieth of it, from 1.
    side : str
        Label of the side of a comparison that it is for; '' in a sweep.
    """

    case: Case
    number: int
    side: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What is stored of one question.

    Attributes
    ----------
    samples : int
        How many were measured, whatever came of it.
    without_numbers : int
        Of them those that failed, were stopped by a limit, or don't count for another reason.
    seconds_waited, bytes_allowed : float
        The highest limits that stopped a sample; 0 where none did.
    """

    samples: int = 0
    without_numbers: int = 0
    seconds_waited: float = 0.0
    bytes_allowed: float = 0.0

    def settles(self, case: Case) -> bool:
        """Whether more samples would tell nothing new: one failed, or was stopped by limits as high as these."""
        if not self.without_numbers:
            return False
        # A limit that is higher now may let the sample end.
        is_longer = self.seconds_waited and (case.time_limit_seconds or float("inf")) > self.seconds_waited
        is_larger = self.bytes_allowed and (case.memory_limit_bytes or float("inf")) > self.bytes_allowed
        return not (is_longer or is_larger)

    def counts_for(self, case: Case) -> int:
        """How many samples need not be measured again: without those that lower limits than now had stopped."""
        return self.samples if self.settles(case) else self.samples - self.without_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a sweep is going to do.

    Attributes
    ----------
    jobs : tuple of Job
        In order.
    stored : int
        Samples of this sweep that are in the store already.
    settled : tuple of Case
        Cases that get no more samples, since one failed or was stopped by its limit.
    """

    jobs: tuple[Job, ...]
    stored: int = 0
    settled: tuple[Case, ...] = ()


def plan_sweep(
    cases: Sequence[Case],
    *,
    samples: int,
    done: Mapping[str, Done],
    seed: int = 0,
    retry_failed: bool = False,
) -> Plan:
    """Plan a sweep: rounds over all cases, each in another random order.

    A round measures each case once, so that what changes with time (other users, heat) falls on all of them alike.
    The scenarios of one model follow each other, cold first: it fills the cache that the others begin with. The
    order follows from the seed alone, so a resumed sweep goes on as it would have gone on.

    Parameters
    ----------
    cases : sequence of Case
        Of the grid.
    samples : int
        How many of each.
    done : mapping of str to Done
        By question, what is stored.
    seed : int
        Of the order.
    retry_failed : bool
        Measure again what gave no numbers.

    Returns
    -------
    Plan
    """
    if retry_failed:
        done = {question: Done(samples=each.samples - each.without_numbers) for question, each in done.items()}
    known = {case: done.get(case.question, Done()) for case in cases}
    stored = {case: min(each.counts_for(case), samples) for case, each in known.items()}
    settled = tuple(case for case, each in known.items() if each.settles(case) and stored[case] < samples)
    left_out = frozenset(settled)
    families: dict[Case, list[Case]] = defaultdict(list)
    for case in cases:
        families[replace(case, scenario=Scenario.COLD)].append(case)
    for members in families.values():
        members.sort(key=lambda case: _SCENARIO_ORDER.index(case.scenario))
    jobs: list[Job] = []
    for number in range(1, samples + 1):
        order = list(families.values())
        random.Random(f"{seed} {number}").shuffle(order)  # noqa: S311 - an order, no secret
        jobs += [
            Job(case=case, number=number)
            for members in order
            for case in members
            if stored[case] < number and case not in left_out
        ]
    return Plan(jobs=tuple(jobs), stored=sum(stored.values()), settled=settled)


def count_done(rows: Iterable[Row], *, conditions: str | None) -> dict[str, Done]:
    """Count what is stored of each question.

    Parameters
    ----------
    rows : iterable of Row
        Of the sweep's label.
    conditions : str, optional
        Digest of the conditions; rows with others don't count. None counts those of all hosts.

    Returns
    -------
    dict of str to Done
        By question.
    """
    found: dict[str, Done] = {}
    for row in rows:
        if conditions is not None and row.conditions != conditions:
            continue
        old = found.get(row.question, Done())
        stopped_by_time = row.status is Status.TIMEOUT
        stopped_by_memory = row.status is Status.OUT_OF_MEMORY
        found[row.question] = Done(
            samples=old.samples + 1,
            without_numbers=old.without_numbers + bool(row.reason),
            seconds_waited=max(old.seconds_waited, (row.time_limit_seconds or 0.0) if stopped_by_time else 0.0),
            bytes_allowed=max(old.bytes_allowed, (row.memory_limit_bytes or 0) if stopped_by_memory else 0),
        )
    return found
