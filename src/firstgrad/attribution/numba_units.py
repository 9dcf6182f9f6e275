"""Jitted functions: what Numba compiled and loaded, for which operations and nodes of the graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.attribution.instrument import (
    WHOLE_GRAPH,
    Heard,
    describe_op,
    number_names,
    order_units,
    sum_up_misses,
)
from firstgrad.attribution.numba_functions import FunctionBook, is_helper, plain_function, short_name
from firstgrad.attribution.stretches import walk
from firstgrad.observe.events import UnitKind
from firstgrad.profile import CacheMiss, Span, SpanKind, Unit

if TYPE_CHECKING:
    from types import FrameType

    from firstgrad.attribution.instrument import Setting
    from firstgrad.attribution.numba_functions import MadeFor
    from firstgrad.attribution.stretches import Stretch, StretchRecorder
    from firstgrad.observe.calls import FunctionEvents
    from firstgrad.record import Phase

_COMPILE, _LOAD, _SAVE = "compile", "load", "save"
_EVENT = "numba:compile"
_NO_KEY = "PyTensor gives this operation no cache key: it and the whole graph are compiled anew in every process"
_NOT_KEPT = "Numba would not keep it (it refers to data that a cache cannot hold)"
_NO_ENTRY = "the cache had no entry; the next process finds one"

type _Key = tuple[Phase | None, str, object]


@dataclass(slots=True, eq=False)
class _Function:
    """A unit in the making."""

    name: str
    op: Any
    phase: Phase | None
    within: _Function | None = None
    own_seconds: float = 0.0
    outermost: list[Stretch] = field(default_factory=list)
    made: dict[int, MadeFor] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    compiled: int = 0
    missed: int = 0
    refused: int = 0


class NumbaUnits:
    """Listens to Numba's ``numba:compile`` events, to its cache, and to PyTensor's making of functions.

    A unit is one function of PyTensor's source for one operation, in all its specialisations: ``dimshuffle`` for
    ``Squeeze{axis=1}``, whatever the dtypes and however many nodes. The wrapper that PyTensor puts around a function
    so that Numba caches it is the same unit, and so is the whole graph's. Numba's own helpers, and functions that
    exist within an operation's implementation only, are folded into the unit whose compile pulled them in. Functions
    of PyTensor that serve several operations (``_gemm_impl``) stay units: they are what a PyTensor developer can make
    cheaper; `within` and `op` say who pulled them in. Own seconds include saving to the cache and loading from it.
    """

    def __init__(self) -> None:
        self._book = FunctionBook()
        self._unavailable: list[str] = []
        self._listener: Any = None

    def attach(self, events: FunctionEvents, recorder: StretchRecorder) -> None:
        """Register with Numba, and watch three functions of its cache and one of PyTensor."""
        from numba.core import event

        class Compiles(event.Listener):  # type: ignore[misc]  # numba has no types
            def on_start(self, event: Any) -> None:
                dispatcher = event.data["dispatcher"]
                recorder.open(_COMPILE, event.data, plain_function(dispatcher))

            def on_end(self, event: Any) -> None:
                recorder.close(event.data)

        self._listener = Compiles()
        event.register(_EVENT, self._listener)
        self._watch_cache(events, recorder)
        try:
            from pytensor.link.numba.dispatch.basic import numba_funcify_ensure_cache
        except ImportError:
            self._unavailable.append("operations and nodes of jitted functions: PyTensor before 3 does not tell them")
        else:
            events.watch(numba_funcify_ensure_cache, self._book.started, self._book.returned)

    def _watch_cache(self, events: FunctionEvents, recorder: StretchRecorder) -> None:
        try:
            from numba.core.caching import Cache, IndexDataCacheFile

            watched = Cache.load_overload, Cache.save_overload, IndexDataCacheFile._data_path  # noqa: SLF001
        except (ImportError, AttributeError) as error:
            self._unavailable.append(f"functions from the cache, and their sizes: this Numba's cache differs ({error})")
            return

        def began(kind: str, frame: FrameType) -> None:
            recorder.open(kind, frame, frame.f_locals["self"]._py_func)  # noqa: SLF001 - it has no public name

        def loaded(frame: FrameType, value: Any) -> None:
            stretch = recorder.close(frame)
            if stretch is not None and value is None:
                stretch.kind = f"{_LOAD} missed"

        def told_file(_frame: FrameType, path: Any) -> None:
            stretch = recorder.innermost
            if stretch is not None and stretch.kind in {_LOAD, _SAVE}:
                stretch.note = str(path)

        load, save, data_path = watched
        events.watch(load, lambda frame: began(_LOAD, frame), loaded)
        events.watch(save, lambda frame: began(_SAVE, frame), lambda frame, _: recorder.close(frame))
        events.watch(data_path, returned=told_file)

    def detach(self) -> None:
        """Take the listener away from Numba."""
        from numba.core import event

        if self._listener is not None:
            event.unregister(_EVENT, self._listener)
            self._listener = None

    def hear(self, roots: tuple[Stretch, ...], setting: Setting) -> Heard:
        """Put the stretches of each function together."""
        functions = self._gather(roots, setting)
        names = dict(zip(functions, number_names([each.name for each in functions]), strict=True))
        units = [_make_unit(each, names, setting) for each in functions]
        spans = tuple(
            Span(
                kind=SpanKind.UNIT,
                name=names[each],
                began_seconds=stretch.began_seconds,
                wall_seconds=stretch.wall_seconds,
            )
            for each in functions
            for stretch in each.outermost
        )
        missed = [names[each] for each in functions if each.missed and not each.refused]
        return Heard(
            units=order_units(units),
            spans=spans,
            misses=(
                *(CacheMiss(name=describe_op(op), reason=_NO_KEY) for op in self._book.unkeyed_operations()),
                *(CacheMiss(name=names[each], reason=_NOT_KEPT) for each in functions if each.refused),
                *sum_up_misses(missed, _NO_ENTRY, "jitted functions"),
            ),
            unavailable=tuple(self._unavailable),
        )

    def _gather(self, roots: tuple[Stretch, ...], setting: Setting) -> list[_Function]:
        found: dict[_Key, _Function] = {}
        # For each stretch: whose it is, all whose it is within, and what the innermost of PyTensor's was made for.
        place: dict[int, tuple[_Function, frozenset[int], MadeFor | None]] = {}
        for stretch, outer in walk(roots):
            around, owners, made_around = place[id(outer)] if outer is not None else (None, frozenset[int](), None)
            made = self._book.find(stretch.subject) or made_around
            if around is not None and made is made_around and is_helper(stretch.subject):
                function = around
            else:
                is_its_own = made is not None and made is not made_around
                name = made.name if is_its_own and made is not None else short_name(stretch.subject)
                op = made.op if made is not None else None
                phase = setting.phase_at(stretch.began_seconds)
                key = (phase, name, _identity(op))
                function = found.setdefault(key, _Function(name, op, phase, within=around))
            if made is not None:
                function.made[id(made)] = made
            _add(function, stretch, is_outermost=id(function) not in owners)
            place[id(stretch)] = (function, owners | {id(function)}, made)
        return list(found.values())


def _add(function: _Function, stretch: Stretch, *, is_outermost: bool) -> None:
    function.own_seconds += stretch.own_seconds
    if is_outermost:
        function.outermost.append(stretch)
    if stretch.kind == _COMPILE:
        function.compiled += 1
    elif stretch.kind == _SAVE:
        function.refused += stretch.note is None
    elif stretch.kind != _LOAD:
        function.missed += 1
    if stretch.note is not None:
        function.files.add(stretch.note)


def _make_unit(function: _Function, names: dict[_Function, str], setting: Setting) -> Unit:
    is_whole = describe_op(function.op) == WHOLE_GRAPH
    chains = [chain for made in function.made.values() for chain in made.chains]
    own_nodes = {id(chain[0]): chain for chain in chains if chain}
    return Unit(
        kind=UnitKind.JITTED_FUNCTION,
        name=names[function],
        phase=function.phase,
        own_seconds=function.own_seconds,
        wall_seconds=sum(each.wall_seconds for each in function.outermost),
        op=describe_op(function.op) if function.op is not None else "",
        nodes=setting.nodes if is_whole else len(own_nodes),
        sources=() if is_whole else setting.sources_of(own_nodes.values()),
        within=names[function.within] if function.within is not None else "",
        from_cache=not function.compiled,
        code_bytes=_size_bytes(function.files),
    )


def _identity(op: Any) -> object:
    try:
        hash(op)
    except TypeError:
        return id(op)
    return op


def _size_bytes(files: set[str]) -> int | None:
    sizes = [path.stat().st_size for path in map(Path, files) if path.is_file()]
    return sum(sizes) if sizes else None
