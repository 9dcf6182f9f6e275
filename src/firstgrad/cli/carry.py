"""``firstgrad export`` and ``firstgrad import``: records as lines of JSON, to be carried from store to store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from firstgrad.record import Record

THIN_TIMELINE_POINTS = 60
THIN_EVALUATIONS = 21

EXPORT_EPILOG = """\b
Examples:
  firstgrad export results.jsonl
      the whole store
  firstgrad export docs/data/growth.jsonl --label growth --thin
      one sweep, small enough to be committed; read it with report, scaling: --from FILE.jsonl
"""

IMPORT_EPILOG = """\b
Example:
  firstgrad import results.jsonl --store postgresql://me@server/firstgrad
      records that are there already are passed over

\b
Exit codes: 0 good; 2 wrong use, or a line that is no record (those before it are in the store).
"""


def export_records(
    path: Annotated[str, typer.Argument(metavar="FILE.jsonl", help="A file that is there is replaced.")],
    label: Annotated[str | None, typer.Option("--label", help="Only records of this label.")] = None,
    thin: Annotated[
        bool,
        typer.Option(
            "--thin", help="Shorten memory time lines and evaluations to a tenth; their peaks and medians stay."
        ),
    ] = False,
    store: Annotated[str | None, typer.Option("--store", help="File or URL [.firstgrad/results.sqlite].")] = None,
) -> None:
    """Write records to a file of JSON lines, all or nothing."""
    from firstgrad.cli.rows import open_store
    from firstgrad.store import export_jsonl
    from firstgrad.units import format_count

    with open_store(store) as opened:
        records = opened.records(label=label)
        written = export_jsonl(map(thinned, records) if thin else records, path)
    typer.echo(f"{format_count(written, 'record')} to {path}", err=True)


def import_records(
    path: Annotated[str, typer.Argument(metavar="FILE.jsonl", help="What an export wrote.")],
    store: Annotated[str | None, typer.Option("--store", help="File or URL [.firstgrad/results.sqlite].")] = None,
) -> None:
    """Add the records of a file to a store; those that are there already are passed over."""
    from firstgrad.store import DEFAULT_PATH, Store, import_into
    from firstgrad.units import format_count

    with Store.open(store or DEFAULT_PATH) as opened:
        added, skipped = import_into(opened, path)
        typer.echo(f"{format_count(added, 'record')} added to {opened.place}, {skipped} were there", err=True)


def thinned(record: Record) -> Record:
    """Shorten a record's long lists, so that figures and medians stay nearly as they were.

    Returns
    -------
    Record
        At most `THIN_TIMELINE_POINTS` points of its memory time line, of each stretch the highest; at most
        `THIN_EVALUATIONS` quantiles of its evaluation times, the extremes and the median among them.
    """
    from dataclasses import replace

    import numpy as np

    memory, seconds = record.memory, record.evaluation_seconds
    if memory is not None and len(memory.timeline) > THIN_TIMELINE_POINTS:
        step = -(-len(memory.timeline) // THIN_TIMELINE_POINTS)
        stretches = (memory.timeline[start : start + step] for start in range(0, len(memory.timeline), step))
        points = tuple(max(stretch, key=lambda point: point.rss_bytes) for stretch in stretches)
        record = replace(record, memory=replace(memory, timeline=points))
    if len(seconds) > THIN_EVALUATIONS:
        quantiles = np.quantile(seconds, np.linspace(0, 1, THIN_EVALUATIONS))
        record = replace(record, evaluation_seconds=tuple(float(each) for each in quantiles))
    return record
