"""XLA modules: what JAX traced, lowered and compiled, from the events that it sends itself."""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from firstgrad.errors import UnavailableError
from firstgrad.observe import probes
from firstgrad.observe.calls import frames_around
from firstgrad.observe.events import WHOLE_GRAPH, Attribution, CompiledUnit, SpanKind, TimeSpan, UnitKind
from firstgrad.observe.listeners import listen_jax
from firstgrad.observe.units import NO_ENTRY, describe_op, number_names, order_units, sum_up_misses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from firstgrad.observe.calls import FunctionEvents
    from firstgrad.observe.spans import Stretch, StretchRecorder
    from firstgrad.observe.units import CompileFacts

_NO_CACHE = "no persistent cache is set (jax_compilation_cache_dir)"
_NOT_KEPT = "too quick or too small for the persistent cache (jax_persistent_cache_min_compile_time_secs)"


@dataclass(frozen=True, slots=True, kw_only=True)
class XlaStep:
    """One event of JAX: a trace, a lowering, or a compile."""

    step: str
    function: str  # as JAX calls it; '' before it told
    began_seconds: float
    wall_seconds: float
    cache_events: frozenset[str] = frozenset()  # events of the cache within a compile
    chain: tuple[Any, ...] = ()  # the node whose function was being made, where one was

    @property
    def ended_seconds(self) -> float:
        """When the event came."""
        return self.began_seconds + self.wall_seconds


class XlaModule(NamedTuple):
    """What led to one compile: its trace and its lowering just before, and the compile."""

    name: str
    steps: list[XlaStep]

    def to_unit(self, name: str, code_bytes: int | None, facts: CompileFacts) -> CompiledUnit:
        """Make a unit of it, by a name that no other has."""
        compiled = self.steps[-1]
        is_whole = self.name.startswith(probes.GRAPH_FUNCTION)
        node = compiled.chain[0] if compiled.chain else None
        seconds = sum(step.wall_seconds for step in self.steps)
        return CompiledUnit(
            kind=UnitKind.XLA_MODULE,
            name=name,
            phase=facts.phase_at(compiled.ended_seconds),
            own_seconds=seconds,
            wall_seconds=seconds,
            op=WHOLE_GRAPH if is_whole else describe_op(node.op) if node is not None else "",
            nodes=facts.nodes if is_whole else 0 if node is None else 1,
            sources=() if is_whole or node is None else facts.sources_of([compiled.chain]),
            lines=() if is_whole or node is None else facts.lines_of([compiled.chain]),
            from_cache=probes.JAX_CACHE_HIT in compiled.cache_events,
            code_bytes=code_bytes,
        )

    def why_missed(self, *, has_cache: bool) -> str:
        """Say why no cache had it; '' where one did."""
        events = self.steps[-1].cache_events
        if probes.JAX_CACHE_HIT in events:
            return ""
        return (NO_ENTRY if probes.JAX_CACHE_KEPT in events else _NOT_KEPT) if has_cache else _NO_CACHE


class XlaModuleListener:
    """Listens to ``jax.monitoring``: a unit is a module that XLA compiled, with its trace and lowering."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._steps: list[XlaStep] = []
        self._cache_events: set[str] = set()
        self._undo: Callable[[], None] = lambda: None
        self._unavailable: list[str] = []

    def attach(self, events: FunctionEvents, recorder: StretchRecorder) -> None:  # noqa: ARG002 - other listeners do
        """Register with JAX."""
        try:
            self._undo = listen_jax(self._timed, self._cache_events.add)
        except UnavailableError as error:
            self._unavailable.append(str(error))
            self._undo = listen_jax(self._timed, self._cache_events.add, has_end=False)

    def detach(self) -> None:
        """Take the listeners away from JAX, where it can."""
        self._undo()

    def _timed(self, step: str, seconds: float, function: str) -> None:
        is_compile = step == "compile"
        self._steps.append(
            XlaStep(
                step=step,
                function=function,
                began_seconds=self._now() - seconds,
                wall_seconds=seconds,
                cache_events=frozenset(self._cache_events) if is_compile else frozenset(),
                chain=_node_around() if is_compile else (),
            )
        )
        if is_compile:
            self._cache_events.clear()

    def report(self, roots: tuple[Stretch, ...], facts: CompileFacts) -> Attribution:  # noqa: ARG002 - the steps are here
        """Put steps together to modules."""
        return replace(report_steps(self._steps, facts), unavailable=tuple(self._unavailable))


def report_steps(steps: Sequence[XlaStep], facts: CompileFacts) -> Attribution:
    """Put steps together to modules, with what JAX's cache had of them."""
    modules = gather_modules(outermost(steps))
    names = number_names([module.name for module in modules])
    setting = probes.JAX_CONFIG.find().jax_compilation_cache_dir
    folder = Path(setting) if setting else None
    sizes = _entry_sizes(folder, modules)
    reasons = [module.why_missed(has_cache=folder is not None) for module in modules]
    times = [
        (SpanKind.UNIT, name, module.steps[0].began_seconds, module.steps[-1].ended_seconds)
        for module, name in zip(modules, names, strict=True)
    ]
    times += [
        (SpanKind.STEP, f"{one.step} {_plain(one.function)}".rstrip(), one.began_seconds, one.ended_seconds)
        for one in steps
    ]
    return Attribution(
        units=order_units(
            module.to_unit(name, sizes.get(module.name), facts) for module, name in zip(modules, names, strict=True)
        ),
        spans=tuple(
            TimeSpan(kind=kind, name=name, began_seconds=began, wall_seconds=ended - began)
            for kind, name, began, ended in times
        ),
        cache_misses=tuple(
            miss
            for reason in (_NO_CACHE, _NOT_KEPT, NO_ENTRY)
            for miss in sum_up_misses(
                [name for name, why in zip(names, reasons, strict=True) if why == reason], reason, "XLA modules"
            )
        ),
    )


def outermost(steps: Iterable[XlaStep]) -> list[XlaStep]:
    """Leave out steps within others (functions that a trace calls are traced within it); in order of time."""
    outer: list[XlaStep] = []
    for step in sorted(steps, key=lambda step: (step.began_seconds, -step.wall_seconds)):
        if not outer or step.began_seconds + step.wall_seconds / 2 >= outer[-1].ended_seconds:
            outer.append(step)
    return outer


def gather_modules(steps: Iterable[XlaStep]) -> list[XlaModule]:
    """Give each compile the trace and lowering of its function that came right before it."""
    modules: list[XlaModule] = []
    waiting: list[XlaStep] = []
    for step in steps:
        if step.step != "compile":
            waiting.append(step)
            continue
        name = _plain(step.function)
        last = {before.step: before for before in waiting if _plain(before.function) == name}
        ordered = sorted([*last.values(), step], key=lambda one: one.began_seconds)
        modules.append(XlaModule(name or "module", ordered))
        waiting.clear()
    return modules


def _entry_sizes(folder: Path | None, modules: Iterable[XlaModule]) -> dict[str, int]:
    """Sizes of cache entries, of those modules whose name alone tells which entry is theirs."""
    if folder is None or not folder.is_dir():
        return {}
    count = Counter(module.name for module in modules)
    sizes: dict[str, list[int]] = {}
    for path in folder.glob("jit_*-cache"):
        name = re.sub(r"-[0-9a-f]+-cache$", "", path.name.removeprefix("jit_"))
        sizes.setdefault(name, []).append(path.stat().st_size)
    return {name: entries[0] for name, entries in sizes.items() if len(entries) == count[name] == 1}


def _plain(function: str) -> str:
    """``jit(stage)`` and ``stage`` are one function."""
    return function.removeprefix("jit(").removesuffix(")") if function.startswith("jit(") else function


def _node_around() -> tuple[Any, ...]:
    """Find the node that PyTensor is writing a function for, if it is."""
    outer = frames_around(sys._getframe())  # noqa: SLF001 - looks outwards from an event of JAX
    writer = next((frame for frame in outer if frame.f_code.co_name == probes.GRAPH_WRITER), None)
    node = None if writer is None else writer.f_locals.get("node")
    return () if node is None else (node,)
