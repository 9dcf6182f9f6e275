"""A private folder for the caches of some samples, with a guard that outlives a killed parent."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from firstgrad.measure import caches

if TYPE_CHECKING:
    from typing import IO

WATCH_INTERVAL_SECONDS = 0.01


class PrivateCaches:
    """A private folder and its watcher process.

    The watcher measures the memory of one worker's process tree at a time, and removes the folder when this
    object is closed or this process is gone.
    """

    def __init__(self) -> None:
        self.folder = caches.make_private_folder()
        self._is_filled = False
        script = Path(__file__).with_name("watcher.py")
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", str(script), str(self.folder), str(WATCH_INTERVAL_SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            # A session of its own: who kills this process's group must not kill the one that cleans up.
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill what is left of a worker and remove the folder."""
        for pipe in (self._watcher.stdin, self._watcher.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._watcher.wait()
        shutil.rmtree(self.folder, ignore_errors=True)  # where the watcher itself was killed

    @property
    def output(self) -> IO[bytes]:
        """Where the watcher's lines come from."""
        if self._watcher.stdout is None:  # pragma: no cover - it was asked for above
            raise RuntimeError("the watcher has no output")
        return self._watcher.stdout

    def watch(self, pid: int, mark: str, limit_bytes: int | None) -> None:
        """Begin to watch a worker; `mark` is an environment variable that only its tree has."""
        self._tell(f"watch {pid} {mark} {limit_bytes or 0}")

    def stop(self) -> None:
        """Kill what is left of the worker's tree; the watcher's ``stopped`` says when that is done."""
        self._tell("stop")

    def save(self) -> None:
        """Keep the caches as they are now; every `restore` brings them back."""
        caches.save_caches(self.folder)
        self._is_filled = True

    def keep(self, folder: Path) -> None:
        """Copy the caches as they are now to a folder that outlives this object: whole, once, or not at all."""
        if folder.exists():
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".filling-") as half:
            whole = Path(half) / "caches"
            shutil.copytree(self.folder / caches.CACHES, whole, symlinks=True)
            with suppress(OSError):  # another process was faster: its caches are as good
                whole.rename(folder)

    def load_from(self, folder: Path) -> None:
        """Take what `keep` left there for what was saved."""
        shutil.copytree(folder, self.folder / caches.FILLED, symlinks=True)
        self._is_filled = True

    def restore(self) -> None:
        """Bring back what was saved, or nothing."""
        if self._is_filled:
            caches.restore_caches(self.folder)
        else:
            caches.empty_caches(self.folder)

    def _tell(self, line: str) -> None:
        if self._watcher.stdin is not None:
            with suppress(BrokenPipeError):
                self._watcher.stdin.write(f"{line}\n".encode())
