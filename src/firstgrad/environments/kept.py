"""Environments that are kept between runs, by what they were made of."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.codec import to_json
from firstgrad.environments.make import make_environment
from firstgrad.errors import PythonEnvironmentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEPT = Path(".firstgrad/envs")
"""Folder of kept environments, seen from the project's root."""

_RECIPE = 1
_WHOLE = "firstgrad-recipe.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an environment is made of.

    Attributes
    ----------
    python : str
        Path of the interpreter.
    python_version : str
        Its version: a path may hold another one some day.
    requirements : tuple of str
        Packages.
    constraints : tuple of str
        That hold as long as the requirements can be met under them.
    source : str
        What else is installed, so that other content gives another name: a commit and its sub-folder; '' for none.
    recipe : int
        Version of how firstgrad makes them.
    """

    python: str
    python_version: str
    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    source: str = ""
    recipe: int = _RECIPE

    @property
    def digest(self) -> str:
        """Name of the environment's folder."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()[:16]


def keep_environment(
    recipe: Recipe, *, kept: Path = KEPT, project: Path | None = None, tell: Callable[[str], None] = lambda _: None
) -> Path:
    """Find the kept environment of a recipe, or make it.

    Parameters
    ----------
    recipe : Recipe
        What it is made of.
    kept : Path
        Where environments are kept.
    project : Path, optional
        Folder of the project that `Recipe.source` stands for.
    tell : callable
        Takes lines for a person: what is made, and why that takes a while.

    Returns
    -------
    Path
        Its interpreter.

    Raises
    ------
    PythonEnvironmentError
        Where it can't be made; with the package manager's last lines.
    """
    folder = kept.absolute() / recipe.digest
    with _lock(folder):
        inside = folder / "bin" / "python"
        if (folder / _WHOLE).is_file() and inside.exists():
            return inside
        shutil.rmtree(folder, ignore_errors=True)  # half made, by a run that was ended
        wanted = [*([str(project)] if project else []), *recipe.requirements]
        tell(f"making an environment with {', '.join(wanted)} (kept in {folder})")
        try:
            _make(folder, recipe, wanted, tell)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        (folder / _WHOLE).write_text(to_json(recipe))
        return inside


def _make(folder: Path, recipe: Recipe, wanted: list[str], tell: Callable[[str], None]) -> None:
    python = Path(recipe.python)
    if not recipe.constraints:
        make_environment(folder, python, wanted)
        return
    try:
        make_environment(folder, python, wanted, constraints=recipe.constraints)
    except PythonEnvironmentError:
        tell(f"{wanted[0]} does not go with {', '.join(recipe.constraints)}: taking the versions that it asks for")
        shutil.rmtree(folder, ignore_errors=True)
        make_environment(folder, python, wanted)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Let one process at a time make this environment; the lock goes with the process."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
