"""What a database says, in words a user can act on."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from firstgrad.errors import StoreError, StoreUnreachableError

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

_AWAY_STATES = ("08", "57P01", "57P02", "57P03", "57P05", "53300")
"""How the SQLSTATE begins where a PostgreSQL server is away for a while: class 08 is of connections, 57P of shutdowns
and starts, 53300 says that it has too many connections (PostgreSQL's documentation, appendix A)."""
_REFUSALS = (
    "authentication failed",
    "no password supplied",
    "pg_hba.conf",
    "does not exist",
    "permission denied for database",
    "invalid connection option",
    "certificate",
)
"""What a server says that is there, but never lets one in; no SQLSTATE comes with a connection that failed."""


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn the database's errors into `StoreError`, or `StoreUnreachableError` where its server is away.

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
        if isinstance(error, DBAPIError) and _is_away(error):
            raise StoreUnreachableError(
                f"{place}: its server is not reached, or went away ({detail}). See that it runs, then try again"
            ) from error
        raise StoreError(f"{place}: {detail}. Check the path or URL, and that its server runs") from error


def _is_away(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(_AWAY_STATES)
    if error.connection_invalidated:
        return True
    return isinstance(error, OperationalError) and not any(each in str(error.orig) for each in _REFUSALS)


def not_a_store(place: str) -> StoreError:
    """Describe a database that holds something else."""
    return StoreError(
        f"{place}: this database holds other tables than a firstgrad store's. Nothing was changed; give a "
        "path or a database of its own"
    )
