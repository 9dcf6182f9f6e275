"""The arrows point one way, and the parent's side stays light."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"pymc", "pytensor", "jax", "numba"}
PARENT_SIDE = [
    "firstgrad",
    "firstgrad.measuring.launch",
    "firstgrad.store.store",
    "firstgrad.estimates",
    "firstgrad.growth.series",
    "firstgrad.show.bars",
    "firstgrad.show.series",
    "firstgrad.show.overview",
    "firstgrad.cli.app",
    "firstgrad.pose.oracle",
    "firstgrad.backends",
]


def imported_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_import_contracts_hold():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("module", PARENT_SIDE)
def test_the_parent_side_imports_nothing_that_is_measured(module):
    assert not imported_by(f"import {module}") & HEAVY


def test_measuring_imports_nothing_that_is_measured_into_the_parent():
    statement = (
        "from firstgrad.measuring.launch import measure\n"
        "from firstgrad.case import Case, BackendName\n"
        "from firstgrad.pose.spec import PoseSpec\n"
        "case = Case(model=PoseSpec(n_timesteps=3, n_directions=1), backend=BackendName.FAKE, evaluations=3)\n"
        "(record,) = measure(case)\n"
        "assert record.status == 'ok', record.failure"
    )
    assert not imported_by(statement) & HEAVY


def test_help_imports_nothing_heavy():
    statement = (
        "import sys; sys.argv = ['firstgrad', '--help']\nfrom firstgrad.cli import main\n"
        "try: main()\nexcept SystemExit: pass"
    )
    code = "import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()):\n    " + statement.replace(
        "\n", "\n    "
    )
    too_heavy = HEAVY | {"numpy", "scipy", "matplotlib", "sqlalchemy", "pandas", "cattrs", "psutil"}
    assert not imported_by(code) & too_heavy


def test_help_comes_at_once():
    command = [Path(sys.executable).with_name("firstgrad"), "--help"]
    seconds = []
    for _ in range(7):
        before = os.times()
        subprocess.run(command, capture_output=True, check=True)
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    # Processor time, and the least of several: the question is what it takes, not what else this machine does.
    # It waits for nothing, so on a quiet machine it is the time on the wall.
    assert min(seconds) < 0.3


@pytest.mark.parametrize("package", ["firstgrad", "firstgrad.store", "firstgrad.backends"])
def test_the_public_names_are_sorted_and_there(package):
    module = importlib.import_module(package)
    assert list(module.__all__) == sorted(module.__all__)
    for name in module.__all__:
        if name != "build_pose_model":  # imports PyMC
            assert getattr(module, name) is not None
