"""Version 1 to 2: a row beside each record."""

from __future__ import annotations

from itertools import batched
from typing import TYPE_CHECKING

from firstgrad.errors import StoreError
from firstgrad.store import statements
from firstgrad.store.document import read_document
from firstgrad.store.schema import rows

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PAGE_ROWS = 100


def add_rows(connection: Connection) -> None:
    """Create the table `rows` and fill it from the documents.

    A damaged document gets a row of NULLs: it is named when somebody asks for it, and costs nobody the others.
    """
    # A later version that changes this table must write out here what it was.
    rows.create(connection)
    for part in batched(statements.positions(connection), _PAGE_ROWS):
        documents = statements.documents_at(connection, part)
        filled = [
            {"position": position, **_columns(record_id, document)}
            for position, (record_id, document) in zip(part, documents, strict=True)
        ]
        for each in filled:
            connection.execute(rows.insert().values(**each))


def _columns(record_id: str, document: str) -> dict[str, object]:
    try:
        return statements.row_columns(read_document(document, where=record_id, next_step=""))
    except StoreError:
        return {}
