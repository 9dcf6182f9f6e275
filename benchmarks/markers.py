"""Put what a script made between two markers of a page, so that the page can be redone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def table_lines(head: Sequence[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """Write a table as lines of Markdown."""
    written = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *written]


def replace_between_markers(page: str, name: str, new: str) -> str:
    """Put a text between the markers of that name; SystemExit where they aren't there, each once and in order.

    The markers are lines: ``<!-- name: begin (how it is made) -->`` and ``<!-- name: end -->``.
    """
    begin, end = f"<!-- {name}: begin", f"<!-- {name}: end -->"
    before, begun, rest = page.partition(begin)
    marker, _, rest = rest.partition("\n")
    old, ended, after = rest.partition(end)
    if not (begun and ended) or begin in old + after or end in before + after:
        raise SystemExit(f"the page must have one line {begin} ... --> and after it one line {end}")
    return f"{before}{begin}{marker}\n\n{new}\n\n{end}{after}"


def write_between_markers(path: Path, name: str, new: str) -> None:
    """Do that to a file."""
    path.write_text(replace_between_markers(path.read_text(), name, new))
