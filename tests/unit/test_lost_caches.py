"""Caches that are lost between runs: recognised by where a process runs, and what that costs by cold less warm."""

from __future__ import annotations

from dataclasses import replace

import pytest

from firstgrad.advising.advice import find_offers, make_advice
from firstgrad.advising.answer import Surroundings, find_lost_caches, look_around
from firstgrad.advising.workload import Workload
from firstgrad.case import Scenario
from firstgrad.show.advice import cache_sentences
from planted_advice import asked, planted_samples

KEPT = Surroundings(
    in_ci=False, in_container=False, cache_folder="/home/me/.pytensor", cache_doubt="", has_jax_cache=True
)
LOST = Surroundings(
    in_ci=True, in_container=False, cache_folder="/home/me/.pytensor", cache_doubt="", has_jax_cache=False
)


def look(records, surroundings=LOST):
    workload = Workload(evaluations=1000)
    return find_lost_caches(make_advice(find_offers(records, asked(records), workload), workload), surroundings)


def test_the_price_of_lost_caches_is_measured_as_cold_less_warm():
    cold = planted_samples({"numba": (100.0, 1e-3)}, scenarios=(Scenario.COLD,))
    warm = planted_samples({"numba": (4.0, 1e-3)}, scenarios=(Scenario.WARM,))
    lost = look([*cold, *warm])
    assert lost.reasons == ("this is a CI run (CI is set)",)
    assert lost.warm_over_cold.value == pytest.approx(0.04)
    assert any("base_compiledir" in line for line in lost.lines)
    (sentence,) = cache_sentences(lost)
    assert "and save 96.0 s at every start" in sentence
    assert look([*cold, *warm], KEPT) is None


def test_jax_without_a_cache_folder_keeps_nothing():
    lost = look(planted_samples({"jax": (10.0, 1e-3)}, scenarios=(Scenario.COLD,)))
    assert lost.reasons == ("JAX_COMPILATION_CACHE_DIR is not set, so JAX keeps nothing",)
    assert "weren't measured, so what that costs isn't known" in next(cache_sentences(lost))
    assert look(planted_samples({"jax": (10.0, 1e-3)}), KEPT) is None


def test_firstgrads_own_ways_keep_what_they_make_by_themselves():
    """JAX's disk cache is nothing to them: what XLA loads from it can't always be kept again."""
    records = planted_samples({"jax_direct": (10.0, 1e-3)}, scenarios=(Scenario.COLD,))
    lost = look(records)
    assert lost.reasons == ("this is a CI run (CI is set)",)
    assert not any("JAX_" in line for line in lost.lines)
    assert "FIRSTGRAD_CACHE_DIR" in lost.lines[0]
    assert look(records, replace(LOST, in_ci=False, cache_doubt="is empty")) is None


def test_caches_that_save_nothing_and_no_samples_at_all_are_no_matter():
    assert look(planted_samples({"jax": (10.0, 1e-3)})) is None  # warm as long as cold
    assert look([]) is None
    assert not list(cache_sentences(None))


def test_the_environment_tells_ci_containers_and_fresh_folders(tmp_path):
    old = tmp_path / "home" / ".pytensor"
    old.mkdir(parents=True)
    (old / "entry").touch()
    now = (old / "entry").stat().st_mtime + 1e6
    home = {"HOME": str(old.parent), "TMPDIR": str(tmp_path / "tmp")}
    here = look_around(home, root=tmp_path, now=now)
    assert (here.reasons("pytensor"), here.cache_folder, here.has_jax_cache) == ((), str(old), False)
    (tmp_path / ".dockerenv").touch()
    there = look_around(home | {"CI": "true"}, root=tmp_path, now=now)
    assert there.reasons("pytensor") == ("this is a CI run (CI is set)", "this is a container")
    assert look_around(home | {"CI": "false"}, root=tmp_path / "home", now=now).reasons("pytensor") == ()
    flags = home | {"PYTENSOR_FLAGS": f"floatX=float64,base_compiledir={tmp_path / 'tmp' / 'x'}"}
    assert "which is emptied now and then" in look_around(flags, root=tmp_path / "home").cache_doubt
    flags = home | {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path}/nowhere"}
    assert look_around(flags, root=tmp_path / "home").cache_doubt == "is not there yet"
    fresh = look_around(home, root=tmp_path / "home", now=now - 1e6 + 60)
    assert fresh.cache_doubt == "is younger than an hour"
    (old / "entry").unlink()
    assert look_around(home, root=tmp_path / "home", now=now).cache_doubt == "is empty"
