"""Contrasts: what one choice costs against another (HMM against none) along a size, all else being equal."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from firstgrad.case import Scenario
from firstgrad.columns import Column
from firstgrad.grouping import grouped
from firstgrad.growth.law import CONFIDENCE, Interval, Observations
from firstgrad.growth.lines import SizeLine, find_lines, name_lines
from firstgrad.pose.spec import Formulation, HmmAlgorithm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Cells = dict[tuple[float, str], tuple[Floats, bool]]

_NO_SCATTER = 1e-9
_SURE = 0.05


class Contrast(StrEnum):
    """Which choice: each by the first of the pair, over the second.

    ``hmm``: with an HMM over without. ``algorithm``: ``tree`` or ``unrolled`` over ``scan``. ``formulation``:
    ``vectorised`` over ``per_joint``. ``scenario``: ``warm`` over ``cold``.
    """

    HMM = "hmm"
    ALGORITHM = "algorithm"
    FORMULATION = "formulation"
    SCENARIO = "scenario"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioPoint:
    """The ratio at one size."""

    size: float
    ratio: float  # geometric mean of the numerator by that of the denominator, made within each host, then combined
    interval: Interval | None  # none where the ratio is a bound, and where no sample of the curve is repeated
    is_lower_bound: bool  # whether the true ratio lies above: the numerator is censored
    is_upper_bound: bool  # or below: the denominator is; both: it tells nothing
    n_samples: int  # of both sides, censored ones included


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioCurve:
    """The ratio at every size that both sides have."""

    points: tuple[RatioPoint, ...]  # by size
    overall: Interval | None
    """One ratio for all sizes, bounds left out; none where there is no scatter to judge by, or nothing but bounds.
    Where the points don't agree with one ratio, the interval is made wider by as much as they disagree (Birge, Physical
    Review 40, 1932)."""
    is_constant: bool | None
    """Whether the points agree with one ratio, by an F test at 5 %; none where that can't be judged."""


@dataclass(frozen=True, slots=True)
class ContrastCurve:
    """A ratio along a size."""

    contrast: Contrast
    axis: str
    metric: Column
    common: str  # what the curves of this contrast and size have in common
    name: str  # what tells this one from the others; both of the numerators
    numerator: SizeLine
    curve: RatioCurve


def find_contrasts(
    samples: pd.DataFrame,
    axis: str,
    metrics: Sequence[Column],
    contrasts: Sequence[Contrast] = tuple(Contrast),
    *,
    least_sizes: int = 2,
) -> tuple[ContrastCurve, ...]:
    """Make the ratio of every pair of lines that differ in one choice only, by contrast, then by metric.

    Curves with fewer than `least_sizes` that both sides have are left out.
    """
    lines = find_lines(samples, axis, least_sizes=1)
    curves = []
    for contrast in contrasts:
        pairs = [
            (above, below)
            for above, below in _pair(lines, contrast)
            if len(set(above.sizes) & set(below.sizes)) >= least_sizes
        ]
        common, names = name_lines([numerator for numerator, _ in pairs])
        for metric in metrics:
            for (numerator, denominator), name in zip(pairs, names, strict=True):
                above, below = numerator.observe(metric), denominator.observe(metric)
                if above is None or below is None:
                    continue
                curve = make_ratio_curve(above, below)
                if len(curve.points) >= least_sizes:
                    curves.append(ContrastCurve(contrast, axis, metric, common, name, numerator, curve))
    return tuple(curves)


_RULES: dict[Contrast, tuple[str, Callable[[object], bool | None], tuple[str, ...]]] = {
    Contrast.HMM: ("hmm_algorithm", lambda algorithm: algorithm != "", ("hmm", "hmm_algorithm", "states")),
    Contrast.ALGORITHM: (
        "hmm_algorithm",
        lambda algorithm: algorithm != HmmAlgorithm.SCAN if algorithm else None,
        ("hmm_algorithm",),
    ),
    Contrast.FORMULATION: ("formulation", lambda formulation: formulation == Formulation.VECTORISED, ("formulation",)),
    Contrast.SCENARIO: (
        "scenario",
        lambda state: state == Scenario.WARM if state in {Scenario.COLD, Scenario.WARM} else None,
        ("scenario",),
    ),
}
"""By what a line is a numerator (or neither: none), and what else may differ between the sides."""


def _pair(lines: Sequence[SizeLine], contrast: Contrast) -> list[tuple[SizeLine, SizeLine]]:
    """Pair each line on the first side of a choice with the one on the second that is like it in all else."""
    name, is_numerator, dropped = _RULES[contrast]
    below: dict[object, SizeLine] = {}
    above: dict[object, list[SizeLine]] = defaultdict(list)
    for line in lines:
        values = {**dict(line.rest), "scenario": line.scenario}
        side = is_numerator(values[name]) if name in values else None
        rest = tuple((axis, value) for axis, value in values.items() if axis not in dropped)
        key = line.reference, rest, line.backend, line.device, line.target, line.packages, line.label, line.git_commit
        if side:
            above[key].append(line)
        elif side is not None:
            below[key] = line
    return [(line, below[key]) for key, members in above.items() if key in below for line in members]


def make_ratio_curve(numerator: Observations, denominator: Observations) -> RatioCurve:
    """Divide one metric by another (or by itself under another choice) at every size that both have on one host.

    Intervals are Student's on logarithms (ratios of geometric means), with the scatter between repeated samples pooled
    over both sides, all sizes and hosts, so that two or three samples a side suffice. Hosts are combined by inverse
    variance. Values that aren't positive have no logarithm and are left out.
    """
    above, below = _cells(numerator), _cells(denominator)
    repeated = [logs for side in (above, below) for logs, is_censored in side.values() if not is_censored]
    freedom = sum(len(logs) - 1 for logs in repeated)
    squares = sum(float(((logs - logs.mean()) ** 2).sum()) for logs in repeated)
    variance = squares / freedom if freedom and squares > freedom * _NO_SCATTER**2 else 0.0
    hosts = grouped((size, host) for size, host in above if (size, host) in below)
    points, kept = [], []
    for size in sorted(hosts):
        sides = [[side[size, host] for host in hosts[size]] for side in (above, below)]
        log_ratio, unit, bounds = _ratio_at(*sides)
        if unit is not None:
            kept.append((log_ratio, unit))
        points.append(
            RatioPoint(
                size=size,
                ratio=math.exp(log_ratio),
                interval=_student(log_ratio, unit * variance, freedom) if freedom and unit is not None else None,
                is_lower_bound=bounds[0],
                is_upper_bound=bounds[1],
                n_samples=sum(len(logs) for side in sides for logs, _ in side),
            )
        )
    overall, is_constant = _overall(kept, variance, freedom) if kept and freedom else (None, None)
    return RatioCurve(points=tuple(points), overall=overall, is_constant=is_constant)


def _cells(observations: Observations) -> Cells:
    """Sort samples by size and host: logarithms, and whether any is censored."""
    seen = observations
    cells = grouped(
        ((float(size), host), (math.log(value), is_censored))
        for size, host, value, is_censored in zip(seen.sizes, seen.hosts, seen.values, seen.is_censored, strict=True)
        if 0 < value < math.inf
    )
    return {
        key: (np.array([log for log, _ in samples]), any(is_censored for _, is_censored in samples))
        for key, samples in cells.items()
    }


def _ratio_at(
    above: Sequence[tuple[Floats, bool]], below: Sequence[tuple[Floats, bool]]
) -> tuple[float, float | None, tuple[bool, bool]]:
    """Combine the hosts of one size: the ratio's logarithm, its variance by that of a sample, whether it is a bound.

    Among nothing but bounds the highest lower one counts, else the lowest upper one, else one that tells nothing.
    """
    pairs = [
        (float(one.mean() - other.mean()), 1 / len(one) + 1 / len(other), is_lower, is_upper)
        for (one, is_lower), (other, is_upper) in zip(above, below, strict=True)
    ]
    if exact := [(ratio, unit) for ratio, unit, is_lower, is_upper in pairs if not (is_lower or is_upper)]:
        return (*_combined(exact), (False, False))
    if lower := [ratio for ratio, _, _, is_upper in pairs if not is_upper]:
        return max(lower), None, (True, False)
    if upper := [ratio for ratio, _, is_lower, _ in pairs if not is_lower]:
        return min(upper), None, (False, True)
    return pairs[0][0], None, (True, True)


def _combined(ratios: Sequence[tuple[float, float]]) -> tuple[float, float]:
    logs, units = np.array(ratios).T
    return float((logs / units).sum() / (1 / units).sum()), float(1 / (1 / units).sum())


def _student(log_ratio: float, variance: float, freedom: int) -> Interval:
    from scipy.special import stdtrit

    half = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * math.sqrt(variance)
    with np.errstate(over="ignore"):
        return Interval(*np.exp([log_ratio, log_ratio - half, log_ratio + half]).tolist())


def _overall(kept: Sequence[tuple[float, float]], variance: float, freedom: int) -> tuple[Interval | None, bool | None]:
    from scipy.special import fdtrc

    mean, unit = _combined(kept)
    steady = _student(mean, unit * variance, freedom)
    between_freedom = len(kept) - 1
    if not between_freedom:
        return steady, None
    between = sum((log_ratio - mean) ** 2 / point_unit for log_ratio, point_unit in kept) / between_freedom
    if between <= _NO_SCATTER**2 or (variance > 0 and fdtrc(between_freedom, freedom, between / variance) >= _SURE):
        return steady, True
    return _student(mean, unit * between, between_freedom), False
