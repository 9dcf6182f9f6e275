"""Starts workers below the watcher, so that nothing of a worker's tree gets away: both ends of one socket.

The tree of processes is ``parent, watcher, starter, worker``. The starter is forked from the watcher, and stays in the
parent's process group, which the watcher has left: a terminal's Ctrl-Z stops the worker, and who kills the group does
not kill the one that cleans up. Linux gives orphans to the nearest ancestor that asked for them: a daemon of a model
stays below starter and watcher, whatever session and environment it gave itself. Each of the two misses the other, and
kills what is left; a worker ends with its starter.

Standard library only: the watcher, a script, imports this as well.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False  # importing `typing` would take as long as all the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

PIPES = (3, 4)
"""Numbers of a worker's first and second pipe."""
_ANSWER_SECONDS = 30.0
_HEADER_BYTES = 8
_FIRST_FREE = PIPES[-1] + 1
_OF_GROUPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # a starter doesn't heed them: it ends with its parent
_SET_DEATH_SIGNAL, _SET_SUBREAPER = 1, 36  # of Linux's prctl
_FIXED_ADDRESSES = 0x0040000  # ADDR_NO_RANDOMIZE of Linux's personality


class StarterGoneError(Exception):
    """The starter was killed, or doesn't answer."""


class StartedWorker:
    """A worker as its parent sees it: as much of `subprocess.Popen` as is needed."""

    def __init__(self, pid: int, hear: Callable[[float], str]) -> None:
        self.pid = pid
        self.return_code: int | None = None
        self._hear = hear

    def poll(self) -> int | None:
        """Return its return code as soon as it has ended."""
        with suppress(TimeoutError):
            return self.wait(0.0)
        return None

    def wait(self, timeout: float = _ANSWER_SECONDS) -> int:
        """Wait for its end; raise TimeoutError where it goes on."""
        if self.return_code is None:
            try:
                self.return_code = int(self._hear(timeout).removeprefix("ended "))
            except EOFError:
                self.return_code = -signal.SIGKILL  # what it gets when its starter is gone
        return self.return_code


class Starter:
    """The parent's end of the socket."""

    def __init__(self) -> None:
        self._near, self.far = socket.socketpair()
        self._heard = b""

    def close(self) -> None:
        """End the starter."""
        self._near.close()
        self.far.close()

    def start(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        *,
        folder: Path | None,
        mark: str,
        files: Sequence[int],
    ) -> StartedWorker:
        """Start a worker.

        Parameters
        ----------
        command : sequence of str
            Program and arguments.
        variables : mapping of str to str
            Its environment.
        folder : Path, optional
            Where it runs; here if left out.
        mark : str
            A variable, ``NAME=VALUE``, that only its tree has.
        files : sequence of int
            What it prints to, and its two pipes, which get the numbers of `PIPES`.

        Raises
        ------
        OSError
            Where there is no such program or folder.
        StarterGoneError
            Where nobody is there who could.
        """
        words = [mark, str(folder or os.getcwd()), str(len(command)), *command]
        body = b"\0".join(map(os.fsencode, [*words, *(f"{name}={value}" for name, value in variables.items())]))
        self._near.settimeout(_ANSWER_SECONDS)
        try:
            socket.send_fds(self._near, [len(body).to_bytes(_HEADER_BYTES)], list(files))
            self._near.sendall(body)
            answer = "ended"
            while answer == "ended":  # an earlier one, for which nobody waited any more
                answer, _, number = self._hear(_ANSWER_SECONDS).partition(" ")
        except (OSError, EOFError) as error:
            self._near.close()  # or it might answer after all, and a later question would take that for its answer
            raise StarterGoneError from error
        if answer != "started":
            raise OSError(int(number), os.strerror(int(number)), command[0])
        return StartedWorker(int(number), self._hear)

    def _hear(self, timeout: float) -> str:
        """Hear a line; raise TimeoutError where none comes, EOFError where none will."""
        until = time.monotonic() + timeout
        while b"\n" not in self._heard:
            left = max(0.0, until - time.monotonic())
            poll = select.poll()
            poll.register(self._near, select.POLLIN)
            if not poll.poll(left * 1000):
                raise TimeoutError
            data = b""
            with suppress(ConnectionError):
                data = self._near.recv(4096)
            if not data:
                raise EOFError
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()


# --- the other end ------------------------------------------------------------------------------------------------


def remove_folder(folder: str | Path, opened: int | None = None) -> None:
    """Remove a private folder, whatever a model did to it; `opened` is a descriptor of it, wherever it is now."""
    import shutil  # takes long, for a watcher that is only to start

    places = [str(folder)]
    with suppress(OSError, TypeError):  # not on Linux, say, or not open
        place = os.readlink(f"/proc/self/fd/{opened}")
        if os.path.samestat(os.stat(opened), os.lstat(place)):  # type: ignore[arg-type]  # raises as said
            places.append(place)
    for place in places:
        with suppress(OSError):  # a folder, as it should be; else a link, and what it leads to is another's
            os.unlink(place)
        shutil.rmtree(place, ignore_errors=True)
        with suppress(OSError):  # gone, as it should be
            os.chmod(place, 0o700)
            for inner, folders, _ in os.walk(place):  # some take away the right to look into a folder, or to change it
                for path in (os.path.join(inner, name) for name in folders):
                    if not os.path.islink(path):
                        os.chmod(path, 0o700)
        shutil.rmtree(place, ignore_errors=True)


def fork_starter(far: int, group: int, kill: Callable[[int, str], None], remove: Callable[[], None]) -> int:
    """Fork the starter from the watcher, whose orphans it shares; return its number.

    Parameters
    ----------
    far : int
        Its end of the socket.
    group : int
        The parent's process group.
    kill : callable
        Kills what is below a process, and what carries a mark.
    remove : callable
        Removes the private folder, when the parent is gone.
    """
    _prctl(_SET_SUBREAPER, 1)
    ignored = frozenset(number for number in _OF_GROUPS if signal.getsignal(number) is signal.SIG_IGN)
    for number in _OF_GROUPS:
        signal.signal(number, signal.SIG_IGN)
    watched, watcher = os.pipe()
    watcher_pid, pid = os.getpid(), os.fork()
    if pid:
        os.close(watched)
        os.close(far)
        return pid
    try:
        os.close(watcher)
        with suppress(OSError):  # the parent and its group are gone already
            os.setpgid(0, group)
        _prctl(_SET_SUBREAPER, 1)
        null = os.open(os.devnull, os.O_RDWR)
        for file in (0, 1):  # the watcher's
            os.dup2(null, file)
        _Serving(far, watched, kill, ignored).run()
    finally:
        remove()
        if os.getppid() == watcher_pid:  # all is done; it may be stopped, and would stay
            os.kill(watcher_pid, signal.SIGKILL)
        os._exit(0)


class _Serving:
    """Starts workers one after the other, and tells of their ends, until the parent is gone."""

    def __init__(self, far: int, watcher: int, kill: Callable[[int, str], None], ignored: frozenset[int]) -> None:
        self._parent, self._watcher, self._kill = socket.socket(fileno=far), watcher, kill
        self._ignored = ignored
        self._worker, self._mark = 0, ""

    def run(self) -> None:
        """Serve."""
        bell, ringer = os.pipe()
        for file in (bell, ringer):
            os.set_blocking(file, False)
        signal.set_wakeup_fd(ringer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        for file in (self._parent.fileno(), self._watcher, bell):
            poll.register(file, select.POLLIN)
        try:
            while True:
                ready = {file for file, _ in poll.poll()}
                if bell in ready:
                    os.read(bell, 4096)
                    self._reap()
                if self._watcher in ready:
                    poll.unregister(self._watcher)
                    self._kill(os.getpid(), self._mark)
                if self._parent.fileno() in ready:
                    self._say(self._serve())
        except (EOFError, ConnectionError):  # the parent is gone
            self._kill(os.getpid(), self._mark)

    def _reap(self) -> None:
        """Bury children, one's own and orphans."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._worker:
                    self._worker = 0
                    self._say(f"ended {os.waitstatus_to_exitcode(ended[1])}")

    def _say(self, line: str) -> None:
        self._parent.sendall(f"{line}\n".encode())

    def _serve(self) -> str:
        """Start what is asked for; return the answer."""
        header, files, _, _ = socket.recv_fds(self._parent, _HEADER_BYTES, 1 + len(PIPES))
        for file in files:
            os.set_inheritable(file, False)
        mark, folder, count, *words = self._receive(int.from_bytes(header)).split(b"\0")
        number = int(count)
        try:
            failure, failing = os.pipe()
            starter, worker = os.getpid(), os.fork()
        except OSError as error:
            return f"failed {error.errno}"
        if not worker:
            variables = dict(word.split(b"=", 1) for word in words[number:])
            self._become(words[:number], variables, folder, files, failing, starter)
        for file in (failing, *files):
            os.close(file)
        error_number = os.read(failure, 16).decode()  # '' where the new program closed it
        os.close(failure)
        if error_number:
            return f"failed {error_number}"
        self._worker, self._mark = worker, mark.decode()
        return f"started {worker}"

    def _receive(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            data += (part := self._parent.recv(size - len(data)))
            if not part:
                break
        if not data:
            raise EOFError
        return bytes(data)

    def _become(
        self,
        command: list[bytes],
        variables: dict[bytes, bytes],
        folder: bytes,
        files: list[int],
        failing: int,
        starter: int,
    ) -> None:
        """Become the worker, in the forked child."""
        try:
            signal.set_wakeup_fd(-1)
            _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
            _fix_addresses()
            if os.getppid() != starter:  # it was killed before that was asked for
                return
            for number in (*_OF_GROUPS, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_IGN if number in self._ignored else signal.SIG_DFL)
            os.chdir(folder)
            # First out of the way of each other's numbers.
            null = os.open(os.devnull, os.O_RDONLY)
            given = [null, files[0], *files]
            moved = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) for file in (failing, *given)]
            failing = moved[0]
            for target, file in enumerate(moved[1:]):
                os.dup2(file, target)
            os.execvpe(command[0], command, variables)  # noqa: S606 - without a shell, as it should be
        except OSError as error:
            os.write(failing, f"{error.errno}".encode())
        finally:
            os._exit(127)


def _fix_addresses() -> None:
    """Have what is executed next at the same addresses each time: Python's objects hash by theirs, and so calls repeat.

    A container may forbid it; then counts of calls differ by some hundredths of a percent.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).personality(_FIXED_ADDRESSES)


def _prctl(option: int, value: int) -> None:
    """Ask Linux for something about this process; other systems haven't it."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
