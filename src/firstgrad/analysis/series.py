"""Series: one metric of one case along an axis, an estimate at each place. Unlike conditions are never pooled."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.analysis.axes import Axis, AxisKind
from firstgrad.case import Case
from firstgrad.columns import Column
from firstgrad.doubts import why_unusable
from firstgrad.estimates import Estimate, estimate_median
from firstgrad.record import Doubt, Record

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedSamples:
    """Samples that gave no number for one and the same reason, and how many they are."""

    reason: str
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What there is at one place.

    Attributes
    ----------
    place : str
        Key of the place on the axis.
    estimate : Estimate, optional
        Median of the samples, in the metric's unit; none where all failed.
    failed : tuple of FailedSamples
        By reason, the most frequent first.
    doubts : tuple of Doubt
        Of all records here.
    """

    place: str
    estimate: Estimate | None
    failed: tuple[FailedSamples, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    @property
    def n_failed(self) -> int:
        """How many samples failed."""
        return sum(each.samples for each in self.failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One metric of one case under equal conditions.

    Attributes
    ----------
    metric : Column
        What is counted, and its unit.
    case : Case
        What was measured.
    conditions : tuple of (str, str)
        What is equal at all places: the host's digest first, then Python, compiler, threads and flags; along
        commits the packages' versions too.
    points : tuple of Point
        In the axis's order; places without any record are left out.
    """

    metric: Column
    case: Case
    conditions: tuple[tuple[str, str], ...]
    points: tuple[Point, ...]

    @property
    def host(self) -> str:
        """Digest of the host fingerprint."""
        return dict(self.conditions)["host"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Records of one case under equal conditions, by the key of their place (in the axis's order)."""

    case: Case
    conditions: tuple[tuple[str, str], ...]
    records: tuple[tuple[str, tuple[Record, ...]], ...]


def group_records(records: Sequence[Record], axis: Axis) -> tuple[Group, ...]:
    """Sort records into groups that may become one series each.

    Along releases each place has packages of its own; where one place has several sets of them, the one that was
    measured last is taken.

    Parameters
    ----------
    records : sequence of Record
        Those without a place on the axis are left out.
    axis : Axis
        Commits or releases.

    Returns
    -------
    tuple of Group
        In the order of their first records.
    """
    keys = [place.key for place in axis.places]
    found: dict[tuple[str, tuple[tuple[str, str], ...]], dict[str, list[Record]]] = {}
    for record in records:
        key = axis.key_of(record)
        if key in keys:
            group = found.setdefault((record.case.id, _conditions(record, axis)), {})
            group.setdefault(key, []).append(record)
    return tuple(
        Group(
            case=next(iter(by_place.values()))[0].case,
            conditions=conditions,
            records=tuple((key, _newest_packages(by_place[key])) for key in keys if key in by_place),
        )
        for (_, conditions), by_place in found.items()
    )


def make_series(groups: Sequence[Group], metric: Column) -> tuple[Series, ...]:
    """Make one metric's series, one a group; groups in which it has neither numbers nor failures are left out."""
    made = (
        Series(
            metric=metric,
            case=group.case,
            conditions=group.conditions,
            points=tuple(
                point for key, records in group.records if (point := _point(key, records, metric)) is not None
            ),
        )
        for group in groups
    )
    return tuple(series for series in made if series.points)


def tell_apart(series: Sequence[Series]) -> tuple[str, ...]:
    """Name, for each series, the conditions in which these series differ; '' where they are all alike.

    The limits of a case are named only where another series would have the same name without them.
    """
    conditions = [dict(each.conditions) for each in series]
    names = [_name_differing(one, conditions) for one in conditions]
    limits = [_limits(each.case) for each in series]
    told = [(str(each.case), name) for each, name in zip(series, names, strict=True)]
    return tuple(
        ", ".join(
            filter(None, (name, _name_differing(limits[number], [limits[i] for i in _equal(told, told[number])])))
        )
        for number, name in enumerate(names)
    )


def _name_differing(one: dict[str, str], others: Sequence[dict[str, str]]) -> str:
    fields = dict.fromkeys(field for each in others for field in each)
    differing = [field for field in fields if len({each.get(field, "") for each in others}) > 1]
    return ", ".join(f"{field} {one.get(field) or 'none'}" for field in differing)


def _limits(case: Case) -> dict[str, str]:
    return {
        "evaluations": str(case.evaluations),
        "time limit [s]": f"{case.time_limit_seconds or ''}",
        "memory limit [B]": f"{case.memory_limit_bytes or ''}",
    }


def _equal[T](values: Sequence[T], wanted: T) -> list[int]:
    return [number for number, value in enumerate(values) if value == wanted]


def _point(key: str, records: Sequence[Record], metric: Column) -> Point | None:
    reasons = Counter(reason for record in records if (reason := why_unusable(record)))
    read = (metric.read(record) for record in records if not why_unusable(record))
    numbers = [number for number in read if number is not None and math.isfinite(number)]
    if not numbers and not reasons:
        return None
    doubts = {doubt for record in records for doubt in record.doubts}
    return Point(
        place=key,
        estimate=estimate_median(numbers) if numbers else None,
        failed=tuple(FailedSamples(reason=reason, samples=count) for reason, count in reasons.most_common()),
        doubts=tuple(each for each in Doubt if each in doubts),
    )


def _conditions(record: Record, axis: Axis) -> tuple[tuple[str, str], ...]:
    environment = record.environment
    packages = _packages(record) if axis.kind is AxisKind.COMMIT else ()
    return (
        ("host", environment.host.digest),
        ("Python", environment.python),
        ("compiler", environment.compiler),
        ("threads", str(environment.threads)),
        ("flags", environment.flags),
        *packages,
    )


def _packages(record: Record) -> tuple[tuple[str, str], ...]:
    return record.environment.packages


def _newest_packages(records: Sequence[Record]) -> tuple[Record, ...]:
    newest = _packages(max(records, key=lambda record: record.started_at))
    return tuple(record for record in records if _packages(record) == newest)
