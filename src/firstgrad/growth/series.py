"""Series: one metric of one case along commits or releases, an estimate at each. Unlike conditions are never pooled."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from firstgrad.case import BackendName, Case
from firstgrad.columns import Column
from firstgrad.doubts import why_unusable
from firstgrad.estimates import Estimate, estimate_median
from firstgrad.grouping import grouped
from firstgrad.record import Doubt, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from packaging.version import Version

_FIRST_MAJOR_WITH_NUMBA = 6
_SHORT_DIGITS = 10


class AxisKind(StrEnum):
    """Along what a series runs."""

    COMMIT = "commit"
    RELEASE = "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisPlace:
    """One position on an axis."""

    key: str  # by which records are found: the whole commit, or the release
    name: str  # short, for ticks and tables
    title: str = ""  # more of it, such as a commit's subject line; may be empty


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesAxis:
    """Places in order."""

    kind: AxisKind
    title: str  # what the axis shows and how it is ordered
    places: tuple[AxisPlace, ...]  # from the oldest; only those that records have

    def key_of(self, record: Record) -> str:
        """Find the key of a record's place; '' where the record doesn't say."""
        return record.environment.git_commit if self.kind is AxisKind.COMMIT else release_of(record)

    def place(self, key: str) -> AxisPlace:
        """Find a place; raises KeyError where there is none."""
        return {place.key: place for place in self.places}[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPoint:
    """What there is at one place."""

    place: str  # key of the place on the axis
    estimate: Estimate | None  # median of the samples, in the metric's unit; none where all failed
    failed: tuple[tuple[str, int], ...] = ()  # why samples gave no number, and how many, the most frequent first
    doubts: tuple[Doubt, ...] = ()  # of all records here

    @property
    def n_failed(self) -> int:
        """How many samples failed."""
        return sum(count for _, count in self.failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSeries:
    """One metric of one case under equal conditions."""

    metric: Column
    case: Case
    conditions: tuple[tuple[str, str], ...]
    """What is equal at all places: the host's digest first, then Python, compiler, threads and flags; along commits the
    label and the packages' versions too."""
    points: tuple[SeriesPoint, ...]  # in the axis's order; places without any record are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesGroup:
    """Records of one case under equal conditions, by the key of their place (in the axis's order)."""

    case: Case
    conditions: tuple[tuple[str, str], ...]
    records: tuple[tuple[str, tuple[Record, ...]], ...]


def commit_axis(records: Iterable[Record], subjects: Mapping[str, str] | None = None) -> SeriesAxis:
    """Make the axis of the records' commits.

    `subjects` has the commits that git knows with their subject lines, oldest first: those that aren't in it come
    before all others, by their first record.
    """
    first: dict[str, str] = {}
    for record in records:
        digest = record.environment.git_commit
        if digest:
            first[digest] = min(first.get(digest, record.started_at), record.started_at)
    known = subjects or {}
    numbers = {digest: number for number, digest in enumerate(known)}
    ordered = sorted(first, key=lambda digest: (numbers.get(digest, -1), first[digest], digest))
    places = (AxisPlace(key=digest, name=digest[:_SHORT_DIGITS], title=known.get(digest, "")) for digest in ordered)
    order = "in git's order" if known.keys() & first.keys() else "by the first record"
    return SeriesAxis(kind=AxisKind.COMMIT, title=f"commit, {order}", places=tuple(places))


def release_axis(records: Iterable[Record]) -> SeriesAxis:
    """Make the axis of PyMC releases, by version order; what is no version comes first."""
    releases = {release for record in records if (release := release_of(record))}
    places = (AxisPlace(key=release, name=release) for release in sorted(releases, key=_version_order))
    return SeriesAxis(kind=AxisKind.RELEASE, title="PyMC release", places=tuple(places))


def release_of(record: Record) -> str:
    """Find the PyMC release that a record was measured with; '' where there is none."""
    return dict(record.environment.versions).get("pymc", "")


def default_backend(release: str) -> BackendName:
    """Say which backend a PyMC release compiles to when nothing is asked for: Numba from 6 on, C before."""
    version = _version(release)
    return BackendName.NUMBA if version and version.major >= _FIRST_MAJOR_WITH_NUMBA else BackendName.C


def _version_order(release: str) -> tuple[bool, Version | str]:
    version = _version(release)
    return version is not None, version or release


def order_releases[K](packages: Mapping[K, Mapping[str, str]]) -> dict[K, list[tuple[bool, Version | str]]]:
    """Return what sets of packages are ordered by: their versions, the package first that tells most."""
    names = dict.fromkeys(("pymc", "pytensor", *sorted({name for known in packages.values() for name in known})))
    return {key: [_version_order(known.get(name, "")) for name in names] for key, known in packages.items()}


def _version(release: str) -> Version | None:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(release)
    except InvalidVersion:
        return None


def group_records(records: Sequence[Record], axis: SeriesAxis) -> tuple[SeriesGroup, ...]:
    """Sort records into groups that may become one series each, in the order of their first records.

    Those without a place on the axis are left out. Along releases each place has packages of its own; where one place
    has several sets of them, the one that was measured last is taken.
    """
    keys = [place.key for place in axis.places]
    placed = ((key, record) for record in records if (key := axis.key_of(record)) in keys)
    groups = grouped(((record.case.id, _conditions(record, axis)), (key, record)) for key, record in placed)
    return tuple(
        SeriesGroup(
            case=members[0][1].case,
            conditions=conditions,
            records=tuple((key, _newest_packages(by_place[key])) for key in keys if key in by_place),
        )
        for (_, conditions), members in groups.items()
        for by_place in [grouped(members)]
    )


def make_series(groups: Sequence[SeriesGroup], metric: Column) -> tuple[MetricSeries, ...]:
    """Make one metric's series, one a group; groups in which it has neither numbers nor failures are left out."""
    series = (
        MetricSeries(
            metric=metric,
            case=group.case,
            conditions=group.conditions,
            points=tuple(
                point for key, records in group.records if (point := _point(key, records, metric)) is not None
            ),
        )
        for group in groups
    )
    return tuple(one for one in series if one.points)


def tell_apart(series: Sequence[MetricSeries]) -> tuple[str, ...]:
    """Name, for each series, the conditions in which these series differ; '' where they are all alike.

    The limits of a case are named only where another series would have the same name without them.
    """
    conditions = [dict(one.conditions) for one in series]
    names = [_name_differing(own, conditions) for own in conditions]
    limits = [
        {
            "evaluations": str(one.case.evaluations),
            "time limit [s]": f"{one.case.time_limit_seconds or ''}",
            "memory limit [B]": f"{one.case.memory_limit_bytes or ''}",
        }
        for one in series
    ]
    titles = [(str(one.case), name) for one, name in zip(series, names, strict=True)]
    alike = [[limits[i] for i, other in enumerate(titles) if other == title] for title in titles]
    named = (_name_differing(own, others) for own, others in zip(limits, alike, strict=True))
    return tuple(", ".join(filter(None, both)) for both in zip(names, named, strict=True))


def _name_differing(one: dict[str, str], others: Sequence[dict[str, str]]) -> str:
    fields = dict.fromkeys(field for other in others for field in other)
    differing = [field for field in fields if len({other.get(field, "") for other in others}) > 1]
    return ", ".join(f"{field} {one.get(field) or 'none'}" for field in differing)


def _point(key: str, records: Sequence[Record], metric: Column) -> SeriesPoint | None:
    reasons = Counter(reason for record in records if (reason := why_unusable(record)))
    values = (metric.read(record) for record in records if not why_unusable(record))
    numbers = [number for number in values if number is not None and math.isfinite(number)]
    if not numbers and not reasons:
        return None
    doubts = {doubt for record in records for doubt in record.doubts}
    return SeriesPoint(
        place=key,
        estimate=estimate_median(numbers) if numbers else None,
        failed=tuple(reasons.most_common()),
        doubts=tuple(doubt for doubt in Doubt if doubt in doubts),
    )


def _conditions(record: Record, axis: SeriesAxis) -> tuple[tuple[str, str], ...]:
    environment = record.environment
    # along releases each place has packages of its own, and asv's label names them
    own = (("label", environment.label), *environment.packages) if axis.kind is AxisKind.COMMIT else ()
    return (
        ("host", environment.host.digest),
        ("Python", environment.python),
        ("compiler", environment.compiler),
        ("threads", str(environment.threads)),
        ("flags", environment.flags),
        *own,
    )


def _newest_packages(records: Sequence[Record]) -> tuple[Record, ...]:
    newest = max(records, key=lambda record: record.started_at).environment.packages
    return tuple(record for record in records if record.environment.packages == newest)
