"""The tracer: what fails becomes a line, the rest is told; tools are given back."""

import sys
from types import SimpleNamespace

import pytest

from firstgrad.attribution import tracer as tracer_module
from firstgrad.attribution.instrument import Heard
from firstgrad.attribution.tracer import Tracer
from firstgrad.case import BackendName
from firstgrad.profile import CacheMiss, NodeType, Span, SpanKind
from firstgrad.record import Phase, PhaseRecord, RewritePass
from helpers import FakeClock

PHASES = (PhaseRecord(phase=Phase.REWRITE, began_seconds=1.0, wall_seconds=2.0, cpu_seconds=2.0),)


def first(**fields):
    compiled = SimpleNamespace(
        stats=None,
        nodes_by_type=(("Exp", 2),),
        nodes_after=2,
        rewrite_passes=(RewritePass(name="merge", wall_seconds=0.5),),
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

    def hear(self, _roots, setting):
        self._called("hear")
        assert setting.phase_at(1.5) is Phase.REWRITE
        unit = Span(kind=SpanKind.UNIT, name="kernel", began_seconds=2.5, wall_seconds=9.0)
        return Heard(spans=(unit,), misses=(CacheMiss(name="kernel", reason="r"),), unavailable=("sizes: none",))


@pytest.fixture
def planted(monkeypatch):
    instrument = Planted()
    monkeypatch.setattr(tracer_module, "_make_instrument", lambda *_: instrument)
    return instrument


def test_the_fake_backend_has_phases_passes_and_types_of_nodes():
    told = trace(Tracer(BackendName.FAKE, FakeClock(0.0)), first())
    assert [(each.kind, each.name) for each in told.spans] == [
        (SpanKind.PHASE, "rewrite"),
        (SpanKind.PASS, "merge"),
    ]
    assert told.node_types == (NodeType(name="Exp", before=0, after=2),)
    assert (told.units, told.rewriters, told.unavailable) == ((), (), ())


def test_what_an_instrument_heard_is_told_and_cut_to_its_phase(planted):
    model = SimpleNamespace(free_RVs=[], rvs_to_values={})
    told = trace(Tracer(BackendName.C, FakeClock(0.0)), first(built=SimpleNamespace(model=model)))
    assert planted.calls == ["attach", "detach", "hear"]
    assert [(each.name, each.wall_seconds) for each in told.spans][-1] == ("kernel", 0.5)
    assert told.cache_misses == (CacheMiss(name="kernel", reason="r"),)
    assert told.unavailable == ("sizes: none",)


@pytest.mark.parametrize("step", ["attach", "detach", "hear"])
def test_an_instrument_that_fails_costs_its_part_only(planted, step):
    planted.fails_in = step
    told = trace(Tracer(BackendName.C, FakeClock(0.0)), first())
    assert any("RuntimeError: as planted" in line for line in told.unavailable)
    assert told.node_types
    assert [each.name for each in told.spans][:2] == ["rewrite", "merge"]


def test_a_result_unlike_any_other_is_described_not_raised(planted):
    told = trace(Tracer(BackendName.C, FakeClock(0.0)), SimpleNamespace())
    whats = {line.partition(":")[0] for line in told.unavailable}
    assert {"units", "rewriters", "types of nodes", "spans"} <= whats
    assert planted.calls == ["attach", "detach"]


def test_where_the_window_raises_the_instrument_is_detached_and_the_tool_given_back(planted):
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
