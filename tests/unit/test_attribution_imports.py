"""Imports: planted ones put together by package, and real ones of a throw-away package."""

import importlib
import sys

import pytest

from firstgrad.attribution.imports import NO_IMPORT, THE_REST, import_spans, sum_imports, watch_imports
from firstgrad.attribution.stretches import Stretch, StretchRecorder, walk
from firstgrad.observe.calls import FunctionEvents
from helpers import FakeClock


def module(name, began, ended, *inner):
    return Stretch("import", name, began, ended, list(inner))


PLANTED = (
    module(
        "pymc",
        1.0,
        11.0,
        module("pytensor", 2.0, 6.0, module("numpy", 3.0, 4.0), module("pytensor.tensor", 4.0, 5.5)),
        module("pymc.model", 7.0, 8.0),
    ),
    module("jax", 12.0, 14.0, module("numpy.extra", 12.5, 13.0)),
)


def test_own_seconds_are_without_other_modules_and_inclusive_ones_count_each_second_once():
    found = {each.name: each for each in sum_imports(PLANTED, 14.0)}
    assert (found["pymc"].own_seconds, found["pymc"].wall_seconds) == (6.0, 10.0)
    assert (found["pytensor"].own_seconds, found["pytensor"].wall_seconds) == (3.0, 4.0)
    assert (found["numpy"].own_seconds, found["numpy"].wall_seconds) == (1.5, 1.5)
    assert (found["jax"].own_seconds, found["jax"].wall_seconds) == (1.5, 2.0)
    assert found[NO_IMPORT].own_seconds == 2.0


def test_own_seconds_add_up_to_the_block_however_few_are_listed():
    found = sum_imports(PLANTED, 14.0, most=1)
    assert [each.name for each in found] == ["pymc", THE_REST, NO_IMPORT]
    assert sum(each.own_seconds for each in found) == pytest.approx(14.0)


def test_nothing_seen_is_nothing_said():
    assert sum_imports((), 3.0) == ()


def test_quick_modules_have_no_span():
    spans = import_spans((module("slow", 0.0, 1.0, module("quick", 0.1, 0.1001)),))
    assert [each.name for each in spans] == ["slow"]


def test_real_imports_are_seen_as_they_nest_failed_ones_too(tmp_path, monkeypatch):
    package = tmp_path / "thrown_away"
    package.mkdir()
    (package / "__init__.py").write_text("from thrown_away import inner\n")
    (package / "inner.py").write_text(
        "try:\n    import thrown_away.broken\nexcept ImportError:\n    pass\nimport thrown_away.last\n"
    )
    (package / "broken.py").write_text("import there_is_no_such_module\n")
    (package / "last.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    recorder, events = StretchRecorder(FakeClock()), FunctionEvents()
    watch_imports(events, recorder)
    with events:
        importlib.import_module("thrown_away")
    for name in [name for name in sys.modules if name.startswith("thrown_away")]:
        monkeypatch.delitem(sys.modules, name)
    around = {each.subject: outer and outer.subject for each, outer in walk(recorder.finish())}
    assert events.problems == []
    assert around == {
        "thrown_away": None,
        "thrown_away.inner": "thrown_away",
        "thrown_away.broken": "thrown_away.inner",
        "there_is_no_such_module": "thrown_away.broken",
        "thrown_away.last": "thrown_away.inner",
    }
