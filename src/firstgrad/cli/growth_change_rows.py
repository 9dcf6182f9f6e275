"""Changes of growth laws as flat rows: for the terminal's table, Markdown and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.growth.law import GrowthLaw, Interval

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firstgrad.growth.change import LawChange


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthChangeRow:
    """One metric of one line.

    Attributes
    ----------
    axis, metric, unit, common, name : str
        What grows along what.
    verdict : str
        ``grew``, ``shrank``, ``same`` or ``undecided``; the graver of both parts.
    compared_exponent, compared_fixed_cost : str
        What stands for them, such as ``mean slope``; '' where it couldn't be compared.
    exponent_verdict, fixed_cost_verdict : str
        Of each part; '' where it couldn't be compared.
    exponent_base, exponent_head, exponent_difference : Interval, optional
        None where it couldn't be compared.
    fixed_cost_base, fixed_cost_head, fixed_cost_difference : Interval, optional
        The same, in the metric's unit.
    base_sentence, head_sentence : str
        Each side's law in words, or why there is none.
    reason : str
        Why a part couldn't be compared.
    """

    axis: str
    metric: str
    unit: str
    common: str
    name: str
    verdict: str
    compared_exponent: str = ""
    compared_fixed_cost: str = ""
    exponent_verdict: str = ""
    fixed_cost_verdict: str = ""
    exponent_base: Interval | None = None
    exponent_head: Interval | None = None
    exponent_difference: Interval | None = None
    fixed_cost_base: Interval | None = None
    fixed_cost_head: Interval | None = None
    fixed_cost_difference: Interval | None = None
    base_sentence: str = ""
    head_sentence: str = ""
    reason: str = ""


def growth_change_rows(lines: Iterable[LawChange]) -> tuple[GrowthChangeRow, ...]:
    """Flatten changes of laws."""
    return tuple(_row(line) for line in lines)


def _row(line: LawChange) -> GrowthChangeRow:
    exponent, fixed = line.exponent, line.fixed_cost
    base, head = (law.sentence if isinstance(law, GrowthLaw) else law.reason for law in (line.base, line.head))
    return GrowthChangeRow(
        axis=line.axis,
        metric=line.metric.name,
        unit=str(line.metric.unit),
        common=line.common,
        name=line.name,
        verdict=str(line.verdict),
        compared_exponent=exponent.what if exponent else "",
        compared_fixed_cost=fixed.what if fixed else "",
        exponent_verdict=str(exponent.verdict) if exponent else "",
        fixed_cost_verdict=str(fixed.verdict) if fixed else "",
        exponent_base=exponent.base if exponent else None,
        exponent_head=exponent.head if exponent else None,
        exponent_difference=exponent.difference if exponent else None,
        fixed_cost_base=fixed.base if fixed else None,
        fixed_cost_head=fixed.head if fixed else None,
        fixed_cost_difference=fixed.difference if fixed else None,
        base_sentence=base,
        head_sentence=head,
        reason=line.reason,
    )
