"""The verdict on a growth law, by stated rules."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firstgrad.analysis.growth_law import Interval

TOLERANCE = 1.2
"""A metric whose growth over the measured sizes lies surely below this factor, and above its inverse, doesn't grow."""
_NARROW = 0.5
_ROUNDING = 1e-6


class GrowthVerdict(StrEnum):
    """What a law says of a metric over the measured sizes. The first rule that fits decides.

    1. *does not grow*: the whole interval of growth lies between 1 / 1.2 and 1.2.
    2. Growth is sure where both the interval of growth lies above 1 and that of the slope above 0. Then the exponent
       of the growing part decides: *slower than linear* where its interval lies below 1, *faster than linear* where
       it lies above 1, *linear* where it holds 1 and is narrower than 0.5, else *grows*: how fast is not determined.
    3. *shrinks*: the interval of growth lies below 1 and that of the slope below 0.
    4. *undecided*: the samples don't tell.
    """

    DOES_NOT_GROW = "does not grow"
    SHRINKS = "shrinks"
    SLOWER_THAN_LINEAR = "slower than linear"
    LINEAR = "linear"
    FASTER_THAN_LINEAR = "faster than linear"
    GROWS = "grows"
    UNDECIDED = "undecided"


_GROWING = frozenset(
    {
        GrowthVerdict.SLOWER_THAN_LINEAR,
        GrowthVerdict.LINEAR,
        GrowthVerdict.FASTER_THAN_LINEAR,
        GrowthVerdict.GROWS,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict, and what it rests on in one sentence."""

    verdict: GrowthVerdict
    sentence: str

    @property
    def is_growing(self) -> bool:
        """Whether growth is sure."""
        return self.verdict in _GROWING


def judge_growth(growth: Interval, slope: Interval, exponent: Interval, *, has_fixed_cost: bool) -> Judgement:
    """Judge a law by the rules that `GrowthVerdict` documents.

    Parameters
    ----------
    growth : Interval
        Factor over the measured sizes.
    slope, exponent : Interval
        On log-log axes without fixed cost, and of the growing part.
    has_fixed_cost : bool
        Whether a fixed cost was looked for; the sentence says so where it wasn't.
    """
    verdict = _verdict(growth, slope, exponent)
    told = f"{verdict}: growth over the measured sizes x{growth.value:.3g} ({_ends(growth)})"
    if verdict in _GROWING:
        told += f", exponent {exponent.value:.2f} ({_ends(exponent)})"
    else:
        told += f", slope {slope.value:.2f} ({_ends(slope)})"
    if verdict is GrowthVerdict.GROWS:
        told += "; how fast is not determined"
    if not has_fixed_cost:
        told += "; three sizes can't tell a fixed cost from slower growth, so none was looked for"
    return Judgement(verdict=verdict, sentence=told)


def _verdict(growth: Interval, slope: Interval, exponent: Interval) -> GrowthVerdict:
    if growth.low >= 1 / TOLERANCE and growth.high <= TOLERANCE:
        return GrowthVerdict.DOES_NOT_GROW
    if growth.low > 1 and slope.low > 0:
        return _speed(exponent)
    if growth.high < 1 and slope.high < 0:
        return GrowthVerdict.SHRINKS
    return GrowthVerdict.UNDECIDED


def _speed(exponent: Interval) -> GrowthVerdict:
    if exponent.high < 1 - _ROUNDING:
        return GrowthVerdict.SLOWER_THAN_LINEAR
    if exponent.low > 1 + _ROUNDING:
        return GrowthVerdict.FASTER_THAN_LINEAR
    return GrowthVerdict.LINEAR if exponent.width < _NARROW else GrowthVerdict.GROWS


def _ends(interval: Interval) -> str:
    return f"{interval.low:.3g} to {interval.high:.3g}"
