"""The window that users wait for: from the built model to the first draw of every chain, stage by stage."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from firstgrad.errors import UnavailableError, WorkerError
from firstgrad.measuring.first_gradient import collector_seconds
from firstgrad.observe import probes
from firstgrad.observe.calls import FunctionEvents
from firstgrad.observe.compiles import CompileKind, CompileListener, CompilePhase, Purpose
from firstgrad.observe.units import NO_ENTRY
from firstgrad.phase import Phase
from firstgrad.record import FirstDraw, NeverKept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from firstgrad.backends.base import Backend, BuiltModel
    from firstgrad.case import Case
    from firstgrad.measuring.phases import PhaseTimer, Reading
    from firstgrad.observe.compiles import TracedCompile
    from firstgrad.record import DrawCheck, PhaseRecord

_STAGES = (
    (probes.ASSIGN_STEPS, Phase.GRAD_GRAPH),
    (probes.MAKE_START_POINT, Phase.START_POINT),
    (probes.START_POINTS, Phase.START_POINT),
    (probes.START_TRACES, Phase.OTHER_FUNCTIONS),
    (probes.JAX_START_POINTS, Phase.START_POINT),
    (probes.JAX_LOGP, Phase.REWRITE),
    (probes.JAX_GRAPH, Phase.OTHER_FUNCTIONS),
    (probes.JAX_NUMPYRO, Phase.FIRST_CALL),
    (probes.JAX_BLACKJAX, Phase.FIRST_CALL),
    (probes.JAX_DRAWS, Phase.OTHER_FUNCTIONS),
    (probes.NUTPIE_SHAPES, Phase.START_POINT),
    (probes.NUTPIE_FUNCTIONS, Phase.GRAD_GRAPH),
)
"""Functions of a sampler's way, and their phases; what is compiled within them counts as its purpose says."""
_OWN_STAGES = {
    "digest": {"of_model": Phase.LOGP_GRAPH},
    "kept": {"Entry.load": Phase.LINK, "Entry.keep": Phase.LINK},
    "gradient": {"_Making.__init__": Phase.LOGP_GRAPH, "_Making.begin": Phase.LINK, "_Making.finish": Phase.LINK},
    "ways": {"rewritten": Phase.REWRITE},
    "starts": dict.fromkeys(("StartPoints.__init__", "StartPoints.plain", "StartPoints.jittered"), Phase.START_POINT),
    "draws": {"_Expand.__init__": Phase.OTHER_FUNCTIONS},
}
"""The same of `firstgrad.sample`'s, by module of `firstgrad.fast`; XLA's compile is in a thread beside them."""

_MOST_NAMES = 10
_WHOLE = {Purpose.START_POINT: Phase.START_POINT, Purpose.WRAPPER: Phase.WRAPPERS}
_OF_THE_GRADIENT = (Purpose.GRADIENT, Purpose.LOGP)


@dataclass(frozen=True, slots=True)
class DrawWindow:
    """What the window gave."""

    built: BuiltModel
    draw: FirstDraw
    check: DrawCheck
    compiles: tuple[TracedCompile, ...]
    spent: Reading
    gc_seconds: float
    """Spent in Python's garbage collector."""


def first_draw(backend: Backend, build: Callable[[], BuiltModel], case: Case, timer: PhaseTimer) -> DrawWindow:
    """Go from a factory to the first draw of every chain.

    The window ends with the first draw of the chain that has it last; what the sampler does after that (its second
    draw, the packing of the trace) is no part of it.

    Parameters
    ----------
    backend : Backend
        Its modules and the sampler's are imported already.
    build : callable
        The factory.
    case : Case
        Who draws, and how many chains.
    timer : PhaseTimer
        Gets the phases `build` to `first_draw`.
    """
    with timer.phase(Phase.BUILD):
        built = build()
    sampler, reason = backend.choose_sampler(built, case)
    stages = DrawStages(timer)
    readings: dict[int, Reading] = {}

    def drew(chain: int) -> None:
        if chain not in readings:
            readings[chain] = timer.read()
            if len(readings) == case.chains:
                stages.end(readings[chain])

    with stages.heard(), collector_seconds() as collections:
        began = timer.read()
        timer.begin(Phase.FIRST_DRAW)
        check, unavailable = backend.draw(built, case, sampler, drew)
    if len(readings) != case.chains:
        raise WorkerError(f"{sampler} told of {len(readings)} of {case.chains} chains")
    last = max(readings.values(), key=lambda reading: reading.wall_seconds)
    compiles = stages.compiles_before(last.wall_seconds)
    timer.records[:] = carve_jax(timer.records, compiles)
    seconds = tuple(readings[chain].wall_seconds - began.wall_seconds for chain in sorted(readings))
    unavailable = (*unavailable, *stages.unavailable)
    draw = FirstDraw(sampler=sampler, reason=reason, seconds=seconds, unavailable=tuple(dict.fromkeys(unavailable)))
    return DrawWindow(built, draw, check, compiles, last - began, sum(collections))


class DrawStages:
    """Switches a timer's phase as a sampler goes through its stages, in whatever thread; the innermost stage counts."""

    def __init__(self, timer: PhaseTimer) -> None:
        self._timer = timer
        self._open: list[tuple[object, Phase]] = []
        self._switching = threading.RLock()
        self._process = os.getpid()
        self._is_over = False
        self._compiles: dict[int, TracedCompile] = {}
        self._listener = CompileListener(self._ended, entered=self.entered, now=timer.now)
        self._failure: tuple[BaseException, Phase] | None = None
        """What left a stage last, and the innermost one that it left."""
        self.unavailable: tuple[str, ...] = ()

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listen while the block runs."""
        events = FunctionEvents()
        for probe, phase in _STAGES:
            if probe.is_near():
                try:
                    self._watch(events, probe.find(), phase, is_jax_graph=probe is probes.JAX_GRAPH)
                except UnavailableError as error:
                    self.unavailable += (str(error),)
        for name, stages in _OWN_STAGES.items():
            if (module := sys.modules.get(f"firstgrad.fast.{name}")) is not None:
                for function, phase in stages.items():
                    self._watch(events, attrgetter(function)(module), phase)
        with events:
            self._listener.attach()
            try:
                yield
            except Exception as error:
                if self._failure is not None and self._failure[0] in (error, error.__cause__):
                    self._timer.current = self._failure[1]
                raise
            finally:
                self._failure = None
                self._listener.detach()
        self.unavailable += (*self._listener.unavailable, *events.problems)

    def end(self, at: Reading) -> None:
        """End the last phase as of a moment; what comes later is no stage."""
        with self._switching:
            if not self._is_over:
                self._is_over = True
                self._timer.end(at)

    def compiles_before(self, seconds: float) -> tuple[TracedCompile, ...]:
        """List what was compiled up to a moment, in order."""
        return tuple(one for _, one in sorted(self._compiles.items()) if one.began_seconds <= seconds)

    def _watch(self, events: FunctionEvents, function: Any, phase: Phase, *, is_jax_graph: bool = False) -> None:
        def began(frame: object) -> None:
            # A graph for JAX is the log-density's where that is being made, else one that draws need beside it.
            of_logp = is_jax_graph and Phase.REWRITE in (one for _, one in self._open)
            self._enter(frame, Phase.REWRITE if of_logp else phase)

        events.watch(function, began, self._returned, self._unwound)

    def _returned(self, frame: object, _: object) -> None:
        self._leave(frame)

    def _unwound(self, frame: object, error: BaseException) -> None:
        if self._open and (self._failure is None or self._failure[0] is not error):
            self._failure = error, self._open[-1][1]
        self._leave(frame)

    def entered(self, number: int, purpose: Purpose, phase: CompilePhase | None) -> None:
        """Take that a compile began a phase, or ended its last one, as `CompileListener` tells it."""
        self._leave(number)
        if phase is not None:
            self._enter(number, _phase_of(purpose, phase))

    def _ended(self, compile_: TracedCompile) -> None:
        self._compiles[compile_.number] = compile_

    def _enter(self, token: object, phase: Phase) -> None:
        with self._switching:
            self._open.append((token, phase))
            self._switch()

    def _leave(self, token: object) -> None:
        with self._switching:
            self._open = [one for one in self._open if one[0] is not token and one[0] != token]
            self._switch()

    def _switch(self) -> None:
        phase = self._open[-1][1] if self._open else Phase.FIRST_DRAW
        if not self._is_over and os.getpid() == self._process:  # none of the chains' own, forked ones
            self._timer.switch(phase)


def _phase_of(purpose: Purpose, phase: CompilePhase) -> Phase:
    """Say to which phase of a first draw a stage of a compile belongs."""
    if purpose in _OF_THE_GRADIENT:
        return Phase.FIRST_CALL if phase is CompilePhase.COMPILE else Phase(phase)
    return _WHOLE.get(purpose, Phase.OTHER_FUNCTIONS)


def find_never_kept(compiles: Iterable[TracedCompile]) -> tuple[NeverKept, ...]:
    """List what no cache keeps, the slowest first."""
    kept = []
    for one in compiles:
        misses = [miss for miss in one.cache.misses if miss.reason != NO_ENTRY]
        if one.cache.never_kept and misses:
            kept.append(
                NeverKept(
                    purpose=str(one.purpose),
                    names=tuple(miss.name for miss in misses[:_MOST_NAMES]),
                    units=one.cache.never_kept,
                    seconds=one.cache.never_kept_seconds,
                    reason=misses[0].reason,
                )
            )
    return tuple(sorted(kept, key=lambda one: -one.seconds))


def carve_jax(records: Sequence[PhaseRecord], compiles: Iterable[TracedCompile]) -> list[PhaseRecord]:
    """Take out of `first_draw` what JAX compiled in it: JAX tells of that only afterwards.

    Processor seconds of such a stretch are shared out by wall time.
    """
    spans = sorted(
        (span.began_seconds, span.began_seconds + span.wall_seconds, _phase_of(one.purpose, CompilePhase.COMPILE))
        for one in compiles
        if one.kind is CompileKind.JAX_FUNCTION
        for span in one.phases
    )
    carved: list[PhaseRecord] = []
    for record in records:
        if record.phase is not Phase.FIRST_DRAW or not record.wall_seconds:
            carved.append(record)
            continue
        at, ended = record.began_seconds, record.began_seconds + record.wall_seconds
        pieces: list[tuple[Phase, float, float]] = []
        for began, end, phase in spans:
            low, high = max(began, at), min(end, ended)
            if low < high:
                pieces += [(Phase.FIRST_DRAW, at, low)] if low > at else []
                pieces.append((phase, low, high))
                at = high
        pieces += [(Phase.FIRST_DRAW, at, ended)] if ended > at or not pieces else []
        carved += (
            replace(
                record,
                phase=phase,
                began_seconds=began,
                wall_seconds=end - began,
                cpu_seconds=record.cpu_seconds * (end - began) / record.wall_seconds,
            )
            for phase, began, end in pieces
        )
    return carved
