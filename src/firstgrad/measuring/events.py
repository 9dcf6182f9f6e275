"""What passes through the worker's private pipe: one task in, events out, a record last. JSON, a line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firstgrad.case import Case
from firstgrad.codec import DecodeError, from_json, to_json
from firstgrad.observe.events import Attribution
from firstgrad.phase import Phase
from firstgrad.record import Environment, PhaseRecord, Record

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LINE_BYTES = 64 * 1024 * 1024
"""A longer line is garbage; the longest real one is a record with every evaluation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a worker is asked to do; what the parent knows already is copied into the record."""

    case: Case
    record_id: str
    started_at: str
    environment: Environment
    cache_folder: str
    """Root of the private caches."""
    packages: tuple[tuple[str, str], ...] = ()
    """Where each package is that the environment tells of: from there it is to be imported."""
    profile: bool = False
    """Whether to switch instruments on and tell where the time went."""
    allocations_file: str = ""
    """Where memray writes what the compile allocated; '' for no such thing."""
    live_file: str = ""
    """Where the pickled model of a reference ``live:NAME`` is; '' for any other reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The worker's clock began at this reading of the machine's monotonic clock."""

    monotonic_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A package that was imported: what it says of its version ('' where it says nothing), and where it is."""

    name: str
    version: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What only the worker sees of its environment, told once its modules are imported, and again at its end."""

    device: str
    bytecode: bool | None
    imported: tuple[Imported, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseBegan:
    """A phase began, so many seconds after the start of the worker's clock."""

    phase: Phase
    at_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEnded:
    """A phase ended, with its times."""

    record: PhaseRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class PassBegan:
    """A rewrite pass is next."""

    name: str
    number: int
    total: int
    nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNow:
    """Resident memory of the worker's process tree, from the watcher."""

    at_seconds: float
    rss_bytes: int
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsNow:
    """So many units were compiled in this process so far."""

    compiled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled:
    """Where the time went; comes before the last word, and only where the task asks for it."""

    attribution: Attribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The worker's last word."""

    record: Record


type WorkerEvent = Started | Conditions | PhaseBegan | PhaseEnded | PassBegan | UnitsNow | Profiled | Finished
type Event = WorkerEvent | MemoryNow


def kinds_by_name(*kinds: type) -> dict[str, type]:
    """List the events of a kind of worker."""
    return {kind.__name__: kind for kind in kinds}


KINDS = kinds_by_name(Started, Conditions, PhaseBegan, PhaseEnded, PassBegan, UnitsNow, Profiled, Finished)


def write_event(event: object) -> bytes:
    """Write an event as one line: its class name, a space, its JSON."""
    return f"{type(event).__name__} {to_json(event)}\n".encode()


def read_event(line: bytes, kinds: Mapping[str, type] = KINDS) -> Any:
    """Read one line of the pipe; raises `DecodeError` where it is no event."""
    name, _, text = line.partition(b" ")
    kind = kinds.get(name.decode("ascii", "replace"))
    if kind is None:
        raise DecodeError(f"not an event: {line[:80]!r}")
    return from_json(text, kind)
