"""Where a page's rows come from, and the few whole records that its figures need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from firstgrad.columns import samples_table
from firstgrad.row import make_row
from firstgrad.store import import_jsonl
from firstgrad.store.jsonl import read_document

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd

    from firstgrad.record import Record
    from firstgrad.row import Row
    from firstgrad.store import Store


class Source(Protocol):
    """What a page is made of."""

    def rows(self, label: str | None = None) -> list[Row]: ...  # noqa: D102 - see the class

    def records(self, record_ids: Collection[str]) -> list[Record]: ...  # noqa: D102

    def samples(self, questions: Collection[str]) -> pd.DataFrame: ...  # noqa: D102

    def all_records(self, label: str | None = None) -> list[Record]: ...  # noqa: D102


class StoreSource:
    """An open store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def rows(self, label: str | None = None) -> list[Row]:
        """Read all rows, or those of a label."""
        return list(self._store.rows(label))

    def samples(self, questions: Collection[str]) -> pd.DataFrame:
        """Read the samples of some questions as a data frame."""
        return samples_table([cells for question in questions for cells in self._store.cells(question=question)])

    def records(self, record_ids: Collection[str]) -> list[Record]:
        """Read whole records; those that aren't there are passed over."""
        return list(self._store.records(record_ids=record_ids))

    def all_records(self, label: str | None = None) -> list[Record]:
        """Read all records, or those of a label: a hundred times slower than rows."""
        return list(self._store.records(label=label))


class ExportSource:
    """A file of JSON lines, never held in memory as a whole: it is read again for each question."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def rows(self, label: str | None = None) -> list[Row]:
        """Read all rows, or those of a label; raises StoreError as `firstgrad.store.import_jsonl` does."""
        made = (make_row(record) for record in import_jsonl(self._path))
        return [row for row in made if label in (None, row.label)]

    def samples(self, questions: Collection[str]) -> pd.DataFrame:
        """Read the samples of some questions as a data frame."""
        return samples_table(record for record in import_jsonl(self._path) if record.case.question in questions)

    def records(self, record_ids: Collection[str]) -> list[Record]:
        """Read whole records; only those lines are decoded."""
        wanted, found = frozenset(record_ids), []
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip() and json.loads(line).get("record_id") in wanted:
                    where = f"{self._path}: line {number}"
                    found.append(read_document(line, where=where, next_step="Export the file again"))
        return found

    def all_records(self, label: str | None = None) -> list[Record]:
        """Read all records, or those of a label."""
        return [record for record in import_jsonl(self._path) if label in (None, record.environment.label)]
