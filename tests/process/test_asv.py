"""Real asv on small suites: what a third party's suite and this project's own rest on."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from asv_runner.statistics import compute_stats

from builders import git
from firstgrad.case import Target
from firstgrad.columns import metrics_of
from firstgrad.record import Status
from firstgrad.store import Store
from helpers import linux_only, write_model

ROOT = Path(__file__).parents[2]
CONFIGURATION = {
    "version": 1,
    "project": "small",
    "repo": ".",
    "branches": ["HEAD"],
    "environment_type": "existing",
    "benchmark_dir": "benchmarks",
    "results_dir": ".asv/results",
    "html_dir": ".asv/html",
    "launch_method": "forkserver",
}
SUITE = """
from firstgrad import BackendName, Case, Model, Scenario
from firstgrad.asv import GradientBenchmarks

class Fake(GradientBenchmarks, abstract=True):
    evaluations = 3
    def case(self, *, kind, backend, scenario):
        if kind == "senseless":
            raise NotImplementedError("no such cell")
        model = Model(reference={reference!r}, parameters=(("kind", kind),))
        return Case(model=model, backend=BackendName.FAKE, scenario=Scenario(scenario), evaluations=3)

class Good(Fake):
    parameters = {{"kind": ["plain", "senseless", "raises", "other"]}}
    backends = ["fake"]
    scenarios = ["cold", "warm"]
    rounds = 2

class Whole(Fake):
    parameters = {{"kind": ["plain"]}}
    backends = ["fake"]
    metrics = ["all"]
    rounds = 1

class Limited(Fake):
    title = "limited in time"
    parameters = {{"kind": ["sleeps"]}}
    backends = ["fake"]
    timeout = 4.0
    rounds = 1
"""
OF_SUITE = """
from firstgrad.asv import suite_benchmarks
globals().update(suite_benchmarks(__name__))
"""
SUITE_FILE = """
models = ["models/*.py"]
backends = ["fake"]
scenarios = ["cold", "warm"]
evaluations = 3
[parameters]
size = [1, 2]
[tiers.short]
scenarios = ["cold"]
"""
BODY = """
with open({log!r}, "a") as log:
    log.write(kind + chr(10))
if kind == "raises":
    raise ValueError("this model cannot be built")
if kind == "sleeps":
    time.sleep(60)
return Model()
"""

SOME = ("nodes", "peak_memory", "time_to_first_gradient")
"""Enough to see that metrics share what was measured; each further one costs asv a process a cell and round."""

pytestmark = [linux_only, pytest.mark.timeout(300)]


def asv(folder, *words, code=0):
    """Run asv as a user would; its settings go into the folder's own home."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    env = os.environ | {"HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", "asv", *words], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def run_here(folder, *words, python=sys.executable, **how):
    """Run asv with an interpreter's packages, and keep what it finds under the commit."""
    commit = git(folder, "rev-parse", "HEAD")
    return asv(folder, "run", "-E", f"existing:{python}", "--set-commit-hash", commit, *words, **how)


def environment_with(folder, *places):
    """Make an environment of this interpreter's packages and those of some folders."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "these.pth").write_text("\n".join(map(str, [*places, *filter(os.path.isdir, sys.path)])))
    return folder / "bin/python"


def results(folder):
    """What asv kept of the last commit: each benchmark's columns, such as result and samples."""
    (file,) = (folder / ".asv/results").glob(f"*/{git(folder, 'rev-parse', 'HEAD')[:8]}-*.json")
    kept = json.loads(file.read_text())
    return {name: dict(zip(kept["result_columns"], row, strict=False)) for name, row in kept["results"].items()}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A repository with a suite on the fake backend, run once."""
    folder = tmp_path_factory.mktemp("project")
    reference = write_model(folder, BODY.format(log=str(folder / "built")), parameters="kind")
    (folder / "benchmarks").mkdir()
    (folder / "benchmarks/__init__.py").touch()
    (folder / "benchmarks/bench_fake.py").write_text(SUITE.format(reference=reference))
    (folder / "benchmarks/bench_suite.py").write_text(OF_SUITE)
    (folder / "firstgrad.toml").write_text(SUITE_FILE)
    (folder / "models").mkdir()
    write_model(folder / "models", "return Model()", parameters="size", name="sized")
    write_model(folder / "models", "return Model()", name="other")
    (folder / "asv.conf.json").write_text(json.dumps(CONFIGURATION))
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "asv.conf.json", "benchmarks")
    git(folder, "commit", "--quiet", "-m", "A suite")
    asv(folder, "machine", "--yes")
    # 2: a cell failed
    some = rf"(Good|Limited).track_({'|'.join(SOME)})\(|sized.*(time_to_first_gradient|nodes)\(2, 'fake', 'cold'"
    output = run_here(folder, "--record-samples", "--show-stderr", "--bench", some, code=2)
    (folder / "output").write_text(output)
    return folder


def cells(columns, column="result"):
    """Give each cell's kind and scenario its number."""
    kinds, _, scenarios = columns["params"]
    names = [(kind.strip("'"), scenario.strip("'")) for kind in kinds for scenario in scenarios]
    return dict(zip(names, columns[column], strict=True))


def test_one_measured_process_a_sample_gives_all_metrics(project):
    assert len(results(project)) == 2 * len(SOME) + 2
    built = Counter((project / "built").read_text().split())
    # 2 rounds of cold; of warm each with another that fills the cache (an existing environment keeps none)
    assert built["plain"] == 2 + 2 * 2
    assert built["other"] == 2 + 2 * 2


def test_asv_has_every_sample_and_they_are_those_in_the_store(project):
    samples = cells(results(project)["bench_fake.Good.track_time_to_first_gradient"], "samples")
    with Store.open(project / ".firstgrad/results.sqlite") as store:
        records = [record for record in store.records() if record.status is Status.OK]
    for kind, scenario in [("plain", "cold"), ("plain", "warm"), ("other", "cold")]:
        stored = [
            record.time_to_first_gradient_seconds
            for record in records
            if dict(record.case.model.parameters).get("kind") == kind and record.case.scenario == scenario
        ]
        assert len(stored) == 2
        assert sorted(samples[kind, scenario]) == sorted(stored)
    assert {record.environment.git_commit for record in records} == {git(project, "rev-parse", "HEAD")}


def test_a_failed_cell_says_why_and_its_neighbours_have_numbers(project):
    numbers = cells(results(project)["bench_fake.Good.track_nodes"])
    assert numbers["raises", "cold"] is None
    assert numbers["raises", "warm"] is None
    assert numbers["plain", "cold"] == numbers["other", "warm"] == 1
    assert math.isnan(numbers["senseless", "cold"])  # not available rather than failed
    assert "this model cannot be built" in (project / "output").read_text()


def test_a_case_that_lasts_too_long_is_stopped_once_and_says_so(project):
    for metric in SOME:
        assert results(project)[f"bench_fake.Limited.track_{metric}"]["result"] in ([None], None)
    assert (project / "built").read_text().split().count("sleeps") == 1
    assert "after its limit of 2.00 s" in (project / "output").read_text()


def test_metrics_have_units_titles_and_versions(project):
    known = json.loads((project / ".asv/results/benchmarks.json").read_text())
    tracked = [name.rpartition("track_")[2] for name in known if name.startswith("bench_fake.Good.")]
    assert sorted(tracked) == [
        *(
            "compiled_units",
            "evaluation",
            "nodes",
            "peak_memory",
            "time_to_first_gradient",
            "time_to_first_gradient_cpu",
        )
    ]
    assert {f"bench_fake.Whole.track_{metric.name}" for metric in metrics_of(Target.DLOGP)} <= set(known)
    rounds = {name: known[f"bench_fake.Good.track_{name}"]["rounds"] for name in ("evaluation", "nodes", "peak_memory")}
    assert rounds == {"evaluation": 2, "nodes": 1, "peak_memory": 1}  # of what hardly spreads one sample is enough
    one = known["bench_fake.Good.track_peak_memory"]
    assert (one["unit"], one["version"]) == ("bytes", "1")
    assert one["pretty_name"] == "Good: peak memory, compilers included"
    assert one["param_names"] == ["kind", "backend", "scenario"]
    assert known["bench_fake.Limited.track_nodes"]["pretty_name"].startswith("limited in time: ")
    assert known["bench_fake.Good.track_time_to_first_gradient"]["unit"] == "seconds"


def test_quick_takes_one_sample(project, tmp_path):
    shutil.copytree(project, tmp_path / "again", symlinks=True)
    folder = tmp_path / "again"
    before = len((project / "built").read_text().split())
    run_here(folder, "--quick", "--bench", r"Good.track_nodes\('plain', 'fake', 'cold'\)")
    # The model's file is still the first project's
    assert len((project / "built").read_text().split()) == before + 1


def test_a_suite_file_is_a_class_for_each_model_with_enough_rounds(project):
    known = json.loads((project / ".asv/results/benchmarks.json").read_text())
    one = known["bench_suite.models_sized_py_build.track_time_to_first_gradient"]
    assert (one["param_names"], one["params"]) == (
        ["size", "backend", "scenario"],
        [["1", "2"], ["'fake'"], ["'cold'", "'warm'"]],
    )
    assert (one["rounds"], known["bench_suite.models_sized_py_build.track_nodes"]["rounds"]) == (5, 1)
    assert known["bench_suite.models_other_py_build.track_nodes"]["param_names"] == ["backend", "scenario"]
    assert one["pretty_name"] == "models/sized.py:build: time to first gradient"
    assert len(samples_of(project, "time_to_first_gradient")) == 5


SUITE_CELL = "(2, 'fake', 'cold')"


def samples_of(folder, metric):
    columns = results(folder)[f"bench_suite.models_sized_py_build.track_{metric}"]
    return next(samples for samples in columns["samples"] if samples)


def plant(folder, factors, noise=0.15, seed=0):
    """Keep what asv kept for this commit for a new one, too, with numbers that spread, and that grew."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    before = git(folder, "rev-parse", "HEAD")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "Planted")
    after = git(folder, "rev-parse", "HEAD")
    (file,) = (folder / ".asv/results").glob(f"*/{before[:8]}-*.json")
    for commit in (before, after):
        kept = json.loads(file.read_text())
        kept["commit_hash"] = commit
        names = kept["result_columns"]
        for metric, factor in factors.items():
            row = kept["results"][f"bench_suite.models_sized_py_build.track_{metric}"]
            cell = next(place for place, samples in enumerate(row[names.index("samples")]) if samples)
            count = len(row[names.index("samples")][cell])
            scale = 100 * (factor if commit == after else 1)
            drawn = [scale * (math.exp(chance.gauss(0, noise)) if count > 1 else 1) for _ in range(count)]
            number, stats = compute_stats(drawn, 1)
            stats = {f"stats_{name}": value for name, value in stats.items()}
            for name, value in {"result": number, "samples": drawn, **stats}.items():
                if name in names and row[names.index(name)] is not None:
                    row[names.index(name)][cell] = value
        (file.parent / file.name.replace(before[:8], commit[:8])).write_text(json.dumps(kept))
    return before, after


def test_asv_itself_calls_a_planted_slowdown_and_a_fifth_more_of_a_count_and_nothing_else(project, tmp_path):
    folder = tmp_path / "planted"
    shutil.copytree(project, folder, symlinks=True)
    for seed, (seconds, count) in enumerate([(13, 1.2), (1 / 13, 1 / 1.2), (1, 1), (1, 1)]):
        sides = plant(folder, {"time_to_first_gradient": seconds, "nodes": count}, seed=seed)
        lines = [line for line in asv(folder, "compare", *sides).splitlines() if SUITE_CELL in line]
        marks = {line.rpartition("track_")[2].partition("(")[0]: line.strip("| ")[0] for line in lines}
        wanted = "+" if seconds > 1 else "-" if seconds < 1 else ""
        for metric in ("time_to_first_gradient", "nodes"):
            assert (marks[metric] in "+-") is bool(wanted), lines
            assert not wanted or marks[metric] == wanted, lines


@pytest.mark.compiles
def test_the_example_of_a_third_party_runs(tmp_path):
    folder = tmp_path / "schools"
    shutil.copytree(ROOT / "examples/asv_project", folder)
    suite = (folder / "benchmarks/bench_gradient.py").read_text()
    assert len([line for line in suite.splitlines() if line.strip()]) < 15
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "Eight schools")
    asv(folder, "machine", "--yes")
    how = {"python": environment_with(tmp_path / "environment", folder / "src")}
    run_here(folder, "--quick", "--launch-method", "forkserver", **how)
    first, kept = git(folder, "rev-parse", "HEAD"), results(folder)
    assert len(kept) == 7
    for columns in kept.values():
        assert all(isinstance(number, int | float) for number in columns["result"])

    model = folder / "src/schools/model.py"
    model.write_text(model.read_text().replace("theta = mu", "theta = pm.math.exp(pm.math.log(mu**2)) + mu"))
    git(folder, "commit", "--quiet", "-a", "-m", "A model with more nodes")
    changed = r"track_nodes\(8, 'jax', 'cold'\)"
    run_here(folder, "--quick", "--launch-method", "forkserver", "--bench", changed, **how)

    table = asv(folder, "compare", first, "HEAD", "--factor", "1.05")
    (line,) = [line for line in table.splitlines() if "track_nodes(8, 'jax', 'cold')" in line]
    assert line.lstrip("| ").startswith("+")
    asv(folder, "publish")
    assert "bench_gradient.Schools.track_peak_memory" in (folder / ".asv/html/index.json").read_text()
