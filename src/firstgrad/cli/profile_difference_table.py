"""What grew between two profiles, as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from firstgrad.analysis.profile_change import LEAST_SECONDS, LEAST_SECONDS_FACTOR, ChangeKind
from firstgrad.show.words import shorten, write_value
from firstgrad.units import format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from firstgrad.analysis.profile_change import Change
    from firstgrad.analysis.profile_difference import ProfileDifference

NOISE_NOTE = (
    "Each side is a single sample with instruments on: seconds that differ by less than "
    f"{LEAST_SECONDS_FACTOR - 1:.0%} or {format_seconds(LEAST_SECONDS)} are not listed, and listed ones are hints. "
    "Counts tell. To compare seconds: firstgrad measure --samples, then firstgrad compare."
)
_TITLES = {
    ChangeKind.TOTAL: "in all",
    ChangeKind.PHASE: "phases",
    ChangeKind.PASS: "rewrite passes",
    ChangeKind.REWRITER: "single rewriters",
    ChangeKind.NODE_TYPE: "nodes by type of operation",
    ChangeKind.UNIT: "compiled units, by name and operation",
    ChangeKind.MEMORY: "memory",
}
_METRICS = {
    "wall_seconds": "wall",
    "cpu_seconds": "CPU",
    "own_seconds": "own",
    "nodes_before": "before rewriting",
    "nodes_after": "after rewriting",
    "nodes_added": "nodes added",
    "before": "before rewriting",
    "after": "after rewriting",
    "code_bytes": "code",
    "bytes": "",
}
_ALIKE = {"groups", "values", "compiled_units"}  # totals whose name says it all


def show_profile_difference(console: Console, difference: ProfileDifference, *, top: int) -> None:
    """Print what is compared and what changed, `top` lines a table and metric."""
    base, contender = (each.record for each in (difference.base, difference.contender))
    console.print(Text("What changed", style="bold"))
    console.print(Text(f"base       {base.record_id[:8]}  {base.case}"), soft_wrap=True)
    console.print(Text(f"contender  {contender.record_id[:8]}  {contender.case}"), soft_wrap=True)
    for note in difference.notes:
        console.print(Text(note, style="yellow" if note.startswith("warning") else ""), soft_wrap=True)
    console.print()
    for kind, title in _TITLES.items():
        changes = difference.of_kind(kind, noise=kind is ChangeKind.TOTAL)
        if not changes:
            continue
        shown = _dearest(changes, top)
        left_out = len(changes) - len(shown)
        told = f" ({format_count(left_out, 'smaller change')} left out)" if left_out else ""
        console.print(Text(f"{title}{told}", style="bold"))
        console.print(_table(shown))
        console.print()
    hidden = sum(each.is_noise and each.kind is not ChangeKind.TOTAL for each in difference.changes)
    if hidden:
        console.print(Text(f"{format_count(hidden, 'number')} changed within noise"))
    console.print(Text(NOISE_NOTE, style="dim"), soft_wrap=True)
    console.print()


def _dearest(changes: Sequence[Change], top: int) -> list[Change]:
    """Take the first of each metric; they come by metric, the largest first."""
    seen: dict[str, int] = {}
    chosen = []
    for each in changes:
        seen[each.metric] = seen.get(each.metric, 0) + 1
        if seen[each.metric] <= top or each.kind is ChangeKind.TOTAL:
            chosen.append(each)
    return chosen


def _table(changes: Sequence[Change]) -> Table:
    table = Table()
    table.add_column("what", overflow="fold")
    table.add_column("number")
    for name in ("base", "contender", "difference", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for number, each in enumerate(changes):
        name = shorten(each.name.replace("_", " ") if each.kind is ChangeKind.TOTAL else each.name, 64)
        last = number + 1 < len(changes) and changes[number + 1].metric != each.metric
        table.add_row(
            name,
            _metric(each),
            _value(each, each.base),
            _value(each, each.contender),
            f"{'+' if each.difference > 0 else ''}{write_value(each.unit, each.difference)}",
            "" if each.ratio is None else f"x{each.ratio:.3g}",
            style="dim" if each.is_noise else None,
            end_section=last and each.kind is not ChangeKind.TOTAL,
        )
    return table


def _metric(change: Change) -> str:
    return "" if change.metric in _ALIKE else _METRICS.get(change.metric, change.metric)


def _value(change: Change, value: float | None) -> str:
    return "none" if value is None else write_value(change.unit, value)
