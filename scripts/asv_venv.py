"""An asv environment type that is made in seconds, as `firstgrad compare` makes its environments: in one call.

asv's own types install package by package, and leave PyMC without bytecode where PYTHONDONTWRITEBYTECODE is set,
so that every measured process spends ten seconds on imports. The matrix in the configuration pins what is
measured (pymc, pytensor, numpy, numba, jax); what firstgrad itself needs is read from pyproject.toml.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from asv import environment
from asv.console import log

from firstgrad.comparing.environments import find_python, make_environment


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
        make_environment(Path(self._path), self._interpreter, wanted, seed=True)

    def run(self, args: list[str], **kwargs: object) -> object:
        """Run this environment's Python."""
        log.debug(f"Running {' '.join(args)!r} in {self.name}")
        return self.run_executable("python", args, **kwargs)


def own_needs(pyproject: Path) -> list[str]:
    """List what the project of this file needs."""
    project = tomllib.loads(pyproject.read_text())["project"]
    return list(project["dependencies"])


def _name(need: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", need)
    return found[0].lower() if found else need
