"""What lint's estimates rest on: each finding's situation, and the same density written as lint says."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

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
