"""The chart of memory over time: the sample that had most."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from firstgrad.report.cases import number_of
from firstgrad.report.charts import ChartSection, chart_section

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from firstgrad.record import Record
    from firstgrad.row import Row

_CANDIDATES = 3  # the highest may have no timeline


def choose_memory(rows: Iterable[Row]) -> tuple[str, ...]:
    """Name the records with the highest peaks, the highest first; a sample that failed may be among them."""
    peaks = ((peak, row.record_id) for row in rows if (peak := number_of(row, "peak_memory")) is not None)
    return tuple(record_id for _, record_id in heapq.nlargest(_CANDIDATES, peaks))


def memory_section(record_ids: Sequence[str], records: Mapping[str, Record]) -> ChartSection | None:
    """Draw the first of these records that has a timeline of memory; none where none has."""
    from firstgrad.show.memory import describe_memory, draw_memory

    found = (records[each] for each in record_ids if each in records)
    record = next((each for each in found if each.memory is not None and each.memory.timeline), None)
    if record is None:
        return None
    return chart_section(
        "memory",
        "Memory over time: the sample with the highest peak",
        draw_memory(record),
        caption="Dots: the highest of a phase. The area: child processes, such as compilers.",
        description=describe_memory(record),
    )
