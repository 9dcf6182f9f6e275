"""Where a page's samples come from, and the few whole records that its figures need: a store, or an export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.columns import cell_text, cells_of, samples_table
from firstgrad.store.jsonl import import_jsonl, read_document

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import pandas as pd

    from firstgrad.record import Record
    from firstgrad.store import Store

type Source = Store | ExportSource


class ExportSource:
    """A file of JSON lines, never held in memory as a whole: it is read again for each question; asked as a store."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def samples(self, *, label: str | None = None) -> pd.DataFrame:
        """Read all samples, or those of a label; raises StoreError as `firstgrad.store.import_jsonl` does."""
        cells = map(cells_of, import_jsonl(self._path))
        wanted = None if label is None else cell_text(label)
        return samples_table([sample for sample in cells if wanted in (None, sample["label"])])

    def records(self, *, label: str | None = None, record_ids: Collection[str] | None = None) -> Iterator[Record]:
        """Read whole records, those of a label, or those named, whose lines alone are decoded; slower than samples."""
        if record_ids is None:
            yield from (record for record in import_jsonl(self._path) if label in (None, record.environment.label))
            return
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip() and json.loads(line).get("record_id") in record_ids:
                    where = f"{self._path}: line {number}"
                    yield read_document(line, where=where, next_step="Export the file again")
