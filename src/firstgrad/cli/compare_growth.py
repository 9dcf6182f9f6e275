"""Growth laws of both sides of a comparison, where it holds several sizes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from firstgrad.cli.growth_change_rows import growth_change_rows
from firstgrad.columns import METRICS
from firstgrad.growth.change import GrowthChangeVerdict
from firstgrad.growth.law import GrowthLaw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firstgrad.columns import Column
    from firstgrad.compare.comparison import Comparison
    from firstgrad.compare.judge import Thresholds
    from firstgrad.growth.change import GrowthChanges, LawChange
    from firstgrad.record import Record


def find_growth(
    records: Sequence[Record],
    base: str,
    head: str,
    resolve: Callable[[str], str],
    metrics: Sequence[Column] = METRICS,
) -> GrowthChanges:
    """Compare the growth laws of two stored sides; without lines where they don't hold three sizes of anything."""
    from firstgrad.compare.sides import find_side
    from firstgrad.growth.change import GATING, find_growth_changes
    from firstgrad.row import make_row

    before, after = (map(make_row, find_side(records, side, resolve)[1]) for side in (base, head))
    return find_growth_changes(before, after, metrics=[each for each in GATING if each in metrics])


def is_growth_alarm(growth: GrowthChanges | None, comparison: Comparison) -> bool:
    """Whether a law grew between sides that were measured in turn.

    Laws aren't paired by round: of sides that were measured on different days, the machine's drift would show as a
    change, which is worth a line and no alarm. Nor is a fixed cost that grew by less than the metric's threshold.
    """
    return (
        growth is not None
        and any(_is_beyond(line, comparison.thresholds) for line in growth.lines)
        and comparison.has_compared
        and all(case.is_interleaved for case in comparison.cases if case.is_compared)
    )


def _is_beyond(line: LawChange, thresholds: Thresholds) -> bool:
    if line.exponent is not None and line.exponent.verdict is GrowthChangeVerdict.GREW:
        return True
    part = line.fixed_cost
    if part is None or part.verdict is not GrowthChangeVerdict.GREW or not isinstance(line.base, GrowthLaw):
        return False
    return part.difference.value > (thresholds.alarm_factor(line.metric.unit) - 1) * min(line.base.levels)


def write_growth_json(comparison: str, growth: GrowthChanges | None) -> str:
    """Put the growth laws, where there are any, into a comparison's JSON as ``growth``: a list of lines."""
    from firstgrad.codec import to_json

    if growth is None or not growth.lines:
        return comparison
    rows: list[Any] = json.loads(to_json(growth_change_rows(growth.lines)))
    return json.dumps({**json.loads(comparison), "growth": rows}, sort_keys=True, separators=(",", ":"))


def write_growth_markdown(growth: GrowthChanges | None, *, is_alarm: bool) -> str:
    """Say in Markdown which laws changed; '' where none did."""
    told = [row for row in growth_change_rows(growth.lines) if row.verdict in ("grew", "shrank")] if growth else []
    if not told:
        return ""
    mark = "**" if is_alarm else ""
    lines = [f"- {mark}{row.metric} along {row.axis}{mark} {row.verdict} (`{row.common} {row.name}`)" for row in told]
    seen = "" if is_alarm else ", which raise no alarm"
    return "\n".join([f"\nGrowth laws{seen}:", "", *lines, ""])
