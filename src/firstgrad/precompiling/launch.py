"""The parent's side of ``firstgrad.precompile``: a model in, a filled cache and a report out. Imports no PyMC.

Each child builds the model, writes the same graph and compiles the units that it is told to, in a cache of its own; at
last one of them puts all into the user's. Whatever happens to a child or to this process, the user's cache stays whole.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from firstgrad.backends import load_backend
from firstgrad.case import BackendName, Sampler
from firstgrad.codec import DecodeError, to_json
from firstgrad.errors import FirstgradError, ModelError, SpecError
from firstgrad.measuring.events import UnitsNow, kinds_by_name, read_event, write_event
from firstgrad.measuring.private import make_private_folder, worker_variables
from firstgrad.measuring.starter import remove_folder
from firstgrad.model import Model
from firstgrad.observe import probes
from firstgrad.precompiling.schedule import PlannedUnit, Schedule
from firstgrad.sources import HELD, check_reference
from firstgrad.units import require_count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ASK = (
    "import json, pytensor; c = pytensor.config; "
    "print(json.dumps([str(c.base_compiledir), str(c.compiledir), c.numba__cache]))"
)
_FLAGS = (
    *("floatX", "cxx", "gcc__cxxflags", "blas__ldflags", "openmp", "openmp_elemwise_minsize", "cast_policy"),
    *("optimizer", "optimizer_including", "optimizer_excluding", "optimizer_requiring", "check_input", "allow_gc"),
    *("numba__fastmath", "scan__allow_gc", "scan__allow_output_prealloc", "cmodule__remove_gxx_opt"),
)
"""Of PyTensor's: what the machine code or its place in the cache depends on."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_TAIL_LINES = 12
_AHEAD_SECONDS = 0.2
"""So long a child is idle before it compiles for types that aren't known yet: what is in the cache is there sooner."""
WORKER = "firstgrad.precompiling.worker"


# --- what passes between the processes ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecompileTask:
    """What a child works on."""

    model: Model
    live_file: str  # where the pickled model of a reference ``live:NAME`` is; '' for any other reference
    backend: BackendName
    sampler: Sampler
    cache: str  # the user's, from which its own begins
    folder: str  # its private one
    flags: dict[str, bool | int | float | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """Compile this unit."""

    number: int
    takes: tuple[str, ...]
    others: tuple[str, ...]  # caches of the other children, which may have what is within it


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Add what is in some caches to another."""

    sources: tuple[str, ...]
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    cpu_seconds: float  # of the child so far
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(_Answer):
    """The graph is written, and has these units."""

    units: tuple[PlannedUnit, ...]
    types: dict[str, str]  # of what no unit gives, by name
    likely: dict[str, str]  # of what units give
    cache: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitMade(_Answer):
    """A unit is there."""

    number: int
    gives: tuple[str, ...]
    compiled: bool
    unkept: str
    wall_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged(_Answer):
    """The other cache has these now."""

    entries: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Broke(_Answer):
    """A unit, or all of it where there is no number, raised."""

    number: int | None
    message: str


_EVENTS = kinds_by_name(Opened, UnitMade, Merged, Broke)


# --- the report ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitReport:
    """What became of a unit."""

    name: str
    child: int | None = None  # None where nobody compiled it
    wall_seconds: float = 0.0
    compiled: bool = False  # or it was in the cache
    left: str = ""  # why the cache hasn't got it; '' where it has
    failed: bool = False  # whether that is for an error


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildReport:
    """What a child used."""

    cpu_seconds: float
    peak_bytes: int
    failure: str = ""  # how it ended; '' where it did all that it was told to


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecompileReport:
    """What is in the user's cache now, and what it took."""

    model: str
    backend: BackendName
    sampler: Sampler
    units: tuple[UnitReport, ...]
    children: tuple[ChildReport, ...]
    wall_seconds: float
    entries: int  # added to the user's cache
    size_bytes: int

    @property
    def left(self) -> tuple[UnitReport, ...]:
        """Units that the next compile makes itself."""
        return tuple(unit for unit in self.units if unit.left)

    @property
    def failed(self) -> bool:
        """Whether a child came to a bad end, or a unit wasn't compiled for an error."""
        return any(child.failure for child in self.children) or any(unit.failed for unit in self.units)


# --- the parent ---------------------------------------------------------------------------------------------------


def precompile(
    model: Model,
    *,
    backend: BackendName,
    jobs: int,
    sampler: Sampler = Sampler.PYMC,
    time_limit_seconds: float = 3600.0,
    on_event: Callable[[Any], None] | None = None,
) -> PrecompileReport:
    """Compile a model's units in child processes and put them into the user's cache.

    Raises SpecError where the question is wrong, ModelError where no child could write the graph, FirstgradError past
    the time limit: the user's cache is as it was then.
    """
    require_count("jobs", jobs)
    if backend not in (BackendName.NUMBA, BackendName.C):
        raise SpecError("backend", f"expected numba or c, whose units a cache keeps one by one, got {str(backend)!r}")
    if sampler not in (Sampler.PYMC, Sampler.NUTPIE) or (sampler is Sampler.NUTPIE and backend is BackendName.C):
        raise SpecError("sampler", f"expected pymc, or nutpie with numba, got {str(sampler)!r} with {str(backend)!r}")
    check_reference(model.reference)
    load_backend(backend)
    began = time.monotonic()
    cache, flags = _user_cache(backend)
    with ExitStack() as stack:
        children = [stack.enter_context(_Child(model, backend, sampler, cache, flags)) for _ in range(jobs)]
        session = _Session(children, began + time_limit_seconds, on_event or (lambda _: None))
        merged = session.run(cache)
        return PrecompileReport(
            model=str(model),
            backend=backend,
            sampler=sampler,
            units=session.report(),
            children=tuple(child.report() for child in children),
            wall_seconds=time.monotonic() - began,
            entries=merged.entries,
            size_bytes=merged.size_bytes,
        )


def _user_cache(backend: BackendName) -> tuple[Path, dict[str, Any]]:
    """Find where PyTensor keeps what this backend compiles, and the flags of this process where it has imported it."""
    config = getattr(sys.modules.get("pytensor"), "config", None)
    if config is None:
        done = subprocess.run([sys.executable, "-P", "-c", _ASK], capture_output=True, text=True, check=False)
        try:
            base, compiled, keeps = json.loads(done.stdout.splitlines()[-1])
        except (IndexError, ValueError) as error:
            said = done.stderr.strip().rpartition("\n")[2]
            raise SpecError("backend", f"{backend}: PyTensor can't be imported here: {said}") from error
        flags = {}
    else:
        base, compiled, keeps = config.base_compiledir, config.compiledir, getattr(config, "numba__cache", True)
        known = ((name, getattr(config, name, None)) for name in _FLAGS)
        flags = {name: value for name, value in known if isinstance(value, bool | int | float | str)}
    if backend is BackendName.C:
        return Path(compiled), flags
    if not keeps:
        raise SpecError("backend", "PyTensor's flag numba__cache is off, so nothing would be kept. Switch it on")
    return Path(probes.NUMBA_CACHE_PATH.peek() or Path(base) / "numba"), flags


class _Child:
    """A child process, from its start to its end, and its private folder."""

    def __init__(
        self, model: Model, backend: BackendName, sampler: Sampler, cache: Path, flags: Mapping[str, Any]
    ) -> None:
        self.folder = make_private_folder()
        self.failure, self.cache = "", ""
        self.cpu_seconds, self.peak_bytes = 0.0, 0
        self.waits_for: Make | Merge | None = None
        self.commands: deque[Make | Merge] = deque()
        self.is_open = False
        self._heard = b""
        try:
            live, task = self.folder / "model.live", self.folder / "task.json"
            if (packed := HELD.get(model.reference)) is not None:
                live.write_bytes(packed.content)
            told = PrecompileTask(
                model=model,
                live_file=str(live) if packed is not None else "",
                backend=backend,
                sampler=sampler,
                cache=str(cache),
                folder=str(self.folder),
                flags=dict(flags),
            )
            task.write_text(to_json(told))
            self._printed = (self.folder / "printed").open("w+b")
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", WORKER, str(task)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._printed,
                env=_variables(self.folder),
                bufsize=0,
                process_group=0,  # to be ended with its compilers; and a terminal's Ctrl-C is this process's alone
            )
        except BaseException:
            remove_folder(self.folder)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._printed):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        remove_folder(self.folder)

    @property
    def is_alive(self) -> bool:
        return not self.failure

    def tell(self, command: Make | Merge) -> None:
        self.waits_for = command
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):  # it has ended, which is heard from its other pipe
                self.process.stdin.write(write_event(command))

    def hear(self) -> list[Any]:
        """Read its answers; none more where it has ended."""
        data = os.read(self.process.stdout.fileno(), 1 << 16) if self.process.stdout is not None else b""
        if not data:
            self.failure = self._explain_end()
        *lines, self._heard = (self._heard + data).split(b"\n")
        try:
            answers = [read_event(line, _EVENTS) for line in lines]
        except DecodeError as error:
            self.failure, answers = f"it said what can't be understood ({error})", []
        for answer in answers:
            self.cpu_seconds, self.peak_bytes = answer.cpu_seconds, answer.peak_bytes
        return answers

    def _explain_end(self) -> str:
        code = self.process.wait()
        self._printed.seek(0)
        tail = self._printed.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
        if code == -signal.SIGKILL:
            return "it was killed, as a system does that runs out of memory. Take fewer jobs"
        return f"its process ended with {code}" + (f": {' / '.join(tail)}" if tail else "")

    def report(self) -> ChildReport:
        return ChildReport(cpu_seconds=self.cpu_seconds, peak_bytes=self.peak_bytes, failure=self.failure)


def _variables(folder: Path) -> dict[str, str]:
    """Write a child's environment: private caches, and threads as here, on which a place in the cache depends."""
    variables = worker_variables(folder, os.environ)
    for name in _THREADS:
        variables.pop(name, None)
        if name in os.environ:
            variables[name] = os.environ[name]
    return variables


def _next_command(child: _Child) -> Make | Merge | None:
    return child.commands.popleft() if child.commands else None


@dataclass
class _Session:
    """All children at work."""

    children: list[_Child]
    deadline: float
    on_event: Callable[[Any], None]
    units: tuple[PlannedUnit, ...] = ()
    schedule: Schedule | None = None
    made: dict[int, UnitReport] = field(default_factory=dict)
    merged: Merged | None = None
    ahead: bool = False  # whether nothing was heard for a while

    def run(self, target: Path) -> Merged:
        """Compile all units, then those that call the others, and put all into a cache."""
        self._work(self._next_unit)
        if self.schedule is None:
            raise ModelError(self.children[0].failure)
        if not self._alive:
            raise FirstgradError(f"all processes failed: {self.children[0].failure}. Your cache is as it was")
        if not self.schedule.left:
            closing = [number for number, unit in enumerate(self.units) if unit.closes and unit.key]
            for place, number in enumerate(closing):
                child = self._alive[place % len(self._alive)]
                child.commands.append(self._make(child, number, self.schedule.takes(number)))
            self._work(_next_command)
        caches = tuple(child.cache for child in self.children if child.cache)
        for child in self._alive:  # the next one where one fails
            child.commands.append(Merge(sources=caches, target=str(target)))
            self._work(_next_command)
            if self.merged is not None:
                return self.merged
        raise FirstgradError(f"your cache couldn't be written: {self.children[0].failure}")

    @property
    def _alive(self) -> list[_Child]:
        return [child for child in self.children if child.is_open and child.is_alive]

    def _next_unit(self, child: _Child) -> Make | None:
        found = self.schedule.next(self.children.index(child), ahead=self.ahead) if self.schedule is not None else None
        return self._make(child, *found) if found is not None else None

    def _make(self, child: _Child, number: int, takes: tuple[str, ...]) -> Make:
        others = tuple(one.cache for one in self.children if one.cache and one is not child)
        return Make(number=number, takes=takes, others=others)

    def _work(self, next_command: Callable[[_Child], Make | Merge | None]) -> None:
        """Give children commands and take their answers until there are none left."""
        with selectors.DefaultSelector() as selector:
            for child in self.children:
                if child.is_alive and child.process.stdout is not None:
                    selector.register(child.process.stdout, selectors.EVENT_READ, child)
            while True:
                for child in self._alive:
                    if child.waits_for is None and (command := next_command(child)) is not None:
                        child.tell(command)
                if not any(child.is_alive and (child.waits_for or not child.is_open) for child in self.children):
                    return
                ready = selector.select(_AHEAD_SECONDS)
                self.ahead = not ready
                if time.monotonic() > self.deadline:
                    raise FirstgradError(self._explain_limit())
                for key, _ in ready:
                    if not self._hear(key.data):
                        selector.unregister(key.fileobj)

    def _hear(self, child: _Child) -> bool:
        """Take what a child says; return whether it goes on."""
        for answer in child.hear():
            self._take(child, answer)
        if not child.is_alive and isinstance(child.waits_for, Make):
            self._leave(child.waits_for, child.failure)
        return child.is_alive

    def _take(self, child: _Child, answer: Any) -> None:
        asked, child.waits_for = child.waits_for, None
        match answer:
            case Opened():
                child.is_open, child.cache = True, answer.cache
                if self.schedule is None:
                    self.units, self.schedule = answer.units, Schedule(answer.units, answer.types, answer.likely)
                elif answer.units != self.units:
                    child.failure = "it wrote another graph of this model: does the model depend on the process?"
            case UnitMade():
                if self.schedule is not None and isinstance(asked, Make) and not self.units[answer.number].closes:
                    self.schedule.made(answer.number, asked.takes, answer.gives)
                self.made[answer.number] = UnitReport(
                    name=self.units[answer.number].name,
                    child=self.children.index(child),
                    wall_seconds=answer.wall_seconds,
                    compiled=answer.compiled,
                    left=answer.unkept,
                )
                self.on_event(UnitsNow(compiled=sum(unit.compiled for unit in self.made.values())))
            case Merged():
                self.merged = answer
            case Broke():
                if isinstance(asked, Make):
                    self._leave(asked, answer.message)
                else:
                    child.failure = answer.message

    def _leave(self, asked: Make, why: str) -> None:
        """Note that a unit can't be had, unless that was only tried for types that it may not be called with."""
        unit = self.units[asked.number]
        if unit.closes or self.schedule is None or self.schedule.failed(asked.number, asked.takes):
            self.made[asked.number] = UnitReport(name=unit.name, left=why, failed=True)

    def _explain_limit(self) -> str:
        at = [self.units[child.waits_for.number].name for child in self.children if isinstance(child.waits_for, Make)]
        where = f" in {', '.join(at)}" if at else ""
        return (
            f"precompiling wasn't done in time{where}. Your cache is as it was. Raise the time limit, or take more jobs"
        )

    def report(self) -> tuple[UnitReport, ...]:
        """Tell of each unit that was made or couldn't be."""
        culprits = [unit.name for _, unit in sorted(self.made.items()) if unit.failed]
        why = f"it needs {culprits[0]}" if culprits else "the graph can't be kept, since a unit of it can't"
        left = self.schedule.left if self.schedule is not None else ()
        rest = [
            UnitReport(name=unit.name, left=why, failed=bool(culprits))
            for number, unit in enumerate(self.units)
            if number not in self.made and (number in left or unit.closes)
        ]
        return (*(unit for _, unit in sorted(self.made.items())), *rest)
