"""Brings a store's tables to the version that this firstgrad knows.

To add version 3: change `firstgrad.store.schema` (tables, number, reason), write one function in a module of its own
that turns the tables of version 2 into those of version 3, and enter it as ``STEPS[3]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sqlalchemy import func, inspect, select

from firstgrad.errors import SchemaTooNewError
from firstgrad.store.engine import use_wal, writing
from firstgrad.store.problems import not_a_store
from firstgrad.store.schema import APPLICATION, STORE_SCHEMA_VERSION, meta, metadata
from firstgrad.store.step_2 import add_rows

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

type Step = Callable[["Connection"], None]

STEPS: Mapping[int, Step] = {2: add_rows}
"""By version: turns the tables of the version before into this one's. Runs within a transaction."""

_POSTGRESQL_LOCK = 0x66697273746772
"""Key of the advisory lock under which tables are created or migrated ("firstgr")."""


def migrate(
    engine: Engine, *, place: str, steps: Mapping[int, Step] = STEPS, target: int = STORE_SCHEMA_VERSION
) -> None:
    """Create the tables where there are none, or bring them to the target version.

    All steps and the new version number are one transaction: a store is never left half-way.

    Parameters
    ----------
    engine : Engine
        Connections to the store.
    place : str
        The store's name in errors.
    steps : mapping of int to Step
        The registry; given by tests.
    target : int
        The wanted version; given by tests.

    Raises
    ------
    SchemaTooNewError
        Where a newer firstgrad wrote the store.
    StoreError
        Where the database holds something else.
    """
    with engine.connect() as connection:
        version = read_version(connection, place)
    if _is_current(version, target, place):
        return
    use_wal(engine)
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_POSTGRESQL_LOCK)))
        version = read_version(connection, place)
        if _is_current(version, target, place):
            return  # another process did it while this one waited for the lock
        if version is None:
            _create(connection, target)
        else:
            _run(connection, steps, version, target)


def read_version(connection: Connection, place: str) -> int | None:
    """Find the version of the tables, none in an empty database.

    Raises
    ------
    StoreError
        Where the tables are not a store's.
    """
    look = inspect(connection)
    tables = set(look.get_table_names())
    if not tables:
        return None
    if not {"meta", "records"} <= tables:
        raise not_a_store(place)
    if {column["name"] for column in look.get_columns("meta")} != set(meta.c.keys()):
        raise not_a_store(place)
    found = {row.name: row.value for row in connection.execute(select(meta.c.name, meta.c.value))}
    version = str(found.get("schema_version", ""))
    if found.get("application") != APPLICATION or not version.isdecimal():
        raise not_a_store(place)
    return int(version)


def _is_current(version: int | None, target: int, place: str) -> bool:
    if version is not None and version > target:
        raise SchemaTooNewError(
            f"{place}: store schema version {version} was written by a newer firstgrad; this one knows up to "
            f"{target}. Upgrade firstgrad (pip install --upgrade firstgrad)"
        )
    return version == target


def _create(connection: Connection, target: int) -> None:
    metadata.create_all(connection)
    rows = {"application": APPLICATION, "schema_version": str(target)}
    connection.execute(meta.insert(), [{"name": name, "value": value} for name, value in rows.items()])


def _run(connection: Connection, steps: Mapping[int, Step], version: int, target: int) -> None:
    for number in range(version + 1, target + 1):
        steps[number](connection)
    connection.execute(meta.update().where(meta.c.name == "schema_version").values(value=str(target)))
