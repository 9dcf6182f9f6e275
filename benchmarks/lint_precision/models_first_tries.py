"""Models as people write them at first: each has something to tell, named in its docstring."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt


def a_likelihood_per_group() -> pm.Model:
    """Build a regression for each of twelve counties: a loop, with variables and a likelihood of each one's own."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        mean, spread = pm.Normal("mean", 0, 1), pm.HalfNormal("spread", 1)
        for county in range(12):
            level = pm.Normal(f"level_{county}", mean, spread)
            slope = pm.Normal(f"slope_{county}", 0, 1)
            x = rng.normal(size=8)
            pm.Normal(f"y_{county}", level + slope * x, 1.0, observed=rng.normal(size=8))
    return model


def a_likelihood_per_row() -> pm.Model:
    """Build a straight line with an observed variable for each of forty rows."""
    rng = np.random.default_rng(1)
    x = np.linspace(0, 1, 40)
    with pm.Model() as model:
        base, slope, sigma = pm.Normal("base", 0, 1), pm.Normal("slope", 0, 1), pm.HalfNormal("sigma", 1)
        for row in range(40):
            pm.Normal(f"y_{row}", base + slope * x[row], sigma, observed=x[row] + rng.normal())
    return model


def a_potential_per_row() -> pm.Model:
    """Build a likelihood summed up in a loop over thirty rows of data."""
    rng = np.random.default_rng(1)
    y = rng.exponential(2, size=30)
    with pm.Model() as model:
        shape, rate = pm.HalfNormal("shape", 2), pm.HalfNormal("rate", 2)
        total = 0
        for value in y:
            total += pm.logp(pm.Gamma.dist(shape, rate), value)
        pm.Potential("likelihood", total)
    return model


def a_chain_unrolled() -> pm.Model:
    """Build a hidden Markov chain whose forward pass is a Python loop."""
    rng = np.random.default_rng(1)
    y = rng.normal(size=25)
    with pm.Model() as model:
        mu = pm.Normal("mu", [-1.0, 1.0], 1.0, shape=2)
        move = pm.Dirichlet("move", a=np.array([[5.0, 1.0], [1.0, 5.0]]))
        alpha = np.log(0.5) + pm.logp(pm.Normal.dist(mu, 1.0), y[0])
        for t in range(1, 25):
            alpha = pm.logp(pm.Normal.dist(mu, 1.0), y[t]) + pt.logsumexp(alpha[:, None] + pt.log(move), axis=0)
        pm.Potential("chain", pt.logsumexp(alpha))
    return model


def an_equation_unrolled() -> pm.Model:
    """Build a decay by forty Euler steps in a Python loop."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        rate, start = pm.HalfNormal("rate", 1), pm.HalfNormal("start", 5)
        state, path = start, []
        for _ in range(40):
            state = state - 0.1 * rate * state / (1 + state)
            path.append(state)
        pm.Normal("y", pt.stack(path), 0.2, observed=rng.normal(1, 0.2, size=40))
    return model


def a_cumulative_sum_by_scan() -> pm.Model:
    """Build a random walk by a scan that only adds up."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        shock = pm.Normal("shock", shape=40)
        path = pytensor.scan(
            lambda shock, before: before + shock,
            sequences=[shock],
            outputs_info=[pt.as_tensor(0.0, dtype="float64")],
            return_updates=False,
        )
        pm.Normal("y", path, 0.5, observed=rng.normal(size=40).cumsum())
    return model


def a_map_by_scan() -> pm.Model:
    """Build a regression by a scan over rows that don't depend on each other."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(30, 3))
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=3)
        mu = pytensor.scan(
            lambda row, beta: pt.dot(row, beta),
            sequences=[pt.as_tensor(x)],
            non_sequences=[beta],
            return_updates=False,
        )
        pm.Normal("y", mu, 1.0, observed=rng.normal(size=30))
    return model


def a_covariance_cell_by_cell() -> pm.Model:
    """Build a covariance matrix by two loops of `set_subtensor`."""
    rng = np.random.default_rng(1)
    x = np.linspace(0, 1, 7)
    with pm.Model() as model:
        length, height = pm.HalfNormal("length", 1), pm.HalfNormal("height", 1)
        cov = pt.zeros((7, 7))
        for i in range(7):
            for j in range(7):
                cov = pt.set_subtensor(cov[i, j], height**2 * pt.exp(-((x[i] - x[j]) ** 2) / length**2))
        pm.MvNormal("y", np.zeros(7), cov + 0.1 * pt.eye(7), observed=rng.normal(size=7))
    return model


def steps_by_nested_switches() -> pm.Model:
    """Build a rate of twenty levels by nested switches instead of an index."""
    rng = np.random.default_rng(1)
    age = rng.integers(0, 20, size=100)
    with pm.Model() as model:
        level = pm.Normal("level", 0, 1, shape=20)
        rate = level[0]
        for number in range(1, 20):
            rate = pt.switch(pt.ge(age, number), level[number], rate)
        pm.Poisson("y", pt.exp(rate), observed=rng.poisson(2, size=100))
    return model


def carry_over_by_loop() -> pm.Model:
    """Build advertising with carry-over by a loop over twelve lags."""
    rng = np.random.default_rng(1)
    spend = rng.gamma(2, 1, size=60)
    with pm.Model() as model:
        keep, effect = pm.Beta("keep", 1, 3), pm.HalfNormal("effect", 2)
        carried = pt.as_tensor(spend)
        for lag in range(1, 13):
            carried = carried + keep**lag * pt.concatenate([pt.zeros(lag), spend[:-lag]])
        pm.Normal("sales", effect * carried, pm.HalfNormal("sigma", 1), observed=3 + rng.normal(size=60))
    return model


def mask_after_the_arithmetic() -> pm.Model:
    """Build a likelihood over data with NaN, masked only after its terms were computed: a NaN gradient."""
    rng = np.random.default_rng(1)
    y = rng.gamma(2, 1, size=30)
    y[::5] = np.nan
    with pm.Model() as model:
        centre, slope = pm.Normal("centre", 0, 1), pm.Normal("slope", 1, 1)
        term = -0.5 * (slope * pt.log(y) - centre) ** 2
        pm.Potential("likelihood", pt.switch(np.isfinite(y), term, 0.0).sum())
    return model


def distance_at_zero() -> pm.Model:
    """Build distances between all pairs of places, the diagonal among them: the root's derivative at zero is NaN."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        place = pm.Normal("place", 0, 1, shape=(6, 2))
        apart = pt.sqrt(((place[:, None] - place[None]) ** 2).sum(axis=-1))
        pm.Normal("seen", apart, 0.5, observed=rng.gamma(2, 1, size=(6, 6)))
    return model


def probit_tail_by_hand() -> pm.Model:
    """Build a probit likelihood by hand at a point in the tail: log(1 - Phi(x)) is minus infinity a little further."""
    x = np.array([0.5, 3.0, 7.0])
    with pm.Model() as model:
        slope = pm.HalfNormal("slope", 1, initval=1.0)
        above = 0.5 * (1 + pt.erf(slope * x / np.sqrt(2)))
        pm.Potential("likelihood", pt.log(1 - above).sum())
    return model


def mixture_by_log_of_sum() -> pm.Model:
    """Build a mixture as the logarithm of a sum of densities, which underflow for a far point."""
    rng = np.random.default_rng(1)
    y = np.r_[rng.normal(size=20), 60.0]
    with pm.Model() as model:
        mu = pm.Normal("mu", [-1.0, 1.0], 1.0, shape=2)
        density = 0.5 * pt.exp(pm.logp(pm.Normal.dist(mu[0], 3.0), y)) + 0.5 * pt.exp(
            pm.logp(pm.Normal.dist(mu[1], 3.0), y)
        )
        pm.Potential("likelihood", pt.log(density).sum())
    return model


def large_design() -> pm.Model:
    """Build a regression on a design matrix of 1.6 MB: a constant that PyTensor's Numba cache doesn't take."""
    rng = np.random.default_rng(1)
    design = rng.normal(size=(2000, 100))
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=100)
        pm.Bernoulli("y", logit_p=design @ beta, observed=rng.binomial(1, 0.5, size=2000))
    return model


def single_precision_data() -> pm.Model:
    """Build a regression on data in single precision, as they came from a file."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=60).astype("float32")
    with pm.Model() as model:
        base, slope, sigma = pm.Normal("base", 0, 1), pm.Normal("slope", 0, 1), pm.HalfNormal("sigma", 1)
        pm.Normal("y", base + slope * x, sigma, observed=(x + rng.normal(size=60)).astype("float32"))
    return model


def lengths_from_data() -> pm.Model:
    """Build a series whose number of steps is computed from `pm.Data`: JAX needs it fixed."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        y = pm.Data("y", rng.normal(size=30))
        push = pm.Normal("push", shape=30)
        keep = pm.Beta("keep", 2, 2)
        level = pytensor.scan(
            lambda number, before, push, keep: keep * before + push[number],
            sequences=[pt.arange(y.shape[0])],
            outputs_info=[pt.as_tensor(0.0, dtype="float64")],
            non_sequences=[push, keep],
            return_updates=False,
        )
        pm.Normal("seen", level, 1.0, observed=y)
    return model
