"""The one display of a process: its thread looks at the stacks of all watched threads, and adds up what it sees."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from firstgrad.observe import probes
from firstgrad.observe.compiles import CompileListener, TracedCompile
from firstgrad.progress.displays import Nobody, conclude
from firstgrad.progress.look import (
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

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.progress.displays import CompileDisplay
    from firstgrad.progress.look import UnitCount, UnitCounter

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
