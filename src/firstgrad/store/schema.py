"""The tables, as SQLAlchemy Core writes them for SQLite and PostgreSQL.

A record's document holds everything; the other columns repeat what rows are found by.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, MetaData, Table, Text

STORE_SCHEMA_VERSION = 1
"""Version of these tables; `firstgrad.record.SCHEMA_VERSION` is that of the documents in them.

1. The first: `meta`, and `records` with one JSON document a row and the columns that rows are found by.
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
