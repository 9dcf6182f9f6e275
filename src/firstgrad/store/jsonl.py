"""Records as lines of JSON, one a line: what is carried to another machine or attached to a report."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from firstgrad.codec import to_json
from firstgrad.errors import StoreError
from firstgrad.row import make_row
from firstgrad.store.document import read_document
from firstgrad.store.place import make_folder_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from firstgrad.record import Record
    from firstgrad.row import Row
    from firstgrad.store.store import Store


def export_jsonl(records: Iterable[Record], path: str | Path) -> int:
    """Write records to a file, all or nothing.

    They go to a file beside it that takes its place at the end: whatever goes wrong before leaves the old
    file as it was.

    Parameters
    ----------
    records : iterable of Record
        For example `Store.records()`.
    path : str or Path
        The file; one that is there is replaced.

    Returns
    -------
    int
        How many were written.

    Raises
    ------
    StoreError
        Where the file cannot be written.
    """
    path = Path(path)
    make_folder_of(path)
    beside = path.with_name(f".{path.name}.{uuid4().hex}.part")
    written = 0
    try:
        with beside.open("xb") as file:
            for record in records:
                file.write(to_json(record).encode() + b"\n")
                written += 1
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror or error}). Give a path in a folder that you may write to"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    return written


def import_jsonl(path: str | Path) -> Iterator[Record]:
    """Read what `export_jsonl` wrote, line by line; blank lines are passed over.

    Raises
    ------
    SchemaTooNewError
        Where a newer firstgrad wrote a line.
    StoreError
        Where the file cannot be read or a line is no record; the error names the file and the line's number.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield read_document(
                        line,
                        where=f"{path}: line {number}",
                        next_step="Export the file again, or delete that line",
                    )
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror or error}). Give the path of a file that an export wrote"
        ) from error


def rows_of(records: Iterable[Record]) -> Iterator[Row]:
    """Make the rows of records that are in no store, for example those of an export.

    Yields
    ------
    Row
        As `Store.rows` would give them.
    """
    return map(make_row, records)


def import_into(store: Store, path: str | Path) -> tuple[int, int]:
    """Add the records of a file to a store, passing over each `record_id` that is already there.

    Each record is its own transaction: after an error, those before the bad line are in the store, and the
    next import passes over them.

    Returns
    -------
    added, skipped : int
        How many were new, and how many were there.

    Raises
    ------
    StoreError
        As `import_jsonl` and `Store.add` do.
    """
    added = skipped = 0
    for record in import_jsonl(path):
        if record.record_id in store:
            skipped += 1
        else:
            store.add(record)
            added += 1
    return added, skipped
