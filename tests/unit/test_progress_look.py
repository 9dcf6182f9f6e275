"""What a planted stack, planted events and a planted /proc tell, without compiling anything."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.observe.events import Stage, UnitKind
from firstgrad.observe.listeners import jax_device
from firstgrad.observe.probes import FRAMES, known_frame
from firstgrad.progress.look import (
    StackFrame,
    StackLook,
    UnitCount,
    c_modules,
    make_counters,
    read_stack,
    stack_of,
    tree_rss_bytes,
)
from helpers import linux_only

SITE = "/somewhere/site-packages/"
CALL = ("pytensor/compile/executor.py", "Function.__call__")
PREPARE = ("pytensor/compile/maker.py", "FunctionMaker.prepare_fgraph")
SEQUENCE = ("pytensor/graph/rewriting/basic.py", "SequentialGraphRewriter.apply")
MAKE_ALL = ("pytensor/link/vm.py", "VMLinker.make_all")
CREATE = ("pytensor/compile/maker.py", "FunctionMaker.create")
DISPATCH = ("numba/core/dispatcher.py", "Dispatcher.compile")
SAMPLING = ("pymc/sampling/mcmc.py", "_sample_many")
COMPILER = ("pytensor/link/c/cmodule.py", "GCC_compiler.compile_str")
OLD = "pytensor/compile/function/types.py"
LOGP = ("pymc/model/core.py", "BaseModel.logp")


def frame(place, **names):
    return StackFrame(SITE + place[0], place[1], lambda: names)


def stack(*outermost_first):
    return [place if isinstance(place, StackFrame) else frame(place) for place in reversed(outermost_first)]


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


def test_what_is_not_known_is_other():
    assert read_stack([StackFrame("/home/user/script.py", "main", dict)]) == read_stack([]) == StackLook()


class Unnamed:
    name = None


A_STACK_TELLS = {
    "a pass has its number and nodes": (
        [PREPARE, sequence()],
        {"stage": Stage.REWRITE, "pass_name": "canonicalize", "pass_number": 12, "pass_total": 44, "nodes": 812},
    ),
    "the outermost of nested lists of passes counts": (
        [PREPARE, sequence("outer", 2, 9), sequence("inner", 0, 3)],
        {"pass_name": "outer", "pass_number": 3, "pass_total": 9},
    ),
    "a pass without a name is called by its type": (
        [PREPARE, sequence()._replace(locals=lambda: {**sequence().locals(), "rewriter": Unnamed()})],
        {"pass_name": "Unnamed"},
    ),
    "rewriting within the logp graph": ([LOGP, PREPARE, sequence()], {"stage": Stage.LOGP_GRAPH}),
    "linking tells node and operation": (
        [CREATE, make_all()],
        {"stage": Stage.LINK, "node_number": 4, "node_total": 15, "unit": "Elemwise(float)"},
    ),
    "none is beyond the last node": ([CREATE, make_all(15, 15)], {"node_number": 15, "node_total": 15}),
    "nor beyond the last pass": ([PREPARE, sequence("last", 9, 9)], {"pass_number": 9, "pass_total": 9}),
    "a C compile is a unit of its node": (
        [CREATE, make_all(), ("pytensor/link/c/op.py", "COp.make_c_thunk"), COMPILER],
        {"unit_kind": UnitKind.C_MODULE, "unit": "Elemwise(float)", "backend": "c"},
    ),
    "the innermost jitted function is the one being compiled": (
        [CALL, dispatcher("whole_graph"), dispatcher("kernel")],
        {"stage": Stage.FIRST_CALL, "unit": "kernel", "backend": "numba"},
    ),
    "a call that compiles nothing is a call": ([CALL], {"stage": Stage.CALL}),
    "one that links is a first call": ([CALL, CREATE, make_all()], {"stage": Stage.FIRST_CALL}),
    "constant folding is rewriting": ([PREPARE, sequence(), make_all()], {"stage": Stage.REWRITE}),
    "sampling": ([SAMPLING], {"stage": Stage.SAMPLE, "unit_kind": None}),
    "a compile within sampling": (
        [SAMPLING, CALL, dispatcher("kernel")],
        {"stage": Stage.SAMPLE, "unit_kind": UnitKind.JITTED_FUNCTION},
    ),
    "XLA is told by its program": (
        [
            CALL,
            ("jax/_src/pjit.py", "_cpp_pjit.<locals>.cache_miss"),
            frame(("jax/_src/pjit.py", "_pjit_call_impl_python"), name="jax_funcified_fgraph"),
            ("jax/_src/compiler.py", "compile_or_get_cached"),
        ],
        {"stage": Stage.FIRST_CALL, "unit": "jax_funcified_fgraph", "unit_kind": UnitKind.XLA_MODULE},
    ),
    "loading from a cache": (
        [CALL, dispatcher("f"), ("numba/core/caching.py", "CompileResultCacheImpl.rebuild")],
        {"reads_cache": True},
    ),
    "PyTensor 2": ([(OLD, "Function.__call__"), dispatcher("f")], {"stage": Stage.FIRST_CALL}),
    "PyTensor 2, rewriting": ([(OLD, "FunctionMaker.prepare_fgraph")], {"stage": Stage.REWRITE}),
}


@pytest.mark.parametrize(("frames", "fields"), A_STACK_TELLS.values(), ids=A_STACK_TELLS)
def test_a_stack_tells(frames, fields):
    look = read_stack(stack(*frames))
    assert {name: getattr(look, name) for name in fields} == fields


def test_an_import_names_the_package_being_imported():
    outer = StackFrame("<frozen importlib._bootstrap>", "_find_and_load", lambda: {"name": "nutpie"})
    inner = StackFrame("<frozen importlib._bootstrap>", "_find_and_load", lambda: {"name": "jax.numpy"})
    look = read_stack([inner, outer])
    assert (look.stage, look.package) == (Stage.IMPORT, "jax")


@pytest.mark.parametrize("place", [SEQUENCE, MAKE_ALL, DISPATCH])
def test_renamed_locals_cost_only_what_they_told(place):
    look = read_stack(stack(CREATE, place))
    assert look.stage is Stage.LINK
    assert look.read
    assert not any(was_read for _, was_read in look.read)


def test_locals_that_raise_are_passed_over():
    def broken():
        raise RuntimeError

    look = read_stack([StackFrame(SITE + MAKE_ALL[0], MAKE_ALL[1], broken)])
    assert look.stage is Stage.LINK


def test_the_same_function_name_in_another_package_is_not_known():
    assert known_frame("/home/user/maker.py", "FunctionMaker.create") is None
    assert known_frame(SITE + "pytensor/compile/maker.py", "Other.create") is None


@given(st.lists(st.sampled_from(sorted(FRAMES)), max_size=12))
def test_no_stack_of_known_frames_makes_it_fail(places):
    look = read_stack([StackFrame(SITE + file, name, dict) for file, name in places])
    assert isinstance(look.stage, Stage)
    assert (look.stage is Stage.OTHER) == all(FRAMES[place].stage is None for place in places)


def test_a_real_stack_ends_at_the_given_frame():
    def inner():
        return list(stack_of(sys._getframe(), until))

    until = sys._getframe()
    assert [entry.function.rpartition(".")[2] for entry in inner()] == ["inner"]


def test_locals_of_a_real_frame_are_read_when_asked_for():
    planted = "planted"
    (first, *_) = stack_of(sys._getframe())
    assert first.locals()["planted"] == planted


def test_c_modules_are_read_from_a_cache_that_is_open_and_of_a_known_release(monkeypatch):
    module = SimpleNamespace(_module_cache=None)
    monkeypatch.setitem(sys.modules, "pytensor.link.c.cmodule", module)
    assert c_modules() is None
    module._module_cache = SimpleNamespace(stats=[7, 2, 3])
    assert c_modules() == UnitCount(kind=UnitKind.C_MODULE, compiled=3, from_cache=2)
    module._module_cache = SimpleNamespace(stats={"compiled": 1})
    assert c_modules() is None


class NumbaEvents:
    """Stands for ``numba.core.event``."""

    class Listener:
        pass

    def __init__(self):
        self.registered = []

    def register(self, kind, listener):
        self.registered.append((kind, listener))

    def unregister(self, kind, listener):
        self.registered.remove((kind, listener))


def test_jitted_functions_are_counted_from_the_import_to_the_end(monkeypatch):
    monkeypatch.delitem(sys.modules, "numba.core.event", raising=False)
    counter = make_counters()[0]
    assert not counter.attach()
    events = NumbaEvents()
    monkeypatch.setitem(sys.modules, "numba.core.event", events)
    assert counter.attach()
    assert counter.attach()
    ((kind, listener),) = events.registered
    assert kind == "numba:compile"
    event = SimpleNamespace(data={})
    listener.on_start(event)
    listener.on_end(event)
    assert counter.units() == UnitCount(kind=UnitKind.JITTED_FUNCTION, compiled=1)
    counter.detach()
    counter.detach()
    assert events.registered == []


def test_a_numba_without_events_is_told_once_and_one_that_is_being_imported_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba.core.event", SimpleNamespace())
    counter = make_counters()[0]
    assert not counter.attach()
    assert "Numba" in counter.problem
    assert counter.units() is None
    half = NumbaEvents()
    half.__spec__ = SimpleNamespace(_initializing=True)
    monkeypatch.setitem(sys.modules, "numba.core.event", half)
    assert not make_counters()[0].attach()
    assert half.registered == []


class Monitoring:
    """Stands for ``jax.monitoring``."""

    def __init__(self):
        self.durations, self.events = [], []
        self.register_event_duration_secs_listener = self.durations.append
        self.unregister_event_duration_listener = self.durations.remove
        self.register_event_listener = self.events.append
        self.unregister_event_listener = self.events.remove


def test_xla_modules_are_counted_and_what_the_cache_had(monkeypatch):
    jax = Monitoring()
    monkeypatch.setitem(sys.modules, "jax.monitoring", jax)
    counter = make_counters()[1]
    assert counter.attach()
    for _ in range(3):
        jax.durations[0]("/jax/core/compile/backend_compile_duration", 0.1, fun_name="f")
    jax.durations[0]("/jax/core/compile/jaxpr_trace_duration", 0.1)
    jax.events[0]("/jax/compilation_cache/cache_hits")
    jax.events[0]("/jax/compilation_cache/cache_misses")
    assert counter.units() == UnitCount(kind=UnitKind.XLA_MODULE, compiled=2, from_cache=1)
    counter.detach()
    assert (jax.durations, jax.events) == ([], [])


def test_a_jax_that_never_lets_go_is_not_listened_to(monkeypatch):
    jax = Monitoring()
    del jax.unregister_event_duration_listener
    monkeypatch.setitem(sys.modules, "jax.monitoring", jax)
    monkeypatch.setitem(sys.modules, "jax._src.monitoring", SimpleNamespace())
    counter = make_counters()[1]
    assert not counter.attach()
    assert "JAX" in counter.problem
    assert (jax.durations, jax.events) == ([], [])


@linux_only
def test_memory_counts_the_process_and_its_children(tmp_path):
    me, page = os.getpid(), os.sysconf("SC_PAGE_SIZE")
    for pid, pages, children in ((me, 100, "41 42"), (41, 20, "43"), (42, 3, ""), (43, 7, "")):
        (tmp_path / str(pid) / "task" / str(pid)).mkdir(parents=True)
        (tmp_path / str(pid) / "statm").write_text(f"999 {pages} 1 1 0 1 0\n")
        (tmp_path / str(pid) / "task" / str(pid) / "children").write_text(children)
    assert tree_rss_bytes(tmp_path) == (130 * page, 4)


def test_memory_is_unknown_where_the_system_does_not_tell_or_has_no_sysconf(tmp_path, monkeypatch):
    assert tree_rss_bytes(tmp_path) is None
    monkeypatch.delattr("os.sysconf")
    assert tree_rss_bytes(tmp_path) is None


@pytest.mark.parametrize(
    ("platform", "version", "device"),
    [
        ("cpu", "<unknown>", "cpu"),
        ("gpu", "PJRT C API\ncuda 12090", "cuda, NVIDIA H100"),
        ("gpu", "PJRT C API\nrocm 60300", "rocm, NVIDIA H100"),
        ("tpu", "PJRT C API", "tpu, NVIDIA H100"),
    ],
)
def test_jax_has_a_device_once_it_has_started(monkeypatch, platform, version, device):
    bridge = SimpleNamespace(_default_backend=None)
    monkeypatch.setitem(sys.modules, "jax._src.xla_bridge", bridge)
    assert jax_device() == ""
    bridge._default_backend = SimpleNamespace(
        platform=platform, platform_version=version, local_devices=lambda: [SimpleNamespace(device_kind="NVIDIA H100")]
    )
    assert jax_device() == device
