"""The metrics of a record: one list for asv, pytest-benchmark, comparisons and figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from firstgrad.record import Phase, Record


class Unit(StrEnum):
    """What a metric counts; asv scales ``seconds`` and ``bytes`` by itself."""

    SECONDS = "seconds"
    BYTES = "bytes"
    COUNT = "count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number of a record.

    Attributes
    ----------
    name : str
        Unique, a Python name.
    title : str
        What people read.
    unit : Unit
        Of the number.
    version : str
        Changes only when the number's meaning does; numbers of different versions are never compared.
    read : callable
        Takes a record and returns the number, none where the record has none.
    """

    name: str
    title: str
    unit: Unit
    version: str
    read: Callable[[Record], float | None]

    @property
    def is_deterministic(self) -> bool:
        """Whether identical runs give the same number (bytes, instructions: nearly), so that a single sample tells."""
        return self.unit is not Unit.SECONDS


def _phase(phase: Phase) -> Callable[[Record], float | None]:
    def seconds(record: Record) -> float | None:
        found = record.phase(phase)
        return None if found is None else found.wall_seconds

    return seconds


def _count(field: str) -> Callable[[Record], float | None]:
    def count(record: Record) -> float | None:
        return None if record.counts is None else getattr(record.counts, field)

    return count


def _evaluation_seconds(record: Record) -> float | None:
    return statistics.median(record.evaluation_seconds) if record.evaluation_seconds else None


METRICS = (
    Metric(
        name="time_to_first_gradient",
        title="time to first gradient",
        unit=Unit.SECONDS,
        version="1",
        read=lambda record: record.time_to_first_gradient_seconds,
    ),
    Metric(
        name="time_to_first_gradient_cpu",
        title="CPU time to first gradient",
        unit=Unit.SECONDS,
        version="1",
        read=lambda record: record.time_to_first_gradient_cpu_seconds,
    ),
    *(
        Metric(
            name=f"phase_{phase.value}",
            title=f"phase {phase.value}",
            unit=Unit.SECONDS,
            version="1",
            read=_phase(phase),
        )
        for phase in Phase
        if phase is not Phase.EVALUATE  # that one's length is how many calls were asked for
    ),
    Metric(
        name="evaluation",
        title="evaluation time (median call)",
        unit=Unit.SECONDS,
        version="1",
        read=_evaluation_seconds,
    ),
    Metric(
        name="peak_memory",
        title="peak memory, compilers included",
        unit=Unit.BYTES,
        version="1",
        read=lambda record: record.memory.peak_rss_bytes if record.memory else None,
    ),
    Metric(
        name="retained_memory",
        title="retained memory",
        unit=Unit.BYTES,
        version="1",
        read=lambda record: record.memory.retained_bytes if record.memory else None,
    ),
    Metric(
        name="nodes_before",
        title="graph nodes before rewriting",
        unit=Unit.COUNT,
        version="1",
        read=_count("nodes_before"),
    ),
    Metric(
        name="nodes",
        title="graph nodes after rewriting",
        unit=Unit.COUNT,
        version="1",
        read=_count("nodes_after"),
    ),
    Metric(
        name="compiled_units",
        title="compiled units",
        unit=Unit.COUNT,
        version="1",
        read=_count("compiled_units"),
    ),
    Metric(
        name="instructions",
        title="instructions to first gradient, user mode",
        unit=Unit.COUNT,
        version="1",
        read=lambda record: record.instructions,
    ),
)
"""All metrics, in the order in which they are shown."""


def metric_named(name: str) -> Metric:
    """Find a metric by its name; raises KeyError where there is none."""
    return {metric.name: metric for metric in METRICS}[name]
