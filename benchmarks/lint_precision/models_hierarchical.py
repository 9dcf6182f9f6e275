"""Hierarchies, latent traits and factors, as PyMC's documentation and example gallery teach them."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt


def radon_intercepts() -> pm.Model:
    """Build houses within counties: intercepts that are pooled in part, a slope by the county's uranium."""
    rng = np.random.default_rng(1)
    county = np.repeat(np.arange(12), 5)
    with pm.Model(coords={"county": range(12), "house": range(60)}) as model:
        floor = pm.Data("floor", rng.binomial(1, 0.4, size=60), dims="house")
        number = pm.Data("number", county, dims="house")
        uranium = pm.Data("uranium", rng.normal(size=12), dims="county")
        g = pm.Normal("g", 0, 10, shape=2)
        spread = pm.Exponential("spread", 1)
        z = pm.Normal("z", dims="county")
        alpha = pm.Deterministic("alpha", g[0] + g[1] * uranium + z * spread, dims="county")
        beta, sigma = pm.Normal("beta", 0, 10), pm.Exponential("sigma", 1)
        pm.Normal("y", alpha[number] + beta * floor, sigma, observed=rng.normal(1, 1, size=60), dims="house")
    return model


def radon_correlated_slopes() -> pm.Model:
    """Build intercepts and slopes that are correlated, not centred."""
    rng = np.random.default_rng(1)
    county, floor = np.repeat(np.arange(10), 6), rng.binomial(1, 0.4, size=60)
    with pm.Model(coords={"effect": ["intercept", "slope"], "county": range(10)}) as model:
        chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2.0, sd_dist=pm.Exponential.dist(0.5))
        mean = pm.Normal("mean", 0.0, 5.0, dims="effect")
        z = pm.Normal("z", 0.0, 1.0, dims=("effect", "county"))
        own = pm.Deterministic("own", pt.dot(chol, z).T, dims=("county", "effect"))
        mu = (mean[0] + own[county, 0]) + (mean[1] + own[county, 1]) * floor
        pm.Normal("y", mu, pm.Exponential("sigma", 1.0), observed=rng.normal(size=60))
    return model


def eight_schools_centred() -> pm.Model:
    """Build the eight schools as they are first written."""
    effects = np.array([28, 8, -3, 7, -1, 1, 18, 12])
    errors = np.array([15, 10, 16, 11, 9, 11, 10, 18])
    with pm.Model(coords={"school": range(8)}) as model:
        mu, tau = pm.Normal("mu", 0, 5), pm.HalfCauchy("tau", 5)
        theta = pm.Normal("theta", mu, tau, dims="school")
        pm.Normal("y", theta, errors, observed=effects, dims="school")
    return model


def baseball() -> pm.Model:
    """Build the partially pooled batting averages (Efron and Morris)."""
    rng = np.random.default_rng(1)
    with pm.Model(coords={"player": range(18)}) as model:
        phi = pm.Uniform("phi", 0.0, 1.0)
        kappa = pm.Deterministic("kappa", pt.exp(pm.Exponential("kappa_log", 1.5)))
        theta = pm.Beta("theta", alpha=phi * kappa, beta=(1.0 - phi) * kappa, dims="player")
        pm.Binomial("hits", n=45, p=theta, observed=rng.binomial(45, 0.27, size=18), dims="player")
    return model


def rat_tumours() -> pm.Model:
    """Build the rat tumours of Gelman's book: a prior of two parameters, as a potential."""
    rng = np.random.default_rng(1)
    n = rng.integers(10, 25, size=30)
    with pm.Model() as model:
        ab = pm.HalfNormal("ab", sigma=10, shape=2)
        pm.Potential("p(a, b)", pt.log(pt.pow(pt.sum(ab), -5 / 2)))
        theta = pm.Beta("theta", alpha=ab[0], beta=ab[1], shape=30)
        pm.Binomial("y", p=theta, n=n, observed=rng.binomial(n, 0.15))
    return model


def rugby() -> pm.Model:
    """Build the Six Nations: attack and defence of each team, scores of home and away."""
    rng = np.random.default_rng(1)
    home, away = np.array([(i, j) for i in range(6) for j in range(6) if i != j]).T
    with pm.Model(coords={"team": range(6)}) as model:
        home_team, away_team = pm.Data("home_team", home, dims="match"), pm.Data("away_team", away, dims="match")
        advantage, intercept = pm.Normal("advantage", 0, 1), pm.Normal("intercept", 3, 1)
        sd_att, sd_def = pm.HalfNormal("sd_att", 2), pm.HalfNormal("sd_def", 2)
        att_star, def_star = (
            pm.Normal("att_star", 0, sd_att, dims="team"),
            pm.Normal("def_star", 0, sd_def, dims="team"),
        )
        atts = pm.Deterministic("atts", att_star - att_star.mean(), dims="team")
        defs = pm.Deterministic("defs", def_star - def_star.mean(), dims="team")
        home_rate = pt.exp(intercept + advantage + atts[home_team] + defs[away_team])
        away_rate = pt.exp(intercept + atts[away_team] + defs[home_team])
        pm.Poisson("home_points", home_rate, observed=rng.poisson(20, size=30), dims="match")
        pm.Poisson("away_points", away_rate, observed=rng.poisson(15, size=30), dims="match")
    return model


def bradley_terry() -> pm.Model:
    """Build the strengths of players from who beat whom."""
    rng = np.random.default_rng(1)
    one, two = rng.integers(0, 8, size=(2, 60))
    with pm.Model(coords={"player": range(8)}) as model:
        sigma = pm.HalfNormal("sigma", 1)
        strength = pm.ZeroSumNormal("strength", sigma=sigma, dims="player")
        pm.Bernoulli("won", logit_p=strength[one] - strength[two], observed=rng.binomial(1, 0.5, size=60))
    return model


def item_response() -> pm.Model:
    """Build the two-parameter model of answers to items."""
    rng = np.random.default_rng(1)
    with pm.Model(coords={"person": range(25), "item": range(8)}) as model:
        ability = pm.Normal("ability", dims="person")
        hardness = pm.Normal("hardness", 0, 2, dims="item")
        sharpness = pm.LogNormal("sharpness", 0, 0.5, dims="item")
        logit = sharpness * (ability[:, None] - hardness)
        pm.Bernoulli("right", logit_p=logit, observed=rng.binomial(1, 0.6, size=(25, 8)), dims=("person", "item"))
    return model


def factor_analysis() -> pm.Model:
    """Build a factor analysis whose loadings are a triangle filled from a vector, with the latents summed out."""
    rng = np.random.default_rng(1)
    d, k = 6, 2
    with pm.Model() as model:
        w = pm.math.expand_packed_triangular(k, pm.LogNormal("diagonal_block", 0, 1, shape=3), lower=True)
        rest = pm.Normal("rest", 0, 1, shape=(d - k, k))
        loadings = pm.Deterministic("loadings", pt.concatenate([w, rest], axis=0))
        psi = pm.HalfNormal("psi", 1.0)
        cov = loadings @ loadings.T + psi * pt.eye(d)
        pm.MvNormal("y", 0.0, cov, observed=rng.normal(size=(30, d)))
    return model


def factor_analysis_of_first_try() -> pm.Model:
    """Build the gallery's own way to fill loadings, with `set_subtensor`, and the latents kept."""
    rng = np.random.default_rng(1)
    d, k, n = 5, 2, 20
    with pm.Model() as model:
        z = pm.Normal("diagonal", 0, 1, shape=k)
        loading = pm.Normal("below", 0, 1, shape=d * k - k * (k + 1) // 2)
        w = pt.zeros((d, k))
        w = pt.set_subtensor(w[np.arange(k), np.arange(k)], pt.exp(z))
        w = pt.set_subtensor(w[np.tril_indices(d, -1, k)], loading)
        f = pm.Normal("f", shape=(k, n))
        psi = pm.HalfNormal("psi", 1.0)
        pm.Normal("y", w @ f, psi, observed=rng.normal(size=(d, n)))
    return model


def matrix_factorisation() -> pm.Model:
    """Build films and users with latent factors, ratings with gaps left out."""
    rng = np.random.default_rng(1)
    user, film = np.nonzero(rng.random((15, 12)) < 0.4)
    with pm.Model(coords={"user": range(15), "film": range(12), "factor": range(3)}) as model:
        u = pm.Normal("u", 0, 1, dims=("user", "factor"))
        v = pm.Normal("v", 0, 1, dims=("film", "factor"))
        sigma = pm.HalfNormal("sigma", 1)
        pm.Normal("rating", (u[user] * v[film]).sum(axis=-1), sigma, observed=rng.normal(size=user.size))
    return model


def multivariate_matrix_factorisation() -> pm.Model:
    """Build the gallery's factorisation: rows of precision matrices, imputed ratings."""
    rng = np.random.default_rng(1)
    ratings = np.ma.masked_array(rng.normal(size=(8, 6)), rng.random((8, 6)) < 0.3)
    with pm.Model() as model:
        u = pm.MvNormal("u", mu=np.zeros(3), tau=np.eye(3), shape=(8, 3))
        v = pm.MvNormal("v", mu=np.zeros(3), tau=np.eye(3), shape=(6, 3))
        pm.Normal("rating", mu=(u @ v.T)[~ratings.mask], tau=2.0, observed=ratings[~ratings.mask].data)
    return model


def crossed_effects() -> pm.Model:
    """Build two crossed factors that sum to zero, and their interaction."""
    rng = np.random.default_rng(1)
    soil, crop = np.tile(np.arange(4), 15), np.repeat(np.arange(3), 20)
    with pm.Model(coords={"soil": range(4), "crop": range(3)}) as model:
        base = pm.Normal("base", 0, 5)
        of_soil = pm.ZeroSumNormal("of_soil", sigma=1, dims="soil")
        of_crop = pm.ZeroSumNormal("of_crop", sigma=1, dims="crop")
        both = pm.ZeroSumNormal("both", sigma=0.5, dims=("soil", "crop"), n_zerosum_axes=2)
        mu = base + of_soil[soil] + of_crop[crop] + both[soil, crop]
        pm.Normal("yield", mu, pm.HalfNormal("sigma", 1), observed=rng.normal(size=60))
    return model


def poststratification() -> pm.Model:
    """Build support by state, age and education, each a group of varying intercepts in a short loop."""
    rng = np.random.default_rng(1)
    levels = {"state": 10, "age": 4, "education": 5}
    with pm.Model(coords={name: range(n) for name, n in levels.items()}) as model:
        eta = pm.Normal("intercept", 0, 2)
        for name, n in levels.items():
            sigma = pm.HalfNormal(f"sigma_{name}", 1)
            z = pm.Normal(f"z_{name}", dims=name)
            eta = eta + (sigma * z)[rng.integers(0, n, size=80)]
        pm.Bernoulli("supports", logit_p=eta, observed=rng.binomial(1, 0.5, size=80))
    return model


def covariance() -> pm.Model:
    """Build the covariance of a vector by an LKJ prior of its Cholesky factor."""
    rng = np.random.default_rng(1)
    with pm.Model(coords={"axis": list("xyz")}) as model:
        chol, _, _ = pm.LKJCholeskyCov("chol", n=3, eta=2.0, sd_dist=pm.Exponential.dist(1.0))
        mu = pm.Normal("mu", 0.0, 1.5, dims="axis")
        pm.MvNormal("y", mu, chol=chol, observed=rng.normal(size=(40, 3)))
    return model


def copula() -> pm.Model:
    """Build a Gaussian copula of two margins that were fitted before."""
    rng = np.random.default_rng(1)
    a = rng.normal(size=50)
    seen = np.stack([a, 0.6 * a + rng.normal(size=50)], axis=1)
    with pm.Model() as model:
        chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2.0, sd_dist=pm.Exponential.dist(1.0))
        pm.MvNormal("normal_scores", mu=np.zeros(2), chol=chol, observed=seen)
    return model


def copula_of_margins() -> pm.Model:
    """Build a copula together with its margins, the Jacobian as a potential."""
    rng = np.random.default_rng(1)
    wait, size = rng.exponential(2.0, size=40), rng.exponential(1.0, size=40)
    with pm.Model() as model:
        rate = pm.HalfNormal("rate", 1, shape=2)
        rho = pm.Uniform("rho", -0.99, 0.99)
        u = 1 - pt.exp(-rate * np.stack([wait, size], axis=1))
        z = pm.math.probit(pt.clip(u, 1e-6, 1 - 1e-6))
        quad = (z[:, 0] ** 2 + z[:, 1] ** 2) * rho**2 - 2 * rho * z[:, 0] * z[:, 1]
        pm.Potential("copula", (-0.5 * pt.log1p(-(rho**2)) - quad / (2 * (1 - rho**2))).sum())
        pm.Exponential("wait", rate[0], observed=wait)
        pm.Exponential("size", rate[1], observed=size)
    return model


def structural_equations() -> pm.Model:
    """Build a confirmatory factor analysis: loadings with the first fixed, factors that are correlated."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        lam = [pt.concatenate([[1.0], pm.Normal(f"lam_{name}", 1, 1, shape=2)]) for name in ("drive", "skill")]
        tau = pm.Normal("tau", 0, 3, shape=6)
        chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=pm.Exponential.dist(1.0))
        eta = pt.dot(pm.Normal("z", shape=(30, 2)), chol.T)
        mu = tau + pt.concatenate([eta[:, [0]] * lam[0], eta[:, [1]] * lam[1]], axis=1)
        pm.Normal("items", mu, pm.HalfNormal("sd", 1, shape=6), observed=rng.normal(size=(30, 6)))
    return model


def dynamic_reinforcement_learning() -> pm.Model:
    """Build a learner of two arms: values by scan, choices by softmax."""
    import pytensor

    rng = np.random.default_rng(1)
    action, reward = rng.integers(0, 2, size=40), rng.binomial(1, 0.5, size=40).astype(float)
    with pm.Model() as model:
        alpha, beta = pm.Beta("alpha", 1, 1), pm.HalfNormal("beta", 5)

        def step(action, reward, values, alpha):
            return pt.set_subtensor(values[action], values[action] + alpha * (reward - values[action]))

        values = pytensor.scan(
            step,
            sequences=[pt.as_tensor(action), pt.as_tensor(reward)],
            outputs_info=[pt.as_tensor(np.array([0.5, 0.5]))],
            non_sequences=[alpha],
            return_updates=False,
        )
        values = beta * values[:-1]
        pm.Bernoulli("chosen", logit_p=values[:, 1] - values[:, 0], observed=action[1:])
    return model


def occupancy() -> pm.Model:
    """Build sites that are occupied, and detections given that they are."""
    rng = np.random.default_rng(1)
    seen = rng.binomial(5, 0.4, size=40) * rng.binomial(1, 0.6, size=40)
    with pm.Model() as model:
        height = rng.normal(size=40)
        base, slope = pm.Normal("base", 0, 1), pm.Normal("slope", 0, 1)
        p = pm.Beta("p", 2, 2)
        pm.ZeroInflatedBinomial("seen", n=5, p=p, psi=pm.math.invlogit(base + slope * height), observed=seen)
    return model


def capture_recapture() -> pm.Model:
    """Build survival and recapture of animals, by year, with unseen ones marginalised (as a custom potential)."""
    rng = np.random.default_rng(1)
    counts = rng.multinomial(40, [0.1] * 5 + [0.5])[:-1]
    with pm.Model() as model:
        phi, p = pm.Beta("phi", 2, 2), pm.Beta("p", 2, 2)
        year = np.arange(5)
        chance = phi ** (year + 1) * (1 - p) ** year * p
        pm.Potential("seen", (counts * pt.log(chance)).sum())
        pm.Potential("unseen", (40 - counts.sum()) * pt.log1p(-chance.sum()))
    return model
