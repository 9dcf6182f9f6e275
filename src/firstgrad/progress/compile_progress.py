"""`compile_progress`: see a compile's progress in the process that compiles."""

from __future__ import annotations

import inspect
import os
import sys
import threading
import time
import warnings
from contextlib import ContextDecorator, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from firstgrad.observe import probes
from firstgrad.observe.compiles import CompileListener, TracedCompile
from firstgrad.observe.events import Stage
from firstgrad.progress.displays import LOG_SECONDS, Nobody, choose_display, conclude
from firstgrad.progress.history import FormerRun, History, default_path, measured_runs, model_key, place_key
from firstgrad.progress.look import (
    CompileSummary,
    StackLook,
    WatchedThread,
    c_modules,
    make_counters,
    read_stack,
    stack_of,
    tree_rss_bytes,
)
from firstgrad.tracing.redundant import find_redundant
from firstgrad.tracing.sentences import tell_compiles
from firstgrad.units import clean_line, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import TextIO

    from firstgrad.progress.displays import CompileDisplay
    from firstgrad.progress.look import UnitCount, UnitCounter

_WARNED: set[str] = set()
_LEAST_SECONDS = 5.0  # of a compile whose model is looked at in the end
_MOST_WRITING, _NAMED = 0.05, 0.1  # parts of it: writing the log-density, and a finding that is named


class compile_progress(ContextDecorator):  # noqa: N801 - used like a function, as contextlib.suppress is
    """Show what a compile is doing while the block runs: stage, pass, units, time, memory, and what is left.

    A thread looks at this thread's stack five times a second. Nothing is patched, results are the same, and at the end
    every listener is gone. In a terminal the bottom rows are used, in Jupyter an output of the cell, in a log lines.
    The display goes away when a sampler begins; in the end it says in sentences what was compiled and what could be
    left out, as ``firstgrad trace`` does. A second block in the same thread does nothing; a block in another
    thread gets a row in the same display. It is a decorator, too: ``@firstgrad.compile_progress()``. A warning tells
    once of each thing that this release of a package does not show; the rest goes on.

    ::

        with firstgrad.compile_progress(model):
            function = model.compile_dlogp()
            function(model.initial_point())

    Parameters
    ----------
    model : pymc.Model, optional
        The last line names what ``firstgrad lint`` finds in it and estimates to cost a tenth of a long compile or more.
        Former runs of a model of this shape tell how long it may take; without one, former runs from this place in
        the code do.
    title : str
        What to call it.
    reference : str, optional
        The MODEL given to ``firstgrad measure``: what is stored of it in ``.firstgrad/results.sqlite`` counts as
        former runs.
    history : bool or path
        Whether and where former runs are kept; True: ``$XDG_CACHE_HOME/firstgrad/compiles.jsonl``, or below
        ``~/.cache``. At most 1000 lines: a digest, seconds, backend, device, number of units.
    stream : text file, optional
        Where to write; left out: the notebook's cell, or standard error.
    every_seconds : float
        How often a log gets a line at least.

    Attributes
    ----------
    summary : CompileSummary
        After the block: what was seen. Empty in an inner block.
    """

    def __init__(
        self,
        model: Any = None,
        *,
        title: str = "",
        reference: str | None = None,
        history: bool | str | Path = True,
        stream: TextIO | None = None,
        every_seconds: float = LOG_SECONDS,
    ) -> None:
        self._options: dict[str, Any] = {"model": model, "title": title, "reference": reference, "history": history}
        self._options |= {"stream": stream, "every_seconds": every_seconds}
        self._stack: list[tuple[WatchedThread, Board, str] | None] = []
        self.summary = CompileSummary()

    def __call__[F: Callable[..., Any]](self, function: F) -> F:
        """Decorate a function; each call is a block. TypeError for generators and ``async def``: they run later."""
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise TypeError(
                f"compile_progress cannot decorate {function.__qualname__}, which runs after its call has returned: "
                "write `with compile_progress():` inside it"
            )
        return super().__call__(function)

    def __enter__(self) -> Self:
        self.summary = CompileSummary()
        entered = None
        try:
            entered = self._begin(_caller(sys._getframe(1)))  # noqa: SLF001 - documented, in spite of its name
        except Exception as error:  # noqa: BLE001 - a display must never stop a compile
            _warn((f"no display, as {type(error).__name__}: {error}",))
        self._stack.append(entered)
        return self

    def _begin(self, caller: FrameType) -> tuple[WatchedThread, Board, str] | None:
        options = self._options
        key = model_key(options["model"]) if options["model"] is not None else ""
        key = key or place_key(caller.f_code.co_filename, caller.f_lineno)
        thread = WatchedThread(options["title"], caller, self._former_runs(key), time.monotonic)
        board = BOARDS.join(thread, lambda: choose_display(options["stream"], options["every_seconds"]))
        return None if board is None else (thread, board, key)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        entered = self._stack.pop()
        if entered is None:
            return
        thread, board, key = entered
        try:
            if kind is None:
                thread.end()
                with suppress(Exception), warnings.catch_warnings(action="ignore"):
                    thread.advice = _name_finding(self._options["model"], thread)
        finally:
            try:
                BOARDS.leave(thread, board)
            finally:
                thread.until = None
        self.summary = thread.summary()
        if kind is None:
            with suppress(Exception):
                history = self._history()
                if history is not None and key and thread.is_compile_seen:
                    history.add(thread.to_run(key, self.summary.seconds))
            unread = (f"this release does not show the {name.strip('_').replace('_', ' ')}" for name in thread.unread)
            _warn(tuple(f"{unseen}; time and stage are shown all the same" for unseen in (*board.problems, *unread)))

    def _recreate_cm(self) -> Self:
        """Each call of a decorated function is a block of its own."""
        return type(self)(**self._options)

    def _history(self) -> History | None:
        wanted = self._options["history"]
        if wanted is False:
            return None
        try:
            return History(default_path() if wanted is True else Path(wanted))
        except RuntimeError:  # nowhere to keep it
            return None

    def _former_runs(self, key: str) -> tuple[FormerRun, ...]:
        history, reference = self._history(), self._options["reference"]
        runs = history.runs(key) if history and key else ()
        with suppress(Exception):  # a store that others write to, or of another release
            runs += measured_runs(reference) if reference else ()
        return runs


def _name_finding(model: Any, thread: WatchedThread) -> tuple[str, ...]:
    """Name what lint finds in a model's graph and estimates to cost most of this compile, if that is a tenth of it.

    To look takes some times as long as writing the log-density did: not where that was much of the compile, nor where
    the compile was short or read from a cache. Only rules are asked that look at the graph alone.
    """
    seconds, written = thread.summary().seconds, thread.seconds_in(Stage.LOGP_GRAPH)
    if model is None or seconds < _LEAST_SECONDS or written > _MOST_WRITING * seconds or thread.is_cache_first:
        return ()
    from firstgrad.linting.engine import lint_model
    from firstgrad.linting.loops import loops
    from firstgrad.linting.scans import closed_forms

    costs = [
        (estimate, finding)
        for finding in lint_model(model, rules=(loops, closed_forms)).findings
        for estimate in finding.estimates
        if thread.backend in estimate.of_what.split() and estimate.middle_seconds > _NAMED * seconds
    ]
    if not costs:
        return ()
    estimate, finding = max(costs, key=lambda cost: cost[0].middle_seconds)
    line = finding.lines[0] if finding.lines else None
    place = f"{Path(line.file).name}:{line.line}: " if line is not None else ""
    cost = f"{format_seconds(estimate.low_seconds)} to {format_seconds(min(estimate.high_seconds, seconds))}"
    return (
        clean_line(
            f"{place}{finding.fact} ({finding.name}), an estimated {cost} of it. What to write instead: "
            "firstgrad.lint(model)"
        ),
    )


def _caller(frame: FrameType) -> FrameType:
    """Find the user's frame: a decorator or an ExitStack enters on its behalf."""
    while frame.f_code.co_filename.endswith("contextlib.py") and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _warn(problems: tuple[str, ...]) -> None:
    for problem in problems:
        if problem not in _WARNED:
            _WARNED.add(problem)
            warnings.warn(f"compile_progress: {problem}", stacklevel=3)


# --- the board ------------------------------------------------------------------------------------------------------

LOOK_SECONDS = 0.2
_LOOKS_A_WEIGHING = 3
_PATIENCE_SECONDS = 5.0
THREAD_NAME = "firstgrad-progress"


class Board:
    """Watches threads and draws; its own thread lives from the first watched one to the last."""

    def __init__(self, display: CompileDisplay, counters: tuple[UnitCounter, ...] | None = None) -> None:
        self._display = display
        self._counters = make_counters() if counters is None else counters
        self._watched: list[WatchedThread] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        self._looks = 0
        self._conclusion = ""
        self._compiles: dict[int, TracedCompile] = {}
        self._listener = CompileListener(self._take_compile)
        self._is_listening = True
        self.pid = os.getpid()
        for counter in self._counters:
            counter.attach()
        self._listen()

    def _take_compile(self, compiled: TracedCompile) -> None:
        self._compiles[compiled.number] = replace(compiled, process=0)

    def _listen(self) -> None:
        if self._is_listening:
            with suppress(Exception):  # then there are no sentences in the end
                self._listener.attach()

    @property
    def watched(self) -> tuple[WatchedThread, ...]:
        """Those who are watched."""
        return tuple(self._watched)

    @property
    def problems(self) -> tuple[str, ...]:
        """What cannot be counted here."""
        return tuple(counter.problem for counter in self._counters if counter.problem)

    def join(self, thread: WatchedThread) -> None:
        """Watch one more."""
        thread.count_from(self._count())
        self._watched.append(thread)
        if len(self._watched) > 1:
            return
        try:
            self._thread.start()
        except BaseException:
            self.leave(thread)
            if self._thread.ident is None:  # it never began, so it takes nothing back
                self._close()
            raise

    def leave(self, thread: WatchedThread) -> bool:
        """Watch one less; say whether it was the last. Then our thread ends by itself, wherever Ctrl-C strikes."""
        is_last = self._watched == [thread]
        try:
            with suppress(Exception):
                thread.count(self._count())
                if is_last:
                    self._listener.flush()
                    compiles = list(self._compiles.values())
                    limit = probes.NUMBA_CONSTANT_LIMIT.peek()
                    said = tell_compiles(compiles, redundant=find_redundant(compiles, constant_limit=limit))
                    thread.sentences = (*said, *thread.advice)
                    if thread.is_compile_seen:
                        self._conclusion = "\n".join((conclude(thread.summary(), thread.title), *thread.sentences))
        finally:
            self._watched.remove(thread)
            if is_last:
                self._stop.set()
        return is_last

    def end(self) -> None:
        """Wait until everything is as it was before the first joined."""
        self._thread.join(_PATIENCE_SECONDS)

    def _run(self) -> None:
        # Whatever happens here, the user's compile goes on: an error of ours only ends the display.
        try:
            with suppress(Exception):
                while not self._stop.wait(LOOK_SECONDS):
                    self._look()
        finally:
            self._close()

    def _close(self) -> None:
        self._is_listening = False
        detachings = (*(counter.detach for counter in self._counters), self._listener.detach)
        for detach in detachings:
            with suppress(Exception):
                detach()
        with suppress(Exception):
            self._display.close(self._conclusion)

    def _look(self) -> None:
        self._looks += 1
        watched = self.watched
        is_readable = getattr(sys, "_is_gil_enabled", lambda: True)()
        stacks = sys._current_frames() if is_readable else {}  # noqa: SLF001 - documented, in spite of its name
        for thread in watched:
            frame = stacks.get(thread.thread_id)
            thread.take(read_stack(stack_of(frame, thread.until)) if frame is not None else StackLook())
        del stacks  # frames hold the locals of the user's code alive
        for counter in self._counters:
            counter.attach()
        self._listen()
        units = self._count()
        rss = tree_rss_bytes() if self._looks % _LOOKS_A_WEIGHING == 1 else None
        for thread in watched:
            thread.count(units)
            if rss is not None:
                thread.weigh(rss)
            thread.cpu_seconds = time.thread_time()
        self._draw(watched)

    def _draw(self, watched: tuple[WatchedThread, ...]) -> None:
        try:
            self._display.draw([thread for thread in watched if thread.is_visible])
        except Exception:  # noqa: BLE001 - a closed stream, say: then nobody draws, and counting goes on
            with suppress(Exception):
                self._display.close("")  # a terminal's rows must be given back all the same
            self._display = Nobody()

    def _count(self) -> tuple[UnitCount, ...]:
        counts = (c_modules(), *(counter.units() for counter in self._counters))
        return tuple(count for count in counts if count is not None)


class Boards:
    """The process's board, made for the first watched thread and thrown away after the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._board: Board | None = None
        self._pid = os.getpid()

    def join(self, thread: WatchedThread, make_display: Callable[[], CompileDisplay]) -> Board | None:
        """Watch the calling thread; none where it is watched already. The first one's display is made."""
        if self._pid != os.getpid():  # a forked child: its parent's thread is not there, nor anyone to open its lock
            self.__init__()  # type: ignore[misc]
        with self._lock:
            board = self._board
            if board is None:
                board = self._board = Board(make_display())
            elif any(other.thread_id == thread.thread_id for other in board.watched):
                return None
            try:
                board.join(thread)
            finally:
                self._forget(board)
            return board

    def leave(self, thread: WatchedThread, board: Board) -> None:
        """Watch a thread no longer."""
        if board.pid != os.getpid():
            return  # a forked child: the thread has stayed with its parent
        with self._lock:
            is_last = False
            try:
                is_last = thread in board.watched and board.leave(thread)
            finally:
                self._forget(board)
        if is_last:
            board.end()

    def _forget(self, board: Board) -> None:
        """Throw a board away that nobody is on."""
        if self._board is board and not board.watched:
            self._board = None


BOARDS = Boards()
