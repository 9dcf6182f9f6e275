"""The rules of a comparison: when one metric of one case has grown, shrunk, stayed the same, or is undecided.

`docs/method.md` gives the reasons. The rules know numbers only; `firstgrad.analysis.compare` finds them.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from firstgrad.analysis.estimates import Estimate
from firstgrad.analysis.further import count_further
from firstgrad.analysis.noise import Noise
from firstgrad.analysis.ratio_estimate import RatioFit, fit_ratio
from firstgrad.analysis.thresholds import Thresholds, is_gating
from firstgrad.metrics import Metric, Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN_CONFIDENCE = 0.95
_ROUNDING = 1e-9
_ENDLESS = 1e300


class ComparisonVerdict(StrEnum):
    """What a comparison says of a metric or a case.

    ``slower``, ``faster`` are of seconds, ``larger``, ``smaller`` of bytes and counts. ``undecided``: the samples show
    neither a change nor that there is none. ``failed``: samples failed on HEAD and not on BASE; ``repaired``: the
    reverse. ``missing``: on one side only.
    """

    SLOWER = "slower"
    FASTER = "faster"
    LARGER = "larger"
    SMALLER = "smaller"
    SAME = "same"
    UNDECIDED = "undecided"
    FAILED = "failed"
    REPAIRED = "repaired"
    MISSING = "missing"

    @property
    def is_growth(self) -> bool:
        """Whether HEAD takes more than BASE."""
        return self in (ComparisonVerdict.SLOWER, ComparisonVerdict.LARGER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """One side's numbers of a metric, in the metric's unit: how many, their median, the least and the largest."""

    samples: int
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The numbers of one metric of one case.

    Attributes
    ----------
    metric : Metric
        Of which they are.
    base, head : sequence of float
        One number a sample, in the metric's unit.
    pairs : sequence of (float, float), optional
        BASE and HEAD of each round; none where samples weren't measured in turn.
    noise : Noise
        By how much they change anyway.
    """

    metric: Metric
    base: Sequence[float]
    head: Sequence[float]
    pairs: Sequence[tuple[float, float]] | None = None
    noise: Noise

    def fit(self) -> RatioFit | None:
        """Fit the ratio; none where there is none: a side without numbers, or with one of zero or less."""
        if not (self.base and self.head) or min(*self.base, *self.head) <= 0:
            return None
        if self.pairs is not None:
            return fit_ratio([one for one, _ in self.pairs], [other for _, other in self.pairs], paired=True)
        return fit_ratio(self.base, self.head, paired=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricComparison:
    """One metric of one case.

    Attributes
    ----------
    metric : str
        Its name in `firstgrad.metrics`.
    unit : Unit
        Of `base` and `head`.
    is_gating : bool
        Whether it can be an alarm; other durations explain.
    base, head : Spread, optional
        None where no sample of that side has the number.
    ratio : Estimate, optional
        HEAD by BASE, with its own interval, not corrected for other comparisons: of counts the ratio of the medians and
        the range of ratios. None where a side has no number above zero.
    is_paired : bool
        Whether the ratio is that within rounds.
    p_value : float, optional
        Corrected for all comparisons of its kind; none where no samples were tested.
    noise : Noise
        A change by less is none.
    verdict : ComparisonVerdict
        Never ``failed`` nor ``repaired``.
    is_alarm : bool
        Whether it has grown by more than the threshold.
    further_samples : int, optional
        How many more of each side would likely decide it; none where it is decided, or would take more than 500.
    """

    metric: str
    unit: Unit
    is_gating: bool
    base: Spread | None
    head: Spread | None
    ratio: Estimate | None
    is_paired: bool
    p_value: float | None
    noise: Noise
    verdict: ComparisonVerdict
    is_alarm: bool
    further_samples: int | None


def judge(
    sides: Sides, fit: RatioFit | None, p_value: float | None, thresholds: Thresholds, *, looks: int = 1
) -> MetricComparison:
    """Judge one metric of one case.

    Parameters
    ----------
    sides : Sides
        The numbers.
    fit : RatioFit, optional
        Of `Sides.fit`.
    p_value : float, optional
        That of `fit`, corrected for the other comparisons.
    thresholds : Thresholds
        By which rules.
    looks : int
        How often the comparison will be looked at in all.
    """
    metric = sides.metric
    one, other = _spread(sides.base), _spread(sides.head)
    verdict = _judge(sides, one, other, fit, 1.0 if p_value is None else p_value, thresholds, looks)
    ratio = _ratio(metric, one, other, fit)
    further = None
    if verdict is ComparisonVerdict.UNDECIDED and metric.unit is Unit.SECONDS and fit is not None:
        # By how much the other comparisons raised its p-value, they lower what it must fall below.
        share = fit.p_value / p_value if p_value and fit.p_value else 1.0
        further = count_further(fit, sides.noise, thresholds, share=share, looks=looks)
    beyond = thresholds.alarm_factor(metric.unit)
    # Where there is no ratio (a median of zero or less), no factor can forgive growth.
    is_alarm = verdict.is_growth and is_gating(metric) and (ratio is None or ratio.value > beyond)
    return MetricComparison(
        metric=metric.name,
        unit=metric.unit,
        is_gating=is_gating(metric),
        base=one,
        head=other,
        ratio=ratio,
        is_paired=sides.pairs is not None and fit is not None,
        p_value=p_value,
        noise=sides.noise,
        verdict=verdict,
        is_alarm=is_alarm,
        further_samples=further,
    )


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    return Spread(samples=len(values), median=statistics.median(values), low=min(values), high=max(values))


def _ratio(metric: Metric, base: Spread | None, head: Spread | None, fit: RatioFit | None) -> Estimate | None:
    if base is None or head is None or fit is None:
        return None
    if metric.unit is not Unit.COUNT:
        return fit.estimate(_SHOWN_CONFIDENCE)
    samples = min(base.samples, head.samples)
    # A range of numbers that hardly vary: nobody has asked how probable it is.
    return Estimate(head.median / base.median, head.low / base.high, head.high / base.low, 0.0, samples)


def _judge(
    sides: Sides,
    base: Spread | None,
    head: Spread | None,
    fit: RatioFit | None,
    p_value: float,
    thresholds: Thresholds,
    looks: int,
) -> ComparisonVerdict:
    if base is None or head is None:
        return ComparisonVerdict.MISSING
    if sides.metric.unit is Unit.COUNT:
        return _judge_counts(base, head, sides.metric, sides.noise)
    if fit is None:
        return _judge_ranges(base, head, sides.metric, thresholds)
    if sides.metric.unit is Unit.SECONDS and fit.samples < thresholds.least_samples:
        return ComparisonVerdict.UNDECIDED
    # As shown, not corrected for other comparisons: that a side is the same raises no alarm.
    estimate = fit.estimate(1 - (1 - _SHOWN_CONFIDENCE) / looks)
    least = thresholds.least(sides.metric)
    if _difference(estimate.value, base, head) >= least * (1 - _ROUNDING) and _is_real(
        sides, fit, p_value, thresholds, looks
    ):
        return _changed(sides.metric, fit.log_ratio)
    margin = thresholds.margin(sides.noise.factor)
    is_within = estimate.high <= margin and estimate.low >= 1 / margin
    is_small = max(_difference(end, base, head) for end in (estimate.low, estimate.high)) < least
    return ComparisonVerdict.SAME if is_within or is_small else ComparisonVerdict.UNDECIDED


def _difference(ratio: float, base: Spread, head: Spread) -> float:
    """Find how far the sides would be apart by a ratio, in the metric's unit: the same with the sides exchanged."""
    away = abs(math.log(min(max(ratio, 1 / _ENDLESS), _ENDLESS)))
    return 2 * math.sinh(away / 2) * math.sqrt(base.median) * math.sqrt(head.median)


def _is_real(sides: Sides, fit: RatioFit, p_value: float, thresholds: Thresholds, looks: int) -> bool:
    if not fit.has_interval:
        # Single samples of memory, which hardly spreads: only what is beyond the alarm's threshold is a change.
        return abs(fit.log_ratio) > math.log(thresholds.alarm_factor(sides.metric.unit))
    return p_value <= (1 - thresholds.confidence) / looks and abs(fit.log_ratio) > math.log(sides.noise.factor)


def _judge_counts(base: Spread, head: Spread, metric: Metric, noise: Noise) -> ComparisonVerdict:
    low, high = sorted((base.median, head.median))
    # Identical runs give equal counts, so one sample tells.
    is_change = high > noise.factor * low
    return _changed(metric, head.median - base.median) if is_change else ComparisonVerdict.SAME


def _judge_ranges(base: Spread, head: Spread, metric: Metric, thresholds: Thresholds) -> ComparisonVerdict:
    """Judge numbers of zero or less, which have no ratio: retained memory, phases that didn't happen."""
    least = thresholds.least(metric)
    enough = metric.unit is Unit.BYTES or min(base.samples, head.samples) >= thresholds.least_samples
    if enough and (head.low - base.high >= least or base.low - head.high >= least):
        return _changed(metric, head.median - base.median)
    differs = max(abs(head.high - base.low), abs(base.high - head.low)) >= least
    return ComparisonVerdict.UNDECIDED if differs else ComparisonVerdict.SAME


def _changed(metric: Metric, difference: float) -> ComparisonVerdict:
    if metric.unit is Unit.SECONDS:
        return ComparisonVerdict.SLOWER if difference > 0 else ComparisonVerdict.FASTER
    return ComparisonVerdict.LARGER if difference > 0 else ComparisonVerdict.SMALLER
