from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from asv_runner.benchmarks.mark import SkipNotImplemented

from firstgrad.columns import METRICS, Unit, metric_named, metrics_of
from firstgrad.phase import Phase
from firstgrad.plugins.asv import AsvRun, CellFailedError, CellSample, take_sample
from firstgrad.record import CacheUse, Check, Counts, Doubt, Failure, Memory, Mismatch, PhaseRecord, Status, Verdict
from helpers import make_case, make_record

ROOT = Path(__file__).parents[2]
CASE = make_case()


class Measurer:
    """Counts how often it measures; the n-th sample has n everywhere."""

    def __init__(self):
        self.count = 0

    def __call__(self, _):
        self.count += 1
        return CellSample(values={"nodes": self.count, "evaluation": self.count / 10})


def test_each_round_of_a_metric_takes_a_new_sample_that_the_other_metrics_read(tmp_path):
    measure = Measurer()

    def take(metric, case=CASE):
        return take_sample(tmp_path, case, metric, measure).value_of(metric)

    assert [take("nodes"), take("evaluation"), measure.count] == [1, 0.1, 1]
    assert [take("nodes") for _ in range(2)] == [2, 3]
    assert [take("evaluation") for _ in range(3)] == [0.2, 0.3, 0.4]
    assert take("nodes", make_case(evaluations=4)) == 5  # cases share nothing
    assert measure.count == 5


def test_a_measurement_that_asv_stopped_is_not_tried_again_by_every_metric(tmp_path):
    class Stopped(BaseException):
        pass

    def stopped(_):
        raise Stopped

    with pytest.raises(Stopped):
        take_sample(tmp_path, CASE, "nodes", stopped)
    with pytest.raises(CellFailedError, match="asv stopped the measurement"):
        take_sample(tmp_path, CASE, "evaluation", stopped).value_of("evaluation")


GOOD = make_record(
    phases=(PhaseRecord(phase=Phase.BUILD, began_seconds=0.0, wall_seconds=0.25, cpu_seconds=0.2),),
    time_to_first_gradient_seconds=2.0,
    time_to_first_gradient_cpu_seconds=1.5,
    evaluation_seconds=(3.0, 1.0, 2.0),
    memory=Memory(peak_rss_bytes=1000, retained_bytes=10),
    counts=Counts(groups=1, values=1, nodes_before=7, nodes_after=5, compiled_units=4),
    caches=CacheUse(entries_before=0, entries_read=0, entries_written=1, bytes_written=1),
    check=Check(verdict=Verdict.AGREES),
)


def test_a_good_record_gives_every_metric():
    values = CellSample.of(GOOD).values
    known = {
        "time_to_first_gradient": 2.0,
        "time_to_first_gradient_cpu": 1.5,
        "phase_build": 0.25,
        "evaluation": 2.0,
        "peak_memory": 1000,
        "retained_memory": 10,
        "nodes_before": 7,
        "nodes": 5,
        "compiled_units": 4,
    }
    assert values == dict.fromkeys((metric.name for metric in metrics_of(CASE.target)), None) | known
    assert json.loads(json.dumps(values)) == values


def test_a_record_without_numbers_gives_none_rather_than_zero():
    assert set(CellSample.of(make_record()).values.values()) == {None}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"status": Status.FAILED, "failure": Failure(kind="ValueError", message="cannot be built")},
            "some/file.py:build, .*: failed: ValueError: cannot be built",
        ),
        (
            {
                "status": Status.MISMATCH,
                "check": Check(
                    verdict=Verdict.DISAGREES,
                    mismatches=(Mismatch(group="rho", index=(1,), expected=1.0, got=2.0),),
                ),
            },
            r"some/file.py:build, .*: mismatch: the oracle expected 1.0 for rho\[1\], and it is 2.0. .*firstgrad check",
        ),
        (
            {
                "doubts": (Doubt.SCENARIO_CONTRADICTED,),
                "caches": replace(GOOD.caches, contradiction="3 entries were read"),
            },
            "no cold compile: 3 entries were read",
        ),
        ({"status": Status.CRASHED}, "some/file.py:build, .*: crashed"),
    ],
)
def test_a_bad_record_gives_no_numbers_but_a_reason(changes, reason):
    sample = CellSample.of(replace(GOOD, **changes))
    assert sample.values == {}
    with pytest.raises(CellFailedError, match=reason):
        sample.value_of("nodes")


def test_a_backend_that_is_not_installed_is_not_available_rather_than_failed():
    failure = Failure(kind="BackendUnavailable", message="pip install jax")
    with pytest.raises(SkipNotImplemented, match="pip install jax"):
        CellSample.of(replace(GOOD, status=Status.FAILED, failure=failure)).value_of("nodes")


def test_metrics_have_unique_names_and_units():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
    assert metric_named("peak_memory").unit is Unit.BYTES
    assert metric_named("nodes").is_deterministic
    assert not metric_named("evaluation").is_deterministic
    with pytest.raises(KeyError):
        metric_named("no_such")


def test_files_of_models_are_seen_from_the_configuration(tmp_path, monkeypatch):
    for name in ("ASV_CONF_DIR", "ASV_COMMIT", "ASV_ENV_DIR", "ASV_ENV_NAME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "asv.conf.json").touch()
    (tmp_path / "benchmarks").mkdir()
    asv_run = AsvRun.of(str(tmp_path / "benchmarks/bench_x.py"))
    assert asv_run.folder == tmp_path
    assert asv_run.reference("models.py:build") == f"{tmp_path}/models.py:build"
    assert asv_run.reference("package.models:build") == "package.models:build"
    assert asv_run.commit == ""
    assert asv_run.folder_for_filled("id") is None


def test_what_asv_says_goes_before_what_is_seen(tmp_path, monkeypatch):
    monkeypatch.setenv("ASV_CONF_DIR", str(tmp_path / "conf"))
    monkeypatch.setenv("ASV_COMMIT", "c" * 40)
    monkeypatch.setenv("ASV_ENV_NAME", "an environment")
    asv_run = AsvRun.of(None)
    assert (asv_run.folder, asv_run.commit, asv_run.environment) == (tmp_path / "conf", "c" * 40, "an environment")


def test_filled_caches_are_kept_for_one_run_of_asv_and_by_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("ASV_ENV_DIR", str(tmp_path))
    monkeypatch.setenv("ASV_COMMIT", "c" * 40)
    old = tmp_path / "firstgrad-filled" / "1-1.00" / "commit"
    old.mkdir(parents=True)
    first = AsvRun.of(None).folder_for_filled("one")
    monkeypatch.setenv("ASV_COMMIT", "d" * 40)
    second = AsvRun.of(None).folder_for_filled("one")
    assert first != second
    assert first.parent.parent == second.parent.parent
    assert not old.exists()


SKIPPED = """
import math, sys
sys.modules["firstgrad.asv"] = None
sys.argv = ["benchmark.py", {action!r}]
from asv_runner.discovery import get_benchmark_from_name, list_benchmarks
for name in ("bench_pose.Jax.track_nodes-3", "bench_pose.C.track_time_to_first_gradient-0"):
    benchmark = get_benchmark_from_name({root!r}, name)
    assert benchmark.do_setup_cache() is None
    assert benchmark.do_setup() is True, "it did not skip"
"""


@pytest.mark.parametrize(
    ("action", "code", "said"), [("run", 0, "this commit has no firstgrad.asv"), ("discover", 1, "ModuleNotFoundError")]
)
def test_a_commit_without_the_suite_is_skipped_and_cannot_say_what_benchmarks_there_are(action, code, said):
    script = SKIPPED.format(action=action, root=str(ROOT / "benchmarks"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    assert (done.stdout + done.stderr).count(said) == (2 if action == "run" else 1)
