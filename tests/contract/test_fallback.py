"""Every model gets its gradient from one call of `fast_gradient`, by some way, and is told which and why."""

from __future__ import annotations

import warnings
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.builders import OpFromGraph
from pytensor.gradient import disconnected_grad
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

import firstgrad
from firstgrad.errors import ModelError
from firstgrad.fast.function import GradientNote, Way
from firstgrad.fast.gradient import make_fast_gradient

gradient_module = import_module("firstgrad.fast.gradient")


def least(model, **options):
    return firstgrad.fast_gradient(model, effort="least", **options)


def quietly(model, **options):
    """No note is to be given: it would be raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", GradientNote)
        return least(model, **options)


def agrees(gradient):
    check = firstgrad.check_gradient(gradient)
    assert check.agrees, check
    return True


class TestFreezing:
    def test_a_mini_batch_is_held_and_a_note_says_so(self):
        rows, design = 40, np.arange(40.0)
        with pm.Model() as model:
            seen = pm.Minibatch(pm.Data("design", design), batch_size=8)
            x = pm.Normal("x")
            pm.Normal("y", x, 1.0, observed=seen, total_size=rows)
        with pytest.warns(GradientNote, match=r"Minibatch\) is held.*pm\.fit") as told:
            gradient = least(model)
        assert len(told) == 1
        assert gradient.way is Way.JAX
        assert "Minibatch" in repr(gradient)
        assert "design" in gradient.notes[1]
        flat = gradient(np.array([1.0]))[1]
        assert flat == gradient(np.array([1.0]))[1]
        batch = (flat[0] + 1.0) / (rows / 8) + 8.0  # -x + rows/8 * (sum(batch) - 8 x) at 1
        assert batch == pytest.approx(round(batch), abs=1e-9)
        assert agrees(gradient)

    def test_draws_from_distributions_of_values_are_refused(self):
        with pm.Model() as model:
            x = pm.Normal("x")
            pm.Potential("p", -((pm.Normal.dist(x) - x) ** 2))
        with pytest.raises(ModelError, match=r"draws from distributions of its own values \(Normal"):
            least(model)

    def test_dimensions_and_data_without_a_known_length(self):
        with pm.Model(coords={"group": range(3), "time": range(5)}) as model:
            x = pm.Data("x", np.arange(6.0))
            which = pm.Data("which", np.array([0, 1, 2, 0, 1, 2]))
            groups = pm.Normal("groups", dims="group")
            pm.ZeroSumNormal("effects", dims="group")
            pm.GaussianRandomWalk("walk", init_dist=pm.Normal.dist(), dims="time")
            slopes = pm.Normal("slopes", shape=x.shape[0])
            pm.Normal("y", groups[which] * x + slopes + model["effects"][which], observed=np.zeros(6))
        gradient = quietly(model)
        assert gradient.way is Way.JAX
        assert gradient.names == tuple(var.name for var in model.continuous_value_vars)
        assert dict(zip(gradient.names, gradient.shapes, strict=True))["slopes"] == (6,)
        assert agrees(gradient)

    def test_lengths_that_hang_on_data(self):
        with pm.Model() as model:
            sizes = pm.Data("sizes", np.array([2, 3]))
            x = pm.Normal("x", shape=5)
            first, second = pt.split(x, sizes, n_splits=2)
            pm.Potential("p", -(first**2).sum() - pt.exp(second).sum() + (x[: sizes[1]] * pt.arange(sizes[1])).sum())
        assert agrees(quietly(model))


class TestNaN:
    def test_of_a_branch_that_was_not_taken_is_pytensors_matter(self):
        hours = np.array([0.0, 1.0, 2.0])
        with pm.Model() as model:
            rate = pm.Gamma("rate", 2.0, 1.0)
            pm.Poisson("seen", hours * rate, observed=np.array([0, 1, 1]))
        with pytest.warns(GradientNote, match=r"JAX's own derivative isn't finite .* rate_log__ \(1 of 1\)"):
            gradient = least(model)
        assert gradient.way is Way.PYTENSOR_JAX
        assert gradient.improve("normal") is None
        assert gradient.effort is firstgrad.Effort.NORMAL
        assert agrees(gradient)

    def test_that_is_pytensors_too_is_refused_by_name(self):
        with pm.Model() as model:
            x = pm.Normal("x", shape=2)
            pm.Normal("z")
            pm.Potential("p", pt.switch(np.array([False, True]), pt.sqrt(x * np.array([-np.inf, 1.0])), 0.0).sum())
        with pytest.raises(ModelError, match=r"isn't finite at the initial point, in x \(\d of 2\)"):
            least(model, initial_point={"x": np.ones(2), "z": np.array(0.0)})


def test_at_the_kink_of_an_absolute_value_it_is_pytensors():
    """JAX has 1 there, PyTensor 0."""
    with pm.Model() as model:
        pm.Laplace("x", 0.0, 2.0, shape=2)
    gradient = quietly(model, initial_point={"x": np.array([0.0, 1.0])})
    assert gradient.way is Way.JAX
    assert gradient(np.array([0.0, 1.0]))[1] == pytest.approx([0.0, -0.5])


class TestOwnGradients:
    @pytest.mark.parametrize("kind", ["blocked", "overridden", "within a scan"])
    def test_are_pytensors(self, kind):
        with pm.Model() as model:
            x = pm.Normal("x")
            if kind == "blocked":
                pm.Potential("p", disconnected_grad(x) * x)
            elif kind == "overridden":
                a = pt.dscalar("a")
                doubled = OpFromGraph([a], [a**2], pullback=lambda _inputs, _outputs, grads: [grads[0] * 100.0])
                pm.Potential("p", doubled(x))
            else:
                steps = pytensor.scan(
                    lambda a: disconnected_grad(a) * a, outputs_info=[x], n_steps=3, return_updates=False
                )
                pm.Potential("p", steps[-1])
        with pytest.warns(GradientNote, match="gradient of its own making"):
            gradient = least(model)
        assert gradient.way is Way.PYTENSOR_JAX
        expected = {"blocked": 0.0, "overridden": 99.0, "within a scan": 0.0}[kind]  # x = 1: that of the prior is -1
        assert gradient(np.ones(1))[1] == pytest.approx([expected])
        assert agrees(gradient)


class Third(Op):
    """A third; no backend but Python knows it."""

    __props__ = ()

    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):  # noqa: ARG002 - PyTensor's signature
        outputs[0][0] = np.asarray(inputs[0] / 3.0)

    def pullback(self, inputs, outputs, gradients):  # noqa: ARG002 - PyTensor's signature
        return [gradients[0] / 3.0]


class NoGradient(Op):
    make_node, perform = Third.make_node, Third.perform


def with_op(op=Third()):  # noqa: B008 - an Op has no state
    with pm.Model() as model:
        n = pm.Poisson("n", 3.0)
        x = pm.Normal("x", shape=3)
        pm.Normal("y", shape=2)
        pm.Potential("p", (n * op(x)).sum())
    return model


START = {"n": np.array(2), "x": np.zeros(3), "y": np.array([0.5, 0.0])}
EXPECTED = [2 / 3, 2 / 3, 2 / 3, -0.5, 0.0]


@pytest.fixture(scope="module")
def by_numba():
    with pytest.warns(GradientNote, match=r"PyTensor has no JAX for Third, computed from .*x.*compiled by Numba"):
        return least(with_op(), initial_point=START)


class TestNoJAX:
    def test_numba_has_it(self, by_numba):
        assert by_numba.way is Way.NUMBA
        assert by_numba(by_numba.flatten(START))[1] == pytest.approx(EXPECTED)
        assert agrees(by_numba)
        assert "no JAX for Third" in repr(by_numba)

    def test_its_face_is_the_same(self, by_numba):
        vector, out = by_numba.flatten(START), np.empty(5)
        logp, flat = by_numba(vector, extra_vars={"n": 5})
        assert flat[:3] == pytest.approx([5 / 3] * 3)
        assert by_numba([vector], out) == logp
        assert out == pytest.approx(flat)
        flat *= 0  # may be written to
        assert by_numba(np.zeros(10)[::2])[1][:3] == pytest.approx([5 / 3] * 3)  # not contiguous
        by_numba.set_extra_values({"n": 2})
        with pytest.warns(GradientNote, match="efforts are of XLA"):
            by_numba.improve("full", wait=False).join()
        assert by_numba.effort is firstgrad.Effort.LEAST

    @pytest.mark.parametrize(("lacking", "way"), [({Way.NUMBA}, Way.C), ({Way.NUMBA, Way.C}, Way.INTERPRETER)])
    def test_the_next_one_is_taken(self, monkeypatch, lacking, way):
        monkeypatch.setattr(gradient_module, "is_there", lambda one: one not in lacking)
        with pytest.warns(GradientNote, match="compiled by C" if way is Way.C else "without a compiler"):
            gradient = least(with_op(), initial_point=START, with_logp=False)
        assert gradient.way is way
        logp, flat = gradient(gradient.flatten(START), extra_vars={"n": 2})
        assert np.isnan(logp)
        assert flat == pytest.approx(EXPECTED)

    def test_an_operation_without_a_gradient_is_refused_by_name(self):
        with pytest.raises(ModelError, match="the Op NoGradient has none"):
            least(with_op(NoGradient()), initial_point=START)

    def test_what_nobody_has_is_refused_with_all_reasons(self, monkeypatch):
        monkeypatch.setattr(gradient_module, "is_there", lambda one: one.is_by_jax)
        with pytest.raises(ModelError, match=r"no backend has .*jax: NotImplementedError: .*Third"):
            least(with_op(), initial_point=START)

    def test_what_a_former_process_came_to_is_taken_first(self):
        known = SimpleNamespace(facts={"way": "interpreter", "notes": ["as it was"]})
        making = gradient_module._Making(with_op(), START, firstgrad.Effort.LEAST, with_logp=True, known=known)
        making.begin()
        gradient = making.finish(START)
        assert (gradient.way, gradient.notes) == (Way.INTERPRETER, ("as it was",))

    def test_jaxs_own_derivative_alone_is_asked_for(self):
        """As the backend jax_direct does, which is measured by that name."""
        with pytest.raises(NotImplementedError, match="Third"):
            make_fast_gradient(with_op(), START, firstgrad.Effort.LEAST)


def test_loops_of_values_become_arrays_in_pytensors_gradient_too():
    """Values that stand by themselves and in a stack are differentiated once each."""
    hours = np.array([0.0, 1.0])
    with pm.Model() as model:
        rates = [pm.Gamma(f"rate_{place}", 2.0, np.float64(1 + place)) for place in range(5)]
        order = [3, 0, 4, 1, 2]
        for place in order:
            pm.Poisson(f"seen_{place}", hours * rates[place], observed=np.array([0, place]))
        pm.Potential("one", -(rates[2] ** 2) + rates[0] * rates[4])
    with pytest.warns(GradientNote, match="isn't finite"):
        gradient = least(model)
    assert gradient.way is Way.PYTENSOR_JAX
    assert agrees(gradient)


def test_names_of_dimensions():
    dims = pytest.importorskip("pymc.dims")
    with pm.Model(coords={"place": range(3)}) as model:
        rate = dims.Gamma("rate", 2.0, 1.0, dims="place")
        hours = dims.Data("hours", np.array([0.0, 1.0, 2.0]), dims="place")
        seen = dims.as_xtensor(np.array([0, 1, 2]), dims=("place",))
        dims.Poisson("seen", hours * rate, observed=seen, dims="place")
    with pytest.warns(GradientNote, match="isn't finite"):
        gradient = least(model)
    assert gradient.way is Way.PYTENSOR_JAX
    assert agrees(gradient)
