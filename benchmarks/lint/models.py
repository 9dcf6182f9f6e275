"""What lint's estimates rest on: each finding's situation, and the same density written as lint says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

_ROWS = 50


def _numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(8).gamma(2.0, 1.0, size=shape)


def terms(size: int, *, loop: bool = True) -> pm.Model:
    """Build a regression with a free variable and an observed one for each of `size` groups."""
    x, y = _numbers(size, _ROWS), _numbers(size, _ROWS)
    with pm.Model() as model:
        centre, spread = pm.Normal("centre"), pm.HalfNormal("spread")
        noise = pm.HalfNormal("noise")
        if loop:
            for group in range(size):
                slope = pm.Normal(f"slope_{group}", centre, spread)
                pm.Normal(f"y_{group}", pt.exp(slope) * x[group], noise, observed=y[group])
        else:
            slope = pm.Normal("slope", centre, spread, shape=size)
            pm.Normal("y", pt.exp(slope)[:, None] * x, noise, observed=y)
    return model


def cells(size: int, *, loop: bool = True) -> pm.Model:
    """Build a survey with a free variable and an observed number for each of `size` cells."""
    y = np.random.default_rng(8).binomial(40, 0.4, size=size)
    with pm.Model() as model:
        centre, spread = pm.Normal("centre"), pm.HalfNormal("spread")
        if loop:
            for cell in range(size):
                shift = pm.Normal(f"shift_{cell}", 0.0, 0.5)
                pm.Binomial(f"y_{cell}", 40, pt.sigmoid(centre + spread * shift), observed=y[cell])
        else:
            shift = pm.Normal("shift", 0.0, 0.5, shape=size)
            pm.Binomial("y", 40, pt.sigmoid(centre + spread * shift), observed=y)
    return model


def expressions(size: int, *, loop: bool = True) -> pm.Model:
    """Build an integral of `size` heights, each a vector."""
    x = _numbers(_ROWS)
    with pm.Model() as model:
        rate, power = pm.HalfNormal("rate"), pm.HalfNormal("power")

        def height(place: np.ndarray) -> pt.TensorVariable:
            return pt.exp(-rate * place) / (1 + pt.sqrt(power + place) * place**2)

        if loop:
            area = height(0.0 * x)
            for number in range(1, size):
                area = area + height(number / size * x)
        else:
            area = height(np.arange(size)[:, None] / size * x).sum(axis=0)
        pm.Normal("y", area, 0.5, observed=x)
    return model


def addends(size: int, *, loop: bool = True) -> pm.Model:
    """Build an integral of `size` heights that goes into the log-density as it is."""
    x = _numbers(_ROWS)
    with pm.Model() as model:
        level, slope = pm.Normal("level"), pm.Normal("slope")

        def height(place: np.ndarray) -> pt.TensorVariable:
            return pt.exp(level + slope * place) * np.cos(place)

        if loop:
            area = height(0.0 * x)
            for number in range(1, size):
                area = area + height(number / size * x)
        else:
            area = height(np.arange(size)[:, None] / size * x).sum(axis=0)
        pm.Potential("y", -(x * area).sum())
    return model


def stacked(size: int, *, loop: bool = True) -> pm.Model:
    """Build `size` curves, put side by side."""
    x, y = _numbers(size, _ROWS), _numbers(size, _ROWS)
    with pm.Model() as model:
        rate, half = pm.HalfNormal("rate"), pm.HalfNormal("half")
        if loop:
            curves = pt.stack([pt.exp(-rate * x[number]) / (1 + half * x[number]) for number in range(size)])
        else:
            curves = pt.exp(-rate * x) / (1 + half * x)
        pm.Normal("y", curves, 0.5, observed=y)
    return model


def numbers(size: int, *, loop: bool = True) -> pm.Model:
    """Build `size` means, each computed as a number."""
    x, y = _numbers(size), _numbers(size)
    group = np.arange(size) % 5
    with pm.Model() as model:
        rate, half = pm.HalfNormal("rate"), pm.Normal("half", shape=5)
        if loop:
            mean = pt.stack([pt.exp(-rate * x[row]) / (1 + half[group[row]] ** 2) for row in range(size)])
        else:
            mean = pt.exp(-rate * x) / (1 + half[group] ** 2)
        pm.Normal("y", mean, 0.5, observed=y)
    return model


def filled(size: int, *, loop: bool = True) -> pm.Model:
    """Build a covariance of `size` cells, a square's, each set by itself."""
    side = int(size**0.5)
    place = np.sort(_numbers(side))
    with pm.Model() as model:
        length, height = pm.HalfNormal("length"), pm.HalfNormal("height")
        if loop:
            cov = pt.zeros((side, side))
            for row in range(side):
                for column in range(side):
                    cell = height**2 * pt.exp(-((place[row] - place[column]) ** 2) / length**2)
                    cov = pt.set_subtensor(cov[row, column], cell)
        else:
            cov = height**2 * pt.exp(-((place[:, None] - place) ** 2) / length**2)
        pm.MvNormal("y", np.zeros(side), cov + 0.1 * np.eye(side), observed=_numbers(side))
    return model


def recursion(size: int, *, loop: bool = True) -> pm.Model:
    """Build `size` steps of a state that fades."""
    y = _numbers(size)
    with pm.Model() as model:
        keep, push = pm.Beta("keep", 2.0, 2.0), pm.Normal("push", shape=size)
        if loop:
            states = [push[0]]
            for step in range(1, size):
                states.append(pt.tanh(keep * states[-1]) + push[step])
            state = pt.stack(states)
        else:
            state = pytensor.scan(
                lambda push, before, keep: pt.tanh(keep * before) + push,
                sequences=[push],
                outputs_info=[pt.zeros(())],
                non_sequences=[keep],
                return_updates=False,
            )
        pm.Normal("y", state, 0.5, observed=y)
    return model


def adding(size: int, *, loop: bool = True) -> pm.Model:
    """Build a walk of `size` steps, by a scan or by a cumulative sum."""
    y = _numbers(size)
    with pm.Model() as model:
        width, step = pm.HalfNormal("width"), pm.Normal("step", shape=size)
        if loop:
            level = pytensor.scan(
                lambda step, before, width: before + width * step,
                sequences=[step],
                outputs_info=[pt.zeros(())],
                non_sequences=[width],
                return_updates=False,
            )
        else:
            level = pt.cumsum(width * step)
        pm.Normal("y", level, 0.5, observed=y)
    return model


def fading(size: int, *, loop: bool = True) -> pm.Model:
    """Build `size` steps of data that fade, by a scan or by a matrix of powers."""
    x, y = _numbers(size), _numbers(size)
    with pm.Model() as model:
        keep, gain = pm.Beta("keep", 2.0, 2.0), pm.Normal("gain")
        if loop:
            stored = pytensor.scan(
                lambda x, before, keep: x + keep * before,
                sequences=[pt.as_tensor(x)],
                outputs_info=[pt.zeros(())],
                non_sequences=[keep],
                return_updates=False,
            )
        else:
            gap = np.arange(size)[:, None] - np.arange(size)
            stored = pt.where(gap >= 0, keep ** np.maximum(gap, 0), 0.0) @ x
        pm.Normal("y", gain * stored, 0.5, observed=y)
    return model


def constant(size: int, *, loop: bool = True) -> pm.Model:
    """Build a regression on `size` rows, with or without constants that Numba's cache doesn't take."""
    x, y = _numbers(size), _numbers(size)
    with pm.Model() as model:
        rows = (x, y) if loop else (pm.Data("x", x), pm.Data("y", y))
        slope, noise = pm.Normal("slope"), pm.HalfNormal("noise")
        pm.Normal("seen", slope * rows[0], noise, observed=rows[1])
    return model


class _Settle(Op):
    """An operation of one's own, which Numba leaves to Python."""

    __props__ = ()

    def make_node(self, x: Any) -> Apply:
        x = pt.as_tensor_variable(x)
        return Apply(self, [x], [x.type()])

    def perform(self, node: Apply, inputs: Any, outputs: Any) -> None:  # noqa: ARG002 - PyTensor's own signature
        outputs[0][0] = np.tanh(inputs[0])

    def pullback(self, inputs: Any, outputs: Any, gradients: Any) -> list[Any]:  # noqa: ARG002 - PyTensor's own signature
        return [gradients[0] * (1 - outputs[0] ** 2)]


class _Known(_Settle):
    """The same, of which Numba knows what it is."""


@register_funcify_default_op_cache_key(_Known)
def _known_in_numba(op: Any, **_: Any) -> Any:  # noqa: ARG001 - PyTensor's own signature
    @numba_njit
    def settle(x: Any) -> Any:
        return np.tanh(x)

    return settle


def python(size: int, *, loop: bool = True) -> pm.Model:
    """Build a regression on `size` rows through an operation that Numba leaves to Python, or knows."""
    x, y = _numbers(size), _numbers(size)
    with pm.Model() as model:
        slope, noise = pm.Normal("slope"), pm.HalfNormal("noise")
        settle = _Settle() if loop else _Known()
        pm.Normal("seen", settle(slope * x), noise, observed=y)
    return model
