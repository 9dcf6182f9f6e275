"""The one display of a process: its thread looks at the stacks of all watched threads, and adds up what it sees."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.observe.events import Stage
from firstgrad.observe.listeners import jax_device
from firstgrad.progress.displays import Nobody, conclude
from firstgrad.progress.history import FormerRun, expect
from firstgrad.progress.look import StackLook, c_modules, make_counters, read_stack, stack_of, tree_rss_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from firstgrad.progress.displays import CompileDisplay
    from firstgrad.progress.history import ExpectedTime
    from firstgrad.progress.look import UnitCount, UnitCounter

LOOK_SECONDS = 0.2
_LOOKS_A_WEIGHING = 3
_PATIENCE_SECONDS = 5.0
_ASKED_OFTEN = 5
THREAD_NAME = "firstgrad-progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileSummary:
    """What was seen from start to end."""

    seconds: float = 0.0  # until sampling began, or the end
    stage_seconds: tuple[tuple[Stage, float], ...] = ()
    """In order of first appearance; they add up to the time between the first and the last look."""
    looks: tuple[tuple[Stage, int], ...] = ()  # how many looks saw each stage
    units: tuple[UnitCount, ...] = ()  # compiled, in this process
    peak_rss_bytes: int | None = None  # the largest that was seen
    longest_gap_seconds: float = 0.0
    """Between two looks: a compiler that holds the interpreter's lock stops every thread."""
    cpu_seconds: float = 0.0  # processor time of the watching thread, display included


class WatchedThread:
    """A thread from its entry into the block, whose frame is `until`, to its exit: what the looks at it add up to."""

    def __init__(
        self, title: str, until: FrameType | None, runs: Sequence[FormerRun], clock: Callable[[], float]
    ) -> None:
        self.title, self.until, self.thread_id = title, until, threading.get_ident()
        self._runs, self._clock = runs, clock
        self._began = self._looked = self._stage_began = clock()
        self.look = StackLook()  # the last one
        self._looks: Counter[Stage] = Counter()
        self._seconds: dict[Stage, float] = {}
        self._read: set[str] = set()
        self._misses: Counter[str] = Counter()
        self._at_start: dict[str, UnitCount] = {}
        self.units: tuple[UnitCount, ...] = ()  # compiled since the start, in this process
        self.rss_bytes: int | None = None  # of the process and its children; none where the system does not tell
        self.processes = 1
        self._peak: int | None = None
        self._gap = 0.0
        self._compiled_until: float | None = None
        self.backend = ""
        self.is_cache_seen = False
        self.is_cache_first: bool | None = None
        self.cpu_seconds = 0.0

    def count_from(self, units: Sequence[UnitCount]) -> None:
        """Take what was compiled before as the zero."""
        self._at_start = {count.kind: count for count in units}

    def take(self, look: StackLook) -> None:
        """Take a look into account."""
        now = self._clock()
        self._gap = max(self._gap, now - self._looked)
        if look.stage is not self.look.stage:
            self._stage_began = self._looked
        self._seconds[look.stage] = self._seconds.get(look.stage, 0.0) + now - self._looked
        self._looks[look.stage] += 1
        self.look, self._looked = look, now
        self._read.update(reader for reader, was_read in look.read if was_read)
        self._misses.update(reader for reader, was_read in look.read if not was_read)
        if look.backend and not (look.backend == "c" and self.backend):
            self.backend = look.backend
        self.is_cache_seen = self.is_cache_seen or look.reads_cache
        if look.stage is Stage.SAMPLE and self._compiled_until is None:
            self._compiled_until = now

    def count(self, units: Sequence[UnitCount]) -> None:
        """Take the counts of this process into account."""
        self.units = tuple(count.since(self._at_start.get(count.kind)) for count in units)
        self.is_cache_seen = self.is_cache_seen or any(count.from_cache for count in self.units)
        if self.is_cache_first is None and (self.compiled or self.is_cache_seen):
            self.is_cache_first = not self.compiled

    def weigh(self, rss: tuple[int, int]) -> None:
        """Take a look at the memory into account."""
        self.rss_bytes, self.processes = rss
        self._peak = max(self._peak or 0, self.rss_bytes)

    @property
    def is_visible(self) -> bool:
        """Whether there is something to show: samplers have displays of their own."""
        if self.look.stage is Stage.SAMPLE:
            return self.look.unit_kind is not None
        return self._compiled_until is None or self.look.stage.is_compile

    @property
    def is_compile_seen(self) -> bool:
        """Whether anything was compiled at all."""
        return any(stage.is_compile for stage in tuple(self._looks))  # the watching thread may add one meanwhile

    @property
    def compiled(self) -> int | None:
        """How many units were compiled; none where nobody counted."""
        return sum(count.compiled for count in self.units) if self.units else None

    @property
    def unread(self) -> tuple[str, ...]:
        """Readers that were asked often and never found what they read."""
        never = (reader for reader, misses in tuple(self._misses.items()) if misses >= _ASKED_OFTEN)
        return tuple(reader for reader in never if reader not in self._read)

    @property
    def elapsed_seconds(self) -> float:
        """Since the start."""
        return self._clock() - self._began

    @property
    def stage_seconds(self) -> float:
        """In the present stage."""
        return self._clock() - self._stage_began

    @property
    def expected(self) -> ExpectedTime | None:
        """How long it may still take, where former runs tell."""
        if self._compiled_until is not None or not self._runs:
            return None
        return expect(
            self._runs,
            elapsed_seconds=self.elapsed_seconds,
            backend=self.backend,
            device=jax_device(),
            compiled=self.compiled or 0,
            is_cache_first=self.is_cache_first,
        )

    def summary(self) -> CompileSummary:
        """Say how it went."""
        until = self._compiled_until if self._compiled_until is not None else self._clock()
        return CompileSummary(
            seconds=until - self._began,
            stage_seconds=tuple(self._seconds.items()),
            looks=tuple(self._looks.items()),
            units=self.units,
            peak_rss_bytes=self._peak,
            longest_gap_seconds=self._gap,
            cpu_seconds=self.cpu_seconds,
        )

    def to_run(self, key: str, seconds: float) -> FormerRun:
        """Make what later runs are told."""
        return FormerRun(
            key=key,
            seconds=round(seconds, 3),
            backend=self.backend,
            device=jax_device() if self.backend == "jax" else "cpu",
            compiled=self.compiled,
            is_cache_first=self.is_cache_first,
        )


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
        self.pid = os.getpid()
        for counter in self._counters:
            counter.attach()

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
                if is_last and thread.is_compile_seen:
                    self._conclusion = conclude(thread.summary(), thread.title)
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
        for counter in self._counters:
            with suppress(Exception):
                counter.detach()
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
        self._after_fork()
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

    def _after_fork(self) -> None:
        """Begin anew in a forked child: its parent's thread is not there, nor anyone to open its lock."""
        if self._pid != os.getpid():
            self.__init__()  # type: ignore[misc]


BOARDS = Boards()
