"""Counts of work: what is read of compilers' texts, who is charged with a call, and what can't be counted."""

from __future__ import annotations

import os
import platform
import sys
from collections import Counter, defaultdict
from types import SimpleNamespace

import pytest

from firstgrad.case import BackendName, Case, Counting
from firstgrad.errors import SpecError, UnavailableError
from firstgrad.measuring.launch import measure
from firstgrad.observe import probes, work
from firstgrad.observe import simulator as simulator_module
from firstgrad.observe.calls import CallTotal
from firstgrad.observe.simulator import Simulator, in_valgrind
from firstgrad.observe.work import CallShares, WorkCounter, count_llvm
from firstgrad.phase import Phase
from firstgrad.pose.spec import PoseSpec
from firstgrad.record import WorkParts
from helpers import make_case

LLVM = """\
; ModuleID = 'planted'
@table = private constant [2 x i64] [i64 1, i64 2]

define i64 @choose(i64 %at) {
  switch i64 %at, label %other [
    i64 0, label %first
    i64 1, label %other
  ]

first:                                            ; preds = %0
  %sum = add i64 %at, 1
  ; a note
  ret i64 %sum

other:                                            ; preds = %0, %0
  %pair = landingpad { ptr, i32 }
          cleanup
  ret i64 0
}
"""
STABLEHLO = """\
module @jit_f attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<3xf64>) -> (tensor<f64>) {
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f64>
    %0 = stablehlo.multiply %arg0, %arg0 : tensor<3xf64>
    %1 = stablehlo.reduce(%0 init: %cst) applies stablehlo.add across dimensions = [0] : (tensor<3xf64>) -> tensor<f64>
    return %1 : tensor<f64>
  }
}
"""
HLO = """\
HloModule jit_f, entry_computation_layout={(f64[3]{0})->f64[]}

FileNames
1 "model.py"

%region (a: f64[], b: f64[]) -> f64[] {
  %a = f64[] parameter(0), metadata={op_name="a = reduce(b)"}
  %b = f64[] parameter(1)
  ROOT %add.1 = f64[] add(%a, %b)
}

ENTRY %main (x: f64[3]) -> (f64[], f64[3]) {
  %x = f64[3]{0} parameter(0)
  ROOT %all.2 = (f64[], /*index=1*/f64[3]{0}) tuple(%x, %x)
}
"""


def called(times):
    """Call a function of Python's so often."""
    for _ in range(times):
        _nothing()


def _nothing():
    pass


def test_instructions_of_llvm():
    assert count_llvm(LLVM) == 5


def test_operations_of_hlo():
    assert Counter(work._STABLEHLO.findall(STABLEHLO)) == {"constant": 1, "multiply": 1, "reduce": 1, "add": 1}
    assert Counter(work._HLO.findall(HLO)) == {"parameter": 3, "add": 1, "tuple": 1}


def test_every_call_is_counted_and_only_while_that_is_asked_for():
    before = [sys.monitoring.get_tool(number) for number in range(6)]
    total, numbers = CallTotal(), []
    called(10)
    total.attach()
    try:
        for times in (0, 1000, 1000):
            start = total.read()
            called(times)
            numbers.append(total.read() - start)
    finally:
        total.detach()
    after = total.read()
    called(10)
    assert numbers[1] - numbers[0] == 1000
    assert numbers[1] == numbers[2]
    assert total.read() == after
    assert [sys.monitoring.get_tool(number) for number in range(6)] == before


def test_shares_go_to_who_is_at_work_and_to_the_phase():
    now = 0

    def pass_by(number):
        nonlocal now
        now += number

    shares = CallShares(lambda: now)
    outer, inner = SimpleNamespace(), SimpleNamespace()
    pass_by(1000)  # before the first phase
    shares.turn(Phase.REWRITE)
    pass_by(1)
    shares.passing("canonicalize")
    pass_by(2)
    shares.enter(outer, "rewriter", "local_a")
    pass_by(4)
    shares.enter(inner, "rewriter", "local_b")
    pass_by(8)
    shares.leave(outer)  # the inner one was left by an exception
    pass_by(16)
    shares.turn(None)
    pass_by(1000)
    shares.turn(Phase.LINK)
    pass_by(32)
    shares.turn(None)
    counts, parts = Counter(), defaultdict(Counter)
    shares.report(counts, parts)
    assert counts == {"calls_rewrite": 31, "calls_link": 32}
    assert parts["calls_rewrite", "rewriter"] == {"(itself)": 1, "canonicalize": 18, "local_a": 4, "local_b": 8}
    assert parts["calls_link", "rewriter"] == {"(itself)": 32}


def test_parts_are_bounded_and_add_up():
    numbers = Counter({f"unit_{number:03}": 200 - number for number in range(120)})
    kept = work._bounded("c_lines", "unit", numbers)
    assert len(kept.parts) == 50
    assert kept.parts[0] == ("unit_000", 200)
    assert kept.parts[-1][0] == WorkParts.REST
    assert sum(number for _, number in kept.parts) == numbers.total()
    assert len(work._bounded("c_lines", "unit", Counter({f"u{n}": 1 for n in range(50)})).parts) == 50


def test_what_this_release_has_not_is_said_and_costs_no_sample(monkeypatch):
    gone = probes.Probe("rewriters_tried", ("pytensor.graph.rewriting.basic:NoSuchThing.process_node",))
    monkeypatch.setattr(probes, "PROCESS_NODE", gone)
    monkeypatch.setattr(probes, "JAX_COMPILE", probes.Probe("operations of HLO", ("no_such_jax:compile",)))
    counter = WorkCounter(Counting.INSTRUMENTED, BackendName.JAX)
    timer = SimpleNamespace()
    with counter.watching(timer):
        timer.turn(Phase.REWRITE)
        called(100)
        timer.turn(None)
    counted = counter.finish()
    assert 100 <= counted.number("calls_rewrite") <= 110
    assert counted.number("rewriters_tried") is None
    assert any("rewriters_tried" in reason and "NoSuchThing" in reason for reason in counted.unavailable)
    assert any(reason.startswith("operations of HLO") for reason in counted.unavailable)


def test_where_all_numbers_of_tools_are_taken_that_is_said():
    taken = [number for number in range(6) if sys.monitoring.get_tool(number) is None]
    for number in taken:
        sys.monitoring.use_tool_id(number, "another tool")
    try:
        counter = WorkCounter(Counting.INSTRUMENTED, BackendName.FAKE)
        timer = SimpleNamespace()
        with counter.watching(timer):
            timer.turn(Phase.REWRITE)
            timer.turn(None)
    finally:
        for number in taken:
            sys.monitoring.free_tool_id(number)
    counted = counter.finish()
    assert counted.number("calls_rewrite") is None
    assert any("no free tool id" in reason for reason in counted.unavailable)


STAND_IN = """#!/bin/sh
for word; do
    case $word in
        --callgrind-out-file=*) counts=${word#*=} ;;
        -*) ;;
        *) break ;;
    esac
    shift
done
printf 'events: Ir\\nfn=(1) main\\n16 5\\ntotals: 4242\\n' > "$counts.1"
exec "$@"
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="Valgrind's door is that of x86-64")
def test_a_simulated_sample_is_run_by_valgrind_and_has_its_number(tmp_path, monkeypatch):
    program = tmp_path / "valgrind"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    model = PoseSpec(n_timesteps=4, n_directions=1)
    (record,) = measure(Case(model=model, backend=BackendName.FAKE, counting=Counting.SIMULATED, evaluations=0))
    assert record.failure is None
    assert record.work.number("simulated_instructions") == 4242


def test_without_valgrind_nothing_is_started(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpecError, match="--counting: simulated"):
        list(measure(make_case(counting=Counting.SIMULATED)))


def test_a_process_that_is_not_in_valgrind_counts_nothing_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    simulator, done = Simulator(), []
    with simulator.counting():
        done.append(1)
    assert done == [1]
    with pytest.raises(UnavailableError, match="simulated_instructions: this worker"):
        simulator.read()


@pytest.mark.parametrize(
    ("given", "flags"),
    [("", "gcc__cxxflags=-march=x86-64-v3"), ("floatX=float64,gcc__cxxflags=-O1", "floatX=float64,gcc__cxxflags=-O1")],
)
def test_code_for_valgrind_leaves_out_what_it_does_not_know(tmp_path, monkeypatch, given, flags):
    monkeypatch.setattr(simulator_module, "find_valgrind", lambda: "valgrind")
    command, variables = in_valgrind(["python", "-m", "worker"], {"TMPDIR": str(tmp_path), "PYTENSOR_FLAGS": given})
    assert command[0] == "valgrind"
    assert command[-3:] == ["python", "-m", "worker"]
    assert (variables["PYTENSOR_FLAGS"], variables["NUMBA_CPU_NAME"]) == (flags, "haswell")
