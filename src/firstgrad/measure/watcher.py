"""Watches a worker's process tree from outside, and cleans up after it.

Runs alone, as a script with the standard library only: ``python -I watcher.py FOLDER INTERVAL_SECONDS``. A thread
in the measured interpreter would be blind while a compile holds the interpreter's lock.

Its standard input takes ``watch PID MARK LIMIT_BYTES`` (a limit of 0 is none) and ``stop``. On its standard output
come, while it watches, lines ``TIME TREE_BYTES CHILDREN_BYTES PROCESSES``, TIME being the machine's monotonic clock;
``limit TIME TREE_BYTES`` once when the limit is passed, after which the tree is killed; and ``stopped`` when a
``stop`` is done, after which nothing of the tree lives. When its input ends, be it that the parent closed it or that
the parent was killed, it kills what is left of the tree and removes the folder.
"""

import os
import select
import shutil
import signal
import sys
import time

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_IDLE_SECONDS = 1.0
_TELL_SECONDS = 0.1
_TELL_FRACTION = 0.01
_FORKED_NOT_EXECUTED = 0x40  # PF_FORKNOEXEC in Linux's sched.h, seen in /proc/PID/stat
_FORKED_SECONDS = 0.05


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

    def rss_bytes(self, pid: int) -> int:
        """Resident size, 0 for one that is gone.

        A child shares its parent's pages until it executes a program of its own; counting them twice would
        show every start of a compiler as a peak. Of such a child only what is its own counts.
        """
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:
                size = int(file.read().split()[1]) * _PAGE_BYTES
            if pid in self._executed:
                return size
            with open(f"/proc/{pid}/stat", "rb") as file:
                flags = int(file.read().rpartition(b")")[2].split()[6])
        except (OSError, IndexError):
            return 0
        if not flags & _FORKED_NOT_EXECUTED:
            self._executed.add(pid)
            return size
        return self._own_bytes(pid)

    def _own_bytes(self, pid: int) -> int:
        """Private pages of a forked child: dear to ask for, so not at once and not at every look."""
        now = time.monotonic()
        asked, size = self._forked.setdefault(pid, (now, 0))
        if now - asked < _FORKED_SECONDS:
            return size
        try:
            with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
                size = sum(int(line.split()[1]) for line in file if line.startswith(b"Private_")) * 1024
        except OSError:
            size = 0
        self._forked[pid] = (now, size)
        return size

    def is_alive(self, pid: int) -> bool:
        """Whether a process still runs: neither gone nor a zombie."""
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
        except OSError:
            return False

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

    def rss_bytes(self, pid: int) -> int:
        """Resident size, 0 for one that is gone."""
        try:
            return int(self._psutil.Process(pid).memory_info().rss)
        except self._psutil.Error:
            return 0

    def is_alive(self, pid: int) -> bool:
        """Whether a process still runs: neither gone nor a zombie."""
        try:
            return bool(self._psutil.Process(pid).status() != self._psutil.STATUS_ZOMBIE)
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
    for _ in range(50):
        members = {*(tree.marked(mark) if mark else ()), *(tree.members(root) if root else ())} - spared
        alive = [pid for pid in members if tree.is_alive(pid)]
        if not alive:
            return
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


class Watcher:
    """Watches one tree at a time, as its input says."""

    def __init__(self, tree: "ProcTree | PsutilTree", interval_seconds: float, starter: int) -> None:
        self._tree, self._interval = tree, interval_seconds
        self._own, self._parent = frozenset({os.getpid(), starter}), os.getppid()
        self._root: int | None = None
        self._mark = ""
        self._limit_bytes = 0
        self._told_at = self._told_total = 0.0

    def run(self) -> None:
        """Follow the input until it ends."""
        rest = b""
        while True:
            pause = self._interval if self._root is not None else _IDLE_SECONDS
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
        else:
            self.clean_up()
            _say("stopped")

    def _look(self) -> None:
        # Of all that is below this process: a daemon's parents are gone, and the starter has adopted it.
        others = [pid for pid in self._tree.members(os.getpid()) if pid not in self._own and pid != self._root]
        sizes = [self._tree.rss_bytes(pid) for pid in (self._root or 0, *others)]
        total, now = sum(sizes), time.monotonic()
        changed = abs(total - self._told_total) > _TELL_FRACTION * self._told_total
        if changed or now - self._told_at >= _TELL_SECONDS:
            _say(f"{now:.6f} {total} {total - sizes[0]} {sum(1 for size in sizes if size)}")
            self._told_at, self._told_total = now, total
        if self._limit_bytes and total > self._limit_bytes:
            _say(f"limit {now:.6f} {total}")
            kill_all(self._tree, os.getpid(), self._mark, self._own)
            self._limit_bytes = 0


def make_tree() -> "ProcTree | PsutilTree":
    """Return the cheapest way to look at processes here."""
    return ProcTree() if os.path.isdir("/proc/self/task") else PsutilTree()


def _say(line: str) -> None:
    # Unbuffered: what a dead parent did not take must not come up again, as an error, when this process ends.
    os.write(1, f"{line}\n".encode())


def main() -> None:
    """Watch until the input ends, then clean up."""
    folder, interval_seconds, far, group = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    sys.path.insert(0, os.path.dirname(__file__))
    from starter import fork_starter  # type: ignore[import-not-found]  # a script is in no package

    tree = make_tree()
    starter = fork_starter(far, group, folder, lambda root, mark: kill_all(tree, root, mark, frozenset({root})))
    watcher = Watcher(tree, interval_seconds, starter)
    try:
        watcher.run()
    except BrokenPipeError:
        pass  # the parent is gone; cleaning up is what is left to do
    finally:
        watcher.clean_up()
        shutil.rmtree(folder, ignore_errors=True)
        kill_all(tree, starter, "")
        os.waitpid(starter, 0)


if __name__ == "__main__":
    main()
