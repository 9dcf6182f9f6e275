"""A process that compiles units: ``python -m firstgrad.precompiling.worker TASK``, with commands on standard input.

Its answers go to standard output, an event a line; what the model prints goes to standard error. It ends when its
commands do, at once, whatever it is compiling: with its compilers and its private folder.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.backends.pytensor import PyTensorBackend
from firstgrad.case import BackendName
from firstgrad.codec import from_json
from firstgrad.errors import FirstgradError
from firstgrad.measuring.events import kinds_by_name, read_event, write_event
from firstgrad.measuring.starter import remove_folder
from firstgrad.precompiling.launch import Broke, Make, Merge, Merged, Opened, PrecompileTask, UnitMade
from firstgrad.precompiling.units import merge, open_c, open_numba, peak_bytes, seed
from firstgrad.sources import HELD, PackedModel
from firstgrad.units import clean_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firstgrad.precompiling.units import Units

_COMMANDS = kinds_by_name(Make, Merge)


def open_units(task: PrecompileTask) -> Units:
    """Build the model and write the graph of its gradient, with the flags of whoever asked."""
    import pymc  # noqa: F401 - before its flags are changed: it adds to the compiler's
    import pytensor

    for name, value in task.flags.items():
        if getattr(pytensor.config, name, value) != value:
            setattr(pytensor.config, name, value)
    built = PyTensorBackend().load(task.model)()
    units: Units = open_c(built) if task.backend is BackendName.C else open_numba(built, task.sampler)
    seed(Path(task.cache), units.cache)
    return units


def answer(units: Units, command: Any) -> object:
    """Do what a command says; whatever that raises is told."""
    number = command.number if isinstance(command, Make) else None
    try:
        if isinstance(command, Make):
            began = time.monotonic()
            gives, is_compiled, why = units.make(
                command.number, command.takes, [Path(other) for other in command.others]
            )
            seconds = time.monotonic() - began
            return UnitMade(
                number=command.number, gives=gives, compiled=is_compiled, unkept=why, wall_seconds=seconds, **_use()
            )
        added = [merge(Path(source), Path(command.target)) for source in command.sources]
        return Merged(entries=sum(count for count, _ in added), size_bytes=sum(size for _, size in added), **_use())
    except BaseException as error:  # noqa: BLE001 - whatever a compiler raises is told
        return _broke(error, number)


def _broke(error: BaseException, number: int | None = None) -> Broke:
    if not isinstance(error, FirstgradError):
        sys.excepthook(type(error), error, error.__traceback__)
    words = str(error) if isinstance(error, FirstgradError) else f"{type(error).__name__}: {error}"
    return Broke(number=number, message=clean_line(words), **_use())


def _use() -> dict[str, Any]:
    """Say what this process and its compilers have used so far."""
    used = os.times()
    cpu_seconds = used.user + used.system + used.children_user + used.children_system
    return {"cpu_seconds": cpu_seconds, "peak_bytes": peak_bytes()}


def _hear(folder: str) -> Iterator[Any]:
    """Yield commands, and end this process with all that it started as soon as there will be none any more."""
    heard: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def listen() -> None:
        with os.fdopen(0, "rb") as commands:
            for line in commands:
                heard.put(read_event(line, _COMMANDS))
        _end(folder)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        yield heard.get()


def _end(folder: str) -> None:
    """End this process and its compilers at once, and leave no private folder."""
    remove_folder(folder)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Open the units that a task is about, and do what is commanded."""
    # Ctrl-C reaches the whole foreground group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.dup(1)
    os.set_inheritable(answers, False)
    os.dup2(2, 1)
    task = from_json(Path(sys.argv[1]).read_bytes(), PrecompileTask)
    commands = _hear(task.folder)

    def emit(event: object) -> None:
        line = memoryview(write_event(event))
        while line:
            try:
                line = line[os.write(answers, line) :]
            except BrokenPipeError:  # the parent is gone
                _end(task.folder)

    if task.live_file:
        HELD[task.model.reference] = PackedModel(digest="", content=Path(task.live_file).read_bytes())
    try:
        units = open_units(task)
    except BaseException as error:  # noqa: BLE001 - whatever a model raises is told
        emit(_broke(error))
        return
    emit(Opened(units=units.listed, types=units.types, likely=units.likely, cache=str(units.cache), **_use()))
    for command in commands:
        emit(answer(units, command))


if __name__ == "__main__":
    main()
