"""The two sides of a comparison: which records a label, a commit, or a name that git knows stands for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from firstgrad.errors import UnknownSideError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firstgrad.record import Record

_PREFIX = re.compile(r"[0-9a-f]{7,64}")
_NAMES_SHOWN = 12
SHORT_DIGITS = 10
"""How much of a commit people are shown."""


class SideKind(StrEnum):
    """What a side was found by."""

    LABEL = "label"
    COMMIT = "commit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a comparison.

    Attributes
    ----------
    name : str
        As it was asked for.
    kind : SideKind
        What was found under that name.
    value : str
        The label, or the whole commit.
    samples : int
        How many records it has, of any status.
    """

    name: str
    kind: SideKind
    value: str
    samples: int

    def __str__(self) -> str:
        if self.kind is SideKind.LABEL:
            return f"label {self.value}"
        short = self.value[:SHORT_DIGITS]
        known = self.value.startswith(self.name.lower())
        return f"commit {short}" if known else f"{self.name} (commit {short})"


def find_side(
    records: Sequence[Record], name: str, resolve: Callable[[str], str] = lambda _: ""
) -> tuple[Side, tuple[Record, ...]]:
    """Find the records that a name stands for: a label first, then a commit, then what `resolve` makes of it.

    Parameters
    ----------
    records : sequence of Record
        Of both sides, and any others.
    name : str
        A label, a commit, or at least its first 7 digits.
    resolve : callable, optional
        Takes a name such as ``HEAD~1`` and returns the whole commit, '' where there is none.

    Raises
    ------
    UnknownSideError
        Where nothing, or more than one commit, fits; the error says what is there.
    """
    labelled = tuple(each for each in records if name and each.environment.label == name)
    if labelled:
        return Side(name=name, kind=SideKind.LABEL, value=name, samples=len(labelled)), labelled
    commit = _known_commit(records, name)
    if not commit:
        resolved = resolve(name)
        commit = resolved if resolved in _commits(records) else ""
        if not commit:
            means = f" (commit {resolved[:SHORT_DIGITS]})" if resolved else ""
            raise UnknownSideError(name, f"no record has this label or commit{means}. {_describe(records)}")
    found = tuple(each for each in records if each.environment.git_commit == commit)
    return Side(name=name, kind=SideKind.COMMIT, value=commit, samples=len(found)), found


def _known_commit(records: Sequence[Record], name: str) -> str:
    prefix = name.lower()
    if not _PREFIX.fullmatch(prefix):
        return ""
    fitting = [commit for commit in _commits(records) if commit.startswith(prefix)]
    if len(fitting) > 1:
        raise UnknownSideError(name, f"begins several commits: {', '.join(fitting)}. Give more digits")
    return fitting[0] if fitting else ""


def _commits(records: Sequence[Record]) -> list[str]:
    return _newest_first([each.environment.git_commit for each in records])


def _newest_first(names: list[str]) -> list[str]:
    return [name for name in dict.fromkeys(reversed(names)) if name]


def _describe(records: Sequence[Record]) -> str:
    """Say what the records could be asked for by."""
    if not records:
        return "There are no records at all: measure first, with `firstgrad measure --label NAME`"
    labels = _newest_first([each.environment.label for each in records])
    commits = [commit[:SHORT_DIGITS] for commit in _commits(records)]
    there = [f"{kind} {_shortened(names)}" for kind, names in (("labels", labels), ("commits", commits)) if names]
    return f"There are {' and '.join(there)}" if there else "None of the records has a label or a commit"


def _shortened(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} older" if more > 0 else "")
