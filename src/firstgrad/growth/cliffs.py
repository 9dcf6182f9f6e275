"""Cliffs: a jump between two neighbouring sizes that no law of the form ``a + b * size ** c`` can make.

On log-log axes such a law's local slope only rises with the size. So a step that is steeper than the next one, and than
the one before it, is no part of a law. The last step has no next one: it may always be the law's own bend.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from firstgrad.growth.law import Cliff

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from firstgrad.growth.law import Observations

    Floats = NDArray[np.float64]

_LEAST_FACTOR = 1.3
_STANDARD_ERRORS = 0.99865  # the normal distribution's three, on one side
_LEAST_SIZES = 3
_LEAST_SIZES_ALONE = 7  # a jump spoils two of the five lines, and the median stands
_NORMAL_MAD = 1.4826
_NO_SCATTER = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Means:
    """Mean logarithms by size, hosts' levels taken out; their covariance is `variance` times `unit`."""

    sizes: Floats
    logs: Floats
    unit: Floats
    variance: float
    freedom: float


def find_cliffs(observations: Observations) -> tuple[Cliff, ...]:
    """Find the jumps between neighbouring sizes.

    A step is one where its excess over each neighbouring step's slope is beyond both a factor of 1.3 and three standard
    errors, by the scatter between samples of one size and host (as many more as Student's distribution asks for with
    few samples). Without any repeated sample the scatter is that around straight lines through neighbours, and seven
    sizes are needed. Values are positive; sizes with a censored sample are left out.
    """
    means = _means(observations)
    if means is None:
        return ()
    from scipy.special import stdtrit

    asked = float(stdtrit(means.freedom, _STANDARD_ERRORS))
    steps, rises = np.diff(np.log(means.sizes)), np.diff(means.logs)
    cliffs = []
    for number in range(len(steps) - 1):
        neighbours = [beside for beside in (number - 1, number + 1) if beside >= 0]
        if all(_exceeds(means, steps, number, beside, asked) for beside in neighbours):
            expected = max(0.0, *(rises[beside] / steps[beside] for beside in neighbours)) * steps[number]
            cliffs.append(
                Cliff(
                    from_size=float(means.sizes[number]),
                    to_size=float(means.sizes[number + 1]),
                    factor=float(np.exp(rises[number])),
                    expected_factor=float(np.exp(expected)),
                )
            )
    return tuple(cliffs)


def _exceeds(means: _Means, steps: Floats, number: int, beside: int, asked: float) -> bool:
    """Whether a step rises beyond doubt by more than its neighbour's slope, and than a flat one, would make it."""
    excess = np.zeros(len(means.sizes))
    excess[number + 1] += 1.0
    excess[number] -= 1.0
    rise = float(excess @ means.logs)
    share = steps[number] / steps[beside]
    excess[beside + 1] -= share
    excess[beside] += share
    error = math.sqrt(max(means.variance * float(excess @ means.unit @ excess), 0.0))
    return min(rise, float(excess @ means.logs)) > max(math.log(_LEAST_FACTOR), asked * error)


def _means(observations: Observations) -> _Means | None:
    all_sizes, censored = np.asarray(observations.sizes, dtype=float), np.asarray(observations.is_censored, dtype=bool)
    kept = ~np.isin(all_sizes, all_sizes[censored])
    sizes, numbers = np.unique(all_sizes[kept], return_inverse=True)
    if len(sizes) < _LEAST_SIZES:
        return None
    hosts = np.unique(np.asarray(observations.hosts)[kept], return_inverse=True)[1]
    logs = np.log(np.asarray(observations.values, dtype=float)[kept])
    n_hosts, freedom = int(hosts.max()) + 1, float(len(logs) - len(sizes))
    if n_hosts == 1:
        counts = np.bincount(numbers)
        means, unit = np.bincount(numbers, logs) / counts, np.diag(1 / counts)
        residuals = logs - means[numbers]
    else:
        design = np.zeros((len(logs), len(sizes) + n_hosts))
        rows = np.arange(len(logs))
        design[rows, numbers] = design[rows, len(sizes) + hosts] = 1.0
        covariance = np.linalg.pinv(design.T @ design, hermitian=True)
        rank = round(float(np.trace(covariance @ design.T @ design)))
        if rank < len(sizes) + n_hosts - 1:
            return None  # hosts without a size in common: their levels can't be told from growth
        effects = covariance @ (design.T @ logs)
        means, unit = effects[: len(sizes)], covariance[: len(sizes), : len(sizes)]
        residuals, freedom = logs - design @ effects, len(logs) - rank
    if freedom > 0:
        variance = float(residuals @ residuals) / freedom
    elif len(sizes) >= _LEAST_SIZES_ALONE:
        variance, freedom = _variance_beside_lines(np.log(sizes), means), (len(sizes) - 2) / 2
    else:
        return None
    variance = variance if variance > _NO_SCATTER**2 else 0.0
    return _Means(sizes=sizes, logs=means, unit=unit, variance=variance, freedom=freedom)


def _variance_beside_lines(steps: Floats, logs: Floats) -> float:
    """Estimate a single sample's variance from how far each lies beside the line through its two neighbours."""
    share = (steps[1:-1] - steps[:-2]) / (steps[2:] - steps[:-2])
    beside = logs[1:-1] - (1 - share) * logs[:-2] - share * logs[2:]
    return float(_NORMAL_MAD * np.median(np.abs(beside) / np.sqrt(1 + share**2 + (1 - share) ** 2))) ** 2
