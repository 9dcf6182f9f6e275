"""Counts of work in real samples: two that are alike have equal ones, and more work moves its count and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstgrad.case import BackendName, Case, Counting
from firstgrad.columns import METRICS
from firstgrad.measuring.launch import measure
from firstgrad.model import make_model
from firstgrad.record import Doubt
from helpers import linux_only

pytestmark = [linux_only, pytest.mark.compiles]
MODEL = f"{Path(__file__).with_name('worked_model.py')}:build"
BLOCKS = "python_blocks"  # where Python keeps what depends on what it looked up before


def count(backend=BackendName.JAX, counting=Counting.INSTRUMENTED, **parameters):
    """Take one sample."""
    case = Case(
        model=make_model(MODEL, parameters), backend=backend, counting=counting, evaluations=0, time_limit_seconds=60.0
    )
    (record,) = measure(case)
    assert record.failure is None, record.failure
    return record


@pytest.fixture(scope="module")
def plain():
    return count(calls=0)


def changes(base, head):
    """By how much counts differ, where they do."""
    before, after = dict(base.work.counts), dict(head.work.counts)
    assert before.keys() == after.keys()
    return {name: after[name] / before[name] - 1 for name in before if after[name] != before[name] and name != BLOCKS}


def test_identical_samples_have_equal_counts(plain):
    again = count(calls=0)
    assert changes(plain, again) == {}
    assert again.work.parts == plain.work.parts
    expected = {"calls_grad_graph", "calls_rewrite", "rewriters_tried", "rewriters_applied", "hlo_operations"}
    assert expected <= dict(plain.work.counts).keys()


@pytest.mark.parametrize(
    ("place", "name", "part"),
    [
        ("gradient", "calls_grad_graph", "Elemwise(Pow)"),
        ("rewriting", "calls_rewrite", "local_mul_exp_to_exp_add"),
    ],
)
def test_more_work_moves_its_count_and_no_other(plain, place, name, part):
    more = plain.work.number(name) // 20
    head = count(plant=place, calls=more)
    changed = changes(plain, head)
    assert 0.049 < changed.pop(name) < 0.051
    # Another program has its objects elsewhere, and so a few comparisons more or fewer of what hashes alike.
    assert all(abs(change) < 0.001 for change in changed.values()), changed
    before, after = (
        dict(part for one in record.work.parts if one.count == name for part in one.parts) for record in (plain, head)
    )
    assert max(after, key=lambda one: after[one] - before.get(one, 0)) == part


def test_seconds_and_memory_of_what_is_counted_are_in_no_table(plain):
    assert Doubt.COUNTED in plain.doubts
    assert plain.time_to_first_gradient_seconds > 0
    assert plain.memory.peak_rss_bytes > 0
    numbers = {metric.name: metric.read(plain) for metric in METRICS}
    counted = {name for name, number in numbers.items() if number is not None}
    assert counted == dict(plain.work.counts).keys() | {"nodes", "nodes_before", "compiled_units"}


def test_what_a_backend_has_not_is_said(plain):
    assert plain.work.unavailable == ("code_bytes: XLA tells no size of its machine code for the processor",)
    assert plain.work.number("c_lines") is None
    assert plain.work.number("llvm_instructions") is None
