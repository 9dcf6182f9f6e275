"""Connections: durable, patient with other writers, and explicit about when a transaction begins."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from firstgrad.errors import StoreError
from firstgrad.store.place import is_url, make_folder_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

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
            f"{str(url_or_path).partition('://')[0]}://...: not a database URL. Write sqlite:///PATH or "
            "postgresql://USER@HOST/DATABASE"
        ) from error
    name = url.get_backend_name()
    if name not in {"sqlite", "postgresql"}:
        raise StoreError(
            f"{url}: {name!r} is no database that firstgrad keeps records in. Write sqlite:///PATH or "
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
            told = {name: value for name, value in _POSTGRESQL.items() if name not in url.query}
            is_libpq = url.get_driver_name() in {"psycopg", "psycopg2"}
            return create_engine(url, pool_pre_ping=True, connect_args=told if is_libpq else {})
        engine = create_engine(url, connect_args={"timeout": busy_timeout_seconds})
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
