"""Records as rows: the statements that `Store` runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, func, select

from firstgrad.case import describe_model
from firstgrad.codec import to_json
from firstgrad.store.schema import records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from firstgrad.record import Record, Status


def insert(connection: Connection, record: Record) -> None:
    """Add a row; the database refuses a `record_id` that is already there."""
    connection.execute(records.insert().values(**row_of(record)))


def row_of(record: Record) -> dict[str, Any]:
    """Take from a record what its row holds."""
    return {
        "record_id": column_text(record.record_id),
        "case_id": record.case.id,
        "started_at": column_text(record.started_at),
        "status": str(record.status),
        "label": column_text(record.environment.label),
        "backend": str(record.case.backend),
        "scenario": str(record.case.scenario),
        "model": column_text(describe_model(record.case.model)),
        "host": record.environment.host.digest,
        "schema_version": record.schema_version,
        "document": to_json(record),
    }


def column_text(text: str) -> str:
    r"""Write what databases refuse in a text (NUL, halves of surrogate pairs) as ``\x00``, ``\udcff``.

    Such a label comes from a command line that was not UTF-8; the document keeps the original.
    """
    return text.replace("\0", r"\x00").encode("utf-8", "backslashreplace").decode()


def conditions(case_id: str | None, label: str | None, status: Status | None) -> list[ColumnElement[bool]]:
    """Which rows are wanted: equal in everything that is given."""
    wanted = {"case_id": case_id, "label": label, "status": status}
    return [records.c[name] == column_text(value) for name, value in wanted.items() if value is not None]


def last_position(connection: Connection) -> int:
    """Position of the newest row, 0 where there is none."""
    return connection.execute(select(func.max(records.c.position))).scalar_one() or 0


def page(
    connection: Connection, where: Sequence[ColumnElement[bool]], *, after: int, until: int, size: int
) -> list[tuple[int, str, str]]:
    """Read the next rows: position, record_id and document, in insertion order."""
    found = connection.execute(
        select(records.c.position, records.c.record_id, records.c.document)
        .where(records.c.position > after, records.c.position <= until, *where)
        .order_by(records.c.position)
        .limit(size)
    )
    return [(position, record_id, document) for position, record_id, document in found]


def document(connection: Connection, record_id: str) -> str | None:
    """Read one document, none where this `record_id` is not there."""
    return connection.execute(
        select(records.c.document).where(records.c.record_id == column_text(record_id))
    ).scalar_one_or_none()


def count(connection: Connection) -> int:
    """How many rows there are."""
    return connection.execute(select(func.count()).select_from(records)).scalar_one()
