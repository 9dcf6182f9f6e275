"""``firstgrad compare`` that measures: options, commits and environments, in rounds, kept in the store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter

import pytest

from builders import FIRSTGRAD, git, run_firstgrad
from firstgrad.record import Status
from firstgrad.store import Store
from helpers import linux_only, wait_for, write_model

pytestmark = linux_only

SLOWER = """
time.sleep({seconds})
return Model()
"""
COUNTED = """
with open({log!r}, "a") as log:
    log.write("x")
return Model()
"""
FAILING = """
if bad:
    raise ValueError("no such model")
return Model()
"""
BACKEND = '''
"""Builds the wheel of `theirs` without anything but the standard library."""
import zipfile
from pathlib import Path

def build_wheel(folder, config_settings=None, metadata_directory=None):
    info = "theirs-1.0.dist-info"
    with zipfile.ZipFile(Path(folder, "theirs-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.write("src/theirs.py", "theirs.py")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: theirs\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return "theirs-1.0-py3-none-any.whl"
'''
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "theirs"
version = "1.0"
"""


def compare(folder, *words, code=0):
    done = run_firstgrad("compare", *words, "--backend", "fake", "--evaluations", "3", cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


def kept(folder):
    with Store.open(folder / ".firstgrad" / "results.sqlite") as store:
        return list(store.records())


def commit_all(folder, message):
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def rounds_of(records):
    labels = [record.environment.label for record in records]
    return [{label.partition("@")[0] for label in pair} for pair in zip(labels[::2], labels[1::2], strict=True)]


def test_options_are_measured_in_rounds_and_judged_as_one_question(tmp_path):
    out, err = compare(
        tmp_path, "formulation=per_joint", "formulation=vectorised", "--timesteps", "3", "--samples", "3",
        "--label", "run", "--threshold", "1000",
    )  # fmt: skip
    records = kept(tmp_path)
    assert rounds_of(records) == [{"formulation-per_joint", "formulation-vectorised"}] * 3
    assert {record.case.model.pose.formulation for record in records} == {"per_joint", "vectorised"}
    assert "3 rounds: all rounds were measured" in err
    assert "formulation-per_joint@run" in out


def test_the_same_label_takes_it_up_again_and_another_one_begins_anew(tmp_path):
    words = ("backend=fake,timesteps=2", "backend=fake,timesteps=3", "--threshold", "1000")
    compare(tmp_path, *words, "--samples", "1", "--label", "run")
    _, err = compare(tmp_path, *words, "--samples", "2", "--label", "run")
    assert "2 samples are there already" in err
    assert len(kept(tmp_path)) == 4
    compare(tmp_path, *words, "--samples", "1")
    labels = Counter(record.environment.label for record in kept(tmp_path))
    assert sorted(labels.values()) == [1, 1, 2, 2]


def test_a_label_is_not_taken_up_again_where_the_models_file_has_changed(tmp_path):
    write_model(tmp_path, "return Model()", parameters="n")
    words = ("param.n=1", "param.n=2", "user_model.py:build", "--label", "run", "--threshold", "1000", "--samples")
    compare(tmp_path, *words, "1")
    compare(tmp_path, *words, "2")
    write_model(tmp_path, "time.sleep(0)\nreturn Model()", parameters="n")
    _, err = compare(tmp_path, *words, "3", code=2)
    assert "--label: param.n-1@run has samples of user_model.py:build as it was" in err
    assert len(kept(tmp_path)) == 4


def test_a_side_that_fails_ends_it_and_its_record_is_kept(tmp_path):
    write_model(tmp_path, FAILING, parameters="bad")
    _, err = compare(
        tmp_path, "param.bad=false", "param.bad=true", "user_model.py:build", "--samples", "4", code=1
    )  # fmt: skip
    assert Counter(record.status for record in kept(tmp_path)) == {Status.OK: 1, Status.FAILED: 1}
    assert "1 round: a sample gave no numbers" in err


def test_the_cache_of_warm_samples_is_filled_once_a_side(tmp_path):
    log = tmp_path / "log"
    write_model(tmp_path, COUNTED.format(log=str(log)), parameters="n")
    compare(
        tmp_path, "param.n=1", "param.n=2", "user_model.py:build", "--scenario", "warm", "--samples", "2",
        "--threshold", "1000",
    )  # fmt: skip
    records = kept(tmp_path)
    assert all(record.caches.is_proven for record in records)
    assert len(log.read_text()) == 2 + 4  # each side filled once, and each sample


def test_a_commit_that_makes_the_model_slower_is_found_and_ones_own_files_stay(tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    (tmp_path / ".gitignore").write_text(".firstgrad/\n")
    commits = []
    for seconds in (0.0, 0.5):
        write_model(tmp_path, SLOWER.format(seconds=seconds))
        commits.append(commit_all(tmp_path, f"{seconds} s"))
    write_model(tmp_path, "raise ValueError('not committed')")
    out, _ = compare(
        tmp_path, "main~1", "commit:main", "user_model.py:build", "--measure", "--samples", "6", "--label", "x", code=1
    )
    by_commit = {commit: [] for commit in commits}
    for record in kept(tmp_path):
        by_commit[record.environment.git_commit].append(record.time_to_first_gradient_seconds)
    fast, slow = (by_commit[commit] for commit in commits)
    assert (len(fast), len(slow)) == (6, 6)
    assert max(fast) + 0.4 < min(slow)
    assert "slower" in out
    assert "not committed" in (tmp_path / "user_model.py").read_text()
    assert len(git(tmp_path, "worktree", "list").splitlines()) == 1


def test_each_commit_of_a_project_is_installed_in_an_environment_of_its_own_once(tmp_path):
    if subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(tmp_path / "there"), "cattrs"],
        capture_output=True,
        check=False,
    ).returncode:
        pytest.skip("no package registry can be reached")
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / ".gitignore").write_text(".firstgrad/\n")
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(PROJECT)
    write_model(
        folder, "import theirs\nassert sys.prefix in theirs.__file__\ntime.sleep(theirs.SECONDS)\nreturn Model()"
    )
    for seconds in (0.0, 0.3):
        (folder / "src" / "theirs.py").write_text(f"SECONDS = {seconds}\n")
        commit_all(folder, f"{seconds} s")
    words = ("commit:main~1", "commit:main", "user_model.py:build", "--samples", "1")
    _, err = compare(folder, *words, "--threshold", "1000")
    assert err.count("making an environment") == 2
    first, second = sorted(record.time_to_first_gradient_seconds for record in kept(folder))
    assert second - first > 0.25
    assert len(list((folder / ".firstgrad" / "envs").glob("*/bin/python"))) == 2
    _, err = compare(folder, *words, "--threshold", "1000")
    assert "making an environment" not in err


def test_an_environment_that_is_there(tmp_path):
    model = write_model(tmp_path, "return Model()")
    compare(tmp_path, ".", f"env:{sys.executable}", model, "--samples", "1", "--threshold", "1000")
    assert rounds_of(kept(tmp_path))[0] >= {"here"}
    _, err = compare(tmp_path, ".", f"env:{tmp_path}", model, "--samples", "1", code=2)
    assert f"side 'env:{tmp_path}'" in err
    assert "does not run as a Python" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no-such-branch", "backend=fake"), "side 'no-such-branch': git knows no commit"),
        (("backend=fake", "colour=red"), "side 'colour=red'"),
        (("a", "b", "--timesteps", "3"), "--timesteps: is for sides that are measured now"),
        (("hmm=on", "hmm=off", "--time-budget", "soon"), "--time-budget: expected a duration"),
        (("hmm=on", "hmm=off", "--store", "none"), "--store"),
    ],
)
def test_wrong_use_names_the_culprit(tmp_path, words, said):
    git(tmp_path, "init", "--quiet")
    _, err = compare(tmp_path, *words, code=2)
    assert said in err


def test_ctrl_c_keeps_what_was_measured_and_says_how_to_go_on(tmp_path):
    write_model(tmp_path, "time.sleep(0.2)\nreturn Model()", parameters="n")
    command = [
        FIRSTGRAD, "compare", "param.n=1", "param.n=2", "user_model.py:build",
        "--backend", "fake", "--evaluations", "3", "--samples", "500", "--label", "long",
    ]  # fmt: skip
    store = tmp_path / ".firstgrad" / "results.sqlite"
    running = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
    )
    try:
        wait_for(lambda: store.exists() and len(kept(tmp_path)) >= 3, seconds=60, what="a third sample")
        os.killpg(running.pid, signal.SIGINT)
        _, err = running.communicate(timeout=30)
    finally:
        running.kill()
    assert running.returncode == 130
    assert "Judge them: firstgrad compare param.n-1@long param.n-2@long" in err
    assert "--label long" in err
    assert len(kept(tmp_path)) >= 3
