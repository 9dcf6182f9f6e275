"""The database behind a store: durable connections, explicit transactions, and its errors in words to act on."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError

from firstgrad.errors import StoreError, StoreUnreachableError
from firstgrad.store.files import make_folder_of
from firstgrad.store.jsonl import is_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

_FORMS = "sqlite:///PATH or postgresql://USER@HOST/DATABASE"
_BEGIN = "firstgrad_begin"
_WAL_RETRY_SECONDS = 0.01
_POSTGRESQL = {
    "connect_timeout": 30,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""After a minute of silence a connection is lost; by libpq's defaults, that takes hours where a network is cut."""


def url_of(url_or_path: str | Path) -> URL:
    """Find the SQLAlchemy URL of a store.

    Raises
    ------
    StoreError
        Where it is neither a path nor the URL of a SQLite or PostgreSQL database.
    """
    if not is_url(url_or_path):
        # Made from parts: a path may hold characters that mean something in a URL
        return URL.create("sqlite", database=str(Path(url_or_path).expanduser().absolute()))
    try:
        url = make_url(str(url_or_path))
    except (ArgumentError, ValueError) as error:
        raise StoreError(
            # Not the whole: it may hold a password
            f"{str(url_or_path).partition('://')[0]}://...: not a database URL. Write {_FORMS}"
        ) from error
    name = url.get_backend_name()
    if name not in {"sqlite", "postgresql"}:
        raise StoreError(f"{url}: {name!r} is no database that firstgrad keeps records in. Write {_FORMS}")
    try:
        is_async = url.get_dialect().is_async
    except NoSuchModuleError:
        is_async = None
    if is_async is not False:
        raise StoreError(
            f"{url}: {url.get_driver_name()!r} is no driver that firstgrad can use. Leave it out, as in "
            "postgresql://USER@HOST/DATABASE"
        )
    # SQLAlchemy 2.0 and 2.1 differ in the driver they take when none is named
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def make_engine(url: URL, *, busy_timeout_seconds: float) -> Engine:
    """Prepare connections to a store, and the folder of its file.

    Parameters
    ----------
    url : URL
        What `url_of` found.
    busy_timeout_seconds : float
        How long SQLite waits for another writer.

    Raises
    ------
    StoreError
        Where the folder cannot be created or the database's driver is not installed.
    """
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite and url.database and url.database != ":memory:" and "uri" not in url.query:
        make_folder_of(Path(url.database))
    try:
        if not is_sqlite:
            options = {name: value for name, value in _POSTGRESQL.items() if name not in url.query}
            is_libpq = url.get_driver_name() in {"psycopg", "psycopg2"}
            return create_engine(url, pool_pre_ping=True, connect_args=options if is_libpq else {})
        engine = create_engine(url, connect_args={"timeout": busy_timeout_seconds})
    except (ArgumentError, TypeError, ValueError) as error:
        raise StoreError(f"{url}: not a database URL ({error}). Write {_FORMS}") from error
    except ImportError as error:
        raise StoreError(
            f"{url}: needs the driver {error.name!r}, which is not here. Install it: pip install 'psycopg[binary]'"
        ) from error
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def writing(engine: Engine) -> AbstractContextManager[Connection]:
    """Begin a transaction that writes: SQLite takes its lock at once, so waiting for it cannot deadlock."""
    return engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}).begin()


def use_wal(engine: Engine) -> None:
    """Let readers and a writer of a SQLite file work side by side; the file remembers it.

    While another process prepares to write, SQLite refuses this at once, whatever its busy timeout (it would be
    a deadlock, were both to wait): so the waiting is done here, for the same time.
    """
    if engine.dialect.name != "sqlite":
        return
    # Without a transaction: within one, SQLite does not change it
    with engine.execution_options(**{_BEGIN: ""}).connect() as connection:
        patience_seconds = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() / 1000
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            except OperationalError as error:
                if "locked" not in str(error.orig) or time.monotonic() >= deadline:
                    raise
                time.sleep(_WAL_RETRY_SECONDS)
            else:
                return


def _set_up_sqlite(connection: Any, _: object) -> None:
    # Off: the driver's own idea of when to begin; `_begin_sqlite` says it
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")


def _begin_sqlite(connection: Connection) -> None:
    if statement := connection.get_execution_options().get(_BEGIN, "BEGIN"):
        connection.exec_driver_sql(statement)


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
    return isinstance(error, OperationalError) and not any(refusal in str(error.orig) for refusal in _REFUSALS)
