"""What a side is measured in: Python environments that are kept, and a commit's files for as long as it takes."""

from __future__ import annotations

import ast
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.codec import LATER, from_json, to_json
from firstgrad.errors import PythonEnvironmentError
from firstgrad.measuring.private import make_private_folder
from firstgrad.sources import local_files, split_reference
from firstgrad.store.files import write_file
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

KEPT = Path(".firstgrad/envs")  # folder of kept environments, seen from the project's root

_OWN = "firstgrad"
_RECIPE = 1
_WHOLE = "firstgrad-recipe.json"
_LONGEST_SECONDS, _LONGEST_INSTALL_SECONDS, _LOCK_SECONDS = 600, 7200, 0.2
_LINES_SHOWN = 12
_LONGEST_NAME = 200


# --- kept environments --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an environment is made of; its digest names the environment's folder."""

    python: str = sys.executable
    python_version: str = ".".join(map(str, sys.version_info[:3]))  # a path may hold another one some day
    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()  # they hold as long as the requirements can be met under them
    source: str = ""
    """What else is installed, so that other content gives another name: a commit and its sub-folder; '' for none."""
    recipe: int = _RECIPE  # version of how firstgrad makes them
    built_of: str = field(default="", metadata=LATER)
    """The commit whose files were installed, where `source` stands for several that are built alike."""

    @property
    def digest(self) -> str:
        """Name of the environment's folder."""
        return hashlib.sha256(to_json(replace(self, built_of="")).encode()).hexdigest()[:16]


def keep_environment(
    recipe: Recipe,
    *,
    kept: Path = KEPT,
    project: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
    limit_seconds: float = _LONGEST_INSTALL_SECONDS,
) -> Path:
    """Find the kept environment of a recipe, or make it; return its interpreter.

    `project` is the folder that `Recipe.source` stands for; `tell` takes lines for a person; `limit_seconds` is that of
    each thing that is run. Raises PythonEnvironmentError with the package manager's last lines.
    """
    folder = kept.absolute() / recipe.digest
    with _lock(folder):
        python = folder / "bin" / "python"
        if (folder / _WHOLE).is_file() and python.exists():
            return python
        shutil.rmtree(folder, ignore_errors=True)  # half made, by a run that was ended
        wanted = [*([str(project)] if project else []), *recipe.requirements]
        tell(f"making an environment with {', '.join(wanted)} (kept in {folder})")
        try:
            try:
                make_environment(
                    folder, Path(recipe.python), wanted, constraints=recipe.constraints, limit_seconds=limit_seconds
                )
            except PythonEnvironmentError:
                if not recipe.constraints:
                    raise
                unmet = ", ".join(recipe.constraints)
                tell(f"{wanted[0]} does not go with {unmet}: taking the versions that it asks for")
                shutil.rmtree(folder, ignore_errors=True)
                make_environment(folder, Path(recipe.python), wanted, limit_seconds=limit_seconds)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        write_recipe(folder, recipe)
        return python


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Say in an environment by which recipe it was made: then it is whole."""
    write_file(folder / _WHOLE, to_json(recipe).encode())


def recipe_of(python: Path) -> Recipe:
    """Read by which recipe the kept environment of an interpreter was made."""
    return from_json((python.parents[1] / _WHOLE).read_text(), Recipe)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Let one process at a time make this environment; the lock goes with the process."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as file:
        until = time.monotonic() + 2 * _LONGEST_INSTALL_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise PythonEnvironmentError(
                        f"another firstgrad has been making {folder} for hours. Look whether it is stopped, and end it"
                    ) from None
                time.sleep(_LOCK_SECONDS)
            else:
                break
        yield


# --- making one ---------------------------------------------------------------------------------------------------


def make_environment(
    folder: Path,
    python: Path,
    wanted: Sequence[str],
    *,
    constraints: Sequence[str] = (),
    seed: bool = False,
    limit_seconds: float = _LONGEST_INSTALL_SECONDS,
) -> Path:
    """Make a virtual environment, compiled to bytecode, in seconds where `uv` is there; return its interpreter.

    `folder` must not exist. `wanted` are requirements, or folders of projects to install; `constraints` hold for what
    is installed, and install nothing themselves; with `seed` pip itself is there afterwards.
    """
    made = folder / "bin" / "python"
    uv = find_uv()
    if uv:
        _run([uv, "venv", "--quiet", *(["--seed"] if seed else []), "--python", str(python), str(folder)])
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(made)]
    else:
        _run([str(python), "-I", "-m", "venv", str(folder)])
        install = [str(made), "-I", "-m", "pip", "install", "--quiet"]
    if constraints:
        file = folder / "constraints.txt"
        file.write_text("\n".join(constraints) + "\n")
        install += ["--constraint", str(file)]
    if wanted:
        _run([*install, *wanted], limit_seconds)
    return made


def find_uv() -> str | None:
    """Find `uv`, on PATH or beside this interpreter; none where it isn't installed."""
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def find_python(version: str) -> Path | None:
    """Find an interpreter of a version such as ``3.12`` that really runs: pyenv's shims of inactive versions don't."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    candidates = [sys.executable, f"python{version}", *sorted(map(str, pyenv.glob(f"{version}*/bin/python")))]
    code = "import sys; print('.'.join(map(str, sys.version_info[:2])))"
    for candidate in candidates:
        path = shutil.which(candidate)
        if path is None:
            continue
        with suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run([path, "-c", code], capture_output=True, errors="replace", check=False, timeout=60)
            if done.returncode == 0 and done.stdout.strip() == version:
                return Path(path)
    return None


def _run(command: list[str], limit_seconds: float = _LONGEST_INSTALL_SECONDS) -> None:
    # Never the user's own setting for bytecode: without it, imports take ten seconds in every measured process.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    try:
        # In a session of its own: what a package manager starts (builds, compilers) ends with it.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=variables,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise PythonEnvironmentError(f"{command[0]} cannot be run: {error}") from error
    with process:
        try:
            said, _ = process.communicate(timeout=limit_seconds)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise PythonEnvironmentError(
                f"{' '.join(command)} was ended after {format_seconds(limit_seconds)}"
            ) from error
    if process.returncode:
        tail = "\n".join(said.strip().splitlines()[-_LINES_SHOWN:])
        raise PythonEnvironmentError(f"{' '.join(command)} ended with {process.returncode}:\n{tail}")


# --- what firstgrad needs of one ----------------------------------------------------------------------------------


def name_of(requirement: str) -> str:
    """Return the package that a requirement is about, spelled as package managers compare it."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    return canonicalize_name(Requirement(requirement).name)


def own_requirements(names: Iterable[str], *, given: Collection[str] = ()) -> tuple[str, ...]:
    """Write requirements for packages as this firstgrad asks for them, its extras included.

    A package that firstgrad asks nothing of stands there by its name; those among the user's `given` are left out.
    """
    from packaging.requirements import Requirement

    try:
        asked = [Requirement(text) for text in requires(_OWN) or ()]
    except PackageNotFoundError:  # run from its source folder
        asked = []
    bounds = {name_of(one.name): f"{one.name}{one.specifier}" for one in asked if one.name != _OWN}
    left_out = {name_of(text) for text in given}
    return tuple(bounds.get(name, name) for name in names if name not in left_out)


# --- a commit's files ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A commit's files: their root, and the folder that corresponds to the one that one is in."""

    commit: str
    root: Path
    folder: Path

    @property
    def project(self) -> Path | None:
        """The nearest folder, upwards from `folder`, that can be installed; none where there is none."""
        return _find_project(self.folder, self.root)


def place_here() -> tuple[str, Path | None]:
    """Return where one is within the project's files, and the project that can be installed; none where none can."""
    here = Path.cwd()
    top = Path(run_git(here, "rev-parse", "--show-toplevel"))
    return str(here.relative_to(top)), _find_project(here, top)


def _find_project(folder: Path, root: Path) -> Path | None:
    above = (folder, *folder.parents)
    within = above[: above.index(root) + 1]
    return next((folder for folder in within if _is_installable(folder)), None)


def project_name(project: Path) -> str:
    """Return a project's name as its pyproject.toml gives it; '' where it gives none."""
    file = project / "pyproject.toml"
    if not file.is_file():
        return ""
    try:
        return str(tomllib.loads(file.read_text()).get("project", {}).get("name", ""))
    except (ValueError, OSError) as error:
        raise PythonEnvironmentError(f"{file} cannot be read: {error}") from error


@contextmanager
def check_out(commit: str, *, here: Path | None = None, copies: Iterable[Path] = ()) -> Iterator[Checkout]:
    """Check a commit (a whole digest) out into a private folder, by ``git worktree``; one's own files are not touched.

    Within the private folder everything has the path that it has here, so that files outside of the project have a
    place there, too: `copies` of them, or of files that git doesn't have, are put there.

    Raises PythonEnvironmentError where git refuses, or the commit has no such folder as `here`.
    """
    here = here or Path.cwd()
    below = run_git(here, "rev-parse", "--show-prefix")
    top = Path(run_git(here, "rev-parse", "--show-toplevel"))
    private = make_private_folder()  # the next run removes it where this one is killed
    root = _within(private, top)
    try:
        run_git(here, "worktree", "add", "--quiet", "--detach", "--force", str(root), commit)
        for file in copies:
            _within(private, file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, _within(private, file))
        folder = root / below
        if not folder.is_dir():
            raise PythonEnvironmentError(f"commit {commit[:10]} has no folder {below}. Run it from one that it has")
        yield Checkout(commit=commit, root=root, folder=folder)
    finally:
        # Not `prune`: it would also forget the user's own worktrees whose folders are away for now.
        with suppress(PythonEnvironmentError):
            run_git(here, "worktree", "remove", "--force", "--force", str(root))
        shutil.rmtree(private, ignore_errors=True)


def _within(private: Path, path: Path) -> Path:
    return private / path.relative_to(path.anchor)


def seen_from_here(path: Path) -> str:
    """Write a path relative to the folder that one is in."""
    return os.path.relpath(path)


def find_untracked(references: Iterable[str]) -> tuple[Path, ...]:
    """Find the files of models that git doesn't have as they are: untracked, ignored, or outside of the project.

    With the modules beside them that they import, and the files beside them or here that their texts name. Of a model
    that git has, nothing: each commit has its own.
    """
    here = Path.cwd()
    top = Path(run_git(here, "rev-parse", "--show-toplevel"))
    tracked = {top / name for name in run_git(top, "ls-files", "-z").split("\0")}
    untracked: dict[Path, None] = {}
    for reference in references:
        found = local_files(split_reference(reference)[0], None)
        files = {name: Path(os.path.abspath(file)) for name, file in found.items()}  # noqa: PTH100 - without links
        model = files.get("") or files.get(split_reference(reference)[0])
        if model is None or model in tracked:
            continue
        own = model.parent if "" in files else here
        modules = [file for file in files.values() if file.is_relative_to(own)]
        named = (file for module in modules for file in _named_files(module, (module.parent, here)))
        untracked |= dict.fromkeys(file for file in (*modules, *named) if file not in tracked)
    return tuple(untracked)


def _named_files(module: Path, folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the files that texts in a module name, as seen from some folders."""
    with suppress(SyntaxError, ValueError, OSError):
        for node in ast.walk(ast.parse(module.read_bytes())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) < _LONGEST_NAME:
                for folder in folders:
                    with suppress(ValueError, OSError):
                        file = Path(os.path.abspath(folder / node.value))  # noqa: PTH100 - without links
                        if file.is_relative_to(folder) and file.is_file():
                            yield file


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


def run_git(here: Path, *words: str) -> str:
    """Return what git says in a folder, without white space at both ends; PythonEnvironmentError where it refuses."""
    git = shutil.which("git")
    if not git:
        raise PythonEnvironmentError("git is not installed, and a commit's files come from it")
    try:
        done = subprocess.run(
            [git, "-C", str(here), *words], capture_output=True, errors="replace", check=False, timeout=_LONGEST_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PythonEnvironmentError(f"git {words[0]} cannot be run: {error}") from error
    if done.returncode:
        raise PythonEnvironmentError(f"git {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()
