"""C modules and XLA modules, from planted stretches and events."""

import sys
from types import SimpleNamespace

import pytest

from firstgrad.attribution.c_units import CUnits, _Made
from firstgrad.attribution.instrument import Setting, describe_op, number_names
from firstgrad.attribution.jax_units import JaxStep, JaxUnits, gather_modules, outermost
from firstgrad.attribution.stretches import Stretch
from firstgrad.profile import SpanKind
from firstgrad.record import Phase
from helpers import FakeClock

SETTING = Setting(phase_at=lambda _: Phase.LINK, groups={"level": "level"}, nodes=9)
KEY = ((1, 2), "rest")


def node(op, *names):
    return SimpleNamespace(op=op, inputs=[SimpleNamespace(name=name, owner=None) for name in names])


def module(name, began, ended, *inner, subject=None, key=KEY, file="/nowhere/m.so"):
    return Stretch("module", subject or (node("Exp", "level"),), began, ended, list(inner), _Made(name, file, key))


def run(began, ended):
    return Stretch("compiler", None, began, ended)


def test_a_c_module_is_the_compiler_and_what_is_around_it(tmp_path):
    file = tmp_path / "m.so"
    file.write_bytes(b"x" * 5)
    heard = CUnits().hear((module("m1", 0.0, 10.0, run(1.0, 9.0), file=str(file)), run(11.0, 12.0)), SETTING)
    (unit,) = heard.units
    assert (unit.own_seconds, unit.compiler_seconds, unit.code_bytes) == (10.0, 8.0, 5)
    assert (unit.op, unit.sources, unit.from_cache, unit.phase) == ("Exp", ("level",), False, Phase.LINK)
    # A probe of the compiler belongs to no module, but it has a span.
    assert [each.kind for each in heard.spans] == [SpanKind.UNIT, SpanKind.STEP, SpanKind.STEP]


def test_nodes_that_share_a_c_module_are_one_unit():
    heard = CUnits().hear((module("m1", 0.0, 4.0, run(1.0, 2.0)), module("m1", 5.0, 5.5)), SETTING)
    (unit,) = heard.units
    assert (unit.own_seconds, unit.nodes, unit.from_cache) == (4.5, 2, False)


def test_a_c_module_made_for_an_inner_function_lies_within_the_outer_ones():
    outer = module("m1", 0.0, 9.0, module("m2", 2.0, 5.0, run(3.0, 4.0)), run(6.0, 8.0))
    units = {each.name: each for each in CUnits().hear((outer,), SETTING).units}
    assert (units["m2"].within, units["m1"].own_seconds, units["m1"].wall_seconds) == ("m1", 6.0, 9.0)


def test_a_c_module_without_a_compiler_came_from_the_cache_and_is_no_miss():
    heard = CUnits().hear((module("m1", 0.0, 0.5),), SETTING)
    assert heard.units[0].from_cache
    assert heard.misses == ()


@pytest.mark.parametrize(
    ("key", "reason"), [(None, "no cache key"), (((), "rest"), "c_code_cache_version"), (KEY, "had no entry")]
)
def test_c_modules_that_were_compiled_say_why(key, reason):
    (miss,) = CUnits().hear((module("m1", 0.0, 2.0, run(0.5, 1.0), key=key),), SETTING).misses
    assert reason in miss.reason


def test_the_whole_graph_as_one_c_module_has_no_sources():
    graph = SimpleNamespace(inputs=[SimpleNamespace(name="level", owner=None)])
    (unit,) = CUnits().hear((module("m1", 0.0, 2.0, subject=(graph,)),), SETTING).units
    assert (unit.op, unit.sources) == ("FunctionGraph", ())


def step(kind, function, began, ended, *told):
    return JaxStep(step=kind, function=function, began_seconds=began, wall_seconds=ended - began, told=frozenset(told))


def test_steps_within_others_are_left_out():
    inner, outer = step("trace", "clip", 1.0, 2.0), step("trace", "whole", 0.0, 5.0)
    assert outermost([inner, outer]) == [outer]


def test_a_compile_gets_its_own_trace_and_lowering():
    steps = [
        step("trace", "other", 0.0, 1.0),
        step("trace", "whole", 1.0, 3.0),
        step("lower", "jit(whole)", 3.0, 4.0),
        step("compile", "jit(whole)", 4.0, 9.0),
        step("compile", "", 9.0, 10.0),
    ]
    modules = gather_modules(steps)
    assert [(each.name, [one.step for one in each.steps]) for each in modules] == [
        ("whole", ["trace", "lower", "compile"]),
        ("module", ["compile"]),
    ]


@pytest.fixture
def jax_without_jax(monkeypatch, tmp_path):
    """Only the cache's folder is asked of JAX."""
    config = SimpleNamespace(jax_compilation_cache_dir=str(tmp_path))
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(config=config))
    return tmp_path


def send(instrument, clock, kind, function, seconds, *events):
    clock.tick(seconds)
    for event in events:
        instrument._on_event(f"/jax/compilation_cache/{event}")
    instrument._on_duration(f"/jax/core/compile/{kind}_duration", seconds, fun_name=function)


def test_events_of_jax_become_units_with_spans_and_sizes(jax_without_jax):
    (jax_without_jax / f"jit_jax_funcified_fgraph-{'0a' * 32}-cache").write_bytes(b"x" * 9)
    clock = FakeClock(0.0)
    instrument = JaxUnits(clock)
    send(instrument, clock, "backend_compile", "jit(stage)", 1.0, "cache_misses")
    send(instrument, clock, "jaxpr_trace", "jax_funcified_fgraph", 2.0)
    send(instrument, clock, "jaxpr_to_mlir_module", "jit(jax_funcified_fgraph)", 3.0)
    send(instrument, clock, "backend_compile", "jit(jax_funcified_fgraph)", 4.0, "cache_hits")
    send(instrument, clock, "something_else", "x", 1.0)
    heard = instrument.hear((), SETTING)
    whole, stage = heard.units
    assert (whole.name, whole.own_seconds, whole.op, whole.nodes) == ("jax_funcified_fgraph", 9.0, "FunctionGraph", 9)
    assert (whole.from_cache, whole.code_bytes) == (True, 9)
    assert (stage.own_seconds, stage.op, stage.from_cache, stage.code_bytes) == (1.0, "", False, None)
    assert [each.name for each in heard.misses] == ["stage"]
    units = [each for each in heard.spans if each.kind is SpanKind.UNIT]
    assert [(each.name, each.began_seconds, each.wall_seconds) for each in units] == [
        ("stage", 0.0, 1.0),
        ("jax_funcified_fgraph", 1.0, 9.0),
    ]


@pytest.mark.parametrize(
    ("folder", "events", "reason"),
    [
        (None, (), "no persistent cache is set"),
        ("some", (), "too quick or too small"),
        ("some", ("cache_misses",), "had no entry"),
    ],
)
def test_xla_modules_that_were_compiled_say_why(monkeypatch, folder, events, reason):
    config = SimpleNamespace(jax_compilation_cache_dir=folder)
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(config=config))
    instrument = JaxUnits(FakeClock(0.0))
    send(instrument, FakeClock(), "backend_compile", "jit(f)", 1.0, *events)
    (miss,) = instrument.hear((), SETTING).misses
    assert reason in miss.reason


def test_names_that_occur_once_are_not_numbered():
    assert number_names(["a", "b", "a"]) == ["a_1", "b", "a_2"]


def test_operations_are_short_however_long_they_are_written():
    assert describe_op("x" * 1000) == "x" * 299 + "…"
    assert describe_op("Exp") == "Exp"
