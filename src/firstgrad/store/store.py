"""The store: records go in, one durable transaction each, and are never changed; a samples table comes out.

A record's document holds everything. The table `samples` has `firstgrad.columns` of each record as real columns, so
that 100,000 samples are read in seconds. It is a table of its own: within `records`, SQLite would read every document,
which is forty times as long, on its way to them.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager, suppress
from itertools import batched
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, MetaData, Table, Text, func, inspect, select
from sqlalchemy.exc import IntegrityError

from firstgrad.codec import to_json
from firstgrad.columns import AT_LEAST, COLUMNS, METRICS, Cell, Unit, cell_text, cells_of, samples_table
from firstgrad.errors import RecordExistsError, StoreError
from firstgrad.record import SCHEMA_VERSION
from firstgrad.store.address import StoreAddress
from firstgrad.store.database import explained, make_engine, use_wal, writing
from firstgrad.store.jsonl import check_version, read_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd
    from sqlalchemy import ColumnElement, Connection, Engine

    from firstgrad.record import Record, Status

_APPLICATION = "firstgrad"
"""Value of the row `application` in `meta`: tells a store from some other program's tables."""
_POSTGRESQL_LOCK = 0x66697273746772
"""Key of the advisory lock under which tables are created ("firstgr")."""
_PAGE_DOCUMENTS = 100
_LONGEST_VERSION = 9
_MOST_NAMES = 500
"""Databases limit how many parameters a statement has."""

_metadata = MetaData()
_meta = Table("meta", _metadata, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))
_records = Table(
    "records",
    _metadata,
    # Counts insertions and keeps their order.
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("record_id", Text, nullable=False, unique=True),
    Column("document", Text, nullable=False),
    sqlite_autoincrement=True,
)
_samples = Table(
    "samples",
    _metadata,
    Column("position", Integer, ForeignKey("records.position", ondelete="CASCADE"), primary_key=True),
    *(Column(column.name, Text if column.unit is Unit.TEXT else Float) for column in COLUMNS),
    *(Column(metric.name + AT_LEAST, Float) for metric in METRICS),
    *(Index(f"ix_samples_{name}", name) for name in ("question", "label", "git_commit")),
)


class Store:
    """Records in a SQLite file or a PostgreSQL database; make one with `Store.open`.

    Several processes may have the same store open, and all of them may add to it. Close it, or use it in a
    ``with`` statement.

    Parameters
    ----------
    engine : Engine
        Connections to tables of the right version.
    address : StoreAddress
        Where it is.
    """

    def __init__(self, engine: Engine, address: StoreAddress) -> None:
        self._engine: Engine | None = engine
        self.address = address
        self._file, *self._logs = map(_identify, _files_of(address))

    @classmethod
    def open(cls, place: StoreAddress | str | Path | None = None, *, busy_timeout_seconds: float = 60.0) -> Self:
        """Open a store, creating it (and its folder) where there is none.

        Parameters
        ----------
        place : StoreAddress, str or Path, optional
            A path of a SQLite file, ``sqlite:///PATH`` or ``postgresql://USER@HOST/DATABASE``; `DEFAULT_PATH` where
            left out.
        busy_timeout_seconds : float
            How long to wait while another process writes to the same SQLite file.

        Raises
        ------
        SchemaTooNewError
            Where a newer firstgrad wrote it.
        StoreError
            Where it cannot be opened or is something else.
        """
        address = StoreAddress.of(place)
        engine = make_engine(address, busy_timeout_seconds=busy_timeout_seconds)
        try:
            with explained(address):
                _prepare(engine, address)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, address)

    @property
    def is_lost(self) -> bool:
        """Whether the file was removed or replaced since it was opened: what is added goes to where nobody finds it."""
        return self._file is not None and _identify(self.address.path) != self._file

    def add(self, record: Record) -> None:
        """Keep a record: on the disk, in one transaction, when this returns.

        Raises
        ------
        RecordExistsError
            Where a record of this `record_id` is there already; it stays as it is.
        StoreUnreachableError
            Where the server is away; `firstgrad.store.patient` waits for it.
        StoreError
            Where writing fails.
        """
        document = {"record_id": cell_text(record.record_id), "document": to_json(record)}
        cells = cells_of(record)
        with explained(self.address):
            try:
                with writing(self._opened) as connection:
                    added = _records.insert().values(document).returning(_records.c.position)
                    position = connection.execute(added).scalar_one()
                    connection.execute(_samples.insert().values(position=position, **cells))
            except IntegrityError as error:
                raise RecordExistsError(
                    f"{self.address}: record {record.record_id!r} is already there, and nothing is ever "
                    "overwritten. Give the new sample its own record_id"
                ) from error

    def samples(self, **equal: str | None) -> pd.DataFrame:
        """Return the samples as a data frame, a line each, in the order in which they were added.

        Parameters
        ----------
        **equal : str, optional
            Only samples whose column of this name has this value, such as ``label="main"``.

        Returns
        -------
        pandas.DataFrame
            As `firstgrad.columns.samples_table` makes it.
        """
        return samples_table(self.cells(**equal))

    def cells(self, **equal: str | None) -> list[dict[str, Cell]]:
        """Return what `samples` is made of, without pandas: a dictionary a sample."""
        with self._reading() as connection:
            lines = connection.execute(select(_samples).where(*_where(equal)).order_by(_samples.c.position))
            names = list(lines.keys())[1:]
            return [dict(zip(names, line[1:], strict=True)) for line in lines]

    def records(
        self,
        case_id: str | None = None,
        label: str | None = None,
        status: Status | None = None,
        *,
        git_commit: str | None = None,
        record_ids: Iterable[str] | None = None,
    ) -> Iterator[Record]:
        """Read records in the order in which they were added.

        They are read page by page, with no transaction open in between; what is added meanwhile is left out.

        Parameters
        ----------
        case_id, label, status, git_commit
            Only records that are equal in all that is given.
        record_ids : iterable of str, optional
            Only these; one that is not there is passed over.

        Raises
        ------
        StoreError
            Where a document is damaged; the error names its `record_id`.
        """
        where = _where({"case_id": case_id, "label": label, "status": status, "git_commit": git_commit})
        with self._reading() as connection:
            positions = _positions(connection, where, record_ids)
        for page in batched(positions, _PAGE_DOCUMENTS):
            with self._reading() as connection:
                documents = _documents(connection, page)
            for record_id, document in documents:
                yield self._decode(record_id, document)

    def get(self, record_id: str) -> Record:
        """Read one record; raise StoreError where it is not there, or damaged."""
        with self._reading() as connection:
            document = _document(connection, record_id)
        if document is None:
            raise StoreError(f"{self.address}: no record {record_id!r}. `records()` has those that are there")
        return self._decode(record_id, document)

    def __contains__(self, record_id: str) -> bool:
        with self._reading() as connection:
            return _document(connection, record_id) is not None

    def __len__(self) -> int:
        with self._reading() as connection:
            return connection.execute(select(func.count()).select_from(_records)).scalar_one()

    def __bool__(self) -> bool:
        return True  # an empty store is a store

    def close(self) -> None:
        """Close all connections; closing twice does nothing."""
        if self._engine is None:
            return
        self._engine.dispose()
        self._engine = None
        if self.is_lost:
            # What SQLite leaves of a lost file it would take for a part of the one that is there now
            for path, log in zip(_files_of(self.address)[1:], self._logs, strict=True):
                if path is not None and log is not None and _identify(path) == log:
                    path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _opened(self) -> Engine:
        if self._engine is None:
            raise StoreError(f"{self.address}: this store was closed. Open it again with Store.open")
        return self._engine

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with explained(self.address), self._opened.connect() as connection:
            yield connection

    def _decode(self, record_id: str, document: str) -> Record:
        return read_document(
            document,
            where=f"{self.address}: record {record_id!r}",
            next_step="Its row is damaged: restore a copy of the store, or delete that row",
        )


def _files_of(address: StoreAddress) -> list[Path | None]:
    """List where SQLite has a database, its log and the log's index; none where it is no file's."""
    path = address.path
    return [path and path.with_name(path.name + ending) for ending in ("", "-wal", "-shm")]


def _identify(path: Path | None) -> tuple[int, int] | None:
    """Say which file is there now; none where there is none."""
    with suppress(OSError):
        if path is not None:
            status = path.stat()
            return status.st_dev, status.st_ino
    return None


def _prepare(engine: Engine, address: StoreAddress) -> None:
    """Create the tables in an empty database; refuse any that aren't a store's of this version."""
    with engine.connect() as connection:
        if _is_there(connection, address) and not _missing_columns(connection):
            return
    use_wal(engine)
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_POSTGRESQL_LOCK)))
        if _is_there(connection, address):  # what another process did while this one waited for the lock is done
            for column in _missing_columns(connection):
                kind = column.type.compile(connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {_samples.name} ADD COLUMN {column.name} {kind}")
            return
        _metadata.create_all(connection)
        lines = {"application": _APPLICATION, "schema_version": str(SCHEMA_VERSION)}
        connection.execute(_meta.insert(), [{"name": name, "value": value} for name, value in lines.items()])


def _missing_columns(connection: Connection) -> list[Column[Any]]:
    """List the columns that a table of samples was made without: none of its samples has anything there."""
    known = {one["name"] for one in inspect(connection).get_columns(_samples.name)}
    return [column for column in _samples.columns if column.name not in known]


def _is_there(connection: Connection, address: StoreAddress) -> bool:
    look = inspect(connection)
    tables = set(look.get_table_names())
    if not tables:
        return False
    other = StoreError(
        f"{address}: this database holds other tables than a firstgrad store's. Nothing was changed; give a "
        "path or a database of its own"
    )
    if not {"meta", "records"} <= tables or {one["name"] for one in look.get_columns("meta")} != set(_meta.c.keys()):
        raise other
    values = {line.name: line.value for line in connection.execute(select(_meta.c.name, _meta.c.value))}
    version = str(values.get("schema_version", ""))
    if values.get("application") != _APPLICATION or not version.isdecimal() or len(version) > _LONGEST_VERSION:
        raise other
    check_version(int(version), str(address))
    return True


def _where(equal: dict[str, Any]) -> list[ColumnElement[bool]]:
    return [_samples.c[name] == cell_text(value) for name, value in equal.items() if value is not None]


def _positions(
    connection: Connection, where: Sequence[ColumnElement[bool]], record_ids: Iterable[str] | None
) -> list[int]:
    def read(*more: ColumnElement[bool]) -> Iterable[int]:
        return connection.execute(select(_samples.c.position).where(*where, *more).order_by("position")).scalars()

    if record_ids is None:
        return list(read())
    names = {cell_text(record_id) for record_id in record_ids}
    parts = (read(_samples.c.record_id.in_(part)) for part in batched(names, _MOST_NAMES))
    return sorted(itertools.chain.from_iterable(parts))


def _documents(connection: Connection, positions: Sequence[int]) -> list[tuple[str, str]]:
    """Read record_id and document at some sorted positions, in insertion order."""
    column = _records.c.position
    # Without gaps there is no need to name each.
    is_whole = positions[-1] - positions[0] < len(positions)
    is_at = column.between(positions[0], positions[-1]) if is_whole else column.in_(positions)
    lines = connection.execute(select(_records.c.record_id, _records.c.document).where(is_at).order_by(column))
    return [(record_id, document) for record_id, document in lines]


def _document(connection: Connection, record_id: str) -> str | None:
    """Read one document, none where this `record_id` is not there."""
    where = _records.c.record_id == cell_text(record_id)
    return connection.execute(select(_records.c.document).where(where)).scalar_one_or_none()
