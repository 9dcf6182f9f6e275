"""A comparison as a table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from firstgrad.analysis.compare_words import name_cases, name_sides
from firstgrad.analysis.judge import ComparisonVerdict
from firstgrad.cli import compare_rows as rows

if TYPE_CHECKING:
    from rich.console import Console

    from firstgrad.analysis.compare import Comparison
    from firstgrad.analysis.judge import MetricComparison

_STYLES = {
    ComparisonVerdict.FAILED: "bold red",
    ComparisonVerdict.FASTER: "green",
    ComparisonVerdict.SMALLER: "green",
    ComparisonVerdict.REPAIRED: "green",
    ComparisonVerdict.UNDECIDED: "yellow",
    ComparisonVerdict.MISSING: "yellow",
}


def show_comparison(console: Console, comparison: Comparison, *, show_all: bool) -> None:
    """Print what changed (or all of it), failures, and the counts."""
    style = "bold red" if comparison.is_forced else "bold"
    console.print(Text(name_sides(comparison), style=style), soft_wrap=True)
    names = name_cases(comparison)
    for case in comparison.cases:
        shown = rows.shown_metrics(case, show_all=show_all)
        if not (shown or case.reason):
            continue
        console.print(Text(f"\n{names[case.case_id]}", style="bold"), soft_wrap=True)
        if case.reason:
            console.print(Text(f"{case.verdict}: {case.reason}", style=_STYLES.get(case.verdict, "")), soft_wrap=True)
        if shown:
            table = Table()
            for name in rows.COLUMNS:
                table.add_column(name, justify="left" if name in ("metric", "verdict") else "right")
            for metric in shown:
                table.add_row(*rows.cells(metric), style=_style(metric))
            console.print(table)
    console.print()
    for note in rows.notes(comparison):
        console.print(Text(note, style="yellow"), soft_wrap=True)
    console.print(rows.summary(comparison), soft_wrap=True)


def _style(metric: MetricComparison) -> str:
    if metric.verdict.is_growth:
        return "bold red" if metric.is_alarm else "magenta"
    return _STYLES.get(metric.verdict, "") if metric.is_gating else "dim"
