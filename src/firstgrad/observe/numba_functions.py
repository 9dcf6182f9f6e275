"""Jitted functions: what Numba compiled and loaded, for which operations and nodes of the graph."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.errors import UnavailableError
from firstgrad.observe import probes
from firstgrad.observe.calls import frames_around
from firstgrad.observe.events import WHOLE_GRAPH, Attribution, CacheMiss, CompiledUnit, SpanKind, UnitKind
from firstgrad.observe.listeners import listen_numba
from firstgrad.observe.spans import walk_stretches
from firstgrad.observe.units import NO_ENTRY, describe_op, number_names, order_units, sum_up_misses

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from firstgrad.observe.calls import FunctionEvents
    from firstgrad.observe.spans import Stretch, StretchRecorder
    from firstgrad.observe.units import CompileFacts
    from firstgrad.phase import Phase

COMPILE, _LOAD, _MISS, _SAVE = "compile", "load", "load missed", "save"
_LOCALS = ".<locals>."
_NO_KEY = "PyTensor gives this operation no cache key: it and the whole graph are compiled anew in every process"
NUMBA_REFUSED = "Numba would not keep it (it refers to data that a cache cannot hold)"


@dataclass(slots=True, eq=False)
class MadeFor:
    """What a function was made for."""

    name: str  # of PyTensor's implementation, also where `function` is the wrapper that PyTensor caches in its place
    op: Any  # the operation; the whole graph is one as well
    chains: list[tuple[Any, ...]] = field(default_factory=list)
    """The nodes it serves, each followed by those around it, innermost first."""


class FunctionBook:
    """Notes what PyTensor makes functions for, as `probes.MAKE_NUMBA_FUNCTION` starts and returns.

    It holds no function alive, and the nodes of their graphs only where asked to.
    """

    def __init__(self, *, keeps_nodes: bool = True) -> None:
        self._keeps_nodes = keeps_nodes
        self._made: dict[int, MadeFor] = {}
        self._alive: dict[int, object] = {}
        self._unkeyed: dict[str, None] = {}
        self._around: list[tuple[FrameType, Any]] = []

    def started(self, frame: FrameType) -> None:
        """Note which node's function is being made; those made within belong to its inner graph."""
        # Those whose making raised never returned.
        alive, known = set(map(id, frames_around(frame))), frame.f_locals
        self._around = [(outer, node) for outer, node in self._around if id(outer) in alive]
        # A parameter of its own from PyTensor 3.3.8 on.
        self._around.append((frame, known["node"] if "node" in known else known["kwargs"].get("node")))

    def returned(self, frame: FrameType, value: Any) -> None:
        """Note the function, and the one that it wraps."""
        known = frame.f_locals
        while self._around and self._around[-1][0] is not frame:
            self._around.pop()
        # Noted at the start: PyTensor 3.3.8 gives its variable `node` another value on the way.
        is_whole_graph = not self._around or self._around[-1][1] is None
        nodes = tuple(node for _, node in reversed(self._around) if node is not None)
        del self._around[-1:]
        function, key = value
        inner = plain_function(known["jitable_func"])
        for one in (plain_function(function), inner):
            made = self._made.setdefault(id(one), MadeFor(short_name(inner), known["op"]))
            self._alive.setdefault(id(one), weakref.ref(one, partial(self._forget, id(one))))
            if not is_whole_graph and self._keeps_nodes:
                made.chains.append(nodes)

        if key is None and not hasattr(known["op"], "apply_nodes"):
            self._unkeyed[describe_op(known["op"])] = None

    def take_unkeyed(self) -> list[str]:
        """Return operations without a cache key that came since the last time, each once; not whole graphs."""
        unkeyed, self._unkeyed = list(self._unkeyed), {}
        return unkeyed

    def _forget(self, place: int, _: object) -> None:
        self._made.pop(place, None)
        self._alive.pop(place, None)

    def find(self, function: Any) -> MadeFor | None:
        """Look up what a function was made for; none where PyTensor did not make it for an operation."""
        return self._made.get(id(function))


@dataclass(slots=True, eq=False)
class _Function:
    """A unit in the making."""

    name: str
    op: Any
    phase: Phase | None
    within: _Function | None = None
    stretches: list[Stretch] = field(default_factory=list)
    outermost: list[Stretch] = field(default_factory=list)
    made: dict[int, MadeFor] = field(default_factory=dict)

    def has(self, kind: str) -> bool:
        return any(stretch.kind == kind for stretch in self.stretches)

    @property
    def is_refused(self) -> bool:
        return any(stretch.kind == _SAVE and stretch.note is None for stretch in self.stretches)

    def to_unit(self, names: dict[_Function, str], facts: CompileFacts) -> CompiledUnit:
        is_whole = describe_op(self.op) == WHOLE_GRAPH
        nodes = {id(chain[0]): chain for made in self.made.values() for chain in made.chains if chain}
        files = map(Path, {stretch.note for stretch in self.stretches if stretch.note is not None})
        sizes = [file.stat().st_size for file in files if file.is_file()]
        return CompiledUnit(
            kind=UnitKind.JITTED_FUNCTION,
            name=names[self],
            phase=self.phase,
            own_seconds=sum(stretch.own_seconds for stretch in self.stretches),
            wall_seconds=sum(stretch.wall_seconds for stretch in self.outermost),
            op=describe_op(self.op) if self.op is not None else "",
            nodes=facts.nodes if is_whole else len(nodes),
            sources=() if is_whole else facts.sources_of(nodes.values()),
            lines=() if is_whole else facts.lines_of(nodes.values()),
            within=names[self.within] if self.within is not None else "",
            from_cache=not self.has(COMPILE),
            code_bytes=sum(sizes) if sizes else None,
        )


class NumbaFunctionListener:
    """Listens to Numba's ``numba:compile`` events, to its cache, and to PyTensor's making of functions.

    A unit is one function of PyTensor's source for one operation, whatever the dtypes and however many nodes: with the
    wrapper by which Numba caches it, Numba's own helpers, and what exists within the operation's implementation only.
    Functions that serve several operations (``_gemm_impl``) stay units; `within` and `op` say who pulled them in. Own
    seconds include saving to the cache and loading from it.
    """

    def __init__(self, *, keeps_nodes: bool = True) -> None:
        self._book = FunctionBook(keeps_nodes=keeps_nodes)
        self._unavailable: list[str] = []
        self._undo: Callable[[], None] | None = None

    def attach(self, events: FunctionEvents, recorder: StretchRecorder) -> None:
        """Register with Numba, and watch three functions of its cache and one of PyTensor."""
        self.attach_numba(events, recorder)
        self.attach_pytensor(events)

    def attach_pytensor(self, events: FunctionEvents) -> None:
        """Watch PyTensor make functions."""
        try:
            events.watch(probes.MAKE_NUMBA_FUNCTION.find(), self._book.started, self._book.returned)
        except UnavailableError as error:
            self._unavailable.append(str(error))

    def attach_numba(self, events: FunctionEvents, recorder: StretchRecorder) -> None:
        """Register with Numba, and watch its cache."""
        self._undo = listen_numba(
            lambda data: recorder.open(COMPILE, data, probes.jitted_function(data)), recorder.close
        )
        try:
            self._watch_cache(events, recorder)
        except UnavailableError as error:
            self._unavailable.append(str(error))

    def _watch_cache(self, events: FunctionEvents, recorder: StretchRecorder) -> None:
        load, save, data_path = (
            probe.find() for probe in (probes.NUMBA_LOAD, probes.NUMBA_SAVE, probes.NUMBA_DATA_PATH)
        )

        def loaded(frame: FrameType, value: Any) -> None:
            stretch = recorder.close(frame)
            if stretch is not None and value is None:
                stretch.kind = _MISS

        def file_named(_frame: FrameType, path: Any) -> None:
            stretch = recorder.innermost
            if stretch is not None and stretch.kind in {_LOAD, _SAVE}:
                stretch.note = str(path)

        events.watch(load, lambda frame: recorder.open(_LOAD, frame, probes.cached_function(frame)), loaded)
        events.watch(
            save,
            lambda frame: recorder.open(_SAVE, frame, probes.cached_function(frame)),
            lambda frame, _: recorder.close(frame),
        )
        events.watch(data_path, returned=file_named)

    def detach(self) -> None:
        """Take the listener away from Numba."""
        if self._undo is not None:
            self._undo()
            self._undo = None

    def report(self, roots: tuple[Stretch, ...], facts: CompileFacts) -> Attribution:
        """Put the stretches of each function together."""
        functions = self._gather(roots, facts)
        names = dict(zip(functions, number_names([function.name for function in functions]), strict=True))
        missed = [names[function] for function in functions if function.has(_MISS) and not function.is_refused]
        return Attribution(
            units=order_units(function.to_unit(names, facts) for function in functions),
            spans=tuple(
                stretch.as_span(SpanKind.UNIT, names[function])
                for function in functions
                for stretch in function.outermost
            ),
            cache_misses=(
                *(CacheMiss(name=name, reason=_NO_KEY) for name in self._book.take_unkeyed()),
                *(
                    CacheMiss(name=names[function], reason=NUMBA_REFUSED)
                    for function in functions
                    if function.is_refused
                ),
                *sum_up_misses(missed, NO_ENTRY, "jitted functions"),
            ),
            unavailable=tuple(self._unavailable),
        )

    def _gather(self, roots: tuple[Stretch, ...], facts: CompileFacts) -> list[_Function]:
        functions: dict[tuple[Phase | None, str, object], _Function] = {}
        # For each stretch: whose it is, all whose it is within, and what the innermost of PyTensor's was made for.
        place: dict[int, tuple[_Function, frozenset[int], MadeFor | None]] = {}
        for stretch, outer in walk_stretches(roots):
            around, owners, made_around = place[id(outer)] if outer is not None else (None, frozenset[int](), None)
            made = self._book.find(stretch.subject) or made_around
            if around is not None and made is made_around and is_helper(stretch.subject):
                function = around
            else:
                name = made.name if made is not None and made is not made_around else short_name(stretch.subject)
                op = made.op if made is not None else None
                phase = facts.phase_at(stretch.began_seconds)
                key = (phase, name, _identity(op))
                function = functions.setdefault(key, _Function(name, op, phase, within=around))
            if made is not None:
                function.made[id(made)] = made
            function.stretches.append(stretch)
            if id(function) not in owners:
                function.outermost.append(stretch)
            place[id(stretch)] = (function, owners | {id(function)}, made)
        return list(functions.values())


def plain_function(function: Any) -> Any:
    """Return the Python function that a dispatcher compiles."""
    return getattr(function, "py_func", function)


def short_name(function: Any) -> str:
    """Name a function as its source does.

    A closure is named after the function around it, ``_gemm_impl`` and not ``impl``, unless that is one of PyTensor's
    ``numba_funcify_…``, whose closures have names of their own.
    """
    outer, _, inner = str(getattr(function, "__qualname__", function)).partition(_LOCALS)
    return inner.rpartition(_LOCALS)[2] if inner and outer.startswith(probes.NUMBA_DISPATCH) else outer


def is_helper(function: Any) -> bool:
    """Whether a function is a part of what pulled it in: it is Numba's own, or a closure of a ``numba_funcify_…``."""
    package = str(getattr(function, "__module__", None) or "").partition(".")[0]
    name = str(getattr(function, "__qualname__", ""))
    return package == "numba" or (name.startswith(probes.NUMBA_DISPATCH) and _LOCALS in name)


def _identity(op: Any) -> object:
    try:
        hash(op)
    except TypeError:
        return id(op)
    return op
