"""A revision made ready to be measured: with what is here, or in a kept environment, its sources in front.

Commits whose build reads the same files (compiled sources, the project's requirements, whatever lies beside the
package and isn't documentation or tests) share one build, and only their sources are exchanged. Where nothing is
compiled, and what is installed here meets the project's requirements, there is no build at all.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tarfile
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from firstgrad.bisecting.history import COMPILED, is_built, is_side_file, read_project
from firstgrad.codec import to_json
from firstgrad.comparing.environments import Recipe, check_out, keep_environment, own_requirements, recipe_of, run_git
from firstgrad.comparing.places import make_ready, needs_of, read_side
from firstgrad.errors import PythonEnvironmentError, SpecError
from firstgrad.measuring.environment import PACKAGES, installed_version
from firstgrad.measuring.interpreter import WORKER_NEEDS, ask_interpreter
from firstgrad.measuring.private import make_private_folder
from firstgrad.sources import LIVE, local_files, split_reference

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from firstgrad.bisecting.history import PackageSources, Revision
    from firstgrad.case import Case
    from firstgrad.measuring.interpreter import Interpreter

_OWN = "firstgrad"
_BUILDERS = frozenset({"Cargo.toml", "CMakeLists.txt", "Makefile", "SConstruct", "meson.build"})
_EXTENSIONS = ("ext_modules", "Extension(", "cffi_modules")
_WRITERS = ("scm", "vcs", "version")  # of a build's requirements: they write a module that the sources lack


@dataclass(slots=True, kw_only=True)
class Builds:
    """Makes revisions ready, each once; what is to be removed in the end goes to `stack`."""

    case: Case
    folder: Path  # of the repository
    package: PackageSources | None  # that its commits are about; none where the models' own files are
    stack: ExitStack
    tell: Callable[[str], None]
    limit_seconds: float
    _ready: dict[str, Interpreter] = field(default_factory=dict, init=False)
    model_folder: Path | None = field(default=None, init=False)
    """Where workers run; none for here."""

    def __post_init__(self) -> None:
        if self.package is not None:
            self.model_folder = self._place_model(self.package.name)

    def ready(self, revision: Revision) -> Interpreter:
        """Make a revision ready; raises PythonEnvironmentError where that can't be."""
        if revision.name not in self._ready:
            self._ready[revision.name] = self._make(revision)
        return self._ready[revision.name]

    def _make(self, revision: Revision) -> Interpreter:
        if revision.requirement:
            request = read_side(revision.requirement)
            interpreter = make_ready(request, [self.case], stack=self.stack, tell=self.tell)
            if interpreter is None:  # pragma: no cover - a release is never here
                raise PythonEnvironmentError(f"{revision.requirement} is no release")
            return interpreter
        if self.package is None:
            checkout = self.stack.enter_context(check_out(revision.name, here=self.folder))
            return ask_interpreter(Path(sys.executable), folder=checkout.folder)
        return self._with_sources(self.package, revision.name)

    def _with_sources(self, package: PackageSources, commit: str) -> Interpreter:
        files = package.files(commit)
        place = package.place(files)
        if not place:
            raise PythonEnvironmentError(f"there is no package {package.name}")
        private = make_private_folder()  # the next run removes it where this one is killed
        self.stack.callback(shutil.rmtree, private, ignore_errors=True)
        archive, tree = private / "sources.tar", private / "sources"
        tops = sorted({path.partition("/")[0] for path in files if not is_side_file(path)})
        run_git(package.folder, "archive", f"--output={archive}", commit, *tops)
        with tarfile.open(archive) as packed:
            packed.extractall(tree, filter="data")
        archive.unlink()
        python, front = Path(sys.executable), (tree / place).parent
        project = read_project(package.folder, commit)
        if not _is_plain(package, commit, files, project):
            python = self._build(package, commit, _key(package, files, place, project))
            front = _exchange(package, commit, place, python, tree, private / "front")
        return ask_interpreter(python, folder=self.model_folder, front=front, commit=commit)

    def _build(self, package: PackageSources, commit: str, key: str) -> Path:
        """Find or make the environment of all commits that are built alike."""
        own = installed_name(package.name)
        recipe = Recipe(
            requirements=own_requirements(needs_of([self.case], WORKER_NEEDS), given=[own]),
            # What is compared is commits: all get the packages that are here, unless one asks for others.
            constraints=tuple(
                f"{name}=={number}"
                for name in PACKAGES
                if name not in (_OWN, own) and (number := installed_version(name))
            ),
            source=f"{package.name} built as {key}",
            built_of=commit,
        )
        with check_out(commit, here=package.folder) as checkout:
            return keep_environment(recipe, project=checkout.folder, tell=self.tell, limit_seconds=self.limit_seconds)

    def _place_model(self, name: str) -> Path | None:
        """Find the folder in which workers run: here; or a copy of the model's files, where the package lies beside.

        Python looks beside the model's file first, and would find the package as it is there, whatever the commit.
        """
        reference = self.case.model.reference
        place, _ = split_reference(reference)
        if not place or reference.startswith(LIVE):
            return None
        is_file = place.endswith(".py")
        if Path(place).is_absolute():
            raise SpecError("MODEL", f"{place} is one file for all commits. Give its path as seen from this folder")
        beside = [Path(place).parent] if is_file else [Path()]
        if not any((folder / ending).exists() for folder in beside for ending in (name, f"{name}.py")):
            return None
        if ".." in Path(place).parts:
            raise SpecError("MODEL", f"{name} lies beside {place}, which is outside of this folder. Go there (cd)")
        private = make_private_folder()
        self.stack.callback(shutil.rmtree, private, ignore_errors=True)
        folder = private / "model"
        folder.mkdir()
        copied = []
        for dotted, path in local_files(place, None).items():
            inside = path.absolute()
            if dotted.partition(".")[0] != name and inside.is_relative_to(Path.cwd()):
                target = folder / inside.relative_to(Path.cwd())
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
                copied.append(str(inside.relative_to(Path.cwd())))
        if copied:
            self.tell(f"{name} lies beside the model: measured is a copy of {', '.join(copied)}, without it")
        return folder


def installed_name(name: str) -> str:
    """Spell a package as package managers compare it."""
    return name.replace("_", "-").lower()


def _key(package: PackageSources, files: dict[str, str], place: str, project: dict[str, Any] | None) -> str:
    """Digest all that a build may read but the sources that are exchanged."""
    read = {path: digest for path, digest in sorted(files.items()) if is_built(path, place)}
    if project is not None:
        read["pyproject.toml"] = to_json(project)
    return hashlib.sha256(to_json([package.name, place, read]).encode()).hexdigest()[:16]


def _is_plain(package: PackageSources, commit: str, files: dict[str, str], project: dict[str, Any] | None) -> bool:
    """Whether the sources alone will do: nothing is compiled or written by a build, and what it needs is here."""
    if project is None or "dependencies" in project["project"].get("dynamic", ()):
        return False
    read = [PurePosixPath(path) for path in files if not is_side_file(path)]
    if any(path.suffix in COMPILED or path.name in _BUILDERS for path in read):
        return False
    building = project["build-system"]
    writers = [one for one in building.get("requires", ()) if any(word in one for word in _WRITERS)]
    if writers or "backend-path" in building or "hooks" in str(project["tool"].get("hatch", "")):
        return False
    if "setup.py" in files:
        text = run_git(package.folder, "show", f"{commit}:./setup.py")
        if any(word in text for word in _EXTENSIONS):
            return False
    return all(map(_is_met, project["project"].get("dependencies", ())))


def _is_met(requirement: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        asked = Requirement(requirement)
        if asked.marker is not None and not asked.marker.evaluate():
            return True
        return asked.specifier.contains(version(asked.name), prereleases=True)
    except (InvalidRequirement, PackageNotFoundError):
        return False


def _exchange(package: PackageSources, commit: str, place: str, python: Path, tree: Path, front: Path) -> Path:
    """Copy the built package to a folder, with the sources of another commit in place of those it was built of.

    Raises PythonEnvironmentError where a source that differs is not in the build as the commit had it: the build itself
    writes it, and nobody knows what it would write now.
    """
    built_of = recipe_of(python).built_of
    name = PurePosixPath(place).name
    installed = next((python.parents[1]).glob(f"lib/python*/site-packages/{name}"), None)
    if installed is None:
        raise PythonEnvironmentError(f"{python.parents[1]} has no package {name}: it isn't built under its own name")
    copied = front / name
    front.mkdir()
    if installed.is_dir():
        shutil.copytree(installed, copied, symlinks=True)
    else:
        shutil.copy2(installed, copied)
    if built_of == commit:
        return front
    told = run_git(
        package.folder, "diff", "--name-only", "--no-renames", "--relative", "-z", built_of, commit, "--", place
    )
    before = package.files(built_of)
    for path in filter(None, told.split("\0")):
        source, target = tree / path, copied / PurePosixPath(path).relative_to(place)
        if target.is_file() and before.get(path, "") != _blob(target):
            raise PythonEnvironmentError(f"the build writes {path} itself, and it differs from {built_of[:10]} on")
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy2(source, target)
        else:
            target.unlink(missing_ok=True)
    return front


def _blob(path: Path) -> str:
    """Digest a file as git does, in repositories of either kind of digest that there is by default."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
