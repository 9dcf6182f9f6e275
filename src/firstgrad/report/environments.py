"""Where and with what it was measured."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from firstgrad.row import packages_of
from firstgrad.show.words import shown
from firstgrad.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from firstgrad.record import Environment, HostFingerprint, Record
    from firstgrad.row import Row

MOST_ENVIRONMENTS = 50
_LONGEST_TEXT = 200


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
        An environment each.
    left_out : int
        How many environments have no row.
    """

    template: ClassVar[str] = "environments.html"
    id: ClassVar[str] = "environments"
    title: ClassVar[str] = "Where and with what it was measured"
    hosts: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class RowEnvironment:
    """Rows of equal conditions: their name on the page, and how many they are; the newest of them."""

    name: str
    samples: int
    newest: Row


def environment_section(records: Sequence[Record]) -> EnvironmentSection:
    """List hosts and environments, in the order of their first records."""
    hosts = {record.environment.host.digest: record.environment.host for record in records}
    packages = sorted({name for record in records for name, _ in record.environment.versions})
    counted = Counter(_environment_row(record.environment, packages) for record in records)
    head = ("host", "label", "Python", *packages, "compiler", "threads", "flags", "samples")
    return EnvironmentSection(
        hosts=tuple((digest, _describe_host(host)) for digest, host in hosts.items()),
        columns=head,
        rows=tuple((*row, str(count)) for row, count in counted.items()),
    )


def find_environments(rows: Iterable[Row]) -> dict[str, RowEnvironment]:
    """Name the environments of rows: ``E1`` is the one that was measured in last.

    Returns
    -------
    dict of str to RowEnvironment
        By `Row.conditions`, the newest first.
    """
    samples: Counter[str] = Counter()
    newest: dict[str, Row] = {}
    for row in rows:
        samples[row.conditions] += 1
        if row.conditions not in newest or row.started_at > newest[row.conditions].started_at:
            newest[row.conditions] = row
    ordered = sorted(newest.values(), key=lambda row: row.started_at, reverse=True)
    return {
        row.conditions: RowEnvironment(name=f"E{number}", samples=samples[row.conditions], newest=row)
        for number, row in enumerate(ordered, start=1)
    }


def environment_section_of(
    environments: Mapping[str, RowEnvironment], records: Mapping[str, Record]
) -> EnvironmentSection:
    """List the newest environments and their hosts.

    Parameters
    ----------
    environments : mapping of str to RowEnvironment
        From `find_environments`.
    records : mapping of str to Record
        By `record_id`: the newest of each environment that is listed.
    """
    listed = [
        (each, record.environment)
        for each in list(environments.values())[:MOST_ENVIRONMENTS]
        if (record := records.get(each.newest.record_id)) is not None
    ]
    hosts = {environment.host.digest: environment.host for _, environment in listed}
    packages = sorted({name for _, environment in listed for name, _ in packages_of(environment.versions)})
    return EnvironmentSection(
        hosts=tuple((digest, shown(_describe_host(host), _LONGEST_TEXT)) for digest, host in hosts.items()),
        columns=("environment", "host", "Python", *packages, "compiler", "threads", "flags", "samples"),
        rows=tuple((each.name, *_own_row(environment, packages), f"{each.samples:,}") for each, environment in listed),
        left_out=len(environments) - len(listed),
    )


def _own_row(environment: Environment, packages: Sequence[str]) -> tuple[str, ...]:
    host, _, *rest = _environment_row(environment, packages)
    return host, *(shown(text, _LONGEST_TEXT) for text in rest)


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
