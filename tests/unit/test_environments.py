"""Environments are made once and kept whole; commits are checked out beside one's own files, and go again."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from builders import git
from firstgrad.comparing import environments
from firstgrad.comparing.environments import (
    Recipe,
    check_out,
    find_python,
    keep_environment,
    make_environment,
    name_of,
    own_requirements,
    project_name,
)
from firstgrad.errors import PythonEnvironmentError
from helpers import linux_only

RECIPE = Recipe(python=sys.executable, python_version="3", requirements=("one==1",))
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
pytestmark = linux_only


@pytest.fixture
def repository(tmp_path):
    """A repository of two commits; returns its folder and both digests."""
    folder = tmp_path / "repository"
    (folder / "models").mkdir(parents=True)
    git(folder, "init", "--quiet")
    commits = []
    for text in ("first", "second"):
        (folder / "models" / "model.py").write_text(text)
        if text == "second":
            (folder / "pyproject.toml").write_text('[project]\nname = "theirs"\nversion = "1"\n')
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", text)
        commits.append(git(folder, "rev-parse", "HEAD"))
    return folder, commits


@pytest.fixture
def made(monkeypatch):
    """What was asked of the package managers: no environment is really made."""
    asked = []

    def make(folder, python, wanted, *, constraints=(), limit_seconds=0):  # noqa: ARG001 - its signature
        asked.append((tuple(wanted), tuple(constraints)))
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").touch()
        if "bad==1" in wanted or (constraints and "picky==1" in wanted):
            raise PythonEnvironmentError("no such version")

    monkeypatch.setattr(environments, "make_environment", make)
    return asked


def test_an_environment_is_made_once_and_another_recipe_is_another_one(made, tmp_path):
    told = []
    first = keep_environment(RECIPE, kept=tmp_path, tell=told.append)
    assert keep_environment(RECIPE, kept=tmp_path, tell=told.append) == first
    others = [replace(RECIPE, requirements=("two==2",)), replace(RECIPE, source="abc"), replace(RECIPE, python="/p")]
    assert len({keep_environment(each, kept=tmp_path) for each in others} | {first}) == 4
    assert len(made) == 4
    assert len(told) == 1
    assert "one==1" in told[0]
    assert str(tmp_path) in told[0]


def test_what_was_left_half_made_is_made_again(made, tmp_path):
    half = tmp_path / RECIPE.digest / "bin" / "python"
    half.parent.mkdir(parents=True)
    half.touch()
    (half.parent / "rest").touch()
    assert keep_environment(RECIPE, kept=tmp_path) == half
    assert not (half.parent / "rest").exists()
    assert len(made) == 1


def test_a_failure_leaves_nothing_and_is_tried_again(made, tmp_path):
    bad = replace(RECIPE, requirements=("bad==1",))
    for tries in (1, 2):
        with pytest.raises(PythonEnvironmentError, match="no such version"):
            keep_environment(bad, kept=tmp_path)
        assert not (tmp_path / bad.digest).exists()
        assert len(made) == tries


def test_constraints_are_given_up_where_a_commit_asks_for_other_versions_and_that_is_told(made, tmp_path):
    told = []
    picky = replace(RECIPE, requirements=("picky==1",), constraints=("numpy==2",))
    keep_environment(picky, kept=tmp_path, project=Path("/theirs"), tell=told.append)
    assert made == [(("/theirs", "picky==1"), ("numpy==2",)), (("/theirs", "picky==1"), ())]
    assert "/theirs does not go with numpy==2" in told[1]


def test_two_at_a_time_make_it_once(made, tmp_path):
    threads = [threading.Thread(target=keep_environment, args=(RECIPE,), kwargs={"kept": tmp_path}) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(made) == 1


@pytest.mark.parametrize("with_uv", [True, False])
def test_a_real_environment_is_apart_from_this_one(tmp_path, monkeypatch, with_uv):
    if not with_uv:
        monkeypatch.setattr("firstgrad.comparing.environments.find_uv", lambda: None)
    python = make_environment(tmp_path / "env", Path(sys.executable), [])
    code = "import sys, importlib.util as u; print(sys.prefix, u.find_spec('numpy'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == [str(tmp_path / "env"), "None"]


def test_an_environment_that_cannot_be_made_tells_the_package_managers_last_lines(tmp_path):
    with pytest.raises(PythonEnvironmentError) as raised:
        make_environment(tmp_path / "env", Path(sys.executable), [str(tmp_path / "nothing-here")])
    assert "ended with" in str(raised.value)
    assert "nothing-here" in str(raised.value).partition("\n")[2]
    assert len(str(raised.value).splitlines()) <= 13


def test_this_version_of_python_is_found_and_one_that_nobody_has_is_not():
    found = find_python(VERSION)
    told = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    assert VERSION in told
    assert find_python("3.99") is None
    assert find_python("") is None


def test_firstgrads_own_bounds_are_taken_but_for_what_the_user_gives():
    assert name_of("Jax_Lib[cpu]>=1") == "jax-lib"
    (cattrs,) = own_requirements(["cattrs"])
    assert cattrs.startswith("cattrs>=")
    assert own_requirements(["jax", "unknown"], given=["numpy==2"])[1] == "unknown"
    assert own_requirements(["jax", "numpy"], given=["JAX==0.11", "numpy"]) == ()


def test_a_commit_is_checked_out_beside_ones_own_files_and_goes_again(repository):
    folder, (first, second) = repository
    (folder / "models" / "model.py").write_text("not committed")
    with check_out(first, here=folder / "models") as old, check_out(second, here=folder / "models") as new:
        assert (old.folder / "model.py").read_text() == "first"
        assert (new.folder / "model.py").read_text() == "second"
        assert git(old.folder, "rev-parse", "HEAD") == first
        assert (old.project, new.project) == (None, new.root)
        assert project_name(new.root) == "theirs"
    assert not old.root.exists()
    assert (folder / "models" / "model.py").read_text() == "not committed"
    assert len(git(folder, "worktree", "list").splitlines()) == 1


def test_a_commit_without_the_folder_that_one_is_in_is_refused_and_nothing_stays(repository, tmp_path):
    folder, (first, _) = repository
    (folder / "later").mkdir()
    with pytest.raises(PythonEnvironmentError, match="no folder later"), check_out(first, here=folder / "later"):
        pass
    assert len(git(folder, "worktree", "list").splitlines()) == 1
    with pytest.raises(PythonEnvironmentError, match="not a git repository"), check_out("abc", here=tmp_path):
        pass


def test_the_users_own_setting_for_bytecode_does_not_reach_the_package_manager(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    seen = []
    real = subprocess.Popen
    monkeypatch.setattr(
        subprocess,
        "Popen",
        lambda command, **given: seen.append(given.get("env", os.environ)) or real(command, **given),
    )
    make_environment(tmp_path / "env", Path(sys.executable), [])
    assert seen
    assert not any("PYTHONDONTWRITEBYTECODE" in each for each in seen)
