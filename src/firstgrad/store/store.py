"""The store: records go in, one durable transaction each, and are never changed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from sqlalchemy.exc import IntegrityError

from firstgrad.errors import StoreError
from firstgrad.store import rows
from firstgrad.store.document import read_document
from firstgrad.store.engine import make_engine, url_of, writing
from firstgrad.store.migrate import migrate
from firstgrad.store.place import DEFAULT_PATH
from firstgrad.store.problems import explained

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from firstgrad.record import Record, Status

_PAGE_ROWS = 100


class Store:
    """Records in a SQLite file or a PostgreSQL database; make one with `Store.open`.

    Several processes may have the same store open, and all of them may add to it. Close it, or use it in a
    ``with`` statement.

    Parameters
    ----------
    engine : Engine
        Connections to tables of the right version.
    place : str
        Path or URL without password, for messages.
    """

    def __init__(self, engine: Engine, place: str) -> None:
        self._engine: Engine | None = engine
        self.place = place

    @classmethod
    def open(cls, url_or_path: str | Path = DEFAULT_PATH, *, busy_timeout_seconds: float = 60.0) -> Self:
        """Open a store, creating it (and its folder) where there is none.

        Parameters
        ----------
        url_or_path : str or Path
            A path of a SQLite file, ``sqlite:///PATH`` or ``postgresql://USER@HOST/DATABASE``.
        busy_timeout_seconds : float
            How long to wait while another process writes to the same SQLite file.

        Raises
        ------
        SchemaTooNewError
            Where a newer firstgrad wrote it.
        StoreError
            Where it cannot be opened or is something else.
        """
        url = url_of(url_or_path)
        is_file = url.get_backend_name() == "sqlite" and url.database
        place = str(url.database if is_file else url.render_as_string(hide_password=True))
        engine = make_engine(url, busy_timeout_seconds=busy_timeout_seconds)
        try:
            with explained(place):
                migrate(engine, place=place)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, place)

    def add(self, record: Record) -> None:
        """Keep a record: on the disk, in one transaction, when this returns.

        Raises
        ------
        StoreError
            Where a record of this `record_id` is there already (it stays as it is), or writing fails.
        """
        with explained(self.place):
            try:
                with writing(self._opened) as connection:
                    rows.insert(connection, record)
            except IntegrityError as error:
                raise StoreError(
                    f"{self.place}: record {record.record_id!r} is already there, and nothing is ever "
                    "overwritten. Give the new sample its own record_id"
                ) from error

    def records(
        self, case_id: str | None = None, label: str | None = None, status: Status | None = None
    ) -> Iterator[Record]:
        """Read records in the order in which they were added.

        They are read page by page, with no transaction open in between; what is added meanwhile is left out.

        Parameters
        ----------
        case_id, label, status
            Only records that are equal in all that is given.

        Raises
        ------
        StoreError
            Where a document is damaged; the error names its `record_id`.
        """
        where = rows.conditions(case_id, label, status)
        with self._reading() as connection:
            last = rows.last_position(connection)
        position, found = 0, True
        while found:
            with self._reading() as connection:
                page = rows.page(connection, where, after=position, until=last, size=_PAGE_ROWS)
            for position, record_id, document in page:  # noqa: B007 - the last one is where the next page begins
                yield self._decode(record_id, document)
            found = len(page) == _PAGE_ROWS

    def get(self, record_id: str) -> Record:
        """Read one record.

        Raises
        ------
        StoreError
            Where it is not there, or damaged.
        """
        with self._reading() as connection:
            document = rows.document(connection, record_id)
        if document is None:
            raise StoreError(f"{self.place}: no record {record_id!r}. `records()` has those that are there")
        return self._decode(record_id, document)

    def __contains__(self, record_id: str) -> bool:
        with self._reading() as connection:
            return rows.document(connection, record_id) is not None

    def __len__(self) -> int:
        with self._reading() as connection:
            return rows.count(connection)

    def __bool__(self) -> bool:
        return True  # an empty store is a store

    def close(self) -> None:
        """Close all connections; closing twice does nothing."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _opened(self) -> Engine:
        if self._engine is None:
            raise StoreError(f"{self.place}: this store was closed. Open it again with Store.open")
        return self._engine

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with explained(self.place), self._opened.connect() as connection:
            yield connection

    def _decode(self, record_id: str, document: str) -> Record:
        return read_document(
            document,
            where=f"{self.place}: record {record_id!r}",
            next_step="Its row is damaged: restore a copy of the store, or delete that row",
        )
