"""The pinned releases are whole, and the bounds in pyproject.toml say no more than they prove."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
RELEASES = tomllib.loads((ROOT / "benchmarks" / "releases" / "pins.toml").read_text())["release"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
BOUNDS = {
    each.name: each.specifier for each in map(Requirement, PROJECT["dependencies"] + EXTRAS["numba"] + EXTRAS["jax"])
}
PINNED = ("pymc", "pytensor", "numpy", "numba", "scipy", "jax", "jaxlib", "arviz")


def test_releases_are_many_and_go_from_old_to_new():
    versions = [Version(each["pymc"]) for each in RELEASES]
    assert len(versions) >= 10
    assert versions == sorted(set(versions))


@pytest.mark.parametrize("release", RELEASES, ids=lambda each: each["pymc"])
def test_a_release_is_pinned_completely(release):
    assert set(release) - {"nutpie"} == {"python", "default_backend", *PINNED}
    for package in PINNED:
        assert len(Version(release[package]).release) >= 3
    assert release["default_backend"] == ("c" if Version(release["pymc"]).major == 5 else "numba")
    assert release["jax"] == release["jaxlib"]


@pytest.mark.parametrize("release", RELEASES, ids=lambda each: each["pymc"])
def test_a_release_is_within_the_bounds(release):
    for package in PINNED:
        if package in BOUNDS:
            assert BOUNDS[package].contains(release[package]), package
    assert Version(release["python"]) in Requirement(f"python{PROJECT['requires-python']}").specifier


@pytest.mark.parametrize("package", ["pymc", "pytensor", "numpy", "numba", "jax"])
def test_a_lower_bound_is_no_lower_than_the_oldest_release(package):
    (bound,) = (Version(each.version) for each in BOUNDS[package] if each.operator == ">=")
    assert bound.release[:2] == min(Version(each[package]) for each in RELEASES).release[:2]
