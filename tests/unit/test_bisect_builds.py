"""Commits made ready: sources in front of what is here, one build for those built alike, a model that lies beside."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from builders import git, make_case
from firstgrad.bisecting import builds
from firstgrad.bisecting.bench import bisect
from firstgrad.bisecting.builds import Builds
from firstgrad.bisecting.history import Revision, find_package
from firstgrad.comparing.environments import write_recipe
from firstgrad.errors import PythonEnvironmentError, SpecError
from firstgrad.measuring.interpreter import Interpreter

PLAIN = '[project]\nname = "theirs"\nversion = "1.0"\ndependencies = ["numpy>=1"]\n[tool.ruff]\nline-length = {}\n'


@pytest.fixture
def clone(tmp_path, monkeypatch):
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    monkeypatch.chdir(folder)
    return folder


def commit(folder, files, message="change"):
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content) if content is not None else (folder / path).unlink()
    git(folder, "add", "--all", ".")
    git(folder, "commit", "--quiet", "-m", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Environments that were made: a package manager that installs the checkout's package, and what it compiles."""
    recipes = []

    def keep(recipe, *, project, **_):
        folder = tmp_path / "envs" / recipe.digest
        if not folder.is_dir():
            recipes.append(recipe)
            installed = folder / "lib" / "python3.13" / "site-packages" / "theirs"
            installed.mkdir(parents=True)
            for file in (project / "theirs").iterdir():
                (installed / file.name).write_text(file.read_text())
            (installed / "fast.so").write_text("machine code")
            (installed / "written.py").write_text("by the build")
            (folder / "bin").mkdir()
            (folder / "bin" / "python").touch()
            write_recipe(folder, recipe)
        return folder / "bin" / "python"

    monkeypatch.setattr(builds, "keep_environment", keep)
    monkeypatch.setattr(
        builds, "ask_interpreter", lambda python, **known: Interpreter(python=python, version="", packages=(), **known)
    )
    return recipes


@pytest.fixture
def ready(clone, made):  # noqa: ARG001 - environments are planted
    """Make commits of the clone ready, for a case of a file that lies elsewhere."""
    with ExitStack() as stack:

        def make(*commits, reference="", told=None):
            kept = Builds(
                case=make_case(*filter(None, [reference])),
                folder=clone,
                package=find_package(clone, "main"),
                stack=stack,
                tell=(told if told is not None else []).append,
                limit_seconds=60.0,
            )
            return [kept.ready(Revision(name=name)) for name in commits]

        yield make


def in_front(interpreter):
    folder = interpreter.front / "theirs"
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_sources_without_a_build_stand_in_front_of_what_is_here(clone, made, ready):
    one = commit(clone, {"pyproject.toml": PLAIN.format(1), "theirs/__init__.py": "A = 1", "helper.py": "H = 1"})
    two = commit(clone, {"theirs/__init__.py": "A = 2", "helper.py": "H = 2", "docs/conf.py": ""})
    first, second = ready(one, two)
    assert (first.python, first.commit, second.commit) == (Path(sys.executable), one, two)
    assert (in_front(first), in_front(second)) == ({"__init__.py": "A = 1"}, {"__init__.py": "A = 2"})
    assert (second.front / "helper.py").read_text() == "H = 2"
    assert not (second.front / "docs").exists()
    assert made == []


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": PLAIN.format(1).replace("numpy>=1", "numpy>=1000")},
        {"pyproject.toml": PLAIN.format(1).replace("dependencies", 'dynamic = ["dependencies"]\nothers')},
        {"pyproject.toml": PLAIN.format(1) + '[build-system]\nrequires = ["setuptools_scm"]\n'},
        {"setup.py": "setup(ext_modules=[])"},
        {"theirs/fast.pyx": ""},
    ],
)
def test_what_the_sources_alone_would_not_do_is_built(clone, made, ready, files):
    ready(commit(clone, {"pyproject.toml": PLAIN.format(1), "theirs/__init__.py": "A = 1"} | files))
    assert len(made) == 1


def test_commits_that_are_built_alike_share_a_build_and_only_sources_are_exchanged(clone, made, ready):
    start = {
        "pyproject.toml": PLAIN.format(1),
        "theirs/__init__.py": "A = 1",
        "theirs/gone.py": "",
        "theirs/fast.pyx": "1",
    }
    one = commit(clone, start)
    two = commit(
        clone,
        {
            "theirs/__init__.py": "A = 2",
            "theirs/gone.py": None,
            "theirs/new.py": "N",
            "pyproject.toml": PLAIN.format(2),
        },
    )
    three = commit(clone, {"theirs/fast.pyx": "2"})
    first, second, third = ready(one, two, three)
    built = {"fast.so": "machine code", "written.py": "by the build"}
    assert in_front(first) == built | {"__init__.py": "A = 1", "gone.py": "", "fast.pyx": "1"}
    assert in_front(second) == built | {"__init__.py": "A = 2", "new.py": "N", "fast.pyx": "1"}
    assert in_front(third) == built | {"__init__.py": "A = 2", "new.py": "N", "fast.pyx": "2"}
    assert (first.python == second.python, second.python == third.python) == (True, False)
    assert [recipe.built_of for recipe in made] == [one, three]


def test_a_source_that_the_build_writes_is_not_exchanged(clone, ready):
    files = {
        "pyproject.toml": PLAIN.format(1),
        "theirs/__init__.py": "",
        "theirs/fast.pyx": "",
        "theirs/written.py": "1",
    }
    one = commit(clone, files)
    two = commit(clone, {"theirs/written.py": "2"})
    with pytest.raises(PythonEnvironmentError, match=r"the build writes theirs/written\.py itself"):
        ready(one, two)


def test_a_commit_without_the_package_is_told(clone, ready):
    early = commit(clone, {"pyproject.toml": PLAIN.format(1), "other.py": ""})
    commit(clone, {"theirs/__init__.py": ""})
    with pytest.raises(PythonEnvironmentError, match="there is no package theirs"):
        ready(early)


def test_a_model_beside_the_package_is_copied_with_its_modules_and_without_the_package(clone, ready):
    start = {"pyproject.toml": PLAIN.format(1), "theirs/__init__.py": "", "theirs/own.py": "def build(): ..."}
    one = commit(clone, start | {"model.py": "import beside, theirs.own\ndef build(): ...", "beside.py": ""})
    told = []
    (interpreter,) = ready(one, reference="model.py:build", told=told)
    assert {path.name for path in interpreter.folder.iterdir()} == {"model.py", "beside.py"}
    assert "measured is a copy of" in told[0]
    (interpreter,) = ready(one, reference="theirs.own:build")
    assert list(interpreter.folder.iterdir()) == []
    (clone / "elsewhere").mkdir()
    (clone / "elsewhere" / "model.py").write_text("def build(): ...")
    (interpreter,) = ready(one, reference="elsewhere/model.py:build")
    assert interpreter.folder is None
    with pytest.raises(SpecError, match="one file for all commits"):
        ready(one, reference=f"{clone}/model.py:build")


def test_a_file_of_the_bisected_package_is_refused_with_its_module(clone, tmp_path):
    start = {"pyproject.toml": PLAIN.format(1), "theirs/__init__.py": "", "theirs/own.py": "def build(): ..."}
    one = commit(clone, start)
    two = commit(clone, {"theirs/own.py": "def build(): pass"})
    case = make_case(reference="theirs/own.py:build")
    options = {"store": str(tmp_path / "s.sqlite"), "show": None, "tell": print, "warn": print}
    with pytest.raises(SpecError, match=r"as it is now for all commits\. Name it as a module: theirs\.own:build$"):
        bisect(one, two, case, **options)
