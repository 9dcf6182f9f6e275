"""Rows from where a verb was told to look."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firstgrad.row import Row
    from firstgrad.store import Store


def read_rows(place: str | None, source: str | None, *, label: str | None = None) -> list[Row]:
    """Read the rows of a store or of an export.

    Parameters
    ----------
    place : str, optional
        A store's file or URL; the default store where both are left out.
    source : str, optional
        An export.
    label : str, optional
        Only records of this label.

    Raises
    ------
    SpecError
        Where both are given.
    StoreError
        Where there is nothing to read, or it cannot be read.
    """
    from firstgrad.errors import SpecError
    from firstgrad.row import make_row
    from firstgrad.store import import_jsonl

    if place is not None and source is not None:
        raise SpecError("--store, --from", "give one of them")
    if source is not None:
        rows = [make_row(record) for record in import_jsonl(source)]
        return [row for row in rows if label is None or row.label == label]
    with open_store(place) as opened:
        return list(opened.rows(label=label))


def open_store(place: str | None) -> Store:
    """Open a store to read from.

    Raises
    ------
    StoreError
        Where there is none: opening would make an empty one.
    """
    from pathlib import Path

    from firstgrad.errors import StoreError
    from firstgrad.store import DEFAULT_PATH, Store
    from firstgrad.store.jsonl import is_url

    where = place or DEFAULT_PATH
    if not is_url(where) and not Path(where).exists():
        raise StoreError(f"{where}: there is no store here. Give --store or --from, or measure first")
    return Store.open(where)
