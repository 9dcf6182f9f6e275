"""What changed between two sides of records: case by case, metric by metric."""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from firstgrad.case import Case, Counting
from firstgrad.codec import LATER
from firstgrad.columns import METRICS, Column, Unit
from firstgrad.comparing.judge import (
    SHOWN_CONFIDENCE,
    ComparisonVerdict,
    MetricComparison,
    MetricNumbers,
    Thresholds,
    adjust_holm,
    is_count,
    is_explaining,
    judge,
)
from firstgrad.comparing.noise import LEAST_ROUNDS, Noise, Rounds, find_noise, find_rounds, find_runs
from firstgrad.comparing.ratio import average_ratio
from firstgrad.comparing.sides import Difference, StoredSide, find_differences, find_side, refuse_unlike
from firstgrad.doubts import is_to_be_repeated, why_unusable
from firstgrad.errors import UnknownModelError
from firstgrad.estimates import Estimate
from firstgrad.record import Doubt, Status, Verdict
from firstgrad.sweep.grid import OmittedModel
from firstgrad.units import format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    import pandas as pd

    from firstgrad.comparing.ratio import RatioFit
    from firstgrad.record import Record

_LOG = logging.getLogger(__name__)
_CHECKS = (Verdict.DISAGREES, Verdict.AGREES, Verdict.NO_ORACLE, Verdict.DREW)
_SHRUNK = (ComparisonVerdict.FASTER, ComparisonVerdict.SMALLER)
_WORST_FIRST = tuple(
    map(
        ComparisonVerdict,
        ("failed", "slower", "larger", "missing", "undecided", "same", "smaller", "faster", "repaired"),
    )
)
_GRAVEST_FIRST = tuple(map(ComparisonVerdict, ("slower", "larger", "undecided", "faster", "smaller", "same")))


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseComparison:
    """One case, judged."""

    case_id: str  # by which it was matched: the case's id, where nobody asked for another key
    case: Case  # what was measured on BASE, or on HEAD alone
    head_case: Case | None = None  # what was measured on HEAD, where that is another case
    verdict: ComparisonVerdict  # the gravest of its gating metrics, or what its failures say
    reason: str = ""  # which samples failed, or why it is missing; empty for most
    metrics: tuple[MetricComparison, ...] = ()
    """Those that either side has; none where a side has no sample that ended well."""
    doubts: tuple[Doubt, ...] = ()  # of all its records
    is_interleaved: bool = False  # whether its sides were measured in turn
    rounds: int = 0  # how many, with a usable sample of both sides
    checks: tuple[Verdict, ...] = field(default=(), metadata=LATER)
    """What the oracle said of BASE and of HEAD, of several samples the worst; none where a side has none."""

    @property
    def asked(self) -> str:
        """What of it isn't the model: backend, target and scenario, of both sides where they differ."""
        sides = (f"{case.backend}, {case.wanted}, {case.scenario}" for case in (self.case, self.head_case or self.case))
        return " to ".join(dict.fromkeys(sides))

    @property
    def is_alike(self) -> bool:
        """Whether both sides compile in one way."""
        return self.head_case is None or compile_alike(self.case, self.head_case)

    @property
    def worst(self) -> MetricComparison | None:
        """The metric that tells most: of those that can be an alarm the one that grew most."""
        known = [metric for metric in self.metrics if metric.ratio is not None and metric.is_gating]
        return max(known, key=lambda one: (one.is_alarm, one.verdict.is_growth, _grown(one)), default=None)

    @property
    def rank(self) -> tuple[int, float, float]:
        """By what cases are ordered, the worst first."""
        worst, time = self.worst, next(iter(self.metrics), None)
        order = 0 if self.verdict is ComparisonVerdict.FAILED else 2 + _WORST_FIRST.index(self.verdict)
        grown = math.inf if self.reason else _grown(worst)
        return 1 if self.is_alarm and order else order, -grown, -_grown(time)

    @property
    def is_compared(self) -> bool:
        """Whether there was anything to compare: numbers of both sides, or a failure of one."""
        failure = self.verdict in (ComparisonVerdict.FAILED, ComparisonVerdict.REPAIRED)
        return failure or any(metric.verdict is not ComparisonVerdict.MISSING for metric in self.metrics)

    @property
    def is_alarm(self) -> bool:
        """Whether a metric grew by more than its threshold, or samples fail that didn't."""
        return self.verdict is ComparisonVerdict.FAILED or any(metric.is_alarm for metric in self.metrics)

    @property
    def is_decided(self) -> bool:
        """Whether no whole time is undecided, be it a gate or not; a failure decides, too."""
        return not any(
            metric.verdict is ComparisonVerdict.UNDECIDED and metric.unit is Unit.SECONDS and not metric.is_explaining
            for metric in self.metrics
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanRatio:
    """A metric over several models."""

    metric: str
    asked: str  # what their cases have in common: backend, target, scenario
    ratio: Estimate  # geometric mean of their ratios, with its interval over models; `samples` is how many
    low: float  # the least ratio, and the largest
    high: float
    worse: int  # of how many it grew, and shrank, as verdicts say
    better: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A package, or Python, of both sides; '' where it isn't there."""

    name: str
    base: str
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All of it."""

    base: StoredSide
    head: StoredSide
    thresholds: Thresholds  # by which rules
    differences: tuple[Difference, ...]  # conditions that aren't alike: declared, or overridden by force
    is_forced: bool  # whether sides are compared that may not be
    shared_samples: int  # records that are on both sides
    looks: int  # how often it is looked at in all, which each look pays for
    tested: int  # how many whole times were tested, which each of them pays for
    cases: tuple[CaseComparison, ...]  # the worst first, else in the order of their first records
    means: tuple[MeanRatio, ...] = field(default=(), metadata=LATER)  # of what several models have numbers of
    versions: tuple[Version, ...] = field(default=(), metadata=LATER)
    left_out: tuple[OmittedModel, ...] = field(default=(), metadata=LATER)  # models that were not measured
    copied: tuple[str, ...] = field(default=(), metadata=LATER)  # files that were put beside commits

    @property
    def has_regression(self) -> bool:
        """Whether a gating metric of any case grew by more than its threshold, or a case failed."""
        return any(case.is_alarm for case in self.cases)

    @property
    def has_compared(self) -> bool:
        """Whether anything was on both sides: a comparison of nothing must not pass for a good one."""
        return any(case.is_compared for case in self.cases)

    @property
    def is_decided(self) -> bool:
        """Whether every whole time that both sides have is decided; false where nothing was compared."""
        return self.has_compared and all(case.is_decided for case in self.cases)


@dataclass(frozen=True, slots=True, kw_only=True)
class _CaseNumbers:
    """What both sides have of one case; numbers only where both have samples that ended well."""

    key: str
    base: Sequence[Record]
    head: Sequence[Record]
    rounds: Rounds
    metrics: tuple[MetricNumbers, ...] = ()


def plain(case: Case) -> Case:
    """Return a case as it is measured without counting beside: its counts stand with the plain one's seconds."""
    return replace(case, counting=Counting.PLAIN)


def compare(
    records: Sequence[Record],
    base: str,
    head: str,
    *,
    thresholds: Thresholds | None = None,
    metrics: Sequence[Column] = METRICS,
    across: Collection[str] = (),
    force: bool = False,
    resolve: Callable[[str], str] = lambda _: "",
    history: pd.DataFrame | None = None,
    looks: int = 1,
    key: Callable[[Case], str] = lambda case: plain(case).id,
) -> Comparison:
    """Compare two labels or commits, or names that `resolve` knows as for `firstgrad.comparing.sides.find_side`.

    `records` are of both sides, and any others, oldest first. `across` has packages (or ``python``, ``compiler``,
    ``threads``, ``flags``) that are the compared thing; with `force` unlike sides are compared, too. `history` has
    earlier samples, of this case and any others, from which noise thresholds are found. `looks` is how often the
    comparison will be looked at in all, this time included (`firstgrad.comparing.judge.plan_looks`): each look has that
    part of the error probability (Bonferroni). `key` is by what cases of the two sides are matched: by default the id
    of the plain one.

    Raises UnknownSideError where a side has no records; UnlikeSidesError where hosts, versions, threads or flags differ
    that are not in `across`, without `force`; SpecError where `across` names nothing; ValueError for fewer than 1 look.
    """
    if looks < 1:
        raise ValueError(f"looks: expected 1 or more, got {looks}")
    thresholds = thresholds or Thresholds()
    base_side, base_records = find_side(records, base, resolve)
    head_side, head_records = find_side(records, head, resolve)
    matched: dict[str, tuple[list[Record], list[Record]]] = {}
    for place, side in enumerate((base_records, head_records)):
        for record in side:
            matched.setdefault(key(record.case), ([], []))[place].append(record)
    differences = find_differences([pair for pair in matched.values() if all(pair)], across)
    if not force:
        refuse_unlike(differences)
    started = min(record.started_at for record in (*base_records, *head_records))
    ids = [frozenset(record.record_id for record in side) for side in (base_records, head_records)]
    if history is not None:
        history = history[(history["started_at"] < started) & ~history["record_id"].isin(ids[0] | ids[1])]
    cases = [_gather(name, *pair, metrics, thresholds, history) for name, pair in matched.items()]
    judged, tested = _judge_all(cases, thresholds, looks)
    concluded = sorted(map(_conclude, cases, judged), key=lambda case: case.rank)
    return Comparison(
        base=base_side,
        head=head_side,
        thresholds=thresholds,
        differences=differences,
        is_forced=any(not difference.is_declared for difference in differences),
        shared_samples=len(ids[0] & ids[1]),
        looks=looks,
        tested=tested,
        cases=tuple(concluded),
        means=tuple(_average(concluded)),
        versions=_list_versions(base_records, head_records),
    )


def compile_alike(one: Case, other: Case) -> bool:
    """Whether two cases compile in one way, so that their counts are of the same work."""
    ways = [(case.backend, case.device, case.sampler, case.gradient_backend) for case in (one, other)]
    return ways[0] == ways[1]


def _average(cases: Sequence[CaseComparison]) -> Iterator[MeanRatio]:
    """Average each metric over models, apart for each backend, target and scenario."""
    groups: defaultdict[tuple[str, str], list[MetricComparison]] = defaultdict(list)
    for case in cases:
        for metric in case.metrics:
            if metric.ratio is not None:
                groups[case.asked, metric.metric].append(metric)
    for asked in dict.fromkeys(case.asked for case in cases):
        for column in METRICS:
            metrics = groups[asked, column.name]
            ratios = [metric.ratio.value for metric in metrics if metric.ratio is not None]
            if len(ratios) > 1:
                yield MeanRatio(
                    metric=column.name,
                    asked=asked,
                    ratio=average_ratio(ratios).estimate(SHOWN_CONFIDENCE),
                    low=min(ratios),
                    high=max(ratios),
                    worse=sum(metric.verdict.is_growth for metric in metrics),
                    better=sum(metric.verdict in _SHRUNK for metric in metrics),
                )


def _list_versions(base: Sequence[Record], head: Sequence[Record]) -> tuple[Version, ...]:
    sides: list[dict[str, str]] = []
    for records in (base, head):
        known: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for environment in (record.environment for record in records):
            for name, version in (("python", environment.python), *environment.packages):
                known[name][version] = None
        sides.append({name: ", ".join(versions) for name, versions in known.items()})
    one, other = sides
    return tuple(
        Version(name=name, base=one.get(name, ""), head=other.get(name, "")) for name in dict.fromkeys([*one, *other])
    )


def _grown(metric: MetricComparison | None) -> float:
    return 0.0 if metric is None or metric.ratio is None else metric.ratio.value


def _gather(
    key: str,
    base: Sequence[Record],
    head: Sequence[Record],
    metrics: Sequence[Column],
    thresholds: Thresholds,
    history: pd.DataFrame | None,
) -> _CaseNumbers:
    """Gather the numbers of one case; `history` has what was measured before."""
    usable = [[record for record in side if not why_unusable(record)] for side in (base, head)]
    for name, side in (("BASE", base), ("HEAD", head)):
        _log_pooled(name, side)
    if not all(usable):
        return _CaseNumbers(key=key, base=base, head=head, rounds=Rounds())
    # What is counted beside spoils the seconds of a sample, so that it is nobody's partner.
    rounds = find_rounds(*([one for one in side if one.case.counting is Counting.PLAIN] for side in (base, head)))
    first = next((one for one in usable[0] if one.case.counting is Counting.PLAIN), usable[0][0])
    question, conditions = first.case.question, first.environment.conditions
    runs = None if history is None else find_runs(history, question=question, conditions=conditions)

    def gather(metric: Column) -> MetricNumbers:
        # Counts change because somebody changed them, never by themselves.
        noise = Noise(factor=thresholds.count_noise(metric))
        if not is_count(metric):
            noise = find_noise(runs, metric, default=thresholds.noise_factor, is_interleaved=rounds.is_paired)
        sides = [_numbers(side, metric) for side in usable]
        pairs = [(pair[0], pair[1]) for both in rounds.pairs if len(pair := _numbers(both, metric)) == len(both)]
        is_paired = rounds.is_paired and len(pairs) >= LEAST_ROUNDS
        return MetricNumbers(
            metric=metric,
            base=sides[0],
            head=sides[1],
            pairs=pairs if is_paired else None,
            noise=noise,
            is_alike=compile_alike(base[0].case, head[0].case),
        )

    gathered = tuple(numbers for metric in metrics if (numbers := gather(metric)).base or numbers.head)
    return _CaseNumbers(key=key, base=base, head=head, rounds=rounds, metrics=gathered)


def _log_pooled(name: str, side: Sequence[Record]) -> None:
    reasons = Counter(map(why_unusable, side))
    pooled = format_count(reasons.pop("", 0), "sample")
    left_out = "".join(f"; {count} left out, {reason}" for reason, count in reasons.items())
    _LOG.info("%s of %s: %s pooled%s", name, plain(side[0].case) if side else "a case", pooled, left_out)


def _numbers(records: Sequence[Record], metric: Column) -> list[float]:
    numbers = (metric.read(record) for record in records)
    return [number for number in numbers if number is not None and math.isfinite(number)]


def _judge_all(
    cases: Sequence[_CaseNumbers], thresholds: Thresholds, looks: int
) -> tuple[list[tuple[MetricComparison, ...]], int]:
    """Judge every metric of every case by what all of them together may cost; also how many times were tested."""
    every = [(place, numbers, numbers.fit()) for place, case in enumerate(cases) for numbers in case.metrics]
    families: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for number, (_, numbers, fit) in enumerate(every):
        if fit is not None and (family := _family_of(numbers.metric, fit, thresholds)):
            families[family][number] = fit.p_value
    corrected: dict[int, float] = {}
    for p_values in families.values():
        corrected |= zip(p_values, adjust_holm(list(p_values.values())), strict=True)
    judged: list[list[MetricComparison]] = [[] for _ in cases]
    for number, (place, numbers, fit) in enumerate(every):
        judged[place].append(judge(numbers, fit, corrected.get(number), thresholds, looks=looks))
    return [tuple(metrics) for metrics in judged], len(families["times"])


def _family_of(metric: Column, fit: RatioFit, thresholds: Thresholds) -> str:
    """Find with which others a metric is corrected; '' where it isn't tested."""
    if not fit.has_interval or is_count(metric):
        return ""
    if metric.unit is Unit.BYTES:
        return "bytes"
    if fit.samples < thresholds.least_samples:
        return ""
    return "phases" if is_explaining(metric) else "times"


# --- verdict of a case --------------------------------------------------------------------------------------------


def _conclude(numbers: _CaseNumbers, metrics: tuple[MetricComparison, ...]) -> CaseComparison:
    """Put the verdicts of a case's metrics and its failures together."""
    base, head = numbers.base, numbers.head
    case = plain((*base, *head)[0].case)
    head_case = plain(head[0].case) if base and head else case
    doubts = {doubt for record in (*base, *head) for doubt in record.doubts}
    verdict, reason = _verdict(base, head, metrics)
    return CaseComparison(
        case_id=numbers.key,
        case=case,
        head_case=None if head_case == case else head_case,
        verdict=verdict,
        reason=reason,
        metrics=metrics,
        doubts=tuple(doubt for doubt in Doubt if doubt in doubts),
        is_interleaved=numbers.rounds.is_interleaved,
        rounds=len(numbers.rounds.pairs),
        checks=tuple(_worst_check(side) for side in (base, head)) if base and head else (),
    )


def _worst_check(records: Sequence[Record]) -> Verdict:
    verdicts = {record.check.verdict for record in records}
    return next((verdict for verdict in _CHECKS if verdict in verdicts), Verdict.UNCHECKED)


def _verdict(
    base: Sequence[Record], head: Sequence[Record], metrics: Sequence[MetricComparison]
) -> tuple[ComparisonVerdict, str]:
    if not (base and head):
        failure = _why(base or head)
        side = "BASE" if base else "HEAD"
        return ComparisonVerdict.MISSING, f"on {side} only" + (f", {failure}" if failure else "")
    if _is_new_failure(base, head):
        return ComparisonVerdict.FAILED, f"on HEAD {_why(head)}"
    # What is no gate informs; where nothing else was asked for, it tells.
    telling = {metric.verdict for metric in metrics if metric.is_gating} or {metric.verdict for metric in metrics}
    gravest = next((verdict for verdict in _GRAVEST_FIRST if verdict in telling), None)
    if all(one.failure is not None and one.failure.kind == UnknownModelError.__name__ for one in base):
        return ComparisonVerdict.MISSING, f"on BASE there is no such model, {_why(base)}"
    if _is_new_failure(head, base):
        is_grown = gravest is not None and gravest.is_growth
        return gravest if gravest and is_grown else ComparisonVerdict.REPAIRED, f"on BASE {_why(base)}"
    if not metrics and _why(base):
        same = _why(base) == _why(head)
        reason = f"on both {_why(base)}" if same else f"on BASE {_why(base)}; on HEAD {_why(head)}"
        return ComparisonVerdict.UNDECIDED, reason
    return (gravest, "") if gravest else (ComparisonVerdict.MISSING, "no metric that both sides have")


def _is_new_failure(base: Sequence[Record], head: Sequence[Record]) -> bool:
    """Whether samples fail that didn't: any where all were well, or all where some were."""
    bad_base, bad_head = len(_bad(base)), len(_bad(head))
    return bool(bad_head) and (not bad_base or (bad_head == len(head) and bad_base < len(base)))


def _bad(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record.status is not Status.OK and not is_to_be_repeated(record)]


def _why(records: Sequence[Record]) -> str:
    """Say how many failed, and how the first of them did."""
    bad = _bad(records)
    if not bad:
        return ""
    first, detail = bad[0], ""
    if first.failure is not None:
        line = first.failure.message.partition("\n")[0]
        phase = f" in {first.failure.phase}" if first.failure.phase else ""
        detail = f"{phase}: {first.failure.kind}: {line}"
    elif first.check.mismatches:
        detail = f" with the oracle: {', '.join(mismatch.group for mismatch in first.check.mismatches)}"
    return f"{len(bad)} of {len(records)} samples: {first.status}{detail}"
