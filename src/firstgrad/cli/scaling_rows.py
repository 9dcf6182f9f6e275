"""Growth laws and ratios as flat rows: for the terminal's tables and for JSON."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firstgrad.growth.law import GrowthLaw, Interval, NoLaw

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firstgrad.analysis.contrasts import ContrastCurve
    from firstgrad.analysis.ratio_curve import RatioPoint
    from firstgrad.analysis.scaling import Growth


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthRow:
    """One law.

    Attributes
    ----------
    axis, metric, unit, common, name : str
        What grows along what.
    verdict, sentence : str
        In words; the reason where there is no law.
    exponent, slope, fixed_cost, constant, growth : Interval, optional
        As in `firstgrad.growth.law.GrowthLaw`; none where there is no law.
    smallest, largest : float
        Sizes between which it was measured.
    spread, r_squared : float, optional
        Goodness of the fit.
    samples, censored : int
        How many.
    cliffs : tuple of str
        In words.
    """

    axis: str
    metric: str
    unit: str
    common: str
    name: str
    verdict: str
    sentence: str
    smallest: float
    largest: float
    samples: int
    censored: int
    exponent: Interval | None = None
    slope: Interval | None = None
    fixed_cost: Interval | None = None
    constant: Interval | None = None
    growth: Interval | None = None
    spread: float | None = None
    r_squared: float | None = None
    cliffs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioRow:
    """One point of a ratio curve, or (without a size) its overall ratio."""

    contrast: str
    axis: str
    metric: str
    common: str
    name: str
    size: float | None
    ratio: float
    interval: Interval | None
    samples: int
    is_lower_bound: bool = False
    is_upper_bound: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingDocument:
    """All of it, as ``firstgrad scaling --json`` writes it."""

    laws: tuple[GrowthRow, ...]
    ratios: tuple[RatioRow, ...]


def growth_rows(growths: Iterable[Growth]) -> tuple[GrowthRow, ...]:
    """Flatten growth laws."""
    return tuple(_growth_row(growth, grown.name, grown.law) for growth in growths for grown in growth.lines)


def ratio_rows(contrasts: Iterable[ContrastCurve]) -> tuple[RatioRow, ...]:
    """Flatten ratio curves; the overall ratio of a curve follows its points."""
    rows: list[RatioRow] = []
    for each in contrasts:
        rows += [_ratio_row(each, point) for point in each.curve.points]
        if each.curve.overall is not None and len(each.curve.points) > 1:
            rows.append(_overall_row(each, each.curve.overall))
    return tuple(rows)


def _ratio_row(contrast: ContrastCurve, point: RatioPoint) -> RatioRow:
    return RatioRow(
        contrast=str(contrast.contrast),
        axis=contrast.axis,
        metric=contrast.metric.name,
        common=contrast.common,
        name=contrast.name,
        size=point.size,
        ratio=point.ratio,
        interval=point.interval,
        samples=point.n_numerator + point.n_denominator,
        is_lower_bound=point.is_lower_bound,
        is_upper_bound=point.is_upper_bound,
    )


def _overall_row(contrast: ContrastCurve, overall: Interval) -> RatioRow:
    return RatioRow(
        contrast=str(contrast.contrast),
        axis=contrast.axis,
        metric=contrast.metric.name,
        common=contrast.common,
        name=contrast.name,
        size=None,
        ratio=overall.value,
        interval=overall,
        samples=sum(point.n_numerator + point.n_denominator for point in contrast.curve.points),
    )


def _growth_row(growth: Growth, name: str, law: GrowthLaw | NoLaw) -> GrowthRow:
    seen = law.observations
    row = GrowthRow(
        axis=growth.axis,
        metric=growth.metric.name,
        unit=str(growth.metric.unit),
        common=growth.common,
        name=name,
        verdict="no law",
        sentence="",
        smallest=min(seen.sizes),
        largest=max(seen.sizes),
        samples=len(seen.sizes),
        censored=sum(seen.is_censored),
    )
    if isinstance(law, NoLaw):
        return replace(row, sentence=law.reason)
    return replace(
        row,
        verdict=str(law.verdict),
        sentence=law.sentence,
        exponent=law.exponent,
        slope=law.slope,
        fixed_cost=law.fixed_cost,
        constant=law.constant,
        growth=law.growth,
        spread=law.spread,
        r_squared=law.r_squared,
        cliffs=tuple(
            f"x{cliff.factor:.2g} from {cliff.from_size:g} to {cliff.to_size:g} (expected x{cliff.expected_factor:.2g})"
            for cliff in law.cliffs
        ),
    )
