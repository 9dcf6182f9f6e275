"""Watches a worker's process tree from outside, and cleans up after it.

Runs alone, as a script with the standard library only: ``python -I watcher.py FOLDER INTERVAL_SECONDS PRINTED SOCKET
GROUP``. A thread in the measured interpreter would be blind while a compile holds the interpreter's lock.

Its standard input takes ``watch PID MARK LIMIT_BYTES`` (a limit of 0 is none) and ``stop``. On its standard output
come, while it watches, lines ``TIME TREE_BYTES CHILDREN_BYTES PROCESSES RAN STOOD``, TIME being the machine's monotonic
clock, RAN the seconds in which the tree could run so far, and STOOD those in which it stood still: a process of it, or
the parent that has to hear it, was stopped, all of them were paused together, or the machine slept. ``limit TIME
TREE_BYTES`` comes once when the limit is passed and the tree is killed; ``stopped`` when a ``stop`` is done, after
which nothing of the tree lives. Whoever reads slowly misses lines of the first kind, never one of the others. When its
input ends, be it that the parent closed it or that the parent was killed, it kills what is left of the tree and removes
the folder.

What the tree prints goes to the file of descriptor PRINTED; where that is a lot, only its end is kept. SOCKET and GROUP
are for the starter (`starter.py`).
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

STDERR_BYTES = 64 * 1024
"""So much of the end of what a tree prints is never lost."""
_PRINTED_BYTES = 4 * 1024 * 1024
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_IDLE_SECONDS = 1.0
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_TELL_SECONDS = 0.1
_TELL_FRACTION = 0.01
_FORKED_NOT_EXECUTED = 0x40  # PF_FORKNOEXEC in Linux's sched.h, seen in /proc/PID/stat
_FORKED_SECONDS = 0.05
_STOPPED = (b"T", b"t")  # by a signal, and by a debugger
_PAUSED_SECONDS = 2.0
"""Nobody ran for so long: a busy machine lets a process wait, too, but then it waits for a processor."""
_WORKING_FRACTION = 0.1
_ASLEEP_SECONDS = 1.0
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # of Linux's fallocate


type Look = tuple[int, float, bool]
"""What a look at one process told: its resident size, its processor seconds, whether it is stopped."""


class ProcTree:
    """A process tree, read from Linux's ``/proc``: some 50 µs of processor time a look."""

    def members(self, root: int) -> list[int]:
        """List the process and all its descendants."""
        found, to_visit = [], [root]
        while to_visit:
            pid = to_visit.pop()
            found.append(pid)
            try:
                threads = os.listdir(f"/proc/{pid}/task")
            except OSError:
                continue
            for thread in threads:
                try:
                    with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                        to_visit += [int(child) for child in file.read().split()]
                except OSError:
                    continue
        return found

    def __init__(self) -> None:
        self._forked: dict[int, tuple[float, int]] = {}
        self._executed: set[int] = set()

    def look(self, pid: int) -> Look:
        """Look at one process.

        A child shares its parent's pages until it executes a program of its own; counting them twice would
        show every start of a compiler as a peak. Of such a child only what is its own counts.
        """
        words = self._words(pid)
        if not words:
            return 0, 0.0, False
        size = int(words[21]) * _PAGE_BYTES
        if pid not in self._executed:
            if int(words[6]) & _FORKED_NOT_EXECUTED:
                size = self._own_bytes(pid)
            else:
                self._executed.add(pid)
        cpu_ticks = sum(map(int, words[11:15]))  # its own and its ended children's, user and system
        return size, cpu_ticks / _TICKS_PER_SECOND, words[0] in _STOPPED

    def _words(self, pid: int) -> list[bytes]:
        """Read ``/proc/PID/stat`` from the state on; empty for a process that is gone."""
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                return file.read().rpartition(b")")[2].split()
        except OSError:
            return []

    def _own_bytes(self, pid: int) -> int:
        """Private pages of a forked child: dear to ask for, so not at once and not at every look."""
        now = time.monotonic()
        asked, size = self._forked.setdefault(pid, (now, 0))
        if now - asked < _FORKED_SECONDS:
            return size
        own = 0
        with suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            own = sum(int(line.split()[1]) for line in file if line.startswith(b"Private_")) * 1024
        if self.is_alive(pid):
            size = own
        # Else it ended under the look, which kept its pages: what its parent freed meanwhile seemed to be its own.
        self._forked[pid] = (now, size)
        return size

    def is_alive(self, pid: int) -> bool:
        """Whether a process still runs: neither gone nor a zombie."""
        return self._words(pid)[:1] not in ([], [b"Z"], [b"X"])

    def is_stopped(self, pid: int) -> bool:
        """Whether a signal or a debugger has stopped a process."""
        return self._words(pid)[:1] in ([word] for word in _STOPPED)

    def marked(self, mark: str) -> list[int]:
        """List processes whose environment holds the mark: also those whose parent is gone."""
        wanted, found = mark.encode(), []
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                try:
                    with open(f"/proc/{name}/environ", "rb") as file:
                        if wanted in file.read().split(b"\0"):
                            found.append(int(name))
                except OSError:
                    continue
        return found


class PsutilTree:
    """The same where there is no ``/proc``, by psutil; a look costs milliseconds."""

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil

    def members(self, root: int) -> list[int]:
        """List the process and all its descendants."""
        try:
            children = self._psutil.Process(root).children(recursive=True)
        except self._psutil.Error:
            return [root]
        return [root, *(child.pid for child in children)]

    def look(self, pid: int) -> Look:
        """Look at one process."""
        try:
            process = self._psutil.Process(pid)
            with process.oneshot():
                return process.memory_info().rss, sum(process.cpu_times()[:2]), self.is_stopped(pid)
        except self._psutil.Error:
            return 0, 0.0, False

    def is_alive(self, pid: int) -> bool:
        """Whether a process still runs: neither gone nor a zombie."""
        try:
            return bool(self._psutil.Process(pid).status() != self._psutil.STATUS_ZOMBIE)
        except self._psutil.Error:
            return False

    def is_stopped(self, pid: int) -> bool:
        """Whether a signal or a debugger has stopped a process."""
        stopped = (self._psutil.STATUS_STOPPED, self._psutil.STATUS_TRACING_STOP)
        try:
            return self._psutil.Process(pid).status() in stopped
        except self._psutil.Error:
            return False

    def marked(self, mark: str) -> list[int]:
        """List processes whose environment holds the mark."""
        name, _, value = mark.partition("=")
        found = []
        for process in self._psutil.process_iter():
            try:
                if process.pid != os.getpid() and process.environ().get(name) == value:
                    found.append(process.pid)
            except self._psutil.Error:
                continue
        return found


def kill_all(
    tree: "ProcTree | PsutilTree", root: int | None, mark: str, spared: "frozenset[int]" = frozenset()
) -> None:
    """Kill a tree, but for those spared, and everything that carries its mark, until none is left."""

    def members() -> set[int]:
        return {*(tree.marked(mark) if mark else ()), *(tree.members(root) if root else ())} - spared

    for _ in range(50):
        alive = {pid: _hold(pid) for pid in members() if tree.is_alive(pid)}
        if not alive:
            return
        still = members()  # now that they are held: a number that is free may be anybody's a moment later
        for pid, held in alive.items():
            try:
                if held is None:
                    os.kill(pid, signal.SIGKILL)
                elif pid in still:
                    signal.pidfd_send_signal(held, signal.SIGKILL)
            except ProcessLookupError:
                pass
            if held is not None:
                os.close(held)
        time.sleep(0.02)


def _hold(pid: int) -> int | None:
    """Open a process, so that its number can't be taken for another's; None where the system has no such thing."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


class Stillness:
    """Counts the seconds in which a tree stood still, by what is seen at each look.

    Too little rather than too much: a process counts as stopped from the first look that sees it so to the last one.

    Parameters
    ----------
    clock : callable
        The machine's monotonic clock, which goes on while processes are stopped, and rests while the machine sleeps.
    boot_clock : callable
        The one that never rests.
    waited_seconds : callable
        How long this process has waited for a processor: a busy machine's delays are no pause.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        boot_clock: Callable[[], float] | None = None,
        waited_seconds: Callable[[], float] | None = None,
    ) -> None:
        self._clock, self._boot_clock = clock, boot_clock or _boot_clock
        self._waited_seconds = waited_seconds or _waited_seconds
        self._looked = clock()
        self._rest, self._waited = self._boot_clock() - self._looked, self._waited_seconds()
        self._stopped: set[int] = set()
        self._cpu_seconds = 0.0
        self.ran_seconds = self.stood_seconds = 0.0

    def see(self, stopped: set[int], cpu_seconds: float, interval_seconds: float) -> None:
        """Take what a look saw: who was stopped, and all processor time of the tree so far."""
        now, waited = self._clock(), self._waited_seconds()
        passed = now - self._looked
        rest, paused = self._boot_clock() - now, passed - interval_seconds - (waited - self._waited)
        stood = 0.0
        if stopped & self._stopped:
            stood = passed
        elif paused > _PAUSED_SECONDS and cpu_seconds - self._cpu_seconds < _WORKING_FRACTION * passed:
            stood = paused
        asleep = rest - self._rest if rest - self._rest > _ASLEEP_SECONDS else 0.0
        self.ran_seconds += passed - stood
        self.stood_seconds += stood + asleep
        self._looked, self._rest, self._waited = now, rest, waited
        self._stopped, self._cpu_seconds = stopped, cpu_seconds


def _boot_clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _waited_seconds() -> float:
    try:
        with open("/proc/self/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError):  # a kernel without that account, or another system
        return 0.0


class Watcher:
    """Watches one tree at a time, as its input says."""

    def __init__(self, tree: "ProcTree | PsutilTree", interval_seconds: float, printed: int, starter: int) -> None:
        self._tree, self._interval, self._printed = tree, interval_seconds, printed
        self._freed_bytes, self._pause = 0, interval_seconds
        self._own, self._parent = frozenset({os.getpid(), starter}), os.getppid()
        self._root: int | None = None
        self._mark = ""
        self._limit_bytes = 0
        self._told_at = self._told_total = 0.0
        self._stillness = Stillness()

    def run(self) -> None:
        """Follow the input until it ends."""
        rest = b""
        while True:
            pause = self._pause if self._root is not None else _IDLE_SECONDS
            if not select.select([0], [], [], pause)[0]:
                if os.getppid() != self._parent:
                    return  # a child that it forked still holds the pipe open
                if self._root is not None:
                    self._look()
                continue
            data = os.read(0, 4096)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._obey(line.decode().split())

    def clean_up(self) -> None:
        """Kill what is left of the tree."""
        kill_all(self._tree, os.getpid(), self._mark, self._own)
        self._root = None

    def _obey(self, words: list[str]) -> None:
        if words[0] == "watch":
            self._root, self._mark, self._limit_bytes = int(words[1]), words[2], int(words[3])
            self._told_at = self._told_total = 0.0
            self._freed_bytes, self._pause = 0, self._interval
            self._stillness = Stillness()
        else:
            self.clean_up()
            _say("stopped")

    def _look(self) -> None:
        # Of all that is below this process: a daemon's parents are gone, and the starter has adopted it.
        others = [pid for pid in self._tree.members(os.getpid()) if pid not in self._own and pid != self._root]
        members = [self._root or 0, *others]
        sizes, cpu_seconds, are_stopped = zip(*map(self._tree.look, members), strict=True)
        stopped = {pid for pid, is_stopped in zip(members, are_stopped, strict=True) if is_stopped}
        # A parent that is stopped hears nothing: the tree waits for it as soon as a pipe is full.
        if self._tree.is_stopped(self._parent):
            stopped.add(self._parent)
        still = self._stillness
        still.see(stopped, sum(cpu_seconds), self._pause)
        total, now = sum(sizes), time.monotonic()
        changed = abs(total - self._told_total) > _TELL_FRACTION * self._told_total
        if (changed or now - self._told_at >= _TELL_SECONDS) and _say(
            f"{now:.6f} {total} {total - sizes[0]} {sum(1 for size in sizes if size)} "
            f"{still.ran_seconds:.6f} {still.stood_seconds:.6f}",
            patient=False,
        ):
            self._told_at, self._told_total = now, total
        if self._limit_bytes and total > self._limit_bytes:
            # First of all: to say it may take as long as the parent is stopped.
            kill_all(self._tree, os.getpid(), self._mark, self._own)
            _say(f"limit {now:.6f} {total}")
            self._limit_bytes = 0
        freed = forget_beginning(self._printed, self._freed_bytes)
        # Who prints that much gets looked at more often.
        self._pause = self._interval if freed == self._freed_bytes else self._interval / 10
        self._freed_bytes = freed


def forget_beginning(file: int, freed_bytes: int) -> int:
    """Free the disk from all but the end of a file where that is a lot; return up to where it is free now."""
    size = os.fstat(file).st_size
    if size - freed_bytes <= _PRINTED_BYTES:
        return freed_bytes
    # A hole: the length stays, so nobody who writes at the end, or reads from there, meets anything else than before.
    import ctypes

    end = size - STDERR_BYTES
    try:
        fallocate = ctypes.CDLL(None).fallocate
    except AttributeError:  # another system than Linux
        is_freed = False
    else:
        fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
        is_freed = fallocate(file, _KEEP_SIZE | _PUNCH_HOLE, freed_bytes, end - freed_bytes) == 0
    if not is_freed:
        os.ftruncate(file, end := 0)
    return end


def make_tree() -> "ProcTree | PsutilTree":
    """Return the cheapest way to look at processes here."""
    return ProcTree() if os.path.isdir("/proc/self/task") else PsutilTree()


def _say(line: str, *, patient: bool = True) -> bool:
    """Say a line, whole; where the reader is behind, wait for it, or say nothing and return false."""
    # Unbuffered: what a dead parent did not take must not come up again, as an error, when this process ends.
    while True:
        try:
            os.write(1, f"{line}\n".encode())
        except BlockingIOError:
            if not patient:
                return False
            select.select([], [1], [])
        else:
            return True


def main() -> None:
    """Watch until the input ends, then clean up."""
    folder, interval_seconds, (printed, far, group) = sys.argv[1], float(sys.argv[2]), map(int, sys.argv[3:])
    for file in (printed, far):
        os.set_inheritable(file, False)
    os.set_blocking(1, False)
    sys.path.insert(0, os.path.dirname(__file__))
    from starter import fork_starter, remove_folder  # type: ignore[import-not-found]  # a script is in no package

    tree, opened = make_tree(), None
    with suppress(OSError):  # a model, or a cleaner of temporary files, was faster
        opened = os.open(folder, os.O_RDONLY)

    def kill(root: int, mark: str) -> None:
        kill_all(tree, root, mark, frozenset({root}))

    starter = fork_starter(far, group, kill, lambda: remove_folder(folder, opened))
    watcher = Watcher(tree, interval_seconds, printed, starter)
    try:
        watcher.run()
    except BrokenPipeError:
        pass  # the parent is gone; cleaning up is what is left to do
    finally:
        watcher.clean_up()
        os.close(printed)
        remove_folder(folder, opened)
        kill_all(tree, starter, "")
        os.waitpid(starter, 0)


if __name__ == "__main__":
    main()
