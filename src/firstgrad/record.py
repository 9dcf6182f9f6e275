"""A record: everything one sample (one measured process) returned.

Records are raw and versioned: estimates, tables and figures are derived from them and can be made again.

One module although it is long: it is one schema under one version, and most of it is the description of each field.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from firstgrad.case import Case, Sampler
from firstgrad.codec import LATER
from firstgrad.phase import FIRST_DRAW_PHASES, FIRST_GRADIENT_PHASES, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA_VERSION = 3
"""Version of what is stored: records, the store's tables, profiles and sampling runs. Formats of other versions are
refused with a message.
"""


class Status(StrEnum):
    """How a sample ended; ``timeout`` and ``out_of_memory`` are censored, since a limit stopped it."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"
    MISMATCH = "mismatch"


class Verdict(StrEnum):
    """What the check of the results said.

    ``no_oracle``: a model of your own whose file has no oracle; finiteness and a slope were checked.
    ``drew``: every chain drew; `DrawCheck` says what was checked.
    ``unchecked``: the sample ended before the check.
    """

    AGREES = "agrees"
    DISAGREES = "disagrees"
    NO_ORACLE = "no_oracle"
    DREW = "drew"
    UNCHECKED = "unchecked"


class Doubt(StrEnum):
    """The closed list of what may spoil a measurement; `firstgrad.doubts` has the advice for each."""

    SCENARIO_CONTRADICTED = "scenario_contradicted"
    UNACCOUNTED_TIME = "unaccounted_time"
    HIGH_LOAD = "high_load"
    NO_BYTECODE = "no_bytecode"
    NOT_FINITE = "not_finite"
    FEW_EVALUATIONS = "few_evaluations"
    SUSPENDED = "suspended"
    DISCRETE_FIXED = "discrete_fixed"
    GRADIENT_SUSPECT = "gradient_suspect"
    STUCK_CHAIN = "stuck_chain"
    COUNTED = "counted"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRecord:
    """One phase."""

    phase: Phase
    began_seconds: float  # since the start of the worker's clock
    wall_seconds: float  # duration; the processor time includes finished children (compilers)
    cpu_seconds: float
    peak_rss_bytes: int | None = None  # highest resident memory of the process tree in this phase
    self_peak_rss_bytes: int | None = None
    """The same of the measured process alone (exact, from the kernel's high-water mark)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewritePass:
    """One named rewrite pass: its seconds and the graph's nodes before and after it."""

    name: str
    wall_seconds: float
    nodes_before: int | None = None
    nodes_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was counted; equal between identical runs, unlike seconds."""

    groups: int  # free random variables, and numbers at which the gradient is taken
    values: int
    nodes_before: int = 0  # graph nodes before and after rewriting
    nodes_after: int = 0
    nodes_by_type: tuple[tuple[str, int], ...] = ()  # nodes after rewriting by type of operation, most frequent first
    compiled_units: int = 0  # C modules or jitted functions that were compiled in the measured window


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkParts:
    """What a count of work is made of, the largest part first."""

    count: str  # its name in `Work.counts`
    by: str  # what the parts are: "rewriter", "operation" or "unit"
    parts: tuple[tuple[str, int], ...]  # at most 50; the last one is that of all others together, as `REST`

    REST: ClassVar[str] = "(others)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Work that was counted in the measured window: identical runs repeat it, and it moves when work moves."""

    counts: tuple[tuple[str, int], ...] = ()  # by the names of their columns
    parts: tuple[WorkParts, ...] = ()
    unavailable: tuple[str, ...] = ()  # what can't be counted here, each with the reason

    def number(self, name: str) -> int | None:
        """Look up a count; none where it wasn't counted."""
        return dict(self.counts).get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverKept:
    """What was compiled and no cache keeps, so that every process compiles it again; of one compile."""

    purpose: str  # of the compile, as `firstgrad.observe.compiles.Purpose` has it
    names: tuple[str, ...]  # of the units; the first ones where there are many
    units: int
    seconds: float  # the units' own
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """What was read from and written to the private caches in the measured window."""

    entries_before: int  # entries there at the start, taken from the cache, and added to it
    entries_read: int
    entries_written: int
    bytes_written: int  # size of what was added
    contradiction: str | None = None  # why these numbers contradict the scenario; none where they prove it
    never_kept: tuple[NeverKept, ...] = field(default=(), metadata=LATER)
    """Looked for in a first draw. It contradicts no scenario: entries read and none written are proof of a full cache.
    """
    own: str = field(default="", metadata=LATER)
    """Of firstgrad's own executable: whether it was loaded, or made and kept, or why it isn't kept."""

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
    """Memory of the whole sample."""

    peak_rss_bytes: int  # highest resident memory of the process tree, compilers included
    self_peak_rss_bytes: int | None = None  # highest of the measured process alone
    children_peak_rss_bytes: int = 0  # highest of all its children together
    retained_bytes: int | None = None
    """Resident after the first call and a garbage collection, less that before `build`."""
    timeline: tuple[MemoryPoint, ...] = ()  # thinned so that each stretch keeps its peak


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDevice:
    """What JAX's first device was used for: of a case that names a device, or where that isn't the processor.

    Memory is as JAX's own allocator counts it; none where it doesn't tell. It can't be reset, so the peak is that of
    the process up to the end of the first call, with what XLA tried out while it compiled.
    """

    peak_bytes: int | None = None
    kept_bytes: int | None = None  # in use after the first call and a garbage collection, less that before `build`
    limit_bytes: int | None = None  # what JAX may take in all
    left_seconds: tuple[float, ...] = ()  # steady-state calls, until the result is there; it is left on the device
    sent_seconds: tuple[float, ...] = ()  # to bring a point to the device
    fetched_seconds: tuple[float, ...] = ()  # to bring a result to NumPy
    sent_bytes: int = 0  # of a point, and of a result
    fetched_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """Where the oracle and the measured function differ."""

    group: str  # name of the group, or ``"logp"`` for the log-density
    index: tuple[int, ...]  # place within the group's value
    expected: float  # the oracle's number and the measured one
    got: float
    n_different: int = 1  # how many values of this group differ


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFiniteness:
    """How many of a group's gradient values are finite."""

    group: str
    values: int
    nan: int
    infinite: int


class OriginKind(StrEnum):
    """By what kind of operation a value that isn't finite is made."""

    MASK = "mask"
    POWER = "power"
    LOG = "log"
    ROOT = "root"
    DIVISION = "division"
    OVERFLOW = "overflow"
    OUTSIDE = "outside"
    DATA = "data"
    EIGENVALUES = "eigenvalues"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where values that aren't finite are made: the first operation whose result isn't, though what goes into it is."""

    places: tuple[str, ...]  # the first such value of each group or term that has it from there
    values: int  # how many values these are
    is_gradient: bool  # whether they are of the gradient, and not of the log-density
    is_jaxs_own: bool = False  # whether only JAX's own derivative has them
    kind: OriginKind
    fact: str  # what happens there: a sentence without its full stop
    at: tuple[int, ...] = ()  # the element of that operation's result
    line: str = ""  # the user's: file, number and text; '' where it isn't known
    variables: tuple[str, ...] = ()  # from which it is computed
    instead: str = ""  # what to write


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongDerivative:
    """An operation whose derivative differs from finite differences of the operation itself."""

    operation: str
    input: str  # by which
    variables: tuple[str, ...]  # that this input is computed from
    expected: float | None = None  # by finite differences; none where there are none
    got: float | None = None
    line: str = ""  # the user's
    instead: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSlope:
    """The same as `Slope` along a direction within one group."""

    group: str
    expected: float
    got: float
    allowed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """A gradient's slope along one random direction against finite differences of the log-density."""

    expected: float | None = None  # by finite differences
    got: float | None = None  # by the gradient
    allowed: float = 0.0  # difference that the finite differences' own error explains
    skipped: str = ""  # why nothing could be compared; '' where it was
    groups: tuple[GroupSlope, ...] = field(default=(), metadata=LATER)  # where it differs: the groups that do
    derivatives: tuple[WrongDerivative, ...] = field(default=(), metadata=LATER)  # and the operations

    @property
    def differs(self) -> bool:
        """Whether the two differ by more than is allowed."""
        return self.expected is not None and self.got is not None and abs(self.expected - self.got) > self.allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawCheck:
    """What was looked at of the chains' first draws."""

    not_finite: tuple[str, ...] = ()
    """Variables with a NaN or infinite value in some chain's draws, and ``log-density`` where the sampler's own is."""
    draws: int = 1  # of each chain that were looked at: the first one, and those after it
    moved: int | None = None  # chains whose draws stand at different places; none where there is only one draw
    diverging: int = 0  # chains with a draw that diverged
    gradient: str = field(default="", metadata=LATER)  # how it was made, where `firstgrad.sample` drew


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What draws cost after the first: of a second run in the same process, after all else was measured."""

    draws: int  # of each chain, half of them tuning
    seconds_a_draw: float  # of the chain that took longest, all of them side by side
    steps_a_draw: float | None = None  # leapfrog steps; none where the sampler doesn't tell


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstDraw:
    """Who drew, and when each chain had its first draw."""

    sampler: Sampler  # of `auto`, the one that was taken
    reason: str  # why that one; '' where it was asked for
    seconds: tuple[float, ...] = ()  # from the built model to the first draw of each chain, in the order of the chains
    unavailable: tuple[str, ...] = ()  # what this release doesn't tell, each with the reason
    pace: Pace | None = None  # where the case asks for it, and the sampler tells of its draws one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherWay:
    """What another backend said of the same gradient."""

    backend: str
    failure: str = ""  # why it couldn't; '' where it could
    not_finite: tuple[str, ...] = ()  # groups with values that are NaN or infinite
    origins: tuple[Origin, ...] = ()  # and where these are made
    slope: Slope | None = None

    @property
    def is_right(self) -> bool:
        """Whether it gave a gradient with which nothing is wrong, as far as was looked at."""
        return not self.failure and not self.not_finite and not (self.slope is not None and self.slope.differs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What the results are worth."""

    verdict: Verdict  # agreement with the oracle
    logp: float | None = None  # log-density at the start point
    mismatches: tuple[Mismatch, ...] = ()  # the first of each group that differs
    finiteness: tuple[GroupFiniteness, ...] = ()  # every group of the gradient, in model order
    points: int = 0  # at how many points results were compared
    logp_not_finite: tuple[str, ...] = ()
    """Terms of the log-density that are NaN or infinite at the start point: free and observed variables, potentials."""
    held: tuple[str, ...] = ()  # discrete variables, which have no gradient and stay at their start values
    slope: Slope | None = None  # of a user's own model, for which there is no oracle
    draws: DrawCheck | None = field(default=None, metadata=LATER)  # of a first draw
    origins: tuple[Origin, ...] = field(default=(), metadata=LATER)  # where values that aren't finite are made
    rewriting_seconds: float = field(default=0.0, metadata=LATER)
    """To stabilise the graph that the log-density's terms are evaluated by, without a compiler."""
    random_operations: tuple[str, ...] = field(default=(), metadata=LATER)
    """Which draw anew in each call, as a mini-batch does: no two answers are alike, so none were compared."""
    others: tuple[OtherWay, ...] = field(default=(), metadata=LATER)  # other backends, where `check` chose itself
    answer_digest: str = field(default="", metadata=LATER)  # of the first log-density and gradient, bit by bit

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
class Clone:
    """A package that is imported from a folder of its sources, and not from where an installer puts it."""

    name: str
    folder: str  # of the package itself
    git_commit: str = ""  # of its sources; empty where git doesn't have them
    changes: str = ""  # digest of the files where they aren't as in that commit; empty where they are

    @property
    def state(self) -> str:
        """What tells these sources from others, wherever they lie."""
        changes = f"changes {self.changes}" if self.changes else ""
        return " with ".join(filter(None, (f"git {self.git_commit}" if self.git_commit else "", changes)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where and with what it was measured."""

    python: str  # version of the interpreter
    versions: tuple[tuple[str, str], ...]  # of the packages that matter, sorted by name; a clone's own, once imported
    flags: str  # of ``PYTENSOR_FLAGS`` and ``~/.pytensorrc``, without firstgrad's own; of unknown ones a digest
    compiler: str  # first line of ``g++ --version``; empty where there is none
    threads: int  # threads of BLAS and OpenMP
    host: HostFingerprint  # the machine
    load_before: float  # one-minute load average before the sample
    bytecode: bool | None = None  # whether PyMC's compiled bytecode was there before it was imported
    device: str = ""
    """Where compiled functions ran: ``cpu``, or JAX's platform and kind of device, such as ``cuda, NVIDIA H100``; ''
    where the sample ended before that was known.
    """
    git_commit: str = ""  # commit of the measured project; empty outside a repository
    label: str = ""  # what the user called this run
    source_digest: str = ""
    """Of the user's model file and the local modules that it imports (`firstgrad.sources`); empty for ``pose``."""
    clones: tuple[Clone, ...] = ()  # those of `versions` that are imported from sources

    @property
    def packages(self) -> tuple[tuple[str, str], ...]:
        """Those whose versions are a condition: all but firstgrad, whose measuring costs next to nothing.

        A clone's version says little, so its state stands there.
        """
        states = {clone.name: clone.state for clone in self.clones}
        return tuple((name, states.get(name, version)) for name, version in self.versions if name != "firstgrad")

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


STDERR_LINES = 40
_LINE_CHARACTERS, _MESSAGE_CHARACTERS = 1_000, 20_000


def _cut(text: str, most: int) -> str:
    """Leave the middle of a text out where it is longer: what happened stands at its beginning or its end."""
    if len(text) <= most:
        return text
    head, tail = text[: most // 2], text[-most // 4 :]
    return f"{head} [... {len(text) - len(head) - len(tail)} characters left out ...] {tail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a sample gave no full result."""

    kind: str  # type of the error, or the signal's name
    message: str  # what happened and what to do next
    phase: Phase | None = None  # in which phase
    stderr_tail: tuple[str, ...] = ()  # the last lines the worker wrote

    def __post_init__(self) -> None:
        """Cut what is too long to be read by anybody, before it is sent and where it is read alike."""
        for name, most in (("kind", _LINE_CHARACTERS), ("message", _MESSAGE_CHARACTERS)):
            object.__setattr__(self, name, _cut(getattr(self, name), most))
        lines = (_cut(line, _LINE_CHARACTERS) for line in self.stderr_tail[-STDERR_LINES:])
        object.__setattr__(self, "stderr_tail", tuple(lines))

    @classmethod
    def of_error(cls, error: BaseException, phase: Phase | None = None) -> Failure:
        """Describe an error, also one whose text can't be had."""
        try:
            message = str(error).strip()
        except Exception as unreadable:  # noqa: BLE001 - it runs the model's own code
            message = f"its message can't be read: that raises {type(unreadable).__name__}"
        return cls(kind=type(error).__name__, message=message, phase=phase)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Everything that one sample returned. Seconds are floats, sizes are bytes; None where nothing is known."""

    record_id: str  # unique name of this sample
    started_at: str  # UTC, ISO 8601
    case: Case  # what was asked for
    status: Status  # how it ended
    environment: Environment
    phases: tuple[PhaseRecord, ...] = ()  # those that ended, in order
    time_to_first_gradient_seconds: float | None = None
    """From the start of `build` to the end of `first_call`, by one clock."""
    time_to_first_gradient_cpu_seconds: float | None = None  # processor time of the same window, children included
    time_to_first_draw_seconds: float | None = field(default=None, metadata=LATER)
    """From the built model to the first draw of the last chain."""
    time_to_first_draw_cpu_seconds: float | None = field(default=None, metadata=LATER)
    draw: FirstDraw | None = field(default=None, metadata=LATER)
    initial_point_seconds: float = 0.0  # spent on finding a start point of a user's model; outside of the window above
    gc_seconds: float = 0.0  # spent in Python's garbage collector within the window
    suspended_seconds: float = 0.0
    """For how long the sample's processes, from their start to their end, stood still: they were stopped (Ctrl-Z), or
    the machine slept or was paused. It is in the other seconds, too, where the clock went on.
    """
    instructions: int | None = None
    """Executed in user mode within the window, by the process and its children; none where the machine has no such
    counter (`firstgrad.observe.instructions`).
    """
    pytensor_rewriting_seconds: float | None = None  # PyTensor's own account of the two phases, as a cross-check
    pytensor_linker_seconds: float | None = None
    rewrite_passes: tuple[RewritePass, ...] = ()  # named passes of the phase `rewrite`
    counts: Counts | None = None
    work: Work | None = field(default=None, metadata=LATER)
    evaluation_seconds: tuple[float, ...] = ()  # every steady-state call
    memory: Memory | None = None
    on_device: OnDevice | None = field(default=None, metadata=LATER)
    caches: CacheUse | None = None
    check: Check = Check(verdict=Verdict.UNCHECKED)
    failure: Failure | None = None
    doubts: tuple[Doubt, ...] = ()  # what may spoil this record
    model_note: str = field(default="", metadata=LATER)  # how far a script was run for its model
    schema_version: int = SCHEMA_VERSION  # `SCHEMA_VERSION` of the writer

    def phase(self, phase: Phase) -> PhaseRecord | None:
        """Find a phase, its stretches put together; none where the sample did not get that far."""
        stretches = [each for each in self.phases if each.phase is phase]
        if len(stretches) < 2:  # noqa: PLR2004 - nothing to put together
            return next(iter(stretches), None)
        return replace(
            stretches[0],
            wall_seconds=sum(each.wall_seconds for each in stretches),
            cpu_seconds=sum(each.cpu_seconds for each in stretches),
            peak_rss_bytes=_most(each.peak_rss_bytes for each in stretches),
            self_peak_rss_bytes=_most(each.self_peak_rss_bytes for each in stretches),
        )

    @property
    def whole_phases(self) -> tuple[PhaseRecord, ...]:
        """The phases, each once, in the order of `Phase`."""
        return tuple(found for name in Phase if (found := self.phase(name)) is not None)

    @property
    def window_phases(self) -> tuple[Phase, ...]:
        """The phases that the time to the case's target is made of."""
        return FIRST_DRAW_PHASES if self.case.is_draw else FIRST_GRADIENT_PHASES

    @property
    def window_seconds(self) -> float | None:
        """The time to the case's target: the first gradient, or the first draw."""
        return self.time_to_first_draw_seconds if self.case.is_draw else self.time_to_first_gradient_seconds

    @property
    def window_cpu_seconds(self) -> float | None:
        """Processor time of the same window."""
        return self.time_to_first_draw_cpu_seconds if self.case.is_draw else self.time_to_first_gradient_cpu_seconds

    @property
    def longest_phase(self) -> PhaseRecord:
        """The longest of the phases up to the target; raises ValueError where none ended."""
        counted = (each for each in self.whole_phases if each.phase in self.window_phases)
        return max(counted, key=lambda each: each.wall_seconds)

    @property
    def unaccounted_seconds(self) -> float | None:
        """Part of the time to the target that no phase explains."""
        if self.window_seconds is None:
            return None
        explained = sum(each.wall_seconds for each in self.phases if each.phase in self.window_phases)
        return self.window_seconds - explained


def _most(sizes: Iterable[int | None]) -> int | None:
    return max((size for size in sizes if size is not None), default=None)
