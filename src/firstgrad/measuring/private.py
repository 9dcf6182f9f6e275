"""Private caches of some samples: nothing is read from or left in the user's own, whoever is killed."""

from __future__ import annotations

import errno
import os
import platform
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from firstgrad.backends import all_facts
from firstgrad.errors import FirstgradError, SpecError
from firstgrad.measuring.starter import Starter, remove_folder
from firstgrad.measuring.watcher import kill_all, make_tree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

PREFIX = "firstgrad-"
WATCH_INTERVAL_SECONDS = 0.01
CLOSE_SECONDS = 30.0
_TRIES = 3
_OWNER, _CACHES, _FILLED, _PRINTED = "owner", "caches", "filled", "printed"
_LONGEST_OWNER = 1024
OWN_FLAGS = ("base_compiledir", "compiledir")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class PrivateCaches:
    """A private folder with every backend's cache, and its watcher process.

    The watcher measures the memory of one worker's process tree at a time, and removes the folder when this
    object is closed or this process is gone.
    """

    def __init__(self) -> None:
        for left in reversed(range(_TRIES)):
            try:
                self.folder = make_private_folder()
                self.printed, self.starter, self._watcher = self._start_watcher()
                break
            except FileNotFoundError as error:
                base = tempfile.gettempdir()
                if not str(error.filename).startswith(base):
                    raise
                if not left:
                    raise FirstgradError(
                        f"{error.filename}: somebody removes what firstgrad makes in {base}, or all of it. Stop that, "
                        "or set TMPDIR to a folder that stays"
                    ) from error
        self.caches = self.folder / _CACHES
        self._filled = self.folder / _FILLED  # the state from which each warm sample starts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill what is left of a worker and remove the folder."""
        self._hang_up()
        self.printed.close()
        try:
            self._watcher.wait(timeout=CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill_watcher()
        self.starter.close()
        if self._watcher.returncode != 0:
            _end_printers(self.folder)
        remove_folder(self.folder)  # where the watcher itself was killed

    def kill_watcher(self) -> None:
        """End a watcher that doesn't answer, and all that is below it."""
        if self._watcher.poll() is None:
            kill_all(make_tree(), self._watcher.pid, "")
            with suppress(subprocess.TimeoutExpired):  # killed, and yet there: it waits for a disk
                self._watcher.wait(timeout=1.0)

    @property
    def output(self) -> IO[bytes]:
        """Where the watcher's lines come from."""
        if self._watcher.stdout is None:  # pragma: no cover - it was asked for above
            raise RuntimeError("the watcher has no output")
        return self._watcher.stdout

    def _start_watcher(self) -> tuple[IO[bytes], Starter, subprocess.Popen[bytes]]:
        """Start the watcher with what a worker's tree is to print to, and the other end of a starter."""
        with ExitStack() as undoing:
            undoing.callback(remove_folder, self.folder)
            path = self.folder / _PRINTED
            printed = undoing.enter_context(path.open("a+b", buffering=0))
            path.unlink()  # without a name, so that nobody can take it away
            starter = undoing.enter_context(closing(Starter()))
            script, far = Path(__file__).with_name("watcher.py"), starter.far.fileno()
            words = map(str, (script, self.folder, WATCH_INTERVAL_SECONDS, printed.fileno(), far, os.getpgrp()))
            watcher = subprocess.Popen(
                # Where there is no /proc it needs psutil, which is no part of the standard library.
                [sys.executable, "-IS" if Path("/proc/self/task").is_dir() else "-I", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                pass_fds=[printed.fileno(), far],
                # A group of its own: who kills this process's group must not kill the one that cleans up.
                process_group=0,
            )
            undoing.pop_all()
        starter.far.close()
        return printed, starter, watcher

    def watch(self, pid: int, mark: str, limit_bytes: int | None) -> None:
        """Begin to watch a worker; `mark` is an environment variable that only its tree has."""
        self._tell(f"watch {pid} {mark} {limit_bytes or 0}")

    def stop(self) -> None:
        """Kill what is left of the worker's tree; the watcher's ``stopped`` says when that is done."""
        self._tell("stop")

    def save(self) -> None:
        """Set the caches aside as they are now; every `restore` brings them back."""
        self.caches.rename(self._filled)

    def keep(self, folder: Path, *, was_saved: bool) -> None:
        """Move what was saved, or else the caches as they are, to a folder that outlives this object.

        Whole, once, or not at all; nothing is measured with this object after that.
        """
        filled = self._filled if was_saved else self.caches
        if folder.exists() or not filled.is_dir():
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".filling-") as half:
            whole = Path(half) / "caches"
            shutil.move(filled, whole)  # on one disk it needs no room
            with suppress(OSError):  # another process was faster: its caches are as good
                whole.rename(folder)

    def load_from(self, folder: Path) -> None:
        """Take what `keep` left there for what was saved."""
        self._filled = folder

    def restore(self) -> bool:
        """Bring back what was saved, with its times (compilers look at them), or nothing; say which.

        Where there is no room for a copy, what was saved is used up.
        """
        if self.caches.exists():
            shutil.rmtree(self.caches)
        Path(_temporary(self.folder)).mkdir(parents=True, exist_ok=True)  # a model may have taken the whole folder away
        if not self._filled.is_dir():
            self.caches.mkdir()
            return False
        try:
            shutil.copytree(self._filled, self.caches, symlinks=True)
        except OSError:
            shutil.rmtree(self.caches, ignore_errors=True)
            return self._use_up()
        return True

    def _use_up(self) -> bool:
        try:
            shutil.move(self._filled, self.caches)
        except OSError as error:
            if not self._filled.is_dir():  # a sample beside this one was faster
                self.caches.mkdir()
                return False
            # Of many files it tells the trouble of each, as "[Errno 28] No space left on device: ..."
            whole = str(error.args[0][0][2]) if isinstance(error, shutil.Error) else str(error)
            why = whole.partition("] ")[2].partition(": ")[0] or whole
            raise FirstgradError(
                f"{self.caches}: a filled cache can't be copied there ({why}). Free some space, or name another folder "
                "by TMPDIR"
            ) from error
        return True

    def _hang_up(self) -> None:
        for pipe in (self._watcher.stdin, self._watcher.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _tell(self, line: str) -> None:
        if self._watcher.stdin is not None:
            with suppress(BrokenPipeError):
                self._watcher.stdin.write(f"{line}\n".encode())


def make_private_folder() -> Path:
    """Make an empty private folder that names its owner, and remove those whose owners are dead."""
    try:
        base = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise FirstgradError(
            f"{error.strerror}. Make room in one of them, or set TMPDIR to a folder on another disk"
        ) from None
    remove_abandoned(base)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base)).resolve()
    try:
        (folder / _OWNER).write_text(f"{os.getpid()} {_start_time(os.getpid())} {_place()}")
        for place in (folder / _CACHES, Path(_temporary(folder))):
            place.mkdir()
    except BaseException:
        remove_folder(folder)
        raise
    return folder


def remove_abandoned(base: Path) -> list[Path]:
    """Remove private folders whose owner was killed with all that would have cleaned up; end what still uses them."""
    removed = []
    for folder in base.glob(f"{PREFIX}*"):
        try:
            with open(folder / _OWNER, opener=open_regular) as file:
                is_own = {folder.lstat().st_uid, os.fstat(file.fileno()).st_uid} == {os.geteuid()}
                pid, started, place = file.read(_LONGEST_OWNER).split()
            is_abandoned = is_own and place == _place() and _start_time(int(pid)) != started
        except (OSError, ValueError, OverflowError):
            continue  # another's, or only just being made
        if is_abandoned:
            kill_all(make_tree(), None, f"TMPDIR={_temporary(folder.resolve())}")
            _end_printers(folder.resolve())
            remove_folder(folder)
            removed.append(folder)
    return removed


def _end_printers(folder: Path) -> None:
    """End who prints into a private folder, as a worker's tree does, whatever environment it has."""
    for output in Path("/proc").glob("[0-9]*/fd/[12]"):
        with suppress(OSError):  # gone, or another's
            if str(output.readlink()) == f"{folder / _PRINTED} (deleted)":
                kill_all(make_tree(), int(output.parts[2]), "")


def open_regular(path: str, flags: int) -> int:
    """Open what others may have put into a shared folder, as `open` with this ``opener``: a regular file, no link.

    A FIFO would be waited for, and some devices never end. Raises OSError for them.
    """
    file = os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    raise OSError(errno.EINVAL, "no regular file", path)


def worker_variables(
    folder: Path, inherited: Mapping[str, str], *, threads: int = 1, device: str = ""
) -> dict[str, str]:
    """Write the environment variables of a worker.

    Parameters
    ----------
    folder : Path
        A private folder; every backend's cache, and the temporary files of compilers, go there.
    inherited : mapping of str to str
        The parent's environment; the user's own PyTensor flags are kept, but for the cache's place.
    threads : int
        Threads of BLAS and OpenMP.
    device : str
        Platform to run on, by the backend's own name; '' for what the user's environment says.
    """
    caches = folder / _CACHES
    flags = [*user_flags(inherited), _quoted(f"base_compiledir={caches / 'pytensor'}")]
    variables = {
        "PYTENSOR_FLAGS": ",".join(flags),
        "TMPDIR": _temporary(folder),
        "PYTHONHASHSEED": "0",
        **dict.fromkeys(_THREADS, str(threads)),
    }
    defaults: dict[str, str] = {}
    for facts in all_facts():
        variables |= {name: value.format(caches=caches, threads=threads) for name, value in facts.variables.items()}
        defaults |= facts.default_variables
        variables |= {facts.platform_variable: device} if facts.platform_variable and device else {}
    return defaults | dict(inherited) | search_path(inherited) | variables


def search_path(inherited: Mapping[str, str]) -> dict[str, str]:
    """Write the user's ``PYTHONPATH`` without empty entries, which are the present folder to Python and an accident."""
    path = inherited.get("PYTHONPATH")
    return {} if path is None else {"PYTHONPATH": os.pathsep.join(filter(None, path.split(os.pathsep)))}


def _temporary(folder: Path) -> str:
    """Where a worker's tree keeps temporary files; by this variable it is known, too."""
    return str(folder / "tmp")


def user_flags(inherited: Mapping[str, str]) -> list[str]:
    """List the PyTensor flags that the user set, as PyTensor reads them, without the place of the cache."""
    reader = shlex.shlex(inherited.get("PYTENSOR_FLAGS", ""), posix=True)
    reader.whitespace, reader.whitespace_split = ",", True
    try:
        given = [flag.strip() for flag in reader]
    except ValueError as error:
        raise SpecError("PYTENSOR_FLAGS", f"PyTensor can't read it ({error}). Close the quotation") from None
    return [_quoted(flag) for flag in given if flag and flag.partition("=")[0].strip() not in OWN_FLAGS]


def _quoted(flag: str) -> str:
    """Quote a flag with letters that mean something to PyTensor, which reads flags as a shell reads words."""
    return flag if re.fullmatch(r"[^,\\'\"#\n]*", flag) else "'" + flag.replace("'", "'\"'\"'") + "'"


def _place() -> str:
    """Where process numbers mean what they mean here: containers and hosts may share a temporary folder."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        namespace = Path("-")
    return f"{platform.node()}/{namespace}"


def _start_time(pid: int) -> str:
    """Start time of a process, so that a reused number is not taken for the same process; '' if dead."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    import psutil

    try:
        return str(int(psutil.Process(pid).create_time()))
    except psutil.NoSuchProcess:
        return ""
