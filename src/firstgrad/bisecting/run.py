"""A bisection from its ends to its conclusion: by what, where next, what it found, and what is not sure about it."""

from __future__ import annotations

import math
import random
import statistics
import time
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from firstgrad.bisecting.history import Revision
from firstgrad.bisecting.search import MOST_SKIPPED, Search
from firstgrad.case import Case, Counting, Target
from firstgrad.columns import METRICS, Unit, first_metric, metric_named, metrics_of
from firstgrad.comparing.comparison import Comparison, compare
from firstgrad.comparing.judge import SPREADS, ComparisonVerdict, Thresholds
from firstgrad.comparing.ratio import fit_ratio
from firstgrad.doubts import why_unusable
from firstgrad.errors import SpecError
from firstgrad.record import Doubt, Status, WorkParts
from firstgrad.units import format_count, span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firstgrad.columns import Column
    from firstgrad.record import Record

LOOKS = (3, 6, 10, 16, 26, 42)
"""After how many rounds to look whether seconds are decided."""
NOT_BUILT = "NotBuilt"
"""Kind of failure of a revision that could not be built."""
_OTHERS = 0.1  # part of the change that was found from which on others are told
_FAILED = (Status.FAILED, Status.CRASHED)
PREDICATES = tuple(
    map(str, (*(status for status in Status if status is not Status.OK), Doubt.NOT_FINITE, Doubt.GRADIENT_SUSPECT))
)
"""What a sample can be said to be, beside its numbers; ``failed`` is ``crashed``, too."""


class Bench(Protocol):
    """What measures revisions: this machine, with a store, or a test."""

    def sample(self, revision: Revision, case: Case, number: int, beside: str = "") -> Record:
        """Return a revision's `number`-th sample (from 1) of a case, stored or measured now.

        `beside` names the pair of revisions in whose rounds it is measured: these samples are others than those alone.
        """
        ...


class Outcome(StrEnum):
    """How a bisection ended.

    ``found``: one revision. ``range``: one of several, since those between couldn't be measured. ``same``: the ends
    don't differ. ``not_measured``: an end couldn't be measured.
    """

    FOUND = "found"
    RANGE = "range"
    SAME = "same"
    NOT_MEASURED = "not_measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A number at two revisions."""

    metric: str
    before: float
    after: float

    @property
    def log_ratio(self) -> float:
        """By how much it changed, on the logarithmic scale; infinite from or to zero."""
        if min(self.before, self.after) <= 0:
            return math.copysign(math.inf, self.after - self.before)
        return math.log(self.after / self.before)


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedPart:
    """A part of a count at two revisions: of a rewriter, an operation, a unit, a function."""

    count: str
    by: str
    name: str
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """A revision that was measured, or could not be."""

    place: int  # in the line of revisions, from 0
    revision: Revision
    number: float | None  # of what is bisected by; of seconds and predicates 1 as on BAD, 0 as on GOOD
    reason: str = ""  # why there is none
    record_id: str = ""  # of its first sample


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherChange:
    """Another change of the same number between two measured revisions, one after the other or not."""

    after: Revision
    up_to: Revision
    number_before: float
    number_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisection:
    """What was found."""

    outcome: Outcome
    case: Case
    revisions: int  # how many there are, both ends included
    name: str  # of the package, or of the repository's folder
    left_out: int  # commits that change nothing of the package
    good: Revision
    bad: Revision
    by: str = ""  # a metric or a predicate; '' where the ends don't differ
    reason: str = ""  # why nothing was found
    ends: tuple[Moved, ...] = ()  # exact counts that differ between GOOD and BAD
    seconds: Comparison | None = None  # of the ends, where counts were equal or seconds were asked for
    tested: tuple[Tested, ...] = ()  # in the order of the line
    steps: int = 0  # how many revisions between the ends were looked at
    before: Revision | None = None  # the last one that is as before
    found: Revision | None = None  # the first one that isn't
    number_before: float | None = None
    number_after: float | None = None
    between: tuple[Revision, ...] = ()  # those between the two, which could not be measured: it may be any of them
    share: float | None = None  # of the whole change from GOOD to BAD; none of seconds and predicates
    moved: tuple[Moved, ...] = ()  # exact counts that differ between the two
    parts: tuple[MovedPart, ...] = ()  # the largest changes within them
    others: tuple[OtherChange, ...] = ()
    check: Comparison | None = None  # of seconds: both, measured in turns
    beside: tuple[tuple[str, str, str], ...] = ()  # packages that differ as well: name, before, after
    alike: tuple[tuple[str, str], ...] = ()  # Python and the packages that don't, with their versions
    failure: str = ""  # of a predicate: how the first sample failed
    is_first: bool = False  # whether the first change was looked for, and not the largest


@dataclass(slots=True, kw_only=True)
class Bisecting:
    """A bisection that runs.

    `metric` and `predicate` say by what; by neither, exact counts are, then seconds. `rounds` is how many there are at
    most where seconds decide.
    """

    revisions: Sequence[Revision]
    bench: Bench
    case: Case
    metric: Column | None = None
    predicate: str = ""
    is_first: bool = False
    rounds: int = LOOKS[-1]
    most_skipped: int = MOST_SKIPPED
    left_out: int = 0
    name: str = ""  # of the package, or of the repository's folder
    tell: Callable[[str], None] = lambda _: None
    clock: Callable[[], float] = time.monotonic
    _began: float = field(default=0.0, init=False)

    def run(self) -> Bisection:
        """Measure both ends, then what lies between them."""
        good, bad = self.revisions[0], self.revisions[-1]
        self._began = self.clock()
        whole = Bisection(
            outcome=Outcome.SAME,
            case=self.case,
            revisions=len(self.revisions),
            name=self.name,
            left_out=self.left_out,
            good=good,
            bad=bad,
            is_first=self.is_first,
        )
        if self.predicate:
            return self._by_predicate(whole, self.predicate)
        if self.metric is not None and self.metric.unit is Unit.SECONDS:
            return self._by_seconds(whole, (self.metric,))
        counted = self._counted(self.metric)
        ends = [self._end(name, revision, counted) for name, revision in (("GOOD", good), ("BAD", bad))]
        if any(map(why_unusable, ends)):
            return self._without_numbers(whole, *ends)
        moved = find_moved(*ends)
        whole = replace(whole, ends=moved)
        # Whoever asks what is bad about BAD means growth; a change for the better is the next best answer.
        chosen = max(moved, key=lambda one: (one.log_ratio > 0, abs(one.log_ratio)), default=None)
        metric = self.metric or (metric_named(chosen.metric) if chosen else None)
        if metric is not None:
            if chosen is not None and self.metric is None:
                self.tell(f"exact counts differ; by {chosen.metric}: {chosen.before:,.0f} to {chosen.after:,.0f}")
            return self._by_number(whole, metric, counted, ends)
        self.tell("all exact counts are equal: seconds decide, in rounds of both")
        return self._by_seconds(whole, tuple(one for one in metrics_of(self.case.target) if _is_time(one)))

    def _without_numbers(self, whole: Bisection, good: Record, bad: Record) -> Bisection:
        """Go on where an end gives no numbers: where only BAD doesn't, that is what is looked for."""
        reasons = [why_unusable(good), why_unusable(bad)]
        if not reasons[0] and str(bad.status) in PREDICATES and not _is_unbuilt(bad):
            self.tell(f"BAD gives no numbers: {reasons[1]}. Looking for where that begins")
            return self._by_predicate(whole, str(bad.status))
        names = f"GOOD ({whole.good})", f"BAD ({whole.bad})"
        told = "; ".join(f"{name}: {reason}" for name, reason in zip(names, reasons, strict=True) if reason)
        return replace(whole, outcome=Outcome.NOT_MEASURED, reason=told)

    # --- by what ---

    def _by_number(self, whole: Bisection, metric: Column, case: Case, ends: Sequence[Record]) -> Bisection:
        first, last = (metric.read(record) for record in ends)
        whole = replace(whole, by=metric.name)
        if first is None or last is None:
            return replace(whole, outcome=Outcome.NOT_MEASURED, reason=f"there is no {metric.title} of these samples")
        if not _differ(metric, first, last):
            return replace(whole, reason=f"{metric.title} is {first:,.15g} on GOOD and {last:,.15g} on BAD")

        def look(revision: Revision) -> tuple[float | None, str, str]:
            record = self.bench.sample(revision, case, 1)
            reason, number = why_unusable(record), metric.read(record)
            reason = reason or ("" if number is not None else f"no {metric.title}")
            return None if reason else number, reason, record.record_id

        return self._search(whole, look, (float(first), float(last)), case)

    def _by_predicate(self, whole: Bisection, predicate: str) -> Bisection:
        whole = replace(whole, by=predicate)
        ends = [self.bench.sample(revision, self.case, 1) for revision in (whole.good, whole.bad)]
        unbuilt = [record for record in ends if _is_unbuilt(record)]
        if unbuilt:
            return replace(whole, outcome=Outcome.NOT_MEASURED, reason=why_unusable(unbuilt[0]))
        good, bad = ({str(record.status), *map(str, record.doubts)} for record in ends)
        is_failure = predicate in map(str, _FAILED)
        is_good_so, is_bad_so = (holds_for(record, predicate) for record in ends)
        if is_good_so or not is_bad_so:
            said = "neither is" if not is_good_so else "both are" if is_bad_so else "GOOD is, and BAD isn't,"
            there = sorted(bad - good)
            more = f". What BAD is and GOOD isn't: {', '.join(there)}" if there else ""
            return replace(whole, reason=f"{said} {predicate}{more}")
        failure = ends[1].failure

        def look(revision: Revision) -> tuple[float | None, str, str]:
            record = self.bench.sample(revision, self.case, 1)
            kind = record.failure.kind if record.failure is not None else ""
            is_other = is_failure and failure is not None and kind not in ("", failure.kind)
            # What keeps it from being asked at all says nothing, as an exit code of 125 says to git.
            if _is_unbuilt(record) or is_other or (not is_failure and not holds_for(record, predicate) and kind):
                return None, why_unusable(record), record.record_id
            return float(holds_for(record, predicate)), "", record.record_id

        whole = replace(whole, failure=why_unusable(ends[1]))
        return self._search(whole, look, (0.0, 1.0), self.case)

    def _by_seconds(self, whole: Bisection, metrics: Sequence[Column]) -> Bisection:
        """Bisect by a time: whatever is surely nearer to BAD than to GOOD, in rounds with GOOD, is as BAD."""
        case = replace(self.case, counting=Counting.PLAIN)
        for name, revision in (("GOOD", whole.good), ("BAD", whole.bad)):
            if reason := why_unusable(self._end(name, revision, case, _pair(whole.good, whole.bad))):
                told = f"{name} ({revision}): {reason}"
                return replace(whole, outcome=Outcome.NOT_MEASURED, reason=told)
        ends = self._duel(whole.good, whole.bad, case, metrics)
        whole = replace(whole, seconds=ends)
        changed = (ComparisonVerdict.SLOWER, ComparisonVerdict.FASTER)
        sure = [one for judged in ends.cases for one in judged.metrics if one.verdict in changed and one.ratio]
        if not sure:
            is_open = "" if ends.is_decided else f"; {format_count(self.rounds, 'round')} don't decide it"
            return replace(whole, reason=f"no time differs for sure{is_open}")
        chosen = max(sure, key=lambda one: (one.verdict.is_growth, abs(math.log(one.ratio.value)) if one.ratio else 0))
        metric, middle = metric_named(chosen.metric), math.log(chosen.ratio.value) / 2 if chosen.ratio else 0.0
        self.tell(f"by {metric.title}: {math.exp(2 * middle):.3f} times from GOOD to BAD")

        def look(revision: Revision) -> tuple[float | None, str, str]:
            for rounds in self._looks():
                pairs = [self._round(whole.good, revision, case, number + 1) for number in range(rounds)]
                unusable = next((record for _, record in pairs if why_unusable(record)), None)
                if unusable is not None:
                    return None, why_unusable(unusable), unusable.record_id
                numbers = [(metric.read(one), metric.read(other)) for one, other in pairs if not why_unusable(one)]
                both = [(one, other) for one, other in numbers if one and other]
                if len(both) < LOOKS[0]:
                    continue
                fit = fit_ratio([one for one, _ in both], [other for _, other in both], paired=True)
                ratio = fit.estimate(1 - (1 - Thresholds().confidence) / len(LOOKS))
                if math.log(ratio.low) > middle or math.log(ratio.high) < middle:
                    is_bad = (math.log(ratio.low) > middle) == (middle > 0)
                    return float(is_bad), "", pairs[0][1].record_id
            return None, f"undecided after {format_count(self.rounds, 'round')}", pairs[0][1].record_id

        done = self._search(replace(whole, by=metric.name), look, (0.0, 1.0), case)
        if done.before is None or done.found is None:
            return done
        return replace(done, check=self._duel(done.before, done.found, case, (metric,)))

    # --- measuring ---

    def _counted(self, metric: Column | None) -> Case:
        """Make the case that has a metric; of no certain one, all that can be counted at little cost."""
        return replace(self.case, counting=Counting.INSTRUMENTED if metric is None else metric.counting)

    def _end(self, name: str, revision: Revision, case: Case, beside: str = "") -> Record:
        self.tell(f"{name} is {revision}")
        return self.bench.sample(revision, case, 1, beside)

    def _looks(self) -> tuple[int, ...]:
        return (*(look for look in LOOKS if look < self.rounds), self.rounds)

    def _round(self, one: Revision, other: Revision, case: Case, number: int) -> tuple[Record, Record]:
        """Measure both, in a random order; each pair of revisions has samples of its own."""
        order = [one, other]
        random.Random(f"{one.name} {other.name} {number}").shuffle(order)  # noqa: S311 - an order, no secret
        records = {revision.name: self.bench.sample(revision, case, number, _pair(one, other)) for revision in order}
        return records[one.name], records[other.name]

    def _duel(self, one: Revision, other: Revision, case: Case, metrics: Sequence[Column]) -> Comparison:
        """Compare two revisions in rounds, until it is decided."""
        looks, began = self._looks(), self.clock()
        for rounds in looks:
            pairs = [self._round(one, other, case, number + 1) for number in range(rounds)]
            records = sorted((record for pair in pairs for record in pair), key=lambda record: record.started_at)
            labels = [pairs[0][place].environment.label for place in range(2)]
            packages = {name for record in records for name, _ in record.environment.packages}
            comparison = compare(
                records, labels[0], labels[1], metrics=metrics, across=packages, looks=len(looks), key=lambda _: ""
            )
            if comparison.is_decided or rounds == looks[-1]:
                break
            expected = (self.clock() - began) / rounds * (looks[-1] - rounds)
            about = f", about {span(expected)} more" if expected >= 1 else ""
            self.tell(f"undecided after {format_count(rounds, 'round')}; there are {looks[-1]} at most{about}")
        return comparison

    def _search(
        self,
        whole: Bisection,
        look: Callable[[Revision], tuple[float | None, str, str]],
        ends: tuple[float, float],
        case: Case,
    ) -> Bisection:
        last = len(self.revisions) - 1
        search = Search(last=last, good=ends[0], bad=ends[1], is_first=self.is_first, most_skipped=self.most_skipped)
        tested = {
            place: Tested(place=place, revision=self.revisions[place], number=number)
            for place, number in search.numbers.items()
        }
        # A step is one sample, as an end is; or as many rounds as both ends took.
        lasted = [(self.clock() - self._began) / (2 if whole.seconds is None else 1)]
        while (place := search.next_place()) is not None:
            count, steps = search.left()
            expected = statistics.median(lasted[1:] or lasted) * steps
            about = f", about {span(expected)}" if expected >= 1 else ""
            revision = self.revisions[place]
            what = "release" if revision.requirement else "commit"
            self.tell(f"{format_count(count, what)} left, about {format_count(steps, 'step')}{about}: {revision}")
            began = self.clock()
            number, reason, record_id = look(revision)
            lasted.append(self.clock() - began)
            said = f"skipped: {reason}" if reason else _say(whole.by, number)
            self.tell(f"{revision.short}: {said}")
            search.add(place, number)
            tested[place] = Tested(place=place, revision=revision, number=number, reason=reason, record_id=record_id)
        return self._conclude(replace(whole, tested=tuple(one for _, one in sorted(tested.items()))), search, case)

    def _conclude(self, whole: Bisection, search: Search, case: Case) -> Bisection:
        best = search.best()
        before, found = self.revisions[best.low], self.revisions[best.high]
        is_number = whole.by not in PREDICATES and whole.seconds is None
        records = [self._first_sample(whole, revision, case) for revision in (before, found)]
        others = tuple(
            OtherChange(
                after=self.revisions[one.low],
                up_to=self.revisions[one.high],
                number_before=search.numbers[one.low],
                number_after=search.numbers[one.high],
            )
            for one in search.intervals()
            if one != best and abs(one.gain) >= _OTHERS * abs(best.gain)
        )
        return replace(
            whole,
            outcome=Outcome.FOUND if best.high - best.low == 1 else Outcome.RANGE,
            steps=len(whole.tested) - 2,
            before=before,
            found=found,
            number_before=search.numbers[best.low],
            number_after=search.numbers[best.high],
            between=tuple(self.revisions[best.low + 1 : best.high]),
            share=best.gain / abs(search.bad - search.good) if is_number else None,
            moved=() if any(map(why_unusable, records)) else find_moved(*records),
            parts=find_parts(*records),
            others=others,
            beside=_beside(*records),
            alike=_alike(*records),
        )

    def _first_sample(self, whole: Bisection, revision: Revision, case: Case) -> Record:
        """Return the first sample that was taken of a revision: of seconds, that in rounds with GOOD."""
        other = whole.bad if revision.name == whole.good.name else revision
        beside = "" if whole.seconds is None else _pair(whole.good, other)
        return self.bench.sample(revision, case, 1, beside)


def holds_for(record: Record, predicate: str) -> bool:
    """Whether a sample is as a predicate says."""
    if predicate in map(str, _FAILED):
        return record.status in _FAILED if predicate == str(Status.FAILED) else record.status is Status.CRASHED
    return predicate == str(record.status) or predicate in map(str, record.doubts)


def check_predicate(text: str) -> str:
    """Refuse a predicate that there isn't; raises SpecError."""
    if text not in PREDICATES:
        raise SpecError("--predicate", f"there is no {text!r}. There are {', '.join(PREDICATES)}")
    return text


def find_moved(one: Record, other: Record) -> tuple[Moved, ...]:
    """List the exact counts that two samples have, and differ in by more than identical runs do."""
    moved = []
    for metric in METRICS:
        before, after = metric.read(one), metric.read(other)
        if metric.is_exact and before is not None and after is not None and _differ(metric, before, after):
            moved.append(Moved(metric=metric.name, before=before, after=after))
    return tuple(moved)


def find_parts(one: Record, other: Record) -> tuple[MovedPart, ...]:
    """List what changed within the counts of two samples, by rewriter, operation, unit and function, largest first."""
    parts: dict[tuple[str, str], tuple[dict[str, int], dict[str, int]]] = {}
    for side, record in enumerate((one, other)):
        if record.work is not None:
            for split in record.work.parts:
                parts.setdefault((split.count, split.by), ({}, {}))[side].update(split.parts)
        if record.counts is not None:
            parts.setdefault(("nodes", "operation"), ({}, {}))[side].update(record.counts.nodes_by_type)
    changed = [
        MovedPart(count=count, by=by, name=name, before=before.get(name, 0), after=after.get(name, 0))
        for (count, by), (before, after) in parts.items()
        if before and after
        for name in before | after
        if before.get(name, 0) != after.get(name, 0)
    ]
    return tuple(sorted(changed, key=lambda part: (part.name == WorkParts.REST, -abs(part.after - part.before))))


def _differ(metric: Column, before: float, after: float) -> bool:
    low, high = sorted((before, after))
    return high > low * (1 + SPREADS * (metric.spread or 0.0)) + _least(metric)


def _least(metric: Column) -> float:
    """Return the least difference of a number that is not exact: of memory, as the judge has it."""
    return 0.0 if metric.is_exact else Thresholds().least(metric)


def _is_time(metric: Column) -> bool:
    """Whether a metric is a whole time, and not a phase of one."""
    return metric.unit is Unit.SECONDS and metric.name in {
        "evaluation", *(f"{first_metric(target).name}{cpu}" for target in Target for cpu in ("", "_cpu")),
    }  # fmt: skip


def _pair(one: Revision, other: Revision) -> str:
    return f"{one.short}-{other.short}"


def _say(by: str, number: float | None) -> str:
    known = next((metric for metric in METRICS if metric.name == by and metric.unit is not Unit.SECONDS), None)
    return f"{by} {number:,.15g}" if known else "as BAD" if number else "as GOOD"


def _is_unbuilt(record: Record) -> bool:
    return record.failure is not None and record.failure.kind == NOT_BUILT


def _beside(one: Record, other: Record) -> tuple[tuple[str, str, str], ...]:
    """List the packages that differ between two samples."""
    before, after = dict(one.environment.packages), dict(other.environment.packages)
    return tuple(
        (name, before.get(name, ""), after.get(name, ""))
        for name in sorted(before | after)
        if before.get(name) != after.get(name)
    )


def _alike(one: Record, other: Record) -> tuple[tuple[str, str], ...]:
    """List Python and the packages that two samples had alike."""
    both = set(one.environment.packages) & set(other.environment.packages)
    return (("python", one.environment.python), *sorted(both))
