"""CI's files: actionlint, and what it can't know: names of targets, scripts and tiers, and the project's own rules."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OWN = sorted((ROOT / ".github/workflows").glob("*.yml"))
TO_COPY = ROOT / "src/firstgrad/templates/firstgrad.yml"
FILES = [*OWN, TO_COPY]
NO_ACTIONLINT = 3
PAGES_ONLY = {"pages", "id-token"}


def load(file):
    # YAML 1.1 reads the key `on` as True.
    return {"on" if key is True else key: value for key, value in yaml.safe_load(file.read_text()).items()}


ALL_JOBS = {f"{file.stem}-{name}": job for file in FILES for name, job in load(file)["jobs"].items()}
ALL_STEPS = {f"{name}-{number}": step for name, job in ALL_JOBS.items() for number, step in enumerate(job["steps"])}

each_job = pytest.mark.parametrize("job", ALL_JOBS.values(), ids=ALL_JOBS)
each_step = pytest.mark.parametrize("step", ALL_STEPS.values(), ids=ALL_STEPS)
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def tiers():
    place = ROOT / "benchmarks/tiers.py"
    spec = importlib.util.spec_from_file_location("tiers_of_the_suite", place)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return set(module.TIERS)


def test_actionlint_finds_nothing():
    done = subprocess.run([ROOT / "scripts/lint-workflows", *FILES], capture_output=True, text=True, check=False)
    if done.returncode == NO_ACTIONLINT:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_that_the_how_to_has_for_caches(tmp_path):
    pieces = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/how-to.md").read_text(), re.DOTALL)
    (text,) = (piece for piece in pieces if "firstgrad cache key" in piece)
    file = tmp_path / "caches.yml"
    file.write_text(text)
    assert load(file)["permissions"] == {"contents": "read"}
    done = subprocess.run([ROOT / "scripts/lint-workflows", file], capture_output=True, text=True, check=False)
    if done.returncode == NO_ACTIONLINT:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_is_really_run(tmp_path):
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(
        "on: push\njobs:\n  one:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo ${{ nobody.x }}\n"
    )
    done = subprocess.run([ROOT / "scripts/lint-workflows", wrong], capture_output=True, text=True, check=False)
    if done.returncode == NO_ACTIONLINT:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 1
    assert "nobody" in done.stdout


def test_there_are_two():
    assert [file.stem for file in OWN] == ["benchmarks", "checks"]


@each_file
def test_a_workflow_can_only_read_by_default(file):
    assert load(file)["permissions"] == {"contents": "read"}
    assert load(file)["concurrency"]["group"]


@each_file
def test_forks_get_no_rights(file):
    assert "pull_request_target" not in load(file)["on"]
    assert "workflow_run" not in load(file)["on"]


@each_file
def test_no_secret_is_needed(file):
    assert set(re.findall(r"\bsecrets\b[.\w]*", file.read_text())) <= {"secrets.GITHUB_TOKEN"}


@each_job
def test_a_job_ends_and_has_named_rights(job):
    assert job["timeout-minutes"]
    written = {name for name, right in job["permissions"].items() if right == "write"}
    assert written in (set(), PAGES_ONLY)
    if written:
        assert all("run" not in step for step in job["steps"]), "what may write runs no code of the project's"


@each_step
def test_actions_are_githubs_own_at_a_major_version_or_a_commit(step):
    if uses := step.get("uses"):
        assert re.fullmatch(r"actions/[a-z-]+(/[a-z-]+)?@(v\d+|[0-9a-f]{40})", uses)
        assert not uses.startswith("actions/checkout@") or step["with"]["persist-credentials"] is False


@each_step
def test_a_shell_gets_texts_of_others_only_through_the_environment(step):
    assert "${{" not in step.get("run", "")


@each_step
def test_what_backends_compile_is_never_kept(step):
    uses, given = step.get("uses", ""), step.get("with", {})
    if uses.startswith("actions/cache"):
        assert re.fullmatch(r"build/benchmarks/(\w+|\$\{\{ env\.FIRSTGRAD_TIER \}\})", given["path"])
    if uses.startswith("actions/setup-python"):
        assert given.get("cache") in (None, "pip")  # downloads


def test_the_workflow_to_copy_pins_commits_and_says_which_versions_they_are():
    used = re.findall(r"uses: (.*)", TO_COPY.read_text())
    assert len(used) == 3
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one) for one in used)


def test_the_workflow_to_copy_needs_nothing_of_this_repository():
    text = "\n".join(step.get("run", "") for job in load(TO_COPY)["jobs"].values() for step in job["steps"])
    assert set(re.findall(r"^ *([a-z]\S*)", text, re.MULTILINE)) == {"python", "base=$(git", "firstgrad"}


def test_no_environment_is_kept():
    kept = "\n".join(
        str(step["with"]["path"]).lower()
        for step in ALL_STEPS.values()
        if step.get("uses", "").startswith(("actions/cache", "actions/upload"))
    )
    assert not re.search(r"pytensor|numba|jax|\.asv|env/|~", kept)


def test_targets_and_scripts_exist():
    text = "\n".join(step.get("run", "") for step in ALL_STEPS.values())
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"\bmake ([a-z-]+)", text))
    assert {"check", "test"} <= used <= targets
    scripts = set(re.findall(r"\bscripts/[\w.-]+", text))
    assert scripts
    for script in scripts:
        assert (ROOT / script).is_file(), script


def test_each_extra_is_installed_alone_and_all_together():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    matrix = load(ROOT / ".github/workflows/checks.yml")["jobs"]["distributions"]["strategy"]["matrix"]
    environments = " ".join(matrix["extras"]).split()
    assert sorted(environments) == sorted([*project["optional-dependencies"], "none", "all"])
    supported = {name.rpartition(" ")[2] for name in project["classifiers"] if "Python :: 3." in name}
    assert set(matrix["python"]) == supported


def test_tiers_exist():
    workflow = load(ROOT / ".github/workflows/benchmarks.yml")
    offered = workflow["on"]["workflow_dispatch"]["inputs"]["tier"]["options"]
    named = set(offered)
    for job in workflow["jobs"].values():
        value = job.get("env", {}).get("FIRSTGRAD_TIER", "")
        named |= set(re.findall(r"'(\w+)'", value)) - {"schedule"} if "${{" in value else {value} - {""}
    assert {"quick", "standard"} <= named <= tiers()


def test_each_tier_of_main_is_joined_into_the_site():
    workflow = load(ROOT / ".github/workflows/benchmarks.yml")
    offered = workflow["on"]["workflow_dispatch"]["inputs"]["tier"]["options"]
    restored = [step["with"] for step in workflow["jobs"]["site"]["steps"] if "cache" in step.get("uses", "")]
    assert {given["path"] for given in restored} == {f"build/benchmarks/{tier}" for tier in offered}
    assert {given["restore-keys"] for given in restored} == {f"results-{tier}-" for tier in offered}
