"""``firstgrad advise`` as a user runs it: it measures what is missing with the fake backend, and draws."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from firstgrad.measuring.launch import STOPPED
from firstgrad.record import Status
from firstgrad.store import Store
from helpers import is_alive, write_model

FIRSTGRAD = Path(sys.executable).with_name("firstgrad")


def run(*arguments, cwd):
    return subprocess.run(
        [FIRSTGRAD, "advise", *arguments], capture_output=True, text=True, check=False, cwd=cwd, timeout=180
    )


REFUSED = """
import numpy as np, pymc as pm, pytensor, pytensor.tensor as pt

def build():
    with pm.Model() as model:
        seen = pm.Data("seen", np.linspace(0.0, 1.0, 9))
        keep, level = pm.Normal("keep", 0.5, 0.1), pm.HalfNormal("level", 1.0)
        steps = pytensor.scan(
            lambda step, before, keep: keep * before + step,
            sequences=[pt.arange(seen.shape[0])],
            outputs_info=[level],
            non_sequences=[keep],
            return_updates=False,
        )
        area = 0.0
        for number in range(30):
            area = area + pt.exp(-level * (0.1 + number) ** 2) / (1 + keep**2 * (number + 1))
        pm.Normal("seen_as", 0.01 * steps + area, 1.0, observed=seen)
    return model
"""


def test_a_users_model_is_measured_kept_and_advised_on(tmp_path):
    reference = write_model(tmp_path, "time.sleep(0.05)\nreturn Model()")
    arguments = (reference, "--backend", "fake", "--samples", "2", "--evaluations", "1000")
    done = run(*arguments, "--output", "advice.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 ways to choose from, the soonest first, within 180 s" in done.stderr
    assert "4 samples measured now" in done.stdout
    assert "If your cache is warm: fake is the only choice." in done.stdout
    assert (tmp_path / "advice.png").stat().st_size > 10_000
    again = run(*arguments, "--no-measure", cwd=tmp_path)
    assert again.returncode == 0
    assert "to choose from" not in again.stderr
    told = [line for line in done.stdout.splitlines() if "measured now" not in line]
    assert again.stdout.splitlines()[:5] == told[:5]


def test_a_model_that_cannot_be_built_has_no_numbers_and_says_why(tmp_path):
    reference = write_model(tmp_path, "raise RuntimeError('no data')")
    done = run(reference, "--backend", "fake", "--samples", "2", "--evaluations", "10", cwd=tmp_path)
    assert done.returncode == 3
    assert "There is nothing to advise" in done.stdout
    assert "no data" in done.stdout


def test_the_pose_model_is_measured_in_both_formulations(tmp_path):
    tiny = ("--timesteps", "4", "--directions", "3", "--backend", "fake", "--samples", "2")
    done = run("pose", *tiny, "--evaluations", "100", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fake per_joint" in done.stdout
    assert "fake vectorised" in done.stdout


def test_a_way_that_can_no_longer_win_is_stopped_for_good(tmp_path):
    body = """
class Slow(Model):
    def sample(self, case, sampler, drew):
        if sampler == "pymc":
            Path("PLACE").write_text(str(os.getpid()))
            time.sleep(600)
        drew(0)
        return DrawCheck(moved=1)
    def pace(self, case, sampler):
        return Pace(draws=100, seconds_a_draw=1e-4, steps_a_draw=7.0)
from firstgrad.record import DrawCheck, Pace
return Slow()
""".replace("PLACE", str(tmp_path / "pid"))
    reference = write_model(tmp_path, body)
    began = time.monotonic()
    arguments = ("--backend", "fake", "--sampler", "pymc,nutpie", "--samples", "1", "--chains", "1", "--cores", "1")
    done = run(reference, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < 60
    assert not is_alive(int((tmp_path / "pid").read_text()))
    assert "Stopped, since it could no longer win: nutpie fake takes" in done.stdout
    assert "pymc fake, cold in phase first_draw after" in done.stdout
    assert done.stdout.rstrip().endswith('nuts_sampler="nutpie", backend="fake")')
    with Store.open(tmp_path / ".firstgrad" / "results.sqlite") as store:
        (stopped,) = store.records(status=Status.TIMEOUT)
    assert 2.0 < stopped.case.time_limit_seconds < 60.0
    assert stopped.failure.kind == STOPPED
    assert stopped.time_to_first_draw_seconds is None


def test_the_budget_ends_the_verb(tmp_path):
    reference = write_model(tmp_path, "time.sleep(600)")
    began = time.monotonic()
    arguments = ("--backend", "fake", "--evaluations", "10", "--time-budget", "3")
    done = run(reference, *arguments, cwd=tmp_path)
    assert time.monotonic() - began < 20
    assert done.returncode == 3
    assert "Stopped, since the time budget of 3.00 s was over: fake, cold in phase build after" in done.stdout
    assert "No way of running this model was measured to its end" in done.stdout


@pytest.mark.compiles
def test_real_backends_race_where_jax_refuses_until_data_are_constants(tmp_path):
    (tmp_path / "loop.py").write_text(REFUSED)
    began = time.monotonic()
    arguments = ("--evaluations", "1000", "--backend", "jax", "--samples", "1", "--time-budget", "60")
    done = run("loop.py:build", *arguments, cwd=tmp_path)
    assert time.monotonic() - began < 75
    assert done.returncode == 0, done.stdout + done.stderr
    first, *_, imports, last = done.stdout.splitlines()
    assert first.startswith("same-subgraph (time to compile): one line stands ")
    assert "No numbers, since failed in first_call: ModelError: JAX must know every shape" in done.stdout
    assert "jax (frozen data) takes" in done.stdout
    assert imports == "from pymc.model.transform.optimization import freeze_dims_and_data"
    assert last == 'gradient = freeze_dims_and_data(model).compile_dlogp(mode="JAX")'
