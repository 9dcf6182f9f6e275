"""What goes into pytest-benchmark's JSON beside the durations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firstgrad.metrics import METRICS
from firstgrad.record import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.case import Case
    from firstgrad.metrics import Metric
    from firstgrad.record import Record


def describe_rounds(case: Case, metric: Metric, records: Sequence[Record]) -> dict[str, Any]:
    """Describe a case and its rounds in what JSON can hold.

    Parameters
    ----------
    case : Case
        What was asked for.
    metric : Metric
        Which of its numbers pytest-benchmark has as duration.
    records : sequence of Record
        At least one.

    Returns
    -------
    dict
        Lists, and lists in dicts, have one entry a round; plain values hold for all rounds. Seconds, bytes and
        counts; none where a round has no such number.
    """
    first = records[0].environment
    return {
        "case_id": case.id,
        "case": str(case),
        "metric": metric.name,
        "metric_version": metric.version,
        "record_ids": [record.record_id for record in records],
        "phases": {phase.value: _phase_seconds(records, phase) for phase in Phase if records[0].phase(phase)},
        "metrics": {each.name: [each.read(record) for record in records] for each in METRICS},
        "memory": {
            **{name: _of([record.memory for record in records], name) for name in _MEMORY},
            "phase_peak_rss_bytes": {
                phase.value: _of([record.phase(phase) for record in records], "peak_rss_bytes")
                for phase in Phase
                if records[0].phase(phase)
            },
        },
        "verdict": [record.check.verdict.value for record in records],
        "scenario": {
            "name": case.scenario.value,
            **{name: _of([record.caches for record in records], name) for name in _CACHES},
        },
        "doubts": [[doubt.value for doubt in record.doubts] for record in records],
        "python": first.python,
        "versions": dict(first.versions),
        "flags": first.flags,
        "host": first.host.digest,
    }


_MEMORY = ("peak_rss_bytes", "self_peak_rss_bytes", "children_peak_rss_bytes", "retained_bytes")
_CACHES = ("is_proven", "entries_before", "entries_read", "entries_written", "bytes_written")


def _of(parts: Sequence[object], name: str) -> list[Any]:
    return [getattr(part, name, None) for part in parts]


def _phase_seconds(records: Sequence[Record], phase: Phase) -> list[float | None]:
    found = [record.phase(phase) for record in records]
    return [None if each is None else each.wall_seconds for each in found]
