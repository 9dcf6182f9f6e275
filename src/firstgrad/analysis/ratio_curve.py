"""A ratio along a size: what one choice costs against another (HMM against none), size by size, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from firstgrad.growth.law import CONFIDENCE, Interval, Observations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_NO_SCATTER = 1e-9
_SURE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioPoint:
    """The ratio at one size.

    Attributes
    ----------
    size : float
        Where.
    ratio : float
        Geometric mean of the numerator by that of the denominator, made within each host, then combined.
    interval : Interval, optional
        Of the ratio; none where the ratio is a bound, and where no sample of the curve is repeated.
    is_lower_bound, is_upper_bound : bool
        Whether the true ratio lies above (the numerator is censored) or below (the denominator is) the given one. Both:
        it tells nothing.
    n_numerator, n_denominator : int
        How many samples, censored ones included.
    hosts : tuple of str
        That have both sides at this size.
    """

    size: float
    ratio: float
    interval: Interval | None
    is_lower_bound: bool
    is_upper_bound: bool
    n_numerator: int
    n_denominator: int
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioCurve:
    """The ratio at every size that both sides have.

    Attributes
    ----------
    points : tuple of RatioPoint
        By size.
    overall : Interval, optional
        One ratio for all sizes, bounds left out; none where there is no scatter to judge by, or nothing but bounds.
        Where the points don't agree with one ratio, the interval is made wider by as much as they disagree (Birge,
        Physical Review 40, 1932).
    is_constant : bool, optional
        Whether the points agree with one ratio, by an F test at 5 %; none where that can't be judged.
    spread : float, optional
        Standard deviation of the logarithms between samples of one side, pooled over sizes and hosts.
    """

    points: tuple[RatioPoint, ...]
    overall: Interval | None
    is_constant: bool | None
    spread: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """The samples of one side at one size on one host."""

    logs: Floats
    is_censored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """Logarithm of a ratio within one host; `unit` times the samples' variance is its variance."""

    host: str
    log_ratio: float
    unit: float
    is_lower_bound: bool
    is_upper_bound: bool

    @property
    def is_bound(self) -> bool:
        return self.is_lower_bound or self.is_upper_bound


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scatter:
    variance: float
    freedom: int

    def interval(self, log_ratio: float, unit: float) -> Interval:
        from scipy.special import stdtrit

        half = float(stdtrit(self.freedom, 0.5 + CONFIDENCE / 2)) * np.sqrt(self.variance * unit)
        return Interval(*(float(np.exp(each)) for each in (log_ratio, log_ratio - half, log_ratio + half)))


def make_ratio_curve(numerator: Observations, denominator: Observations) -> RatioCurve:
    """Divide one metric by another (or by itself under another choice) at every size that both have on one host.

    Intervals are Student's on logarithms (ratios of geometric means), with the scatter between repeated samples pooled
    over both sides, all sizes and hosts, so that two or three samples a side suffice. Hosts are combined by inverse
    variance.

    Parameters
    ----------
    numerator, denominator : Observations
        Values that aren't positive have no logarithm and are left out.

    Returns
    -------
    RatioCurve
        Without points where the sides have no size in common on any host.
    """
    above, below = _cells(numerator), _cells(denominator)
    shared = [key for key in above if key in below]
    scatter = _pooled(above, below)
    points, kept = [], []
    for size in sorted({size for size, _ in shared}):
        hosts = [host for each, host in shared if each == size]
        pairs = [_pair(host, above[size, host], below[size, host]) for host in hosts]
        exact = [pair for pair in pairs if not pair.is_bound]
        samples = [sum(len(side[size, host].logs) for host in hosts) for side in (above, below)]
        if exact:
            log_ratio, unit = _combined([pair.log_ratio for pair in exact], [pair.unit for pair in exact])
            kept.append((log_ratio, unit))
            interval, bounds = scatter.interval(log_ratio, unit) if scatter else None, (False, False)
        else:
            log_ratio, bounds = _tightest(pairs)
            interval = None
        points.append(
            RatioPoint(
                size=size,
                ratio=float(np.exp(log_ratio)),
                interval=interval,
                is_lower_bound=bounds[0],
                is_upper_bound=bounds[1],
                n_numerator=samples[0],
                n_denominator=samples[1],
                hosts=tuple(hosts),
            )
        )
    overall, is_constant = _overall(kept, scatter) if kept and scatter else (None, None)
    return RatioCurve(
        points=tuple(points),
        overall=overall,
        is_constant=is_constant,
        spread=float(np.sqrt(scatter.variance)) if scatter else None,
    )


def _cells(observations: Observations) -> dict[tuple[float, str], _Cell]:
    found: dict[tuple[float, str], tuple[list[float], list[bool]]] = {}
    each = zip(observations.sizes, observations.hosts, observations.values, observations.is_censored, strict=True)
    for size, host, value, is_censored in each:
        if 0 < value < math.inf:
            logs, censored = found.setdefault((float(size), host), ([], []))
            logs.append(math.log(value))
            censored.append(is_censored)
    return {key: _Cell(logs=np.array(logs), is_censored=any(censored)) for key, (logs, censored) in found.items()}


def _pooled(*sides: dict[tuple[float, str], _Cell]) -> _Scatter | None:
    cells = [cell.logs for side in sides for cell in side.values() if not cell.is_censored]
    freedom = sum(len(logs) - 1 for logs in cells)
    if freedom < 1:
        return None
    variance = sum(float(((logs - logs.mean()) ** 2).sum()) for logs in cells) / freedom
    return _Scatter(variance=variance if variance > _NO_SCATTER**2 else 0.0, freedom=freedom)


def _pair(host: str, above: _Cell, below: _Cell) -> _Pair:
    return _Pair(
        host=host,
        log_ratio=float(above.logs.mean() - below.logs.mean()),
        unit=1 / len(above.logs) + 1 / len(below.logs),
        is_lower_bound=above.is_censored,
        is_upper_bound=below.is_censored,
    )


def _combined(log_ratios: Sequence[float], units: Sequence[float]) -> tuple[float, float]:
    weights = 1 / np.array(units)
    return float(weights @ np.array(log_ratios) / weights.sum()), float(1 / weights.sum())


def _tightest(pairs: Sequence[_Pair]) -> tuple[float, tuple[bool, bool]]:
    """Choose among bounds: the highest lower one, else the lowest upper one, else one that tells nothing."""
    lower = [pair.log_ratio for pair in pairs if not pair.is_upper_bound]
    if lower:
        return max(lower), (True, False)
    upper = [pair.log_ratio for pair in pairs if not pair.is_lower_bound]
    if upper:
        return min(upper), (False, True)
    return pairs[0].log_ratio, (True, True)


def _overall(kept: Sequence[tuple[float, float]], scatter: _Scatter) -> tuple[Interval, bool | None]:
    from scipy.special import fdtrc

    log_ratios, units = np.array(kept).T
    mean, unit = _combined(list(log_ratios), list(units))
    between_freedom = len(kept) - 1
    if not between_freedom:
        return scatter.interval(mean, unit), None
    between = float(((log_ratios - mean) ** 2 / units).sum()) / between_freedom
    if between <= _NO_SCATTER**2:
        return scatter.interval(mean, unit), True
    is_constant = scatter.variance > 0 and fdtrc(between_freedom, scatter.freedom, between / scatter.variance) >= _SURE
    if is_constant:
        return scatter.interval(mean, unit), True
    return _Scatter(variance=between, freedom=between_freedom).interval(mean, unit), False
