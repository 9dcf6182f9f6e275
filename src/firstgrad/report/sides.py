"""The records of two sides, by their rows: a comparison needs no others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from firstgrad.analysis.sides import SHORT_DIGITS
from firstgrad.errors import UnknownSideError
from firstgrad.figures.lines import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firstgrad.row import Row

_PREFIX = re.compile(r"[0-9a-f]{7,64}")
_NAMES_SHOWN = 12


def choose_side(rows: Sequence[Row], name: str, resolve: Callable[[str], str]) -> tuple[str, ...]:
    """Name the records among which `firstgrad.analysis.sides.find_side` finds a side.

    Parameters
    ----------
    rows : sequence of Row
        Of both sides, and any others, oldest first.
    name : str
        A label, a commit, or at least its first 7 digits.
    resolve : callable
        Takes a name such as ``HEAD~1`` and returns the whole commit, '' where there is none.

    Returns
    -------
    tuple of str
        At least one `record_id`; of several commits where the name begins several.

    Raises
    ------
    UnknownSideError
        Where nothing fits; the error says what is there.
    """
    found = [row for row in rows if name and row.label == name]
    if not found and _PREFIX.fullmatch(name.lower()):
        found = [row for row in rows if row.git_commit.startswith(name.lower())]
    commit = "" if found else resolve(name)
    if commit:
        found = [row for row in rows if row.git_commit == commit]
    if not found:
        means = f" (commit {commit[:SHORT_DIGITS]})" if commit else ""
        raise UnknownSideError(name, f"no record has this label or commit{means}. {_describe(rows)}")
    return tuple(row.record_id for row in found)


def _describe(rows: Sequence[Row]) -> str:
    labels = _newest_first([row.label for row in rows])
    commits = _newest_first([row.git_commit[:SHORT_DIGITS] for row in rows])
    told = [f"{kind} {_shortened(names)}" for kind, names in (("labels", labels), ("commits", commits)) if names]
    return f"There are {' and '.join(told)}" if told else "None of the records has a label or a commit"


def _newest_first(names: list[str]) -> list[str]:
    return [name for name in dict.fromkeys(reversed(names)) if name]


def _shortened(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(shown(each) for each in names[:_NAMES_SHOWN]) + (f" and {more} older" if more > 0 else "")
