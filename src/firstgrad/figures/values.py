"""Numbers of metrics as figures, tables and pages write them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.metrics import Unit
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firstgrad.estimates import Estimate

_LOG_SPAN = 10.0
_STEPS = {
    Unit.SECONDS: ((1.0, "seconds"), (1e-3, "milliseconds"), (1e-6, "microseconds")),
    Unit.BYTES: ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB")),
    Unit.COUNT: ((1.0, ""),),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """How an axis shows a metric: numbers are divided by `factor`, and then are in `unit`."""

    factor: float
    unit: str


def write_value(unit: Unit, value: float) -> str:
    """Write a metric's number with its unit, such as ``5.96 s``, ``425 MiB`` or ``12,345``."""
    if unit is Unit.COUNT:
        return f"{value:,.10g}"
    return format_seconds(value) if unit is Unit.SECONDS else format_bytes(value)


def write_fitted(unit: Unit, value: float) -> str:
    """Write a number that was fitted: as `write_value`, but counts are no whole numbers then, and get four digits."""
    return f"{value:,.4g}" if unit is Unit.COUNT else write_value(unit, value)


def write_estimate(unit: Unit, estimate: Estimate) -> str:
    """Write a median with its interval; a single sample has none."""
    median = write_value(unit, estimate.value)
    if estimate.samples == 1:
        return median
    return f"{median} [{write_value(unit, estimate.low)}, {write_value(unit, estimate.high)}]"


def scale_of(unit: Unit, numbers: Iterable[float]) -> Scale:
    """Choose in what an axis counts, so that its largest number is 1 or more."""
    largest = max((abs(number) for number in numbers), default=0.0)
    steps = _STEPS[unit]
    return next((Scale(*step) for step in steps if largest >= step[0]), Scale(*steps[-1]))


def needs_log(numbers: Iterable[float]) -> bool:
    """Whether the numbers span more than a factor of ten, so that small ones would vanish on a linear axis."""
    known = list(numbers)
    return bool(known) and min(known) > 0 and max(known) > _LOG_SPAN * min(known)


def spread_out(values: Sequence[float], most: int) -> list[float]:
    """Choose dots to draw: all of a few numbers, of more than `most` the extremes and some between them."""
    if len(values) <= most:
        return list(values)
    ordered = sorted(values)
    return [ordered[round(step * (len(ordered) - 1) / (most - 1))] for step in range(most)]
