"""Records as lines of JSON, which are carried to another machine or attached to a report; and where a store is."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.codec import DecodeError, from_json, to_json
from firstgrad.columns import cell_text, cells_of, samples_table
from firstgrad.doubts import why_impossible
from firstgrad.errors import SchemaTooNewError, StoreError
from firstgrad.record import SCHEMA_VERSION, Record
from firstgrad.store.address import refuse_address
from firstgrad.store.files import write_file
from firstgrad.units import shorten_middle

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    import pandas as pd

    from firstgrad.store import Store


def export_jsonl(records: Iterable[Record], path: str | Path) -> int:
    """Write records to a file as `firstgrad.store.files.write_file` does, and return how many.

    Raises
    ------
    StoreError
        Where it cannot be written.
    """
    written = 0

    def lines() -> Iterator[bytes]:
        nonlocal written
        for record in records:
            yield to_json(record).encode() + b"\n"
            written += 1

    write_file(path, lines())
    return written


def import_jsonl(path: str | Path) -> Iterator[Record]:
    """Read what `export_jsonl` wrote, line by line; blank lines are passed over.

    Raises
    ------
    SchemaTooNewError
        Where a newer firstgrad wrote a line.
    StoreError
        Where the file cannot be read, a line is no record, or has impossible numbers; the error names the file and the
        line's number.
    """
    refuse_address(path)
    path = Path(path)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(partial(file.readline, _LONGEST_LINE), b""), start=1):
                if len(line) == _LONGEST_LINE:
                    raise StoreError(
                        f"{path}: line {number} is longer than a record: no export of firstgrad's. Give another file"
                    )
                if line.strip():
                    where = f"{path}: line {number}"
                    record = read_document(line, where=where, next_step="Export the file again, or delete that line")
                    if why := why_impossible(record):
                        raise StoreError(f"{where}: {why}, which cannot be. Delete that line")
                    yield record
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror or error}). Give the path of a file that an export wrote"
        ) from error


_LONGEST_DETAIL = 500
_LONGEST_LINE = 64 * 1024 * 1024
_UPGRADE = "Upgrade firstgrad (pip install --upgrade firstgrad)"
_UNKNOWN = "extra fields found"  # as cattrs words it
MEASURE_AGAIN = "Measure again, into a store of another name"


def read_document(document: str | bytes, *, where: str, next_step: str) -> Record:
    """Decode one record; see `decode_stored`."""
    return decode_stored(document, Record, where=where, next_step=next_step)


def decode_stored[T](
    document: str | bytes, kind: type[T], *, where: str, next_step: str, again: str = MEASURE_AGAIN
) -> T:
    """Decode what `firstgrad.codec.to_json` wrote: a record, or what holds one as ``record``.

    Parameters
    ----------
    where : str
        Names the document in errors.
    next_step, again : str
        What a reader can do about a damaged one, and about one of an earlier version.

    Raises
    ------
    StoreError
        Where it cannot be decoded, or another version of firstgrad wrote it.
    """
    check_version(_schema_version(document), where, again=again)
    try:
        return from_json(document, kind)
    except DecodeError as error:
        detail = str(error)
        if len(detail) > _LONGEST_DETAIL:
            detail = detail[:_LONGEST_DETAIL] + "..."
        if _UNKNOWN in detail:  # within one schema version fields are only added
            told = f"{where}: {detail}. A newer firstgrad has written it, most likely"
            raise SchemaTooNewError(f"{told}. {_UPGRADE}") from error
        raise StoreError(f"{where}: {detail}. {next_step}") from error


def check_version(version: int, where: str, again: str = MEASURE_AGAIN) -> None:
    """Refuse what another version of firstgrad wrote; raise StoreError, or SchemaTooNewError, which says what to do."""
    claimed = shorten_middle(str(version))
    if version > SCHEMA_VERSION:
        raise SchemaTooNewError(
            f"{where}: schema version {claimed} was written by a newer firstgrad; this one reads {SCHEMA_VERSION}. "
            f"{_UPGRADE}"
        )
    if version < SCHEMA_VERSION:
        raise StoreError(
            f"{where}: schema version {claimed} is from before firstgrad's first release, and this one reads "
            f"{SCHEMA_VERSION}. {again}"
        )


def _schema_version(document: str | bytes) -> int:
    """Version that a document claims to have; the present one where it claims none."""
    try:
        content = json.loads(document)
        version = content.get("record", content)["schema_version"]
    except Exception:  # noqa: BLE001 - damaged in any way: then it claims nothing
        return SCHEMA_VERSION
    return version if isinstance(version, int) else SCHEMA_VERSION


# --- an export that is asked as a store -----------------------------------------------------------------------------

type Source = Store | ExportSource
"""Where a page's samples come from, and the few whole records that its figures need."""


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
