"""The tables, as SQLAlchemy Core writes them for SQLite and PostgreSQL.

A record's document holds everything; the other columns, and the table `rows`, repeat what is often asked for.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, MetaData, Table, Text

STORE_SCHEMA_VERSION = 2
"""Version of these tables; `firstgrad.record.SCHEMA_VERSION` is that of the documents in them.

1. The first: `meta`, and `records` with one JSON document a row and the columns that rows are found by.
2. `rows`: what tables need of a record, so that they need not read its document, which is forty times as long.
"""

APPLICATION = "firstgrad"
"""Value of the row `application` in `meta`: tells a store from some other program's tables."""

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Two rows: `application` and `schema_version`."""

records = Table(
    "records",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("record_id", Text, nullable=False, unique=True),
    Column("case_id", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("backend", Text, nullable=False),
    Column("scenario", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Index("ix_records_case_id_status", "case_id", "status"),
    Index("ix_records_label", "label"),
    sqlite_autoincrement=True,
)
"""One row a sample. `position` counts insertions and keeps their order; `record_id` is unique."""

rows = Table(
    "rows",
    metadata,
    Column(
        "position",
        Integer,
        ForeignKey("records.position", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("question", Text),
    Column("conditions", Text),
    Column("git_commit", Text),
    Column("row_version", Integer),
    Column("row", Text),
    Index("ix_rows_question", "question"),
    Index("ix_rows_git_commit", "git_commit"),
)
"""`firstgrad.row.Row` of each record, by the same `position`, written in the way of its `row_version`.

A table of its own: within `records`, SQLite would read every document on its way to the rows. All is NULL where the
document could not be read; where a firstgrad that knows no rows added a record, there is none.
"""
