"""The window that firstgrad exists for: from the start of `build` to the first gradient, stage by stage."""

from __future__ import annotations

import functools
import gc
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import sub
from typing import TYPE_CHECKING, Any

from firstgrad.backends.base import Hooks
from firstgrad.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firstgrad.backends.base import Answer, Backend, BuiltModel, Compiled
    from firstgrad.case import Target
    from firstgrad.measuring.phases import PhaseTimer, Reading
    from firstgrad.points import Point


@dataclass(frozen=True, slots=True)
class FirstGradient:
    """What the window gave: the model, its start point, its graph and function, and what its first call returned."""

    built: BuiltModel
    point: Point
    graph: Any
    """Before rewriting; none where an earlier process kept the function."""
    compiled: Compiled
    answer: Answer
    spent: Reading
    """In the whole window, without the search for a start point."""
    initial_point_seconds: float
    """That search; zero where the factory gave a start point."""
    gc_seconds: float
    """Spent in Python's garbage collector."""


def first_gradient(
    backend: Backend,
    build: Callable[[], BuiltModel],
    target: Target,
    timer: PhaseTimer,
    passing: Callable[[str, int, int, int], None],
    wrote: Callable[[Phase, BuiltModel, Any], None] | None = None,
) -> FirstGradient:
    """Go from a factory to the first gradient.

    Parameters
    ----------
    backend : Backend
        Its modules are imported already.
    build : callable
        The factory.
    target : Target
        What is compiled.
    timer : PhaseTimer
        Gets the phases `build` to `first_call`.
    passing : callable
        Told before each rewrite pass.
    wrote : callable, optional
        Told of the graph of the log-density, and of the target's, once they are there; the clock stands still.
    """
    note = wrote or (lambda _phase, _built, _graph: None)
    pauses: list[Reading] = []

    @contextmanager
    def pause() -> Iterator[None]:
        before = timer.read()
        yield
        pauses.append(timer.read() - before)

    with collector_seconds() as collections:
        began = timer.read()
        with timer.phase(Phase.BUILD):
            built = build()
        with pause():
            point = built.initial if built.initial is not None else backend.start_point(built)
        graph = None
        compiled = backend.load_kept(built, point, target, timer.phase)
        if compiled is None:
            with timer.phase(Phase.LOGP_GRAPH):
                logp = backend.logp_graph(built)
            with pause():
                note(Phase.LOGP_GRAPH, built, logp)
            with timer.phase(Phase.GRAD_GRAPH):
                graph = backend.grad_graph(built, logp, target)
            with pause():
                note(Phase.GRAD_GRAPH, built, graph)
            compiled = _compile(backend, built, graph, target, timer, passing)
        with timer.phase(Phase.FIRST_CALL):
            answer = compiled.call(point)
        spent = functools.reduce(sub, pauses, timer.read() - began)
    initial_point_seconds = pauses[0].wall_seconds if built.initial is None else 0.0
    return FirstGradient(built, point, graph, compiled, answer, spent, initial_point_seconds, sum(collections))


def _compile(
    backend: Backend,
    built: BuiltModel,
    graph: Any,
    target: Target,
    timer: PhaseTimer,
    passing: Callable[[str, int, int, int], None],
) -> Compiled:
    """Compile; the border between `rewrite` and `link` is where the last rewrite pass ends."""

    def rewrite_ended() -> None:
        timer.end()
        timer.begin(Phase.LINK)

    timer.begin(Phase.REWRITE)
    compiled = backend.compile(built, graph, target, Hooks(rewrite_ended, passing))
    if timer.current is not Phase.LINK:
        raise RuntimeError("the compiler ran no rewrites, so rewriting and linking cannot be told apart")
    timer.end()
    _move_early_link(timer, compiled.before_rewrite_link_seconds)
    return compiled


def _move_early_link(timer: PhaseTimer, seconds: float) -> None:
    """PyTensor scans its C cache before it rewrites; that is linking, done early, on the processor but for the disk."""
    rewrite, link = timer.records[-2:]
    cpu_seconds = min(seconds, rewrite.cpu_seconds)
    timer.records[-2:] = [
        replace(
            rewrite,
            began_seconds=rewrite.began_seconds + seconds,
            wall_seconds=rewrite.wall_seconds - seconds,
            cpu_seconds=rewrite.cpu_seconds - cpu_seconds,
        ),
        replace(link, wall_seconds=link.wall_seconds + seconds, cpu_seconds=link.cpu_seconds + cpu_seconds),
    ]


@contextmanager
def collector_seconds(clock: Callable[[], float] = time.perf_counter) -> Iterator[list[float]]:
    """List the seconds of each garbage collection."""
    seconds: list[float] = []
    began = 0.0

    def on_collection(stage: str, _details: dict[str, int]) -> None:
        nonlocal began
        if stage == "start":
            began = clock()
        else:
            seconds.append(clock() - began)

    gc.callbacks.append(on_collection)
    try:
        yield seconds
    finally:
        gc.callbacks.remove(on_collection)
