"""The command line as a shell sees it: exit codes, machine-readable output, the store."""

from __future__ import annotations

import json
import os

import pytest

from builders import firstgrad, run_firstgrad
from firstgrad.codec import from_json
from firstgrad.record import Record, Status
from firstgrad.store import Store
from helpers import write_model

SMALL = ("--backend", "fake", "--timesteps", "4", "--directions", "1", "--evaluations", "20")


def test_measure_prints_phases_and_keeps_the_record(tmp_path):
    done = run_firstgrad("measure", "pose", *SMALL, "--label", "here", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("first_call", "unaccounted", "time to first gradient", "agrees", "proven", "peak"):
        assert word in done.stdout
    assert "link" in done.stderr  # the progress of a log
    with Store.open(tmp_path / ".firstgrad" / "results.sqlite") as store:
        (record,) = store.records()
    assert record.status is Status.OK
    assert record.environment.label == "here"


def test_json_is_the_record_and_nothing_else(tmp_path):
    done = run_firstgrad("measure", *SMALL, "--json", "--samples", "2", "--store", "none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    records = [from_json(line, Record) for line in lines]
    assert records[0].record_id != records[1].record_id
    assert json.loads(lines[0])["time_to_first_gradient_seconds"] > 0
    assert not (tmp_path / ".firstgrad").exists()


def test_several_samples_give_medians_with_intervals(tmp_path):
    done = run_firstgrad("measure", *SMALL, "--samples", "3", "--store", "elsewhere.sqlite", cwd=tmp_path)
    assert "3 samples: median [interval]" in done.stdout
    assert "75%" in done.stdout  # all that three samples can promise
    assert (tmp_path / "elsewhere.sqlite").exists()


@pytest.mark.parametrize("scenario", ["cold", "warm", "hot"])
def test_every_scenario_is_proven(tmp_path, scenario):
    done = run_firstgrad("measure", *SMALL, "--scenario", scenario, "--store", "none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{scenario}, proven" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--timesteps", "0"), "n_timesteps: expected a whole number >= 1"),
        (("--states", "3"), "need --hmm"),
        (("--hmm", "--states", "0"), "n_states"),
        (("--parents", "-1,0"), "parents"),
        (("--parents", "a,b", "--skeleton", "custom"), "--parents"),
        (("--hmm", "--hmm-algorithm", "unrolled", "--timesteps", "500"), "--force-unrolled"),
        (("--param", "n=3"), "--param"),
        (("--memory-limit", "much"), "--memory-limit"),
        (("--time-limit", "0"), "time_limit_seconds"),
        (("nocolon",), "path/file.py:function"),
        (("a.py:f",), "MODEL: no file a.py"),
        (("a.b:f",), "MODEL: no module a.b"),
        (("a.py:f", "--timesteps", "3"), "--timesteps: belongs to the pose model"),
        (("a.py:f", "--param", "3"), "NAME=VALUE"),
        (("--backend", "gpu"), "gpu"),
    ],
)
def test_wrong_use_ends_with_2_and_names_the_option(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    ended = firstgrad("measure", *arguments, "--store", "none")
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_a_failed_case_ends_with_3_and_is_kept(tmp_path):
    (tmp_path / "mine.py").write_text("def build():\n    raise ValueError('no data today')\n")
    done = run_firstgrad("measure", "mine.py:build", "--backend", "fake", cwd=tmp_path)
    assert done.returncode == 3
    assert "no data today" in done.stdout
    with Store.open(tmp_path / ".firstgrad" / "results.sqlite") as store:
        (record,) = store.records()
    assert record.status is Status.FAILED


def test_typed_parameters_reach_the_factory(tmp_path):
    (tmp_path / "mine.py").write_text("def build(**given):\n    raise ValueError(repr(sorted(given.items())))\n")
    given = ("--param", "n=3", "--param", "x=1.5", "--param", "flag=true", "--param", "name=abc")
    done = run_firstgrad(
        "measure", "mine.py:build", "--backend", "fake", "--json", "--store", "none", *given, cwd=tmp_path
    )
    message = json.loads(done.stdout)["failure"]["message"]
    assert "[('flag', True), ('n', 3), ('name', 'abc'), ('x', 1.5)]" in message


def test_a_missing_package_names_the_command_that_installs_it(tmp_path):
    # A package that cannot be found, as far as the worker is concerned: a finder that hides JAX.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'jax' else find(name, package)\n"
    )
    words = ("measure", *SMALL[2:], "--backend", "jax", "--json", "--store", "none")
    done = run_firstgrad(*words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 3
    failure = json.loads(done.stdout)["failure"]
    assert failure["kind"] == "BackendUnavailable"
    assert 'pip install "firstgrad[jax]"' in failure["message"]


def test_check_agrees_and_is_finite(tmp_path):
    done = run_firstgrad("check", "pose", "--backend", "fake", "--timesteps", "4", "--directions", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "agrees" in done.stdout
    assert "are finite" in done.stdout


@pytest.mark.compiles
def test_check_names_the_groups_that_are_nan(tmp_path):
    done = run_firstgrad("check", "pose", "--missing", "naive", "--timesteps", "20", "--directions", "2", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "DISAGREES" in done.stdout
    for group in ("x_root", "raw_u_1", "length_2", "obs_sigma"):
        assert f"│ {group}" in done.stdout
    assert "the data hold NaN at [0, 0, 1, 0]; a mask drops it after the arithmetic" in done.stdout
    assert "graph.py:" in done.stdout


def test_doctor_looks_without_importing(tmp_path):
    done = run_firstgrad("doctor", "--json", cwd=tmp_path)
    findings = {each["what"]: each for each in json.loads(done.stdout)}
    assert {"python", "pymc", "backend c", "backend numba", "backend jax", "load", "bytecode", "disk"} <= set(findings)
    assert findings["pymc"]["health"] == "good"
    assert done.returncode == 0


# A user's own model


@pytest.fixture
def reference(tmp_path):
    return write_model(tmp_path, "time.sleep(0.001 * n)\nreturn Model()", parameters="n: int, scale: float = 1.0")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("m=3", "has no parameter 'm'. It takes: n: int, scale: float = 1.0"),
        ("scale=2", "needs 'n', which has no default. Give it: --param n=VALUE. It takes: n: int, scale: float = 1.0"),
        ("n=abc", "parameter n is a whole number, got 'abc'"),
    ],
)
@pytest.mark.parametrize("verb", ["measure", "check"])
def test_a_parameter_that_does_not_fit_is_told_and_the_case_failed(tmp_path, reference, verb, given, told):
    options = ("--store", "none") if verb == "measure" else ()
    done = run_firstgrad(verb, reference, "--param", given, "--backend", "fake", *options, cwd=tmp_path)
    assert done.returncode == 3
    assert f"ModelError: {reference}" in done.stdout + done.stderr
    assert told in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_parameters_are_axes_of_a_sweep_and_sizes_of_laws(tmp_path, reference):
    axes = ("--param", "n=1,2,4,8", "--param", "scale=1,2.5")
    done = run_firstgrad("sweep", reference, *axes, "--backend", "fake", "--evaluations", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "8 ok" in done.stdout + done.stderr
    done = run_firstgrad("scaling", "--axis", "n", "--metric", "time_to_first_gradient", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    laws = json.loads(done.stdout)["laws"]
    assert {law["axis"] for law in laws} == {"n"}
    assert len(laws) == 2  # one for each scale


def test_an_empty_value_of_an_axis_is_refused(tmp_path, reference):
    done = run_firstgrad("sweep", reference, "--param", "n=1,,3", "--backend", "fake", cwd=tmp_path)
    assert done.returncode == 2
    assert "--param: a value is empty in 'n=1,,3'" in done.stderr
