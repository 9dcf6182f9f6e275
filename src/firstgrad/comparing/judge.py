"""The rules of a comparison: when one metric of one case has grown, shrunk, stayed the same, or is undecided.

`docs/method.md` gives the reasons. The rules know numbers only; `firstgrad.comparing.comparison` finds them.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from firstgrad.case import Target
from firstgrad.codec import LATER
from firstgrad.columns import Column, Unit, first_metric
from firstgrad.comparing.noise import Noise
from firstgrad.comparing.ratio import RatioFit, fit_ratio
from firstgrad.errors import SpecError
from firstgrad.estimates import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN_CONFIDENCE = 0.95
MOST_FURTHER = 500
_TIMES = (first_metric(target).name for target in Target)
_WHOLE_TIMES = frozenset(f"{name}{cpu}" for name in _TIMES for cpu in ("", "_cpu")) | {"evaluation"}
_MEMORY = frozenset({"peak_memory", "retained_memory"})
_FACTORS = {
    "seconds_factor": "--threshold",
    "memory_factor": "--threshold-memory",
    "counts_factor": "--threshold-counts",
}
_FACTORS |= {name: name for name in ("noise_factor", "same_factor", "counts_noise_factor")}
_ROUNDING = 1e-9
_ENDLESS = 1e300
_POWER = 0.8
_SAME_ERROR = 0.05
SPREADS = 3.0
"""So many times the measured spread of a count are no change: it was measured on one machine."""


class Gate(StrEnum):
    """What can be an alarm: ``counts``, exact ones and memory; ``seconds``, the whole times as well."""

    COUNTS = "counts"
    SECONDS = "seconds"


# --- the rules' numbers -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The numbers of the rules; `docs/method.md` gives the reasons.

    Raises SpecError where a factor is no finite number, or below 1.
    """

    gate: Gate = Gate.COUNTS
    seconds_factor: float = 1.0  # growth that is found is an alarm beyond this factor of BASE
    memory_factor: float = 1.10
    counts_factor: float = 1.01
    noise_factor: float = 1.02
    """A change of seconds or bytes by less than this factor is none, where the case has no history."""
    same_factor: float = 1.05  # sides are the same where the whole interval lies within this factor of 1, both ways
    counts_noise_factor: float = 1.005  # the same as `noise_factor` of counts whose spread isn't known
    least_bytes: int = 5 * 2**20  # smaller changes of memory are none
    least_seconds: float = 0.01  # the same of seconds, all but one steady-state call
    least_evaluation_seconds: float = 1e-6
    least_samples: int = 3  # fewer on a side leave seconds undecided
    confidence: float = 0.97
    """Probability that of all whole times of a comparison none is said to have changed that did not."""

    def __post_init__(self) -> None:
        for name, option in _FACTORS.items():
            factor = getattr(self, name)
            if not (math.isfinite(factor) and factor >= 1):
                raise SpecError(option, f"expected a number of 1 or more, such as 1.1, got {factor!r}")
        if not 0 < self.confidence < 1:
            raise SpecError("confidence", f"expected a number between 0 and 1, got {self.confidence!r}")

    def alarm_factor(self, metric: Column) -> float:
        """Return beyond which factor growth is an alarm."""
        if is_count(metric):
            return self.counts_factor
        return self.memory_factor if metric.unit is Unit.BYTES else self.seconds_factor

    def count_noise(self, metric: Column) -> float:
        """Return by which factor a count changes anyway: next to nothing for an exact one."""
        return self.counts_noise_factor if metric.spread is None else 1 + SPREADS * metric.spread

    def margin(self, noise_factor: float) -> float:
        """Return the margin of practical equality, which is never narrower than the noise."""
        return max(self.same_factor, noise_factor)

    def least(self, metric: Column) -> float:
        """Return the least difference that is one, in the metric's unit."""
        if metric.name == "evaluation":
            return self.least_evaluation_seconds
        return {Unit.COUNT: 0.0, Unit.BYTES: self.least_bytes, Unit.SECONDS: self.least_seconds}[metric.unit]


def is_count(metric: Column) -> bool:
    """Whether a metric is judged as a count: all of them, and exact bytes, as those of machine code."""
    return metric.unit is Unit.COUNT or metric.is_exact


def is_explaining(metric: Column) -> bool:
    """Whether a metric only says where time went, as phases do; it is never an alarm."""
    return metric.unit is Unit.SECONDS and metric.name not in _WHOLE_TIMES


def is_gating(metric: Column, gate: Gate = Gate.COUNTS) -> bool:
    """Whether a metric can be an alarm."""
    if gate is Gate.SECONDS:
        is_repeated = metric.spread is None or metric.is_exact  # or it was seen to differ between identical runs
        return is_repeated and not is_explaining(metric)
    return metric.is_exact or metric.name in _MEMORY


def is_gating_between(metric: Column, gate: Gate, *, is_alike: bool) -> bool:
    """Whether a metric can be an alarm: between two ways to compile times and memory, whatever the gate; no counts."""
    return is_gating(metric, gate) if is_alike else is_gating(metric, Gate.SECONDS) and not is_count(metric)


def plan_looks(first: int = 6, looks: int = 7, growth: float = 1.62) -> tuple[int, ...]:
    """Plan after how many rounds, all in all, to look at a comparison that goes on until it is decided.

    Each look is another chance of a false alarm, so the comparison must know how many are planned: give their number to
    `firstgrad.comparing.comparison.compare`. Hence few looks, each at about 1.6 times the rounds of the one before: too
    late by a third on average, against twice the error's share for each were they twice as dense. By default 6, 10,
    16, 26, 42, 68, 110.

    Raises ValueError where there would be no look, or one at a single round.
    """
    if first < 2 or looks < 1:  # noqa: PLR2004 - one round has no spread
        raise ValueError(f"expected at least 2 rounds and 1 look, got {first} and {looks}")
    planned = [first]
    while len(planned) < looks:
        planned.append(round(planned[-1] * growth))
    return tuple(planned)


def adjust_holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjust the p-values of many comparisons so that those below a level are all right with that probability.

    Holm's step-down procedure (Scandinavian Journal of Statistics 6, 1979; SciPy has none) holds the probability of
    even one wrong finding, whatever the dependence between comparisons, which wall and processor seconds of one sample
    have plenty of. A false discovery rate would not do: a gate that is wrong in one of its findings is wrong.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted = [1.0] * len(order)
    reached = 0.0
    for passed, place in enumerate(order):
        reached = max(reached, min((len(order) - passed) * p_values[place], 1.0))
        adjusted[place] = reached
    return tuple(adjusted)


# --- one metric of one case ---------------------------------------------------------------------------------------


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
class SideSpread:
    """One side's numbers of a metric, in the metric's unit: how many, their median, the least and the largest."""

    samples: int
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricNumbers:
    """What both sides have of one metric of one case: a number a sample, in the metric's unit."""

    metric: Column
    base: Sequence[float]
    head: Sequence[float]
    pairs: Sequence[tuple[float, float]] | None = None
    """BASE and HEAD of each round; none where samples weren't measured in turn."""
    noise: Noise  # by how much they change anyway
    is_alike: bool = True  # whether both sides compile in one way: counts of two are not of the same work

    def is_gating(self, gate: Gate) -> bool:
        """Whether it can be an alarm."""
        return is_gating_between(self.metric, gate, is_alike=self.is_alike)

    def fit(self) -> RatioFit | None:
        """Fit the ratio; none where there is none: a side without numbers, or with one of zero or less."""
        if not (self.base and self.head) or min(*self.base, *self.head) <= 0:
            return None
        if self.pairs is not None:
            return fit_ratio([base for base, _ in self.pairs], [head for _, head in self.pairs], paired=True)
        return fit_ratio(self.base, self.head, paired=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricComparison:
    """One metric of one case, judged."""

    metric: str  # its name in `firstgrad.columns`
    unit: Unit
    is_gating: bool  # whether it can be an alarm; other metrics inform
    is_explaining: bool = field(default=False, metadata=LATER)  # whether it is a part of what others tell whole
    base: SideSpread | None  # none where no sample of that side has the number
    head: SideSpread | None
    ratio: Estimate | None
    """HEAD by BASE, with its own interval, not corrected for other comparisons: of counts the ratio of the medians and
    the range of ratios. None where a side has no number above zero."""
    is_paired: bool  # whether the ratio is that within rounds
    p_value: float | None  # corrected for all comparisons of its kind; none where no samples were tested
    noise: Noise  # a change by less is none
    verdict: ComparisonVerdict  # never ``failed`` nor ``repaired``
    is_alarm: bool  # whether it has grown by more than the threshold
    further_samples: int | None
    """How many more of each side would likely decide it; none where it is decided, or would take more than 500."""


def judge(
    numbers: MetricNumbers, fit: RatioFit | None, p_value: float | None, thresholds: Thresholds, *, looks: int = 1
) -> MetricComparison:
    """Judge one metric of one case, by its fit and the fit's p-value, which is corrected for the other comparisons."""
    metric = numbers.metric
    base, head = _spread(numbers.base), _spread(numbers.head)
    verdict = _judge(numbers, base, head, fit, 1.0 if p_value is None else p_value, thresholds, looks)
    ratio = _ratio(metric, base, head, fit)
    further = None
    if verdict is ComparisonVerdict.UNDECIDED and metric.unit is Unit.SECONDS and fit is not None:
        # By how much the other comparisons raised its p-value, they lower what it must fall below.
        share = fit.p_value / p_value if p_value and fit.p_value else 1.0
        further = count_further(fit, numbers.noise, thresholds, share=share, looks=looks)
    beyond, gates = thresholds.alarm_factor(metric), numbers.is_gating(thresholds.gate)
    return MetricComparison(
        metric=metric.name,
        unit=metric.unit,
        is_gating=gates,
        is_explaining=is_explaining(metric),
        base=base,
        head=head,
        ratio=ratio,
        is_paired=numbers.pairs is not None and fit is not None and not is_count(metric),
        p_value=p_value,
        noise=numbers.noise,
        verdict=verdict,
        # Where there is no ratio (a median of zero or less), no factor can forgive growth.
        is_alarm=verdict.is_growth and gates and (ratio is None or ratio.value > beyond),
        further_samples=further,
    )


def count_further(
    fit: RatioFit, noise: Noise, thresholds: Thresholds, *, share: float = 1.0, looks: int = 1
) -> int | None:
    """Count how many more samples of each side would decide, with four chances in five.

    By the normal approximation: were the ratio what it is estimated to be, and the spread too, so many samples would
    show that it isn't 1, or that it is within the margin of equality, whichever takes fewer. At least 1; none where it
    would be more than 500. The other comparisons leave that `share` of the error probability to this one.
    """
    if not fit.has_interval or fit.samples < thresholds.least_samples:
        return max(thresholds.least_samples - fit.samples, 1)
    from scipy.special import ndtri

    away, margin = abs(fit.log_ratio), math.log(thresholds.margin(noise.factor))
    spread = fit.standard_error * math.sqrt(fit.samples)
    error, odds = (1 - thresholds.confidence) * share / looks, float(ndtri(_POWER))
    steps = []
    if away > math.log(noise.factor):
        steps.append(away / (odds - float(ndtri(error / 2))))
    if away < margin:
        steps.append((margin - away) / (odds - float(ndtri(_SAME_ERROR / looks / 2))))
    needed = (spread / max(steps)) ** 2 if steps else math.inf
    return max(math.ceil(needed) - fit.samples, 1) if needed - fit.samples <= MOST_FURTHER else None


def _spread(values: Sequence[float]) -> SideSpread | None:
    if not values:
        return None
    return SideSpread(samples=len(values), median=statistics.median(values), low=min(values), high=max(values))


def _ratio(metric: Column, base: SideSpread | None, head: SideSpread | None, fit: RatioFit | None) -> Estimate | None:
    if base is None or head is None or fit is None:
        return None
    if not is_count(metric):
        return fit.estimate(SHOWN_CONFIDENCE)
    samples = min(base.samples, head.samples)
    # A range of numbers that hardly vary: nobody has asked how probable it is.
    return Estimate(head.median / base.median, head.low / base.high, head.high / base.low, 0.0, samples)


def _judge(
    numbers: MetricNumbers,
    base: SideSpread | None,
    head: SideSpread | None,
    fit: RatioFit | None,
    p_value: float,
    thresholds: Thresholds,
    looks: int,
) -> ComparisonVerdict:
    metric, noise = numbers.metric, numbers.noise
    if base is None or head is None:
        return ComparisonVerdict.MISSING
    if is_count(metric):
        return _judge_counts(base, head, metric, noise)
    if fit is None:
        return _judge_ranges(base, head, metric, thresholds)
    if metric.unit is Unit.SECONDS and fit.samples < thresholds.least_samples:
        return ComparisonVerdict.UNDECIDED
    # As shown, not corrected for other comparisons: that a side is the same raises no alarm.
    estimate = fit.estimate(1 - (1 - SHOWN_CONFIDENCE) / looks)
    least = thresholds.least(metric)
    if _difference(estimate.value, base, head) >= least * (1 - _ROUNDING):
        if fit.has_interval:
            factor, is_sure = noise.factor, p_value <= (1 - thresholds.confidence) / looks
        else:  # Single samples of memory, which hardly spreads: only what is beyond the alarm's threshold is a change.
            factor, is_sure = thresholds.alarm_factor(metric), True
        if is_sure and abs(fit.log_ratio) > math.log(factor):
            return _changed(metric, fit.log_ratio)
    margin = thresholds.margin(noise.factor)
    is_within = estimate.high <= margin and estimate.low >= 1 / margin
    is_small = max(_difference(end, base, head) for end in (estimate.low, estimate.high)) < least
    return ComparisonVerdict.SAME if is_within or is_small else ComparisonVerdict.UNDECIDED


def _difference(ratio: float, base: SideSpread, head: SideSpread) -> float:
    """Find how far the sides would be apart by a ratio, in the metric's unit: the same with the sides exchanged."""
    away = abs(math.log(min(max(ratio, 1 / _ENDLESS), _ENDLESS)))
    return 2 * math.sinh(away / 2) * math.sqrt(base.median) * math.sqrt(head.median)


def _judge_counts(base: SideSpread, head: SideSpread, metric: Column, noise: Noise) -> ComparisonVerdict:
    """Judge a count: identical runs give equal ones, so that a sample tells; where a side's own differ, all must."""
    low, high = sorted((base.median, head.median))
    if high <= noise.factor * low:
        return ComparisonVerdict.SAME
    are_apart = head.low > base.high or base.low > head.high
    return _changed(metric, head.median - base.median) if are_apart else ComparisonVerdict.UNDECIDED


def _judge_ranges(base: SideSpread, head: SideSpread, metric: Column, thresholds: Thresholds) -> ComparisonVerdict:
    """Judge numbers of zero or less, which have no ratio: retained memory, phases that didn't happen."""
    least = thresholds.least(metric)
    enough = metric.unit is Unit.BYTES or min(base.samples, head.samples) >= thresholds.least_samples
    if enough and (head.low - base.high >= least or base.low - head.high >= least):
        return _changed(metric, head.median - base.median)
    differs = max(abs(head.high - base.low), abs(base.high - head.low)) >= least
    return ComparisonVerdict.UNDECIDED if differs else ComparisonVerdict.SAME


def _changed(metric: Column, difference: float) -> ComparisonVerdict:
    if metric.unit is Unit.SECONDS:
        return ComparisonVerdict.SLOWER if difference > 0 else ComparisonVerdict.FASTER
    return ComparisonVerdict.LARGER if difference > 0 else ComparisonVerdict.SMALLER
