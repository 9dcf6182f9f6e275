"""What tests share: a clock that stands still, hand-made records, and a look at processes."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from firstgrad.case import BackendName, Case, ExternalModel
from firstgrad.measure.events import Task
from firstgrad.record import Environment, HostFingerprint, Record, Status

if TYPE_CHECKING:
    from collections.abc import Callable

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through Linux's /proc")

MIB = 2**20

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


def make_environment(**fields) -> Environment:
    """An environment of a quiet machine."""
    host = HostFingerprint(processor="a processor", cores=4, memory_bytes=2**33, operating_system="Linux")
    known = {
        "python": "3.13.0",
        "versions": (),
        "flags": "",
        "compiler": "",
        "threads": 1,
        "host": host,
        "load_before": 0.0,
    }
    return Environment(**known | fields)


def make_case(reference: str = "some/file.py:build", **fields) -> Case:
    """A case of a user's model on the fake backend."""
    known = {"model": ExternalModel(reference=reference), "backend": BackendName.FAKE, "evaluations": 3}
    return Case(**known | fields)


def make_record(**fields) -> Record:
    """A record of a case that ended well."""
    known = {
        "record_id": "r1",
        "started_at": "2025-01-01T00:00:00.000+00:00",
        "case": make_case(),
        "status": Status.OK,
        "environment": make_environment(),
    }
    return Record(**known | fields)


def make_task(**fields) -> Task:
    """A task for a worker that is never started."""
    known = {
        "case": make_case(),
        "record_id": "r1",
        "started_at": "2025-01-01T00:00:00.000+00:00",
        "environment": make_environment(),
        "cache_folder": "/nowhere",
    }
    return Task(**known | fields)


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
