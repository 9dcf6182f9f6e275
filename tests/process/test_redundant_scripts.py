"""Real scripts that do something needlessly, by the real recorder: all of it is found, and none is invented."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from builders import FIRSTGRAD

pytestmark = pytest.mark.compiles

SCRIPTS = Path(__file__).parents[2] / "examples" / "scripts"
# Python's own interpreter of graphs compiles in no time, and PyMC asks for it in the same way.
PLANTED = """
import numpy as np
import pymc as pm
from pymc.model.transform.optimization import freeze_model

OPTIONS = dict(draws=5, tune=5, chains=1, cores=1, nuts_sampler="pymc", progressbar=False, random_seed=1,
               compute_convergence_checks=False, compile_kwargs={"mode": "FAST_COMPILE"})
PREDICT = dict(progressbar=False, random_seed=1, compile_kwargs={"mode": "FAST_COMPILE"})

def build(values):
    with pm.Model() as model:
        x = pm.Data("x", np.arange(8.0))
        mean, spread = pm.Normal("mean", 0, 10), pm.HalfNormal("spread")
        weights = pm.Dirichlet("weights", np.ones(3))
        pm.Normal("y", mean * x + weights[0], spread, observed=values, shape=x.shape)
    return model

for step in range(3):
    with build(np.arange(8.0) + step):
        draws = pm.sample(**OPTIONS)  # a loop over data
model = build(np.ones(8))
one = model.compile_dlogp(mode="FAST_COMPILE")
other = model.compile_dlogp(mode="FAST_COMPILE")  # kept nowhere
for _ in range(25):
    with model:
        pm.sample_posterior_predictive(draws, **PREDICT)  # compiled again
frozen = freeze_model(model)
for _ in range(3):
    with frozen:
        pm.sample_posterior_predictive(draws, **PREDICT)  # not again
"""


def traced(script, folder, *arguments):
    """Trace a script in a folder with caches of its own; returns the document and what the script printed."""
    outcome = subprocess.run(
        [FIRSTGRAD, "trace", "--no-keep", "--json", script, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=folder,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    return json.loads(outcome.stdout)


def kinds(document):
    """Kinds of what is needless, with the lines' texts."""
    return {(work["kind"], *(line["text"] for line in work["lines"])) for work in document["redundant"]}


def line_of(script, part):
    return next(line.strip() for line in script.splitlines() if part in line)


def test_planted_work_is_found_at_its_lines_and_what_a_frozen_model_keeps_is_not(tmp_path):
    (tmp_path / "planted.py").write_text(PLANTED)
    document = traced("planted.py", tmp_path)
    found = {kind for kind in kinds(document) if kind[0] != "c_compiler"}  # that is the empty cache's
    assert found == {
        ("other_constants", line_of(PLANTED, "# a loop over data")),
        ("same_graph", line_of(PLANTED, "one = "), line_of(PLANTED, "# kept nowhere")),
        ("same_graph", line_of(PLANTED, "# compiled again")),
    }


def test_a_clean_script_has_nothing_needless(tmp_path):
    document = traced(str(SCRIPTS / "clean.py"), tmp_path)
    assert {kind for kind, *_ in kinds(document)} <= {"c_compiler"}
    assert not any("compiled before" in sentence for sentence in document["sentences"])
    assert len(document["trace"]["compiles"]) >= 5


def test_nutpies_wrappers_are_found_twice(tmp_path):
    pytest.importorskip("nutpie")
    script = SCRIPTS / "same_model_twice.py"
    lines = [line_of(script.read_text(), part) for part in ("short = pm.", "long = pm.")]
    found = {kind for kind in kinds(traced(str(script), tmp_path)) if kind[0] != "c_compiler"}
    assert found == {("same_graph", *lines), ("never_kept", lines[0])}
