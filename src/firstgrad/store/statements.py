"""The statements that `Store` runs."""

from __future__ import annotations

import itertools
from itertools import batched
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, func, or_, select

from firstgrad.codec import to_json
from firstgrad.row import make_row
from firstgrad.row.text import ROW_VERSION, write_row
from firstgrad.store.schema import records, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from firstgrad.record import Record

_MOST_NAMES = 500
"""Databases limit how many parameters a statement has."""


def insert(connection: Connection, record: Record) -> None:
    """Add a record and its row; the database refuses a `record_id` that is already there."""
    added = records.insert().values(**record_columns(record)).returning(records.c.position)
    position = connection.execute(added).scalar_one()
    connection.execute(rows.insert().values(position=position, **row_columns(record)))


def record_columns(record: Record) -> dict[str, Any]:
    """Take from a record what the table `records` holds, all but its position."""
    return {
        "record_id": column_text(record.record_id),
        "case_id": record.case.id,
        "started_at": column_text(record.started_at),
        "status": str(record.status),
        "label": column_text(record.environment.label),
        "backend": str(record.case.backend),
        "scenario": str(record.case.scenario),
        "model": column_text(str(record.case.model)),
        "host": record.environment.host.digest,
        "schema_version": record.schema_version,
        "document": to_json(record),
    }


def row_columns(record: Record) -> dict[str, Any]:
    """Take from a record what the table `rows` holds, all but its position."""
    row = make_row(record)
    return {
        "question": row.question,
        "conditions": row.conditions,
        "git_commit": column_text(row.git_commit),
        "row_version": ROW_VERSION,
        "row": write_row(row),
    }


def column_text(text: str) -> str:
    r"""Write what databases refuse in a text (NUL, halves of surrogate pairs) as ``\x00``, ``\udcff``.

    Such a label comes from a command line that was not UTF-8; the document keeps the original.
    """
    return text.replace("\0", r"\x00").encode("utf-8", "backslashreplace").decode()


def positions(
    connection: Connection,
    *,
    record_ids: Iterable[str] | None = None,
    question: str | None = None,
    git_commit: str | None = None,
    **equal: str | None,
) -> list[int]:
    """Find the positions of records that may be wanted, in insertion order.

    Equal in all columns of `records` that are given. A record without a row of this version is among them whatever its
    question and commit are: only its document tells.
    """
    where = [records.c[name] == column_text(value) for name, value in equal.items() if value is not None]
    is_told = select(rows.c.position).where(rows.c.row_version == ROW_VERSION)
    for name, value in {"question": question, "git_commit": git_commit}.items():
        if value is not None:
            found = select(rows.c.position).where(rows.c[name] == column_text(value))
            where.append(or_(records.c.position.in_(found), records.c.position.not_in(is_told)))
    if record_ids is None:
        return _positions(connection, where)
    names = {column_text(each) for each in record_ids}
    parts = (_positions(connection, [*where, records.c.record_id.in_(part)]) for part in batched(names, _MOST_NAMES))
    return sorted(itertools.chain.from_iterable(parts))


def _positions(connection: Connection, where: Sequence[ColumnElement[bool]]) -> list[int]:
    found = connection.execute(select(records.c.position).where(*where).order_by(records.c.position))
    return list(found.scalars())


def documents_at(connection: Connection, wanted: Sequence[int]) -> list[tuple[str, str]]:
    """Read record_id and document at some sorted positions, in insertion order."""
    found = connection.execute(
        select(records.c.record_id, records.c.document).where(_is_at(wanted)).order_by(records.c.position)
    )
    return [(record_id, document) for record_id, document in found]


def rows_at(connection: Connection, wanted: Sequence[int]) -> list[tuple[str, int | None, str | None]]:
    """Read record_id, version and text of the rows at some sorted positions; none where there is no row."""
    found = connection.execute(
        select(records.c.record_id, rows.c.row_version, rows.c.row)
        .select_from(records.outerjoin(rows))
        .where(_is_at(wanted))
        .order_by(records.c.position)
    )
    return [(record_id, version, text) for record_id, version, text in found]


def _is_at(wanted: Sequence[int]) -> ColumnElement[bool]:
    if wanted[-1] - wanted[0] < len(wanted):  # without gaps: no need to name each
        return records.c.position.between(wanted[0], wanted[-1])
    return records.c.position.in_(wanted)


def document(connection: Connection, record_id: str) -> str | None:
    """Read one document, none where this `record_id` is not there."""
    return connection.execute(
        select(records.c.document).where(records.c.record_id == column_text(record_id))
    ).scalar_one_or_none()


def count(connection: Connection) -> int:
    """How many records there are."""
    return connection.execute(select(func.count()).select_from(records)).scalar_one()
