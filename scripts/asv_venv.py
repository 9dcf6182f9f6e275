"""An asv environment type that is made in seconds: `uv` where it is there, else venv and pip, in one call.

asv's own types install package by package, and leave PyMC without bytecode where PYTHONDONTWRITEBYTECODE is set,
so that every measured process spends ten seconds on imports. The matrix in the configuration pins what is
measured (pymc, pytensor, numpy, numba, jax); what firstgrad itself needs is read from pyproject.toml.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from asv import environment
from asv.console import log


class FirstgradVenv(environment.Environment):
    """A virtual environment of a Python version such as ``3.13``."""

    tool_name = "firstgrad-venv"
    matches_python_fallback = False

    def __init__(self, conf: object, python: str, requirements: dict[str, str], tagged_env_vars: dict) -> None:
        self._interpreter = find_python(python)
        if self._interpreter is None:
            raise environment.EnvironmentUnavailable(
                f"no Python {python} was found (python{python} on PATH, pyenv's, this one). Install it, or name "
                f"another version: -E {self.tool_name}:3.12"
            )
        self._requirements = requirements  # asv asks for the name, which holds them, before it keeps them
        super().__init__(conf, python, requirements, tagged_env_vars)

    @classmethod
    def matches(cls, python: str) -> bool:
        """Whether this is a version number that this type can serve."""
        return bool(re.fullmatch(r"3\.\d+", python))

    def _setup(self) -> None:
        log.info(f"Creating {self.name}")
        pinned = {re.sub(r"^pip\+", "", name): version for name, version in self._requirements.items()}
        wanted = [f"{name}=={version}" if version else name for name, version in pinned.items()]
        wanted += [name.removeprefix("pip+") for name in self._base_requirements]
        wanted += [need for need in own_needs(Path("pyproject.toml")) if _name(need) not in pinned]
        # Never the user's own settings for bytecode: imports without it take ten seconds.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        python = str(Path(self._path, "bin", "python"))
        if uv := shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent)):
            _run([uv, "venv", "--quiet", "--seed", "--python", str(self._interpreter), self._path], env)
            _run([uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *wanted], env)
        else:
            _run([str(self._interpreter), "-m", "venv", self._path], env)
            _run([python, "-m", "pip", "install", "--quiet", *wanted], env)

    def run(self, args: list[str], **kwargs: object) -> object:
        """Run this environment's Python."""
        log.debug(f"Running {' '.join(args)!r} in {self.name}")
        return self.run_executable("python", args, **kwargs)


def find_python(version: str) -> Path | None:
    """Find an interpreter of this version that really runs: pyenv's shims of inactive versions do not."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    candidates = [sys.executable, f"python{version}", *sorted(map(str, pyenv.glob(f"{version}*/bin/python")))]
    code = "import sys; print('.'.join(map(str, sys.version_info[:2])), sys.base_prefix)"
    for candidate in candidates:
        found = shutil.which(candidate)
        if found is None:
            continue
        done = subprocess.run([found, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.split()[0] == version:
            return Path(found)
    return None


def own_needs(pyproject: Path) -> list[str]:
    """List what the project of this file needs."""
    project = tomllib.loads(pyproject.read_text())["project"]
    return list(project["dependencies"])


def _name(need: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", need)
    return found[0].lower() if found else need


def _run(command: list[str], env: dict[str, str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
