"""What tests share: a clock that stands still, a user's model file, and a look at processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builders import MIB, make_case, make_environment, make_record, make_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["MIB", "make_case", "make_environment", "make_record", "make_task"]  # until all are taken from `builders`

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through Linux's /proc")

ALL_SEEDS = bool(os.environ.get("FIRSTGRAD_ALL_SEEDS"))


def seeds(full: int) -> int:
    """How often a planted answer is drawn: a quarter of `full`, all of it where FIRSTGRAD_ALL_SEEDS is set (in CI)."""
    return full if ALL_SEEDS else full // 4


COVERAGE = "coverage" if ALL_SEEDS else "coverage-of-few"
"""The golden file of numbers that depend on `seeds`."""

MODEL_FILE = """
import os, signal, subprocess, sys, time
from pathlib import Path

class Model:
    free_RVs = ("x",)
    def compile_fn(self):
        "The fake backend asks for no more than that it is there."

def build({parameters}):
{body}
"""


class FakeClock:
    """A clock that goes on only when it is told to."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += seconds


def write_model(folder: Path, body: str, *, parameters: str = "", name: str = "user_model") -> str:
    """Write a user's file whose factory does what `body` says; returns the reference to it."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    path = folder / f"{name}.py"
    path.write_text(MODEL_FILE.format(body=lines, parameters=parameters))
    return f"{path}:build"


def wait_for[T](look: Callable[[], T], *, seconds: float = 10.0, what: str = "what was waited for") -> T:
    """Look again and again until something true is seen; fail after a while."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not happen within {seconds} s")
        time.sleep(0.01)
    return seen


def is_alive(pid: int) -> bool:
    """Whether a process runs: neither gone nor a zombie that nobody has waited for."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


def numbers_in(path: Path) -> list[int]:
    """Process numbers that were written to a file, a line each; only whole lines."""
    return [int(number) for number in re.findall(r"^(\d+)\n", path.read_text(), re.MULTILINE)] if path.exists() else []


class SmallDisk(type(Path())):
    """The root of a file system that can be filled."""

    def fill(self) -> None:
        """Fill it to the last byte."""
        with suppress(OSError), (self / "fill").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(512))

    def free(self) -> None:
        """Remove what filled it."""
        (self / "fill").unlink()


@contextmanager
def small_disk(folder: Path, *, kib: int) -> Iterator[SmallDisk]:
    """A real file system of this size at a new folder, while the block runs; skips where none may be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mount, check=False, timeout=30).returncode != 0:
        pytest.skip("a small file system can't be mounted here")
    try:
        yield SmallDisk(folder)
    finally:
        # Lazily: whatever still has a file open there must not keep it mounted for ever
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=30)
