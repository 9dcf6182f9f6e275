"""What can be seen of a compile from a thread beside it: the stack, how many units were compiled, memory.

Units are counted by each package's own public events, taken back at the end. A counter waits until its package has been
imported by someone else; nothing heavy is ever imported here.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from firstgrad.errors import UnavailableError
from firstgrad.observe import probes
from firstgrad.observe.events import Stage, UnitKind
from firstgrad.observe.listeners import jax_device, listen_jax, listen_numba
from firstgrad.observe.processes import PROC, children_of, resident_pages
from firstgrad.progress.history import FormerRun, expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

    from firstgrad.observe.probes import KnownFrame, Probe
    from firstgrad.progress.history import ExpectedTime

_DEEPEST = 9  # levels of processes
_ASKED_OFTEN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class StackLook:
    """What one look at a stack told; 0, '' and none where it did not."""

    stage: Stage = Stage.OTHER
    pass_name: str = ""
    pass_number: int = 0  # from 1
    pass_total: int = 0
    nodes: int = 0  # of the graph being rewritten
    node_number: int = 0  # being linked or converted, from 1
    node_total: int = 0
    unit: str = ""  # what is being compiled, or the operation being linked
    unit_kind: UnitKind | None = None  # of what is being compiled at this moment
    package: str = ""  # being imported
    backend: str = ""
    reads_cache: bool = False  # something is being loaded from a disk cache
    read: tuple[tuple[str, bool], ...] = ()  # readers that were asked, and whether they found what they read


class StackFrame(NamedTuple):
    """A frame as the table of known ones asks for it; locals are read only where a known frame wants them."""

    file: str
    function: str
    locals: Callable[[], Mapping[str, Any]]


def stack_of(frame: FrameType | None, until: FrameType | None = None) -> Iterator[StackFrame]:
    """Walk a running thread's stack, innermost frame first; what lies outside of `until` does not matter."""
    while frame is not None and frame is not until:
        code = frame.f_code
        yield StackFrame(code.co_filename, code.co_qualname, partial(getattr, frame, "f_locals"))
        frame = frame.f_back


def read_stack(stack: Iterable[StackFrame]) -> StackLook:
    """Say what a stack, innermost frame first, is about: what its outermost frame with a stage is, parts included."""
    fields: dict[str, Any] = {}
    names: dict[str, Any] = {}
    read: dict[str, bool] = {}
    stages: list[KnownFrame] = []
    for frame in stack:
        known = probes.known_frame(frame.file, frame.function)
        if known is not None:
            stages += [known] if known.stage is not None else []
            _take(known, frame, fields, names, read)
    weak = (known.stage for known in stages if known.weak)
    stage = next((known.stage for known in reversed(stages) if not known.weak), None) or next(weak, None) or Stage.OTHER
    if stage is Stage.CALL and any(known.stage is Stage.LINK for known in stages):
        stage = Stage.FIRST_CALL
    return StackLook(stage=stage, read=tuple(read.items()), **fields | names)


def _take(
    known: KnownFrame, frame: StackFrame, fields: dict[str, Any], names: dict[str, Any], read: dict[str, bool]
) -> None:
    if known.kind is not None:
        fields.setdefault("unit_kind", known.kind)
    if known.backend:
        fields["backend"] = known.backend
    if known.reads_cache:
        fields["reads_cache"] = True
    if known.outermost is not None:
        fields.update(_read(known.outermost, frame, read))
    if known.innermost is not None and not names:
        names.update(_read(known.innermost, frame, read))


def _read(
    reader: Callable[[Mapping[str, Any]], dict[str, Any]], frame: StackFrame, read: dict[str, bool]
) -> dict[str, Any]:
    """Read a frame's locals. One that is not bound yet is no matter; one that never is gets a warning at the end."""
    try:
        values = reader(frame.locals())
    except Exception:  # noqa: BLE001 - other packages' objects: a display must never disturb a compile
        read.setdefault(reader.__name__, False)
        return {}
    read[reader.__name__] = True
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCount:
    """How many units of a kind were compiled, and how many came from a cache (none: not told)."""

    kind: UnitKind
    compiled: int
    from_cache: int | None = None

    def since(self, before: UnitCount | None) -> UnitCount:
        """Take away what had been counted before."""
        if before is None:
            return self
        cached = None if self.from_cache is None else self.from_cache - (before.from_cache or 0)
        return UnitCount(kind=self.kind, compiled=self.compiled - before.compiled, from_cache=cached)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileSummary:
    """What was seen from start to end."""

    seconds: float = 0.0  # until sampling began, or the end
    stage_seconds: tuple[tuple[Stage, float], ...] = ()
    """In order of first appearance; they add up to the time between the first and the last look."""
    looks: tuple[tuple[Stage, int], ...] = ()  # how many looks saw each stage
    units: tuple[UnitCount, ...] = ()  # compiled, in this process
    peak_rss_bytes: int | None = None  # the largest that was seen
    longest_gap_seconds: float = 0.0
    """Between two looks: a compiler that holds the interpreter's lock stops every thread."""
    cpu_seconds: float = 0.0  # processor time of the watching thread, display included
    sentences: tuple[str, ...] = ()
    """What was compiled and what is needless, as ``firstgrad trace`` says it; of all threads, in the last one's."""

    def _repr_html_(self) -> str:
        """Show it in a notebook: the stages with their seconds, and what was compiled."""
        from firstgrad.progress.displays import summary_html

        return summary_html(self)


class WatchedThread:
    """A thread from its entry into the block, whose frame is `until`, to its exit: what the looks at it add up to."""

    def __init__(
        self, title: str, until: FrameType | None, runs: Sequence[FormerRun], clock: Callable[[], float]
    ) -> None:
        self.title, self.until, self.thread_id = title, until, threading.get_ident()
        self._runs, self._clock = runs, clock
        self._began = self._looked = self._stage_began = clock()
        self.look = StackLook()  # the last one
        self._looks: Counter[Stage] = Counter()
        self._seconds: dict[Stage, float] = {}
        self._read: set[str] = set()
        self._misses: Counter[str] = Counter()
        self._at_start: dict[str, UnitCount] = {}
        self.units: tuple[UnitCount, ...] = ()  # compiled since the start, in this process
        self.rss_bytes: int | None = None  # of the process and its children; none where the system does not tell
        self.processes = 1
        self._peak: int | None = None
        self._gap = 0.0
        self._compiled_until: float | None = None
        self.backend = ""
        self.is_cache_seen = False
        self.is_cache_first: bool | None = None
        self.cpu_seconds = 0.0
        self.sentences: tuple[str, ...] = ()
        self.advice: tuple[str, ...] = ()  # the last of them
        self._has_ended = False

    def count_from(self, units: Sequence[UnitCount]) -> None:
        """Take what was compiled before as the zero."""
        self._at_start = {count.kind: count for count in units}

    def take(self, look: StackLook) -> None:
        """Take a look into account."""
        if self._has_ended:
            return
        now = self._clock()
        self._gap = max(self._gap, now - self._looked)
        if look.stage is not self.look.stage:
            self._stage_began = self._looked
        self._seconds[look.stage] = self._seconds.get(look.stage, 0.0) + now - self._looked
        self._looks[look.stage] += 1
        self.look, self._looked = look, now
        self._read.update(reader for reader, was_read in look.read if was_read)
        self._misses.update(reader for reader, was_read in look.read if not was_read)
        if look.backend and not (look.backend == "c" and self.backend):
            self.backend = look.backend
        self.is_cache_seen = self.is_cache_seen or look.reads_cache
        if look.stage is Stage.SAMPLE and self._compiled_until is None:
            self._compiled_until = now

    def end(self) -> None:
        """Take no look into account any more: what follows is firstgrad's own."""
        self._has_ended = True
        self._compiled_until = self._compiled_until if self._compiled_until is not None else self._clock()

    def seconds_in(self, stage: Stage) -> float:
        """Seconds of a stage so far."""
        return self._seconds.get(stage, 0.0)

    def count(self, units: Sequence[UnitCount]) -> None:
        """Take the counts of this process into account."""
        self.units = tuple(count.since(self._at_start.get(count.kind)) for count in units)
        self.is_cache_seen = self.is_cache_seen or any(count.from_cache for count in self.units)
        if self.is_cache_first is None and (self.compiled or self.is_cache_seen):
            self.is_cache_first = not self.compiled

    def weigh(self, rss: tuple[int, int]) -> None:
        """Take a look at the memory into account."""
        self.rss_bytes, self.processes = rss
        self._peak = max(self._peak or 0, self.rss_bytes)

    @property
    def is_visible(self) -> bool:
        """Whether there is something to show: samplers have displays of their own."""
        if self._has_ended:
            return False
        if self.look.stage is Stage.SAMPLE:
            return self.look.unit_kind is not None
        return self._compiled_until is None or self.look.stage.is_compile

    @property
    def is_compile_seen(self) -> bool:
        """Whether anything was compiled at all."""
        return any(stage.is_compile for stage in tuple(self._looks))  # the watching thread may add one meanwhile

    @property
    def compiled(self) -> int | None:
        """How many units were compiled; none where nobody counted."""
        return sum(count.compiled for count in self.units) if self.units else None

    @property
    def unread(self) -> tuple[str, ...]:
        """Readers that were asked often and never found what they read."""
        never = (reader for reader, misses in tuple(self._misses.items()) if misses >= _ASKED_OFTEN)
        return tuple(reader for reader in never if reader not in self._read)

    @property
    def elapsed_seconds(self) -> float:
        """Since the start."""
        return self._clock() - self._began

    @property
    def stage_seconds(self) -> float:
        """In the present stage."""
        return self._clock() - self._stage_began

    @property
    def expected(self) -> ExpectedTime | None:
        """How long it may still take, where former runs tell."""
        if self._compiled_until is not None or not self._runs:
            return None
        return expect(
            self._runs,
            elapsed_seconds=self.elapsed_seconds,
            backend=self.backend,
            device=jax_device(),
            compiled=self.compiled or 0,
            is_cache_first=self.is_cache_first,
        )

    def summary(self) -> CompileSummary:
        """Say how it went."""
        until = self._compiled_until if self._compiled_until is not None else self._clock()
        return CompileSummary(
            seconds=until - self._began,
            stage_seconds=tuple(self._seconds.items()),
            looks=tuple(self._looks.items()),
            units=self.units,
            peak_rss_bytes=self._peak,
            longest_gap_seconds=self._gap,
            cpu_seconds=self.cpu_seconds,
            sentences=self.sentences,
        )

    def to_run(self, key: str, seconds: float) -> FormerRun:
        """Make what later runs are told."""
        return FormerRun(
            key=key,
            seconds=round(seconds, 3),
            backend=self.backend,
            device=jax_device() if self.backend == "jax" else "cpu",
            compiled=self.compiled,
            is_cache_first=self.is_cache_first,
        )


class UnitCounter:
    """Counts the units of one kind in this process, by events of their package's own.

    It listens once someone else has imported the module of `first`: `listen` registers what adds to `compiled` and
    `from_cache`, and returns what takes it back. Where it can't, `refused` becomes the problem.
    """

    def __init__(
        self, kind: UnitKind, first: Probe, listen: Callable[[UnitCounter], Callable[[], None]], refused: str
    ) -> None:
        self._kind, self._first, self._listen, self._refused = kind, first, listen, refused
        self._undo: Callable[[], None] | None = None
        self.compiled = 0
        self.from_cache: int | None = None
        self.problem = ""
        """Why this release cannot be counted; '' where it can."""

    def add(self, compiled: int = 1, from_cache: int = 0) -> None:
        """Count what was told."""
        self.compiled += compiled
        if self.from_cache is not None:
            self.from_cache += from_cache

    def attach(self) -> bool:
        """Begin to listen if the package is there by now; say whether it listens. Cheap, and may be called often."""
        if self._undo is None and not self.problem and self._first.is_near():
            try:
                self._undo = self._listen(self)
            except (UnavailableError, AttributeError, TypeError, ValueError):
                self.problem = self._refused
        return self._undo is not None

    def detach(self) -> None:
        """Listen no longer; leaves no trace."""
        if self._undo is not None:
            self._undo()
            self._undo = None

    def units(self) -> UnitCount | None:
        """Count; none where nothing is known. What came from a cache was told as compiled, too."""
        if self._undo is None:
            return None
        compiled = max(self.compiled - (self.from_cache or 0), 0)
        return UnitCount(kind=self._kind, compiled=compiled, from_cache=self.from_cache)


def _listen_to_jax(counter: UnitCounter) -> Callable[[], None]:
    counter.from_cache = 0
    return listen_jax(
        lambda step, _seconds, _function: counter.add(step == "compile"),
        lambda event: counter.add(0, event == probes.JAX_CACHE_HIT),
    )


def make_counters() -> tuple[UnitCounter, UnitCounter]:
    """Make a counter of jitted functions, and one of XLA's modules."""
    numba = UnitCounter(
        UnitKind.JITTED_FUNCTION,
        probes.NUMBA_LISTENER,
        lambda counter: listen_numba(lambda _: None, lambda _: counter.add()),  # what is cached sends no event
        "this release of Numba does not tell of its compiles",
    )
    jax = UnitCounter(
        UnitKind.XLA_MODULE,
        probes.JAX_ON_DURATION,
        _listen_to_jax,
        "this release of JAX lets no listener go again, so its modules are not counted",
    )
    return numba, jax


def c_modules() -> UnitCount | None:
    """Count the C modules of PyTensor's cache: they are looked at, not listened to."""
    counts = probes.module_counts(probes.MODULE_CACHE.peek())
    return None if counts is None else UnitCount(kind=UnitKind.C_MODULE, compiled=counts[0], from_cache=counts[1])


def tree_rss_bytes(root: Path = PROC) -> tuple[int, int] | None:
    """Read resident bytes of this process and all below it, and their number; cheap; none where Linux isn't."""
    pages, processes, level = 0, 0, [os.getpid()]
    for _ in range(_DEEPEST):
        below: list[int] = []
        for process in (root / str(pid) for pid in level):
            if (resident := resident_pages(process)) is not None:
                pages, processes = pages + resident, processes + 1
                below += children_of(process)
        level = below
    # Not every system has a size of pages.
    return (pages * os.sysconf("SC_PAGE_SIZE"), processes) if processes else None
