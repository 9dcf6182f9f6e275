"""Every private name that firstgrad reads, on the installed releases: there with all that is read of it, or known to be
missing before some release. Run it after each upgrade: ``python -m pytest tests/contract/test_probes.py``."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import CodeType, SimpleNamespace
from unittest.mock import MagicMock

import pytest
from packaging.version import Version

from firstgrad.case import BackendName, Case
from firstgrad.errors import UnavailableError
from firstgrad.model import Model
from firstgrad.observe.probes import FRAMES, PROBES, Probe, module_counts, pass_positions
from firstgrad.phase import Phase
from firstgrad.profiling.make import profile_case


def installed(package: str) -> Version:
    try:
        return Version(version(package))
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed")


def package_of(place: str) -> str:
    return place.partition(":")[0].partition(".")[0]


@pytest.mark.parametrize("name", PROBES)
def test_each_name_is_there_with_what_is_read_of_it(name):
    probe = PROBES[name]
    package = package_of(probe.places[0])
    release = installed(package) if package not in sys.stdlib_module_names else None
    if probe.since and release is not None and release < Version(probe.since.split()[1]):
        with pytest.raises(UnavailableError, match=package):
            probe.find()
        return
    thing = probe.find()
    for local in probe.reads:
        names = set(thing.__code__.co_varnames)
        assert set(local.split("|")) & names, f"{name}: {thing.__qualname__} has no local {local}, but {sorted(names)}"


def test_a_name_that_no_release_has_says_what_is_lost():
    probe = Probe("seconds of the moon", ("pytensor.compile.mode:no_such_thing", "pytensor.no_such_module:x"))
    with pytest.raises(
        UnavailableError, match=r"^seconds of the moon: pytensor [\d.]+\S* has no pytensor.compile.mode"
    ):
        probe.find()
    assert probe.peek() is None


def test_attributes_of_what_is_found_are_where_they_are_read():
    source = inspect.getsource(inspect.getmodule(PROBES["NUMBA_LOAD"].find()).Cache)
    assert "self._py_func" in source
    assert "self._name" in inspect.getsource(importlib._bootstrap._ModuleLockManager)


def test_the_passes_of_every_mode_have_places():
    from pytensor.compile.mode import Mode, get_mode

    for mode in (get_mode("NUMBA"), get_mode("JAX"), Mode("cvm", "fast_run")):
        places = [place for _, place in pass_positions(mode)]
        assert len(places) > 5
        assert sum(place is not None for place in places) > len(places) / 2


def test_c_modules_are_counted():
    import pytensor

    if not pytensor.config.cxx:
        pytest.skip("there is no C++ compiler")
    counts = module_counts(PROBES["GET_MODULE_CACHE"].find()())
    assert counts is not None
    assert module_counts(SimpleNamespace(stats={"compiled": 1})) is None


def code_of(file: Path, name: str) -> CodeType | None:
    """Find a function's code in a file without importing it."""
    waiting = [compile(file.read_text(encoding="utf-8"), str(file), "exec")]
    while waiting:
        code = waiting.pop()
        plain = code.co_qualname.rpartition("<locals>.")[2]
        if plain == name or ("." not in name and plain.rpartition(".")[2] == name):
            return code
        waiting += [const for const in code.co_consts if isinstance(const, CodeType)]
    return None


def locals_read(known) -> set[str]:
    """The names that a frame's readers ask for."""

    class Asked(dict):
        def __missing__(self, key):
            self[key] = MagicMock()
            return self[key]

    asked = Asked()
    for reader in (known.outermost, known.innermost):
        if reader is not None:
            with suppress(AttributeError):  # a mock has no __name__
                reader(asked)
    return set(asked)


def what_lacks(file: str, name: str) -> str:
    """What the installed release lacks of a known frame; '' for nothing, or where its package isn't installed."""
    spec = importlib.util.find_spec(file.partition("/")[0]) if "/" in file else None
    if spec is None:
        return ""
    path = Path(spec.submodule_search_locations[0]).parent / file
    code = code_of(path, name) if path.is_file() else None
    if code is None:
        return "no such function"
    unread = locals_read(FRAMES[file, name]) - set(code.co_varnames) - set(code.co_freevars)
    return f"no locals {sorted(unread)}" if unread else ""


@pytest.mark.parametrize(("file", "name"), FRAMES)
def test_each_known_frame_is_there_or_where_another_release_has_it(file, name):
    lack = what_lacks(file, name)
    alike = [place for place, known in FRAMES.items() if known == FRAMES[file, name]]
    moved = [place for place in alike if place[0] == file or place[1] == name]
    assert not lack or any(not what_lacks(*place) for place in moved), f"{file}: {name}: {lack}"


@pytest.mark.compiles
@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="there is no jax")
def test_tuples_of_another_shape_cost_what_they_told_and_never_the_sample():
    model = Model(reference=f"{Path(__file__).with_name('later_pytensor_model.py')}:build")
    profile = profile_case(Case(model=model, backend=BackendName.JAX, evaluations=3))
    record, seen = profile.record, profile.attribution
    assert record.failure is None
    assert (record.rewrite_passes, seen.rewriters) == ((), ())
    assert record.counts.nodes_before > record.counts.nodes_after > 0
    assert record.phase(Phase.REWRITE).wall_seconds > 0
    assert [line.partition(":")[0] for line in seen.unavailable] == ["passes", "rewriters"]
    assert seen.units
