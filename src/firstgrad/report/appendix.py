"""The page's last sections: where it was measured, what failed and why, what is in doubt."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from firstgrad.analysis.series import failure_reason
from firstgrad.doubts import ADVICE
from firstgrad.record import Doubt
from firstgrad.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.analysis.axes import Axis
    from firstgrad.record import Environment, HostFingerprint, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSection:
    """Hosts and what was installed on them.

    Attributes
    ----------
    hosts : tuple of (str, str)
        Digest and description of each host fingerprint.
    columns : tuple of str
        Heads of the table.
    rows : tuple of tuple of str
        An environment each, in the order of their first records.
    """

    template: ClassVar[str] = "environments.html"
    id: ClassVar[str] = "environments"
    title: ClassVar[str] = "Where and with what it was measured"
    hosts: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureItem:
    """Failures of one case for one reason at some places; `tail` is the last output of the first of them."""

    case: str
    reason: str
    samples: int
    places: str
    tail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureSection:
    """What failed; `items` is empty where nothing did."""

    template: ClassVar[str] = "failures.html"
    id: ClassVar[str] = "failures"
    title: ClassVar[str] = "Failures"
    samples: int
    items: tuple[FailureItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtSection:
    """What may spoil numbers: rows of doubt, advice, number of samples, and the cases."""

    template: ClassVar[str] = "doubts.html"
    id: ClassVar[str] = "doubts"
    title: ClassVar[str] = "Doubts"
    rows: tuple[tuple[str, str, int, tuple[str, ...]], ...]


def environment_section(records: Sequence[Record]) -> EnvironmentSection:
    """List hosts and environments."""
    hosts = {record.environment.host.digest: record.environment.host for record in records}
    packages = sorted({name for record in records for name, _ in record.environment.versions})
    counted = Counter(_environment_row(record.environment, packages) for record in records)
    head = ("host", "label", "Python", *packages, "compiler", "threads", "flags", "samples")
    return EnvironmentSection(
        hosts=tuple((digest, _describe_host(host)) for digest, host in hosts.items()),
        columns=head,
        rows=tuple((*row, str(count)) for row, count in counted.items()),
    )


def failure_section(records: Sequence[Record], axis: Axis) -> FailureSection:
    """List every failure with its reason, equal ones together."""
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if reason := failure_reason(record):
            found.setdefault((str(record.case), reason), []).append(record)
    names = {place.key: place.name for place in axis.places}
    return FailureSection(
        samples=sum(len(each) for each in found.values()),
        items=tuple(
            FailureItem(
                case=case,
                reason=reason,
                samples=len(failed),
                places=", ".join(dict.fromkeys(names.get(axis.key_of(each), "no place") for each in failed)),
                tail="\n".join(failed[0].failure.stderr_tail) if failed[0].failure else "",
            )
            for (case, reason), failed in found.items()
        ),
    )


def doubt_section(records: Sequence[Record]) -> DoubtSection:
    """List the doubts that records have, with what to do about each."""
    rows = []
    for doubt in Doubt:
        found = [record for record in records if doubt in record.doubts]
        if found:
            cases = tuple(dict.fromkeys(str(record.case) for record in found))
            rows.append((str(doubt), ADVICE[doubt], len(found), cases))
    return DoubtSection(rows=tuple(rows))


def _environment_row(environment: Environment, packages: Sequence[str]) -> tuple[str, ...]:
    versions = dict(environment.versions)
    return (
        environment.host.digest,
        environment.label,
        environment.python,
        *(versions.get(name, "") for name in packages),
        environment.compiler,
        str(environment.threads),
        environment.flags,
    )


def _describe_host(host: HostFingerprint) -> str:
    limits = f", container limits {host.container_limits}" if host.container_limits else ""
    return f"{host.processor}, {host.cores} cores, {format_bytes(host.memory_bytes)}, {host.operating_system}{limits}"
