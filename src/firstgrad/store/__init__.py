"""Where records are kept: SQLite by default, PostgreSQL by URL, JSON lines for carrying them about.

`Store` and the schema load SQLAlchemy, so they are imported when they are first asked for: reading an export
or naming the default path does without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firstgrad.store.jsonl import export_jsonl, import_into, import_jsonl, rows_of
from firstgrad.store.patient import add_patiently
from firstgrad.store.place import DEFAULT_PATH

if TYPE_CHECKING:
    from firstgrad.store.schema import STORE_SCHEMA_VERSION
    from firstgrad.store.store import Store

__all__ = [
    "DEFAULT_PATH",
    "STORE_SCHEMA_VERSION",
    "Store",
    "add_patiently",
    "export_jsonl",
    "import_into",
    "import_jsonl",
    "rows_of",
]


def __getattr__(name: str) -> Any:
    if name == "Store":
        from firstgrad.store.store import Store

        return Store
    if name == "STORE_SCHEMA_VERSION":
        from firstgrad.store.schema import STORE_SCHEMA_VERSION

        return STORE_SCHEMA_VERSION
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
