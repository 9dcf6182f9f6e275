"""What is batched equals what was written, and nothing is touched that doesn't repeat."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytensor.compile.mode import Mode

from benchmarks.lint_precision import models_first_tries
from firstgrad import PoseSpec, build_pose_model
from firstgrad.fast.batching import batch, with_batching
from firstgrad.fast.repeats import toposort

INTERPRETER = Mode("py", None)
MODE = Mode("py", "fast_run").excluding("fusion", "BlasOpt", "inplace", "cxx_only")
SIZE = 3


def count(*outputs):
    """Count the nodes above some outputs."""
    known, waiting = set(), [output.owner for output in outputs]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in known:
            known.add(node)
            waiting += [one.owner for one in node.inputs]
    return len(known)


def evaluate(outputs, values):
    with pytensor.config.change_flags(cxx=""):
        function = pytensor.function(list(values), outputs, mode=INTERPRETER, on_unused_input="ignore")
        return [np.asarray(value) for value in function(*values.values())]


def scalars(number):
    return [pt.dscalar(f"x_{place}") for place in range(number)]


def assert_equal(output, inputs, *, at_most=None, seed=0):
    """Compare a sum and its gradient as they are written, and batched."""
    (batched,) = batch([output])
    assert batched.type == output.type
    rng = np.random.default_rng(seed)
    values = {one: rng.uniform(0.5, 2.0, size=one.type.shape) for one in inputs}
    before = evaluate([output, *pytensor.grad(output, inputs, disconnected_inputs="ignore")], values)
    after = evaluate([batched, *pytensor.grad(batched, inputs, disconnected_inputs="ignore")], values)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12 * max(np.abs(one).max(initial=0.0), 1.0))
    if at_most is not None:
        assert count(batched) <= at_most
    return batched


def test_a_loop_over_variables():
    inputs = scalars(20)
    total = sum(pt.exp(-(one**2) / (2.0 + place)) for place, one in enumerate(inputs))
    assert_equal(total, inputs, at_most=8)


def test_a_product_and_a_stack():
    inputs = scalars(10)
    product = pt.exp(-inputs[0]) + 1
    for one in inputs[1:]:
        product = product * (pt.exp(-one) + 1)
    assert_equal(product, inputs, at_most=7)
    assert_equal(pt.stack([pt.sin(pt.exp(one)) for one in inputs]).sum(), inputs, at_most=4)
    columns = [pt.exp(one * pt.constant(np.arange(3.0) + place))[:, None] for place, one in enumerate(inputs)]
    assert_equal((pt.concatenate(columns, axis=1) ** 2).sum(axis=1).prod(), inputs, at_most=12)
    rows = [pt.exp(one * pt.constant(np.ones((2, 3)) + place)) for place, one in enumerate(inputs)]
    assert_equal((pt.concatenate(rows, axis=0) * pt.constant(np.arange(60.0).reshape(20, 3))).sum(), inputs, at_most=12)


def test_one_operation_alone_is_not_worth_stacking_its_inputs():
    inputs = scalars(10)
    total = sum(pt.exp(one) for one in inputs)
    assert batch([total]) == [total]


def test_an_unrolled_integral():
    start, end = inputs = scalars(2)
    area = 0.0
    for step in range(60):
        x = start + (step + 0.5) / 60 * (end - start)
        area = area + (2.0 if step % 2 else 4.0) * pt.sqrt(1 + x**3)
    assert_equal(area, inputs, at_most=24)


def test_links_of_a_chain_stay_and_their_terms_are_batched():
    keep, *shocks = inputs = scalars(31)
    level, total = 0.3, 0.0
    for place, shock in enumerate(shocks):
        level = keep * level + shock
        total = total - (level - 0.1 * place) ** 2 / 2 - pt.log(1 + level**2)
    assert count(total) == 300
    assert_equal(total, inputs, at_most=90)  # the chain itself has 60


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_sums_that_go_on_from_one_another(shape):
    """The joints of a skeleton, a random walk: each link is needed, and none waits for the one before."""
    root, *steps = inputs = [pt.tensor(f"x_{place}", shape=shape, dtype="float64") for place in range(13)]
    lengths = [pt.exp(step) * pt.tanh(step) for step in steps]
    parents = [None, 0, 1, 1, 0, 4, 5, 2, 2, 8, 9, 10]
    places = []
    for place, parent in enumerate(parents):
        start = root if parent is None else places[parent]
        places.append(start + lengths[place] if place % 3 else start - lengths[place])
    assert_equal(sum((pt.sin(place) * (1.0 + number)).sum() for number, place in enumerate(places)), inputs, at_most=32)
    walk = [root]
    for length in lengths:
        walk.append(walk[-1] + length)
    batched = assert_equal(sum(pt.cos(link).sum() for link in walk[1:]), inputs, at_most=30)
    assert "CumOp" in str({type(node.op).__name__ for node in toposort([batched])})


def test_sums_that_only_pass_on_stay_one_sum():
    inputs = scalars(8)
    total, ends = 0.0, []
    for one in inputs:
        total = total + pt.exp(one) * pt.tanh(one)
        ends.append(total)
    alone = pt.tanh(ends[-1])
    assert_equal(alone, inputs, at_most=7)


def test_terms_that_need_a_link_are_left_in_turn():
    level, *shocks = inputs = scalars(9)
    total = 0.0
    for shock in shocks:
        level = level + pt.tanh(level * shock)
        total = total + pt.sin(level)
    batched = assert_equal(total, inputs)
    assert "Dot" not in pytensor.dprint(batched, file="str")


@settings(max_examples=40, deadline=None)
@given(
    parents=st.lists(st.integers(0, 30), min_size=2, max_size=12),
    signs=st.lists(st.booleans(), min_size=12, max_size=12),
    used=st.lists(st.booleans(), min_size=12, max_size=12),
    again=st.booleans(),
)
def test_whatever_sums_go_on(parents, signs, used, again):
    """Trees of sums, some of whose links are needed, and sums of sums of them."""
    inputs = [pt.dvector(f"x_{place}", shape=(SIZE,)) for place in range(len(parents) + 1)]
    links = [inputs[0]]
    for place, parent in enumerate(parents):
        step = pt.exp(inputs[place + 1] / 2)
        before = links[parent % len(links)]
        links.append(before + step if signs[place] else before - step)
    if again:
        total, several = links[-1], []
        for link in links:
            total = total + pt.tanh(link)
            several.append(total)
        links = several
    terms = [pt.sin(link).sum() * (1.0 + place) for place, link in enumerate(links) if used[place % 12] or place < 2]
    assert_equal(sum(terms), inputs)


def test_what_a_logarithm_is_taken_of_stays_visible():
    """PyTensor's stable form of log(sigmoid(x)) needs both side by side: at -800 the sigmoid is zero."""
    inputs = scalars(12)
    chances = [pt.sigmoid(one) for one in inputs]
    total = sum(chance * (1.0 + place) ** 2 for place, chance in enumerate(chances[:8]))
    total = total + sum(pt.log(chance) for chance in chances[8:])
    (batched,) = batch([total])
    function = pytensor.function(inputs, batched, mode=Mode("py", "fast_run").excluding("fusion", "BlasOpt"))
    assert function(*([0.0] * 8), -800.0, 0.0, 0.0, 0.0) == pytest.approx(102 - 800 + 3 * math.log(0.5), rel=1e-12)


def test_members_that_repeat_are_no_gather():
    whole = pt.dvector("whole", shape=(4,))
    inputs = scalars(8)
    total = sum(pt.exp(whole[place % 4]) * pt.tanh(one) for place, one in enumerate(inputs))
    batched = assert_equal(total, [whole, *inputs])
    assert "AdvancedSubtensor" not in pytensor.dprint(batched, file="str")


def test_what_is_needed_alone_does_not_scatter_the_others():
    inputs = scalars(9)
    sizes = [pt.exp(one) for one in inputs]
    total = sum(-(size**2) / (2.0 + place) for place, size in enumerate(sizes) if place != 3) + pt.tanh(sizes[3])
    batched = assert_equal(total, inputs)
    assert "AdvancedSubtensor" not in pytensor.dprint(batched, file="str")


def test_what_needs_itself_is_not_made_at_once():
    inputs = scalars(2)
    value = inputs[0]
    for _ in range(20):
        value = pt.tanh(value * inputs[1])
    assert batch([value]) == [value]


def test_indices_become_slices_and_lists():
    whole, places = pt.dvector("whole", shape=(12,)), [5, 1, 1, 7, 0]
    assert_equal(sum(pt.exp(whole[place]) for place in range(12)), [whole], at_most=4)
    assert_equal(sum(pt.exp(whole[place]) for place in range(0, 12, 3)), [whole], at_most=4)
    assert_equal(sum(pt.exp(whole[place]) * (2.0 + number) for number, place in enumerate(places)), [whole], at_most=6)
    table = pt.dmatrix("table", shape=(4, 6))
    assert_equal(sum(pt.exp(table[:, place]).sum() * table[1, place] for place in range(6)), [table])


def test_constants_are_computed_as_precisely_as_by_pytensor():
    """The logarithm of a small whole number is of half precision in NumPy, of single precision in PyTensor."""
    inputs = scalars(5)
    spreads = [pt.constant(np.int8(3 + place)) for place in range(5)]
    total = sum(-((one / spread) ** 2) - pt.log(spread) for one, spread in zip(inputs, spreads, strict=True))
    assert_equal(total, inputs, at_most=9)
    singles = [pt.constant(np.float32(0.1 * place)) for place in range(40)]
    assert_equal(sum(singles, sum(pt.exp(pt.exp(one)) for one in inputs)), inputs)


def test_a_member_that_is_needed_alone():
    inputs = scalars(8)
    squares = [one**2 for one in inputs]
    assert_equal(sum(pt.log1p(one) for one in squares) + pt.sin(squares[3]) * pt.cos(squares[4]), inputs)


def test_what_is_written_as_arrays_is_returned_as_it_is():
    with pm.Model() as model:
        level = pm.Normal("level", 0.0, 1.0, shape=5)
        pm.Normal("seen", level, pm.HalfNormal("spread", 1.0), observed=np.zeros((4, 5)))
    logp = model.logp()
    assert batch([logp]) == [logp]


def test_a_mode_batches_what_it_compiles():
    """Also a gradient that is written already."""
    model = pairs()
    values, logp = model.value_vars, model.logp()
    outputs = [logp, *pytensor.grad(logp, values)]
    point = [model.initial_point()[value.name] for value in values]
    with pytensor.config.change_flags(cxx=""):
        plain, batched = (pytensor.function(values, outputs, mode=mode) for mode in (MODE, with_batching(MODE)))
    for one, other in zip(plain(*point), batched(*point), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-12)
    nodes = [len(function.maker.fgraph.apply_nodes) for function in (plain, batched)]
    assert nodes[1] < nodes[0] / 2


def test_unknown_lengths_are_left_alone():
    inputs = [pt.dvector(f"x_{place}") for place in range(5)]
    total = sum(pt.exp(one).sum() for one in inputs)
    assert count(batch([total])[0]) == pytest.approx(count(total), abs=6)


@pytest.mark.parametrize("name", ["cells", "pairs", "pose"])
def test_models_that_loops_wrote(name):
    model = {"cells": cells, "pairs": pairs, "pose": lambda: build_pose_model(PoseSpec(n_timesteps=4))}[name]()
    logp = model.logp()
    (batched,) = batch([logp])
    point = model.initial_point()
    rng = np.random.default_rng(3)
    values = {one: point[one.name] + 0.1 * rng.standard_normal(np.shape(point[one.name])) for one in model.value_vars}
    parts = [model.logp(sum=False), [batched]]
    before, after = (sum(float(one.sum()) for one in evaluate(part, values)) for part in parts)
    assert after == pytest.approx(before, rel=1e-13)
    assert count(batched) < count(logp) / 2


def test_models_as_people_write_them_at_first():
    """All of the catalogue's, frozen as `fast_gradient` does it; most of them have loops."""
    names = [name for name, one in vars(models_first_tries).items() if inspect.isfunction(one) and name[0] != "_"]
    shrunk = 0
    for name in names:
        model = getattr(models_first_tries, name)()
        (batched,) = batch([model.logp()])
        point = model.initial_point()
        values = {one: point[one.name] for one in model.value_vars}
        before = math.fsum(float(one.sum()) for one in evaluate(model.logp(sum=False), values))
        assert float(evaluate([batched], values)[0]) == pytest.approx(before, rel=1e-12), name
        shrunk += count(batched) < count(model.logp()) / 3
    assert shrunk >= 4


def cells():
    with pm.Model() as model:
        ease = pm.Normal("ease")
        for row in range(4):
            hard = pm.Normal(f"hard_{row}")
            for column in range(3):
                shift = pm.Normal(f"shift_{row}_{column}", 0.0, 0.5)
                pm.Binomial(f"seen_{row}_{column}", 20, pt.sigmoid(ease - hard + shift), observed=row + column)
    return model


def pairs():
    with pm.Model() as model:
        share = pm.Beta("share", 1.0, 1.0, shape=(2, 2))
        member = pm.Dirichlet("member", np.full(2, 0.5), shape=(5, 2))
        for one in range(5):
            for other in range(5):
                chance = pt.dot(pt.dot(member[one], share), member[other])
                pm.Bernoulli(f"met_{one}_{other}", chance, observed=(one + other) % 2)
    return model


UNARY = [pt.exp, pt.sin, pt.tanh, pt.sqr, lambda x: x[None].sum(0), lambda x: pt.stack([x, x]).max(0)]
BINARY = [pt.add, pt.mul, pt.sub, lambda x, y: x / (1 + y**2), pt.logaddexp, lambda x, y: pt.switch(x > y, x, y)]
steps = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(program=steps, repeats=st.integers(2, 5), leads=st.booleans(), seed=st.integers(0, 9))
def test_whatever_a_loop_wrote(program, repeats, leads, seed):
    """A random program runs on each of several inputs; its values may see the last round's."""
    inputs = [pt.dvector(f"x_{place}", shape=(SIZE,)) for place in range(repeats)]
    shared = pt.dvector("shared", shape=(SIZE,))
    terms, last = [], shared
    for place, one in enumerate(inputs):
        known = [one, shared, last if leads else one, pt.constant(np.full(SIZE, 0.5 + place))]
        for kind, left, right in program:
            x, y = known[left % len(known)], known[right % len(known)]
            made = UNARY[kind](x) if kind < len(UNARY) else BINARY[kind - len(UNARY)](x, y)
            known.append(pt.tanh(made))
        last = known[-1]
        terms += [last.sum(), (known[-2] * one).sum()]
    assert_equal(sum(terms), [*inputs, shared], seed=seed)
