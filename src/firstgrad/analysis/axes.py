"""The ordered axis of a series: commits in git's order, or releases of PyMC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from firstgrad.case import BackendName
from firstgrad.compare.sides import SHORT_DIGITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firstgrad.record import Record

_FIRST_MAJOR_WITH_NUMBA = 6


class AxisKind(StrEnum):
    """Along what a series runs."""

    COMMIT = "commit"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as git names it: the whole digest, and the first line of its message."""

    digest: str
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One position on an axis.

    Attributes
    ----------
    key : str
        By which records are found: the whole commit, or the release.
    name : str
        Short, for ticks and tables.
    title : str
        More of it, such as a commit's subject line; may be empty.
    """

    key: str
    name: str
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Places in order.

    Attributes
    ----------
    kind : AxisKind
        Commits or releases.
    title : str
        What the axis shows and how it is ordered.
    places : tuple of Place
        From the oldest; only those that records have.
    """

    kind: AxisKind
    title: str
    places: tuple[Place, ...]

    def key_of(self, record: Record) -> str:
        """Find the key of a record's place; '' where the record doesn't say."""
        return record.environment.git_commit if self.kind is AxisKind.COMMIT else release_of(record)

    def place(self, key: str) -> Place:
        """Find a place; raises KeyError where there is none."""
        return {each.key: each for each in self.places}[key]


def commit_axis(records: Iterable[Record], commits: Sequence[Commit] = ()) -> Axis:
    """Make the axis of commits.

    Parameters
    ----------
    records : iterable of Record
        Only their commits are on the axis.
    commits : sequence of Commit
        In git's order, oldest first. Those that aren't in it come before all others, by their first record.
    """
    first: dict[str, str] = {}
    for record in records:
        digest = record.environment.git_commit
        if digest:
            first[digest] = min(first.get(digest, record.started_at), record.started_at)
    known = {commit.digest: (number, commit.subject) for number, commit in enumerate(commits)}
    ordered = sorted(first, key=lambda digest: (known.get(digest, (-1, ""))[0], first[digest], digest))
    places = (Place(key=digest, name=digest[:SHORT_DIGITS], title=known.get(digest, (-1, ""))[1]) for digest in ordered)
    order = "in git's order" if known.keys() & first.keys() else "by the first record"
    return Axis(kind=AxisKind.COMMIT, title=f"commit, {order}", places=tuple(places))


def release_axis(records: Iterable[Record]) -> Axis:
    """Make the axis of PyMC releases, by version order; what is no version comes first."""
    releases = {release for record in records if (release := release_of(record))}
    places = (Place(key=release, name=release) for release in sorted(releases, key=_version_key))
    return Axis(kind=AxisKind.RELEASE, title="PyMC release", places=tuple(places))


def release_of(record: Record) -> str:
    """Find the PyMC release that a record was measured with; '' where there is none."""
    return dict(record.environment.versions).get("pymc", "")


def default_backend(release: str) -> BackendName:
    """Say which backend a PyMC release compiles to when nothing is asked for: Numba from 6 on, C before."""
    from packaging.version import InvalidVersion, Version

    try:
        major = Version(release).major
    except InvalidVersion:
        major = 0
    return BackendName.NUMBA if major >= _FIRST_MAJOR_WITH_NUMBA else BackendName.C


def _version_key(release: str) -> tuple[bool, object]:
    from packaging.version import InvalidVersion, Version

    try:
        return True, Version(release)
    except InvalidVersion:
        return False, release
