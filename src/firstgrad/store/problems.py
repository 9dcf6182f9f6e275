"""What a database says, in words a user can act on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from firstgrad.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_PERMISSION = "Check that you may write to the file and its folder, or copy the store to a folder of yours"
_CATALOGUE = (
    (
        "file is not a database",
        "not an SQLite file, so no firstgrad store. Give another path or move it away",
    ),
    ("malformed", "the file is damaged. Restore a copy, or save what is left: sqlite3 FILE .recover"),
    ("readonly database", f"may not be written. {_NO_PERMISSION}"),
    ("unable to open database file", f"cannot be opened or created as a file. {_NO_PERMISSION}"),
    ("database is locked", "another program keeps it locked. Let that program end, then try again"),
    ("disk is full", "the disk is full. Free some space, then try again"),
    ("disk I/O error", "the disk could not be read or written. Check it and its quota, then try again"),
)
"""What SQLite says, and what we say instead: the problem and the next step."""


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn the database's errors into `StoreError`.

    Parameters
    ----------
    place : str
        The store's path or URL (without password), which every message begins with.
    """
    try:
        yield
    except SQLAlchemyError as error:
        # Never str(error): it repeats the statement and the whole document
        detail = str(error.orig if isinstance(error, DBAPIError) else error).strip().partition("\n")[0]
        for fragment, problem in _CATALOGUE:
            if fragment in detail:
                raise StoreError(f"{place}: {problem}") from error
        raise StoreError(f"{place}: {detail}. Check the path or URL, and that its server runs") from error


def not_a_store(place: str) -> StoreError:
    """Describe a database that holds something else."""
    return StoreError(
        f"{place}: this database holds other tables than a firstgrad store's. Nothing was changed; give a "
        "path or a database of its own"
    )
