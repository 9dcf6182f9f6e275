"""The parent's side of a trace: a script runs as ``python script.py`` would, its memory is watched from outside."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from firstgrad.errors import SpecError
from firstgrad.observe.processes import PROC, children_of, cpu_seconds, resident_pages
from firstgrad.store.kept import KeptFiles
from firstgrad.tracing.record import ScriptTrace, merge_parts
from firstgrad.tracing.recorder import PARTS, Recorder, child_variables
from firstgrad.tracing.sentences import sentences_html, trace_sentences

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from firstgrad.record import Environment
    from firstgrad.tracing.record import ScriptTrace

TRACES = KeptFiles(
    kind=ScriptTrace,
    noun="trace",
    id_noun="id",
    verb="trace",
    id_of=lambda trace: trace.trace_id,
    describe=lambda trace: trace.command or "a block",
)
_LOOK_SECONDS = 0.05
_LOOKS_A_SEARCH = 5  # so many looks at memory for each search for new processes
_CHANGE_BYTES = 2**20  # smaller changes of memory are not kept
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT, signal.SIGWINCH)


class TreeWatch(threading.Thread):
    """Looks at the memory of the processes that write parts, each with the compilers that it started.

    Attributes
    ----------
    seen : dict of int to list of (float, int)
        By process id: resident bytes when they changed, by the trace's clock.
    """

    def __init__(self, root: int, folder: Path, zero: float) -> None:
        super().__init__(name="firstgrad-memory", daemon=True)
        self._root, self._folder, self._zero = root, folder, zero
        self._over = threading.Event()
        self._owners: dict[int, int] = {}  # of each process that is looked at: who writes a part
        self.seen: dict[int, list[tuple[float, int]]] = {}

    def run(self) -> None:
        """Look until `stop`."""
        looks = 0
        while not self._over.wait(_LOOK_SECONDS):
            with suppress(OSError, ValueError):
                if looks % _LOOKS_A_SEARCH == 0:
                    self._search()
                self._look()
            looks += 1

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        if self.is_alive():
            self.join()

    def _search(self) -> None:
        writers = {int(path.name.partition("-")[0]) for path in self._folder.glob(PARTS)}
        self._owners = {self._root: self._root}
        waiting = [self._root]
        while waiting:
            pid = waiting.pop()
            for child in children_of(PROC / str(pid)):
                self._owners[child] = child if child in writers else self._owners[pid]
                waiting.append(child)

    def _look(self) -> None:
        page, at = os.sysconf("SC_PAGE_SIZE"), time.monotonic() - self._zero
        sums: dict[int, int] = {}
        for pid, owner in self._owners.items():
            if (pages := resident_pages(PROC / str(pid))) is not None:
                sums[owner] = sums.get(owner, 0) + pages * page
        for owner, rss in sums.items():
            points = self.seen.setdefault(owner, [])
            if not points or abs(rss - points[-1][1]) > _CHANGE_BYTES:
                points.append((round(at, 3), rss))


def trace_script(words: Sequence[str], *, is_module: bool = False, quiet_stdout: bool = False) -> ScriptTrace:
    """Run a script in a process of its own, as Python would, and record it and all that it starts.

    Parameters
    ----------
    words : sequence of str
        The script (or the module) and its arguments.
    is_module : bool
        Whether it is a module, as for ``python -m``.
    quiet_stdout : bool
        Lead the script's standard output to standard error.

    Raises
    ------
    SpecError
        Where there is no such script.
    """
    if not is_module and not Path(words[0]).exists():
        raise SpecError(words[0], "there is no such script. Give a Python file and its arguments, or -m and a module")
    with tempfile.TemporaryDirectory(prefix="firstgrad-trace-") as made:
        folder = Path(made)
        zero, started = time.monotonic(), datetime.now(UTC)
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, *(["-m"] if is_module else []), *words]
        with _signals_for_the_script() as tell:
            child = subprocess.Popen(
                command,
                env=os.environ | child_variables(folder, zero, os.environ),
                stdout=2 if quiet_stdout else None,
            )
            tell.append(child)
            watch = TreeWatch(child.pid, folder, zero)
            watch.start()
            exit_code = child.wait()
        wall = time.monotonic() - zero
        watch.stop()
        total = resource.getrusage(resource.RUSAGE_CHILDREN)
        return merge_parts(
            folder,
            watch.seen,
            trace_id=uuid.uuid4().hex,
            started_at=started.isoformat(timespec="seconds"),
            command=shlex.join(["python", *command[1:]]),
            exit_code=exit_code,
            wall_seconds=wall,
            cpu_seconds=total.ru_utime + total.ru_stime - spent.ru_utime - spent.ru_stime,
            environment=environment_here(),
        )


def environment_here() -> Environment:
    """Describe where the script ran, by this process's own Python."""
    from firstgrad.measuring.environment import describe_environment, packages_here

    return describe_environment(threads=0, packages=packages_here())


@contextmanager
def _signals_for_the_script() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Leave signals to the script: what this process gets is passed on, and it waits.

    Ctrl-C in a terminal reaches the script by itself.
    """
    children: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _: object) -> None:
        for child in children:
            if child.poll() is None:
                child.send_signal(number)

    def interrupt(number: int, frame: object) -> None:
        if not _is_at_terminal():
            pass_on(number, frame)

    before = {number: signal.getsignal(number) for number in (*_PASSED_ON, signal.SIGINT, signal.SIGQUIT)}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # as nohup has it: the script inherits that
                signal.signal(number, interrupt if number in (signal.SIGINT, signal.SIGQUIT) else pass_on)
        yield children
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def _is_at_terminal() -> bool:
    """Whether a terminal sends Ctrl-C to this process and the script alike."""
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:  # noqa: PTH123 - a device
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


# --- a block of this process ----------------------------------------------------------------------------------------


class trace:  # noqa: N801 - used like a function, as contextlib.suppress is
    """Record every compile of a block: who asked for it, what for, phases, units, caches, memory, calls afterwards.

    Nothing is patched, results are the same, and at the end every listener is gone. Processes that the block starts are
    followed. In a notebook the value of a cell shows what is to be said; for a whole script rather use
    ``firstgrad trace script.py``, which also sees imports.

    ::

        with firstgrad.trace() as trace:
            idata = pm.sample(model=model)
        print(trace)

    Attributes
    ----------
    result : ScriptTrace or None
        After the block: all that was seen.
    """

    def __init__(self) -> None:
        self.result: ScriptTrace | None = None

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="firstgrad-trace-")
        self._zero, self._started, self._cpu = time.monotonic(), datetime.now(UTC), cpu_seconds()
        folder = Path(self._folder.name)
        variables = child_variables(folder, self._zero, os.environ)
        self._variables = {name: os.environ.get(name) for name in variables}
        self._recorder = Recorder(folder, self._zero, "notebook")
        self._recorder.start()
        os.environ.update(variables)
        self._watch = TreeWatch(os.getpid(), folder, self._zero)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        wall, cpu = time.monotonic() - self._zero, cpu_seconds() - self._cpu
        for name, value in self._variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._watch.stop()
        self._recorder.finish()
        self._recorder.stop()
        self.result = merge_parts(
            Path(self._folder.name),
            self._watch.seen,
            trace_id=uuid.uuid4().hex,
            started_at=self._started.isoformat(timespec="seconds"),
            command="",
            exit_code=None,
            wall_seconds=wall,
            cpu_seconds=cpu,
            environment=environment_here(),
        )
        with suppress(OSError):
            self._folder.cleanup()

    def save(self, path: str | Path) -> None:
        """Write the trace to a file, which ``firstgrad trace --show FILE`` prints."""
        TRACES.write(self._ended(), path)

    def __str__(self) -> str:
        return "\n".join(trace_sentences(self._ended()))

    def _repr_html_(self) -> str:
        return sentences_html(trace_sentences(self._ended()))

    def _ended(self) -> ScriptTrace:
        if self.result is None:
            raise RuntimeError("the block of firstgrad.trace() has not ended yet: there is nothing to tell before")
        return self.result
