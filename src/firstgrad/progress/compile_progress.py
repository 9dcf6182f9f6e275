"""`compile_progress`: see a compile's progress in the process that compiles."""

from __future__ import annotations

import inspect
import sys
import time
import warnings
from contextlib import ContextDecorator, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from firstgrad.observe.events import Stage
from firstgrad.progress.board import BOARDS
from firstgrad.progress.displays import LOG_SECONDS, choose_display
from firstgrad.progress.history import FormerRun, History, default_path, measured_runs, model_key, place_key
from firstgrad.progress.look import CompileSummary, WatchedThread
from firstgrad.units import clean_line, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import TextIO

    from firstgrad.progress.board import Board

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
