"""``firstgrad export`` and ``firstgrad import``: records from store to store, or a table for other programs."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstgrad.cli.console import note, open_store
from firstgrad.cli.options import LabelToRead, StoreToRead, declare
from firstgrad.errors import FirstgradError, SpecError
from firstgrad.units import format_count

if TYPE_CHECKING:
    from firstgrad.record import Record
    from firstgrad.store import Store

THIN_TIMELINE_POINTS = 60
THIN_EVALUATIONS = 21

EXPORT_EPILOG = """\b
Examples:
  firstgrad export results.jsonl
      the whole store
  firstgrad export docs/data/growth.jsonl --label growth --thin
      one sweep, small enough to be committed; read it with report, scaling: --from FILE.jsonl
  firstgrad export samples.csv
      a line a sample and a column a metric, for a spreadsheet or pandas; .parquet needs pyarrow
  firstgrad export - | gzip > results.jsonl.gz
      to standard output
"""

IMPORT_EPILOG = """\b
Example:
  firstgrad import results.jsonl --store postgresql://me@server/firstgrad
      records that the store already has are skipped

\b
Exit codes: 0 good; 2 wrong use, or a line that is no record (those before it are in the store); 4 broke off.
"""


class ExportFormat(StrEnum):
    """``jsonl``: whole records, which `firstgrad import` reads. The others: the samples table."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


def export_records(
    path: Annotated[str, typer.Argument(metavar="FILE", help="- for standard output.")],
    label: LabelToRead = None,
    format: Annotated[  # noqa: A002 - the option's name
        ExportFormat | None, declare("--format", "Default: what the file's ending says, else jsonl.")
    ] = None,
    thin: Annotated[
        bool, declare("--thin", "Keep a tenth of memory time lines and evaluations, with their peaks and medians.")
    ] = False,
    store: StoreToRead = None,
) -> None:
    """Write records as lines of JSON, or samples as a table, all or nothing."""
    from firstgrad.store import export_jsonl

    ending = Path(path).suffix.removeprefix(".")
    chosen = format or (ExportFormat(ending) if ending in ExportFormat else ExportFormat.JSONL)
    if thin and chosen is not ExportFormat.JSONL:
        raise SpecError("--thin", f"is for --format jsonl: {chosen} has no memory time lines")
    with open_store(store) as opened:
        if chosen is not ExportFormat.JSONL:
            written = _export_table(opened, label, path, chosen)
            note(f"{format_count(written, 'sample')} to {path}")
            return
        records = opened.records(label=label)
        written = export_jsonl(map(thinned, records) if thin else records, path)
    note(f"{format_count(written, 'record')} to {path}")


def _export_table(store: Store, label: str | None, path: str, format: ExportFormat) -> int:  # noqa: A002 - as above
    from firstgrad.store.files import write_file

    samples = store.samples(label=label)
    if format is ExportFormat.CSV:
        write_file(path, samples.to_csv(index=False).encode())
        return len(samples)
    # A parameter may be a number in one model and a text in another; such a file has one kind a column.
    for name in [name for name, kind in samples.dtypes.items() if str(kind) == "object"]:
        samples[name] = samples[name].map(str, na_action="ignore")
    try:
        content = samples.to_parquet(index=False)
    except ImportError as error:
        raise FirstgradError("--format parquet needs pyarrow. Install it: pip install 'firstgrad[parquet]'") from error
    write_file(path, content)
    return len(samples)


def import_records(
    path: Annotated[str, typer.Argument(metavar="FILE.jsonl", help="A file that export wrote.")],
    store: StoreToRead = None,
) -> None:
    """Add the records of a file to a store; those that it already has are skipped."""
    from firstgrad.store import Store, import_into

    with Store.open(store) as opened:
        added, skipped = import_into(opened, path)
        note(f"{format_count(added, 'record')} added to {opened.address}, {skipped} were there")


def thinned(record: Record) -> Record:
    """Shorten a record's long lists, so that figures and medians stay nearly as they were.

    It gets at most `THIN_TIMELINE_POINTS` points of its memory time line, of each stretch the highest, and at most
    `THIN_EVALUATIONS` quantiles of its evaluation times, the extremes and the median among them.
    """
    import numpy as np

    memory, seconds = record.memory, record.evaluation_seconds
    if memory is not None and len(memory.timeline) > THIN_TIMELINE_POINTS:
        step = -(-len(memory.timeline) // THIN_TIMELINE_POINTS)
        stretches = (memory.timeline[start : start + step] for start in range(0, len(memory.timeline), step))
        points = tuple(max(stretch, key=lambda point: point.rss_bytes) for stretch in stretches)
        record = replace(record, memory=replace(memory, timeline=points))
    if len(seconds) > THIN_EVALUATIONS:
        quantiles = np.quantile(seconds, np.linspace(0, 1, THIN_EVALUATIONS))
        record = replace(record, evaluation_seconds=tuple(map(float, quantiles)))
    return record
