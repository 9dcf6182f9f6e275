"""Every compile is heard on the installed releases: who asked, what for, what caches had of it, failures."""

from __future__ import annotations

import os
import sys
import weakref

import numpy as np
import pytest

from firstgrad.observe.compiles import CompileKind, CompileListener, Purpose
from firstgrad.observe.digests import digest_graph

pytestmark = pytest.mark.compiles


def build(values=(1.0, 2.0, 3.0)):
    import pymc as pm

    with pm.Model() as model:
        level = pm.Normal("level")
        pm.Normal("seen", level, 1.0, observed=np.array(values))
    return model


@pytest.fixture(scope="module")
def heard():
    """All compiles of the few lines below, by number, the last that was told of each; and what was counted."""
    numba, _ = pytest.importorskip("numba"), pytest.importorskip("jax")
    import pymc  # noqa: F401 - what is imported later is listened to after a further `attach`
    import pytensor
    import pytensor.tensor as pt

    ids = [sys.monitoring.get_tool(number) for number in range(6)]
    told, began = [], []
    listener = CompileListener(told.append, lambda number, stack: began.append((number, stack.line.line)))
    listener.attach()
    models = [build(), build((4.0, 5.0, 6.0))]
    functions = [model.compile_dlogp() for model in models]
    for _ in range(5):
        functions[0](models[0].initial_point())
    one, other = pt.dvectors("one", "other")
    with pytest.raises(Exception, match="not part of the computational graph"):
        pytensor.function([one, other], one * 2)
    pytensor.function([one], one * 3, mode="CVM")([1.0])
    pytensor.function([one], one + 4, mode="JAX")([1.0])
    numba.cfunc("float64(float64)")(lambda number: number * 2)
    counts = listener.call_counts()
    listener.detach()
    pytensor.function([one], one * 5)
    assert [sys.monitoring.get_tool(number) for number in range(6)] == ids
    assert listener.unavailable == ()
    compiles = {compiled.number: compiled for compiled in told}
    assert [number for number, _ in began] == sorted(compiles)
    return list(compiles.values()), counts


def of_line(heard, text):
    return [compiled for compiled in heard[0] if text in compiled.asked_by.text]


def test_a_gradient_is_told_with_who_asked_and_what_for(heard):
    first, second = of_line(heard, "model.compile_dlogp()")
    assert (first.kind, first.purpose, first.backend) == (CompileKind.PYTENSOR_FUNCTION, Purpose.GRADIENT, "numba")
    assert (first.asked_by.file, first.asked_by.function) == (__file__, "heard")
    assert first.library_calls[0].endswith(".compile_dlogp")
    assert first.library_calls[-1] == "pytensor.function"
    assert first.variables == ("level",)
    assert first.nodes_before > first.nodes_after > 0
    assert first.process == os.getpid()
    assert 0 < first.call < second.call
    assert (first.model, first.model_object, second.model_object) == (second.model, 1, 2)


def test_equal_graphs_of_other_data_have_the_same_structure_only(heard):
    first, second = of_line(heard, "model.compile_dlogp()")
    assert first.structure_digest == second.structure_digest != ""
    assert first.graph_digest != second.graph_digest
    assert first.largest_constant_bytes == 24


def test_phases_add_up_and_the_first_call_is_one_of_them(heard):
    first, second = of_line(heard, "model.compile_dlogp()")
    names = [str(span.name) for span in first.phases]
    assert names[0] == "logp_graph"
    assert names[-3:] == ["rewrite", "link", "first_call"]
    assert {*names[1:-3]} == {"grad_graph"}
    assert [str(span.name) for span in second.phases][-1] == "link"  # never called
    assert first.wall_seconds == pytest.approx(sum(span.wall_seconds for span in first.phases))
    assert first.units
    assert {str(unit.phase) for unit in first.units} == {"first_call"}
    assert first.cache.read + first.cache.missed == len(first.units)
    assert first.peak_rss_bytes is None or first.peak_rss_bytes >= first.rss_before_bytes > 0


def test_calls_after_the_first_are_counted(heard):
    first, _ = of_line(heard, "model.compile_dlogp()")
    counted = {number: (calls, seconds) for _, number, calls, seconds in heard[1]}
    assert counted[first.number][0] == 4
    assert 0 < counted[first.number][1] < 1
    starts = of_line(heard, "initial_point()")
    assert {compiled.purpose for compiled in starts} == {Purpose.START_POINT}
    assert len(starts) == 5


def test_a_compile_that_an_exception_leaves_is_a_failure(heard):
    (failed,) = of_line(heard, "pytensor.function([one, other]")
    assert failed.failure.startswith("UnusedInputError: ")
    assert [str(span.name) for span in failed.phases] == ["rewrite"]
    assert all(compiled.failure == "" for compiled in heard[0] if compiled is not failed)


def test_c_jax_and_wrappers_are_heard(heard):
    (c,) = of_line(heard, '"CVM"')
    assert (c.backend, {str(unit.kind) for unit in c.units}) == ("c", {"c_module"})
    (jax,) = of_line(heard, '"JAX"')
    assert (jax.kind, jax.backend) == (CompileKind.PYTENSOR_FUNCTION, "jax")
    assert {str(unit.kind) for unit in jax.units} == {"xla_module"}
    (wrapper,) = of_line(heard, "numba.cfunc")
    assert (wrapper.kind, wrapper.purpose) == (CompileKind.NUMBA_WRAPPER, Purpose.WRAPPER)
    assert (wrapper.cache.never_kept, wrapper.cache.written) == (1, 0)
    assert "asked for no cache" in wrapper.cache.misses[0].reason


def test_nothing_is_kept_alive():
    import pytensor
    import pytensor.tensor as pt

    listener = CompileListener(lambda _: None)
    listener.attach()
    one = pt.dvector("one")
    function = pytensor.function([one], one * 7, mode="CVM")
    function([1.0])
    gone = weakref.ref(function.maker)
    graph = weakref.ref(function.maker.fgraph)
    del function
    import gc

    gc.collect()
    assert (gone(), graph()) == (None, None)
    listener.detach()


def test_a_digest_knows_operations_constants_and_order_but_no_names():
    import pytensor.tensor as pt

    def digest(make, *names):
        inputs = [pt.dvector(name) for name in names]
        return digest_graph(inputs, [make(*inputs)])

    plain = digest(lambda a, b: a - b * 2.0, "a", "b")
    assert plain == digest(lambda a, b: a - b * 2.0, "x", "y")
    other_constant = digest(lambda a, b: a - b * 3.0, "a", "b")
    assert (other_constant.structure, other_constant.graph == plain.graph) == (plain.structure, False)
    for make in (lambda a, b: b - a * 2.0, lambda a, b: a + b * 2.0, lambda a, b: a - (b * 2.0).sum()):
        assert digest(make, "a", "b").structure != plain.structure
    large = digest(lambda a: a + np.arange(10_000_000.0), "a")
    assert large.largest_constant_bytes == 80_000_000
    assert digest(lambda a: a + np.arange(10_000_000.0) * 2, "a").graph != large.graph
