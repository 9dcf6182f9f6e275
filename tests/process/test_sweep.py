"""Sweeps as a shell sees them: killed at any moment, interrupted, resumed, failing in parts."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from builders import FIRSTGRAD
from firstgrad.record import Status
from firstgrad.store import Store
from helpers import is_alive, numbers_in, wait_for, write_model

pytestmark = pytest.mark.timeout(200)

KILLS = 5
CASES = 30


def command(reference, *arguments):
    return [FIRSTGRAD, "sweep", reference, "--backend", "fake", "--evaluations", "3", *map(str, arguments)]


def run(folder, *arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, cwd=folder, timeout=120)


def stored(folder):
    with Store.open(folder / ".firstgrad" / "results.sqlite") as store:
        return list(store.records())


def logging_model(folder, body="", parameters="n"):
    """A model that writes its process and parameter to files when it is built."""
    log = f"""
with open({str(folder / "built")!r}, "a") as file: file.write(f"{{n}}\\n")
with open({str(folder / "workers")!r}, "a") as file: file.write(f"{{os.getpid()}}\\n")
"""
    return write_model(folder, f"{log.strip()}\n{body}\nreturn Model()", parameters=parameters)


def test_a_sweep_that_is_killed_again_and_again_measures_each_case_exactly_once(tmp_path):
    reference = logging_model(tmp_path, "time.sleep(0.05)")
    values = ",".join(map(str, range(1, CASES + 1)))
    arguments = (reference, "--param", f"n={values}")
    chance = random.Random(4)  # noqa: S311 - reproducible, not secret
    kills = 0
    for _ in range(KILLS):
        before = len(numbers_in(tmp_path / "built"))
        with subprocess.Popen(command(*arguments), cwd=tmp_path, stderr=subprocess.DEVNULL) as sweep:
            try:
                # At a random moment: some samples further, and anywhere within one.
                more = before + chance.randint(1, 4)
                wait_for(lambda more=more: len(numbers_in(tmp_path / "built")) >= more, seconds=60)
                time.sleep(chance.uniform(0, 0.3))
                kills += sweep.poll() is None
            finally:
                sweep.kill()
    assert kills == KILLS, "every kill must hit a running sweep"
    assert len(stored(tmp_path)) < CASES
    done = run(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    records = stored(tmp_path)
    assert Counter(dict(record.case.model.parameters)["n"] for record in records) == dict.fromkeys(
        range(1, CASES + 1), 1
    )
    assert all(record.status is Status.OK for record in records)
    # A kill costs the sample that was running, and no other.
    assert CASES <= len(numbers_in(tmp_path / "built")) <= CASES + KILLS
    for worker in numbers_in(tmp_path / "workers"):
        wait_for(lambda worker=worker: not is_alive(worker), what=f"the end of worker {worker}")
    again = run(tmp_path, *arguments)
    assert "0 samples to measure, 30 are there already" in again.stderr
    assert len(stored(tmp_path)) == CASES


def test_interrupted_it_says_how_to_go_on_and_leaves_nothing_running(tmp_path):
    reference = logging_model(tmp_path, "time.sleep(60 if n == 2 else 0)")
    arguments = (reference, "--param", "n=1,2", "--samples", "2", "--order-seed", "1")
    with subprocess.Popen(command(*arguments), cwd=tmp_path, stderr=subprocess.PIPE, text=True) as sweep:
        wait_for(lambda: 2 in numbers_in(tmp_path / "built"), seconds=30)
        sweep.send_signal(signal.SIGINT)
        _, said = sweep.communicate(timeout=30)
    assert sweep.returncode == 130
    assert "the same command goes on from there" in said
    for worker in numbers_in(tmp_path / "workers"):
        assert not is_alive(worker)
    assert all(record.status is Status.OK for record in stored(tmp_path))


def test_side_by_side_it_measures_as_much_and_stops_as_well(tmp_path):
    reference = logging_model(tmp_path, "time.sleep(60 if n > 4 else 0.2)")
    first = run(tmp_path, reference, "--param", "n=1,2,3,4", "--at-once", "2", "--overload", "--samples", "2")
    assert first.returncode == 0, first.stderr
    assert len(stored(tmp_path)) == 8
    (tmp_path / "built").unlink()
    arguments = (reference, "--param", "n=5,6", "--at-once", "2", "--overload")
    with subprocess.Popen(command(*arguments), cwd=tmp_path, stderr=subprocess.DEVNULL) as sweep:
        wait_for(lambda: len(numbers_in(tmp_path / "built")) == 2, seconds=30, what="two samples at once")
        sweep.send_signal(signal.SIGINT)
        assert sweep.wait(timeout=30) == 130
    for worker in numbers_in(tmp_path / "workers"):
        assert not is_alive(worker)
    assert len(stored(tmp_path)) == 8


def test_failures_and_limits_are_records_and_cost_one_sample_each(tmp_path):
    body = """
if n == 1: raise ValueError("no data today")
if n == 2: time.sleep(60)
if n == 3: os.kill(os.getpid(), signal.SIGKILL)
"""
    reference = logging_model(tmp_path, body.strip())
    arguments = (reference, "--param", "n=1,2,3,4", "--samples", "3", "--time-limit", "1.5")
    done = run(tmp_path, *arguments)
    assert done.returncode == 3, done.stderr
    by_number = {}
    for record in stored(tmp_path):
        by_number.setdefault(dict(record.case.model.parameters)["n"], []).append(record.status)
    assert by_number == {1: ["failed"], 2: ["timeout"], 3: ["crashed"], 4: ["ok"] * 3}
    assert "no data today" in done.stderr
    assert "6 skipped after a failure" in done.stderr
    again = run(tmp_path, *arguments)
    assert again.returncode == 0
    assert "3 cases failed or were stopped by their limit" in again.stderr
    assert len(stored(tmp_path)) == 6


def test_a_dry_run_measures_nothing_and_tells_the_time_from_what_is_stored(tmp_path):
    reference = logging_model(tmp_path, "time.sleep(1.0)")
    before = run(tmp_path, reference, "--param", "n=1,2", "--dry-run")
    assert before.returncode == 0, before.stderr
    assert "not known" in before.stdout
    assert not (tmp_path / "built").exists()
    assert run(tmp_path, reference, "--param", "n=1").returncode == 0
    after = run(tmp_path, reference, "--param", "n=1,2", "--samples", "3", "--dry-run")
    assert "2 cases, 5 samples to measure, 1 are there already" in after.stdout
    assert "not known" not in after.stdout
    assert "In all about 0 s" not in after.stdout
    assert len(numbers_in(tmp_path / "built")) == 1


def test_samples_of_a_file_that_has_changed_are_measured_anew(tmp_path):
    reference, beside = logging_model(tmp_path, "import beside"), tmp_path / "beside.py"

    def planned():
        return run(tmp_path, reference, "--param", "n=1", "--dry-run").stdout.splitlines()[:2]

    beside.write_text("x = 1")
    assert run(tmp_path, reference, "--param", "n=1").returncode == 0
    beside.write_text("x = 1000")
    again = ["1 case, 1 sample to measure", "1 sample of the model's files as they were before: not counted"]
    assert planned() == again
    beside.write_text("x = 1")
    assert planned()[0] == "1 case, 0 samples to measure, 1 are there already"
    file = Path(reference.removesuffix(":build"))
    file.write_text(f"{file.read_text()}# a remark")
    assert planned() == again


def test_a_warm_sample_begins_with_what_the_cold_one_of_its_model_filled(tmp_path):
    reference = logging_model(tmp_path)
    done = run(tmp_path, reference, "--param", "n=1", "--scenario", "warm,cold", "--samples", "2")
    assert done.returncode == 0, done.stderr
    records = stored(tmp_path)
    assert [str(record.case.scenario) for record in records] == ["cold", "warm"] * 2
    assert not any(record.doubts and "scenario_contradicted" in record.doubts for record in records)
    assert len(numbers_in(tmp_path / "built")) == 4  # no process only to fill a cache


def test_wrong_use_names_the_option(tmp_path):
    many = ",".join(map(str, range(1, 321)))
    for arguments, message in (
        (("pose", "--timesteps", "10,x"), "--timesteps: expected a whole number, got 'x'"),
        (("pose", "--hmm=maybe"), "--hmm: expected one of off, on, got 'maybe'"),
        (("pose", "--backend", "torch"), "--backend: expected some of c, numba, jax"),
        (("pose", "--states", "2,3"), "--states, --hmm-algorithm: need --hmm"),
        (("pose", "--param", "n=1"), "--param: the pose model has no 'n'"),
        (("mine.py:build", "--timesteps", "3"), "--timesteps: belongs to the pose model"),
        (("mine.py:build", "--tier", "quick"), "--tier: is of the pose model, or of a suite file"),
        (("mine.py:build",), "MODEL: no file mine.py"),
        (("pose", "--timesteps", "10,10"), "firstgrad: --timesteps: a value is given twice"),
        (("pose", "--at-once", "99"), "--at-once: 99 samples"),
        (("pose", "--store", "none"), "--store: a sweep keeps its records"),
        (
            ("pose", "--samples", "99999999999", "--dry-run"),
            "'--samples': Input should be less than or equal to 100000",
        ),
        (("pose", "--samples", "60000", "--timesteps", "1,2", "--dry-run"), "--samples: 60,000 of each of 2 cases"),
        (("pose", "--timesteps", many, "--directions", many, "--dry-run"), "grid: its axes have 102,400 combinations"),
    ):
        done = subprocess.run(
            [FIRSTGRAD, "sweep", *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 2, arguments
        assert message in done.stderr, done.stderr
    assert not (tmp_path / ".firstgrad").exists()
