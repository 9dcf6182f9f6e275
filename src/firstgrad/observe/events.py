"""The words in which firstgrad tells of a compile."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from firstgrad.codec import LATER
from firstgrad.phase import Phase


class UnitKind(StrEnum):
    """What a backend compiles one by one."""

    C_MODULE = "c_module"
    JITTED_FUNCTION = "jitted_function"
    XLA_MODULE = "xla_module"


class Stage(StrEnum):
    """What a thread is doing. Wider than `firstgrad.phase.Phase`: users also import, sample and wait."""

    IMPORT = "import"
    BUILD = "build"
    INITIAL_POINT = "initial_point"
    LOGP_GRAPH = "logp_graph"
    GRAD_GRAPH = "grad_graph"
    REWRITE = "rewrite"
    LINK = "link"
    FIRST_CALL = "first_call"
    CALL = "call"
    SAMPLE = "sample"
    OTHER = "other"

    @property
    def is_compile(self) -> bool:
        """Whether something is on its way to a compiled function."""
        return self in {"initial_point", "logp_graph", "grad_graph", "rewrite", "link", "first_call"}


class SpanKind(StrEnum):
    """What a stretch of time is spent on."""

    PHASE = "phase"
    PASS = "pass"  # noqa: S105 - of rewriting
    UNIT = "unit"
    IMPORT = "import"
    STEP = "step"


WHOLE_GRAPH = "FunctionGraph"  # the operation of a unit that computes the whole graph

type LineShares = tuple[tuple[int, float], ...]
"""Parts of something by the place of their line in `Attribution.lines`; empty where none is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeLine:
    """A line of code."""

    file: str
    line: int
    function: str  # in which it stands; "<module>" for none
    text: str = ""  # the line itself, without its indent; '' where it can't be read


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file, or a cell of a notebook, of the user's."""

    file: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineNodes:
    """How many nodes are of one of the user's lines; a node of several lines is split between them."""

    line: CodeLine | None  # none: of those that are of no line
    density: float  # in the log-density as it was written
    before: float  # in the graph that is compiled, gradient included, before rewriting
    after: float  # the same after rewriting
    operations: float  # as `after`, with each operation that was fused into one, or is in the body of a loop


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSpan:
    """One stretch of time, as a trace viewer draws it. Spans of one thread nest and never overlap otherwise."""

    kind: SpanKind
    name: str
    began_seconds: float  # since the start of the worker's clock
    wall_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledUnit:
    """A compiled unit: a C module, a jitted function, or a module of XLA."""

    kind: UnitKind
    name: str  # as the backend calls it
    phase: Phase | None  # in which it was compiled
    own_seconds: float  # its compile without what it pulled in; these add up without counting anything twice
    wall_seconds: float  # with all that was compiled within
    op: str = ""  # the PyTensor operation that it computes; '' where none is known
    nodes: int = 0  # how many nodes of the graph use it; 0 where unknown
    sources: tuple[str, ...] = ()  # names of the model's variables nearest to those nodes (``raw_u_3``), nearest first
    within: str = ""  # name of the unit whose compile pulled it in; '' for none
    from_cache: bool = False  # taken from a cache: its seconds are those of loading
    code_bytes: int | None = None  # size of the machine code, or of its file
    compiler_seconds: float = 0.0
    """Part of its own seconds that the process of a compiler (g++) took; zero where none was started."""
    lines: LineShares = field(default=(), metadata=LATER)  # of the nodes that use it; none for the whole graph's unit

    @property
    def is_whole_graph(self) -> bool:
        """Whether it computes the whole graph."""
        return self.op == WHOLE_GRAPH


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriterTime:
    """A single rewriter within a pass."""

    name: str
    pass_name: str
    wall_seconds: float
    applied: int  # how often it changed the graph
    lines: LineShares = field(default=(), metadata=LATER)  # of the nodes that it replaced


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTypeCount:
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
    """A unit that no cache had, or that none will keep, and why, as far as the backend tells."""

    name: str
    reason: str
    units: int = 1  # how many units this stands for: many of one reason are summed up


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Where the time of one sample went, as its worker saw it; empty where a backend or release does not tell."""

    rewriters: tuple[RewriterTime, ...] = ()
    node_types: tuple[NodeTypeCount, ...] = ()
    units: tuple[CompiledUnit, ...] = ()
    imports: tuple[ImportTime, ...] = ()
    cache_misses: tuple[CacheMiss, ...] = ()
    spans: tuple[TimeSpan, ...] = ()
    unavailable: tuple[str, ...] = ()  # what could not be seen here, each with the reason
    lines: tuple[LineNodes, ...] = field(default=(), metadata=LATER)  # the first is that of no line
    sources: tuple[SourceFile, ...] = field(default=(), metadata=LATER)  # the files that the lines are of
