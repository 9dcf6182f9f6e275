"""A fresh project from ``firstgrad init``: its workflow's own lines over real commits, its suites of asv and pytest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
import yaml

from builders import FIRSTGRAD, git, run_firstgrad
from firstgrad.project import WORKFLOW
from firstgrad.store import Store
from helpers import linux_only, write_model

pytestmark = [linux_only, pytest.mark.timeout(110)]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Write a project with a model that the fake backend takes, and commit what init makes of it."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "models").mkdir()
    write_model(folder / "models", "return Model()", name="one")
    git(folder, "init", "--quiet", "--initial-branch=main")
    done = run_firstgrad(
        "init", "models/one.py:build", "--backend", "fake", "--asv", "--pytest-benchmark", cwd=folder, seconds=30
    )
    assert done.returncode == 0, done.stderr
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "A project with firstgrad")
    return folder


@pytest.fixture(autouse=True)
def _on_main(project):
    git(project, "switch", "--quiet", "main")


def commit(project, branch, body):
    """Commit another model on a branch of its own, as a pull request does, and stay there."""
    git(project, "switch", "--quiet", "--create", branch, "main")
    write_model(project / "models", body, name="one")
    git(project, "commit", "--quiet", "--all", "-m", branch)
    return git(project, "rev-parse", "HEAD")


def run_step(project, name, folder, **variables):
    """Run the lines of a step of the project's workflow as GitHub's runner does."""
    workflow = yaml.safe_load((project / WORKFLOW).read_text())
    (step,) = (one for one in workflow["jobs"]["compare"]["steps"] if one.get("name") == name)
    assert variables.keys() == step["env"].keys()
    script = folder / "step.sh"
    script.write_text(step["run"])
    path = f"{FIRSTGRAD.parent}{os.pathsep}{os.environ['PATH']}"
    runner = {"RUNNER_TEMP": str(folder), "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "CI": "true", "PATH": path}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
        cwd=project,
        env=os.environ | runner | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


def test_the_workflow_passes_a_head_that_changes_nothing_and_keeps_the_records(project, tmp_path):
    head = commit(project, "same", "return Model()  # another comment")
    done = run_step(project, "Measure and compare", tmp_path, BASE=git(project, "rev-parse", "main"), HEAD=head)
    assert done.returncode == 0, done.stderr
    summary = (tmp_path / "summary.md").read_text()
    assert "| " in summary
    assert head[:10] in summary
    with Store.open(tmp_path / "firstgrad.sqlite") as store:
        commits = {record.environment.git_commit for record in store.records()}
    assert commits == {head, git(project, "rev-parse", "main")}
    assert not git(project, "status", "--porcelain"), "what it makes is ignored"


def test_the_workflow_fails_where_the_head_compiles_no_more_and_says_why(project, tmp_path):
    head = commit(project, "broken", "raise ValueError('this head is broken')")
    done = run_step(project, "Measure and compare", tmp_path, BASE=git(project, "rev-parse", "main"), HEAD=head)
    assert done.returncode == 1, done.stderr
    summary = (tmp_path / "summary.md").read_text()
    assert "this head is broken" in summary


def test_the_workflow_fails_where_there_is_no_such_base(project, tmp_path):
    done = run_step(project, "Measure and compare", tmp_path, BASE="0" * 40, HEAD=git(project, "rev-parse", "main"))
    assert done.returncode not in (0, 1)
    assert not (tmp_path / "summary.md").exists()


def test_the_project_runs_its_suite_of_pytest_benchmark(project):
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "bench/pytest_gradients.py"]
    done = subprocess.run(
        [sys.executable, *words], cwd=project, capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "time_to_first_gradient-seconds" in done.stdout
    assert "nodes-exact" in done.stdout


@pytest.mark.skipif(not shutil.which("asv", path=FIRSTGRAD.parent), reason="there is no asv")
def test_the_project_runs_its_suite_of_asv(project, tmp_path):
    def asv(*words):
        command, env = [sys.executable, "-m", "asv", *words], os.environ | {"HOME": str(tmp_path)}
        return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False, timeout=90)

    asv("machine", "--yes")
    head = git(project, "rev-parse", "main")
    words = ("--set-commit-hash", head, "--quick", "--bench", "track_nodes", "--show-stderr")
    done = asv("run", "-E", f"existing:{sys.executable}", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1±0" in done.stdout
    assert not git(project, "status", "--porcelain")
