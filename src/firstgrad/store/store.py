"""The store: records go in, one durable transaction each, and are never changed."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from itertools import batched
from typing import TYPE_CHECKING, Self

from sqlalchemy.exc import IntegrityError

from firstgrad.errors import RecordExistsError, StoreError
from firstgrad.row import make_row
from firstgrad.row.text import ROW_VERSION, read_row
from firstgrad.store import statements
from firstgrad.store.document import read_document
from firstgrad.store.engine import make_engine, url_of, writing
from firstgrad.store.migrate import migrate
from firstgrad.store.place import DEFAULT_PATH
from firstgrad.store.problems import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from firstgrad.record import Record, Status
    from firstgrad.row import Row

_PAGE_DOCUMENTS = 100
_PAGE_ROWS = 2000


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
        RecordExistsError
            Where a record of this `record_id` is there already; it stays as it is.
        StoreUnreachableError
            Where the server is away; `firstgrad.store.patient` waits for it.
        StoreError
            Where writing fails.
        """
        with explained(self.place):
            try:
                with writing(self._opened) as connection:
                    statements.insert(connection, record)
            except IntegrityError as error:
                raise RecordExistsError(
                    f"{self.place}: record {record.record_id!r} is already there, and nothing is ever "
                    "overwritten. Give the new sample its own record_id"
                ) from error

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
        wanted = {"case_id": case_id, "label": label, "status": status, "git_commit": git_commit}
        for record_id, document in self._pages(statements.documents_at, _PAGE_DOCUMENTS, record_ids, **wanted):
            record = self._decode(record_id, document)
            if git_commit in (None, record.environment.git_commit):
                yield record

    def rows(
        self, label: str | None = None, question: str | None = None, *, git_commit: str | None = None
    ) -> Iterator[Row]:
        """Read the rows of records, in the order in which these were added; hundreds of times faster than records.

        Parameters
        ----------
        label, question, git_commit
            Only rows that are equal in all that is given.

        Raises
        ------
        StoreError
            Where a record has no row of this firstgrad's and its document is damaged; the error names its `record_id`.
        """
        wanted = {"label": label, "question": question, "git_commit": git_commit}
        for record_id, version, text in self._pages(statements.rows_at, _PAGE_ROWS, **wanted):
            row = self._row(record_id, version, text)
            if question in (None, row.question) and git_commit in (None, row.git_commit):
                yield row

    def get(self, record_id: str) -> Record:
        """Read one record.

        Raises
        ------
        StoreError
            Where it is not there, or damaged.
        """
        with self._reading() as connection:
            document = statements.document(connection, record_id)
        if document is None:
            raise StoreError(f"{self.place}: no record {record_id!r}. `records()` has those that are there")
        return self._decode(record_id, document)

    def __contains__(self, record_id: str) -> bool:
        with self._reading() as connection:
            return statements.document(connection, record_id) is not None

    def __len__(self) -> int:
        with self._reading() as connection:
            return statements.count(connection)

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

    def _pages[T](
        self,
        read: Callable[[Connection, Sequence[int]], list[T]],
        size: int,
        record_ids: Iterable[str] | None = None,
        **wanted: str | None,
    ) -> Iterator[T]:
        with self._reading() as connection:
            positions = statements.positions(connection, record_ids=record_ids, **wanted)
        for part in batched(positions, size):
            with self._reading() as connection:
                page = read(connection, part)
            yield from page

    def _row(self, record_id: str, version: int | None, text: str | None) -> Row:
        if version == ROW_VERSION and text is not None:
            with suppress(ValueError, KeyError, TypeError):  # damaged: then the document may still tell
                return read_row(text)
        return make_row(self.get(record_id))

    def _decode(self, record_id: str, document: str) -> Record:
        return read_document(
            document,
            where=f"{self.place}: record {record_id!r}",
            next_step="Its row is damaged: restore a copy of the store, or delete that row",
        )
