"""Cases as pytest-benchmark tests: real runs of pytest, on the fake backend and one on JAX."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from firstgrad.case import Target
from firstgrad.columns import metrics_of
from firstgrad.phase import FIRST_GRADIENT_PHASES, Phase
from firstgrad.plugins.pytest_benchmark import WorkerClock
from firstgrad.record import Status
from firstgrad.store import Store
from helpers import write_model

ROOT = Path(__file__).parents[2]

HEAD = """
import os
from pathlib import Path
import pytest
from firstgrad import BackendName, Case, Model, PoseSpec, Scenario, Store
from firstgrad.pytest_benchmark import bench, questions, worker_clock

pytestmark = pytest.mark.benchmark(timer=worker_clock)

def pose(**fields):
    known = {"model": PoseSpec(n_timesteps=4, n_directions=1), "backend": BackendName.FAKE, "evaluations": 20}
    return Case(**known | fields)

def own(reference, **fields):
    return Case(model=Model(reference=reference), backend=BackendName.FAKE, evaluations=0, **fields)
"""

# Nothing but what is tested, and what the project's own settings ask for: each of many runs starts sooner.
PLUGINS = ("-p", "pytest_benchmark.plugin", "-p", "pytest_timeout", "-p", "no:cacheprovider")


def run(*arguments: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-W", "error", *PLUGINS, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        # A wide terminal shows the reasons in full.
        env=os.environ | {"COLUMNS": "2000", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | variables,
        timeout=120,
    )


def run_tests(folder: Path, body: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(HEAD + body)
    return run("test_it.py", *arguments, cwd=folder, **variables)


def benchmarks_in(path: Path) -> list[dict]:
    return json.loads(path.read_text())["benchmarks"]


def line_of(done: subprocess.CompletedProcess[str], test: str) -> str:
    """The line of the summary that says how a test ended, and why."""
    (line,) = (line for line in done.stdout.splitlines() if line.startswith(("PASSED", "FAILED")) and test in line)
    return line


def test_a_round_of_the_clock_begins_at_zero():
    clock = WorkerClock()
    clock.advance(1e9)  # a third is rounded away beside it
    clock.restart()
    assert not clock.was_read
    began = clock()
    clock.advance(1 / 3)
    assert clock() - began == 1 / 3
    assert clock.was_read


def test_durations_are_the_workers_own_to_the_last_bit_and_extra_info_is_complete(tmp_path):
    body = """
def test_it(benchmark):
    with Store.open("kept.sqlite") as store:
        bench(benchmark, pose(), store=store, label="here")
"""
    done = run_tests(tmp_path, body, "--benchmark-json=out.json")
    assert done.returncode == 0, done.stdout
    (test,) = benchmarks_in(tmp_path / "out.json")
    with Store.open(tmp_path / "kept.sqlite") as store:
        records = list(store.records(label="here"))
    extra, durations = test["extra_info"], test["stats"]["data"]
    assert durations == [record.time_to_first_gradient_seconds for record in records]
    assert len(set(durations)) == 3  # not one number three times
    assert test["group"] == "pose T=4 K=1, cold"
    assert test["options"]["timer"] == "worker_clock"
    assert extra["case_id"] == records[0].case.id
    assert extra["case"] == "pose T=4 K=1 no HMM, fake, dlogp, cold"
    assert extra["record_ids"] == [record.record_id for record in records]
    assert set(extra["phases"]) == {*FIRST_GRADIENT_PHASES, Phase.IMPORT, Phase.EVALUATE}
    for phase, seconds in extra["phases"].items():
        assert seconds == [record.phase(Phase(phase)).wall_seconds for record in records]
    assert extra["metrics"] == {
        metric.name: [metric.read(record) for record in records] for metric in metrics_of(Target.DLOGP)
    }
    memory, peaks = extra["memory"], [record.phase(Phase.LINK).peak_rss_bytes for record in records]
    assert memory["peak_rss_bytes"] == [record.memory.peak_rss_bytes for record in records]
    assert memory["phase_peak_rss_bytes"]["link"] == peaks
    assert extra["verdict"] == ["agrees"] * 3
    assert extra["scenario"]["name"] == "cold"
    assert extra["scenario"]["is_proven"] == [True] * 3
    assert extra["scenario"]["entries_written"] == [1] * 3
    assert extra["doubts"] == [list(record.doubts) for record in records]
    assert extra["versions"]["numpy"]
    assert extra["host"] == records[0].environment.host.digest


def test_another_metric_is_timed_and_stands_in_another_group(tmp_path):
    body = """
def test_link(benchmark):
    bench(benchmark, pose(), rounds=2, metric="phase_link")

def test_grouped(benchmark):
    benchmark.group = "mine"
    bench(benchmark, pose(), rounds=1, metric="evaluation")
"""
    done = run_tests(tmp_path, body, "--benchmark-json=out.json")
    assert done.returncode == 0, done.stdout
    grouped, link = sorted(benchmarks_in(tmp_path / "out.json"), key=lambda test: test["name"])
    assert link["stats"]["data"] == link["extra_info"]["phases"]["link"]
    assert link["group"] == "pose T=4 K=1, cold, phase link"
    assert grouped["stats"]["data"] == grouped["extra_info"]["metrics"]["evaluation"]
    assert grouped["group"] == "mine"


@pytest.mark.parametrize(
    ("call", "options", "workers"),
    [
        # One fills, two are measured.
        ("own({reference!r}, scenario=Scenario.WARM), rounds=2", (), 3),
        ("own({reference!r}), rounds=3", ("--benchmark-disable", "--benchmark-json=out.json"), 1),
        ("own({reference!r}), rounds=2", ("--benchmark-cprofile=tottime",), 2),
    ],
    ids=["warm fills the cache once", "disabled takes one sample", "profiling the test measures nothing more"],
)
def test_so_many_workers_are_started(tmp_path, call, options, workers):
    reference = write_model(tmp_path, f"open({str(tmp_path / 'started')!r}, 'a').write('x')\nreturn Model()")
    body = f"""
def test_it(benchmark):
    records = bench(benchmark, {call.format(reference=reference)})
    assert [record.status for record in records] == ["ok"] * len(records)
    if records[0].case.scenario == "warm":
        assert [record.caches.entries_read for record in records] == [1, 1]
"""
    done = run_tests(tmp_path, body, *options)
    assert done.returncode == 0, done.stdout
    assert len((tmp_path / "started").read_text()) == workers
    out = tmp_path / "out.json"
    assert not out.exists() or not out.read_text()  # no statistics; pytest-benchmark 5.1 leaves an empty file


def test_without_the_workers_clock_nothing_is_measured(tmp_path):
    reference = write_model(tmp_path, f"open({str(tmp_path / 'started')!r}, 'a').write('x')\nreturn Model()")
    body = f"""
@pytest.mark.benchmark(group="a mark without the timer is closer than that of the module")
def test_it(benchmark):
    bench(benchmark, own({reference!r}))
"""
    done = run_tests(tmp_path, body, "--benchmark-json=out.json")
    assert done.returncode == 1
    assert "@pytest.mark.benchmark(timer=worker_clock)" in line_of(done, "test_it")
    assert not (tmp_path / "started").exists()


def test_what_spoils_a_case_fails_its_test_with_the_reason(tmp_path):
    raises = write_model(tmp_path, "raise ValueError('no data today')", name="raises")
    dies = write_model(tmp_path, "print('last words', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)", name="dies")
    hides = write_model(tmp_path, "del os.environ['NUMBA_CACHE_DIR']\nreturn Model()", name="hides")
    second = write_model(
        tmp_path, "if Path('seen').exists():\n    raise ValueError('again')\nPath('seen').touch()\nreturn Model()"
    )
    body = f"""
def test_raises(benchmark):
    bench(benchmark, own({raises!r}))

def test_dies(benchmark):
    bench(benchmark, own({dies!r}))

def test_contradicted(benchmark):
    bench(benchmark, own({hides!r}))

def test_second_round(benchmark):
    with Store.open("kept.sqlite") as store:
        bench(benchmark, own({second!r}), rounds=3, store=store)

def test_no_such_number(benchmark):
    bench(benchmark, pose(evaluations=0), metric="evaluation")

def test_no_such_metric(benchmark):
    bench(benchmark, pose(), metric="speed")

def test_nothing_to_count(benchmark):
    bench(benchmark, pose(scenario=Scenario.WARM), metric="compiled_units")

def test_good(benchmark):
    bench(benchmark, pose(), rounds=1)
"""
    done = run_tests(tmp_path, body, "--benchmark-json=out.json")
    assert done.returncode == 1
    assert "failed in build: ModelError" in line_of(done, "test_raises")
    assert "no data today" in line_of(done, "test_raises")
    assert "crashed in build: SIGKILL" in line_of(done, "test_dies")
    assert "last words" in done.stdout
    assert "this was no cold compile: " in line_of(done, "test_contradicted")
    assert "again" in line_of(done, "test_second_round")
    assert "no evaluation time" in line_of(done, "test_no_such_number")
    assert "SpecError: metric: there is no 'speed'. There are time_to_first_gradient," in line_of(
        done, "test_no_such_metric"
    )
    assert "compiled units: 0, which pytest-benchmark can compare with nothing" in done.stdout
    assert line_of(done, "test_good").startswith("PASSED")
    with Store.open(tmp_path / "kept.sqlite") as store:
        assert [record.status for record in store.records()] == [Status.OK, Status.FAILED]  # and no third
    # A test that failed leaves no numbers that a later run could be compared with.
    assert [test["name"] for test in benchmarks_in(tmp_path / "out.json")] == ["test_good"]


def test_a_mismatch_fails_and_says_where(tmp_path):
    # No backend computes a wrong gradient on demand, so the record is made by hand.
    body = """
from dataclasses import replace
from firstgrad.measuring.launch import measure
from firstgrad.record import Check, Mismatch, Status, Verdict

def wrong(case, **options):
    mismatch = Mismatch(group="length_2", index=(3,), expected=1.5, got=-1.5, n_different=2)
    for record in measure(case, **options):
        yield replace(record, status=Status.MISMATCH, check=Check(verdict=Verdict.DISAGREES, mismatches=(mismatch,)))

def test_it(benchmark, monkeypatch):
    monkeypatch.setattr("firstgrad.plugins.pytest_benchmark.measure", wrong)
    bench(benchmark, pose())
"""
    done = run_tests(tmp_path, body)
    assert done.returncode == 1
    reason = line_of(done, "test_it")
    assert "mismatch: the oracle expected 1.5 for length_2[3], and it is -1.5 (2 values differ)" in reason


def test_a_backend_that_is_not_installed_skips_the_test(tmp_path):
    # A package that cannot be found, as far as the worker is concerned: a finder that hides JAX.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'jax' else find(name, package)\n"
    )
    body = """
@pytest.mark.parametrize("scenario", Scenario)
def test_it(benchmark, scenario):
    bench(benchmark, pose(backend=BackendName.JAX, scenario=scenario))
"""
    done = run_tests(tmp_path, body, "--benchmark-json=out.json", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert "3 skipped" in done.stdout
    assert 'pip install "firstgrad[jax]"' in done.stdout


@pytest.mark.parametrize(("factor", "exit_code"), [(1 / 13, 1), (100.0, 0)])
def test_a_planted_baseline_decides(tmp_path, factor, exit_code):
    body = """
def test_it(benchmark):
    bench(benchmark, pose(), rounds=1)
"""
    first = run_tests(tmp_path, body, "--benchmark-save=base")
    assert first.returncode == 0, first.stdout
    (saved,) = (tmp_path / ".benchmarks").rglob("0001_base.json")
    document = json.loads(saved.read_text())
    document["benchmarks"][0]["stats"]["median"] *= factor
    saved.write_text(json.dumps(document))
    second = run_tests(tmp_path, body, "--benchmark-compare=*_base", "--benchmark-compare-fail=median:20%")
    assert second.returncode == exit_code, second.stdout


SUITE = """
models = ["model.py:build"]
backends = ["fake"]
evaluations = 3
metrics = ["time_to_first_gradient", "phase_link", "nodes", "peak_memory"]
[tiers.short]
metrics = ["nodes"]
"""
OF_SUITE = """
@pytest.mark.parametrize(("case", "metric"), questions("firstgrad.toml"))
def test_compile(benchmark, case, metric):
    bench(benchmark, case, metric=metric)
"""


def test_a_suite_file_is_measured_once_for_all_metrics_and_one_sample_of_exact_counts_is_a_gate(tmp_path):
    write_model(tmp_path, f"open({str(tmp_path / 'started')!r}, 'a').write('x')\nreturn Model()", name="model")
    (tmp_path / "firstgrad.toml").write_text(SUITE)
    first = run_tests(tmp_path, OF_SUITE, "--benchmark-save=base")
    assert first.returncode == 0, first.stdout
    assert len((tmp_path / "started").read_text()) == 3  # not 3 + 3 + 1 + 1
    (saved,) = (tmp_path / ".benchmarks").rglob("0001_base.json")
    document = json.loads(saved.read_text())
    tests = {test["params"]["metric"]: test for test in document["benchmarks"]}
    assert {metric: test["stats"]["rounds"] for metric, test in tests.items()} == {
        "time_to_first_gradient": 3, "phase_link": 3, "nodes": 1, "peak_memory": 1
    }  # fmt: skip
    assert tests["nodes"]["group"] == "model.py:build, cold, graph nodes after rewriting (count)"
    assert tests["nodes"]["name"].endswith("-nodes-exact]")
    gate = ("-k", "exact", "--benchmark-compare=*_base", "--benchmark-compare-fail=median:1%")
    same = run_tests(tmp_path, OF_SUITE, *gate, FIRSTGRAD_TIER="short")
    assert same.returncode == 0, same.stdout
    for factor, exit_code in ((1 / 1.2, 1), (1 / 1.009, 0)):
        tests["nodes"]["stats"]["median"] = factor
        saved.write_text(json.dumps(document))
        done = run_tests(tmp_path, OF_SUITE, *gate, FIRSTGRAD_TIER="short")
        assert done.returncode == exit_code, done.stdout


def test_importing_it_imports_no_plugin_and_nothing_that_is_measured():
    code = "import firstgrad.pytest_benchmark, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in done.stdout.split()}
    assert not imported & {"pytest", "pytest_benchmark", "pymc", "pytensor", "jax", "numba"}


@pytest.mark.parametrize("tier", ["quick", "standard", "full"])
def test_the_suite_has_every_case_of_a_tier_once(tier):
    code = "from benchmarks.tiers import cases; print(len(cases()))"
    variables = os.environ | {"FIRSTGRAD_TIER": tier}
    command = [sys.executable, "-c", code]
    wanted = subprocess.run(command, capture_output=True, text=True, check=True, env=variables, cwd=ROOT)
    done = run("benchmarks/pytest", "--collect-only", "-q", cwd=ROOT, FIRSTGRAD_TIER=tier)
    assert done.returncode == 0, done.stdout
    ids = [line for line in done.stdout.splitlines() if "::" in line]
    cases = {name.rpartition("dlogp-")[0] + name.rpartition("dlogp-")[2].partition("-")[0] for name in ids}
    assert (len(ids), len(cases)) == (len(set(ids)), int(wanted.stdout))
    if tier == "quick":
        # Saved runs are compared by these names.
        name = "pose-T20-K2-no-HMM-jax-dlogp-cold-time_to_first_gradient-seconds"
        assert ids[0] == f"benchmarks/pytest/test_pose.py::test_gradient[{name}]"


def test_an_unknown_tier_is_refused_before_anything_is_collected():
    done = run("benchmarks/pytest", "--collect-only", cwd=ROOT, FIRSTGRAD_TIER="nope")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "FIRSTGRAD_TIER=nope" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_ordinary_run_collects_neither_the_suite_nor_the_examples():
    done = run("--collect-only", "-q", cwd=ROOT)
    ids = [line for line in done.stdout.splitlines() if "::" in line]
    assert {line.partition("/")[0] for line in ids} == {"tests"}


def test_the_documentation_shows_the_example_as_it_is():
    example = (ROOT / "examples/pytest_benchmark/test_eight_schools.py").read_text()
    code = example[example.index("import pytest") :]
    assert f"```python\n{code}```" in (ROOT / "docs/how-to.md").read_text()


@pytest.mark.compiles
def test_the_example_of_the_documentation_runs(tmp_path):
    example = "examples/pytest_benchmark/test_eight_schools.py"
    done = run(example, f"--benchmark-json={tmp_path / 'out.json'}", cwd=ROOT)
    assert done.returncode == 0, done.stdout
    tests = {test["params"]["metric"]: test for test in benchmarks_in(tmp_path / "out.json")}
    assert {"time_to_first_gradient", "evaluation", "nodes", "compiled_units", "peak_memory"} <= set(tests)
    extra = tests["time_to_first_gradient"]["extra_info"]
    assert extra["scenario"]["is_proven"] == [True, True, True]
    assert all(units > 0 for units in extra["metrics"]["compiled_units"])  # something was compiled indeed
    records = {metric: test["extra_info"]["record_ids"] for metric, test in tests.items()}
    assert records["evaluation"] == extra["record_ids"]
    assert records["nodes"] == extra["record_ids"][:1]
    assert tests["time_to_first_gradient"]["group"] == "examples/models/eight_schools.py:build, cold"
