"""The grids of the suites, and the configuration of the releases."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def load(path):
    found = importlib.util.spec_from_file_location(path.stem + "_under_test", path)
    module = sys.modules[found.name] = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


tiers = load(ROOT / "benchmarks/tiers.py")
configure = load(ROOT / "benchmarks/releases/configure.py")


@pytest.mark.parametrize("name", sorted(tiers.TIERS))
def test_every_cell_of_a_tier_is_a_case_of_its_own(name, monkeypatch):
    monkeypatch.setenv("FIRSTGRAD_TIER", name)
    cases = tiers.cases()
    assert len({case.id for case in cases}) == len(cases) > 0
    assert {case.backend for case in cases} == {grid.backend for grid in tiers.tier()}
    # One class a backend
    assert len(tiers.tier()) == len({grid.backend for grid in tiers.tier()})


def test_quick_is_what_runs_where_nothing_is_said(monkeypatch):
    monkeypatch.delenv("FIRSTGRAD_TIER", raising=False)
    quick = tiers.cases()
    monkeypatch.setenv("FIRSTGRAD_TIER", "quick")
    assert tiers.cases() == quick
    assert len(quick) == 5
    # HMM off and on
    assert {case.model.pose.hmm is None for case in quick} == {True, False}


def test_full_goes_to_a_thousand_timesteps_and_twenty_directions(monkeypatch):
    monkeypatch.setenv("FIRSTGRAD_TIER", "full")
    cases = tiers.cases()
    assert max(case.model.pose.n_timesteps for case in cases) == 1000
    assert max(case.model.pose.n_directions for case in cases) == 20
    assert {str(case.scenario) for case in cases} == {"cold", "warm", "hot"}


def test_an_unknown_tier_names_those_there_are(monkeypatch):
    monkeypatch.setenv("FIRSTGRAD_TIER", "huge")
    with pytest.raises(SystemExit, match=r"FIRSTGRAD_TIER=huge.*quick, standard"):
        tiers.tier()


def test_the_suite_has_a_class_a_backend_with_all_axes():
    seen = "b.Jax.param_names, b.C.params, b.Jax.rounds, hasattr(b, 'Numba')"
    code = f"from benchmarks import bench_pose as b; print({seen})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    axes = ["timesteps", "directions", "hmm", "formulation", "backend", "scenario"]
    assert done.stdout.strip() == f"{axes} {[[20], [2], ['off'], ['vectorised'], ['c'], ['warm']]} 5 False"


def test_the_releases_configuration_is_what_the_pins_say():
    # Else: python benchmarks/releases/configure.py
    assert (ROOT / "asv.releases.conf.json").read_text() == configure.configuration()


def settings(name):
    text = (ROOT / name).read_text()
    return json.loads("\n".join(line for line in text.splitlines() if not re.match(r"\s*//", line)))


def test_every_release_is_pinned_whole():
    rows = settings("asv.releases.conf.json")["include"]
    assert len(rows) >= 8
    for row in rows:
        assert {"pymc", "pytensor", "numpy", "numba", "jax"} <= set(row["req"])
    releases = [row["req"]["pymc"] for row in rows]
    assert releases[0].startswith("5.16.")
    assert len(set(releases)) == len(releases)


def test_the_suites_own_stack_is_pinned_whole_and_is_the_newest_release():
    pinned = settings("asv.conf.json")["matrix"]["req"]
    assert {"pymc", "pytensor", "numpy", "numba", "jax"} == set(pinned)
    assert all(len(versions) == 1 for versions in pinned.values())
    newest = settings("asv.releases.conf.json")["include"][-1]["req"]
    assert {name: pinned[name] for name in ("pymc", "pytensor")} == {
        name: [newest[name]] for name in ("pymc", "pytensor")
    }


def test_the_pins_say_each_default_backend():
    for row in tomllib.loads(configure.PINS.read_text())["release"]:
        assert row["default_backend"] == ("numba" if row["pymc"].startswith("6.") else "c")
