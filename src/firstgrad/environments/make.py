"""Makes a virtual environment in seconds: `uv` where it is there, else venv and pip, in one call."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.errors import PythonEnvironmentError

if TYPE_CHECKING:
    from collections.abc import Sequence

_LINES_SHOWN = 12


def make_environment(
    folder: Path, python: Path, wanted: Sequence[str], *, constraints: Sequence[str] = (), seed: bool = False
) -> Path:
    """Make a virtual environment with packages in it, compiled to bytecode.

    Parameters
    ----------
    folder : Path
        Where; it must not exist.
    python : Path
        The interpreter.
    wanted : sequence of str
        Requirements, or folders of projects to install.
    constraints : sequence of str
        Requirements that hold for what is installed, and install nothing themselves.
    seed : bool
        Whether pip itself is to be there afterwards.

    Returns
    -------
    Path
        The environment's interpreter.

    Raises
    ------
    PythonEnvironmentError
        With the package manager's last lines.
    """
    inside = folder / "bin" / "python"
    uv = find_uv()
    if uv:
        _run([uv, "venv", "--quiet", *(["--seed"] if seed else []), "--python", str(python), str(folder)])
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(inside)]
    else:
        _run([str(python), "-m", "venv", str(folder)])
        install = [str(inside), "-m", "pip", "install", "--quiet"]
    if constraints:
        file = folder / "constraints.txt"
        file.write_text("\n".join(constraints) + "\n")
        install += ["--constraint", str(file)]
    if wanted:
        _run([*install, *wanted])
    return inside


def find_uv() -> str | None:
    """Find `uv`, on PATH or beside this interpreter; none where it isn't installed."""
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def find_python(version: str) -> Path | None:
    """Find an interpreter of a version such as ``3.12`` that really runs: pyenv's shims of inactive versions don't."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    candidates = [sys.executable, f"python{version}", *sorted(map(str, pyenv.glob(f"{version}*/bin/python")))]
    code = "import sys; print('.'.join(map(str, sys.version_info[:2])))"
    for candidate in candidates:
        found = shutil.which(candidate)
        if found is None:
            continue
        done = subprocess.run([found, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == version:
            return Path(found)
    return None


def _run(command: list[str]) -> None:
    # Never the user's own setting for bytecode: without it, imports take ten seconds in every measured process.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    except OSError as error:
        raise PythonEnvironmentError(f"{command[0]} cannot be run: {error}") from error
    if done.returncode:
        tail = "\n".join(f"{done.stdout}\n{done.stderr}".strip().splitlines()[-_LINES_SHOWN:])
        raise PythonEnvironmentError(f"{' '.join(command)} ended with {done.returncode}:\n{tail}")
