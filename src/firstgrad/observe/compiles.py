"""Every compile of a process, as it happens: who asked for it, what for, how long it took, what caches had of it."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from firstgrad.errors import UnavailableError
from firstgrad.observe import probes
from firstgrad.observe.c_modules import CModuleListener
from firstgrad.observe.calls import CallCounter, FunctionEvents, frames_around
from firstgrad.observe.digests import digest_graph, digest_model
from firstgrad.observe.events import Attribution, CacheMiss, CodeLine, CompiledUnit, SpanKind, TimeSpan, UnitKind
from firstgrad.observe.listeners import listen_jax
from firstgrad.observe.numba_functions import COMPILE, NumbaFunctionListener
from firstgrad.observe.processes import cpu_seconds, resident_bytes
from firstgrad.observe.spans import Stretch, StretchRecorder
from firstgrad.observe.stacks import StackFacts, read_stack
from firstgrad.observe.units import NO_ENTRY, CompileFacts, order_units
from firstgrad.observe.xla_modules import XlaStep, report_steps
from firstgrad.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

    from firstgrad.observe.probes import Probe


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
class CacheCounts:
    """How many units of a compile came from a cache on the disk and how many did not."""

    read: int = 0
    written: int = 0  # compiled, and there for the next process
    never_kept: int = 0  # compiled, and no cache takes them: each process compiles them again
    never_kept_seconds: float = 0.0  # own seconds of those that are never kept
    misses: tuple[CacheMiss, ...] = ()  # with the reasons

    @property
    def missed(self) -> int:
        """How many were compiled."""
        return self.written + self.never_kept


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
    cpu_seconds: float | None  # of the process in these phases, with the compilers it started; none for JAX's functions
    phases: tuple[TimeSpan, ...] = ()  # in order; their names are those of `CompilePhase`
    units: tuple[CompiledUnit, ...] = ()  # slowest first; those compiled within an inner compile are there
    unit_spans: tuple[TimeSpan, ...] = ()  # when the slowest of them were compiled or read
    cache: CacheCounts = CacheCounts()
    rss_before_bytes: int | None = None  # resident memory when it began
    peak_rss_bytes: int | None = None  # highest within its phases, compilers included; none where nobody looked
    kept_bytes: int | None = None  # resident at the end of its phases less at their beginnings
    calls: int | None = None  # after the first; none where they can't be seen (nutpie calls the machine code itself)
    call_seconds: float | None = None  # of these calls, from a part of them where there are many
    failure: str = ""  # why it ended without a function; '' where it didn't


_SHORT_GAP_SECONDS = 0.02  # between two steps of JAX that are told as one
_LONGEST_FAILURE = 500
_MOST_SPANS = 200
WITHOUT_CACHE = "whoever had Numba compile it asked for no cache: it is compiled anew in every process"
_WITHOUT_LOGP = (Purpose.START_POINT, Purpose.PREDICTIVE)


@dataclass(slots=True, eq=False)
class _Compile:
    """A compile in the making."""

    number: int
    process: int
    thread: str
    kind: CompileKind
    stack: StackFacts
    now: Callable[[], float]
    within: int | None = None
    token: object = None  # the frame that is being watched
    backend: str = ""
    graph: Any = None  # its `GraphDigest`
    variables: tuple[str, ...] = ()
    nodes_before: int = 0
    nodes_after: int = 0
    failure: str = ""
    phases: list[TimeSpan] = field(default_factory=list)
    units: list[CompiledUnit] = field(default_factory=list)
    spans: list[TimeSpan] = field(default_factory=list)
    cache: CacheCounts = CacheCounts()
    cpu_seconds: float | None = 0.0
    rss_before: int | None = None
    kept: int | None = None
    peak: int | None = None
    numba: StretchRecorder = field(init=False)
    c: StretchRecorder = field(init=False)
    steps: list[XlaStep] = field(default_factory=list)
    cache_events: set[str] = field(default_factory=set)
    phase: tuple[CompilePhase, float, float, tuple[int, int] | None] | None = None  # the present one, and its begin
    entered: Callable[[int, Purpose, CompilePhase | None], object] | None = None

    def __post_init__(self) -> None:
        self.rss_before = (resident_bytes() or (None, None))[0]
        self._renew()

    def _renew(self) -> None:
        self.numba, self.c, self.steps = StretchRecorder(self.now), StretchRecorder(self.now), []

    def enter(self, phase: CompilePhase | None, at: float | None = None) -> None:
        """Begin a phase, or none, and end the one before."""
        at, cpu, memory = self.now() if at is None else at, cpu_seconds(), resident_bytes()
        if self.phase is not None:
            name, began, cpu_began, mark = self.phase
            span = TimeSpan(kind=SpanKind.PHASE, name=name, began_seconds=began, wall_seconds=max(at - began, 0.0))
            self.phases.append(span)
            self.cpu_seconds = (self.cpu_seconds or 0.0) + cpu - cpu_began
            if memory is not None and mark is not None:
                self.kept = (self.kept or 0) + memory[0] - mark[0]
                if memory[1] > mark[1]:  # the kernel's own high-water mark rose meanwhile
                    self.peak = max(self.peak or 0, memory[1])
        self.phase = None if phase is None else (phase, at, cpu, memory)
        if self.entered is not None:
            self.entered(self.number, self.purpose, phase)

    def take(self, reports: tuple[Attribution, ...]) -> None:
        """Add what was compiled since the last time."""
        self._renew()
        for report in reports:
            self.units += report.units
            self.spans += (span for span in report.spans if span.kind is SpanKind.UNIT)
            self.cache = count_cache(report, self.cache)

    def phase_at(self, at: float) -> Phase | None:
        """Say in which phase something happened, as records call it."""
        spans = (span for span in self.phases if span.began_seconds <= at <= span.began_seconds + span.wall_seconds)
        names = [str(span.name) for span in spans]
        return next((phase for phase in Phase if phase in names), None)

    @property
    def purpose(self) -> Purpose:
        """What it is for."""
        return Purpose.WRAPPER if self.kind is CompileKind.NUMBA_WRAPPER else Purpose(self.stack.purpose or "other")

    def traced(self) -> TracedCompile:
        """Say what is known by now."""
        return TracedCompile(
            number=self.number,
            process=self.process,
            thread=self.thread,
            kind=self.kind,
            purpose=self.purpose,
            backend=self.backend,
            asked_by=self.stack.line,
            library_calls=self.stack.calls,
            call=self.stack.call,
            within=self.within,
            graph_digest=self.graph.graph if self.graph is not None else "",
            structure_digest=self.graph.structure if self.graph is not None else "",
            constant_bytes=self.graph.constant_bytes if self.graph is not None else 0,
            largest_constant_bytes=self.graph.largest_constant_bytes if self.graph is not None else 0,
            nodes_before=self.nodes_before,
            nodes_after=self.nodes_after,
            variables=self.variables,
            model=self.stack.model,
            model_object=self.stack.model_object,
            began_seconds=self.phases[0].began_seconds if self.phases else self.now(),
            wall_seconds=sum(span.wall_seconds for span in self.phases),
            cpu_seconds=self.cpu_seconds,
            phases=tuple(self.phases),
            units=order_units(self.units),
            unit_spans=tuple(sorted(self.spans, key=lambda span: -span.wall_seconds)[:_MOST_SPANS]),
            cache=self.cache,
            rss_before_bytes=self.rss_before,
            peak_rss_bytes=self.peak,
            kept_bytes=self.kept,
            failure=self.failure,
        )


@dataclass(slots=True)
class _Thread:
    """What one thread is compiling."""

    name: str
    compiles: list[_Compile] = field(default_factory=list)  # the innermost last
    graphs: list[tuple[CompilePhase, float, float, float, CodeLine | None]] = field(default_factory=list)
    """Of the log-density and of the gradient, made for a compile that is still to come: begin, seconds, CPU seconds."""
    making: list[tuple[CompilePhase, object, float, float]] = field(default_factory=list)
    jax: _Compile | None = None  # what JAX compiles beside PyTensor, while the same line asks for it
    made: dict[int, _Compile] = field(default_factory=dict)  # between rewriting and linking, by their makers


class CompileListener:
    """Hears of every compile of this process, whatever its thread; nothing is patched.

    It listens to what is imported by the time of `attach`, which is cheap and may be called often. `ended` is told of
    each compile when it is linked and again when its first call is over, by the same number; `began` of its number and
    who asked for it. `entered` is told at once of each phase that begins, with the compile's number, and of none where
    one ends; 0 is the number of graphs, whose compile is still to come, and JAX's own functions are only told when they
    are over. Calls are read with `call_counts`; `now_and_then` is called while functions are. Whatever can't be heard
    is in `unavailable`.
    """

    def __init__(
        self,
        ended: Callable[[TracedCompile], object],
        began: Callable[[int, StackFacts], object] | None = None,
        *,
        entered: Callable[[int, Purpose, CompilePhase | None], object] | None = None,
        now: Callable[[], float] = time.monotonic,
        now_and_then: Callable[[], object] = lambda: None,
    ) -> None:
        self._ended, self._began, self._now, self._now_and_then = ended, began, now, now_and_then
        self._entered = entered
        self._events: list[FunctionEvents] = []
        self._exits = ExitStack()
        self._problems: dict[str, None] = {}
        self._numba, self._c = NumbaFunctionListener(keeps_nodes=False), CModuleListener()
        self._counter: CallCounter | None = None
        self._models: dict[int, tuple[object, int]] = {}
        self._n_models = self._n_calls = 0
        self._calls: dict[int, int] = {}  # by the identity of the running call's frame
        self._called: list[CodeType] = []
        self._waiting: list[tuple[Probe, Callable[[FunctionEvents], None]]] = [
            (probes.MAKER_BEGIN, self._attach_pytensor),
            (probes.MODEL_LOGP, lambda events: self._attach_graph(events, probes.MODEL_LOGP, CompilePhase.LOGP_GRAPH)),
            (probes.GRADIENT, lambda events: self._attach_graph(events, probes.GRADIENT, CompilePhase.GRAD_GRAPH)),
            (probes.MAKE_C_THUNK, lambda events: self._c.attach(events, _Route(self, "c"))),
            (probes.COMPILE_C_HELPER, self._attach_c_helpers),
            (probes.NUMBA_LOAD, self._attach_numba),
            (probes.MAKE_NUMBA_FUNCTION, self._numba.attach_pytensor),
            (probes.NUMBA, self._attach_wrappers),  # their own module is imported with the first one
            (probes.JAX_ON_DURATION, self._attach_jax),
        ]
        self._begin_process()

    def _begin_process(self) -> None:
        self._threads: dict[int, _Thread] = {}
        self._number, self._process = 0, os.getpid()

    @property
    def unavailable(self) -> tuple[str, ...]:
        """What can't be heard here, each with the reason."""
        problems = [problem for events in self._events for problem in events.problems]
        return tuple(dict.fromkeys((*self._problems, *problems)))

    def attach(self) -> bool:
        """Listen to what has been imported since; say whether all is listened to by now."""
        for part in tuple(self._waiting):
            probe, attach = part
            if probe.is_near():
                self._waiting.remove(part)
                events = FunctionEvents()
                self._events.append(events)
                try:
                    attach(events)
                    self._exits.enter_context(events)
                except UnavailableError as error:
                    self._problems[str(error)] = None
        return not self._waiting

    def detach(self) -> None:
        """Listen no more; leaves no trace."""
        self.flush()
        self._exits.close()

    def flush(self) -> None:
        """Tell what is known of what JAX compiled last."""
        for thread in list(self._threads.values()):
            self._finish_jax(thread)

    def continue_in_fork(self) -> None:
        """Begin anew in a forked child, where calls of functions that its parent compiled are counted from zero."""
        self._begin_process()
        if self._counter is not None:
            self._counter.restart()

    def call_counts(self) -> list[tuple[int, int, int, float]]:
        """List process and number of each compile that was called after the first time, its calls, their seconds."""
        counts = self._counter.counts() if self._counter is not None else []
        return [(count.key.process, count.key.number, count.calls, count.seconds) for count in counts]

    # --- functions of PyTensor -----------------------------------------------------------------------------------

    def _attach_pytensor(self, events: FunctionEvents) -> None:
        events.watch(probes.MAKER_BEGIN.find(), self._maker_began, self._maker_ended, self._compile_unwound)
        events.watch(probes.MAKER_REWRITE.find(), self._rewrite_began)
        events.watch(probes.MAKER_LINK.find(), self._link_began, self._link_ended, self._compile_unwound)
        call = probes.FUNCTION_CALL.find()
        counter = CallCounter(call, self._first_call_began, self._first_call_ended, self._now_and_then)
        events.watch(call, unwound=counter.unwound)
        counter.attach()
        self._exits.callback(counter.detach)
        self._counter = counter

    def _maker_began(self, frame: FrameType) -> None:
        compile_ = self._open(CompileKind.PYTENSOR_FUNCTION, frame)
        thread = self._thread()
        if len(thread.compiles) == 1 and compile_.stack.purpose not in _WITHOUT_LOGP:
            for phase, began, wall, cpu, line in thread.graphs:
                if line == compile_.stack.line:
                    span = TimeSpan(kind=SpanKind.PHASE, name=phase, began_seconds=began, wall_seconds=wall)
                    compile_.phases.append(span)
                    compile_.cpu_seconds = (compile_.cpu_seconds or 0.0) + cpu
        thread.graphs.clear()
        compile_.enter(CompilePhase.REWRITE)

    def _rewrite_began(self, frame: FrameType) -> None:
        compile_ = self.current()
        if compile_ is not None and compile_.kind is CompileKind.PYTENSOR_FUNCTION and compile_.graph is None:
            graph = frame.f_locals["fgraph"]
            compile_.nodes_before = len(graph.apply_nodes)
            compile_.graph = digest_graph(graph.inputs, graph.outputs)

    def _maker_ended(self, frame: FrameType, _: object) -> None:
        thread = self._thread()
        compile_ = self._close(frame)
        if compile_ is not None:
            maker = frame.f_locals["self"]
            explicit = (one.variable for one in maker.inputs if not getattr(one, "shared", False))
            compile_.variables = tuple(str(one.name) for one in explicit if one.name)
            compile_.backend = probes.linker_backend(maker)
            compile_.enter(None)
            thread.made = {id(maker): compile_}  # linking follows at once

    def _link_began(self, frame: FrameType) -> None:
        maker = frame.f_locals["self"]
        thread = self._thread()
        compile_ = thread.made.pop(id(maker), None)
        if compile_ is None:
            compile_ = self._open(CompileKind.PYTENSOR_FUNCTION, frame)
            compile_.backend = probes.linker_backend(maker)
        else:
            compile_.token = frame
            thread.compiles.append(compile_)
        compile_.nodes_after = len(maker.fgraph.apply_nodes)
        compile_.enter(CompilePhase.LINK)

    def _link_ended(self, frame: FrameType, function: Any) -> None:
        compile_ = self._close(frame)
        if compile_ is not None:
            if compile_.graph is None:
                self._take_over(compile_, frame)
            self._finish(compile_)
            if self._counter is not None:
                self._counter.add(function, frame.f_locals["self"], compile_)

    def _take_over(self, compile_: _Compile, frame: FrameType) -> None:
        """Give a copy of a function the graph of what it is copied from."""
        code = getattr(probes.FUNCTION_COPY.peek(), "__code__", None)
        copying = next((outer for outer in frames_around(frame) if outer.f_code is code), None)
        original = self._counter.key_of(copying.f_locals["self"]) if copying is not None and self._counter else None
        if original is not None:
            compile_.graph, compile_.nodes_before = original.graph, original.nodes_before

    def _first_call_began(self, compile_: _Compile, frame: FrameType) -> _Compile:
        thread = self._thread()
        if compile_.process != self._process:  # a forked child, in which it may be compiled again
            clean: dict[str, Any] = {
                "phases": [],
                "units": [],
                "spans": [],
                "steps": [],
                "cache": CacheCounts(),
                "cpu_seconds": 0.0,
            }
            compile_ = replace(compile_, number=self._next(), process=self._process, peak=None, kept=None, **clean)
        compile_.within = thread.compiles[-1].number if thread.compiles else compile_.within
        compile_.token, compile_.thread = frame, thread.name
        thread.compiles.append(compile_)
        compile_.enter(CompilePhase.FIRST_CALL)
        return compile_

    def _first_call_ended(self, compile_: _Compile) -> None:
        if self._close(compile_.token) is not None:
            self._finish(compile_)

    def _compile_unwound(self, frame: FrameType, error: BaseException) -> None:
        compile_ = self._close(frame)
        if compile_ is not None:
            compile_.failure = _describe(error)
            self._finish(compile_)

    # --- graphs, made before they are compiled -------------------------------------------------------------------

    def _attach_graph(self, events: FunctionEvents, probe: Probe, phase: CompilePhase) -> None:
        def began(frame: FrameType) -> None:
            thread = self._thread()
            if not thread.compiles:
                if self._entered is not None and not thread.making:
                    self._entered(0, Purpose.GRADIENT, phase)
                thread.making.append((phase, frame, self._now(), cpu_seconds()))

        def ended(frame: FrameType, _: object) -> None:
            thread = self._thread()
            if any(token is frame for _, token, _, _ in thread.making):
                while thread.making:
                    phase, token, began, cpu = thread.making.pop()
                    if token is frame:
                        break
                if not thread.making:  # the outermost
                    if self._entered is not None:
                        self._entered(0, Purpose.GRADIENT, None)
                    line = read_stack(frame).line
                    thread.graphs = [graph for graph in thread.graphs if graph[-1] == line]
                    thread.graphs.append((phase, began, self._now() - began, cpu_seconds() - cpu, line))

        events.watch(probe.find(), began, ended, ended)

    # --- what compilers tell -------------------------------------------------------------------------------------

    def _attach_numba(self, events: FunctionEvents) -> None:
        self._numba.attach_numba(events, _Route(self, "numba"))
        self._exits.callback(self._numba.detach)

    def _attach_c_helpers(self, events: FunctionEvents) -> None:
        """Hear of C modules that belong to no node, such as PyTensor's loop: the first start point has it compiled."""
        begun: dict[FrameType, tuple[_Compile, float]] = {}

        def began(frame: FrameType) -> None:
            compile_ = self.current()
            if compile_ is not None and compile_.c.innermost is None:
                begun[frame] = compile_, self._now()

        def ended(frame: FrameType, _: object) -> None:
            if frame in begun:
                compile_, at = begun.pop(frame)
                name, took = str(frame.f_locals["module_name"]), self._now() - at
                compile_.units.append(
                    CompiledUnit(
                        kind=UnitKind.C_MODULE,
                        name=name,
                        phase=Phase.LINK,
                        own_seconds=took,
                        wall_seconds=took,
                        compiler_seconds=took,
                    )
                )
                compile_.spans.append(TimeSpan(kind=SpanKind.UNIT, name=name, began_seconds=at, wall_seconds=took))
                compile_.cache = replace(compile_.cache, written=compile_.cache.written + 1)

        events.watch(probes.COMPILE_C_HELPER.find(), began, ended, lambda frame, _: begun.pop(frame, None))

    def _attach_wrappers(self, events: FunctionEvents) -> None:
        def began(frame: FrameType) -> None:
            compile_ = self._open(CompileKind.NUMBA_WRAPPER, frame)
            compile_.backend = "numba"
            compile_.enter(CompilePhase.COMPILE)
            compile_.numba.open(COMPILE, frame, probes.wrapped_function(frame))

        def ended(frame: FrameType, _: object) -> None:
            compile_ = self._close(frame)
            if compile_ is not None:
                compile_.numba.close(frame)
                self._finish(compile_)

        events.watch(probes.NUMBA_WRAPPER.find(), began, ended, self._compile_unwound)

    def _attach_jax(self, _: FunctionEvents) -> None:
        try:
            self._exits.callback(listen_jax(self._jax_step, self._jax_told))
        except UnavailableError as error:  # it never lets go again, which is no matter while nobody stops to listen
            self._problems[str(error)] = None
            listen_jax(self._jax_step, self._jax_told, has_end=False)

    def _jax_told(self, event: str) -> None:
        compile_ = self.current() or self._thread().jax
        if compile_ is not None:
            compile_.cache_events.add(event)

    def _jax_step(self, step: str, seconds: float, function: str) -> None:
        with suppress(Exception):  # JAX must not see it
            self._take_step(step, seconds, function)

    def _take_step(self, step: str, seconds: float, function: str) -> None:
        at = self._now()
        thread = self._thread()
        compile_ = self.current()
        if compile_ is None:
            stack = self._read_stack(sys._getframe(2))  # noqa: SLF001 - who made JAX compile
            compile_ = thread.jax
            if compile_ is None or compile_.stack.key != stack.key:
                self._finish_jax(thread)
                compile_ = thread.jax = self._make(CompileKind.JAX_FUNCTION, stack, thread)
                compile_.backend, compile_.rss_before, compile_.cpu_seconds = "jax", None, None
                if self._began is not None:
                    self._began(compile_.number, stack)
        is_compile = step == "compile"
        cache_events = frozenset(compile_.cache_events) if is_compile else frozenset[str]()
        compile_.steps.append(
            XlaStep(
                step=step,
                function=function,
                began_seconds=at - seconds,
                wall_seconds=seconds,
                cache_events=cache_events,
            )
        )
        if is_compile:
            compile_.cache_events.clear()

    def _finish_jax(self, thread: _Thread) -> None:
        compile_, thread.jax = thread.jax, None
        if compile_ is not None:
            compile_.phases = _merge_steps(compile_.steps)
            self._finish(compile_, is_over=False)

    # --- what all of them share ----------------------------------------------------------------------------------

    def current(self) -> _Compile | None:
        """Find what this thread is compiling: the innermost."""
        compiles = self._thread().compiles
        return compiles[-1] if compiles else None

    def _thread(self) -> _Thread:
        ident = threading.get_ident()
        thread = self._threads.get(ident)
        if thread is None:
            names = {one.ident: one.name for one in threading.enumerate()}
            thread = self._threads[ident] = _Thread(names.get(ident, "(not of Python)"))
        return thread

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _read_stack(self, frame: FrameType) -> StackFacts:
        stack = read_stack(frame)
        if stack.line is None and threading.current_thread() is not threading.main_thread():
            # A sampler's own thread: the main one waits where it was asked for.
            main = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001 - documented
            stack = replace(read_stack(main), purpose=stack.purpose) if main is not None else stack
        model, call = stack.model_seen, self._number_call(stack.outermost) if stack.outermost is not None else 0
        stack = replace(stack, call=call, outermost=None, model_seen=None)
        if model is None:
            return stack
        place = id(model)
        if place not in self._models:
            self._n_models += 1
            self._models[place] = weakref.ref(model, lambda _: self._models.pop(place, None)), self._n_models
        return replace(stack, model=digest_model(model), model_object=self._models[place][1])

    def _number_call(self, frame: FrameType) -> int:
        """Return the number of a running call of a library."""
        if id(frame) not in self._calls:
            self._n_calls += 1
            self._calls[id(frame)] = self._n_calls
            if frame.f_code not in self._called:
                self._called.append(frame.f_code)
                events = FunctionEvents()
                events.watch(frame, returned=self._call_ended, unwound=self._call_ended)
                self._exits.enter_context(events)
        return self._calls[id(frame)]

    def _call_ended(self, frame: FrameType, _: object) -> None:
        self._calls.pop(id(frame), None)

    def _make(self, kind: CompileKind, stack: StackFacts, thread: _Thread) -> _Compile:
        within = thread.compiles[-1].number if thread.compiles else None
        compile_ = _Compile(self._next(), self._process, thread.name, kind, stack, self._now, within)
        compile_.entered = self._entered
        return compile_

    def _open(self, kind: CompileKind, frame: FrameType) -> _Compile:
        thread = self._thread()
        self._finish_jax(thread)
        compile_ = self._make(kind, self._read_stack(frame), thread)
        compile_.token = frame
        thread.compiles.append(compile_)
        if self._began is not None:
            self._began(compile_.number, compile_.stack)
        return compile_

    def _close(self, token: object) -> _Compile | None:
        """End the compile with this token, and those within whose end nobody told."""
        compiles = self._thread().compiles
        if not any(compile_.token is token for compile_ in compiles):
            return None
        while compiles[-1].token is not token:
            lost = compiles.pop()
            lost.failure = lost.failure or "it ended without a word"
            self._finish(lost)
        compile_ = compiles.pop()
        compile_.token = None
        return compile_

    def _finish(self, compile_: _Compile, *, is_over: bool = True) -> None:
        if is_over:
            compile_.enter(None)
        facts = CompileFacts(phase_at=compile_.phase_at, groups={}, nodes=compile_.nodes_after)
        reports = [self._numba.report(compile_.numba.finish(), facts), self._c.report(compile_.c.finish(), facts)]
        if compile_.steps:
            reports.append(report_steps(compile_.steps, facts))
        compile_.take(tuple(reports))
        self._ended(compile_.traced())


class _Route(StretchRecorder):
    """Leads what a listener hears to the compile that its thread is at; outside of any it is dropped."""

    def __init__(self, listener: CompileListener, name: str) -> None:
        self._listener, self._name = listener, name

    @property
    def _target(self) -> StretchRecorder | None:
        compile_ = self._listener.current()
        return None if compile_ is None else getattr(compile_, self._name)

    @property
    def innermost(self) -> Stretch | None:
        target = self._target
        return None if target is None else target.innermost

    def open(self, kind: str, token: object, subject: Any = None) -> Stretch | None:
        target = self._target
        return None if target is None else target.open(kind, token, subject)

    def close(self, token: object) -> Stretch | None:
        target = self._target
        return None if target is None else target.close(token)


def _merge_steps(steps: list[XlaStep]) -> list[TimeSpan]:
    """Make phases of what JAX did, as long as it did nothing else."""
    phases: list[TimeSpan] = []
    for step in sorted(steps, key=lambda step: step.began_seconds):
        last = phases[-1] if phases else None
        if last is not None and step.began_seconds - last.began_seconds - last.wall_seconds < _SHORT_GAP_SECONDS:
            wall = max(step.ended_seconds - last.began_seconds, last.wall_seconds)
            phases[-1] = replace(last, wall_seconds=wall)
        else:
            phases.append(
                TimeSpan(
                    kind=SpanKind.PHASE,
                    name=CompilePhase.COMPILE,
                    began_seconds=step.began_seconds,
                    wall_seconds=step.wall_seconds,
                )
            )
    return phases


def count_cache(report: Attribution, counts: CacheCounts = CacheCounts()) -> CacheCounts:
    """Add a report's units to counts: written are those that a cache kept, by themselves or within another one.

    Returns
    -------
    CacheCounts
        With each unit that was compiled, and why.
    """
    by_name = {unit.name: unit for unit in report.units}

    def is_kept(unit: CompiledUnit | None) -> bool:
        return unit is not None and (unit.code_bytes is not None or is_kept(by_name.get(unit.within)))

    compiled = [unit for unit in report.units if not unit.from_cache]
    misses = report.cache_misses
    if any(unit.kind is UnitKind.JITTED_FUNCTION for unit in compiled):
        unkept = [unit.name for unit in compiled if not is_kept(unit)]
        explained = {miss.name for miss in misses}
        misses += tuple(CacheMiss(name=name, reason=WITHOUT_CACHE) for name in unkept if name not in explained)
        never_kept = len(unkept)
    else:
        refused = [miss for miss in misses if miss.reason != NO_ENTRY]
        never_kept = sum(miss.units for miss in refused)
        # Where there are many, their names are left out; then none was kept, or nearly.
        unkept = [unit.name for unit in compiled] if never_kept > len(refused) else [miss.name for miss in refused]
    seconds = sum(unit.own_seconds for unit in compiled if unit.name in set(unkept))
    return CacheCounts(
        read=counts.read + len(report.units) - len(compiled),
        written=counts.written + len(compiled) - never_kept,
        never_kept=counts.never_kept + never_kept,
        never_kept_seconds=counts.never_kept_seconds + seconds,
        misses=(*counts.misses, *misses),
    )


def _describe(error: BaseException) -> str:
    with suppress(Exception):  # it may run the model's own code
        first = str(error).strip().partition("\n")[0]
        return f"{type(error).__name__}: {first}"[:_LONGEST_FAILURE]
    return type(error).__name__
