"""A commit in a private folder, for as long as it is measured."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import tomllib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.errors import PythonEnvironmentError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "firstgrad-checkout-"
_LONGEST_SECONDS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A commit's files.

    Attributes
    ----------
    commit : str
        The whole digest.
    root : Path
        Of the checkout.
    folder : Path
        That which corresponds to the folder one is in.
    """

    commit: str
    root: Path
    folder: Path

    @property
    def project(self) -> Path | None:
        """The nearest folder, upwards from `folder`, that can be installed; none where there is none."""
        above = (self.folder, *self.folder.parents)
        within = above[: above.index(self.root) + 1]
        return next((each for each in within if _is_installable(each)), None)


def project_name(project: Path) -> str:
    """Name of a project as its pyproject.toml gives it; '' where it gives none."""
    file = project / "pyproject.toml"
    if not file.is_file():
        return ""
    try:
        return str(tomllib.loads(file.read_text()).get("project", {}).get("name", ""))
    except (ValueError, OSError) as error:
        raise PythonEnvironmentError(f"{file} cannot be read: {error}") from error


@contextmanager
def check_out(commit: str, *, here: Path | None = None) -> Iterator[Checkout]:
    """Check a commit out into a private folder, by ``git worktree``; one's own files are not touched.

    Parameters
    ----------
    commit : str
        The whole digest.
    here : Path, optional
        A folder of the repository; the present one where left out.

    Yields
    ------
    Checkout
        Until the block ends.

    Raises
    ------
    PythonEnvironmentError
        Where git refuses, or the commit has no such folder.
    """
    here = here or Path.cwd()
    below = _git(here, "rev-parse", "--show-prefix")
    private = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    root = private / "tree"
    try:
        _git(here, "worktree", "add", "--quiet", "--detach", "--force", str(root), commit)
        folder = root / below
        if not folder.is_dir():
            raise PythonEnvironmentError(f"commit {commit[:10]} has no folder {below}. Run it from one that it has")
        yield Checkout(commit=commit, root=root, folder=folder)
    finally:
        # Not `prune`: it would also forget the user's own worktrees whose folders are away for now.
        with suppress(PythonEnvironmentError):
            _git(here, "worktree", "remove", "--force", "--force", str(root))
        shutil.rmtree(private, ignore_errors=True)


def _is_installable(folder: Path) -> bool:
    if (folder / "setup.py").is_file():
        return True
    file = folder / "pyproject.toml"
    if not file.is_file():
        return False
    try:
        content = tomllib.loads(file.read_text())
    except ValueError:
        return True  # installing it will say what is wrong
    return "project" in content or "build-system" in content


def _git(here: Path, *words: str) -> str:
    git = shutil.which("git")
    if not git:
        raise PythonEnvironmentError("git is not installed, and a commit's files come from it")
    try:
        done = subprocess.run(
            [git, "-C", str(here), *words], capture_output=True, text=True, check=False, timeout=_LONGEST_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PythonEnvironmentError(f"git {words[0]} cannot be run: {error}") from error
    if done.returncode:
        raise PythonEnvironmentError(f"git {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()
