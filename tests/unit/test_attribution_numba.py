"""Jitted functions: put together from planted compiles, without Numba and without PyTensor."""

from types import SimpleNamespace

import pytest

from firstgrad.attribution.instrument import MOST_MISSES, Setting
from firstgrad.attribution.numba_functions import FunctionBook, is_helper, short_name
from firstgrad.attribution.numba_units import NumbaUnits
from firstgrad.attribution.stretches import Stretch
from firstgrad.observe.calls import FunctionEvents
from firstgrad.record import Phase

GROUPS = {"level": "level", "spread_log__": "spread"}
SETTING = Setting(phase_at=lambda at: Phase.FIRST_CALL if at < 100 else None, groups=GROUPS, nodes=42)


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
    instrument = NumbaUnits()
    watch(instrument._book, GRAPH, by=request.param, inner=dots, made=made.graph, wrapper=made.graph_wrapper)
    return instrument, made


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
    instrument, made = planted
    heard = instrument.hear(roots(made), SETTING)
    assert [(each.name, each.own_seconds, each.wall_seconds) for each in heard.units] == [
        ("numba_funcified_fgraph", 11, 20),
        ("dot", 6, 9),
        ("_gemm_impl", 3, 3),
    ]
    assert sum(each.own_seconds for each in heard.units) == 20


def test_units_know_their_operation_nodes_sources_and_what_pulled_them_in(planted):
    instrument, made = planted
    whole, dot, gemm = instrument.hear(roots(made), SETTING).units
    assert (whole.op, whole.nodes, whole.sources, whole.within) == ("Graph", 0, (), "")
    assert (dot.op, dot.nodes, dot.sources, dot.within) == ("Dot", 2, ("spread", "level"), "numba_funcified_fgraph")
    assert (gemm.op, gemm.nodes, gemm.sources, gemm.within) == ("Dot", 2, ("spread", "level"), "dot")
    assert {each.phase for each in (whole, dot, gemm)} == {Phase.FIRST_CALL}


def test_a_node_of_an_inner_graph_takes_its_sources_from_the_node_around_it():
    instrument, scan = NumbaUnits(), Op("Scan")
    inner = {"part": DOT, "node": node(), "made": function("dot"), "wrapper": function("dot")}
    outer = function("scan")
    watch(instrument._book, scan, node=node("level"), inner=[inner], made=outer, wrapper=function("scan"))
    heard = instrument.hear((compiled(outer, 0, 5, compiled(inner["made"], 1, 2)),), SETTING)
    assert {each.op: each.sources for each in heard.units} == {"Scan": ("level",), "Dot": ("level",)}


def test_what_an_inner_graph_calls_its_inputs_is_no_source():
    chain = (node("i0", "t0"), node("level"))
    assert SETTING.sources_of([chain]) == ("level",)
    assert SETTING.sources_of([(node("i0"), node("mu"))]) == ("mu",)
    assert SETTING.sources_of([(node("i0"), node())]) == ()


def test_one_name_for_two_operations_is_numbered():
    instrument = NumbaUnits()
    functions = [function("numba_funcify_DimShuffle.<locals>.dimshuffle") for _ in range(3)]
    for number, made in enumerate(functions):
        watch(instrument._book, Op(f"Squeeze{number // 2}"), node=node("level"), made=made, wrapper=function("w"))
    heard = instrument.hear(tuple(compiled(made, at, at + 1) for at, made in enumerate(functions)), SETTING)
    assert {each.name for each in heard.units} == {"dimshuffle_1", "dimshuffle_2", "dimshuffle_3"}
    same = NumbaUnits()
    for made in functions:
        watch(same._book, DOT, node=node("level"), made=made, wrapper=function("w"))
    (unit,) = same.hear(tuple(compiled(made, at, at + 1) for at, made in enumerate(functions)), SETTING).units
    assert (unit.name, unit.own_seconds, unit.nodes) == ("dimshuffle", 3, 3)


def test_functions_from_the_cache_are_units_with_their_files_size(planted, tmp_path):
    instrument, made = planted
    file = tmp_path / "graph.nbc"
    file.write_bytes(b"x" * 77)
    heard = instrument.hear((Stretch("load", made.graph, 0, 0.25, note=str(file)),), SETTING)
    (unit,) = heard.units
    assert (unit.from_cache, unit.own_seconds, unit.code_bytes) == (True, 0.25, 77)
    assert heard.misses == ()


def test_misses_say_why(planted):
    instrument, made = planted
    watch(instrument._book, Op("Stubborn"), node=node(), made=function("s"), wrapper=function("s"), key=None)
    missed = Stretch("load missed", made.graph, 0, 0.1)
    refused = (Stretch("load missed", made.dot, 3, 4), compiled(made.dot, 4, 5), Stretch("save", made.dot, 5, 6))
    reasons = {
        each.name: each.reason
        for each in instrument.hear((missed, compiled(made.graph, 1, 2), *refused), SETTING).misses
    }
    assert "no cache key" in reasons["Stubborn"]
    assert "the cache had no entry" in reasons["numba_funcified_fgraph"]
    assert "would not keep it" in reasons["dot"]


def test_an_empty_cache_is_summed_up():
    instrument = NumbaUnits()
    many = [function(f"kernel_of_{number}") for number in range(MOST_MISSES + 1)]
    stretches = [Stretch("load missed", each, at, at + 0.5) for at, each in enumerate(many)]
    (miss,) = instrument.hear(tuple(stretches), SETTING).misses
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
