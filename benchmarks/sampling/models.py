"""Models whose posteriors are compared: groups, a covariance, a regression, a series, constrained shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

import firstgrad

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def eight_schools() -> pm.Model:
    """Build the hierarchy of eight schools, not centred."""
    effects = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    errors = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    with pm.Model(coords={"school": list("ABCDEFGH")}) as model:
        mean, spread = pm.Normal("mean", 0.0, 5.0), pm.HalfNormal("spread", 5.0)
        offset = pm.Normal("offset", dims="school")
        effect = pm.Deterministic("effect", mean + spread * offset, dims="school")
        pm.Normal("seen", effect, errors, observed=effects, dims="school")
    return model


def varying_slopes(n_groups: int = 8, n_each: int = 12) -> pm.Model:
    """Build a hierarchy whose intercepts and slopes have a covariance, with an LKJ prior."""
    rng = np.random.default_rng(7)
    group = np.repeat(np.arange(n_groups), n_each)
    x = rng.normal(size=len(group))
    true = np.array([1.0, 0.5]) + rng.multivariate_normal([0.0, 0.0], [[0.5, 0.2], [0.2, 0.3]], n_groups)
    y = true[group, 0] + true[group, 1] * x + 0.4 * rng.normal(size=len(group))
    with pm.Model(coords={"group": range(n_groups), "effect": ["intercept", "slope"]}) as model:
        factor, _, _ = pm.LKJCholeskyCov("factor", n=2, eta=2.0, sd_dist=pm.Exponential.dist(1.0))
        mean = pm.Normal("mean", 0.0, 2.0, dims="effect")
        offset = pm.Normal("offset", dims=("group", "effect"))
        effects = pm.Deterministic("effects", mean + offset @ factor.T, dims=("group", "effect"))
        noise = pm.HalfNormal("noise", 1.0)
        pm.Normal("y", effects[group, 0] + effects[group, 1] * x, noise, observed=y)
    return model


def logistic_regression() -> pm.Model:
    """Build a generalised linear model."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(120, 4))
    seen = rng.random(120) < 1 / (1 + np.exp(-(x @ np.array([1.0, -0.5, 0.0, 0.3]) + 0.2)))
    with pm.Model() as model:
        intercept, slopes = pm.Normal("intercept", 0.0, 2.0), pm.Normal("slopes", 0.0, 1.0, shape=4)
        pm.Bernoulli("seen", logit_p=intercept + x @ slopes, observed=seen.astype(int))
    return model


def series() -> pm.Model:
    """Build an autoregression of a hidden level."""
    rng = np.random.default_rng(9)
    level = np.zeros(60)
    for step in range(1, 60):
        level[step] = 0.7 * level[step - 1] + 0.5 * rng.normal()
    with pm.Model() as model:
        persistence = pm.Uniform("persistence", -0.95, 0.95)
        jump = pm.HalfNormal("jump", 1.0)
        pm.AR("level", [persistence], sigma=jump, init_dist=pm.Normal.dist(0.0, 1.0), observed=level)
    return model


def constrained() -> pm.Model:
    """Build a mixture: a simplex, ordered means, dims and deterministics."""
    rng = np.random.default_rng(10)
    y = np.concatenate([rng.normal(-2.0, 0.7, 60), rng.normal(2.0, 0.7, 90)])
    ordered = pm.distributions.transforms.ordered
    with pm.Model(coords={"part": ["low", "high"]}) as model:
        share = pm.Dirichlet("share", np.ones(2), dims="part")
        centre = pm.Normal("centre", [-1.0, 1.0], 2.0, transform=ordered, dims="part")
        width = pm.HalfNormal("width", 1.0)
        pm.Deterministic("mean", pt.sum(share * centre))
        pm.NormalMixture("y", share, centre, width, observed=y)
    return model


MODELS: dict[str, Callable[[], pm.Model]] = {
    one.__name__: one for one in (eight_schools, varying_slopes, logistic_regression, series, constrained)
}


def calibration_ranks(n_models: int, seed: int, **asked: Any) -> dict[str, NDArray[np.float64]]:
    """Draw parameters and data of many small models, sample all posteriors at once, rank the parameters among draws.

    Where draws are right, ranks are uniform from 0 to 1; the models share nothing, so they are independent.
    """
    rng = np.random.default_rng(seed)
    truth = {"centre": rng.normal(0.0, 1.0, n_models), "log_width": rng.normal(0.0, 0.5, n_models)}
    y = rng.normal(truth["centre"][:, None], np.exp(truth["log_width"])[:, None], (n_models, 4))
    with pm.Model() as model:
        centre = pm.Normal("centre", 0.0, 1.0, shape=n_models)
        log_width = pm.Normal("log_width", 0.0, 0.5, shape=n_models)
        pm.Normal("y", centre[:, None], pt.exp(log_width)[:, None], observed=y)
    trace = firstgrad.sample(model, random_seed=seed, compute_convergence_checks=False, **asked)
    ranks = {}
    for name, value in truth.items():
        draws = trace.posterior[name].values[:, ::10].reshape(-1, n_models)
        ranks[name] = ((draws < value).sum(axis=0) + rng.random(n_models)) / (len(draws) + 1)
    return ranks
