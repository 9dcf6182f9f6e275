"""A few of the random faults of `make attack`; and that its judge sees a loss, a falsehood and a leftover."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.attack.faults import judge_numbers, planted
from helpers import linux_only

pytestmark = [linux_only, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
LIAR = """\
#!{python}
import json, os, subprocess, tempfile
none = subprocess.DEVNULL
subprocess.Popen(["setsid", "sleep", "1000"], stdin=none, stdout=none, stderr=none)
tempfile.mkdtemp(prefix="firstgrad-")
print(json.dumps({{"record_id": "never stored"}}))
"""


def story(number, faults, **variables):
    """One story of faults, in a process of its own as `make attack` tells it."""
    words = ("--seed", "13", "--story", str(number), "--faults", str(faults))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.attack.run", *words],
        cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=True, timeout=280,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.parametrize("number", [0, 1])
def test_random_faults_lose_nothing_store_nothing_false_and_leave_nothing(number):
    told = story(number, 5)
    assert sum(told["faults"].values()) >= 5, "the faults must hit running sweeps"
    assert told["harm"] == {"lost": [], "false": [], "left": [], "unclear": []}


def test_a_program_that_loses_and_leaves_is_seen(tmp_path):
    liar = tmp_path / "firstgrad"
    liar.write_text(LIAR.format(python=sys.executable))
    liar.chmod(0o755)
    harm = story(0, 1, ATTACKED=str(liar), GRACE_SECONDS="0.5")["harm"]
    assert any("of 1 reported" in what for what in harm["lost"])
    assert any("sleep 1000, firstgrad-" in what for what in harm["left"])


@pytest.mark.parametrize(
    ("wall", "cpu", "is_false"),
    [(0.2, 0.05, False), (0.2, -0.01, True), (0.09, 0.05, True), (0.2, 0.01, True), (0.2, 64 * 0.2 * 100, True)],
)
def test_seconds_that_cannot_be_are_seen(wall, cpu, is_false):
    seen = []
    record = {"phases": [{"phase": "build", "wall_seconds": wall, "cpu_seconds": cpu}]}
    judge_numbers(record, *planted(2)[:2], seen.append)
    assert bool(seen) is is_false, seen
