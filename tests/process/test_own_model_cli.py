"""A user's own model on the command line: parameters, axes, laws. The fake backend serves: nothing is compiled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import write_model

FIRSTGRAD = Path(sys.executable).with_name("firstgrad")


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([FIRSTGRAD, *arguments], capture_output=True, text=True, check=False, cwd=cwd, timeout=120)


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
    done = run(verb, reference, "--param", given, "--backend", "fake", *options, cwd=tmp_path)
    assert done.returncode == 3
    assert f"ModelError: {reference}" in done.stdout + done.stderr
    assert told in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_parameters_are_axes_of_a_sweep_and_sizes_of_laws(tmp_path, reference):
    axes = ("--param", "n=1,2,4,8", "--param", "scale=1,2.5")
    done = run("sweep", reference, *axes, "--backend", "fake", "--evaluations", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "8 ok" in done.stdout + done.stderr
    done = run("scaling", "--axis", "n", "--metric", "time_to_first_gradient", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    laws = json.loads(done.stdout)["laws"]
    assert {law["axis"] for law in laws} == {"n"}
    assert len(laws) == 2  # one for each scale


def test_an_empty_value_of_an_axis_is_refused(tmp_path, reference):
    done = run("sweep", reference, "--param", "n=1,,3", "--backend", "fake", cwd=tmp_path)
    assert done.returncode == 2
    assert "--param: a value is empty in 'n=1,,3'" in done.stderr
