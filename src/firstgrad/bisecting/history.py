"""What is searched: the commits between two of a clone, or the releases between two of a package index."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from firstgrad.comparing.environments import KEPT, Recipe, keep_environment, name_of, run_git
from firstgrad.comparing.places import SidePlace, read_side
from firstgrad.comparing.sides import SHORT_DIGITS
from firstgrad.errors import PythonEnvironmentError, SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LONGEST_SECONDS = 300
_FORMAT = "%x00%H%x01%P%x01%an%x01%as%x01%s%x02"  # NUL before each commit, so that subjects may hold whatever they do
COMPILED = frozenset([".pyx", ".pxd", ".pxi", ".c", ".cc", ".cpp", ".cxx", ".cu", ".f", ".f90", ".h", ".hpp", ".rs"])
_SIDE_FOLDERS = frozenset(
    ["asv_benchmarks", "benchmarks", "conda-envs", "doc", "docs", "examples", "notebooks", "scripts", "test", "tests"]
)
_SIDE_ENDINGS = frozenset([".bib", ".cff", ".gif", ".ipynb", ".jpg", ".md", ".png", ".rst", ".svg", ".yaml", ".yml"])
_SIDE_NAMES = frozenset(
    ["AUTHORS", "CHANGELOG", "CITATION", "CODEOWNERS", "COPYING", "LICENSE", "MAKEFILE", "NOTICE", "README"]
)
_OTHER_TOOLS = frozenset(
    [
        "black",
        "codespell",
        "coverage",
        "isort",
        "mypy",
        "pixi",
        "pyright",
        "pylint",
        "pytest",
        "ruff",
        "towncrier",
        "tox",
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A commit, or a release."""

    name: str  # the whole commit, or the version
    parents: tuple[str, ...] = ()
    author: str = ""
    date: str = ""
    subject: str = ""
    requirement: str = ""  # of a release: what is installed; '' of a commit

    @property
    def short(self) -> str:
        """What people are shown."""
        return self.name if self.requirement else self.name[:SHORT_DIGITS]

    @property
    def commit(self) -> str:
        """The whole commit; '' of a release."""
        return "" if self.requirement else self.name

    def __str__(self) -> str:
        return f"{self.short} ({self.subject})" if self.subject else self.short


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSources:
    """A package in a repository: whose commits are searched."""

    folder: Path  # that can be installed: the repository's root, or a folder in it
    name: str  # by which the package is imported

    def files(self, commit: str) -> dict[str, str]:
        """List a commit's files with the digests of their contents, by their paths seen from the folder."""
        listed = (line.partition("\t") for line in run_git(self.folder, "ls-tree", "-r", "-z", commit).split("\0"))
        return {path: facts.rpartition(" ")[2] for facts, _, path in listed if path}

    def place(self, files: dict[str, str]) -> str:
        """Find the package among a commit's files, such as ``src/name`` or ``name.py``; '' where it isn't there."""
        return _find_place(files, self.name)


def is_side_file(path: str) -> bool:
    """Whether no build reads a file that lies outside of the package: documentation, tests, settings of other tools."""
    parts = PurePosixPath(path)
    first, stem = parts.parts[0], parts.name.partition(".")[0].upper()
    is_beside = len(parts.parts) > 1 and (first.startswith(".") or first.lower() in _SIDE_FOLDERS)
    return is_beside or parts.name.startswith(".") or parts.suffix in _SIDE_ENDINGS or stem in _SIDE_NAMES


def is_built(path: str, place: str) -> bool:
    """Whether a build may read a file, so that another content of it needs another build; `place` is the package's."""
    if path == place or path.startswith(f"{place}/"):
        return PurePosixPath(path).suffix in COMPILED
    return not is_side_file(path)


def read_project(folder: Path, commit: str) -> dict[str, Any] | None:
    """Read a commit's pyproject.toml, without what no build reads; none where it has none, or it can't be read."""
    try:
        content = tomllib.loads(run_git(folder, "show", f"{commit}:./pyproject.toml"))
    except (PythonEnvironmentError, ValueError):
        return None
    of_others = {"version", "description", "readme", "classifiers", "urls", "authors", "maintainers", "keywords"}
    project = {name: value for name, value in content.get("project", {}).items() if name not in of_others}
    tools = {name: value for name, value in content.get("tool", {}).items() if name not in _OTHER_TOOLS}
    return {"project": project, "build-system": content.get("build-system", {}), "tool": tools}


def find_package(folder: Path, commit: str) -> PackageSources | None:
    """Find the package that a repository's folder has, by its pyproject.toml; none where nothing can be installed.

    Raises SpecError where there is something to install, and it isn't clear what.
    """
    files = PackageSources(folder=folder, name="").files(commit)
    if not files.keys() & {"pyproject.toml", "setup.py"}:
        return None
    names = [str((read_project(folder, commit) or {"project": {}})["project"].get("name", ""))]
    named = (
        re.search(r"name\s*=\s*[\"']?([\w.-]+)", run_git(folder, "show", f"{commit}:./{file}"))
        for file in ("setup.cfg", "setup.py")
        if file in files
    )
    names += [one[1] for one in named if one]
    tops = [PurePosixPath(path).parts for path in files if path.endswith("/__init__.py") and not is_side_file(path)]
    packages = sorted({parts[-2] for parts in tops if len(parts) == 2 or (len(parts) == 3 and parts[0] == "src")})  # noqa: PLR2004 - name/__init__.py, src/name/__init__.py
    for name in filter(None, names):
        plain = re.sub(r"[-.]+", "_", name)
        for spelled in (plain, plain.lower(), *(one for one in packages if name_of(one) == name_of(name))):
            if _find_place(files, spelled):
                return PackageSources(folder=folder, name=spelled)
    if not names[0] and "setup.py" not in files:  # settings of tools, no project
        return None
    if len(packages) == 1:
        return PackageSources(folder=folder, name=packages[0])
    raise SpecError(
        "--repository",
        f"{folder} calls its project {names[-1] or 'nothing'!r} in {commit[:SHORT_DIGITS]}, and no package of that "
        f"name is there (packages: {', '.join(packages) or 'none'}). Name the folder that pyproject.toml and the "
        "package are in",
    )


def _find_place(files: dict[str, str], name: str) -> str:
    ends = (f"{name}/__init__.py", f"{name}.py")
    places = [path for path in files for end in ends if f"/{path}".endswith(f"/{end}") and not is_side_file(path)]
    shortest = min(places, key=lambda path: (path.count("/"), path), default="")
    return shortest.removesuffix("/__init__.py")


def is_release(text: str) -> bool:
    """Whether an end is a release, such as ``pytensor==3.3.8``."""
    return "==" in text and read_side(text).place is SidePlace.RELEASE


# --- commits ------------------------------------------------------------------------------------------------------


def list_commits(
    folder: Path, good: str, bad: str, package: PackageSources | None = None
) -> tuple[tuple[Revision, ...], int]:
    """List the commits from GOOD to BAD, both included, by their first parents; and how many were left out.

    Left out are commits that change neither the package nor what it is built by. Raises SpecError where git doesn't
    know one of them, or GOOD isn't before BAD.
    """
    whole = {name: _resolve(folder, option, name) for option, name in (("GOOD", good), ("BAD", bad))}
    if whole[good] == whole[bad]:
        raise SpecError("GOOD, BAD", f"{good} and {bad} are the same commit, {whole[good][:SHORT_DIGITS]}")
    common = run_git(folder, "merge-base", whole[good], whole[bad])
    if common == whole[bad]:
        raise SpecError(
            "GOOD, BAD", f"{bad} is older than {good}. Exchange them: GOOD is the older one, whatever changed"
        )
    if common != whole[good]:
        raise SpecError(
            "GOOD",
            f"{good} is no ancestor of {bad}. Give one that is, such as where they part, {common[:SHORT_DIGITS]}",
        )
    words = ("log", "--first-parent", "-m", "--reverse", "--name-only", "--relative", f"--format={_FORMAT}")
    told = run_git(folder, *words, f"{whole[good]}..{whole[bad]}").split("\0")[1:]
    commits = [_read_commit(text) for text in told]
    first = _read_commit(run_git(folder, "log", "-1", f"--format={_FORMAT}", whole[good]).lstrip("\0"))[0]
    kept = [first]
    for revision, paths in commits:
        is_last = revision.name == whole[bad]
        if is_last or package is None or any(_is_of_package(path, package) for path in paths):
            kept.append(revision)
    return tuple(kept), len(commits) + 1 - len(kept)


def _is_of_package(path: str, package: PackageSources) -> bool:
    return not is_side_file(path) or f"/{package.name}/" in f"/{path}"


def _resolve(folder: Path, option: str, name: str) -> str:
    try:
        return run_git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except PythonEnvironmentError:
        raise SpecError(
            option,
            f"git knows no commit {name!r} in {folder}. Give a commit, branch or tag of it, name another clone "
            "(--repository PATH), or give releases of a package: pytensor==3.3.7 pytensor==3.3.8",
        ) from None


def _read_commit(text: str) -> tuple[Revision, list[str]]:
    facts, _, paths = text.partition("\2")
    name, parents, author, date, subject = facts.split("\1")
    revision = Revision(name=name, parents=tuple(parents.split()), author=author, date=date, subject=subject)
    return revision, [path for path in paths.split("\n") if path]


# --- releases -----------------------------------------------------------------------------------------------------


def list_releases(
    good: str, bad: str, *, ask: Callable[[str, bool], Sequence[str]] | None = None
) -> tuple[Revision, ...]:
    """List the releases from GOOD to BAD, both included, as pip finds them in its index for this Python.

    `ask` is asked for all versions of a package, with pre-releases or without. What stands beside the package
    (``+jax==0.12.0``) holds for all. Raises SpecError where the two aren't such an interval.
    """
    from packaging.version import InvalidVersion, Version

    ends = [read_side(text).requirements for text in (good, bad)]
    (first, *beside), (last, *others) = ends
    name, versions = name_of(first), [text.partition("==")[2].strip() for text in (first, last)]
    if name != name_of(last) or beside != others:
        raise SpecError("GOOD, BAD", f"{good} and {bad} are no two releases of one package, with the same beside it")
    try:
        low, high = map(Version, versions)
    except InvalidVersion as error:
        raise SpecError("GOOD, BAD", f"expected whole versions, such as {name}==3.3.8: {error}") from None
    if low >= high:
        raise SpecError("GOOD, BAD", f"{bad} is no later release than {good}. GOOD is the older one, whatever changed")
    with_early = low.is_prerelease or high.is_prerelease
    there = sorted({Version(text): text for text in (ask or _ask_pip)(name, with_early)}.items())
    between = [text for version, text in there if low < version < high]
    after = "".join(f"+{requirement}" for requirement in beside)
    return tuple(
        Revision(name=version, requirement=f"{name}=={version}{after}")
        for version in (versions[0], *between, versions[1])
    )


def _ask_pip(name: str, with_early: bool) -> list[str]:
    words = ("-m", "pip", "index", "versions", name, *(["--pre"] * with_early))
    pythons = [Path(sys.executable)]
    said = "pip isn't there"
    for place in range(2):
        try:
            done = subprocess.run(
                [str(pythons[place]), *words], capture_output=True, text=True, check=False, timeout=_LONGEST_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PythonEnvironmentError(f"pip can't say which releases {name} has: {error}") from error
        listed = done.stdout.partition("Available versions:")[2].partition("\n")[0]
        if versions := [version.strip() for version in listed.split(",") if version.strip()]:
            return versions
        said = done.stderr.strip().rpartition("\n")[2]
        if "No module named pip" not in done.stderr:
            break
        pythons.append(keep_environment(Recipe(requirements=("pip",)), kept=KEPT))
    raise PythonEnvironmentError(
        f"pip found no releases of {name} ({said}). Is the name right, and can its package index be reached?"
    )
