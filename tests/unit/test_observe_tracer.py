"""The tracer: what fails becomes a line, the rest is told; tools are given back. Imports, by package."""

import importlib
import sys
from types import SimpleNamespace

import pytest

from builders import phase
from firstgrad.case import BackendName
from firstgrad.observe import tracer as tracer_module
from firstgrad.observe.calls import FunctionEvents
from firstgrad.observe.events import Attribution, CacheMiss, NodeTypeCount, SpanKind, TimeSpan
from firstgrad.observe.spans import Stretch, StretchRecorder, walk_stretches
from firstgrad.observe.tracer import NO_IMPORT, THE_REST, Tracer, import_spans, sum_imports, watch_imports
from firstgrad.phase import Phase
from firstgrad.record import RewritePass
from helpers import FakeClock

PHASES = (phase("rewrite", 2.0, began=1.0),)


def first(**fields):
    compiled = SimpleNamespace(
        stats=None,
        nodes_by_type=(("Exp", 2),),
        nodes_after=2,
        nodes=(),
        rewrite_passes=(RewritePass(name="merge", wall_seconds=0.5),),
        unavailable=(),
    )
    return SimpleNamespace(**{"graph": None, "compiled": compiled, "problem": None} | fields)


def trace(tracer, given):
    with tracer.imports(), tracer.window():
        pass
    return tracer.finish(given, PHASES)


class Planted:
    def __init__(self, *, fails_in=""):
        self.fails_in = fails_in
        self.calls = []

    def _called(self, name):
        self.calls.append(name)
        if name == self.fails_in:
            raise RuntimeError("as planted")

    def attach(self, _events, _recorder):
        self._called("attach")

    def detach(self):
        self._called("detach")

    def report(self, _roots, facts):
        self._called("report")
        assert facts.phase_at(1.5) is Phase.REWRITE
        unit = TimeSpan(kind=SpanKind.UNIT, name="kernel", began_seconds=2.5, wall_seconds=9.0)
        return Attribution(
            spans=(unit,), cache_misses=(CacheMiss(name="kernel", reason="r"),), unavailable=("sizes: none",)
        )


@pytest.fixture
def planted(monkeypatch):
    listener = Planted()
    monkeypatch.setattr(tracer_module, "_make_listener", lambda *_: listener)
    return listener


def test_the_fake_backend_has_phases_passes_and_types_of_nodes():
    told = trace(Tracer(BackendName.FAKE, FakeClock(0.0)), first())
    assert [(each.kind, each.name) for each in told.spans] == [
        (SpanKind.PHASE, "rewrite"),
        (SpanKind.PASS, "merge"),
    ]
    assert told.node_types == (NodeTypeCount(name="Exp", before=0, after=2),)
    assert (told.units, told.rewriters, told.unavailable) == ((), (), ())


def test_what_an_listener_report_is_told_and_cut_to_its_phase(planted):
    model = SimpleNamespace(free_RVs=[], rvs_to_values={})
    told = trace(Tracer(BackendName.C, FakeClock(0.0)), first(built=SimpleNamespace(model=model)))
    assert planted.calls == ["attach", "detach", "report"]
    assert [(each.name, each.wall_seconds) for each in told.spans][-1] == ("kernel", 0.5)
    assert told.cache_misses == (CacheMiss(name="kernel", reason="r"),)
    assert told.unavailable == ("sizes: none",)


@pytest.mark.parametrize("step", ["attach", "detach", "report"])
def test_an_listener_that_fails_costs_its_part_only(planted, step):
    planted.fails_in = step
    told = trace(Tracer(BackendName.C, FakeClock(0.0)), first())
    assert any("RuntimeError: as planted" in line for line in told.unavailable)
    assert told.node_types
    assert [each.name for each in told.spans][:2] == ["rewrite", "merge"]


def test_a_result_unlike_any_other_is_described_not_raised(planted):
    told = trace(Tracer(BackendName.C, FakeClock(0.0)), SimpleNamespace())
    whats = {line.partition(":")[0] for line in told.unavailable}
    assert {"units", "rewriters", "types of nodes", "passes"} <= whats
    assert planted.calls == ["attach", "detach"]


def test_where_the_window_raises_the_listener_is_detached_and_the_tool_given_back(planted):
    before = [sys.monitoring.get_tool(each) for each in range(6)]
    with pytest.raises(ValueError, match="planted"), Tracer(BackendName.C, FakeClock(0.0)).window():
        raise ValueError("planted")
    assert planted.calls == ["attach", "detach"]
    assert [sys.monitoring.get_tool(each) for each in range(6)] == before


def test_a_tracer_that_saw_nothing_has_nothing_to_tell():
    told = Tracer(BackendName.FAKE, FakeClock(0.0)).finish(first(), ())
    assert (told.spans, told.imports, told.unavailable) == ((), (), ())


def test_imports_are_put_together(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    tracer = Tracer(BackendName.FAKE, FakeClock(0.0))
    with tracer.imports():
        import colorsys  # noqa: F401 - for its import alone
    assert "colorsys" in {each.name for each in tracer.finish(first(), ()).imports}


def module(name, began, ended, *inner):
    return Stretch("import", name, began, ended, list(inner))


PYTENSOR = module("pytensor", 2.0, 6.0, module("numpy", 3.0, 4.0), module("pytensor.tensor", 4.0, 5.5))
PLANTED = (
    module("pymc", 1.0, 11.0, PYTENSOR, module("pymc.model", 7.0, 8.0)),
    module("jax", 12.0, 14.0, module("numpy.extra", 12.5, 13.0)),
)


def test_own_seconds_are_without_other_modules_and_inclusive_ones_count_each_second_once():
    found = {each.name: each for each in sum_imports(PLANTED, 14.0)}
    assert (found["pymc"].own_seconds, found["pymc"].wall_seconds) == (6.0, 10.0)
    assert (found["pytensor"].own_seconds, found["pytensor"].wall_seconds) == (3.0, 4.0)
    assert (found["numpy"].own_seconds, found["numpy"].wall_seconds) == (1.5, 1.5)
    assert (found["jax"].own_seconds, found["jax"].wall_seconds) == (1.5, 2.0)
    assert found[NO_IMPORT].own_seconds == 2.0
    # They add up to the block however few are listed.
    found = sum_imports(PLANTED, 14.0, most=1)
    assert [each.name for each in found] == ["pymc", THE_REST, NO_IMPORT]
    assert sum(each.own_seconds for each in found) == pytest.approx(14.0)


def test_nothing_seen_is_nothing_said_and_quick_modules_have_no_span():
    assert sum_imports((), 3.0) == ()
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
    around = {each.subject: outer and outer.subject for each, outer in walk_stretches(recorder.finish())}
    assert events.problems == []
    assert around == {
        "thrown_away": None,
        "thrown_away.inner": "thrown_away",
        "thrown_away.broken": "thrown_away.inner",
        "there_is_no_such_module": "thrown_away.broken",
        "thrown_away.last": "thrown_away.inner",
    }
