"""A comparison as Markdown, for a comment on a pull request or the summary of a CI job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.analysis.compare_words import name_cases, name_sides
from firstgrad.analysis.judge import ComparisonVerdict
from firstgrad.cli import compare_rows as rows

if TYPE_CHECKING:
    from firstgrad.analysis.compare import Comparison


def to_markdown(comparison: Comparison, *, show_all: bool) -> str:
    """Write what changed (or all of it) as GitHub's Markdown, ending in a line break."""
    names = name_cases(comparison)
    told = [(case, rows.shown_metrics(case, show_all=show_all)) for case in comparison.cases]
    outcome = "regression" if comparison.has_regression else "no regression"
    lines = [f"### firstgrad compare: {outcome if comparison.has_compared else 'nothing was compared'}", ""]
    lines += [f"{_code(name_sides(comparison))}: {rows.summary(comparison)}.", ""]
    table = [
        _row([_code(names[case.case_id]), *cells[:-1], f"**{cells[-1]}**" if metric.is_alarm else cells[-1]])
        for case, metrics in told
        for metric in metrics
        for cells in [rows.cells(metric)]
    ]
    if table:
        lines += [_row(["case", *rows.COLUMNS]), "| --- | --- | ---: | ---: | ---: | ---: | --- |", *table, ""]
    listed = [
        f"- {_loud(case.verdict)}: {_code(names[case.case_id])}, {_code(case.reason)}"
        for case, _ in told
        if case.reason
    ]
    listed += [f"- {_code(note)}" for note in rows.notes(comparison)]
    return "\n".join([*lines, *listed]).rstrip("\n") + "\n"


def _row(texts: list[str]) -> str:
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |"


def _loud(verdict: ComparisonVerdict) -> str:
    return f"**{verdict}**" if verdict is ComparisonVerdict.FAILED else str(verdict)


def _code(text: str) -> str:
    """Write a text so that nothing in it is read as Markdown, HTML or a mention: names and errors are the user's."""
    return f"`{' '.join(text.replace('`', chr(39)).split())}`"
