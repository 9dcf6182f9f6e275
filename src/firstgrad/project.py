"""What ``firstgrad init`` writes into a project: suite file, workflow, ignore lines, benchmarks of asv and pytest.

Nothing that is there is ever overwritten, and nothing of the project's is run.
"""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import json
import os
import re
import subprocess
import sys
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.backends import facts_of
from firstgrad.case import BackendName
from firstgrad.errors import SpecError, StoreError
from firstgrad.measuring.environment import backend_version, installed_version
from firstgrad.sources import find_makers, parameters_of
from firstgrad.store.files import write_file
from firstgrad.suite import NO_MODELS, SUITE_FILE, find_models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

WORKFLOW = ".github/workflows/firstgrad.yml"
IGNORE_FILE = ".gitignore"
IGNORED = (".asv/", ".firstgrad/")
_ASV, _ASV_SUITE = "asv.conf.json", "benchmarks/bench_gradients.py"
_PYTEST_SUITE = "bench/pytest_gradients.py"
_NO_FOLDERS = ("build", "dist", "docs", "node_modules", "site-packages", "test", "tests", "__pycache__")
_INSTALLABLE = ("setup.py", "setup.cfg")
_REQUIREMENTS = "requirements.txt"
_LONGEST_SECONDS = 60


class FileState(StrEnum):
    """What becomes of a file."""

    NEW = "written"
    LONGER = "lines added"
    KEPT = "left as it is"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFile:
    """A file of a project's."""

    path: str  # as seen from the project
    state: FileState
    content: str = ""  # all of it, where it is written
    note: str = ""  # which lines were added, or why nothing was


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What is known of a project, as its files tell."""

    folder: Path
    name: str
    is_installable: bool
    has_requirements: bool  # in a file of pip's
    top: Path | None  # of the repository that it is in; none where there is none
    backends: tuple[BackendName, ...]  # that are measured

    def fill(self, template: str) -> str:
        """Fill in a template that ships with firstgrad."""
        text = importlib.resources.files("firstgrad").joinpath("templates", template).read_text()
        packages = sorted({package for one in self.backends if (package := facts_of(one).package)})
        requirements = f"-r {_REQUIREMENTS} " if self.has_requirements else ""
        commands = {
            "BUILD": '"python -m pip wheel --no-deps -w {build_cache_dir} {build_dir}"',
            "INSTALL": '"in-dir={env_dir} python -m pip install {wheel_file}"',
        }
        values = {
            "PYTHON": f"{sys.version_info.major}.{sys.version_info.minor}",
            "PROJECT": ". " if self.is_installable else requirements,
            "EXTRAS": f"firstgrad[{','.join(packages)}]" if packages else "firstgrad",
            "PACKAGES": "".join(f'"{package}": [""], ' for package in packages),  # asv passes no extras on
            "VERSION": installed_version("firstgrad"),
            "NAME": self.name,
            **(commands if self.is_installable else dict.fromkeys(commands, "")),
        }
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        return text


def installed_from() -> str:
    """Return where firstgrad was installed from, by pip's own note; '' where that is a package index."""
    note = importlib.metadata.distribution("firstgrad").read_text("direct_url.json")
    return str(json.loads(note)["url"]) if note else ""


def plan_files(
    folder: Path,
    words: Sequence[str] = (),
    *,
    backends: Sequence[BackendName] = (),
    with_asv: bool = False,
    with_pytest: bool = False,
) -> tuple[ProjectFile, ...]:
    """Plan what is written into a project; `write_files` does it.

    Parameters
    ----------
    folder : Path
        The project's.
    words : sequence of str
        Models, as on a command line; those that the project's files have where left out.
    backends : sequence of BackendName
        To measure with; the first that is installed of Numba, JAX and C where left out.
    with_asv, with_pytest : bool
        Whether suites of asv and of pytest-benchmark are wanted.

    Raises
    ------
    SpecError
        Where there is no model, or a word names none.
    """
    project = _look_at(folder, backends)
    files = [_new(folder, SUITE_FILE, lambda: _write_suite(project, words))]
    if project.top not in (None, project.folder):
        why = f"GitHub reads workflows in {project.top}/.github alone. Run firstgrad init there"
        files.append(ProjectFile(path=WORKFLOW, state=FileState.LEFT_OUT, note=why))
    else:
        files.append(_new(folder, WORKFLOW, lambda: project.fill("firstgrad.yml")))
    files.append(_plan_ignored(folder))
    if with_asv:
        files.append(_new(folder, _ASV, lambda: project.fill("asv.conf.json")))
        files.append(_new(folder, str(Path(_ASV_SUITE).with_name("__init__.py")), str))
        files.append(_new(folder, _ASV_SUITE, lambda: project.fill("bench_asv.py.txt")))
    if with_pytest:
        files.append(_new(folder, _PYTEST_SUITE, lambda: project.fill("bench_pytest.py.txt")))
    return tuple(files)


def write_files(folder: Path, files: Iterable[ProjectFile]) -> None:
    """Write what is planned; raises StoreError where a file can't be written, or came up since it was planned."""
    for file in files:
        if file.state in (FileState.NEW, FileState.LONGER):
            try:
                write_file(folder / file.path, file.content.encode(), is_new=file.state is FileState.NEW)
            except FileExistsError as error:
                raise StoreError(f"{file.path}: somebody wrote it just now, and it stays so. Run this again") from error


def _look_at(folder: Path, backends: Sequence[BackendName]) -> Project:
    if not folder.is_dir():
        raise SpecError("FOLDER", f"no folder {folder}")
    folder = folder.resolve()
    name, is_built = folder.name, False
    with suppress(OSError, ValueError):
        document = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        is_built = bool(document.keys() & {"project", "build-system"})
        name = str(document.get("project", {}).get("name", name))
    usual = (BackendName.NUMBA, BackendName.JAX, BackendName.C)
    top = _git(folder, "rev-parse", "--show-toplevel").strip()
    return Project(
        folder=folder,
        name=re.sub(r"[^\w.-]+", "-", name),
        is_installable=is_built or any((folder / one).is_file() for one in _INSTALLABLE),
        has_requirements=(folder / _REQUIREMENTS).is_file(),
        top=Path(top).resolve() if top else None,
        backends=tuple(backends) or next(((one,) for one in usual if backend_version(one)), usual[:1]),
    )


def _new(folder: Path, path: str, write: Callable[[], str]) -> ProjectFile:
    """Plan a file; one that is there stays, and so does a link, wherever it leads."""
    if os.path.lexists(folder / path):
        return ProjectFile(path=path, state=FileState.KEPT, note="it is there")
    return ProjectFile(path=path, state=FileState.NEW, content=write())


def _plan_ignored(folder: Path) -> ProjectFile:
    """Plan the lines for git to ignore: each once, after those that are there."""
    path = folder / IGNORE_FILE
    is_there = os.path.lexists(path)
    try:
        there = path.read_bytes().decode() if is_there else ""
    except (OSError, UnicodeDecodeError) as error:
        return ProjectFile(path=IGNORE_FILE, state=FileState.KEPT, note=f"it can't be read ({error})")
    known = {line.strip().strip("/") for line in there.splitlines()}
    missing = [line for line in IGNORED if line.strip("/") not in known]
    if not missing:
        return ProjectFile(path=IGNORE_FILE, state=FileState.KEPT, note=f"it has {' and '.join(IGNORED)}")
    break_ = "\r\n" if "\r\n" in there else "\n"
    before = there if not there or there.endswith("\n") else there + break_
    content = before + "".join(line + break_ for line in missing)
    state = FileState.LONGER if is_there else FileState.NEW
    return ProjectFile(path=IGNORE_FILE, state=state, content=content, note=", ".join(missing))


# --- the suite file -----------------------------------------------------------------------------------------------


def _write_suite(project: Project, words: Sequence[str]) -> str:
    """Write the suite file: the models, and why what looks like one isn't taken."""
    models, others = list(words), dict[str, str]()
    if words:
        find_models(words, project.folder)
    else:
        models, others = _find_models(project)
    if not models:
        seen = "".join(f"\n  {reference}: {why}" for reference, why in others.items())
        raise SpecError(
            "MODEL",
            f"no function in {project.folder} makes a model without arguments. Name what does, such as "
            f"models/mine.py:build{seen}",
        )
    lines = [
        "# What firstgrad measures of this project: firstgrad measure suite; firstgrad compare commit:main . suite",
        "models = [",
        *(f"    {_quoted(one)}," for one in models),
        "]",
        *(f"# {_quoted(one)}: {why}" for one, why in others.items()),
        f"backends = [{', '.join(map(_quoted, project.backends))}]  # c, numba, jax, ...",
        'targets = ["logp_dlogp"]  # value and gradient, as NUTS uses them',
        'time_limit = "10m"  # of one process',
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Write a text as TOML has it, which is as JSON does."""
    return json.dumps(text)


def _find_models(project: Project) -> tuple[list[str], dict[str, str]]:
    """Find what makes a model in the project's files, as their text tells; and what does and isn't taken, with why."""
    models: list[str] = []
    others: dict[str, str] = {}
    for path in _list_files(project.folder):
        place = _reference_of(project, path)
        try:
            names = find_makers(project.folder / path)
        except SpecError as error:
            others[str(path)] = error.problem.partition("\n")[0]
            continue
        for name, line in names.items():
            if not _is_function(project.folder / path, name, line):
                others.setdefault(str(path), "a script, which would be run as far as its model")
            elif needed := parameters_of(f"{project.folder / path}:{name}", is_required=True):
                others[f"{place}:{name}"] = (
                    f"needs {', '.join(sorted(needed))}, from a table [parameters.{_quoted(place)}]"
                )
            else:
                models.append(f"{place}:{name}")
    return models, others


def _is_function(path: Path, name: str, line: int) -> bool:
    """Whether what makes a model is a function of this name, and no variable of a script."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")  # as Python counts lines
    return bool(name) and re.match(rf"def\s+{re.escape(name)}\b", lines[line - 1]) is not None


def _reference_of(project: Project, path: Path) -> str:
    """Write how a file's models are named: by module in a package that is installed, so that each commit's is taken."""
    root = path.parent
    while (project.folder / root / "__init__.py").is_file() and root != Path():
        root = root.parent
    is_packaged = root != path.parent and root in (Path(), Path("src")) and project.is_installable
    if not is_packaged:
        return str(path)
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _list_files(folder: Path) -> Iterator[Path]:
    """List the Python files that may have models: those that git knows or would take, else all but hidden ones."""
    known = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.py")
    paths = (Path(one) for one in known.split("\0") if one) if known else _walk(folder)
    for path in sorted(paths):
        is_left_out = any(part in _NO_FOLDERS or part.startswith(".") for part in path.parts[:-1])
        if not is_left_out and not any(fnmatchcase(path.name, no) for no in NO_MODELS) and (folder / path).is_file():
            yield path


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if not os.path.lexists(Path(place, one, "pyvenv.cfg"))]
        yield from (Path(place, one).relative_to(folder) for one in files if one.endswith(".py"))


def _git(folder: Path, *words: str) -> str:
    """Return what git says; '' where there is none, or it refuses."""
    with suppress(OSError, subprocess.SubprocessError):
        command = ["git", "--no-optional-locks", "-C", str(folder), *words]
        return subprocess.run(
            command, capture_output=True, errors="replace", check=True, timeout=_LONGEST_SECONDS
        ).stdout
    return ""
