"""Models that are odd in one way each."""

from __future__ import annotations

import warnings

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.gradient import grad_not_implemented
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

# Only that an Op has a gradient matters here, not by which of its methods.
warnings.filterwarnings("ignore", message=".*should implement `pullback`", category=FutureWarning)


class Square(Op):
    """An Op as users write it first: no gradient."""

    __props__ = ()

    def make_node(self, x):
        x = pt.as_tensor_variable(x)
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):  # noqa: ARG002 - PyTensor's signature
        outputs[0][0] = np.asarray(inputs[0] ** 2)


class NullSquare(Square):
    """Its gradient says that it isn't there."""

    def grad(self, inputs, _):
        return [grad_not_implemented(self, 0, inputs[0], "not yet")]


class RightSquare(Square):
    factor = 2.0

    def grad(self, inputs, output_gradients):
        return [self.factor * output_gradients[0] * inputs[0]]


class WrongSquare(RightSquare):
    factor = 3.0


def _with(op):
    with pm.Model() as model:
        x = pm.Normal("x", 1.0, initval=0.7)
        pm.Potential("squared", -op(x))
    return model


def without_gradient():
    return _with(Square())


def with_null_gradient():
    return _with(NullSquare())


def with_right_gradient():
    return _with(RightSquare())


def with_wrong_gradient():
    from pytensor.link.jax.dispatch import jax_funcify

    @jax_funcify.register(Square)
    def _square(_op, **_):
        return lambda x: x**2

    return _with(WrongSquare())


def discrete_beside_continuous():
    with pm.Model(coords={"place": list("abc")}) as model:
        k = pm.Poisson("k", 3.0, dims="place")
        switched = pm.Bernoulli("switched", 0.5)
        sigma = pm.HalfNormal("sigma")
        mu = pm.Normal("mu", k, 1.0 + switched, dims="place")
        pm.Potential("one", -((mu - 1.0) ** 2).sum())
        pm.Potential("two", -(mu**4), dims="place")
        pm.Normal("y", mu, sigma, observed=np.arange(3.0), dims="place")
    return model, {"mu": [0.5, 1, 2], "k": [2, 3.0, 4], "switched": 1, "sigma_log__": 0}


def only_discrete():
    with pm.Model() as model:
        pm.Poisson("k", 3.0)
    return model


def half_a_poisson():
    _, point = discrete_beside_continuous()
    return discrete_beside_continuous()[0], point | {"k": [2, 2.5, 4]}


def start_of_another_shape():
    _, point = discrete_beside_continuous()
    return discrete_beside_continuous()[0], point | {"sigma_log__": [0.5, 1]}


def data_without_shape(*, static: bool = False):
    values = np.linspace(0.0, 1.0, 36).reshape(6, 2, 3)
    with pm.Model() as model:
        design = pm.Data("design", values, shape=values.shape if static else None)
        weights = pm.Normal("weights", shape=(4, 3))
        pm.Normal("y", pt.einsum("tki,ci->ctk", design, weights), 1.0, observed=np.ones((4, 6, 2)))
    return model


def masked_by_data():
    values = np.linspace(-1.0, 1.0, 6)
    with pm.Model() as model:
        x = pm.Data("x", values)
        slope = pm.Normal("slope")
        pm.Normal("y", (slope * x)[x > 0], 1.0, observed=np.ones(3))
    return model


def minibatch():
    x = np.linspace(0.0, 1.0, 50)
    with pm.Model() as model:
        x_batch, y_batch = pm.Minibatch(x, 2 * x, batch_size=10)
        slope = pm.Normal("slope", initval=0.5)
        pm.Normal("y", slope * x_batch, 0.1, observed=y_batch, total_size=50)
    return model


def minus_infinity():
    with pm.Model() as model:
        x = pm.Normal("x", initval=1.0)
        pm.Uniform("y", 0.0, 1.0, observed=[0.5, 2.0])
        pm.Potential("inside", pt.switch(x > 0, -np.inf, 0.0))
        pm.Normal("z", x, 1.0, observed=1.0)
    return model
