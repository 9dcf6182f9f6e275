"""Real sampling runs of tiny models, each in a process of its own, on JAX: it compiles them fastest."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from firstgrad.case import BackendName, Case, Sampler, Target
from firstgrad.model import Model
from firstgrad.pose.spec import Missing, PoseSpec
from firstgrad.record import Status
from firstgrad.sampling.launch import sample_case
from firstgrad.sampling.plan import DrawsNow, SamplingPlan, SamplingStage, StageBegan
from helpers import MIB, linux_only, wait_for

pytestmark = linux_only

TINY = Path(__file__).parents[1] / "contract" / "tiny_model.py"
NAIVE = PoseSpec(n_timesteps=4, n_directions=1, missing=Missing.NAIVE, missed_fraction=0.3)
needs_nutpie = pytest.mark.skipif(find_spec("nutpie") is None, reason="nutpie is not installed")

MODELS = """
import time

import numpy as np
import pymc as pm

def raising():
    raise ValueError("no such data")

def impossible():
    with pm.Model() as model:
        pm.Potential("never", pm.Normal("a") * 0.0 - np.inf)
    return model

def sleeping():
    time.sleep(1000)
"""


@pytest.fixture(autouse=True)
def base(tmp_path, monkeypatch):
    """Where private folders are made; each must be gone at the end."""
    base = tmp_path / "tmp"
    base.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(base))
    yield base
    assert list(base.iterdir()) == []


@pytest.fixture
def models(tmp_path):
    path = tmp_path / "models.py"
    path.write_text(MODELS)
    return path


def run(model, *, told=None, time_limit_seconds=300.0, **plan):
    if not isinstance(model, PoseSpec):
        model = Model(reference=model)
    case = Case(
        model=model,
        backend=BackendName.JAX,
        target=Target.LOGP_DLOGP,
        evaluations=0,
        time_limit_seconds=time_limit_seconds,
    )
    return sample_case(case, SamplingPlan(**plan), on_event=told.append if told is not None else None)


def stages_of(run):
    return [each.stage for each in run.stages]


@pytest.mark.compiles
def test_pymc_samples_a_tiny_model():
    told = []
    sampled = run(f"{TINY}:build", told=told, tune=30, draws=10, chains=2)
    assert (sampled.status, sampled.failure, sampled.stuck_chains) == (Status.OK, None, 0)
    assert stages_of(sampled) == [stage for stage in SamplingStage if stage is not SamplingStage.SAMPLING]
    assert (sampled.tuning.draws, sampled.drawing.draws) == (60, 20)
    assert sampled.drawing.gradient_evaluations >= 2 * sampled.drawing.draws
    assert 10 < sampled.drawing.positions <= 20
    assert 0.0 < sampled.drawing.mean_acceptance <= 1.0
    assert sampled.start.is_finite
    assert [(group.group, group.values) for group in sampled.start.finiteness] == [("mu", 1), ("sigma", 1)]
    assert sampled.caches.is_proven
    assert sampled.environment.device == "cpu"
    assert sampled.memory.peak_rss_bytes > 100 * MIB
    # XLA compiles in the first call: had that been taken for tuning, tuning would be the longest by far.
    assert sampled.seconds(SamplingStage.COMPILE) > sampled.seconds(SamplingStage.TUNING)
    began = [event.stage for event in told if isinstance(event, StageBegan)]
    assert began.count(SamplingStage.DRAWING) == began.count(SamplingStage.TUNING) == 2
    draws = [event for event in told if isinstance(event, DrawsNow)]
    assert (draws[-1].tuned, draws[-1].drawn) == (60, 20)


@pytest.mark.compiles
def test_nan_gradients_keep_pymc_at_its_start():
    sampled = run(NAIVE, tune=10, draws=5)
    assert (sampled.status, sampled.is_sound) == (Status.OK, False)
    assert (sampled.tuning.divergences, sampled.drawing.divergences, sampled.stuck_chains) == (10, 5, 1)
    assert (sampled.tuning.positions, sampled.drawing.positions) == (1, 1)
    # The evaluation where the draw starts, and one step into nothing.
    assert sampled.drawing.gradient_evaluations == 2 * 5
    assert sampled.start.n_not_finite > 0
    assert "x_root" in {group.group for group in sampled.start.finiteness if group.nan}
    assert math.isfinite(sampled.start.logp)  # only the gradient tells


@needs_nutpie
@pytest.mark.compiles
def test_nutpie_samples_a_tiny_model():
    sampled = run(f"{TINY}:build", sampler=Sampler.NUTPIE, tune=400, draws=200)
    assert (sampled.status, sampled.failure, sampled.stuck_chains) == (Status.OK, None, 0)
    both = {SamplingStage.TUNING, SamplingStage.DRAWING}
    assert set(stages_of(sampled)) & {SamplingStage.SAMPLING, *both} in (both, {SamplingStage.SAMPLING})
    assert (sampled.tuning.draws, sampled.drawing.draws) == (400, 200)
    assert sampled.drawing.gradient_evaluations >= 200
    assert sampled.drawing.positions > 100
    assert sampled.start.is_finite
    assert sampled.caches.is_proven
    assert sampled.seconds(SamplingStage.COMPILE) > sampled.seconds(SamplingStage.TUNING, SamplingStage.SAMPLING)


@needs_nutpie
@pytest.mark.compiles
def test_nutpie_refuses_nan_gradients():
    sampled = run(NAIVE, sampler=Sampler.NUTPIE, tune=10, draws=5)
    assert (sampled.status, sampled.failed_stage) == (Status.FAILED, SamplingStage.COMPILE)
    assert sampled.failure.message.startswith("nutpie cannot start: ")
    assert "gradient" in sampled.failure.message
    assert "<unknown>" not in sampled.failure.message
    assert "x_root" in {group.group for group in sampled.start.finiteness if group.nan}


@pytest.mark.compiles
def test_a_start_without_density_fails_with_pymcs_own_words(models):
    sampled = run(f"{models}:impossible", tune=10, draws=5)
    assert (sampled.status, sampled.failed_stage) == (Status.FAILED, SamplingStage.COMPILE)
    assert sampled.failure.kind == "SamplingError"
    assert "Initial evaluation of model at starting point failed" in sampled.failure.message


def test_a_model_that_raises(models):
    sampled = run(f"{models}:raising")
    assert (sampled.status, sampled.failed_stage) == (Status.FAILED, SamplingStage.BUILD)
    message = rf"{re.escape(str(models))}:raising raised ValueError: no such data \(line \d+ of {models.name}\)"
    assert re.fullmatch(message, sampled.failure.message)
    assert stages_of(sampled) == [SamplingStage.IMPORT, SamplingStage.BUILD]


def test_a_run_over_its_time_is_stopped(models):
    sampled = run(f"{models}:sleeping", time_limit_seconds=1.5)
    assert (sampled.status, sampled.failure.kind) == (Status.TIMEOUT, "TimeLimit")
    assert f"in phase {sampled.failed_stage} after its limit of 1.50 s" in sampled.failure.message


def test_an_interrupt_ends_the_run_and_leaves_nothing(models, base, tmp_path):
    errors = tmp_path / "errors"
    with errors.open("w") as stderr:
        command = [sys.executable, "-c", "from firstgrad.cli import main; main()", "sample", f"{models}:sleeping"]
        process = subprocess.Popen(
            [*command, "--backend", "jax"],
            stderr=stderr,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"TMPDIR": str(base)},
            start_new_session=True,
        )
        try:
            wait_for(lambda: "build" in errors.read_text(), seconds=60.0, what="the stage build")
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(timeout=30.0) == 130
        finally:
            process.kill()
            process.wait()
    assert "interrupted, nothing is kept" in errors.read_text()
