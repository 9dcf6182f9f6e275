"""The rules of a comparison: when one metric of one case is worse, better, the same, or undecided.

`docs/method.md` gives the reasons. The rules know numbers only; `firstgrad.analysis.compare` finds them.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from firstgrad.errors import SpecError
from firstgrad.metrics import Metric, Unit

if TYPE_CHECKING:
    from collections.abc import Sequence


class ComparisonVerdict(StrEnum):
    """What a comparison says of a metric or a case.

    ``failed``: samples failed on HEAD and not on BASE. ``missing``: on one side only. ``undecided``: the medians
    differ by more than the threshold, and the samples don't show that it isn't noise.
    """

    WORSE = "worse"
    BETTER = "better"
    SAME = "same"
    UNDECIDED = "undecided"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """How large a change must be before it is one.

    Attributes
    ----------
    counts_factor, memory_factor, seconds_factor : float
        Of the smaller number, at least 1.
    least_bytes : int
        Smaller changes of memory are none.
    least_seconds, least_evaluation_seconds : float
        The same of seconds: phases, and one steady-state call.
    least_samples : int
        Fewer on a side leave a change of seconds undecided.

    Raises
    ------
    SpecError
        Where a factor is no finite number, or below 1.
    """

    counts_factor: float = 1.05
    memory_factor: float = 1.10
    seconds_factor: float = 1.25
    least_bytes: int = 5 * 2**20
    least_seconds: float = 0.1
    least_evaluation_seconds: float = 50e-6
    least_samples: int = 3

    def __post_init__(self) -> None:
        for kind in ("counts", "memory", "seconds"):
            factor = getattr(self, f"{kind}_factor")
            if not (math.isfinite(factor) and factor >= 1):
                raise SpecError(f"--threshold-{kind}", f"expected a number of 1 or more, such as 1.25, got {factor!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """One side's numbers of a metric, in the metric's unit: how many, their median, the least and the largest."""

    samples: int
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricComparison:
    """One metric of one case.

    Attributes
    ----------
    metric : str
        Its name in `firstgrad.metrics`.
    unit : Unit
        Of `base` and `head`.
    base, head : Spread, optional
        None where no sample of that side has the number.
    ratio : float, optional
        Median of HEAD by median of BASE; none where that says nothing (a median of zero or less).
    verdict : ComparisonVerdict
        Never ``failed``.
    """

    metric: str
    unit: Unit
    base: Spread | None
    head: Spread | None
    ratio: float | None
    verdict: ComparisonVerdict


def compare_metric(
    metric: Metric, base: Sequence[float], head: Sequence[float], thresholds: Thresholds
) -> MetricComparison:
    """Compare the samples of two sides, one number a sample, in the metric's unit."""
    one, other = _spread(base), _spread(head)
    return MetricComparison(
        metric=metric.name,
        unit=metric.unit,
        base=one,
        head=other,
        ratio=other.median / one.median if one and other and min(one.median, other.median) > 0 else None,
        verdict=_judge(metric, one, other, thresholds),
    )


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    return Spread(samples=len(values), median=statistics.median(values), low=min(values), high=max(values))


def _judge(metric: Metric, base: Spread | None, head: Spread | None, thresholds: Thresholds) -> ComparisonVerdict:
    if base is None or head is None:
        return ComparisonVerdict.MISSING
    # `better` is `worse` with the sides exchanged: one set of rules, so that neither direction is judged more mildly.
    if _has_grown(metric, base, head, thresholds):
        return ComparisonVerdict.WORSE
    if _has_grown(metric, head, base, thresholds):
        return ComparisonVerdict.BETTER
    seems = _is_beyond(metric, base.median, head.median, thresholds)
    if seems or _is_beyond(metric, head.median, base.median, thresholds):
        return ComparisonVerdict.UNDECIDED
    return ComparisonVerdict.SAME


def _has_grown(metric: Metric, before: Spread, after: Spread, thresholds: Thresholds) -> bool:
    match metric.unit:
        case Unit.COUNT:
            return _is_beyond(metric, before.median, after.median, thresholds)
        case Unit.BYTES:
            return after.low > before.high and _is_beyond(metric, before.median, after.median, thresholds)
        case Unit.SECONDS:
            enough = min(before.samples, after.samples) >= thresholds.least_samples
            return enough and _is_beyond(metric, before.high, after.low, thresholds)


def _is_beyond(metric: Metric, below: float, above: float, thresholds: Thresholds) -> bool:
    """Whether `above` exceeds `below` by the factor and by the least difference of this metric."""
    factor, least = _limits(metric, thresholds)
    return above > factor * below and above - below >= least


def _limits(metric: Metric, thresholds: Thresholds) -> tuple[float, float]:
    match metric.unit:
        case Unit.COUNT:
            return thresholds.counts_factor, 0.0
        case Unit.BYTES:
            return thresholds.memory_factor, thresholds.least_bytes
        case Unit.SECONDS:
            is_call = metric.name == "evaluation"
            least = thresholds.least_evaluation_seconds if is_call else thresholds.least_seconds
            return thresholds.seconds_factor, least
