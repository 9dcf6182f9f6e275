"""A plan: which samples are still to be measured, in which order, and how long that is going to take."""

from __future__ import annotations

import math
import random
import statistics
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firstgrad.case import Case, Scenario
from firstgrad.measure.environment import is_expected_device
from firstgrad.record import Status
from firstgrad.row import axes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from firstgrad.case import BackendName
    from firstgrad.pose.spec import Scalar
    from firstgrad.row import Row

_SCENARIO_ORDER = tuple(Scenario)  # cold fills the cache that warm begins with
_SIZES = ("timesteps", "directions", "cameras", "states")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One sample to measure: the `number`-th of its case, from 1."""

    case: Case
    number: int
    side: str = ""
    """Label of the side of a comparison that it is for; '' in a sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What is stored of one question."""

    samples: int = 0
    """How many were measured, whatever came of it."""
    without_numbers: int = 0
    """Of them those that failed, were stopped by a limit, or don't count for another reason."""
    seconds_waited: float = 0.0
    bytes_allowed: float = 0.0
    """The highest limits that stopped a sample; 0 where none did."""

    def settles(self, case: Case) -> bool:
        """Whether more samples would tell nothing new: one failed, or was stopped by limits as high as these."""
        if not self.without_numbers:
            return False
        # A limit that is higher now may let the sample end.
        is_longer = self.seconds_waited and (case.time_limit_seconds or math.inf) > self.seconds_waited
        is_larger = self.bytes_allowed and (case.memory_limit_bytes or math.inf) > self.bytes_allowed
        return not (is_longer or is_larger)

    def counts_for(self, case: Case) -> int:
        """How many samples need not be measured again: without those that lower limits than now had stopped."""
        return self.samples if self.settles(case) else self.samples - self.without_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a sweep is going to do."""

    jobs: tuple[Job, ...]
    """In order."""
    stored: int = 0
    """Samples of this sweep that are in the store already."""
    settled: tuple[Case, ...] = ()
    """Cases that get no more samples, since one failed or was stopped by its limit."""


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
    samples
        How many of each case.
    done
        By question, what is stored.
    seed
        Of the order.
    retry_failed
        Measure again what gave no numbers.
    """
    if retry_failed:
        done = {question: Done(samples=stored.samples - stored.without_numbers) for question, stored in done.items()}
    known = {case: done.get(case.question, Done()) for case in cases}
    counts = {case: min(stored.counts_for(case), samples) for case, stored in known.items()}
    settled = tuple(case for case, stored in known.items() if stored.settles(case) and counts[case] < samples)
    left_out = frozenset(settled)
    scenarios: dict[Case, list[Case]] = defaultdict(list)
    for case in cases:
        scenarios[replace(case, scenario=Scenario.COLD)].append(case)
    for members in scenarios.values():
        members.sort(key=lambda case: _SCENARIO_ORDER.index(case.scenario))
    jobs: list[Job] = []
    for number in range(1, samples + 1):
        order = list(scenarios.values())
        random.Random(f"{seed} {number}").shuffle(order)  # noqa: S311 - an order, no secret
        jobs += [
            Job(case=case, number=number)
            for members in order
            for case in members
            if counts[case] < number and case not in left_out
        ]
    return Plan(jobs=tuple(jobs), stored=sum(counts.values()), settled=settled)


def count_done(rows: Iterable[Row]) -> dict[str, Done]:
    """Count by question what is stored."""
    done: dict[str, Done] = defaultdict(Done)
    for row in rows:
        so_far = done[row.question]
        seconds = row.time_limit_seconds if row.status is Status.TIMEOUT else None
        allowed = row.memory_limit_bytes if row.status is Status.OUT_OF_MEMORY else None
        done[row.question] = Done(
            samples=so_far.samples + 1,
            without_numbers=so_far.without_numbers + bool(row.reason),
            seconds_waited=max(so_far.seconds_waited, seconds or 0.0),
            bytes_allowed=max(so_far.bytes_allowed, allowed or 0),
        )
    return dict(done)


class Durations:
    """Expected seconds of a sample.

    A case that was measured before takes as long as then (the median). Another takes as long as the nearest in size
    among those of its backend and scenario, first of those that differ in nothing but sizes, then of any of the same
    model family. The rows may be of whichever host and label: an estimate of a waiting time may be rough. Rows of
    another device than the backend will run on here tell nothing.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._same: dict[str, list[float]] = defaultdict(list)
        self._near: dict[tuple[object, ...], list[tuple[dict[str, Scalar], str]]] = defaultdict(list)
        for row in rows:
            if is_expected_device(row.device, row.backend):
                self._add(row.question, row.family, dict(row.axes), row.backend, row.scenario, row.sample_seconds)

    def learn(self, case: Case, seconds: float) -> None:
        """Take a new sample into account."""
        family, axes = case.model.reference, dict(axes_of(case.model))
        self._add(case.question, family, axes, case.backend, case.scenario, seconds)

    def of(self, case: Case) -> float | None:
        """Expect so many seconds of one sample; none where nothing like it is known."""
        if (same := self.of_same(case)) is not None:
            return same
        axes = dict(axes_of(case.model))
        for kind in _kinds(case.model.reference, axes, case.backend, case.scenario):
            if near := self._near.get(kind):
                _, question = min(near, key=lambda known: _distance(known[0], axes))
                return statistics.median(self._same[question])
        return None

    def of_same(self, case: Case) -> float | None:
        """Return the median of this very case's samples; none where there is none."""
        known = self._same.get(case.question)
        return statistics.median(known) if known else None

    def of_all(self, jobs: Iterable[Job]) -> tuple[float, int]:
        """Expect so many seconds of samples one after the other, and count those of which nothing is known.

        The first ``warm`` sample of a case without a ``cold`` one before it fills its cache itself.
        """
        seconds, unknown = 0.0, 0
        filled: set[Case] = set()
        for job in jobs:
            cold = replace(job.case, scenario=Scenario.COLD)
            parts = [self.of(job.case)]
            if job.case.scenario is Scenario.WARM and cold not in filled:
                parts.append(self.of(cold))
            if job.case.scenario is not Scenario.HOT:
                filled.add(cold)
            seconds += sum(part for part in parts if part is not None)
            unknown += None in parts
        return seconds, unknown

    def _add(
        self,
        question: str,
        family: str,
        axes: dict[str, Scalar],
        backend: BackendName,
        scenario: Scenario,
        seconds: float,
    ) -> None:
        if question not in self._same:
            for kind in _kinds(family, axes, backend, scenario):
                self._near[kind].append((axes, question))
        self._same[question].append(seconds)


def _kinds(
    family: str, axes: dict[str, Scalar], backend: BackendName, scenario: Scenario
) -> tuple[tuple[object, ...], ...]:
    """Name the kinds of case that one belongs to, the narrowest first."""
    rest = tuple(sorted((name, str(value)) for name, value in axes.items() if name not in _SIZES))
    has_hmm = bool(axes.get("hmm_algorithm"))
    return ((family, backend, scenario, rest), (family, backend, scenario, has_hmm), (family, backend, scenario))


def _distance(one: dict[str, Scalar], other: dict[str, Scalar]) -> float:
    """How unlike two sizes are: the sum of the absolute logarithms of their ratios."""
    return sum(abs(math.log(_positive(one.get(name)) / _positive(other.get(name)))) for name in one | other)


def _positive(value: Scalar | None) -> float:
    return max(float(value), 1.0) if isinstance(value, int | float) else 1.0
