"""C modules: what the compiler was started for, for which operations and nodes of the graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.attribution.instrument import WHOLE_GRAPH, Heard, describe_op, order_units, sum_up_misses
from firstgrad.attribution.stretches import walk
from firstgrad.observe.events import UnitKind
from firstgrad.profile import CacheMiss, Span, SpanKind, Unit

if TYPE_CHECKING:
    from types import FrameType

    from firstgrad.attribution.instrument import Setting
    from firstgrad.attribution.stretches import Stretch, StretchRecorder
    from firstgrad.observe.calls import FunctionEvents
    from firstgrad.record import Phase

_MODULE, _COMPILER = "module", "compiler"
_COMPILER_SPAN = "C++ compiler"
_MAKERS = frozenset({"make_c_thunk", "make_thunk"})
_NO_KEY = "PyTensor has no cache key for it: it is compiled anew for every function"
_NO_VERSION = "its operation has no c_code_cache_version: it is compiled anew in every process"
_NO_ENTRY = "the cache had no entry; the next process finds one"


@dataclass(frozen=True, slots=True)
class _Made:
    """What was found when a module was ready: its file, and PyTensor's key for it."""

    name: str
    file: str
    key: Any


@dataclass(slots=True, eq=False)
class _Module:
    """A unit in the making."""

    made: _Made
    phase: Phase | None
    within: _Module | None
    own_seconds: float = 0.0
    compiler_seconds: float = 0.0
    stretches: list[Stretch] = field(default_factory=list)
    chains: list[tuple[Any, ...]] = field(default_factory=list)
    compiled: bool = False


class CUnits:
    """Watches PyTensor's C linker make or load a module for a node, and the compiler run within.

    A unit is one module, for all nodes that use it. Its own seconds begin with the making of its key and end when it
    is loaded; those of them that the compiler's process took are told apart.
    """

    def __init__(self) -> None:
        self._unavailable: list[str] = []

    def attach(self, events: FunctionEvents, recorder: StretchRecorder) -> None:
        """Watch two functions of PyTensor."""
        from pytensor.link.c.basic import CLinker

        def began(frame: FrameType) -> None:
            recorder.open(_MODULE, frame, _nodes_around(frame) or (frame.f_locals["self"].fgraph,))

        def ended(frame: FrameType, value: Any) -> None:
            stretch = recorder.close(frame)
            if stretch is not None:
                module = value[1]
                # The folder's name is a new one each time, the module's own is a digest of its source.
                name = module.__name__.rpartition(".")[2]
                stretch.note = _Made(name, str(module.__file__), frame.f_locals.get("key"))

        events.watch(CLinker.cthunk_factory, began, ended)
        try:
            from pytensor.utils import output_subprocess_Popen
        except ImportError:
            self._unavailable.append("seconds of the C++ compiler alone: this PyTensor starts it otherwise")
        else:
            events.watch(
                output_subprocess_Popen,
                lambda frame: recorder.open(_COMPILER, frame),
                lambda frame, _: recorder.close(frame),
            )

    def detach(self) -> None:
        """Need nothing: the watched functions are let go by their context."""

    def hear(self, roots: tuple[Stretch, ...], setting: Setting) -> Heard:
        """Put the stretches of each module together."""
        modules = _gather(roots, setting)
        compiled = [each for each in modules if each.compiled]
        unkept = {each.made.name: reason for each in compiled if (reason := _why_unkept(each.made.key))}
        missed = [each.made.name for each in compiled if each.made.name not in unkept]
        return Heard(
            units=order_units(_make_unit(each, setting) for each in modules),
            spans=tuple(_spans(roots)),
            misses=(
                *(CacheMiss(name=name, reason=reason) for name, reason in unkept.items()),
                *sum_up_misses(missed, _NO_ENTRY, "C modules"),
            ),
            unavailable=tuple(self._unavailable),
        )


def _gather(roots: tuple[Stretch, ...], setting: Setting) -> list[_Module]:
    found: dict[tuple[Phase | None, str], _Module] = {}
    owner: dict[int, _Module | None] = {}
    for stretch, outer in walk(roots):
        around = owner[id(outer)] if outer is not None else None
        owner[id(stretch)] = around
        if stretch.kind == _COMPILER:
            if around is not None:
                around.compiled = True
                around.compiler_seconds += stretch.wall_seconds
                around.own_seconds += stretch.own_seconds
        elif stretch.note is not None:
            phase = setting.phase_at(stretch.began_seconds)
            module = found.setdefault((phase, stretch.note.name), _Module(stretch.note, phase, around))
            module.own_seconds += stretch.own_seconds
            module.stretches.append(stretch)
            module.chains.append(stretch.subject)
            owner[id(stretch)] = module
    return list(found.values())


def _make_unit(module: _Module, setting: Setting) -> Unit:
    chains = {id(chain[0]): chain for chain in module.chains}
    first = module.chains[0][0]
    is_whole = not hasattr(first, "op")
    file = Path(module.made.file)
    return Unit(
        kind=UnitKind.C_MODULE,
        name=module.made.name,
        phase=module.phase,
        own_seconds=module.own_seconds,
        wall_seconds=sum(each.wall_seconds for each in module.stretches),
        op=WHOLE_GRAPH if is_whole else describe_op(first.op),
        nodes=len(chains),
        sources=() if is_whole else setting.sources_of(chains.values()),
        within=module.within.made.name if module.within is not None else "",
        from_cache=not module.compiled,
        code_bytes=file.stat().st_size if file.is_file() else None,
        compiler_seconds=module.compiler_seconds,
    )


def _spans(roots: tuple[Stretch, ...]) -> list[Span]:
    spans = []
    for stretch, _ in walk(roots):
        if stretch.kind == _COMPILER or stretch.note is not None:
            is_run = stretch.kind == _COMPILER
            spans.append(
                Span(
                    kind=SpanKind.STEP if is_run else SpanKind.UNIT,
                    name=_COMPILER_SPAN if is_run else stretch.note.name,
                    began_seconds=stretch.began_seconds,
                    wall_seconds=stretch.wall_seconds,
                )
            )
    return spans


def _why_unkept(key: Any) -> str:
    if key is None:
        return _NO_KEY
    return "" if key[0] else _NO_VERSION


def _nodes_around(frame: FrameType) -> tuple[Any, ...]:
    """Find the nodes whose thunks are being made, innermost first, each once."""
    found: dict[int, Any] = {}
    each = frame.f_back
    while each is not None:
        if each.f_code.co_name in _MAKERS:
            node = each.f_locals.get("node")
            if node is not None:
                found[id(node)] = node
        each = each.f_back
    return tuple(found.values())
