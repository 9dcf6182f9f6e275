"""An estimate: a statistic with its interval, never a bare number."""

from __future__ import annotations

import functools
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic and the ends of its interval, in the samples' unit."""

    value: float
    low: float
    high: float
    confidence: float
    """Probability that the interval holds the true value; with few samples less than was asked for."""
    samples: int


def estimate_median(samples: Sequence[float], *, confidence: float = 0.95) -> Estimate:
    """Estimate a median with its distribution-free interval.

    The interval's ends are order statistics, the innermost pair that reaches the wanted confidence (Conover, Practical
    Nonparametric Statistics, 3.2). It assumes independent samples, nothing about their distribution.
    ``scipy.stats.quantile_test`` gives the same ends, and none where the whole range doesn't reach the confidence,
    which is with fewer than 6 samples for 0.95, as most cases have: then this is the range, with the confidence that it
    has. Raises ValueError where there are no samples.
    """
    if not samples:
        raise ValueError("no samples to estimate from")
    ordered = sorted(samples)
    count = len(ordered)
    cut, reached = _innermost(count, confidence)
    return Estimate(
        value=float(statistics.median(ordered)),
        low=float(ordered[cut]),
        high=float(ordered[count - 1 - cut]),
        confidence=max(reached, 0.0),
        samples=count,
    )


@functools.cache
def _innermost(count: int, confidence: float) -> tuple[int, float]:
    """Find how many samples the interval leaves out at each end, and the confidence that it has."""
    import numpy as np
    from scipy.special import bdtr

    # P(order statistic k+1 <= median <= order statistic n-k) = 1 - 2 P(Binomial(n, 1/2) <= k)
    reached = 1 - 2 * bdtr(np.arange((count - 1) // 2 + 1, dtype=float), count, 0.5)
    cut = max(int(np.count_nonzero(reached >= confidence)) - 1, 0)
    return cut, float(reached[cut]) if count > 1 else 0.0
