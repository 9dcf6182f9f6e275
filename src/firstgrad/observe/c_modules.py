"""C modules: what the compiler was started for, for which operations and nodes of the graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from firstgrad.errors import UnavailableError
from firstgrad.observe import probes
from firstgrad.observe.calls import frames_around
from firstgrad.observe.events import WHOLE_GRAPH, Attribution, CacheMiss, CompiledUnit, SpanKind, UnitKind
from firstgrad.observe.spans import walk_stretches
from firstgrad.observe.units import NO_ENTRY, describe_op, order_units, sum_up_misses

if TYPE_CHECKING:
    from types import FrameType

    from firstgrad.observe.calls import FunctionEvents
    from firstgrad.observe.spans import Stretch, StretchRecorder
    from firstgrad.observe.units import CompileFacts
    from firstgrad.phase import Phase

_MODULE, _COMPILER = "module", "compiler"
_COMPILER_SPAN = "C++ compiler"
_NO_KEY = "PyTensor has no cache key for it: it is compiled anew for every function"
_NO_VERSION = "its operation has no c_code_cache_version: it is compiled anew in every process"


class MadeModule(NamedTuple):
    """What was there when a module was ready: its name, its file, and PyTensor's key for it."""

    name: str
    file: str
    key: Any


@dataclass(slots=True, eq=False)
class _Module:
    """A unit in the making."""

    made: MadeModule
    phase: Phase | None
    within: _Module | None
    own_seconds: float = 0.0
    compiler_seconds: float = 0.0
    stretches: list[Stretch] = field(default_factory=list)
    compiled: bool = False

    def to_unit(self, facts: CompileFacts) -> CompiledUnit:
        chains = {id(stretch.subject[0]): stretch.subject for stretch in self.stretches}
        first = self.stretches[0].subject[0]
        is_whole = not hasattr(first, "op")
        file = Path(self.made.file)
        return CompiledUnit(
            kind=UnitKind.C_MODULE,
            name=self.made.name,
            phase=self.phase,
            own_seconds=self.own_seconds,
            wall_seconds=sum(stretch.wall_seconds for stretch in self.stretches),
            op=WHOLE_GRAPH if is_whole else describe_op(first.op),
            nodes=len(chains),
            sources=() if is_whole else facts.sources_of(chains.values()),
            lines=() if is_whole else facts.lines_of(chains.values()),
            within=self.within.made.name if self.within is not None else "",
            from_cache=not self.compiled,
            code_bytes=file.stat().st_size if file.is_file() else None,
            compiler_seconds=self.compiler_seconds,
        )


class CModuleListener:
    """Watches the C linker make or load a module, a unit for all nodes that use it, and the compiler within."""

    def __init__(self) -> None:
        self._unavailable: list[str] = []

    def attach(self, events: FunctionEvents, recorder: StretchRecorder) -> None:
        """Watch two functions of PyTensor."""

        def began(frame: FrameType) -> None:
            recorder.open(_MODULE, frame, _nodes_around(frame) or (frame.f_locals["self"].fgraph,))

        def ended(frame: FrameType, value: Any) -> None:
            stretch = recorder.close(frame)
            if stretch is not None:
                module = value[1]
                # The folder's name is a new one each time, the module's own is a digest of its source.
                name = module.__name__.rpartition(".")[2]
                stretch.note = MadeModule(name, str(module.__file__), frame.f_locals.get("key"))

        events.watch(probes.MAKE_C_THUNK.find(), began, ended)
        try:
            events.watch(
                probes.RUN_COMPILER.find(),
                lambda frame: recorder.open(_COMPILER, frame),
                lambda frame, _: recorder.close(frame),
            )
        except UnavailableError as error:
            self._unavailable.append(str(error))

    def detach(self) -> None:
        """Need nothing: the watched functions are let go by their context."""

    def report(self, roots: tuple[Stretch, ...], facts: CompileFacts) -> Attribution:
        """Put the stretches of each module together."""
        modules = _gather(roots, facts)
        reasons = [
            (made.name, _NO_KEY if made.key is None else NO_ENTRY if made.key[0] else _NO_VERSION)
            for made in (module.made for module in modules if module.compiled)
        ]
        unkept = {name: reason for name, reason in reasons if reason is not NO_ENTRY}
        missed = [name for name, _ in reasons if name not in unkept]
        spans = [
            stretch.as_span(SpanKind.STEP, _COMPILER_SPAN)
            if stretch.kind == _COMPILER
            else stretch.as_span(SpanKind.UNIT, stretch.note.name)
            for stretch, _ in walk_stretches(roots)
            if stretch.kind == _COMPILER or stretch.note is not None
        ]
        return Attribution(
            units=order_units(module.to_unit(facts) for module in modules),
            spans=tuple(spans),
            cache_misses=(
                *(CacheMiss(name=name, reason=why) for name, why in unkept.items()),
                *sum_up_misses(missed, NO_ENTRY, "C modules"),
            ),
            unavailable=tuple(self._unavailable),
        )


def _gather(roots: tuple[Stretch, ...], facts: CompileFacts) -> list[_Module]:
    modules: dict[tuple[Phase | None, str], _Module] = {}
    owner: dict[int, _Module | None] = {}
    for stretch, outer in walk_stretches(roots):
        around = owner[id(outer)] if outer is not None else None
        owner[id(stretch)] = around
        if stretch.kind == _COMPILER:
            if around is not None:
                around.compiled = True
                around.compiler_seconds += stretch.wall_seconds
                around.own_seconds += stretch.own_seconds
        elif stretch.note is not None:
            phase = facts.phase_at(stretch.began_seconds)
            module = modules.setdefault((phase, stretch.note.name), _Module(stretch.note, phase, around))
            module.own_seconds += stretch.own_seconds
            module.stretches.append(stretch)
            owner[id(stretch)] = module
    return list(modules.values())


def _nodes_around(frame: FrameType) -> tuple[Any, ...]:
    """Find the nodes whose thunks are being made, innermost first, each once."""
    makers = (outer for outer in frames_around(frame) if outer.f_code.co_name in probes.C_THUNK_MAKERS)
    nodes = {id(node): node for maker in makers if (node := maker.f_locals.get("node")) is not None}
    return tuple(nodes.values())
