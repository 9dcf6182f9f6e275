"""A profile: one record, and where its time and its memory went, as tables that a worker filled.

Profiles are made with instruments switched on, so their seconds are dearer than those of a measurement: they are kept
apart from the store and are never compared with its records.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from firstgrad.observe.events import UnitKind
from firstgrad.record import Phase, Record

PROFILE_VERSION = 1
"""Version of this module's classes. A profile of another version is refused by name."""


class SpanKind(StrEnum):
    """What a stretch of time is spent on."""

    PHASE = "phase"
    PASS = "pass"  # noqa: S105 - of rewriting
    UNIT = "unit"
    IMPORT = "import"
    STEP = "step"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One stretch of time, as a trace viewer draws it. Spans of one thread nest and never overlap otherwise.

    Attributes
    ----------
    kind : SpanKind
        What it is.
    name : str
        Which one.
    began_seconds, wall_seconds : float
        Since the start of the worker's clock, and how long.
    """

    kind: SpanKind
    name: str
    began_seconds: float
    wall_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A compiled unit: a C module, a jitted function, or a module of XLA.

    Attributes
    ----------
    kind : UnitKind
        Which of them.
    name : str
        As the backend calls it.
    phase : Phase, optional
        In which it was compiled.
    own_seconds : float
        Its compile without what it pulled in; these add up without counting anything twice.
    wall_seconds : float
        With all that was compiled within.
    op : str
        The PyTensor operation that it computes; '' where none is known.
    nodes : int
        How many nodes of the graph use it; 0 where unknown.
    sources : tuple of str
        Names of the model's variables nearest to those nodes (``raw_u_3``), nearest first.
    within : str
        Name of the unit whose compile pulled it in; '' for none.
    from_cache : bool
        Taken from a cache: its seconds are those of loading.
    code_bytes : int, optional
        Size of the machine code, or of its file.
    compiler_seconds : float
        Part of its own seconds that the process of a compiler (g++) took; zero where none was started.
    """

    kind: UnitKind
    name: str
    phase: Phase | None
    own_seconds: float
    wall_seconds: float
    op: str = ""
    nodes: int = 0
    sources: tuple[str, ...] = ()
    within: str = ""
    from_cache: bool = False
    code_bytes: int | None = None
    compiler_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewriter:
    """A single rewriter within a pass.

    Attributes
    ----------
    name, pass_name : str
        Its name, and that of the pass it belongs to.
    wall_seconds : float
        Spent in it.
    applied : int
        How often it changed the graph.
    """

    name: str
    pass_name: str
    wall_seconds: float
    applied: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeType:
    """How many nodes of an operation's type the graph has before and after rewriting."""

    name: str
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportTime:
    """What importing a package took: by itself, and with all that it imported first."""

    name: str
    own_seconds: float
    wall_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheMiss:
    """A unit that no cache had, or that none will keep, and why, as far as the backend tells.

    Attributes
    ----------
    name, reason : str
        Which, and why.
    units : int
        How many units this stands for: many of one reason are summed up.
    """

    name: str
    reason: str
    units: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationSite:
    """A place in the code whose memory was alive when the compile held most.

    Attributes
    ----------
    function, file : str
        Innermost Python frame; the file as a package's path, without the machine's own folders.
    line : int
        0 where unknown.
    size_bytes : int
        Alive at the peak.
    allocations : int
        How many.
    native : str
        The native function below that frame which asked for most of it; '' where Python itself did.
    """

    function: str
    file: str
    line: int
    size_bytes: int
    allocations: int
    native: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Where the time of one sample went, as its worker saw it.

    Attributes
    ----------
    rewriters, node_types, units, imports, cache_misses, spans
        See their types; empty where a backend or release does not tell.
    unavailable : tuple of str
        What could not be seen here, each with the reason.
    """

    rewriters: tuple[Rewriter, ...] = ()
    node_types: tuple[NodeType, ...] = ()
    units: tuple[Unit, ...] = ()
    imports: tuple[ImportTime, ...] = ()
    cache_misses: tuple[CacheMiss, ...] = ()
    spans: tuple[Span, ...] = ()
    unavailable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A record made with instruments on, and what they saw.

    Attributes
    ----------
    record : Record
        Phases, passes, counts, memory; its seconds include the instruments' own.
    attribution : Attribution
        Empty where the sample failed before its end.
    allocations : tuple of AllocationSite
        Largest first, from a further run of its own; empty unless asked for.
    profile_version : int
        `PROFILE_VERSION` of the writer.
    """

    record: Record
    attribution: Attribution = Attribution()
    allocations: tuple[AllocationSite, ...] = ()
    profile_version: int = PROFILE_VERSION
