"""Another Python than this process's: asked once what it has, then any number of workers are started with it.

Where its own firstgrad measures, one task goes there and back first, to see whether the two understand each other.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from firstgrad.case import BackendName, Case
from firstgrad.codec import DecodeError, from_json, to_json
from firstgrad.errors import PythonEnvironmentError, SpecError
from firstgrad.measuring.environment import (
    Package,
    ask_python,
    describe_environment,
    git_commit,
    source_folder,
    with_own,
    with_sampler,
)
from firstgrad.measuring.events import Task
from firstgrad.model import POSE, make_model
from firstgrad.record import Environment, Record, Status

WORKER_NEEDS = ("cattrs", "numpy", "psutil")
"""Packages without which no worker starts, whatever it measures."""

_OWN = "firstgrad"
_OLDEST = (3, 12)
_LONGEST_ANSWER_SECONDS = 60
_LINES_SHOWN = 8
_ANSWER = """
import sys
from firstgrad.codec import from_json, to_json
from firstgrad.measuring.events import Task
from firstgrad.record import Environment, Record, Status
task = from_json(sys.stdin.read(), Task)
print(to_json(Record(record_id=task.record_id, started_at=task.started_at, case=task.case, status=Status.OK,
                     environment=task.environment)))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """Which Python measures, and where."""

    python: Path
    """Its executable; not resolved, since that of a virtual environment is a link."""
    version: str
    packages: tuple[Package, ...]
    """That its workers import."""
    folder: Path | None = None
    """In which workers run: references to a model's file are seen from there. None: where this process runs."""
    has_own_firstgrad: bool = False
    """Whether the firstgrad that is installed there measures, and not this process's: it is what is measured."""
    front: Path | None = None
    """A folder with a package's sources, which stand in front of whatever is installed; none for none."""
    commit: str = ""
    """Of these sources."""

    @property
    def git_commit(self) -> str:
        """Commit of what is in front, or of the repository that its folder is in; '' outside of one."""
        return self.commit or git_commit(self.folder or Path.cwd())

    def describe(self, *, threads: int = 1, label: str = "", sampler: str = "") -> Environment:
        """Describe this machine, and the packages of this Python; of samplers the one that draws."""
        here = describe_environment(threads=threads, label=label, packages=with_sampler(self.packages, sampler))
        return replace(here, python=self.version, git_commit=self.git_commit)

    def variables(self, private: Path, inherited: dict[str, str]) -> dict[str, str]:
        """Write a worker's environment: with this process's firstgrad in front of whatever is installed there.

        What is put in front holds firstgrad alone: the folder that firstgrad is in may be this environment's
        ``site-packages``, and its other packages would go in front with it. It lies in the private folder.
        """
        if self.has_own_firstgrad:
            return inherited
        front = private / "path"
        if os.pathsep in str(front):
            raise SpecError(
                "TMPDIR", f"{private.parent} has a {os.pathsep!r}, which no folder on Python's path can have"
            )
        front.mkdir(exist_ok=True)
        link = front / _OWN
        if not link.is_symlink():
            link.symlink_to(source_folder(), target_is_directory=True)
        places = (str(front), str(self.front or ""), inherited.get("PYTHONPATH", ""))
        return inherited | {"PYTHONPATH": os.pathsep.join(filter(None, places))}


def ask_interpreter(
    python: Path,
    *,
    folder: Path | None = None,
    has_own_firstgrad: bool = False,
    front: Path | None = None,
    commit: str = "",
) -> Interpreter:
    """Ask a Python for its version and its packages, and whether a worker can run with it.

    Parameters
    ----------
    python : Path
        An executable, or the folder of a virtual environment.
    folder, has_own_firstgrad, front, commit
        As in `Interpreter`.

    Raises
    ------
    PythonEnvironmentError
        Where it doesn't run, is too old, or lacks what a worker needs; with the next step.
    """
    executable = python / "bin" / "python" if python.is_dir() else python
    needs = (*WORKER_NEEDS, _OWN) if has_own_firstgrad else WORKER_NEEDS
    try:
        facts = ask_python(
            executable, folder=folder, needs=needs, source=str(source_folder()), oldest=_OLDEST, front=front
        )
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise PythonEnvironmentError(
            f"{executable} does not run as a Python ({_why(error)}). Name the folder of a virtual environment or its "
            "bin/python"
        ) from error
    if facts.is_old:
        oldest = ".".join(map(str, _OLDEST))
        raise PythonEnvironmentError(
            f"{executable} is Python {facts.version}, and a worker needs {oldest} or newer. Make the environment "
            f"anew with python{oldest}"
        )
    if facts.missing:
        missing = " ".join(facts.missing)
        raise PythonEnvironmentError(
            f"{executable} lacks {', '.join(facts.missing)}, which a worker needs. Install it: {executable} -m pip "
            f"install {missing} (or: uv pip install --python {executable} {missing})"
        )
    return Interpreter(
        python=executable,
        version=facts.version,
        packages=facts.packages if has_own_firstgrad else with_own(facts.packages),
        folder=folder,
        has_own_firstgrad=has_own_firstgrad,
        front=front,
        commit=commit,
    )


def require_same_protocol(interpreter: Interpreter) -> None:
    """Send a task to the firstgrad that is installed there, and read the record that it makes of it.

    Raises
    ------
    PythonEnvironmentError
        Where one doesn't understand the other.
    """
    task = Task(
        case=Case(model=make_model(POSE), backend=BackendName.FAKE),
        record_id="protocol",
        started_at="",
        environment=interpreter.describe(),
        cache_folder="",
    )
    try:
        done = subprocess.run(
            [str(interpreter.python), "-P", "-c", _ANSWER],
            input=to_json(task),
            capture_output=True,
            errors="replace",
            check=False,
            timeout=_LONGEST_ANSWER_SECONDS,
        )
        answer = from_json(done.stdout, Record)
    except (OSError, subprocess.TimeoutExpired, DecodeError) as error:
        said = done.stderr.strip().rpartition("\n")[2] if isinstance(error, DecodeError) else str(error)
        raise PythonEnvironmentError(
            f"the firstgrad in {interpreter.python} speaks another protocol than this one ({said or error}). Measure "
            "that commit with its own: check it out, firstgrad measure --json, and bring the records together with "
            "firstgrad import"
        ) from error
    if answer.case != task.case or answer.status is not Status.OK:
        raise PythonEnvironmentError(
            f"the firstgrad in {interpreter.python} answers another question than it was asked"
        )


def _why(error: Exception) -> str:
    if not isinstance(error, subprocess.CalledProcessError):
        return "no answer in time" if isinstance(error, subprocess.TimeoutExpired) else str(error)
    said = " / ".join(str(error.stderr).strip().splitlines()[-_LINES_SHOWN:])
    return f"it ended with {error.returncode}" + (f": {said}" if said else "")
