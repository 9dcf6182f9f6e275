"""All facts of a backend are in its file, readable without what it compiles with; whoever needs one takes it there."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from firstgrad.backends import all_facts, cache_suffixes, facts_of, load_backend
from firstgrad.case import BackendName
from firstgrad.errors import BackendUnavailable
from firstgrad.measure import environment
from firstgrad.measure.private import worker_variables

FACTS = [pytest.param(facts, id=str(facts.name)) for facts in all_facts()]
REAL = [pytest.param(facts, id=str(facts.name)) for facts in all_facts() if facts.is_real]


def test_there_is_one_of_each_name():
    assert [facts.name for facts in all_facts()] == list(BackendName)


@pytest.mark.parametrize("facts", FACTS)
def test_it_can_be_drawn_apart_from_all_others(facts):
    others = [other for other in all_facts() if other.name is not facts.name]
    assert re.fullmatch(r"#[0-9A-F]{6}", facts.colour)
    assert facts.colour not in {other.colour for other in others}
    assert facts.marker not in {other.marker for other in others}


@pytest.mark.parametrize("facts", REAL)
def test_what_compiles_says_what_it_needs_and_what_it_leaves(facts):
    assert bool(facts.package) != bool(facts.programs)
    assert facts.missing
    assert facts.install
    assert facts.cache_suffixes
    assert set(facts.cache_suffixes) <= set(cache_suffixes())
    assert set(facts.distributions) <= set(environment.PACKAGES)
    assert facts.package in ("", *facts.distributions)


@pytest.mark.parametrize("facts", REAL)
def test_a_further_way_is_one_through_a_compiler_of_its_own_right(facts):
    whose = facts_of(facts.compiler)
    assert whose.compiler is whose.name
    assert (whose.package, whose.programs, whose.variables) == (facts.package, facts.programs, facts.variables)


@pytest.mark.parametrize("facts", FACTS)
def test_its_variables_are_in_every_workers_environment(facts, tmp_path):
    places = {"caches": tmp_path / "caches", "threads": 3}
    written = worker_variables(tmp_path, dict.fromkeys(facts.variables, "the user's own"), threads=3)
    assert {name: written[name] for name in facts.variables} == {
        name: value.format(**places) for name, value in facts.variables.items()
    }
    assert {name: written[name] for name in facts.default_variables} == dict(facts.default_variables)
    kept = worker_variables(tmp_path, dict.fromkeys(facts.default_variables, "the user's own"))
    assert {kept[name] for name in facts.default_variables} <= {"the user's own"}


@pytest.mark.parametrize("facts", REAL)
def test_where_it_is_missing_the_way_to_install_it_is_told(facts, monkeypatch):
    monkeypatch.setattr("firstgrad.backends.find_spec", lambda _: None)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(BackendUnavailable) as caught:
        load_backend(facts.name)
    assert str(caught.value) == (
        f"backend {str(facts.name)!r} needs {facts.missing}, which is not here. Install it: {facts.install}"
    )


def test_facts_are_read_without_what_is_compiled_with():
    code = "from firstgrad.backends import all_facts; all_facts(); import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    heavy = {"pymc", "pytensor", "jax", "numba", "numpy", "scipy", "pandas"}
    assert not {name.partition(".")[0] for name in done.stdout.split()} & heavy
