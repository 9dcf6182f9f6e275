"""One case of a comparison: its metrics, and what its failures say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.analysis.judge import ComparisonVerdict, MetricComparison, Thresholds, compare_metric
from firstgrad.case import Case
from firstgrad.record import Doubt, Record, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.metrics import Metric

_GRAVEST_FIRST = (
    ComparisonVerdict.WORSE,
    ComparisonVerdict.UNDECIDED,
    ComparisonVerdict.BETTER,
    ComparisonVerdict.SAME,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseComparison:
    """One case.

    Attributes
    ----------
    case_id : str
        By which it was matched.
    case : Case
        What was measured.
    verdict : ComparisonVerdict
        The gravest of its metrics, or what its failures say.
    reason : str
        Which samples failed, or why it is missing; empty for most.
    metrics : tuple of MetricComparison
        Those that either side has; none where a side has no sample that ended well.
    doubts : tuple of Doubt
        Of all its records.
    """

    case_id: str
    case: Case
    verdict: ComparisonVerdict
    reason: str = ""
    metrics: tuple[MetricComparison, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    @property
    def is_compared(self) -> bool:
        """Whether there was anything to compare: numbers of both sides, or a failure of one."""
        failure = self.verdict in (ComparisonVerdict.FAILED, ComparisonVerdict.BETTER)
        return failure or any(each.verdict is not ComparisonVerdict.MISSING for each in self.metrics)


def compare_case(
    before: Sequence[Record], after: Sequence[Record], metrics: Sequence[Metric], thresholds: Thresholds
) -> CaseComparison:
    """Compare what BASE and HEAD have of one case.

    Parameters
    ----------
    before, after : sequence of Record
        Of the same case; one of them may be empty.
    metrics : sequence of Metric
        Which to compare.
    thresholds : Thresholds
        By which rules.
    """
    case = (*before, *after)[0].case
    doubts = {doubt for record in (*before, *after) for doubt in record.doubts}
    ours, theirs = ([each for each in side if each.status is Status.OK] for side in (before, after))
    compared = _compare_metrics(ours, theirs, metrics, thresholds) if ours and theirs else ()
    verdict, reason = _conclude(before, after, compared)
    return CaseComparison(
        case_id=case.id,
        case=case,
        verdict=verdict,
        reason=reason,
        metrics=compared,
        doubts=tuple(each for each in Doubt if each in doubts),
    )


def _compare_metrics(
    before: Sequence[Record], after: Sequence[Record], metrics: Sequence[Metric], thresholds: Thresholds
) -> tuple[MetricComparison, ...]:
    numbers = ((metric, _numbers(before, metric), _numbers(after, metric)) for metric in metrics)
    return tuple(compare_metric(metric, one, other, thresholds) for metric, one, other in numbers if one or other)


def _numbers(records: Sequence[Record], metric: Metric) -> list[float]:
    found = (metric.read(each) for each in records)
    return [number for number in found if number is not None and math.isfinite(number)]


def _conclude(
    before: Sequence[Record], after: Sequence[Record], compared: Sequence[MetricComparison]
) -> tuple[ComparisonVerdict, str]:
    if not (before and after):
        failure = _why(before or after)
        side = "BASE" if before else "HEAD"
        return ComparisonVerdict.MISSING, f"on {side} only" + (f", {failure}" if failure else "")
    if _is_new_failure(before, after):
        return ComparisonVerdict.FAILED, f"on HEAD {_why(after)}"
    gravest = next((verdict for verdict in _GRAVEST_FIRST if any(one.verdict is verdict for one in compared)), None)
    if _is_new_failure(after, before):
        is_worse = gravest is ComparisonVerdict.WORSE
        return ComparisonVerdict.WORSE if is_worse else ComparisonVerdict.BETTER, f"on BASE {_why(before)}"
    if not compared and _why(before):
        return ComparisonVerdict.UNDECIDED, f"on BASE {_why(before)}; on HEAD {_why(after)}"
    return (gravest, "") if gravest else (ComparisonVerdict.MISSING, "no metric that both sides have")


def _is_new_failure(before: Sequence[Record], after: Sequence[Record]) -> bool:
    """Whether samples fail that didn't: any where all were well, or all where some were."""
    bad_before, bad_after = _n_bad(before), _n_bad(after)
    return bool(bad_after) and (not bad_before or (bad_after == len(after) and bad_before < len(before)))


def _n_bad(records: Sequence[Record]) -> int:
    return sum(each.status is not Status.OK for each in records)


def _why(records: Sequence[Record]) -> str:
    """Say how many failed, and how the first of them did."""
    bad = next((each for each in records if each.status is not Status.OK), None)
    if bad is None:
        return ""
    detail = ""
    if bad.failure is not None:
        first_line = bad.failure.message.partition("\n")[0]
        phase = f" in {bad.failure.phase}" if bad.failure.phase else ""
        detail = f"{phase}: {bad.failure.kind}: {first_line}"
    elif bad.check.mismatches:
        detail = f" with the oracle: {', '.join(each.group for each in bad.check.mismatches)}"
    return f"{_n_bad(records)} of {len(records)} samples: {bad.status}{detail}"
