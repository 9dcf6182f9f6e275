"""XLA modules: what JAX traced, lowered and compiled, from the events that it sends itself."""

from __future__ import annotations

import re
from collections import Counter
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
from firstgrad.observe.events import UnitKind
from firstgrad.profile import Span, SpanKind, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from firstgrad.attribution.instrument import Setting
    from firstgrad.attribution.stretches import Stretch, StretchRecorder
    from firstgrad.observe.calls import FunctionEvents

_STEPS = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile",
}
_HIT, _KEPT = "/jax/compilation_cache/cache_hits", "/jax/compilation_cache/cache_misses"
_NO_CACHE = "no persistent cache is set (jax_compilation_cache_dir)"
_NO_ENTRY = "the persistent cache had no entry; the next process finds one"
_NOT_KEPT = "too quick or too small for the persistent cache (jax_persistent_cache_min_compile_time_secs)"
_WHOLE = "jax_funcified_fgraph"


@dataclass(frozen=True, slots=True, kw_only=True)
class JaxStep:
    """One event of JAX: a trace, a lowering, or a compile.

    Attributes
    ----------
    step : str
        Which of the three.
    function : str
        As JAX calls it; '' before it told.
    began_seconds, wall_seconds : float
        By the recorder's clock.
    told : frozenset of str
        Events of the cache within a compile.
    chain : tuple of nodes
        The node whose function was being made, where one was.
    """

    step: str
    function: str
    began_seconds: float
    wall_seconds: float
    told: frozenset[str] = frozenset()
    chain: tuple[Any, ...] = ()

    @property
    def ended_seconds(self) -> float:
        """When the event came."""
        return self.began_seconds + self.wall_seconds


@dataclass(slots=True)
class JaxModule:
    """What led to one compile: its trace and its lowering just before, and the compile."""

    name: str
    steps: list[JaxStep] = field(default_factory=list)


class JaxUnits:
    """Listens to ``jax.monitoring``.

    A unit is one module that XLA compiled, with the trace and the lowering that led to it. The whole graph is one
    module; the others are small ones, of constants for the most part.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._steps: list[JaxStep] = []
        self._told: set[str] = set()
        self._detach: list[Callable[[], None]] = []
        self._unavailable: list[str] = []

    def attach(self, events: FunctionEvents, recorder: StretchRecorder) -> None:  # noqa: ARG002 - other instruments do
        """Register with JAX."""
        from jax import monitoring

        monitoring.register_event_duration_secs_listener(self._on_duration)
        monitoring.register_event_listener(self._on_event)
        try:
            from jax._src.monitoring import unregister_event_duration_listener, unregister_event_listener
        except ImportError:
            self._unavailable.append("an end to listening: this JAX keeps its listeners until the process ends")
        else:
            self._detach.append(lambda: unregister_event_duration_listener(self._on_duration))
            self._detach.append(lambda: unregister_event_listener(self._on_event))

    def detach(self) -> None:
        """Take the listeners away from JAX, where it can."""
        while self._detach:
            self._detach.pop()()

    def _on_duration(self, event: str, seconds: float, **details: Any) -> None:
        step = _STEPS.get(event)
        if step is None:
            return
        told = frozenset(self._told)
        if step == "compile":
            self._told.clear()
        self._steps.append(
            JaxStep(
                step=step,
                function=str(details.get("fun_name", "")),
                began_seconds=self._now() - seconds,
                wall_seconds=seconds,
                told=told if step == "compile" else frozenset(),
                chain=_node_around() if step == "compile" else (),
            )
        )

    def _on_event(self, event: str, **_: Any) -> None:
        self._told.add(event)

    def hear(self, roots: tuple[Stretch, ...], setting: Setting) -> Heard:  # noqa: ARG002 - the steps are here
        """Put steps together to modules."""
        outer = outermost(self._steps)
        modules = gather_modules(outer)
        names = number_names([each.name for each in modules])
        folder = _cache_folder()
        sizes = _entry_sizes(folder, modules)
        units = [
            _make_unit(module, name, sizes.get(module.name), setting)
            for module, name in zip(modules, names, strict=True)
        ]
        reasons = [_why_missed(module.steps[-1].told, has_cache=folder is not None) for module in modules]
        misses = [
            miss
            for reason in (_NO_CACHE, _NOT_KEPT, _NO_ENTRY)
            for miss in sum_up_misses(
                [name for name, why in zip(names, reasons, strict=True) if why == reason], reason, "XLA modules"
            )
        ]
        spans = [
            Span(kind=SpanKind.UNIT, name=name, began_seconds=began, wall_seconds=ended - began)
            for module, name in zip(modules, names, strict=True)
            for began, ended in [(module.steps[0].began_seconds, module.steps[-1].ended_seconds)]
        ]
        spans += [
            Span(
                kind=SpanKind.STEP,
                name=f"{each.step} {_plain(each.function)}".rstrip(),
                began_seconds=each.began_seconds,
                wall_seconds=each.wall_seconds,
            )
            for each in self._steps
        ]
        return Heard(
            units=order_units(units), spans=tuple(spans), misses=tuple(misses), unavailable=tuple(self._unavailable)
        )


def outermost(steps: Iterable[JaxStep]) -> list[JaxStep]:
    """Leave out steps within others (functions that a trace calls are traced within it); in order of time."""
    found: list[JaxStep] = []
    for each in sorted(steps, key=lambda step: (step.began_seconds, -step.wall_seconds)):
        if not found or each.began_seconds + each.wall_seconds / 2 >= found[-1].ended_seconds:
            found.append(each)
    return found


def gather_modules(steps: Iterable[JaxStep]) -> list[JaxModule]:
    """Give each compile the trace and lowering of its function that came right before it."""
    modules: list[JaxModule] = []
    waiting: list[JaxStep] = []
    for each in steps:
        waiting.append(each)
        if each.step != "compile":
            continue
        name = _plain(each.function)
        before = [step for step in waiting[:-1] if _plain(step.function) == name]
        chosen = {step.step: step for step in before}
        ordered = sorted([*chosen.values(), each], key=lambda step: step.began_seconds)
        modules.append(JaxModule(name or "module", ordered))
        waiting.clear()
    return modules


def _make_unit(module: JaxModule, name: str, code_bytes: int | None, setting: Setting) -> Unit:
    compiled = module.steps[-1]
    is_whole = module.name.startswith(_WHOLE)
    node = compiled.chain[0] if compiled.chain else None
    seconds = sum(each.wall_seconds for each in module.steps)
    return Unit(
        kind=UnitKind.XLA_MODULE,
        name=name,
        phase=setting.phase_at(compiled.ended_seconds),
        own_seconds=seconds,
        wall_seconds=seconds,
        op=WHOLE_GRAPH if is_whole else describe_op(node.op) if node is not None else "",
        nodes=setting.nodes if is_whole else 0 if node is None else 1,
        sources=() if is_whole or node is None else setting.sources_of([compiled.chain]),
        from_cache=_HIT in compiled.told,
        code_bytes=code_bytes,
    )


def _why_missed(told: frozenset[str], *, has_cache: bool) -> str:
    if _HIT in told:
        return ""
    if not has_cache:
        return _NO_CACHE
    return _NO_ENTRY if _KEPT in told else _NOT_KEPT


def _cache_folder() -> Path | None:
    import jax

    folder = jax.config.jax_compilation_cache_dir
    return Path(folder) if folder else None


def _entry_sizes(folder: Path | None, modules: Iterable[JaxModule]) -> dict[str, int]:
    """Sizes of cache entries, of those modules whose name alone tells which entry is theirs."""
    if folder is None or not folder.is_dir():
        return {}
    count = Counter(each.name for each in modules)
    sizes: dict[str, list[int]] = {}
    for path in folder.glob("jit_*-cache"):
        sizes.setdefault(re.sub(r"-[0-9a-f]+-cache$", "", path.name.removeprefix("jit_")), []).append(
            path.stat().st_size
        )
    return {name: found[0] for name, found in sizes.items() if len(found) == count[name] == 1}


def _plain(function: str) -> str:
    """``jit(stage)`` and ``stage`` are one function."""
    return function.removeprefix("jit(").removesuffix(")") if function.startswith("jit(") else function


def _node_around() -> tuple[Any, ...]:
    """Find the node that PyTensor's ``fgraph_to_python`` is busy with, if it is."""
    import sys

    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - looks outwards from an event of JAX
    while frame is not None:
        if frame.f_code.co_name == "fgraph_to_python":
            node = frame.f_locals.get("node")
            return () if node is None else (node,)
        frame = frame.f_back
    return ()
