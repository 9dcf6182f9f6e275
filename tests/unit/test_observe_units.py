"""Compiled units, put together from planted stretches and events: no compiler, no PyTensor, no Numba, no JAX."""

import sys
from types import SimpleNamespace

import pytest

from firstgrad.observe.c_modules import CModuleListener, MadeModule
from firstgrad.observe.calls import FunctionEvents
from firstgrad.observe.events import SpanKind
from firstgrad.observe.numba_functions import FunctionBook, NumbaFunctionListener, is_helper, short_name
from firstgrad.observe.spans import Stretch
from firstgrad.observe.units import (
    MOST_MISSES,
    CompileFacts,
    describe_op,
    nearest_sources,
    number_names,
    unite_sources,
    value_names,
)
from firstgrad.observe.xla_modules import XlaModuleListener, XlaStep, gather_modules, outermost
from firstgrad.phase import Phase
from helpers import FakeClock

LINKED = CompileFacts(phase_at=lambda _: Phase.LINK, groups={"level": "level"}, nodes=9)
KEY = ((1, 2), "rest")


def planted_node(op, *names):
    return SimpleNamespace(op=op, inputs=[SimpleNamespace(name=name, owner=None) for name in names])


def module(name, began, ended, *inner, subject=None, key=KEY, file="/nowhere/m.so"):
    return Stretch(
        "module", subject or (planted_node("Exp", "level"),), began, ended, list(inner), MadeModule(name, file, key)
    )


def run(began, ended):
    return Stretch("compiler", None, began, ended)


def test_a_c_module_is_the_compiler_and_what_is_around_it(tmp_path):
    file = tmp_path / "m.so"
    file.write_bytes(b"x" * 5)
    report = CModuleListener().report((module("m1", 0.0, 10.0, run(1.0, 9.0), file=str(file)), run(11.0, 12.0)), LINKED)
    (unit,) = report.units
    assert (unit.own_seconds, unit.compiler_seconds, unit.code_bytes) == (10.0, 8.0, 5)
    assert (unit.op, unit.sources, unit.from_cache, unit.phase) == ("Exp", ("level",), False, Phase.LINK)
    # A probe of the compiler belongs to no module, but it has a span.
    assert [each.kind for each in report.spans] == [SpanKind.UNIT, SpanKind.STEP, SpanKind.STEP]


def test_nodes_that_share_a_c_module_are_one_unit():
    report = CModuleListener().report((module("m1", 0.0, 4.0, run(1.0, 2.0)), module("m1", 5.0, 5.5)), LINKED)
    (unit,) = report.units
    assert (unit.own_seconds, unit.nodes, unit.from_cache) == (4.5, 2, False)


def test_a_c_module_made_for_an_inner_function_lies_within_the_outer_ones():
    outer = module("m1", 0.0, 9.0, module("m2", 2.0, 5.0, run(3.0, 4.0)), run(6.0, 8.0))
    units = {each.name: each for each in CModuleListener().report((outer,), LINKED).units}
    assert (units["m2"].within, units["m1"].own_seconds, units["m1"].wall_seconds) == ("m1", 6.0, 9.0)


def test_a_c_module_without_a_compiler_came_from_the_cache_and_is_no_miss():
    report = CModuleListener().report((module("m1", 0.0, 0.5),), LINKED)
    assert report.units[0].from_cache
    assert report.cache_misses == ()


@pytest.mark.parametrize(
    ("key", "reason"), [(None, "no cache key"), (((), "rest"), "c_code_cache_version"), (KEY, "had no entry")]
)
def test_c_modules_that_were_compiled_say_why(key, reason):
    (miss,) = CModuleListener().report((module("m1", 0.0, 2.0, run(0.5, 1.0), key=key),), LINKED).cache_misses
    assert reason in miss.reason


def test_the_whole_graph_as_one_c_module_has_no_sources():
    graph = SimpleNamespace(inputs=[SimpleNamespace(name="level", owner=None)])
    (unit,) = CModuleListener().report((module("m1", 0.0, 2.0, subject=(graph,)),), LINKED).units
    assert (unit.op, unit.sources) == ("FunctionGraph", ())


def step(kind, function, began, ended, *told):
    return XlaStep(
        step=kind, function=function, began_seconds=began, wall_seconds=ended - began, cache_events=frozenset(told)
    )


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


def send(listener, clock, kind, function, seconds, *events):
    clock.tick(seconds)
    for event in events:
        listener._cache_events.add(f"/jax/compilation_cache/{event}")
    listener._timed(kind, seconds, function)


def test_events_of_jax_become_units_with_spans_and_sizes(jax_without_jax):
    (jax_without_jax / f"jit_jax_funcified_fgraph-{'0a' * 32}-cache").write_bytes(b"x" * 9)
    clock = FakeClock(0.0)
    listener = XlaModuleListener(clock)
    send(listener, clock, "compile", "jit(stage)", 1.0, "cache_misses")
    send(listener, clock, "trace", "jax_funcified_fgraph", 2.0)
    send(listener, clock, "lower", "jit(jax_funcified_fgraph)", 3.0)
    send(listener, clock, "compile", "jit(jax_funcified_fgraph)", 4.0, "cache_hits")
    report = listener.report((), LINKED)
    whole, stage = report.units
    assert (whole.name, whole.own_seconds, whole.op, whole.nodes) == ("jax_funcified_fgraph", 9.0, "FunctionGraph", 9)
    assert (whole.from_cache, whole.code_bytes) == (True, 9)
    assert (stage.own_seconds, stage.op, stage.from_cache, stage.code_bytes) == (1.0, "", False, None)
    assert [each.name for each in report.cache_misses] == ["stage"]
    units = [each for each in report.spans if each.kind is SpanKind.UNIT]
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
    listener = XlaModuleListener(FakeClock(0.0))
    send(listener, FakeClock(), "compile", "jit(f)", 1.0, *events)
    (miss,) = listener.report((), LINKED).cache_misses
    assert reason in miss.reason


def test_operations_are_short_however_long_they_are_written_and_names_that_occur_once_are_not_numbered():
    assert describe_op("x" * 1000) == "x" * 299 + "…"
    assert describe_op("Exp") == "Exp"
    assert number_names(["a", "b", "a"]) == ["a_1", "b", "a_2"]


GROUPS = {"level": "level", "spread_log__": "spread"}
FACTS = CompileFacts(phase_at=lambda at: Phase.FIRST_CALL if at < 100 else None, groups=GROUPS, nodes=42)


class Op:
    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text


class Graph:
    apply_nodes = ()

    def __str__(self):
        return "a whole screen of text"


DOT, GRAPH = Op("Dot"), Graph()


def function(qualname, module="pytensor.link.numba.dispatch.elemwise"):
    def planted():
        """Only its names matter."""

    planted.__qualname__, planted.__module__ = qualname, module
    return planted


def node(*names):
    return SimpleNamespace(op=DOT, inputs=[SimpleNamespace(name=name, owner=None) for name in names])


def ensure_cache(op, *args, **kwargs):
    """Stand in for PyTensor's function of nearly that name: its locals are what is looked at."""
    assert op
    for inner in kwargs.get("inner", ()):
        ensure_cache(inner["part"], *args, **inner)
    jitable_func = kwargs["made"]
    return SimpleNamespace(py_func=kwargs["wrapper"]), kwargs.get("key", "a key") and jitable_func.__qualname__


def ensure_cache_338(op, node=None, **kwargs):
    """The same from PyTensor 3.3.8 on: the node is a parameter of its own, and gets another value on the way."""
    assert op
    for inner in kwargs.get("inner", ()):
        ensure_cache_338(inner["part"], **inner)
    jitable_func = kwargs["made"]
    node = node or op
    return SimpleNamespace(py_func=kwargs["wrapper"]), kwargs.get("key", "a key") and jitable_func.__qualname__


@pytest.fixture(params=[ensure_cache, ensure_cache_338])
def planted(request):
    """An instrument that saw PyTensor make a whole graph of two dots; returns it with the functions."""
    made = SimpleNamespace(
        graph=function("numba_funcified_fgraph", "pytensor.link.utils"),
        graph_wrapper=function("numba_funcified_fgraph"),
        dot=function("numba_funcify_Dot.<locals>.dot"),
        dot_wrapper=function("dot", "pytensor.link.numba.dispatch.basic"),
        product=function("numba_funcify_Dot.<locals>.product"),
        gemm=function("_gemm_impl.<locals>.impl"),
        numbas=function("ol_raise.<locals>.impl", "numba.np.arrayobj"),
    )
    dots = [
        {"part": DOT, "node": node(name), "made": made.dot, "wrapper": made.dot_wrapper}
        for name in ("spread_log__", "level")
    ]
    listener = NumbaFunctionListener()
    watch(listener._book, GRAPH, by=request.param, inner=dots, made=made.graph, wrapper=made.graph_wrapper)
    return listener, made


def watch(book, op, *, by=ensure_cache, **options):
    events = FunctionEvents()
    events.watch(by, book.started, book.returned)
    with events:
        by(op, **options)
    assert events.problems == []


def compiled(subject, began, ended, *inner):
    return Stretch("compile", subject, began, ended, list(inner))


def roots(made):
    gemm = compiled(made.gemm, 4, 7, compiled(made.numbas, 5, 6))
    dot = compiled(made.dot, 2, 9, compiled(made.product, 3, 8, gemm))
    return (
        compiled(
            made.graph_wrapper,
            0,
            20,
            compiled(made.graph, 0.5, 18, compiled(made.dot_wrapper, 1, 10, dot)),
        ),
    )


def test_wrappers_closures_and_numbas_own_helpers_are_one_unit_with_what_pulled_them_in(planted):
    listener, made = planted
    report = listener.report(roots(made), FACTS)
    assert [(each.name, each.own_seconds, each.wall_seconds) for each in report.units] == [
        ("numba_funcified_fgraph", 11, 20),
        ("dot", 6, 9),
        ("_gemm_impl", 3, 3),
    ]
    assert sum(each.own_seconds for each in report.units) == 20


def test_units_know_their_operation_nodes_sources_and_what_pulled_them_in(planted):
    listener, made = planted
    whole, dot, gemm = listener.report(roots(made), FACTS).units
    assert (whole.op, whole.nodes, whole.sources, whole.within) == ("Graph", 0, (), "")
    assert (dot.op, dot.nodes, dot.sources, dot.within) == ("Dot", 2, ("spread", "level"), "numba_funcified_fgraph")
    assert (gemm.op, gemm.nodes, gemm.sources, gemm.within) == ("Dot", 2, ("spread", "level"), "dot")
    assert {each.phase for each in (whole, dot, gemm)} == {Phase.FIRST_CALL}


def test_a_node_of_an_inner_graph_takes_its_sources_from_the_node_around_it():
    listener, scan = NumbaFunctionListener(), Op("Scan")
    inner = {"part": DOT, "node": node(), "made": function("dot"), "wrapper": function("dot")}
    outer = function("scan")
    watch(listener._book, scan, node=node("level"), inner=[inner], made=outer, wrapper=function("scan"))
    report = listener.report((compiled(outer, 0, 5, compiled(inner["made"], 1, 2)),), FACTS)
    assert {each.op: each.sources for each in report.units} == {"Scan": ("level",), "Dot": ("level",)}


def test_what_an_inner_graph_calls_its_inputs_is_no_source():
    chain = (node("i0", "t0"), node("level"))
    assert FACTS.sources_of([chain]) == ("level",)
    assert FACTS.sources_of([(node("i0"), node("mu"))]) == ("mu",)
    assert FACTS.sources_of([(node("i0"), node())]) == ()


def test_one_name_for_two_operations_is_numbered():
    listener = NumbaFunctionListener()
    functions = [function("numba_funcify_DimShuffle.<locals>.dimshuffle") for _ in range(3)]
    for number, made in enumerate(functions):
        watch(listener._book, Op(f"Squeeze{number // 2}"), node=node("level"), made=made, wrapper=function("w"))
    report = listener.report(tuple(compiled(made, at, at + 1) for at, made in enumerate(functions)), FACTS)
    assert {each.name for each in report.units} == {"dimshuffle_1", "dimshuffle_2", "dimshuffle_3"}
    same = NumbaFunctionListener()
    for made in functions:
        watch(same._book, DOT, node=node("level"), made=made, wrapper=function("w"))
    (unit,) = same.report(tuple(compiled(made, at, at + 1) for at, made in enumerate(functions)), FACTS).units
    assert (unit.name, unit.own_seconds, unit.nodes) == ("dimshuffle", 3, 3)


def test_functions_from_the_cache_are_units_with_their_files_size(planted, tmp_path):
    listener, made = planted
    file = tmp_path / "graph.nbc"
    file.write_bytes(b"x" * 77)
    report = listener.report((Stretch("load", made.graph, 0, 0.25, note=str(file)),), FACTS)
    (unit,) = report.units
    assert (unit.from_cache, unit.own_seconds, unit.code_bytes) == (True, 0.25, 77)
    assert report.cache_misses == ()


def test_misses_say_why(planted):
    listener, made = planted
    watch(listener._book, Op("Stubborn"), node=node(), made=function("s"), wrapper=function("s"), key=None)
    missed = Stretch("load missed", made.graph, 0, 0.1)
    refused = (Stretch("load missed", made.dot, 3, 4), compiled(made.dot, 4, 5), Stretch("save", made.dot, 5, 6))
    reasons = {
        each.name: each.reason
        for each in listener.report((missed, compiled(made.graph, 1, 2), *refused), FACTS).cache_misses
    }
    assert "no cache key" in reasons["Stubborn"]
    assert "the cache had no entry" in reasons["numba_funcified_fgraph"]
    assert "would not keep it" in reasons["dot"]


def test_an_empty_cache_is_summed_up():
    listener = NumbaFunctionListener()
    many = [function(f"kernel_of_{number}") for number in range(MOST_MISSES + 1)]
    stretches = [Stretch("load missed", each, at, at + 0.5) for at, each in enumerate(many)]
    (miss,) = listener.report(tuple(stretches), FACTS).cache_misses
    assert (miss.name, miss.units) == ("(21 jitted functions)", 21)


@pytest.mark.parametrize(
    ("qualname", "name"),
    [
        ("_gemm_impl.<locals>.impl", "_gemm_impl"),
        ("numba_funcify_Dot.<locals>.dot", "dot"),
        ("numba_funcify_Scan.<locals>.outer.<locals>.step", "step"),
        ("_BLAS.numba_xgemm", "_BLAS.numba_xgemm"),
        ("dot", "dot"),
    ],
)
def test_functions_are_named_as_their_source_names_them(qualname, name):
    assert short_name(function(qualname)) == name


def test_helpers_are_numbas_own_and_closures_of_an_implementation():
    assert is_helper(function("anything", "numba.core.x"))
    assert is_helper(function("numba_funcify_Dot.<locals>.product"))
    assert not is_helper(function("numba_funcified_fgraph"))
    assert not is_helper(function("_gemm_impl.<locals>.impl"))
    assert not is_helper(function("split", None))


def test_a_making_that_raised_is_nobodys_outer_graph():
    book = FunctionBook()
    events = FunctionEvents()
    events.watch(ensure_cache, book.started, book.returned)
    made = function("dot")
    with events:
        with pytest.raises(KeyError):
            ensure_cache(Op("Broken"), node=node("spread_log__"))
        ensure_cache(DOT, node=node("level"), made=made, wrapper=function("dot"))
    assert [len(chain) for chain in book.find(made).chains] == [1]


VALUES = {"level": "level", "spread_log__": "spread", "raw_u_3": "raw_u_3", "rho_logodds__": "rho"}


def variable(name=None, owner=None):
    return SimpleNamespace(name=name, owner=owner)


def constant(name=None):
    return SimpleNamespace(name=name, owner=None, data=1.0)


def use(*inputs):
    return SimpleNamespace(inputs=list(inputs))


def output(*inputs, name=None):
    return variable(name, use(*inputs))


LEVEL, NEAR = variable("level"), output(variable("spread_log__"))
SOURCES = {
    "nearest first and by the group's name": (use(output(output(LEVEL)), NEAR), ("spread", "level")),
    "no more than three": (use(*map(variable, VALUES)), ("level", "spread", "raw_u_3")),
    "each group once however often it is used": (use(LEVEL, output(LEVEL), output(LEVEL)), ("level",)),
    "without variables of the model a named one": (use(output(constant("data"), name="mu"), constant("y")), ("mu",)),
    "but never a constant": (use(constant("y")), ()),
    "a variable of the model is better than a nearer name": (use(output(LEVEL, name="mu")), ("level",)),
}


@pytest.mark.parametrize(("used", "sources"), SOURCES.values(), ids=SOURCES)
def test_the_nearest_sources(used, sources):
    assert nearest_sources(used, VALUES) == sources


def test_the_search_ends_on_large_graphs():
    chain = variable("level")
    for _ in range(50):
        chain = output(chain)
    assert nearest_sources(use(chain), VALUES, most_looked_at=20) == ()
    assert nearest_sources(use(chain), VALUES) == ("level",)


def test_several_nodes_are_united_by_frequency_then_nearness():
    assert unite_sources([("a", "b"), ("b",), ("c", "b"), ("a",)]) == ("b", "a", "c")
    assert unite_sources([("far", "near"), ("near", "far"), ("near",)], most=1) == ("near",)
    assert unite_sources([]) == ()


def test_names_of_values_are_those_of_the_model():
    spread = Op("spread")
    spread.name = "spread"
    model = SimpleNamespace(free_RVs=[spread], rvs_to_values={spread: variable("spread_log__")})
    assert value_names(model) == {"spread_log__": "spread"}
