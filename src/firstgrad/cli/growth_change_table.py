"""Changes of growth laws as a table for a terminal."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from firstgrad.cli.growth_change_rows import growth_change_rows
from firstgrad.columns import Unit
from firstgrad.growth.change import GrowthChangeVerdict
from firstgrad.show.words import write_fitted
from firstgrad.units import format_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from firstgrad.cli.growth_change_rows import GrowthChangeRow
    from firstgrad.growth.change import GrowthChanges
    from firstgrad.growth.law import Interval

_STYLES = {
    GrowthChangeVerdict.GREW: "bold red",
    GrowthChangeVerdict.SHRANK: "green",
    GrowthChangeVerdict.UNDECIDED: "yellow",
}


def show_growth_changes(console: Console, changes: GrowthChanges, *, show_all: bool, is_alarm: bool = True) -> None:
    """Print the laws that changed (or all of them), each difference with its interval; nothing where there are none."""
    if not changes.lines and not changes.unmatched:
        return
    for line in changes.unmatched:
        console.print(Text(f"no growth law compared: {line}", style="yellow"), soft_wrap=True)
    shown = [each for each in changes.lines if show_all or each.verdict is not GrowthChangeVerdict.SAME]
    if shown:
        table = Table(title="growth laws, HEAD less BASE", title_style="bold", title_justify="left")
        for name in ("metric", "along", "line", "exponent", "fixed cost", "verdict"):
            table.add_column(name, justify="right" if name in {"exponent", "fixed cost"} else "left")
        for row in growth_change_rows(shown):
            cells = (row.metric, row.axis, row.name, _exponent(row), _fixed_cost(row), _verdict(row))
            table.add_row(*(Text(cell) for cell in cells), style=_STYLES.get(GrowthChangeVerdict(row.verdict)))
        console.print(table)
    counted = ", ".join(
        f"{sum(each.verdict is verdict for each in changes.lines)} {verdict}" for verdict in GrowthChangeVerdict
    )
    told = f"{format_count(len(changes.lines), 'growth law')}: {counted}"
    if changes.has_alarm and not is_alarm:
        told += "; no alarm: below the threshold, or the sides were not measured in turn"
    if changes.n_tests:
        told += f" ({changes.confidence:.0%} for all {format_count(changes.n_tests, 'interval')} together)"
    console.print(told, soft_wrap=True)


def _exponent(row: GrowthChangeRow) -> str:
    return _part(
        row.exponent_base,
        row.exponent_head,
        row.exponent_difference,
        row.compared_exponent,
        "{:z.2f}".format,
        "exponent",
    )


def _fixed_cost(row: GrowthChangeRow) -> str:
    write = partial(write_fitted, Unit(row.unit))
    return _part(
        row.fixed_cost_base,
        row.fixed_cost_head,
        row.fixed_cost_difference,
        row.compared_fixed_cost,
        write,
        "fixed cost",
    )


def _part(
    base: Interval | None,
    head: Interval | None,
    difference: Interval | None,
    what: str,
    write: Callable[[float], str],
    usual: str,
) -> str:
    """Write both sides and the difference, and what was compared where it isn't what the column says."""
    if base is None or head is None or difference is None:
        return ""
    named = "" if what == usual else f" ({what})"
    low, high = (_end(each, write) for each in (difference.low, difference.high))
    value = _signed(difference.value, write)
    change = value if difference.low == difference.high else f"{value} [{low}, {high}]"
    return f"{write(base.value)} to {write(head.value)}: {change}{named}"


def _end(number: float, write: Callable[[float], str]) -> str:
    return "any" if math.isinf(number) else _signed(number, write)


def _signed(number: float, write: Callable[[float], str]) -> str:
    return f"{'-' if number < 0 else '+'}{write(abs(number))}"


def _verdict(row: GrowthChangeRow) -> str:
    return f"{row.verdict}: {row.reason}" if row.reason and row.verdict != GrowthChangeVerdict.SAME else row.verdict
