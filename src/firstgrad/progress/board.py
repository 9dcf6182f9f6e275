"""The one display of a process: its thread looks at the stacks of all watched threads."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from firstgrad.progress.counters import make_counters
from firstgrad.progress.display import Nobody
from firstgrad.progress.frames import read_stack, stack_of
from firstgrad.progress.memory import tree_rss_bytes
from firstgrad.progress.render import conclude
from firstgrad.progress.snapshot import Look, Units

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.progress.counters import Counter
    from firstgrad.progress.display import Display
    from firstgrad.progress.session import Session

LOOK_SECONDS = 0.2
_LOOKS_A_WEIGHING = 3
_PATIENCE_SECONDS = 5.0

THREAD_NAME = "firstgrad-progress"


class Board:
    """Watches threads and draws; its own thread lives from the first session to the last.

    Parameters
    ----------
    display : Display
        Who draws.
    counters : tuple of Counter, optional
        What counts compiled units.
    """

    def __init__(self, display: Display, counters: tuple[Counter, ...] | None = None) -> None:
        self._display = display
        self._counters = make_counters() if counters is None else counters
        self._sessions: list[Session] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        self._looks = 0
        self._units: tuple[Units, ...] = ()
        self._conclusion = ""
        self.pid = os.getpid()
        for each in self._counters:
            each.attach()

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Those who are watched."""
        return tuple(self._sessions)

    @property
    def problems(self) -> tuple[str, ...]:
        """What cannot be counted here."""
        return tuple(each.problem for each in self._counters if each.problem)

    def join(self, session: Session) -> None:
        """Watch one more."""
        session.count_from(self._count())
        self._sessions.append(session)
        if len(self._sessions) > 1:
            return
        try:
            self._thread.start()
        except BaseException:
            self.leave(session)
            if self._thread.ident is None:  # it never began, so it takes nothing back
                self._close()
            raise

    def leave(self, session: Session) -> bool:
        """Watch one less; say whether it was the last. Then the thread ends by itself, wherever Ctrl-C strikes."""
        is_last = self._sessions == [session]
        try:
            with suppress(Exception):
                session.count(self._count())
                if is_last and session.is_compile_seen:
                    self._conclusion = conclude(session.summary(), session.title)
        finally:
            self._sessions.remove(session)
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
        for each in self._counters:
            with suppress(Exception):
                each.detach()
        with suppress(Exception):
            self._display.close(self._conclusion)

    def _look(self) -> None:
        self._looks += 1
        sessions = self.sessions
        is_readable = getattr(sys, "_is_gil_enabled", lambda: True)()
        stacks = sys._current_frames() if is_readable else {}  # noqa: SLF001 - documented, in spite of its name
        for each in sessions:
            frame = stacks.get(each.thread_id)
            each.take(read_stack(stack_of(frame, each.until)) if frame is not None else Look())
        del stacks  # frames hold the locals of the user's code alive
        for counter in self._counters:
            counter.attach()
        self._units = self._count()
        rss = tree_rss_bytes() if self._looks % _LOOKS_A_WEIGHING == 1 else None
        for each in sessions:
            each.count(self._units)
            if rss is not None:
                each.weigh(rss)
            each.cpu_seconds = time.thread_time()
        self._draw(sessions)

    def _draw(self, sessions: tuple[Session, ...]) -> None:
        try:
            self._display.draw([each.snapshot() for each in sessions if each.is_visible])
        except Exception:  # noqa: BLE001 - a closed stream, say: then nobody draws, and counting goes on
            with suppress(Exception):
                self._display.close("")  # a terminal's rows must be given back all the same
            self._display = Nobody()

    def _count(self) -> tuple[Units, ...]:
        return tuple(units for each in self._counters if (units := each.units()) is not None)


class Boards:
    """The process's board, made for the first session and thrown away after the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._board: Board | None = None
        self._pid = os.getpid()

    def join(self, session: Session, make_display: Callable[[], Display]) -> Board | None:
        """Watch a thread; none where it is watched already.

        Parameters
        ----------
        session : Session
            Of the calling thread.
        make_display : callable
            Called where this is the first.
        """
        self._after_fork()
        with self._lock:
            board = self._board
            if board is None:
                board = self._board = Board(make_display())
            elif any(each.thread_id == session.thread_id for each in board.sessions):
                return None
            try:
                board.join(session)
            finally:
                self._forget(board)
            return board

    def leave(self, session: Session, board: Board) -> None:
        """Watch a thread no longer."""
        if board.pid != os.getpid():
            return  # a forked child: the thread has stayed with its parent
        with self._lock:
            is_last = False
            try:
                is_last = session in board.sessions and board.leave(session)
            finally:
                self._forget(board)
        if is_last:
            board.end()

    def _forget(self, board: Board) -> None:
        """Throw a board away that nobody is on."""
        if self._board is board and not board.sessions:
            self._board = None

    def _after_fork(self) -> None:
        """Begin anew in a forked child: its parent's thread is not there, nor anyone to open its lock."""
        if self._pid != os.getpid():
            self.__init__()  # type: ignore[misc]


BOARDS = Boards()
