"""Backends without compiling: their facts, what they refuse, what they count."""

from __future__ import annotations

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from firstgrad.backends import all_facts, cache_entries, facts_of, load_backend
from firstgrad.backends.base import BuiltModel, Hooks
from firstgrad.backends.c import CBackend
from firstgrad.backends.jax import JaxBackend
from firstgrad.backends.numba import NumbaBackend
from firstgrad.backends.pytensor import PyTensorBackend
from firstgrad.case import BackendName, Target
from firstgrad.errors import BackendUnavailable, ModelError
from firstgrad.measuring import environment
from firstgrad.measuring.private import worker_variables

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
    assert facts.cache_entries
    assert set(facts.cache_entries) <= set(cache_entries())
    assert facts.package in ("", *environment.PACKAGES)


@pytest.mark.parametrize("facts", REAL)
def test_a_further_way_is_one_through_a_compiler_of_its_own_right(facts):
    whose = facts_of(facts.compiler)
    assert whose.compiler is whose.name
    assert (whose.package, whose.programs) == (facts.package, facts.programs)
    assert whose.variables.items() <= facts.variables.items()  # beside a cache of its own


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


HOOKS = Hooks(lambda: None, lambda *_: None)


def compile_that_raises(error):
    def compile_(*_):
        raise error

    return compile_


def test_a_graph_that_pytensor_has_no_jax_for_is_told_with_the_way_out(monkeypatch):
    # As PyMC 5.26 says it of an HMM by scan.
    said = NotImplementedError("Scan with MIT-MOT (gradients of scan) cannot yet be converted to JAX")
    monkeypatch.setattr(PyTensorBackend, "compile", compile_that_raises(said))
    with pytest.raises(ModelError, match=r"gradients of scan.*newer PyMC.*--hmm-algorithm tree") as raised:
        JaxBackend().compile(BuiltModel(None, None), None, Target.DLOGP, HOOKS)
    assert raised.value.__cause__ is said


def test_of_a_users_own_model_nothing_is_said_of_the_pose_model(monkeypatch):
    said = NotImplementedError("No JAX conversion for the given `Op`: Mine{" + "a=1, " * 200 + "}")
    monkeypatch.setattr(PyTensorBackend, "compile", compile_that_raises(said))
    with pytest.raises(ModelError, match=r"Mine.*jax_funcify") as raised:
        JaxBackend().compile(BuiltModel(None, None, is_own=True), None, Target.DLOGP, HOOKS)
    assert "pose" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_any_other_error_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(PyTensorBackend, "compile", compile_that_raises(TypeError("a bug")))
    with pytest.raises(TypeError, match="a bug"):
        JaxBackend().compile(None, None, Target.DLOGP, HOOKS)


class FakePyTensor:
    """Answers for PyTensor's module cache, and remembers that it was asked: the real one scans its folder then."""

    def __init__(self):
        self.config = SimpleNamespace(cxx="g++")
        self.asked = 0

    def get_module_cache(self):
        self.asked += 1
        return SimpleNamespace(stats=[100, 20, 3])  # found in memory, found on disk, compiled


@pytest.fixture
def pytensor(monkeypatch):
    fake = FakePyTensor()
    monkeypatch.setitem(sys.modules, "pytensor", fake)
    monkeypatch.setitem(sys.modules, "pytensor.link.c.basic", SimpleNamespace(get_module_cache=fake.get_module_cache))
    return fake


def compiled(backend, units=0):
    """A backend as it is after a compile, without one."""
    backend._has_compiled = True
    backend._compiled = units
    return backend


@pytest.mark.parametrize("kind", [CBackend, JaxBackend, NumbaBackend])
def test_before_the_first_compile_the_cache_is_not_scanned(pytensor, kind):
    assert kind().compiled_units() == 0
    assert pytensor.asked == 0


@pytest.mark.parametrize(
    ("backend", "units"),
    [(compiled(CBackend()), 3), (compiled(JaxBackend(), 19), 22), (compiled(NumbaBackend(), 600), 603)],
)
@pytest.mark.usefixtures("pytensor")
def test_c_modules_are_counted_beside_the_backends_own(backend, units):
    assert backend.compiled_units() == units


def test_without_a_compiler_there_is_no_cache_to_ask(pytensor):
    pytensor.config.cxx = ""
    assert compiled(JaxBackend(), 19).compiled_units() == 19
    assert pytensor.asked == 0


@pytest.mark.usefixtures("pytensor")
def test_what_jaxs_cache_answered_is_not_counted():
    backend = compiled(JaxBackend(), 19)
    backend._from_cache = 18
    assert backend.compiled_units() == 4


@pytest.mark.parametrize("kind", [CBackend, JaxBackend, NumbaBackend])
@pytest.mark.usefixtures("pytensor")
def test_what_the_search_for_a_start_point_compiles_is_left_out(kind):
    backend = kind()
    backend._compiled = 0
    before = backend.compiled_units()

    def initial_point():
        backend.unit_begins()  # two of the cache's three modules
        backend.unit_begins()
        return {"x": 1.0}

    backend.start_point(SimpleNamespace(model=SimpleNamespace(initial_point=initial_point)))
    backend._has_compiled = True
    assert backend.compiled_units() - before == 1
