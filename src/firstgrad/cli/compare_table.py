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

_STYLES = {
    ComparisonVerdict.WORSE: "bold red",
    ComparisonVerdict.FAILED: "bold red",
    ComparisonVerdict.BETTER: "green",
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
                table.add_row(*rows.cells(metric), style=_STYLES.get(metric.verdict))
            console.print(table)
    console.print()
    for note in rows.notes(comparison):
        console.print(Text(note, style="yellow"), soft_wrap=True)
    console.print(rows.summary(comparison), soft_wrap=True)
