"""What a planted stack tells, without compiling anything."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.observe.events import Stage, UnitKind
from firstgrad.observe.probes import FRAMES, known_frame
from firstgrad.progress.frames import Frame, read_stack, stack_of
from firstgrad.progress.snapshot import Look

SITE = "/somewhere/site-packages/"
CALL = ("pytensor/compile/executor.py", "Function.__call__")
PREPARE = ("pytensor/compile/maker.py", "FunctionMaker.prepare_fgraph")
SEQUENCE = ("pytensor/graph/rewriting/basic.py", "SequentialGraphRewriter.apply")
MAKE_ALL = ("pytensor/link/vm.py", "VMLinker.make_all")
CREATE = ("pytensor/compile/maker.py", "FunctionMaker.create")
DISPATCH = ("numba/core/dispatcher.py", "Dispatcher.compile")
SAMPLING = ("pymc/sampling/mcmc.py", "_sample_many")
LOGP = ("pymc/model/core.py", "BaseModel.logp")


def frame(place, **names):
    return Frame(SITE + place[0], place[1], lambda: names)


def stack(*outermost_first):
    return [each if isinstance(each, Frame) else frame(each) for each in reversed(outermost_first)]


def sequence(name="canonicalize", done=11, total=44, nodes=812):
    return frame(
        SEQUENCE,
        rewriter=SimpleNamespace(name=name),
        sub_profs=[None] * done,
        self=SimpleNamespace(data=[None] * total),
        fgraph=SimpleNamespace(apply_nodes=set(range(nodes))),
    )


class Elemwise:
    scalar_op = 3.0


def make_all(done=3, total=15, op=None):
    op = op or Elemwise()
    return frame(MAKE_ALL, thunks=[None] * done, order=[None] * total, node=SimpleNamespace(op=op))


def dispatcher(name):
    return frame(DISPATCH, self=SimpleNamespace(py_func=SimpleNamespace(__name__=name)))


def test_an_unknown_stack_is_other():
    assert read_stack([Frame("/home/user/script.py", "main", dict)]) == Look()


def test_no_stack_is_other():
    assert read_stack([]).stage is Stage.OTHER


def test_a_rewrite_pass_is_read_with_its_number_and_nodes():
    look = read_stack(stack(PREPARE, sequence()))
    assert (look.stage, look.pass_name, look.pass_number, look.pass_total, look.nodes) == (
        Stage.REWRITE,
        "canonicalize",
        12,
        44,
        812,
    )


def test_the_outermost_of_nested_pass_lists_counts():
    look = read_stack(stack(PREPARE, sequence("outer", 2, 9), sequence("inner", 0, 3)))
    assert (look.pass_name, look.pass_number, look.pass_total) == ("outer", 3, 9)


def test_a_pass_without_a_name_is_called_by_its_type():
    class Unnamed:
        name = None

    nameless = sequence()._replace(locals=lambda: {**sequence().locals(), "rewriter": Unnamed()})
    assert read_stack(stack(PREPARE, nameless)).pass_name == "Unnamed"  # noqa: S105 - a rewrite pass


def test_rewriting_within_the_logp_graph_belongs_to_the_logp_graph():
    assert read_stack(stack(LOGP, PREPARE, sequence())).stage is Stage.LOGP_GRAPH


def test_linking_tells_node_and_operation():
    look = read_stack(stack(CREATE, make_all()))
    assert (look.stage, look.node_number, look.node_total, look.unit) == (Stage.LINK, 4, 15, "Elemwise(float)")


def test_after_the_last_node_and_the_last_pass_none_is_beyond_them():
    look = read_stack(stack(CREATE, make_all(15, 15)))
    assert (look.node_number, look.node_total) == (15, 15)
    look = read_stack(stack(PREPARE, sequence("last", 9, 9)))
    assert (look.pass_number, look.pass_total) == (9, 9)


def test_a_c_compile_is_a_unit_of_its_node():
    compiler = ("pytensor/link/c/cmodule.py", "GCC_compiler.compile_str")
    look = read_stack(stack(CREATE, make_all(), ("pytensor/link/c/op.py", "COp.make_c_thunk"), compiler))
    assert (look.unit_kind, look.unit, look.backend) == (UnitKind.C_MODULE, "Elemwise(float)", "c")


def test_the_innermost_jitted_function_is_the_one_being_compiled():
    look = read_stack(stack(CALL, dispatcher("whole_graph"), dispatcher("kernel")))
    assert (look.stage, look.unit, look.backend) == (Stage.FIRST_CALL, "kernel", "numba")


def test_a_call_that_compiles_nothing_is_a_call():
    assert read_stack(stack(CALL)).stage is Stage.CALL


def test_a_graph_linked_within_a_call_is_part_of_the_first_call():
    assert read_stack(stack(CALL, CREATE, make_all())).stage is Stage.FIRST_CALL


def test_constant_folding_stays_within_rewriting():
    assert read_stack(stack(PREPARE, sequence(), make_all())).stage is Stage.REWRITE


def test_sampling_is_seen_and_a_compile_within_it():
    assert read_stack(stack(SAMPLING)).unit_kind is None
    look = read_stack(stack(SAMPLING, CALL, dispatcher("kernel")))
    assert (look.stage, look.unit_kind) == (Stage.SAMPLE, UnitKind.JITTED_FUNCTION)


def test_xla_is_told_by_its_program():
    program = frame(("jax/_src/pjit.py", "_pjit_call_impl_python"), name="jax_funcified_fgraph")
    look = read_stack(
        stack(
            CALL,
            ("jax/_src/pjit.py", "_cpp_pjit.<locals>.cache_miss"),
            program,
            ("jax/_src/compiler.py", "compile_or_get_cached"),
        )
    )
    assert (look.stage, look.unit, look.unit_kind) == (Stage.FIRST_CALL, "jax_funcified_fgraph", UnitKind.XLA_MODULE)


def test_loading_from_a_cache_is_seen():
    look = read_stack(stack(CALL, dispatcher("f"), ("numba/core/caching.py", "CompileResultCacheImpl.rebuild")))
    assert look.reads_cache


def test_an_import_names_the_package_being_imported():
    outer = Frame("<frozen importlib._bootstrap>", "_find_and_load", lambda: {"name": "nutpie"})
    inner = Frame("<frozen importlib._bootstrap>", "_find_and_load", lambda: {"name": "jax.numpy"})
    look = read_stack([inner, outer])
    assert (look.stage, look.package) == (Stage.IMPORT, "jax")


@pytest.mark.parametrize("place", [SEQUENCE, MAKE_ALL, DISPATCH])
def test_renamed_locals_cost_only_what_they_told(place):
    look = read_stack(stack(CREATE, place))
    assert look.stage is Stage.LINK
    assert look.read
    assert not any(found for _, found in look.read)


def test_locals_that_raise_are_passed_over():
    def broken():
        raise RuntimeError

    look = read_stack([Frame(SITE + MAKE_ALL[0], MAKE_ALL[1], broken)])
    assert look.stage is Stage.LINK


def test_the_same_function_name_in_another_package_is_not_known():
    assert known_frame("/home/user/maker.py", "FunctionMaker.create") is None
    assert known_frame(SITE + "pytensor/compile/maker.py", "Other.create") is None


def test_the_files_of_pytensor_2_are_known_too():
    old = "pytensor/compile/function/types.py"
    assert read_stack(stack((old, "Function.__call__"), dispatcher("f"))).stage is Stage.FIRST_CALL
    assert read_stack(stack((old, "FunctionMaker.prepare_fgraph"))).stage is Stage.REWRITE


@given(st.lists(st.sampled_from(sorted(FRAMES)), max_size=12))
def test_no_stack_of_known_frames_makes_it_fail(places):
    look = read_stack([Frame(SITE + file, name, dict) for file, name in places])
    assert isinstance(look.stage, Stage)
    assert (look.stage is Stage.OTHER) == all(FRAMES[place].stage is None for place in places)


def test_a_real_stack_ends_at_the_given_frame():
    def inner():
        return list(stack_of(sys._getframe(), until))

    until = sys._getframe()
    assert [each.function.rpartition(".")[2] for each in inner()] == ["inner"]


def test_locals_of_a_real_frame_are_read_when_asked_for():
    planted = "planted"
    (first, *_) = stack_of(sys._getframe())
    assert first.locals()["planted"] == planted
