"""A record: everything one sample (one measured process) returned.

Records are raw and versioned: estimates, tables and figures are derived from them and can be made again.

One module although it is long: it is one schema under one version, and most of it is the description of each field.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from firstgrad.case import Case

SCHEMA_VERSION = 3
"""Version of what is stored: records, the store's tables, profiles and sampling runs. Formats of other versions are
refused with a message.
"""


class Status(StrEnum):
    """How a sample ended. ``timeout`` and ``out_of_memory`` are censored, the rest of the bad ones failed."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"
    MISMATCH = "mismatch"


class Phase(StrEnum):
    """A timed stage of one measurement, in order."""

    IMPORT = "import"
    BUILD = "build"
    LOGP_GRAPH = "logp_graph"
    GRAD_GRAPH = "grad_graph"
    REWRITE = "rewrite"
    LINK = "link"
    FIRST_CALL = "first_call"
    EVALUATE = "evaluate"


FIRST_GRADIENT_PHASES = (
    Phase.BUILD,
    Phase.LOGP_GRAPH,
    Phase.GRAD_GRAPH,
    Phase.REWRITE,
    Phase.LINK,
    Phase.FIRST_CALL,
)
"""The phases between the start of `build` and the first gradient."""


class Verdict(StrEnum):
    """What the check of the results said.

    ``no_oracle``: a user's own model, whose file offers none: finiteness and a slope were looked at.
    ``unchecked``: nothing came that far.
    """

    AGREES = "agrees"
    DISAGREES = "disagrees"
    NO_ORACLE = "no_oracle"
    UNCHECKED = "unchecked"


class Doubt(StrEnum):
    """The closed list of what may spoil a measurement; `firstgrad.doubts` has the advice for each."""

    SCENARIO_CONTRADICTED = "scenario_contradicted"
    UNACCOUNTED_TIME = "unaccounted_time"
    HIGH_LOAD = "high_load"
    NO_BYTECODE = "no_bytecode"
    NOT_FINITE = "not_finite"
    FEW_EVALUATIONS = "few_evaluations"
    DISCRETE_FIXED = "discrete_fixed"
    GRADIENT_SUSPECT = "gradient_suspect"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRecord:
    """One phase.

    Attributes
    ----------
    phase : Phase
        Which.
    began_seconds : float
        Since the start of the worker's clock.
    wall_seconds, cpu_seconds : float
        Duration; the processor time includes finished children (compilers).
    peak_rss_bytes : int, optional
        Highest resident memory of the process tree in this phase.
    self_peak_rss_bytes : int, optional
        The same of the measured process alone (exact, from the kernel's high-water mark).
    """

    phase: Phase
    began_seconds: float
    wall_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int | None = None
    self_peak_rss_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RewritePass:
    """One named rewrite pass: its seconds and the graph's nodes before and after it."""

    name: str
    wall_seconds: float
    nodes_before: int | None = None
    nodes_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was counted; equal between identical runs, unlike seconds.

    Attributes
    ----------
    groups, values : int
        Free random variables, and numbers at which the gradient is taken.
    nodes_before, nodes_after : int
        Graph nodes before and after rewriting.
    nodes_by_type : tuple of (str, int)
        Nodes after rewriting by type of operation, most frequent first.
    compiled_units : int
        C modules or jitted functions that were compiled in the measured window.
    """

    groups: int
    values: int
    nodes_before: int = 0
    nodes_after: int = 0
    nodes_by_type: tuple[tuple[str, int], ...] = ()
    compiled_units: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """What was read from and written to the private caches in the measured window.

    Attributes
    ----------
    entries_before, entries_read, entries_written : int
        Entries there at the start, taken from the cache, and added to it.
    bytes_written : int
        Size of what was added.
    contradiction : str, optional
        Why these numbers contradict the scenario; none where they prove it.
    """

    entries_before: int
    entries_read: int
    entries_written: int
    bytes_written: int
    contradiction: str | None = None

    @property
    def is_proven(self) -> bool:
        """Whether the numbers agree with the scenario."""
        return self.contradiction is None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPoint:
    """Resident memory of the process tree at one time (seconds since the start of the worker's clock)."""

    at_seconds: float
    rss_bytes: int
    children_rss_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory of the whole sample.

    Attributes
    ----------
    peak_rss_bytes : int
        Highest resident memory of the process tree, compilers included.
    self_peak_rss_bytes : int, optional
        Highest of the measured process alone.
    children_peak_rss_bytes : int
        Highest of all its children together.
    retained_bytes : int, optional
        Resident after the first call and a garbage collection, less that before `build`.
    timeline : tuple of MemoryPoint
        Thinned so that each stretch keeps its peak.
    """

    peak_rss_bytes: int
    self_peak_rss_bytes: int | None = None
    children_peak_rss_bytes: int = 0
    retained_bytes: int | None = None
    timeline: tuple[MemoryPoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """Where the oracle and the measured function differ.

    Attributes
    ----------
    group : str
        Name of the group, or ``"logp"`` for the log-density.
    index : tuple of int
        Place within the group's value.
    expected, got : float
        The oracle's number and the measured one.
    n_different : int
        How many values of this group differ.
    """

    group: str
    index: tuple[int, ...]
    expected: float
    got: float
    n_different: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFiniteness:
    """How many of a group's gradient values are finite."""

    group: str
    values: int
    nan: int
    infinite: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """A gradient's slope along one random direction against finite differences of the log-density.

    Attributes
    ----------
    expected : float, optional
        By finite differences.
    got : float, optional
        By the gradient.
    allowed : float
        Difference that the finite differences' own error explains.
    skipped : str
        Why nothing could be compared; '' where it was.
    """

    expected: float | None = None
    got: float | None = None
    allowed: float = 0.0
    skipped: str = ""

    @property
    def differs(self) -> bool:
        """Whether the two differ by more than is allowed."""
        return self.expected is not None and self.got is not None and abs(self.expected - self.got) > self.allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What the results are worth.

    Attributes
    ----------
    verdict : Verdict
        Agreement with the oracle.
    logp : float, optional
        Log-density at the start point.
    mismatches : tuple of Mismatch
        The first of each group that differs.
    finiteness : tuple of GroupFiniteness
        Every group of the gradient, in model order.
    points : int
        At how many points results were compared.
    logp_not_finite : tuple of str
        Terms of the log-density that are NaN or infinite at the start point: free and observed variables, potentials.
    held : tuple of str
        Discrete variables, which have no gradient and stay at their start values.
    slope : Slope, optional
        Of a user's own model, for which there is no oracle.
    """

    verdict: Verdict
    logp: float | None = None
    mismatches: tuple[Mismatch, ...] = ()
    finiteness: tuple[GroupFiniteness, ...] = ()
    points: int = 0
    logp_not_finite: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    slope: Slope | None = None

    @property
    def n_not_finite(self) -> int:
        """How many gradient values are NaN or infinite."""
        return sum(group.nan + group.infinite for group in self.finiteness)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFingerprint:
    """What must be equal before two timings may be compared."""

    processor: str
    cores: int
    memory_bytes: int
    operating_system: str
    container_limits: str = ""

    @property
    def digest(self) -> str:
        """Short name of this host for tables and blocks."""
        import hashlib

        text = "\n".join(
            (
                self.processor,
                str(self.cores),
                str(self.memory_bytes),
                self.operating_system,
                self.container_limits,
            )
        )
        return hashlib.sha256(text.encode()).hexdigest()[:10]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where and with what it was measured.

    Attributes
    ----------
    python : str
        Version of the interpreter.
    versions : tuple of (str, str)
        Installed versions of the packages that matter, sorted by name.
    flags : str
        ``PYTENSOR_FLAGS`` that the user had set, without firstgrad's own.
    compiler : str
        First line of ``g++ --version``; empty where there is none.
    threads : int
        Threads of BLAS and OpenMP.
    host : HostFingerprint
        The machine.
    load_before : float
        One-minute load average before the sample.
    bytecode : bool
        Whether PyMC's compiled bytecode was there before it was imported.
    device : str
        Where compiled functions ran: ``cpu``, or JAX's platform and kind of device, such as ``cuda, NVIDIA H100``; ''
        where the sample ended before that was known.
    git_commit : str
        Commit of the measured project; empty outside a repository.
    label : str
        What the user called this run.
    source_digest : str
        Of the user's model file and the local modules that it imports (`firstgrad.sources`); empty for ``pose``.
    """

    python: str
    versions: tuple[tuple[str, str], ...]
    flags: str
    compiler: str
    threads: int
    host: HostFingerprint
    load_before: float
    bytecode: bool | None = None
    device: str = ""
    git_commit: str = ""
    label: str = ""
    source_digest: str = ""

    @property
    def packages(self) -> tuple[tuple[str, str], ...]:
        """Those whose versions are a condition: all but firstgrad, whose measuring costs next to nothing."""
        return tuple(version for version in self.versions if version[0] != "firstgrad")

    @property
    def conditions(self) -> str:
        """Digest of all that must be equal before numbers may be put together."""
        import hashlib

        from firstgrad.codec import to_json

        parts: list[object] = [self.host.digest, self.python, self.compiler, self.threads, self.flags, self.packages]
        if self.device not in ("", "cpu"):
            parts.append(self.device)
        if self.bytecode is False:
            parts.append("no bytecode")
        return hashlib.sha256(to_json(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a sample gave no full result.

    Attributes
    ----------
    kind : str
        Type of the error, or the signal's name.
    message : str
        What happened and what to do next.
    phase : Phase, optional
        In which phase.
    stderr_tail : tuple of str
        The last lines the worker wrote.
    """

    kind: str
    message: str
    phase: Phase | None = None
    stderr_tail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One sample.

    Attributes
    ----------
    schema_version : int
        `SCHEMA_VERSION` of the writer.
    record_id : str
        Unique name of this sample.
    started_at : str
        UTC, ISO 8601.
    case : Case
        What was asked for.
    status : Status
        How it ended.
    phases : tuple of PhaseRecord
        Those that ended, in order.
    time_to_first_gradient_seconds : float, optional
        From the start of `build` to the end of `first_call`, by one clock.
    time_to_first_gradient_cpu_seconds : float, optional
        Processor time of the same window, children included.
    initial_point_seconds : float
        Spent on finding a start point of a user's model; outside of the window above.
    gc_seconds : float
        Spent in Python's garbage collector within the window.
    instructions : int, optional
        Executed in user mode within the window, by the process and its children; none where the machine has no such
        counter (`firstgrad.observe.instructions`).
    pytensor_rewriting_seconds, pytensor_linker_seconds : float, optional
        PyTensor's own account of the two phases, as a cross-check.
    rewrite_passes : tuple of RewritePass
        Named passes of the phase `rewrite`.
    counts, memory, caches, check, environment, failure
        See their types.
    evaluation_seconds : tuple of float
        Every steady-state call.
    doubts : tuple of Doubt
        What may spoil this record.
    """

    record_id: str
    started_at: str
    case: Case
    status: Status
    environment: Environment
    phases: tuple[PhaseRecord, ...] = ()
    time_to_first_gradient_seconds: float | None = None
    time_to_first_gradient_cpu_seconds: float | None = None
    initial_point_seconds: float = 0.0
    gc_seconds: float = 0.0
    instructions: int | None = None
    pytensor_rewriting_seconds: float | None = None
    pytensor_linker_seconds: float | None = None
    rewrite_passes: tuple[RewritePass, ...] = ()
    counts: Counts | None = None
    evaluation_seconds: tuple[float, ...] = ()
    memory: Memory | None = None
    caches: CacheUse | None = None
    check: Check = Check(verdict=Verdict.UNCHECKED)
    failure: Failure | None = None
    doubts: tuple[Doubt, ...] = ()
    schema_version: int = SCHEMA_VERSION

    def phase(self, phase: Phase) -> PhaseRecord | None:
        """Find a phase; none where the sample did not get that far."""
        return next((each for each in self.phases if each.phase is phase), None)

    @property
    def longest_phase(self) -> PhaseRecord:
        """The longest of the phases up to the first gradient; raises ValueError where none ended."""
        counted = (each for each in self.phases if each.phase in FIRST_GRADIENT_PHASES)
        return max(counted, key=lambda each: each.wall_seconds)

    @property
    def unaccounted_seconds(self) -> float | None:
        """Part of the time to first gradient that no phase explains."""
        if self.time_to_first_gradient_seconds is None:
            return None
        explained = sum(each.wall_seconds for each in self.phases if each.phase in FIRST_GRADIENT_PHASES)
        return self.time_to_first_gradient_seconds - explained
