"""Where records are kept: SQLite by default, PostgreSQL by URL, JSON lines for carrying them about.

`Store` loads SQLAlchemy, so it is imported when it is first asked for: reading an export
or naming the default path does without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firstgrad.store.address import DEFAULT_PATH, StoreAddress
from firstgrad.store.jsonl import export_jsonl, import_jsonl
from firstgrad.store.keeping import Keeper, import_into

if TYPE_CHECKING:
    from firstgrad.store.store import Store

__all__ = [
    "DEFAULT_PATH",
    "Keeper",
    "Store",
    "StoreAddress",
    "export_jsonl",
    "import_into",
    "import_jsonl",
]


def __getattr__(name: str) -> Any:
    if name == "Store":
        from firstgrad.store.store import Store

        return Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
