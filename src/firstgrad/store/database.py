"""The database behind a store: durable connections, explicit transactions, and its errors in words to act on."""

from __future__ import annotations

import inspect
import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from firstgrad.errors import StoreError, StoreUnreachableError
from firstgrad.store.address import FORMS
from firstgrad.store.files import make_folder_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from firstgrad.store.address import StoreAddress

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
_ANSWER_SECONDS = 600.0
"""So long may a server that is there take for one answer: one that is stopped answers never."""
_LOCK_WAIT = "60s"


def make_engine(address: StoreAddress, *, busy_timeout_seconds: float) -> Engine:
    """Prepare connections to a store, and the folder of its file.

    Parameters
    ----------
    address : StoreAddress
        Where it is.
    busy_timeout_seconds : float
        How long SQLite waits for another writer, where the address has no ``timeout`` of its own.

    Raises
    ------
    StoreError
        Where the folder cannot be created or the database's driver is not installed.
    """
    url = address.url
    is_sqlite = url.get_backend_name() == "sqlite"
    if address.path is not None:
        make_folder_of(address.path)
    try:
        if not is_sqlite:
            options = {name: value for name, value in _POSTGRESQL.items() if name not in url.query}
            is_libpq = url.get_driver_name() in {"psycopg", "psycopg2"}
            engine = create_engine(url, pool_pre_ping=True, connect_args=options if is_libpq else {})
            event.listen(engine, "connect", _limit_locks)
            if url.get_driver_name() == "psycopg":
                kind = _impatient_connection()
                event.listen(engine, "do_connect", lambda _dialect, _, words, known: kind.connect(*words, **known))
            return engine
        engine = create_engine(url, connect_args={} if "timeout" in url.query else {"timeout": busy_timeout_seconds})
    except (ArgumentError, TypeError, ValueError) as error:
        raise StoreError(f"{address}: not a database URL ({address.scrub(str(error))}). Write {FORMS}") from error
    except ImportError as error:
        raise StoreError(
            f"{address}: needs the driver {error.name!r}, which is not here. Install it: pip install 'psycopg[binary]'"
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


def _limit_locks(connection: Any, _: object) -> None:
    """Let nobody who holds a table's lock keep this one waiting for ever."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{_LOCK_WAIT}'")
    connection.commit()


def _impatient_connection() -> Any:
    """Make psycopg's connections give up where a server is stopped; old releases of it can't."""
    from psycopg import Connection, OperationalError

    class Impatient(Connection[Any]):
        def wait(self, *given: Any, **known: Any) -> Any:
            until = time.monotonic() + _ANSWER_SECONDS
            try:
                return super().wait(*given, **{"timeout": _ANSWER_SECONDS} | known)
            except OperationalError as error:
                if time.monotonic() < until:
                    raise
                self.close()  # or rolling back would wait again
                raise OperationalError(f"no answer within {_ANSWER_SECONDS:g} s") from error

    return Impatient if "timeout" in inspect.signature(Connection.wait).parameters else Connection


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

_AWAY_STATES = ("08", "57P01", "57P02", "57P03", "57P05", "53300", "55P03")
"""How the SQLSTATE begins where a PostgreSQL server is away for a while: class 08 is of connections, 57P of shutdowns
and starts, 53300 says that it has too many connections, 55P03 that somebody keeps a lock (PostgreSQL's documentation,
appendix A)."""
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
def explained(address: StoreAddress) -> Iterator[None]:
    """Turn the database's errors into `StoreError`, or `StoreUnreachableError` where its server is away.

    Parameters
    ----------
    address : StoreAddress
        The store's, which every message begins with; what else is said of it is without its secrets, too.
    """
    try:
        yield
    except SQLAlchemyError as error:
        # Never str(error): it repeats the statement and the whole document
        detail = str(error.orig if isinstance(error, DBAPIError) else error).strip().partition("\n")[0]
        detail = address.scrub(detail)
        for fragment, problem in _CATALOGUE:
            if fragment in detail:
                raise StoreError(f"{address}: {problem}") from error
        if isinstance(error, DBAPIError) and _is_away(error):
            raise StoreUnreachableError(
                f"{address}: its server is not reached, or went away ({detail}). See that it runs, then try again"
            ) from error
        raise StoreError(f"{address}: {detail}. Check the path or URL, and that its server runs") from error


def _is_away(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(_AWAY_STATES)
    if error.connection_invalidated:
        return True
    return isinstance(error, OperationalError) and not any(refusal in str(error.orig) for refusal in _REFUSALS)
