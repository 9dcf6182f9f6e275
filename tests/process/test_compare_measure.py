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


def compare_stored(folder, *words, code=0):
    done = run_firstgrad("compare", *words, cwd=folder)
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
        tmp_path, "main~1", "commit:main", "user_model.py:build", "--measure", "--samples", "6", "--label", "x",
        "--gate", "seconds", code=1,
    )  # fmt: skip
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


# --- several models -----------------------------------------------------------------------------------------------


def test_a_folder_is_compared_and_what_fails_stops_nobody(tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    write_model(models, "return Model()", name="fine", parameters="n=1")
    write_model(models, "time.sleep(0.2 * (n == 2))\nreturn Model()", name="slower", parameters="n=1")
    write_model(models, FAILING, name="broken", parameters="n=1, bad=True")
    (models / "nothing.py").write_text("X = 1\n")
    out, err = compare(
        tmp_path, "param.n=1", "param.n=2", "models", "--samples", "3", "--label", "run", "--gate", "seconds",
        "--threshold", "3", "--markdown", code=1,
    )  # fmt: skip
    assert "1 after 1 round: a sample gave no numbers" in err
    assert "2 after 3 rounds: all rounds were measured" in err
    assert Counter(record.status for record in kept(tmp_path)) == {Status.OK: 12, Status.FAILED: 2}
    rows = [line for line in out.splitlines() if line.startswith("| `models/")]
    assert [row.split("/")[1].partition(".")[0] for row in rows[:3]] == ["slower", "broken", "fine"]
    assert "ValueError: no such model" in rows[1]
    assert "1 of 3 cases is worse, most of all `models/slower.py:build(n=1)`" in out
    assert "has no function that makes a model" in out
    out, _ = compare_stored(tmp_path, "param.n-1@run", "param.n-2@run", "--gate", "seconds", "--threshold", "3", code=1)
    assert "cases compared: 2" in out


def test_a_side_that_makes_one_model_of_several_is_refused(tmp_path):
    write_model(tmp_path, "return Model()", name="one", parameters="n=1")
    suite = 'models = ["one.py"]\nbackends = ["fake"]\n[parameters]\nn = [1, 2]\n'
    suite += "[tiers.small.parameters]\nn = [7]\n"
    (tmp_path / "firstgrad.toml").write_text(suite)
    done = run_firstgrad("compare", ".", "param.n=3", "suite", cwd=tmp_path)
    assert done.returncode == 2
    assert "side 'param.n=3': makes one case of several" in done.stderr
    for tier, samples in (((), 4), (("--tier", "small"), 6)):
        done = run_firstgrad("compare", ".", "evaluations=3", "suite", *tier, "--samples", "1", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert len(kept(tmp_path)) == samples
    done = run_firstgrad("compare", ".", "evaluations=3", "one.py", "--tier", "small", cwd=tmp_path)
    assert (done.returncode, "--tier: is of a suite file" in done.stderr) == (2, True)


def test_models_that_commits_do_not_have_are_copied_beside_them_and_that_is_said(tmp_path):
    project, lab = tmp_path / "project", tmp_path / "lab"
    project.mkdir()
    lab.mkdir()
    git(project, "init", "--quiet", "--initial-branch", "main")
    (project / ".gitignore").write_text(".firstgrad/\n")
    for seconds in (0.0, 0.1):
        (project / "library.py").write_text(f"SECONDS = {seconds}\n")
        write_model(project, "import library\ntime.sleep(library.SECONDS)\nreturn Model()", name="tracked")
        commit_all(project, f"{seconds} s")
    (lab / "beside.py").write_text("NUMBER = 1\n")
    (lab / "data.csv").write_text("1,2\n")
    body = "import beside\nPath(__file__).with_name('data.csv').read_text()\nassert '{}' in __file__\nreturn Model()"
    write_model(lab, body.format("firstgrad-"), name="outside")
    write_model(project, "return Model()", name="untracked")
    models = ("tracked.py", "untracked.py:build", str(lab / "outside.py"))
    out, err = compare(project, "main~1", "main", *models, "--measure", "--samples", "1", "--label", "x")
    said = "copied beside both commits"
    assert said in err
    assert said in out
    for name in ("../lab/outside.py", "../lab/beside.py", "../lab/data.csv", "untracked.py"):
        assert name in err
    assert "tracked.py," not in err.partition(said)[2].partition("untracked.py")[0]
    records = kept(project)
    assert {record.status for record in records} == {Status.OK}, [record.failure for record in records]
    references = {record.case.model.reference for record in records}
    assert references == {"tracked.py:build", "untracked.py:build", "../lab/outside.py:build"}
    assert len({record.environment.git_commit for record in records}) == 2
    assert git(project, "status", "--porcelain") == "?? untracked.py"


def test_a_model_that_one_commit_lacks_is_left_out_with_its_reason(tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    (tmp_path / ".gitignore").write_text(".firstgrad/\n")
    write_model(tmp_path, "return Model()", name="old")
    commit_all(tmp_path, "old")
    write_model(tmp_path, "return Model()", name="new")
    commit_all(tmp_path, "new")
    out, _ = compare(tmp_path, "main~1", "main", "old.py", "new.py", "--measure", "--samples", "1")
    assert "left out: new.py:build: on BASE no file new.py" in out
    assert len(kept(tmp_path)) == 2
    _, err = compare(tmp_path, "main~1", "main", "new.py:build", "--measure", "--samples", "1", code=2)
    assert "no file new.py" in err


TINY = """
import pymc as pm


def build(n: int = 2) -> pm.Model:
    with pm.Model() as model:
        x = pm.Normal("x", shape=n)
        pm.Normal("y", x.sum(), observed=1.0)
    return model
"""


@pytest.mark.compiles
def test_the_reproducer_runs_on_both_sides_without_firstgrad(tmp_path):
    (tmp_path / "tiny.py").write_text(TINY)
    words = ("compare", "param.n=2", f"env:{sys.executable},param.n=3", "tiny.py", "--backend", "jax", "--samples", "1")
    done = run_firstgrad(*words, "--not-counted", "--evaluations", "3", "--markdown", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    fences = done.stdout.partition("Reproduce the worst case")[2].split("```")
    commands, script = fences[1].strip().splitlines(), fences[3].removeprefix("python\n")
    assert "firstgrad" not in script.replace("without firstgrad", "")
    (tmp_path / "reproduce.py").write_text(script)
    assert len(commands) == 2
    for command, side in zip(commands, ("base", "head"), strict=True):
        assert command.endswith(f"reproduce.py {side}")
        shell = command.replace(" python ", f" {sys.executable} ")
        ran = subprocess.run(["sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        assert ran.returncode == 0, ran.stderr
        assert "pytensor" in ran.stdout
        assert "nodes" in ran.stdout
        assert float(ran.stdout.partition("together ")[2].partition(" s")[0]) > 0
