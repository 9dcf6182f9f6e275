"""Rows as the cases of a page: samples of one question under equal conditions, together."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.metrics import METRICS
from firstgrad.record import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firstgrad.row import Row

_PLACES = {metric.name: number for number, metric in enumerate(METRICS)}
_WORST_FIRST = (Verdict.DISAGREES, Verdict.AGREES, Verdict.NO_ORACLE, Verdict.UNCHECKED)
CONTRADICTED = "contradicted"
"""Status of a sample that ended well and was no such measurement: its caches contradict the scenario."""


@dataclass(frozen=True, slots=True)
class CaseRows:
    """The samples of one question under equal conditions, at least one, in the order in which they were added."""

    rows: tuple[Row, ...]

    @property
    def newest(self) -> Row:
        """The sample that was begun last."""
        return max(self.rows, key=lambda row: row.started_at)

    @property
    def counted(self) -> tuple[Row, ...]:
        """The samples whose numbers count."""
        return tuple(row for row in self.rows if not row.reason)

    @property
    def verdict(self) -> Verdict:
        """What the checks said: one that disagrees outweighs all others."""
        found = {row.verdict for row in self.rows}
        return next(each for each in _WORST_FIRST if each in found)

    def numbers(self, metric: str) -> list[float]:
        """List a metric's numbers, in its unit, of the samples that count."""
        place = _PLACES[metric]
        found = (row.numbers[place] for row in self.rows if not row.reason)
        return [number for number in found if number is not None and math.isfinite(number)]

    def median(self, metric: str) -> float | None:
        """Find the median of `numbers`; none where there are none."""
        numbers = self.numbers(metric)
        return statistics.median(numbers) if numbers else None

    def bound(self, metric: str) -> float | None:
        """Find what a metric is at least, by the samples that a limit stopped: the largest bound."""
        place = _PLACES[metric]
        found = [bound for row in self.rows if (bound := row.bounds[place]) is not None and math.isfinite(bound)]
        return max(found, default=None)


def group_rows(rows: Iterable[Row]) -> tuple[CaseRows, ...]:
    """Put samples together that belong together; the case that was measured last comes first."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row.question, row.conditions), []).append(row)
    groups = [CaseRows(tuple(each)) for each in found.values()]
    return tuple(sorted(groups, key=lambda each: each.newest.started_at, reverse=True))


def number_of(row: Row, metric: str) -> float | None:
    """Read a metric's number, in its unit, whatever its sample is worth."""
    return row.numbers[_PLACES[metric]]


def status_of(row: Row) -> str:
    """Name how a sample ended, as tables show and filter it."""
    if row.status is Status.OK and row.reason:
        return CONTRADICTED
    return str(row.status)


def name_of(row: Row) -> str:
    """Write a row's case as its record's case is written."""
    return f"{row.model}, {row.backend}, {row.target}, {row.scenario}"


def name_models(groups: Sequence[CaseRows]) -> tuple[str, ...]:
    """Name the model of each group, with what tells it apart from those that read alike."""
    alike: dict[str, dict[str, set[object]]] = {}
    for group in groups:
        row = group.rows[0]
        values = alike.setdefault(row.model, {})
        for name, value in row.axes:
            values.setdefault(name, set()).add(value)
    differing = {
        model: frozenset(name for name, values in each.items() if len(values) > 1) for model, each in alike.items()
    }
    return tuple(_name(group.rows[0], differing[group.rows[0].model]) for group in groups)


def _name(row: Row, differing: frozenset[str]) -> str:
    told = ", ".join(f"{name} {value if value != '' else 'none'}" for name, value in row.axes if name in differing)
    return f"{row.model} ({told})" if told else row.model
