"""C modules count for every backend, and asking for them costs nothing before the clock starts."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from firstgrad.backends.c import CBackend
from firstgrad.backends.jax import JaxBackend
from firstgrad.backends.numba import NumbaBackend


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
