"""Another Python than this process's: asked once what it has, then any number of workers are started with it."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from firstgrad.errors import PythonEnvironmentError
from firstgrad.measure.environment import PACKAGES, git_commit, installed_version

WORKER_NEEDS = ("cattrs", "numpy", "psutil")
"""Packages without which no worker starts, whatever it measures."""

_OWN = "firstgrad"
_OLDEST = (3, 12)
_LONGEST_SECONDS = 120
_LINES_SHOWN = 8
_ASK = """
import compileall, json, platform, sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
asked = json.loads(sys.argv[1])
def found(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
is_old = sys.version_info[:2] < tuple(asked["oldest"])
print(json.dumps({
    "version": platform.python_version(),
    "is_old": is_old,
    "versions": {name: found(name) for name in asked["packages"]},
    "missing": [name for name in asked["needs"] if find_spec(name) is None],
}))
sys.stdout.flush()
# Another version of Python than the one that installed firstgrad has no bytecode of it yet.
if not is_old:
    compileall.compile_dir(asked["source"], quiet=2)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """Which Python measures, and where.

    Attributes
    ----------
    python : Path
        Its executable; not resolved, since that of a virtual environment is a link.
    version : str
        Of Python.
    versions : tuple of (str, str)
        As in `firstgrad.record.Environment`.
    folder : Path, optional
        In which workers run: references to a model's file are seen from there. None: where this process runs.
    has_own_firstgrad : bool
        Whether the firstgrad that is installed there measures, and not this process's: it is what is measured.
    """

    python: Path
    version: str
    versions: tuple[tuple[str, str], ...]
    folder: Path | None = None
    has_own_firstgrad: bool = False

    @property
    def git_commit(self) -> str:
        """Commit of the repository that its folder is in; '' outside of one."""
        return git_commit(self.folder or Path.cwd())

    def in_folder(self, folder: Path) -> Interpreter:
        """Return the same Python, running in another folder."""
        return replace(self, folder=folder)

    def variables(self, private: Path, inherited: dict[str, str]) -> dict[str, str]:
        """Write a worker's environment: with this process's firstgrad in front of whatever is installed there.

        What is put in front holds firstgrad alone: the folder that firstgrad is in may be this environment's
        ``site-packages``, and its other packages would go in front with it.

        Parameters
        ----------
        private : Path
            The worker's private folder.
        inherited : dict of str to str
            The environment so far.
        """
        if self.has_own_firstgrad:
            return inherited
        front = private / "path"
        front.mkdir(exist_ok=True)
        link = front / _OWN
        if not link.is_symlink():
            link.symlink_to(source_folder(), target_is_directory=True)
        behind = inherited.get("PYTHONPATH")
        return inherited | {"PYTHONPATH": f"{front}{os.pathsep}{behind}" if behind else str(front)}


def ask_interpreter(python: Path, *, folder: Path | None = None, has_own_firstgrad: bool = False) -> Interpreter:
    """Ask a Python for its version and its packages, and whether a worker can run with it.

    Parameters
    ----------
    python : Path
        An executable, or the folder of a virtual environment.
    folder : Path, optional
        As in `Interpreter`.
    has_own_firstgrad : bool
        As in `Interpreter`.

    Raises
    ------
    PythonEnvironmentError
        Where it doesn't run, is too old, or lacks what a worker needs; with the next step.
    """
    executable = python / "bin" / "python" if python.is_dir() else python
    asked = {
        "packages": PACKAGES,
        "needs": (*WORKER_NEEDS, _OWN) if has_own_firstgrad else WORKER_NEEDS,
        "oldest": _OLDEST,
        "source": str(source_folder()),
    }
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [str(executable), "-c", _ASK, json.dumps(asked)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_LONGEST_SECONDS, check=True, cwd=folder, env=variables
        )
        told = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise PythonEnvironmentError(
            f"{executable} does not run as a Python ({_why(error)}). Name the folder of a virtual environment or its "
            "bin/python"
        ) from error
    if told["is_old"]:
        oldest = ".".join(map(str, _OLDEST))
        raise PythonEnvironmentError(
            f"{executable} is Python {told['version']}, and a worker needs {oldest} or newer. Make the environment "
            f"anew with python{oldest}"
        )
    if told["missing"]:
        missing = " ".join(told["missing"])
        raise PythonEnvironmentError(
            f"{executable} lacks {', '.join(told['missing'])}, which a worker needs. Install it: {executable} -m pip "
            f"install {missing} (or: uv pip install --python {executable} {missing})"
        )
    versions: dict[str, str] = told["versions"]
    if not has_own_firstgrad:
        versions[_OWN] = installed_version(_OWN)
    return Interpreter(
        python=executable,
        version=told["version"],
        versions=tuple((name, versions[name]) for name in PACKAGES if versions[name]),
        folder=folder,
        has_own_firstgrad=has_own_firstgrad,
    )


def source_folder() -> Path:
    """Find the folder of this process's firstgrad package."""
    return Path(__file__).resolve().parents[1]


def _why(error: Exception) -> str:
    if not isinstance(error, subprocess.CalledProcessError):
        return "no answer in time" if isinstance(error, subprocess.TimeoutExpired) else str(error)
    said = " / ".join(str(error.stderr).strip().splitlines()[-_LINES_SHOWN:])
    return f"it ended with {error.returncode}" + (f": {said}" if said else "")
