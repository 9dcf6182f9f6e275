"""Reads what a comparison needs of a store, and no more: whole records of its sides, rows of the cases' history."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from firstgrad.record import Record
    from firstgrad.row import Row
    from firstgrad.store import Store

_WHOLE_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def read_sides(store: Store, base: str, head: str, resolve: Callable[[str], str]) -> list[Record]:
    """Read the records among which `firstgrad.analysis.sides.find_side` finds both sides, oldest first.

    Parameters
    ----------
    store : Store
        Where they are.
    base, head : str
        Labels, commits or their first digits, or names that `resolve` knows.
    resolve : callable
        Takes a name such as ``HEAD~1`` and returns the whole commit, '' where there is none.

    Raises
    ------
    UnknownSideError
        Where a side has no records; the error says what is there.
    """
    found = {each.record_id: each for name in dict.fromkeys((base, head)) for each in _read_side(store, name, resolve)}
    return sorted(found.values(), key=lambda record: record.started_at)


def read_history(store: Store, records: Iterable[Record]) -> list[Row]:
    """Read the rows of all samples of the records' cases."""
    questions = dict.fromkeys(record.case.question for record in records)
    return [row for question in questions for row in store.rows(question=question)]


def _read_side(store: Store, name: str, resolve: Callable[[str], str]) -> list[Record]:
    if name and (labelled := list(store.records(label=name))):
        return labelled
    commit = name.lower() if _WHOLE_COMMIT.fullmatch(name.lower()) else ""
    if commit and (found := list(store.records(git_commit=commit))):
        return found
    # A commit's first digits, a name of git's, or nothing that is there: rows tell at a hundredth of the cost.
    from firstgrad.report.sides import choose_side

    return list(store.records(record_ids=choose_side(list(store.rows()), name, resolve)))
