"""The measured process: ``python -m firstgrad.measuring.worker TASK_FD EVENT_FD``.

A task comes in through a private pipe, events go out, a record last. What the measured code prints goes to
standard error, which the parent keeps.
"""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.backends import cache_entries, facts_of, load_backend
from firstgrad.case import BackendName, Scenario
from firstgrad.codec import from_json
from firstgrad.errors import FirstgradError, WorkerError
from firstgrad.measuring.environment import PACKAGES, has_bytecode
from firstgrad.measuring.events import (
    Conditions,
    Finished,
    Imported,
    PassBegan,
    Profiled,
    Started,
    Task,
    UnitsNow,
    write_event,
)
from firstgrad.measuring.first_draw import DrawWindow, find_never_kept, first_draw
from firstgrad.measuring.first_gradient import FirstGradient, first_gradient
from firstgrad.measuring.phases import PhaseTimer
from firstgrad.measuring.verify import check_answers
from firstgrad.observe.compiles import CompileKind
from firstgrad.observe.disk_cache import CacheWatch
from firstgrad.observe.instructions import InstructionCounter
from firstgrad.observe.tracer import Tracer, track_allocations
from firstgrad.observe.work import WorkCounter
from firstgrad.phase import Phase
from firstgrad.record import Check, Counts, Failure, Memory, OnDevice, Record, Status, Verdict
from firstgrad.sources import HELD, PackedModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from firstgrad.backends.base import Backend, BuiltModel, Compiled, DeviceAccess
    from firstgrad.measuring.events import WorkerEvent
    from firstgrad.points import Point

N_POINTS = 8
WARM_UP_CALLS = 5
MIN_CALLS = 3
TIME_BUDGET_SECONDS = 30.0
"""No more evaluations are begun after this, so that a slow model does not take an hour; a doubt is noted."""
UNITS_NEWS_SECONDS = 0.25
_CAME_BACK = b"firstgrad: a process that the model forked came back from the model's code, and ends here\n"


def measure_task(task: Task, emit: Callable[[WorkerEvent], None]) -> Record:
    """Measure one case in this process; the record has a failure where the model, the backend or the compile raised."""
    # Made before anything starts a thread: only what is started after it is counted with it.
    timer = PhaseTimer(emit, instructions=InstructionCounter().read)
    emit(Started(monotonic_seconds=timer.zero))
    base = Record(
        record_id=task.record_id,
        started_at=task.started_at,
        case=task.case,
        status=Status.FAILED,
        environment=task.environment,
    )
    process = os.getpid()
    try:
        return _measure(task, base, timer, emit)
    except BaseException as error:  # whatever a model or compiler raises becomes a record
        if isinstance(error, SystemExit) and os.getpid() != process:
            raise  # a child that the model forked ends as it likes
        if not isinstance(error, FirstgradError):
            sys.excepthook(type(error), error, error.__traceback__)
        status = Status.OUT_OF_MEMORY if isinstance(error, MemoryError) else Status.FAILED
        failure = Failure.of_error(error, timer.current)
        return replace(base, status=status, phases=tuple(timer.records), failure=failure)


def _measure(task: Task, base: Record, timer: PhaseTimer, emit: Callable[[WorkerEvent], None]) -> Record:
    case, folder = task.case, Path(task.cache_folder)
    # The first of its kind makes the codec write its code, some 10 ms that no model should be charged with.
    write_event(PassBegan(name="", number=0, total=0, nodes=0))
    watch = CacheWatch(folder, cache_entries())
    watch.remember()
    had_bytecode = has_bytecode("pymc")
    # A first draw has a listener of its own, which hears all backends.
    compiler = BackendName.FAKE if case.is_draw else facts_of(case.backend).compiler
    tracer = Tracer(compiler, timer.now) if task.profile else None
    with timer.phase(Phase.IMPORT), tracer.imports() if tracer else nullcontext():
        backend = load_backend(case.backend)
        if case.is_draw:
            backend.import_sampler(case.sampler)
        backend.import_modules()
        build = backend.load(case.model)
    require_private_cache(folder)
    emit(find_conditions(backend, had_bytecode=had_bytecode))

    work = WorkCounter(case.counting, backend.facts.compiler)
    passing = _tell_passes(emit, work)

    def window(timer: PhaseTimer) -> FirstGradient | DrawWindow:
        if case.is_draw:
            return first_draw(backend, build, case, timer)
        return first_gradient(backend, build, case.target, timer, passing, tracer.wrote if tracer else None)

    if case.scenario is Scenario.HOT:
        window(PhaseTimer(lambda _: None))
        watch.remember()
    gc.collect()
    access = backend.access() if case.device or backend.device() != "cpu" else None
    rss_before, units_before, used_before = _rss_bytes(), backend.compiled_units(), access.memory() if access else {}
    if work.is_plain:
        backend.tell_units(_tell_units(emit, units_before))
    watch.begin()
    with _watched_window(task, tracer), work.watching(timer):
        first = window(timer)
    caches = watch.end(case.scenario, keeps_all=backend.facts.keeps_all)
    if not backend.facts.has_cache:
        caches = replace(caches, contradiction=None)
    units = backend.compiled_units() - units_before
    gc.collect()
    retained_bytes = _rss_bytes() - rss_before
    on_device = _memory_on(access, used_before) if access else None
    counted = work.finish(getattr(getattr(first, "compiled", None), "stats", None))
    if tracer is not None:
        emit(Profiled(attribution=tracer.finish(first, tuple(timer.records))))
    base = replace(base, caches=caches, work=counted)
    if isinstance(first, DrawWindow):
        record = _tell_draw(base, backend, first, timer)
    else:
        record = _tell_gradient(replace(base, on_device=on_device), backend, first, timer, build, access)
    record = replace(
        record,
        model_note=first.built.note,
        gc_seconds=first.gc_seconds,
        instructions=first.spent.instructions,
        on_device=record.on_device or on_device,
        # The peaks are the parent's to fill in: it has what the watcher saw.
        memory=Memory(peak_rss_bytes=0, retained_bytes=retained_bytes),
        phases=tuple(timer.records),
    )
    if record.counts is not None:
        record = replace(record, counts=replace(record.counts, compiled_units=units))
    emit(find_conditions(backend, had_bytecode=had_bytecode))
    return record


def _tell_draw(base: Record, backend: Backend, window: DrawWindow, timer: PhaseTimer) -> Record:
    """Add to a record what a first draw gave, and what the next ones cost."""
    draw = window.draw
    if base.case.timed_draws:
        with timer.phase(Phase.EVALUATE):
            draw = replace(draw, pace=backend.time_draws(window.built, base.case, draw.sampler))
    groups = backend.groups(window.built, backend.any_point(window.built))
    # What firstgrad keeps whole JAX's own cache need not keep.
    listed = (one for one in window.compiles if backend.facts.keeps_all or one.kind is not CompileKind.JAX_FUNCTION)
    return replace(
        base,
        caches=base.caches and replace(base.caches, never_kept=find_never_kept(listed)),
        status=Status.OK,
        time_to_first_draw_seconds=window.spent.wall_seconds,
        time_to_first_draw_cpu_seconds=window.spent.cpu_seconds,
        draw=draw,
        counts=Counts(groups=len(groups), values=sum(group.size for group in groups)),
        check=Check(verdict=Verdict.DREW, draws=window.check),
    )


def _tell_gradient(
    base: Record,
    backend: Backend,
    first: FirstGradient,
    timer: PhaseTimer,
    build: Callable[[], BuiltModel],
    access: DeviceAccess | None,
) -> Record:
    """Add to a record what a first gradient gave, its evaluation time and its check."""
    case, compiled, near = base.case, first.compiled, nearby_points(first.point)
    evaluations: tuple[float, ...] = ()
    on_device = base.on_device
    if case.evaluations:
        with timer.phase(Phase.EVALUATE):
            evaluations = time_calls(compiled.call, near, count=case.evaluations)
            if access is not None and on_device is not None:
                on_device = time_on_device(on_device, access, compiled, near, count=case.evaluations)

    groups = backend.groups(first.built, first.point)
    answers = [(first.point, first.answer), (near[0], compiled.call(near[0]))]
    # Made once, and only where it is asked for: it takes seconds.
    make_terms = functools.cache(lambda: backend.logp_terms(first.built))

    def logp_terms(point: Point) -> dict[str, float]:
        return make_terms()(point)

    explain = functools.cache(lambda: backend.explainer(first.built, build))
    check = check_answers(first.built, groups, answers, logp_terms, explain)
    return replace(
        base,
        status=Status.MISMATCH if check.verdict is Verdict.DISAGREES else Status.OK,
        time_to_first_gradient_seconds=first.spent.wall_seconds,
        time_to_first_gradient_cpu_seconds=first.spent.cpu_seconds,
        initial_point_seconds=first.initial_point_seconds,
        pytensor_rewriting_seconds=compiled.rewriting_seconds,
        pytensor_linker_seconds=compiled.linker_seconds,
        rewrite_passes=compiled.rewrite_passes,
        counts=Counts(
            groups=len(groups),
            values=sum(group.size for group in groups),
            nodes_before=compiled.nodes_before,
            nodes_after=compiled.nodes_after,
            nodes_by_type=compiled.nodes_by_type,
        ),
        caches=base.caches and replace(base.caches, own=compiled.kept),
        evaluation_seconds=evaluations,
        on_device=on_device,
        check=check,
    )


def _watched_window(task: Task, tracer: Tracer | None) -> AbstractContextManager[Any]:
    """Switch on what the task asks for, from the start of `build` to the first gradient."""
    if task.allocations_file:
        return track_allocations(task.allocations_file)
    return tracer.window() if tracer else nullcontext()


def nearby_points(point: Point, *, count: int = N_POINTS, scale: float = 1e-3, seed: int = 1) -> list[Point]:
    """Draw points near a point; discrete values (integer, boolean) stay as they are, since none is nearby.

    Parameters
    ----------
    scale : float
        Standard deviation of the difference, relative to 1 + the value's size.
    """
    rng = np.random.default_rng(seed)
    return [
        {
            name: value + scale * (1 + np.abs(value)) * rng.standard_normal(np.shape(value))
            if np.asarray(value).dtype.kind not in "biu"
            else value
            for name, value in point.items()
        }
        for _ in range(count)
    ]


def time_calls(
    call: Callable[[Point], object],
    points: list[Point],
    *,
    count: int,
    clock: Callable[[], float] = time.perf_counter,
    budget_seconds: float = TIME_BUDGET_SECONDS,
) -> tuple[float, ...]:
    """Time many calls one by one, after a warm-up.

    Parameters
    ----------
    call : callable
        Returns only when its result is there.
    points : list of Point
        Taken in turn, so that no two calls in a row have the same input.
    budget_seconds : float
        Stop early after so long, but not before `MIN_CALLS`.
    """
    if count == 0:
        return ()
    began = clock()
    warm_up = min(WARM_UP_CALLS, count)
    for number in range(warm_up):
        call(points[number % len(points)])
    seconds: list[float] = []
    for number in range(count):
        if number >= MIN_CALLS and clock() - began > budget_seconds:
            break
        point = points[(warm_up + number) % len(points)]
        start = clock()
        call(point)
        seconds.append(clock() - start)
    return tuple(seconds)


def _memory_on(access: DeviceAccess, before: Mapping[str, int]) -> OnDevice:
    """Say what a device's memory was used for since `before`, as far as its statistics tell."""
    now = access.memory()
    is_told = "bytes_in_use" in now and "bytes_in_use" in before
    return OnDevice(
        peak_bytes=now.get("peak_bytes_in_use"),
        kept_bytes=now["bytes_in_use"] - before["bytes_in_use"] if is_told else None,
        limit_bytes=now.get("bytes_limit"),
    )


def time_on_device(
    on_device: OnDevice,
    access: DeviceAccess,
    compiled: Compiled,
    points: list[Point],
    *,
    count: int,
    clock: Callable[[], float] = time.perf_counter,
) -> OnDevice:
    """Time calls whose result is left on the device, bringing it to NumPy, and bringing a point to the device."""
    if (left := compiled.left) is None:
        return on_device
    seconds: list[tuple[float, float]] = []
    sizes = {"sent_bytes": 0, "fetched_bytes": 0}

    def call(point: Point) -> None:
        began = clock()
        result = left(point)
        there = clock()
        sizes["fetched_bytes"] = access.fetch(result)
        seconds.append((there - began, clock() - there))

    def send(point: Point) -> None:
        sizes["sent_bytes"] = access.send(compiled.inputs(point))

    how: dict[str, Any] = {"count": count, "clock": clock, "budget_seconds": TIME_BUDGET_SECONDS / 3}
    timed = len(time_calls(call, points, **how))
    sent = time_calls(send, points, **how)
    lefts, fetched = zip(*seconds[-timed:], strict=True)
    return replace(on_device, left_seconds=lefts, fetched_seconds=fetched, sent_seconds=sent, **sizes)


def _tell_passes(emit: Callable[[WorkerEvent], None], work: WorkCounter) -> Callable[[str, int, int, int], None]:
    """Pass on that a rewrite pass begins."""

    def passing(name: str, number: int, total: int, nodes: int) -> None:
        work.passing(name)
        if work.is_plain:
            emit(PassBegan(name=name, number=number, total=total, nodes=nodes))

    return passing


def _tell_units(
    emit: Callable[[WorkerEvent], None], before: int, clock: Callable[[], float] = time.monotonic
) -> Callable[[int], None]:
    """Pass the number of compiled units on, but not hundreds of times a second."""
    last_news = -UNITS_NEWS_SECONDS

    def compiled(units: int) -> None:
        nonlocal last_news
        if clock() - last_news >= UNITS_NEWS_SECONDS:
            last_news = clock()
            emit(UnitsNow(compiled=units - before))

    return compiled


def find_conditions(backend: Backend, *, had_bytecode: bool) -> Conditions:
    """Look where things run, and from where they were imported."""
    modules = {name: sys.modules[name] for name in PACKAGES if name in sys.modules}
    places = {
        name: next(iter(getattr(module, "__path__", ())), getattr(module, "__file__", None))
        for name, module in modules.items()
    }
    return Conditions(
        device=backend.device(),
        bytecode=had_bytecode if "pymc" in sys.modules else None,
        imported=tuple(
            Imported(name=name, version=str(getattr(modules[name], "__version__", "")), folder=os.path.realpath(place))
            for name, place in places.items()
            if place
        ),
    )


def require_private_cache(folder: Path) -> None:
    """Refuse to measure where PyTensor uses another cache than the private one."""
    pytensor = sys.modules.get("pytensor")
    if pytensor is None:
        return
    used = Path(pytensor.config.compiledir).resolve()
    if not used.is_relative_to(folder.resolve()):
        raise WorkerError(
            f"PyTensor uses {used} instead of firstgrad's private cache. Take 'compiledir' out of ~/.pytensorrc"
        )


def _rss_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def open_pipes[T: Task](kind: type[T]) -> tuple[T, Callable[[object], None]]:
    """Take the task from the pipe that the first argument names; give also what writes events into the second's.

    Only this process speaks: in one that the model forks the pipe is closed, and where such a child comes back from the
    model's code into the worker's, it ends.
    """
    task_fd, event_fd = int(sys.argv[1]), int(sys.argv[2])
    # Taken now: a model may put its own into `os`.
    owner, present, write, close, leave = os.getpid(), os.getpid, os.write, os.close, os._exit

    def in_child() -> None:
        with suppress(OSError):  # the model has closed it
            close(event_fd)

    os.register_at_fork(after_in_child=in_child)
    # Ctrl-C reaches the whole foreground group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Children must not hold the pipes open, and what the model prints must not reach them.
    for pipe in (task_fd, event_fd):
        os.set_inheritable(pipe, False)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with os.fdopen(task_fd, "rb") as tasks:
        task = from_json(tasks.read(), kind)
    if task.live_file:
        content = Path(task.live_file).read_bytes()
        HELD[task.case.model.reference] = PackedModel(digest=task.environment.source_digest, content=content)
    writing = threading.Lock()

    def emit(event: object) -> None:
        if present() != owner:
            if isinstance(event, UnitsNow):
                return  # it compiles something of its own
            write(2, _CAME_BACK)
            leave(1)
        line = memoryview(write_event(event))
        with writing:
            while line:
                line = line[write(event_fd, line) :]

    return task, emit


def main() -> None:
    """Take a task from one pipe, measure it, and answer through the other."""
    task, emit = open_pipes(Task)
    emit(Finished(record=measure_task(task, emit)))


if __name__ == "__main__":
    main()
