"""The recorder in the user's own process: it writes what it hears to a file of its process's, line by line.

A line is a kind, a space and JSON (`firstgrad.tracing.record` reads them), and is there as soon as something happened:
a process that is killed loses its end only. A forked child goes on in a file of its own; a spawned one begins with
``startup/sitecustomize.py``, by the environment. Until the script imports something nothing is imported here that it
could notice: no NumPy, no package that is not Python's own.
"""

from __future__ import annotations

import atexit
import json
import linecache
import os
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.errors import UnavailableError
from firstgrad.observe import probes
from firstgrad.observe.calls import FunctionEvents
from firstgrad.observe.compiles import CompileListener, TracedCompile
from firstgrad.observe.events import CodeLine, SpanKind, Stage, TimeSpan
from firstgrad.observe.stacks import StackFacts, read_stack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from firstgrad.observe.probes import Probe

VARIABLE = "FIRSTGRAD_TRACE"  # for spawned children: when the trace began, a colon, the folder of the files
STARTUP = Path(__file__).with_name("startup")
PARTS = "*.part"
_SHORTEST_IMPORT_SECONDS = 0.02  # shorter ones are not told
_COUNTS_SECONDS = 1.0  # counts of calls are written so often, where there are calls
_NOT_RECORDED = (
    "multiprocessing.resource_tracker",
    "firstgrad.measuring",
    "firstgrad/measuring/",
    "firstgrad.sampling",
)
"""Processes that compile nothing, and those that measure, which nothing may disturb."""
_IMPORTS = {
    place.partition(":")[0]
    for probe in (
        *(probes.MAKER_BEGIN, probes.MODEL_LOGP, probes.GRADIENT, probes.MAKE_C_THUNK, probes.NUMBA_LOAD, probes.NUMBA),
        *(probes.MAKE_NUMBA_FUNCTION, probes.JAX_ON_DURATION, probes.PROCESS_BODY),
        *(probe for several in probes.SAMPLERS.values() for probe in several),
    )
    for place in probe.places
}
"""Modules after whose import there is more to listen to."""


class Recorder:
    """Records this process and all that it starts, until `stop`.

    Parameters
    ----------
    folder : Path
        Where each process writes its file.
    zero : float
        When the trace began, by ``time.monotonic``.
    how : str
        How this process came to be, as `firstgrad.tracing.record.TracedProcess` says.
    """

    def __init__(self, folder: Path, zero: float, how: str) -> None:
        self._folder, self._zero = folder, zero
        self.listener = CompileListener(
            self._compiled, self._compile_began, now=self._now, now_and_then=self._write_counts_sometimes
        )
        self._exits = ExitStack()
        self._waiting: list[tuple[Probe, Callable[[FunctionEvents], None]]] = [
            (probes.MODEL_ENTER, self._watch_models),
            (probes.PROCESS_BODY, lambda events: events.watch(probes.PROCESS_BODY.find(), returned=self._body_ended)),
            *(
                (probe, lambda events, probe=probe, sampler=sampler: self._watch_sampler(events, probe, sampler))
                for sampler, several in probes.SAMPLERS.items()
                for probe in several
            ),
        ]
        self._is_recording = False
        self._begin_process(how)

    def _begin_process(self, how: str) -> None:
        self._path = self._folder / f"{os.getpid()}-{time.monotonic_ns()}.part"
        self._sources: set[str] = set()
        self._building: tuple[float, int, Any, CodeLine | None] | None = None
        self._importing: dict[int, list[tuple[object, str, float]]] = {}
        self._sampling: dict[int, tuple[float, CodeLine | None]] = {}
        self._counted_at = self._now()
        command = sys.argv if hasattr(sys, "argv") else sys.orig_argv
        self._write(
            "process", pid=os.getpid(), parent=os.getppid(), how=how, command=" ".join(command), began=self._now()
        )

    def _now(self) -> float:
        return time.monotonic() - self._zero

    def start(self) -> None:
        """Begin to record; what is imported already is listened to at once."""
        self._is_recording = True
        events = FunctionEvents()
        try:
            events.watch(probes.IMPORT_LOCK_ENTER.find(), started=self._import_began)
            events.watch(probes.IMPORT_LOCK_EXIT.find(), started=self._import_ended)
        except UnavailableError as error:
            self._write("unavailable", reason=str(error))
        self._exits.enter_context(events)
        self._exits.callback(self._tell_problems, events)
        os.register_at_fork(after_in_child=self._continue_in_fork)
        self._attach()

    def stop(self) -> None:
        """Record no more; leaves no trace in this process."""
        self._flush()
        self._is_recording = False  # a function that is called at forks is never let go
        self.listener.detach()
        self._exits.close()

    def finish(self) -> None:
        """Write what is known: this process ends."""
        if self._is_recording:
            self._flush()
            self._write("end", at=self._now())

    def _flush(self) -> None:
        self.listener.flush()
        self._write_counts()
        for reason in self.listener.unavailable:
            self._write("unavailable", reason=reason)
        if isinstance(limit := probes.NUMBA_CONSTANT_LIMIT.peek(), int):
            self._write("limit", size=limit)

    def _continue_in_fork(self) -> None:
        if self._is_recording:
            with suppress(Exception):  # the child must not see it
                self.listener.continue_in_fork()
                self._begin_process("forkserver" if "forkserver" in " ".join(sys.orig_argv) else "fork")

    def _write(self, kind: str, **news: Any) -> None:
        try:
            line = f"{kind} {json.dumps(to_plain(news), separators=(',', ':'))}\n".encode(errors="replace")
            with open(self._path, "ab", buffering=0) as file:  # noqa: PTH123 - opened anew: a script may close all
                file.write(line)
        except OSError:  # a full disk, a folder that is gone
            pass

    # --- what is heard -------------------------------------------------------------------------------------------

    def _attach(self) -> None:
        self.listener.attach()
        for part in tuple(self._waiting):
            probe, attach = part
            if probe.is_near():
                self._waiting.remove(part)
                events = FunctionEvents()
                try:
                    attach(events)
                except UnavailableError as error:
                    self._write("unavailable", reason=str(error))
                self._exits.enter_context(events)
                self._exits.callback(self._tell_problems, events)

    def _tell_problems(self, events: FunctionEvents) -> None:
        for problem in events.problems:
            self._write("unavailable", reason=problem)

    def _import_began(self, frame: FrameType) -> None:
        lock, name = probes.module_being_imported(frame)
        importing = self._importing.setdefault(threading.get_ident(), [])
        importing.append((lock, name, 0.0 if importing else self._now()))

    def _import_ended(self, frame: FrameType) -> None:
        lock, name = probes.module_being_imported(frame)
        importing = self._importing.get(threading.get_ident(), [])
        while importing:
            known, outer, began = importing.pop()
            if known is lock:
                if not importing and self._now() - began >= _SHORTEST_IMPORT_SECONDS:
                    self._write_stage(Stage.IMPORT, outer, began, read_stack(frame).line)
                break
        if name in _IMPORTS:
            self._attach()

    def _write_stage(self, stage: Stage, note: str, began: float, line: CodeLine | None) -> None:
        span = TimeSpan(kind=SpanKind.STEP, name=stage, began_seconds=began, wall_seconds=self._now() - began)
        self._write("stage", span=span, note=note, line=line)

    def _watch_models(self, events: FunctionEvents) -> None:
        def began(frame: FrameType) -> None:
            model = frame.f_locals["self"]
            if self._building is None:
                self._building = self._now(), _variables_of(model), model, read_stack(frame).line

        def ended(frame: FrameType) -> None:
            if self._building is not None and self._building[2] is frame.f_locals["self"]:
                self._end_building()

        events.watch(probes.MODEL_ENTER.find(), began)
        events.watch(probes.MODEL_EXIT.find(), ended)

    def _end_building(self) -> None:
        """End it with its block, or with the first compile in it; a block that adds nothing built nothing."""
        if self._building is not None:
            (began, before, model, line), self._building = self._building, None
            if _variables_of(model) > before:
                self._write_stage(Stage.BUILD, "", began, line)

    def _watch_sampler(self, events: FunctionEvents, probe: Probe, sampler: str) -> None:
        def began(frame: FrameType) -> None:
            self._end_building()
            line = read_stack(frame).line
            self._sampling[id(frame)] = self._now(), line
            self._write("draws", sampler=sampler, at=self._now(), line=line)

        def ended(frame: FrameType, _: object) -> None:
            self.listener.flush()
            if (known := self._sampling.pop(id(frame), None)) is not None:
                self._write_stage(Stage.SAMPLE, sampler, *known)

        events.watch(probe.find(), began, ended, ended)

    def _body_ended(self, _frame: FrameType, _: object) -> None:
        self.finish()  # a forked process of multiprocessing leaves by `os._exit`

    def _compile_began(self, _number: int, _stack: StackFacts) -> None:
        self._end_building()

    def _compiled(self, compiled: TracedCompile) -> None:
        line = compiled.asked_by
        if line is not None and line.file not in self._sources:
            self._sources.add(line.file)
            text = "".join(linecache.getlines(line.file))
            if text and not Path(line.file).is_file():  # a notebook's cell: only this process has it
                self._write("source", file=line.file, text=text)
        self._write("compile", compiled=compiled)

    def _write_counts_sometimes(self) -> None:
        if self._now() - self._counted_at > _COUNTS_SECONDS:
            self._write_counts()

    def _write_counts(self) -> None:
        self._counted_at = self._now()
        for process, number, calls, seconds in self.listener.call_counts():
            self._write("calls", process=process, number=number, calls=calls, seconds=seconds)


def _variables_of(model: Any) -> int:
    return len(model.basic_RVs) if hasattr(model, "free_RVs") else 0  # it is entered before it is made


def to_plain(value: Any) -> Any:
    """Make what JSON knows of dataclasses and tuples; `firstgrad.codec` would import much."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {name: to_plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(each) for each in value]
    return value


def child_variables(folder: Path, zero: float, inherited: Mapping[str, str]) -> dict[str, str]:
    """Write the environment variables by which a new Python records itself."""
    path = os.pathsep.join(filter(None, (str(STARTUP), inherited.get("PYTHONPATH"))))
    return {VARIABLE: f"{zero!r}:{folder}", "PYTHONPATH": path}


def record_here() -> None:
    """Record this process from its start, where the environment says so; raises what can't be done."""
    if any(name in " ".join(sys.orig_argv) for name in _NOT_RECORDED):
        return
    zero, _, folder = os.environ[VARIABLE].partition(":")
    recorder = Recorder(Path(folder), float(zero), _how_started())
    recorder.start()
    atexit.register(recorder.finish)


def _how_started() -> str:
    words = " ".join(sys.orig_argv)
    if "multiprocessing.forkserver" in words:
        return "forkserver"
    if "multiprocessing" in words:
        return "spawn"
    return "main" if not any(Path(os.environ[VARIABLE].partition(":")[2]).glob(PARTS)) else "subprocess"
