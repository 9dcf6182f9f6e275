"""Models with one thing to say about each, and the same without it."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

RNG = np.random.default_rng(5)
DAYS = 40
RAIN = RNG.gamma(2.0, 1.0, size=DAYS)
FLOW = RNG.normal(3.0, 1.0, size=DAYS)
WELLS, DEPTHS = 6, 4
LEVELS = RNG.normal(size=(WELLS, DEPTHS))


def wells(*, loop=True):
    """A variable and an observed one for each well and depth."""
    with pm.Model() as model:
        mean = pm.Normal("mean")
        if loop:
            for well in range(WELLS):
                for depth in range(DEPTHS):
                    shift = pm.Normal(f"shift_{well}_{depth}", 0.0, 0.5)
                    level = pm.Deterministic(f"level_{well}_{depth}", mean + pt.exp(shift))
                    pm.Normal(f"seen_{well}_{depth}", level, 1.0, observed=LEVELS[well, depth])
        else:
            shift = pm.Normal("shift", 0.0, 0.5, shape=(WELLS, DEPTHS))
            level = pm.Deterministic("level", mean + pt.exp(shift))
            pm.Normal("seen", level, 1.0, observed=LEVELS)
    return model


def offsets():
    """Free variables made in a loop, which one term takes together."""
    with pm.Model() as model:
        spread = pm.HalfNormal("spread")
        each = [pm.Normal(f"offset[{number}]", 0.0, spread) for number in range(12)]
        pm.Normal("flow", pt.stack(each)[np.arange(DAYS) % 12], 1.0, observed=FLOW)
    return model


def quadrature(*, loop=True, nodes=30):
    """An integral, unrolled."""
    with pm.Model() as model:
        rate = pm.HalfNormal("rate")
        power = pm.HalfNormal("power")

        def height(x):
            return pt.exp(-rate * x) / (1 + pt.sqrt(power) * x**2)

        if loop:
            area = height(0.0 * RAIN) / 2
            for number in range(1, nodes):
                area = area + height(number / nodes * RAIN)
        else:
            number = np.arange(1, nodes)[:, None]
            area = height(0.0 * RAIN) / 2 + height(number / nodes * RAIN).sum(axis=0)
        pm.Normal("flow", area, 1.0, observed=FLOW)
    return model


def store(*, loop=True):
    """A recursion written by a Python loop, or as a scan."""
    with pm.Model() as model:
        keep = pm.Beta("keep", 2.0, 2.0)
        push = pm.Normal("push", shape=DAYS)
        if loop:
            held = [push[0]]
            for day in range(1, DAYS):
                held.append(pt.tanh(keep * held[-1]) + push[day])
            held = pt.stack(held)
        else:
            held = pytensor.scan(
                lambda push, before, keep: pt.tanh(keep * before) + push,
                sequences=[push],
                outputs_info=[pt.zeros(())],
                non_sequences=[keep],
                return_updates=False,
            )
        pm.Normal("flow", held, 1.0, observed=FLOW)
    return model


def walk():
    """A scan that only adds up."""
    with pm.Model() as model:
        size = pm.HalfNormal("size")
        step = pm.Normal("step", shape=DAYS)
        level = pytensor.scan(
            lambda step, before, size: before + size * step,
            sequences=[step],
            outputs_info=[pt.zeros(())],
            non_sequences=[size],
            return_updates=False,
        )
        pm.Normal("flow", level, 1.0, observed=FLOW)
    return model


def fading():
    """A scan over data that fade."""
    with pm.Model() as model:
        keep = pm.Beta("keep", 2.0, 2.0)
        gain = pm.Normal("gain")
        stored = pytensor.scan(
            lambda rain, before, keep: rain + keep * before,
            sequences=[pt.as_tensor(RAIN)],
            outputs_info=[pt.zeros(())],
            non_sequences=[keep],
            return_updates=False,
        )
        pm.Normal("flow", gain * stored, 1.0, observed=FLOW)
    return model


def mapped():
    """A scan without a state."""
    with pm.Model() as model:
        base, slope = pm.Normal("base"), pm.Normal("slope")
        mean = pytensor.scan(
            lambda rain, base, slope: base + slope * pt.log(rain),
            sequences=[pt.as_tensor(RAIN)],
            non_sequences=[base, slope],
            return_updates=False,
        )
        pm.Normal("flow", mean, 1.0, observed=FLOW)
    return model


def autoregressive():
    """A scan that has no closed form worth writing: the state fades, and what comes in is unknown."""
    with pm.Model() as model:
        keep = pm.Beta("keep", 2.0, 2.0)
        push = pm.Normal("push", shape=DAYS)
        level = pytensor.scan(
            lambda push, before, keep: keep * before + push,
            sequences=[push],
            outputs_info=[pt.zeros(())],
            non_sequences=[keep],
            return_updates=False,
        )
        pm.Normal("flow", level, 1.0, observed=FLOW)
    return model


def arrival():
    """An incomplete gamma function whose shape is unknown."""
    with pm.Model() as model:
        shape = pm.Gamma("shape", 3.0, 1.0)
        pm.Potential("late", pt.log1p(-pt.gammainc(shape, RAIN)).sum())
    return model


class Settle(Op):
    """The user's own operation, with a gradient and no backend."""

    __props__ = ()

    def make_node(self, x):
        x = pt.as_tensor_variable(x)
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):  # noqa: ARG002 - PyTensor's own signature
        outputs[0][0] = np.tanh(inputs[0])

    def pullback(self, inputs, outputs, gradients):  # noqa: ARG002 - PyTensor's own signature
        return [gradients[0] * (1 - outputs[0] ** 2)]


def own_operation():
    """An operation of the user's own."""
    with pm.Model() as model:
        slope = pm.Normal("slope")
        pm.Normal("flow", Settle()(slope * RAIN), 1.0, observed=FLOW)
    return model


def moving(*, fixed=False):
    """A vector that is cut by a length which may change."""
    with pm.Model() as model:
        lengths = pm.Data("lengths", [10, 30], **({"shape": 2} if fixed else {}))
        value = pm.Normal("value", shape=DAYS)
        first = value[: lengths[0]]
        pm.Normal("flow", pt.concatenate([first * 2, value[lengths[0] :]]), 1.0, observed=FLOW)
    return model


def plain_data():
    """Data that may change, and that JAX takes as they are."""
    with pm.Model() as model:
        rain = pm.Data("rain", RAIN)
        slope = pm.Normal("slope")
        pm.Normal("flow", slope * rain, 1.0, observed=FLOW)
    return model


def resizable(*, kind="ZeroSumNormal"):
    """A variable whose length is a dimension that may be resized."""
    options = {"init_dist": pm.Normal.dist(0, 5)} if kind == "GaussianRandomWalk" else {}
    with pm.Model(coords={"day": range(DAYS)}) as model:
        effect = getattr(pm, kind)("effect", dims="day", **options)
        pm.Normal("flow", effect, 1.0, observed=FLOW, dims="day")
    return model


def cells():
    """A matrix that two loops fill."""
    x = np.sort(RNG.uniform(size=7))
    with pm.Model() as model:
        length, height = pm.HalfNormal("length"), pm.HalfNormal("height")
        cov = pt.zeros((7, 7))
        for i in range(7):
            for j in range(7):
                cov = pt.set_subtensor(cov[i, j], height**2 * pt.exp(-((x[i] - x[j]) ** 2) / length**2))
        pm.MvNormal("y", np.zeros(7), cov + 0.1 * pt.eye(7), observed=RNG.normal(size=7))
    return model


def rows():
    """A likelihood that a loop sums up by PyMC's own densities."""
    with pm.Model() as model:
        shape, rate = pm.HalfNormal("shape"), pm.HalfNormal("rate")
        total = 0
        for value in RAIN:
            total += pm.logp(pm.Gamma.dist(shape, rate), value)
        pm.Potential("likelihood", total)
    return model


def long_sum(*, parts=1010):
    """A sum of more operands than Numba takes."""
    with pm.Model() as model:
        x = pm.Normal("x", shape=parts)
        pm.Potential("total", pt.add(*[x[number] for number in range(parts)]))
    return model


def large(*, size=130_000):
    """Observed values that Numba's cache doesn't take."""
    with pm.Model() as model:
        mean = pm.Normal("mean")
        pm.Normal("flow", mean, 1.0, observed=np.zeros(size))
    return model


def few():
    """Five variables on lines of their own: nothing to say."""
    with pm.Model() as model:
        parts = [
            pm.Normal("coast_1", 0.0, 1.0),
            pm.Normal("coast_2", 0.0, 1.0),
            pm.Normal("inland_1", 0.0, 1.0),
            pm.Normal("inland_2", 0.0, 1.0),
            pm.Normal("upland_1", 0.0, 1.0),
        ]
        pm.Normal("flow", sum(parts) * RAIN, 1.0, observed=FLOW)
    return model


def meeting(*, how):
    """Twelve curves, brought together in one of the ways."""
    with pm.Model() as model:
        rate, half = pm.HalfNormal("rate"), pm.HalfNormal("half")
        curves = [pt.exp(-rate * (RAIN + day)) / (1 + half * (RAIN + day)) for day in range(12)]
        if how == "added":
            pm.Potential("total", sum(curves).sum())
        elif how == "read":
            pm.Normal("flow", sum(curves), 1.0, observed=FLOW)
        else:
            pm.Normal("flow", pt.stack(curves), 1.0, observed=np.tile(FLOW, (12, 1)))
    return model


def switches():
    """A level for each element, picked by a chain of switches."""
    with pm.Model() as model:
        level = pm.Normal("level", shape=30)
        picked = level[0]
        for number in range(1, 30):
            picked = pt.switch(pt.ge(np.arange(DAYS), number), level[number], picked)
        pm.Normal("flow", picked, 1.0, observed=FLOW)
    return model


def mixture():
    """Densities added up outside of the logarithm."""
    with pm.Model() as model:
        mean = pm.Normal("mean", shape=2)
        density = sum(0.5 * pt.exp(pm.logp(pm.Normal.dist(mean[part], 1.0), FLOW)) for part in range(2))
        pm.Potential("likelihood", pt.log(density).sum())
    return model


def hours():
    """A rate that is zero at some data, within PyMC's own density."""
    with pm.Model() as model:
        usual = pm.Gamma("usual", 2.0, 1.0)
        pm.Poisson("seen", mu=usual * np.r_[0.0, np.ones(4)], observed=np.r_[0, np.ones(4, dtype=int)])
    return model
