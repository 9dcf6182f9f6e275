"""What a worker is watched by for a profile: switched on around its stages, asked once at its end."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from firstgrad.case import BackendName
from firstgrad.errors import UnavailableError, WorkerError
from firstgrad.observe import probes
from firstgrad.observe.c_modules import CModuleListener
from firstgrad.observe.calls import FunctionEvents
from firstgrad.observe.events import Attribution, ImportTime, SpanKind
from firstgrad.observe.line_counts import LineCounter
from firstgrad.observe.numba_functions import NumbaFunctionListener
from firstgrad.observe.rewriting import count_node_types, read_rewriters
from firstgrad.observe.spans import StretchRecorder, cut_spans, pass_spans, phase_finder, phase_spans, walk_stretches
from firstgrad.observe.units import CompileFacts, order_units, value_names
from firstgrad.observe.xla_modules import XlaModuleListener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import FrameType

    from firstgrad.observe.compiles import TracedCompile
    from firstgrad.observe.events import LineNodes, SourceFile, TimeSpan
    from firstgrad.observe.spans import Stretch
    from firstgrad.observe.units import UnitListener
    from firstgrad.phase import Phase
    from firstgrad.record import PhaseRecord

THE_REST = "(other packages)"  # own seconds of all packages that are not listed
NO_IMPORT = "(no import)"  # what the block did beside importing: building C helpers, starting JAX's client


@dataclass(slots=True)
class _Watched:
    """What was listened to in one of the two stages."""

    events: FunctionEvents
    recorder: StretchRecorder
    seconds: float = 0.0


@dataclass(slots=True)
class Tracer:
    """Sees where the time of one sample goes. Nothing in it raises: what fails becomes a line of `unavailable`."""

    backend: BackendName
    now: Callable[[], float]
    _unavailable: list[str] = field(default_factory=list, init=False)
    _imports: _Watched | None = field(default=None, init=False)
    _window: _Watched | None = field(default=None, init=False)
    _listener: UnitListener | None = field(default=None, init=False)
    _lines: LineCounter | None = field(default=None, init=False)

    @contextmanager
    def imports(self) -> Iterator[None]:
        """Watch what the block imports."""
        watched = self._imports = _Watched(FunctionEvents(), StretchRecorder(self.now))
        self._try("imports", lambda: watch_imports(watched.events, watched.recorder), None)
        began = self.now()
        with watched.events:
            yield
        watched.seconds = self.now() - began

    @contextmanager
    def window(self) -> Iterator[None]:
        """Watch what the block compiles; the backend's modules are imported already."""
        watched = self._window = _Watched(FunctionEvents(), StretchRecorder(self.now))
        listener = self._listener = self._try("units", lambda: _make_listener(self.backend, self.now), None)
        if listener is not None:
            self._try("units", lambda: listener.attach(watched.events, watched.recorder), None)
        with ExitStack() as stack:
            if self.backend is not BackendName.FAKE:
                lines = self._lines = LineCounter()
                self._try("lines", lambda: stack.enter_context(lines.watching()), None)
            stack.enter_context(watched.events)
            if listener is not None:
                stack.callback(self._try, "an end to listening", listener.detach, None)
            yield

    def wrote(self, phase: Phase, built: Any, graph: Any) -> None:
        """Take note of the graph that a phase wrote."""
        lines = self._lines
        if lines is not None:
            self._try("lines", lambda: lines.wrote(phase, built.model, graph), None)

    def finish(self, first: Any, phases: tuple[PhaseRecord, ...]) -> Attribution:
        """Put together what was seen of what the window gave (`firstgrad.measuring.first_gradient.FirstGradient`)."""
        compiled: Any = getattr(first, "compiled", None)
        compiles: tuple[TracedCompile, ...] | None = getattr(first, "compiles", None)
        nothing = tuple[Any, ...]()
        lines = sources = nothing
        if compiles is not None:
            report = self._try("units", lambda: report_compiles(compiles, phases), Attribution())
        else:
            lines, sources = self._try("lines", lambda: self._count_lines(compiled), (nothing, nothing))
            report = self._try("units", lambda: self._report(first, phases), Attribution())
        roots = self._imports.recorder.finish() if self._imports is not None else ()
        seconds = self._imports.seconds if self._imports is not None else 0.0
        imports, modules = self._try(
            "imports", lambda: (sum_imports(roots, seconds), import_spans(roots)), (nothing, nothing)
        )
        types = rewriters = passes = nothing
        if compiles is None:
            types = self._try("types of nodes", lambda: count_node_types(first.graph, compiled.nodes_by_type), nothing)
            lines_of = self._lines.changed if self._lines is not None else lambda _: ()
            rewriters = self._try("rewriters", lambda: read_rewriters(compiled.stats, lines_of), nothing)
            passes = self._try("passes", lambda: pass_spans(compiled.rewrite_passes, phases), nothing)
        spans = self._try("spans", lambda: cut_spans((*phase_spans(phases), *passes, *modules, *report.spans)), nothing)
        problems = [problem for part in (self._imports, self._window) if part for problem in part.events.problems]
        unavailable = (*getattr(compiled, "unavailable", ()), *self._unavailable, *problems, *report.unavailable)
        return replace(
            report,
            rewriters=rewriters,
            lines=lines,
            sources=sources,
            node_types=types,
            imports=imports,
            spans=spans,
            unavailable=tuple(dict.fromkeys(unavailable)),
        )

    def _report(self, first: Any, phases: tuple[PhaseRecord, ...]) -> Attribution:
        if self._window is None or self._listener is None:
            return Attribution()
        groups = self._try("names of the model's variables", lambda: value_names(first.built.model), dict[str, str]())
        facts = CompileFacts(phase_at=phase_finder(phases), groups=groups, nodes=first.compiled.nodes_after)
        if self._lines is not None:
            facts = replace(facts, lines_of=self._lines.shares)
        return self._listener.report(self._window.recorder.finish(), facts)

    def _count_lines(self, compiled: Any) -> tuple[tuple[LineNodes, ...], tuple[SourceFile, ...]]:
        """Count nodes by line; before units are, since what has no line yet gets one here."""
        if self._lines is None:
            return (), ()
        self._unavailable += self._lines.problems
        return self._lines.report(compiled.nodes), self._lines.sources()

    def _try[T](self, what: str, step: Callable[[], T], otherwise: T) -> T:
        try:
            return step()
        except UnavailableError as error:
            self._unavailable.append(str(error))
        except Exception as error:  # noqa: BLE001 - an instrument that fails must not cost the sample
            self._unavailable.append(f"{what}: {type(error).__name__}: {error}")
        return otherwise


def report_compiles(compiles: Sequence[TracedCompile], phases: Sequence[PhaseRecord]) -> Attribution:
    """Put together what a `CompileListener` heard: units slowest first, each in the phase in which it was compiled."""
    phase_at, units = phase_finder(phases), list[Any]()
    for one in compiles:
        middles = {span.name: span.began_seconds + span.wall_seconds / 2 for span in one.unit_spans}
        known = {name: phase_at(middle) for name, middle in middles.items()}
        units += (replace(unit, phase=known.get(unit.name)) for unit in one.units)
    return Attribution(
        units=order_units(units),
        cache_misses=tuple(miss for one in compiles for miss in one.cache.misses),
        spans=tuple(span for one in compiles for span in one.unit_spans),
    )


def _make_listener(backend: BackendName, now: Callable[[], float]) -> UnitListener | None:
    match backend:
        case BackendName.NUMBA:
            return NumbaFunctionListener()
        case BackendName.C:
            return CModuleListener()
        case BackendName.JAX | BackendName.JAX_FAST | BackendName.JAX_DIRECT | BackendName.JAX_QUICK:
            return XlaModuleListener(now)
    return None


def track_allocations(file: str) -> AbstractContextManager[Any]:
    """Have memray note every allocation, with native frames; aggregated, which is the cheapest (two to five times)."""
    try:
        import memray
    except ImportError:
        raise WorkerError('allocations are noted by memray: pip install "firstgrad[memray]"') from None
    return memray.Tracker(file, native_traces=True, file_format=memray.FileFormat.AGGREGATED_ALLOCATIONS)


def watch_imports(events: FunctionEvents, recorder: StretchRecorder) -> None:
    """Record each module's import.

    The import system holds a lock per module, by a context manager of its own, from before it looks for the module
    until the module is executed or has failed: its two methods are what is listened to.
    """

    def began(frame: FrameType) -> None:
        lock, name = probes.module_being_imported(frame)
        recorder.open("import", lock, name)

    events.watch(probes.IMPORT_LOCK_ENTER.find(), started=began)
    events.watch(
        probes.IMPORT_LOCK_EXIT.find(), started=lambda frame: recorder.close(probes.module_being_imported(frame)[0])
    )


def sum_imports(roots: tuple[Stretch, ...], whole_seconds: float, *, most: int = 30) -> tuple[ImportTime, ...]:
    """Put modules together by top-level package, largest own seconds first, then `THE_REST` and `NO_IMPORT`.

    Own seconds add up to those of the watched block. Inclusive seconds are those of imports that no other module of the
    same package asked for.
    """
    if not roots:
        return ()
    own: defaultdict[str, float] = defaultdict(float)
    wall: defaultdict[str, float] = defaultdict(float)
    around: dict[int, frozenset[str]] = {}
    for stretch, outer in walk_stretches(roots):
        package = str(stretch.subject).partition(".")[0]
        packages = around[id(outer)] if outer is not None else frozenset()
        own[package] += stretch.own_seconds
        if package not in packages:
            wall[package] += stretch.wall_seconds
        around[id(stretch)] = packages | {package}
    ordered = sorted(own, key=lambda name: -own[name])
    rest = sum(own[name] for name in ordered[most:])
    beside = max(whole_seconds - sum(root.wall_seconds for root in roots), 0.0)
    return (
        *(ImportTime(name=name, own_seconds=own[name], wall_seconds=wall[name]) for name in ordered[:most]),
        *([ImportTime(name=THE_REST, own_seconds=rest, wall_seconds=rest)] if rest > 0 else ()),
        ImportTime(name=NO_IMPORT, own_seconds=beside, wall_seconds=beside),
    )


def import_spans(roots: tuple[Stretch, ...]) -> tuple[TimeSpan, ...]:
    """Make a span of each module that took a millisecond or longer."""
    return tuple(
        stretch.as_span(SpanKind.IMPORT, str(stretch.subject))
        for stretch, _ in walk_stretches(roots)
        if stretch.wall_seconds >= 1e-3  # noqa: PLR2004 - a millisecond
    )
