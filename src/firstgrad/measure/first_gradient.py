"""The window that firstgrad exists for: from the start of `build` to the first gradient, stage by stage."""

from __future__ import annotations

import gc
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from firstgrad.backends.base import Hooks
from firstgrad.record import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firstgrad.backends.base import Answer, Backend, Compiled, Problem
    from firstgrad.case import Target
    from firstgrad.measure.phases import PhaseTimer
    from firstgrad.points import Point


@dataclass(frozen=True, slots=True)
class FirstGradient:
    """What the window gave.

    Attributes
    ----------
    problem, point, graph, compiled, answer
        The model, its start point, the graph before rewriting, the compiled function, and what its first call
        returned.
    wall_seconds, cpu_seconds : float
        Length of the window by one clock, without the search for a start point.
    initial_point_seconds : float
        That search; zero where the factory gave a start point.
    gc_seconds : float
        Spent in Python's garbage collector.
    instructions : int, optional
        Executed within the window, without the search for a start point.
    """

    problem: Problem
    point: Point
    graph: Any
    compiled: Compiled
    answer: Answer
    wall_seconds: float
    cpu_seconds: float
    initial_point_seconds: float
    gc_seconds: float
    instructions: int | None


def first_gradient(
    backend: Backend,
    build: Callable[[], Problem],
    target: Target,
    timer: PhaseTimer,
    passing: Callable[[str, int, int, int], None],
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

    Returns
    -------
    FirstGradient
    """
    with _collector_seconds() as collector:
        began, began_cpu, began_count = timer.now(), timer.cpu(), timer.instructions()
        with timer.phase(Phase.BUILD):
            problem = build()
        paused, paused_cpu, paused_count = timer.now(), timer.cpu(), timer.instructions()
        point = problem.initial if problem.initial is not None else backend.start_point(problem)
        pause, pause_cpu = timer.now() - paused, timer.cpu() - paused_cpu
        pause_count = _counted(paused_count, timer.instructions())
        with timer.phase(Phase.LOGP_GRAPH):
            logp = backend.logp_graph(problem)
        with timer.phase(Phase.GRAD_GRAPH):
            graph = backend.grad_graph(problem, logp, target)
        compiled = _compile(backend, problem, graph, target, timer, passing)
        with timer.phase(Phase.FIRST_CALL):
            answer = compiled.call(point)
        ended, ended_cpu = timer.now(), timer.cpu()
        whole_count = _counted(began_count, timer.instructions())
    return FirstGradient(
        problem=problem,
        point=point,
        graph=graph,
        compiled=compiled,
        answer=answer,
        wall_seconds=ended - began - pause,
        cpu_seconds=ended_cpu - began_cpu - pause_cpu,
        initial_point_seconds=pause if problem.initial is None else 0.0,
        gc_seconds=collector.seconds,
        instructions=_counted(pause_count, whole_count),
    )


def _counted(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def _compile(
    backend: Backend,
    problem: Problem,
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
    compiled = backend.compile(problem, graph, target, Hooks(rewrite_ended, passing))
    if timer.current is not Phase.LINK:
        raise RuntimeError("the compiler ran no rewrites, so rewriting and linking cannot be told apart")
    timer.end()
    _move_early_link(timer, compiled.before_rewrite_link_seconds)
    return compiled


def _move_early_link(timer: PhaseTimer, seconds: float) -> None:
    """PyTensor scans its C cache before it rewrites; that is linking, done early, on the processor."""
    rewrite, link = timer.records[-2:]
    timer.records[-2:] = [
        replace(
            rewrite,
            began_seconds=rewrite.began_seconds + seconds,
            wall_seconds=rewrite.wall_seconds - seconds,
            cpu_seconds=rewrite.cpu_seconds - seconds,
        ),
        replace(link, wall_seconds=link.wall_seconds + seconds, cpu_seconds=link.cpu_seconds + seconds),
    ]


@dataclass(slots=True)
class _Collector:
    seconds: float = 0.0
    began: float = field(default=0.0)


@contextmanager
def _collector_seconds() -> Iterator[_Collector]:
    collector = _Collector()

    def on_collection(stage: str, _details: dict[str, int]) -> None:
        if stage == "start":
            collector.began = time.perf_counter()
        else:
            collector.seconds += time.perf_counter() - collector.began

    gc.callbacks.append(on_collection)
    try:
        yield collector
    finally:
        gc.callbacks.remove(on_collection)
