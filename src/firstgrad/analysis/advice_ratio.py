"""A ratio of two groups of samples, with its interval, and how many more samples would tell it from 1."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CONFIDENCE = 0.95
_MOST_SAMPLES = 200
_FEWEST = 2  # a scatter needs two
_WIDEST = 700.0  # a logarithm beyond which there is no number


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times as much one group takes as another.

    Attributes
    ----------
    value : float
        Ratio of the geometric means.
    low, high : float
        Ends of its interval; 0 and infinity where a group has one sample only.
    confidence : float
        Probability that the interval holds the true ratio.
    samples : int
        Of the smaller group.
    """

    value: float
    low: float
    high: float
    confidence: float
    samples: int

    @property
    def is_below_one(self) -> bool:
        """Whether the first group surely takes less."""
        return self.high < 1

    def __str__(self) -> str:
        high = "?" if math.isinf(self.high) else f"{self.high:.2f}"
        return f"{self.value:.2f} [{self.low:.2f}, {high}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """How far samples of one group lie apart: variance of their logarithms, and its degrees of freedom."""

    variance: float
    freedom: int


def pool_scatter(groups: Iterable[Sequence[float]]) -> Scatter | None:
    """Take the scatter from several groups together; none where no group has two samples."""
    logs = [_logs(each) for each in groups if len(each) > 1]
    freedom = sum(len(each) - 1 for each in logs)
    if not freedom:
        return None
    squares = sum((len(each) - 1) * statistics.variance(each) for each in logs)
    return Scatter(variance=squares / freedom, freedom=freedom)


def estimate_ratio(
    first: Sequence[float], second: Sequence[float], *, confidence: float = CONFIDENCE, scatter: Scatter | None = None
) -> Ratio:
    """Estimate how many times as much the first group takes as the second.

    The interval is a t interval on logarithms, since durations scatter by factors. Without `scatter` it is Welch's
    (Biometrika 34, 1947). With it, the degrees of freedom are those of all groups, and the variance is theirs or that
    of these two, whichever is larger: two or three samples of each know little of their own scatter.

    Parameters
    ----------
    first, second : sequence of float
        Positive numbers of one unit, at least one each.
    confidence : float
        Wanted probability.
    scatter : Scatter, optional
        Of all groups that are compared.

    Raises
    ------
    SpecError
        Where a group is empty or a number isn't positive.
    """
    ours, theirs = _logs(first), _logs(second)
    difference = statistics.fmean(ours) - statistics.fmean(theirs)
    half = _half_width(ours, theirs, confidence, scatter)
    return Ratio(
        value=math.exp(difference),
        low=math.exp(difference - half),
        high=math.exp(difference + half) if half < _WIDEST else math.inf,
        confidence=confidence,
        samples=min(len(ours), len(theirs)),
    )


def more_samples(
    first: Sequence[float], second: Sequence[float], *, confidence: float = CONFIDENCE, scatter: Scatter | None = None
) -> int | None:
    """Estimate how many more samples of each group might tell their ratio from 1.

    It takes the ratio and the scatter seen so far for the true ones, so it is a guess: half of the time more are
    needed.

    Returns
    -------
    int or None
        None where a group has no two samples, so that nothing is known of the scatter, or where even
        hundreds would not do: then the two cost the same for all that matters.
    """
    from scipy.stats import t

    ours, theirs = _logs(first), _logs(second)
    have = min(len(ours), len(theirs))
    own = pool_scatter((first, second))
    if have < _FEWEST or own is None:
        return None
    difference = abs(statistics.fmean(ours) - statistics.fmean(theirs))
    variance = max(own.variance, scatter.variance if scatter else 0.0)
    for wanted in range(have + 1, _MOST_SAMPLES + 1):
        half = float(t.ppf((1 + confidence) / 2, 2 * (wanted - 1))) * math.sqrt(2 * variance / wanted)
        if half < difference:
            return wanted - have
    return None


def _logs(numbers: Sequence[float]) -> list[float]:
    if not numbers or not all(number > 0 and math.isfinite(number) for number in numbers):
        raise SpecError("ratio", f"needs positive numbers on both sides, got {list(numbers)!r}")
    return [math.log(number) for number in numbers]


def _half_width(ours: Sequence[float], theirs: Sequence[float], confidence: float, scatter: Scatter | None) -> float:
    from scipy.stats import t

    if min(len(ours), len(theirs)) < _FEWEST:
        return math.inf
    parts = [(statistics.variance(each) / len(each), len(each) - 1) for each in (ours, theirs)]
    whole = sum(part for part, _ in parts)
    if scatter is not None:
        whole, freedom = max(whole, scatter.variance * (1 / len(ours) + 1 / len(theirs))), float(scatter.freedom)
    elif whole > 0:
        freedom = whole**2 / sum(part**2 / free for part, free in parts)
    else:
        freedom = 1.0
    return float(t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(whole)
