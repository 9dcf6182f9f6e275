"""Every compile of a process, as it happens: who asked for it, what for, how long it took, what caches had of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from firstgrad.observe.events import CacheMiss, CompiledUnit, TimeSpan


class Purpose(StrEnum):
    """What a compile was asked for, told by the functions on the stack."""

    START_POINT = "start_point"
    LOGP = "logp"
    GRADIENT = "gradient"
    EXPAND = "expand"  # what draws need beside the gradient: deterministics, untransformed values
    PREDICTIVE = "predictive"  # prior and posterior predictive, `pm.draw`
    LOG_LIKELIHOOD = "log_likelihood"
    SMC = "smc"
    WRAPPER = "wrapper"  # nutpie's callback around a function
    OTHER = "other"


class CompileKind(StrEnum):
    """What was compiled."""

    PYTENSOR_FUNCTION = "pytensor_function"
    NUMBA_WRAPPER = "numba_wrapper"  # `numba.cfunc`
    JAX_FUNCTION = "jax_function"  # jitted beside PyTensor: by `pymc.sampling.jax`, nutpie, NumPyro, BlackJAX


class CompilePhase(StrEnum):
    """A stage of one compile; they never overlap, but `first_call` may begin long after `link`."""

    LOGP_GRAPH = "logp_graph"
    GRAD_GRAPH = "grad_graph"
    REWRITE = "rewrite"
    LINK = "link"
    FIRST_CALL = "first_call"  # with what Numba and JAX compile then
    COMPILE = "compile"  # of a wrapper or a function of JAX, which have no other phases


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeLine:
    """A line of code."""

    file: str
    line: int
    function: str  # in which it stands; "<module>" for none
    text: str = ""  # the line itself, without its indent; '' where it can't be read


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheCounts:
    """How many units of a compile came from a cache on the disk and how many did not."""

    read: int = 0
    written: int = 0  # compiled, and there for the next process
    never_kept: int = 0  # compiled, and no cache takes them: each process compiles them again
    unknown: int = 0  # compiled; the backend does not tell what its cache did
    never_kept_seconds: float = 0.0  # own seconds of those that are never kept
    misses: tuple[CacheMiss, ...] = ()  # with the reasons

    @property
    def missed(self) -> int:
        """How many were compiled."""
        return self.written + self.never_kept + self.unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedCompile:
    """One compile: a function of PyTensor, a wrapper of Numba, or a function of JAX."""

    number: int  # from 1, within its process
    process: int = 0  # index of the process, 0 for the script's own
    thread: str = "MainThread"
    kind: CompileKind
    purpose: Purpose = Purpose.OTHER
    backend: str = ""  # "numba", "c", "jax", "python"
    asked_by: CodeLine | None = None  # the user's innermost line; none where no line of the user's was on the stack
    library_calls: tuple[str, ...] = ()  # public functions within that line, outermost first: ("pymc.sample", ...)
    call: int = 0  # which call of the first of these, from 1 within its process; 0 where unknown
    within: int | None = None  # number of the compile in which it happened: its seconds are in that one's, too
    graph_digest: str = ""  # equal for equal graphs, names of variables left out; '' where there is no graph
    structure_digest: str = ""  # the same without the values of constants
    constant_bytes: int = 0  # of the graph's constants
    largest_constant_bytes: int = 0
    nodes_before: int = 0  # of the graph, before and after rewriting; 0 where unknown
    nodes_after: int = 0
    variables: tuple[str, ...] = ()  # names of the inputs; those without a name are left out
    model: str = ""  # digest of names and types of the PyMC model's variables; '' where no model was on the stack
    model_object: int = 0  # tells models of equal digest apart: 1 for the process's first model; 0 for none
    began_seconds: float  # of its first phase, since the trace's start
    wall_seconds: float  # of its phases, added up
    cpu_seconds: float  # of the process in these phases, with the compilers that it started
    phases: tuple[TimeSpan, ...] = ()  # in order; their names are those of `CompilePhase`
    units: tuple[CompiledUnit, ...] = ()  # slowest first; those compiled within an inner compile are there
    unit_spans: tuple[TimeSpan, ...] = ()  # when the slowest of them were compiled or read
    cache: CacheCounts = CacheCounts()
    rss_before_bytes: int | None = None  # resident memory when it began
    peak_rss_bytes: int | None = None  # highest within its phases, compilers included; none where nobody looked
    kept_bytes: int | None = None  # resident at its end less at its beginning
    calls: int | None = None  # after the first; none where they can't be seen (nutpie calls the machine code itself)
    call_seconds: float | None = None  # of these calls, from a part of them where there are many
    failure: str = ""  # why it ended without a function; '' where it didn't
