"""``firstgrad advise`` as a user runs it: it measures what is missing with the fake backend, and draws."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from helpers import write_model

FIRSTGRAD = Path(sys.executable).with_name("firstgrad")


def run(*arguments, cwd):
    return subprocess.run(
        [FIRSTGRAD, "advise", *arguments], capture_output=True, text=True, check=False, cwd=cwd, timeout=180
    )


def test_a_users_model_is_measured_kept_and_advised_on(tmp_path):
    reference = write_model(tmp_path, "time.sleep(0.05)\nreturn Model()")
    arguments = (reference, "--backend", "fake", "--samples", "2", "--evaluations", "1000")
    done = run(*arguments, "--output", "advice.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 samples to measure" in done.stderr
    assert "If your cache is warm: fake is all that can be offered." in done.stdout
    assert (tmp_path / "advice.png").stat().st_size > 10_000
    again = run(*arguments, "--no-measure", cwd=tmp_path)
    assert again.returncode == 0
    assert "to measure" not in again.stderr
    assert again.stdout.splitlines()[:5] == done.stdout.splitlines()[:5]


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
    assert "vectorise: variables differ in a number only" in done.stdout
    assert "measured: leaves" in done.stdout
