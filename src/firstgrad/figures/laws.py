"""Growth laws in words as short as figures need them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from firstgrad.figures.values import write_fitted
from firstgrad.growth.law import GrowthVerdict, NoLaw

if TYPE_CHECKING:
    from firstgrad.growth.law import GrowthLaw, Interval
    from firstgrad.metrics import Unit


def tell_law(law: GrowthLaw | NoLaw | None, unit: Unit, symbol: str) -> str:
    """Write a law in short, such as ``T^0.93 [0.88, 0.98] + 3.1 s``; '' where none was looked for."""
    if law is None:
        return ""
    if isinstance(law, NoLaw):
        return "no law"
    if law.verdict is GrowthVerdict.DOES_NOT_GROW:
        return str(law.verdict)
    fixed = f" + {write_fitted(unit, law.fixed_cost.value)}" if law.has_fixed_cost and law.fixed_cost.value > 0 else ""
    undecided = ", undecided" if law.verdict is GrowthVerdict.UNDECIDED else ""
    return f"{symbol}^{write_interval(law.exponent)}{fixed}{undecided}"


def write_interval(interval: Interval) -> str:
    """Write a number with its interval, such as ``0.93 [0.88, 0.98]``; an undetermined end is infinite."""
    high = "∞" if math.isinf(interval.high) else f"{interval.high:.2f}"
    return f"{interval.value:.2f} [{interval.low:.2f}, {high}]"
