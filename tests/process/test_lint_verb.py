"""``firstgrad lint`` as users start it: real processes, a model's own file, SARIF, failures, large graphs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("pymc", minversion="6")

MODELS = """
import os

import numpy as np
import pymc as pm
import pytensor.tensor as pt


def shops(count=12):
    sold = np.arange(count * 3.0).reshape(count, 3)
    with pm.Model() as model:
        mean, spread = pm.Normal("mean"), pm.HalfNormal("spread")
        for shop in range(count):
            rate = pm.Normal(f"rate_{shop}", mean, spread)
            pm.Normal(f"sold_{shop}", pt.exp(rate), spread, observed=sold[shop])
    return model


def plain():
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("mean"), 1.0, observed=np.arange(3.0))
    return model


def broken():
    raise RuntimeError("no such table")


def dying():
    os.kill(os.getpid(), 9)
"""


@pytest.fixture(scope="module")
def lint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lint")
    (folder / "models.py").write_text(MODELS)

    def run(model, *words):
        command = [sys.executable, "-m", "firstgrad", "lint", f"models.py:{model}", *words]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=90)

    run.folder = folder
    return run


def test_a_finding_is_exit_code_1_with_lines_of_the_users_file_and_sarif_beside_it(lint):
    run = lint("shops", "--sarif", "lint.sarif", "--json")
    assert run.returncode == 1, run.stderr
    report = json.loads(run.stdout)
    (finding,) = report["findings"]
    assert finding["name"] == "grows-with-data"
    assert finding["lines"][0]["text"].startswith('pm.Normal(f"sold_{shop}"')
    assert finding["estimates"]
    assert report["environment"]["versions"]
    (result,) = json.loads((lint.folder / "lint.sarif").read_text())["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "models.py"
    assert place["region"]["startLine"] == finding["lines"][0]["line"]


def test_nothing_found_is_exit_code_0(lint):
    run = lint("plain")
    assert run.returncode == 0, run.stderr
    assert "nothing found" in run.stdout


@pytest.mark.parametrize(("model", "why"), [("broken", "no such table"), ("dying", "SIGKILL")])
def test_a_model_that_cannot_be_built_is_exit_code_3(lint, model, why):
    run = lint(model)
    assert run.returncode == 3
    assert why in run.stderr


def test_ten_thousand_nodes_are_looked_at_in_seconds_and_what_is_ignored_is_not_found(lint):
    run = lint("shops", "--param", "count=260", "--json", "--ignore", "grows-with-data")
    report = json.loads(run.stdout)
    assert (run.returncode, report["findings"]) == (0, [])
    assert report["nodes"] >= 10_000
    # By itself it takes four and a half, the imports of JAX and Numba among them; here others work beside it
    assert report["seconds"] < 20.0
