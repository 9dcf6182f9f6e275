"""Fewer kernels, and the same numbers: logarithms of exponentials, checks, softplus, sums one after the other."""

from __future__ import annotations

import jax
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.fg import FunctionGraph

from firstgrad import fast_gradient
from firstgrad.fast.function import check_gradient
from firstgrad.fast.ways import check_by_element, keep_logarithms, rewritten
from firstgrad.fast.xla import is_small, write_function

SIZE = 4


def names(fgraph):
    return [str(node.op) for node in fgraph.apply_nodes]


def value_of(fgraph, *point):
    with pytensor.config.change_flags(cxx=""):
        return pytensor.function(fgraph.inputs, fgraph.outputs, mode="FAST_COMPILE", on_unused_input="ignore")(*point)[
            0
        ]


@pytest.mark.parametrize(
    "write",
    [
        pt.log,
        lambda size: pt.log(size[2]) + pt.log(size[:2]).sum(),
        lambda size: pt.log(pt.sqrt(size)[:, None]).sum(),
        lambda size: pt.log(pt.switch(np.arange(SIZE) > 1, 100.0, pt.sqrt(size))).sum(),
        lambda size: pt.log(pt.switch(np.arange(SIZE) > 1, pt.sqrt(size[1]), size)).sum(),
    ],
)
def test_a_logarithm_is_looked_for_behind_what_stands_between(write):
    """No logarithm is taken, and the sum is right where the exponential underflows."""
    x = pt.dvector("x", shape=(SIZE,))
    fgraph = FunctionGraph([x], [write(pt.exp(x))], clone=True)
    (expected,) = pytensor.function([x], [write(pt.exp(x))], mode="FAST_COMPILE")(np.linspace(-2, 1, SIZE))
    keep_logarithms(fgraph)
    assert not any("Log" in name for name in names(fgraph))
    np.testing.assert_allclose(value_of(fgraph, np.linspace(-2, 1, SIZE)), expected, rtol=1e-14)
    assert np.isfinite(value_of(fgraph, np.full(SIZE, -900.0))).all()


@pytest.mark.parametrize(
    "write",
    [
        lambda x: pt.log(x).sum(),
        lambda x: pt.log(1 + pt.exp(x)).sum(),
        lambda x: pt.sqrt(x**2).sum(),
        lambda x: pt.log(pt.switch(x > 0, pt.exp(x), x)).sum(),
        lambda x: pt.log(pt.switch(x > 0, pt.exp(x), 0.0)).sum(),
        lambda x: pt.log(pt.exp(x).sum()),
    ],
)
def test_other_logarithms_stay(write):
    x = pt.dvector("x", shape=(SIZE,))
    fgraph = FunctionGraph([x], [write(x)], clone=True)
    before = names(fgraph)
    keep_logarithms(fgraph)
    assert names(fgraph) == before


def test_what_is_compiled_takes_no_logarithm_of_an_exponential():
    with pm.Model() as model:
        variance = pm.HalfNormal("variance", shape=SIZE)
        pm.Normal("seen", 0.0, pt.sqrt(variance[1]), observed=np.zeros(3))
    fgraph = rewritten(model, model.value_vars, [model.logp()])
    assert not any("Log" in name or "Sqrt" in name for name in names(fgraph))


def checked(condition, terms):
    return pt.switch(pt.all(condition), terms, -np.inf)


def test_checks_are_made_by_element_where_all_terms_are_added():
    x, spread = pt.dmatrix("x", shape=(3, SIZE)), pt.dvector("spread", shape=(SIZE,))
    density = checked(spread > 0, -((x / spread) ** 2)).sum() + pt.sin(x).sum()
    fgraph = FunctionGraph([x, spread], [density], clone=True)
    before = [value_of(fgraph, np.ones((3, SIZE)), one) for one in (np.ones(SIZE), np.array([1.0, -1.0, 1.0, 1.0]))]
    check_by_element(fgraph)
    assert not any("All" in name for name in names(fgraph))
    after = [value_of(fgraph, np.ones((3, SIZE)), one) for one in (np.ones(SIZE), np.array([1.0, -1.0, 1.0, 1.0]))]
    assert before == after == [pytest.approx(-12 + 12 * np.sin(1.0)), -np.inf]


@pytest.mark.parametrize(
    "write",
    [
        lambda x: pt.logsumexp(checked(x > 0, x)),  # a mixture's component: an element of -inf isn't all of them
        lambda x: pt.exp(checked(x > 0, x).sum()),
        lambda x: pt.switch(pt.all(x > 0), x, -1.0).sum(),
        lambda x: pt.switch(pt.any(x > 0), x, -np.inf).sum(),
        lambda x: checked(x[:, None] > x[None], x).sum(),
        lambda x: checked(x > 0, x[:1]).sum(),
    ],
)
def test_other_checks_stay(write):
    x = pt.dvector("x", shape=(SIZE,))
    fgraph = FunctionGraph([x], [write(x)], clone=True)
    before = names(fgraph)
    check_by_element(fgraph)
    assert names(fgraph) == before


def test_only_what_is_small_is_summed_in_turn():
    def square(x):
        return (x[:, None] * x).sum()

    assert is_small(jax.jit(square).lower(np.ones(181)))
    assert not is_small(jax.jit(square).lower(np.ones(182)))


@pytest.mark.compiles
def test_a_density_with_all_of_it_agrees_with_pytensors():
    """Softplus at its ends too, whose derivative by PyTensor's JAX is wrong there."""
    with pm.Model() as model:
        spread = pm.HalfNormal("spread", shape=SIZE)
        level = pm.Normal("level", 0.0, pt.sqrt(spread), shape=(3, SIZE))
        pm.Potential("soft", pt.softplus(level * 20).sum() - pt.softplus(-level * 20).sum())
        pm.Bernoulli("seen", logit_p=level[0], observed=[0, 1, 1, 0])
    point = model.initial_point()
    point["level"] = np.linspace(-2.0, 2.0, 12).reshape(3, SIZE)
    gradient = fast_gradient(model, initial_point=point)
    assert check_gradient(gradient, initial_point=point).agrees


ROW, COLUMN, HALF = np.linspace(-1.5, 2, SIZE), np.array([[0.3], [0.0], [0.7]]), np.full((1, 1), 0.5, dtype="float32")
BY_PRIMITIVES = {
    "sums of many, of broadcast arrays and numbers": lambda x, y: x + y + 2 + x * y * HALF,
    "quotients of whole numbers": lambda x, y: (x - y) / 3 + np.arange(SIZE, dtype="int8") / (y + 1),
    "functions": lambda x, y: (
        pt.exp(x) + pt.expm1(x) + pt.log(y + 1) + pt.log1p(y) + pt.sqr(x) + pt.sqrt(y + 1) - pt.tanh(x) * pt.sigmoid(x)
    ),
    "angles and signs": lambda x, y: pt.sin(x) * pt.cos(y) + pt.sign(x) * y + (-x),
    "larger and smaller": lambda x, y: pt.maximum(x, 0.0) * pt.minimum(x, y),
    "choices, one of a number": lambda x, y: pt.switch(pt.and_(x > 0, x < 1.5), x * y, -3),
    "choices by all comparisons": lambda x, y: pt.switch(
        pt.or_(pt.or_(x >= y, x <= -1), pt.and_(pt.neq(y, 0), pt.eq(x, HALF))), y * 2.0, x
    ),
    "axes put elsewhere": lambda x, y: (
        x.dimshuffle("x", 0) * y + (y.T.dimshuffle(1, 0, "x") * x).dimshuffle(2, 0, 1).sum(0)[:, :1]
    ),
    "a sum along an axis, and one of a number": lambda x, y: (x * y).sum(axis=1) * y.sum(axis=(0, 1)) + x[0].sum(),
}


@pytest.mark.parametrize("what", BY_PRIMITIVES)
def test_what_is_written_by_primitives_is_what_pytensor_writes(what):
    """Values and derivatives; and JAX gets no function of its own for an operation."""
    x, y = pt.dvector("x", shape=(SIZE,)), pt.dmatrix("y", shape=COLUMN.shape)
    fgraph = FunctionGraph([x, y], [BY_PRIMITIVES[what](x, y)], clone=True)
    jax.config.update("jax_enable_x64", True)
    plain = pytensor.link.jax.dispatch.jax_funcify(fgraph)
    own = write_function(fgraph)

    def total(function):
        return jax.value_and_grad(lambda at: function(*at)[0].sum())

    np.testing.assert_allclose(own(ROW, COLUMN)[0], plain(ROW, COLUMN)[0], rtol=1e-15)
    for mine, theirs in zip(*(jax.tree.leaves(total(one)((ROW, COLUMN))) for one in (own, plain)), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-14, atol=1e-15)
    assert "pjit" not in str(jax.make_jaxpr(own)(ROW, COLUMN))
    assert "jit[" not in str(jax.make_jaxpr(own)(ROW, COLUMN))


@pytest.mark.parametrize(
    "write",
    [
        lambda whole, _: whole + 1,
        lambda whole, x: pt.switch(whole, x, 0.0),
        lambda whole, x: whole * x[: whole[0]].sum(),
        lambda whole, _: pt.and_(whole, 3),
        lambda whole, _: whole.sum(),
    ],
)
def test_whole_numbers_and_unknown_shapes_are_left_to_pytensor(write):
    whole, x = pt.lvector("whole", shape=(SIZE,)), pt.dvector("x")
    fgraph = FunctionGraph([whole, x], [write(whole, x)], clone=True)
    jax.config.update("jax_enable_x64", True)
    (given,) = write_function(fgraph)(np.arange(1, SIZE + 1), ROW)
    (expected,) = pytensor.link.jax.dispatch.jax_funcify(fgraph)(np.arange(1, SIZE + 1), ROW)
    assert given.dtype == expected.dtype
    np.testing.assert_array_equal(given, expected)
