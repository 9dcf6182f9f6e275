"""Where a page's samples come from, and the few whole records that its figures need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from firstgrad.columns import cell_text, cells_of, samples_table
from firstgrad.store.jsonl import import_jsonl, read_document

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd

    from firstgrad.record import Record
    from firstgrad.store import Store


class Source(Protocol):
    """What a page is made of."""

    def samples(self, label: str | None = None) -> pd.DataFrame: ...  # noqa: D102 - see the class

    def records(self, record_ids: Collection[str]) -> list[Record]: ...  # noqa: D102

    def all_records(self, label: str | None = None) -> list[Record]: ...  # noqa: D102


class StoreSource:
    """An open store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def samples(self, label: str | None = None) -> pd.DataFrame:
        """Read all samples, or those of a label."""
        return self._store.samples(label=label)

    def records(self, record_ids: Collection[str]) -> list[Record]:
        """Read whole records; those that aren't there are passed over."""
        return list(self._store.records(record_ids=record_ids))

    def all_records(self, label: str | None = None) -> list[Record]:
        """Read all records, or those of a label: a hundred times slower than samples."""
        return list(self._store.records(label=label))


class ExportSource:
    """A file of JSON lines, never held in memory as a whole: it is read again for each question."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def samples(self, label: str | None = None) -> pd.DataFrame:
        """Read all samples, or those of a label; raises StoreError as `firstgrad.store.import_jsonl` does."""
        cells = map(cells_of, import_jsonl(self._path))
        wanted = None if label is None else cell_text(label)
        return samples_table([sample for sample in cells if wanted in (None, sample["label"])])

    def records(self, record_ids: Collection[str]) -> list[Record]:
        """Read whole records; only those lines are decoded."""
        wanted, records = frozenset(record_ids), []
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip() and json.loads(line).get("record_id") in wanted:
                    where = f"{self._path}: line {number}"
                    records.append(read_document(line, where=where, next_step="Export the file again"))
        return records

    def all_records(self, label: str | None = None) -> list[Record]:
        """Read all records, or those of a label."""
        return [record for record in import_jsonl(self._path) if label in (None, record.environment.label)]
