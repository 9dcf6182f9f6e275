"""A plan: which samples are still to be measured, in which order, and how long that is going to take."""

from __future__ import annotations

import functools
import json
import math
import random
import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from firstgrad.case import BackendName, Case, Scenario
from firstgrad.measuring.environment import is_expected_device, measured_here
from firstgrad.model import Model, make_model
from firstgrad.pose.spec import PARAMETERS
from firstgrad.record import Doubt, Status
from firstgrad.sources import read_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firstgrad.pose.spec import Scalar

type Sample = Mapping[str, Any]
"""What a store has of a sample by the columns' names, as `firstgrad.store.Store.cells` returns it."""

_SCENARIO_ORDER = tuple(Scenario)  # cold fills the cache that warm begins with
_SIZES = frozenset(name for name, parameter in PARAMETERS.items() if parameter.is_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One sample to measure: the `number`-th of its case, from 1."""

    case: Case
    number: int
    side: str = ""  # label of the side of a comparison that it is for; '' in a sweep
    needed: frozenset[str] = field(default=frozenset(), compare=False)
    """Filled caches that other samples, later ones or those that run beside it, begin with; as `filled_cache` says."""

    @property
    def filled_cache(self) -> str:
        """Name of the filled cache that this sample begins with or leaves, the same for all scenarios of one model."""
        return replace(self.case, scenario=Scenario.WARM).question


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What is stored of one question."""

    samples: int = 0  # how many were measured, whatever came of it
    without_numbers: int = 0  # of them those that failed, were stopped by a limit, or don't count for another reason
    seconds_waited: float = 0.0
    bytes_allowed: float = 0.0  # the highest limits that stopped a sample; 0 where none did

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

    jobs: tuple[Job, ...]  # in order
    stored: int = 0  # samples of this sweep that are in the store already
    settled: tuple[Case, ...] = ()  # cases that get no more samples, since one failed or was stopped by its limit


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

    `done` has what is stored, by question; with `retry_failed` what gave no numbers is measured again.
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


def samples_here(samples: Iterable[Sample], *, threads: int = 1) -> list[Sample]:
    """Take the samples that were measured under conditions like here and now."""
    is_here = measured_here(threads=threads)
    return [
        one
        for one in samples
        if is_here(BackendName(one["backend"]), one["device"], one["conditions"], one["asked_device"] or "")
    ]


def current_samples(samples: Iterable[Sample]) -> list[Sample]:
    """Take the samples of models whose file, and what it imports from beside it, has not changed since."""
    source_of = functools.cache(read_source)
    return [
        sample
        for sample in samples
        if source_of(sample["reference"]).gave(sample["source_digest"], sample["started_at"])
    ]


def count_done(samples: Iterable[Sample]) -> dict[str, Done]:
    """Count stored samples by question; those that stood still for a while are to be measured again."""
    done: dict[str, Done] = defaultdict(Done)
    for sample in samples:
        if _is_suspended(sample):
            continue
        so_far = done[sample["question"]]
        seconds = sample["time_limit_seconds"] if sample["status"] == Status.TIMEOUT else None
        allowed = sample["memory_limit_bytes"] if sample["status"] == Status.OUT_OF_MEMORY else None
        done[sample["question"]] = Done(
            samples=so_far.samples + 1,
            without_numbers=so_far.without_numbers + bool(sample["reason"]),
            seconds_waited=max(so_far.seconds_waited, seconds or 0.0),
            bytes_allowed=max(so_far.bytes_allowed, allowed or 0),
        )
    return dict(done)


def _is_suspended(sample: Sample) -> bool:
    return Doubt.SUSPENDED in sample["doubts"].split()


class Durations:
    """Expected seconds of a sample.

    A case that was measured before takes as long as then (the median). Another takes as long as the nearest in size
    among those of its backend and scenario, first of those that differ in nothing but sizes, then of any of the same
    model family. Samples may be of whichever host and label: an estimate of a waiting time may be rough. Those of
    another device than the backend will run on here tell nothing.
    """

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._same: dict[str, list[float]] = defaultdict(list)
        self._near: dict[tuple[object, ...], list[tuple[dict[str, Scalar], str]]] = defaultdict(list)
        is_expected = functools.cache(is_expected_device)
        for sample in samples:
            backend, question = BackendName(sample["backend"]), sample["question"]
            asked = sample["asked_device"] or ""
            if is_expected(sample["device"], backend, asked) and not _is_suspended(sample):
                if question not in self._same:
                    model = make_model(sample["reference"], dict(json.loads(sample["parameters"])))
                    self._place(question, model, (backend, asked, Scenario(sample["scenario"])))
                self._same[question].append(sample["sample_seconds"])

    def learn(self, case: Case, seconds: float) -> None:
        """Take a new sample into account."""
        if case.question not in self._same:
            self._place(case.question, case.model, (case.backend, case.device, case.scenario))
        self._same[case.question].append(seconds)

    def of(self, case: Case) -> float | None:
        """Expect so many seconds of one sample; none where nothing like it is known."""
        if (same := self.of_same(case)) is not None:
            return same
        values = case.model.values
        for kind in _kinds(case.model, (case.backend, case.device, case.scenario)):
            if near := self._near.get(kind):
                _, question = min(near, key=lambda known: _distance(known[0], values))
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

    def _place(self, question: str, model: Model, how: tuple[BackendName, str, Scenario]) -> None:
        for kind in _kinds(model, how):
            self._near[kind].append((model.values, question))


def _kinds(model: Model, how: tuple[BackendName, str, Scenario]) -> tuple[tuple[object, ...], ...]:
    """Name the kinds of case that one belongs to, the narrowest first."""
    values, family = model.values, (model.reference, *how)
    rest = tuple(sorted((name, str(value)) for name, value in values.items() if name not in _SIZES))
    return (*family, rest), (*family, bool(values.get("hmm"))), family


def _distance(one: dict[str, Scalar], other: dict[str, Scalar]) -> float:
    """How unlike two sizes are: the sum of the absolute logarithms of their ratios."""
    return sum(abs(math.log(_positive(one.get(name)) / _positive(other.get(name)))) for name in one | other)


def _positive(value: Scalar | None) -> float:
    return max(float(value), 1.0) if isinstance(value, int | float) else 1.0
