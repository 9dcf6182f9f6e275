"""Regressions and comparisons, as PyMC's documentation and example gallery teach them."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from scipy.interpolate import BSpline


def linear_regression() -> pm.Model:
    """Build a straight line through data that have a name and dims."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-2, 2, size=60)
    with pm.Model(coords={"row": range(60)}) as model:
        seen = pm.Data("x", x, dims="row")
        intercept = pm.Normal("intercept", 0, 10)
        slope = pm.Normal("slope", 0, 10)
        sigma = pm.HalfNormal("sigma", 5)
        mu = pm.Deterministic("mu", intercept + slope * seen, dims="row")
        pm.Normal("y", mu, sigma, observed=1 + 2 * x + rng.normal(size=60), dims="row")
    return model


def several_scalar_coefficients() -> pm.Model:
    """Build the regression of PyMC's first tutorial: a handful of scalars, each with a name."""
    rng = np.random.default_rng(1)
    x1, x2 = rng.normal(size=100), rng.normal(size=100) * 0.2
    y = 1 + x1 + 2.5 * x2 + rng.normal(size=100)
    with pm.Model() as model:
        alpha = pm.Normal("alpha", mu=0, sigma=10)
        beta = pm.Normal("beta", mu=0, sigma=10, shape=2)
        sigma = pm.HalfNormal("sigma", sigma=1)
        pm.Normal("y", mu=alpha + beta[0] * x1 + beta[1] * x2, sigma=sigma, observed=y)
    return model


def polynomial_regression() -> pm.Model:
    """Build a cubic, with four coefficients by name."""
    rng = np.random.default_rng(1)
    x = np.linspace(-1, 1, 50)
    with pm.Model() as model:
        b0, b1, b2, b3 = (pm.Normal(f"b{power}", 0, 2) for power in range(4))
        sigma = pm.Exponential("sigma", 1)
        mu = b0 + b1 * x + b2 * x**2 + b3 * x**3
        pm.Normal("y", mu, sigma, observed=x**3 - x + rng.normal(0, 0.1, size=50))
    return model


def robust_regression() -> pm.Model:
    """Build a regression whose outliers a StudentT takes."""
    rng = np.random.default_rng(1)
    x = np.linspace(0, 1, 40)
    y = 1 + 2 * x + rng.normal(0, 0.3, size=40)
    y[:3] += 6
    with pm.Model() as model:
        intercept, slope = pm.Normal("intercept", 0, 5), pm.Normal("slope", 0, 5)
        sigma = pm.HalfCauchy("sigma", 2)
        nu = pm.Gamma("nu", 2, 0.1)
        pm.StudentT("y", nu=nu, mu=intercept + slope * x, sigma=sigma, observed=y)
    return model


def logistic_regression() -> pm.Model:
    """Build a logistic regression on a design matrix held as data."""
    rng = np.random.default_rng(1)
    design = rng.normal(size=(80, 4))
    with pm.Model(coords={"feature": list("abcd")}) as model:
        x = pm.Data("x", design, dims=("row", "feature"))
        intercept = pm.Normal("intercept", 0, 2)
        beta = pm.Normal("beta", 0, 1, dims="feature")
        p = pm.Deterministic("p", pm.math.invlogit(intercept + x @ beta), dims="row")
        pm.Bernoulli("y", p=p, observed=rng.binomial(1, 0.5, size=80), dims="row")
    return model


def probit_regression() -> pm.Model:
    """Build a probit regression by PyMC's own inverse probit."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=60)
    with pm.Model() as model:
        intercept, slope = pm.Normal("intercept", 0, 1), pm.Normal("slope", 0, 1)
        pm.Bernoulli("y", p=pm.math.invprobit(intercept + slope * x), observed=rng.binomial(1, 0.5, size=60))
    return model


def poisson_regression() -> pm.Model:
    """Build a Poisson regression with an interaction: how alcohol and pills change sneezes."""
    rng = np.random.default_rng(1)
    alcohol, pill = np.repeat([0, 1, 0, 1], 25), np.repeat([0, 0, 1, 1], 25)
    with pm.Model() as model:
        base = pm.Normal("base", 0, 2)
        effect = pm.Normal("effect", 0, 1, shape=3)
        mu = pm.math.exp(base + effect[0] * alcohol + effect[1] * pill + effect[2] * alcohol * pill)
        pm.Poisson("sneezes", mu, observed=rng.poisson(np.exp(1 + alcohol)))
    return model


def negative_binomial_regression() -> pm.Model:
    """Build a regression of overdispersed counts."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(70, 2))
    with pm.Model() as model:
        alpha = pm.Exponential("alpha", 0.5)
        base, beta = pm.Normal("base", 0, 2), pm.Normal("beta", 0, 1, shape=2)
        mu = pm.math.exp(base + pm.math.dot(x, beta))
        pm.NegativeBinomial("counts", mu=mu, alpha=alpha, observed=rng.negative_binomial(2, 0.3, size=70))
    return model


def binomial_regression() -> pm.Model:
    """Build a binomial regression on the logit scale."""
    rng = np.random.default_rng(1)
    x, trials = np.linspace(-10, 20, 60), np.full(60, 20)
    with pm.Model() as model:
        b0, b1 = pm.Normal("b0", 0, 1), pm.Normal("b1", 0, 1)
        n = pm.Data("n", trials)
        pm.Binomial(
            "y", n=n, p=pm.Deterministic("p", pm.math.invlogit(b0 + b1 * x)), observed=rng.binomial(trials, 0.5)
        )
    return model


def beta_regression() -> pm.Model:
    """Build a regression of shares."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=50)
    with pm.Model() as model:
        base, slope = pm.Normal("base", 0, 1), pm.Normal("slope", 0, 1)
        nu = pm.Gamma("nu", 2, 0.1)
        pm.Beta("share", mu=pm.math.sigmoid(base + slope * x), nu=nu, observed=rng.beta(2, 3, size=50))
    return model


def gamma_regression() -> pm.Model:
    """Build a regression of positive amounts."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=50)
    with pm.Model() as model:
        base, slope = pm.Normal("base", 0, 1), pm.Normal("slope", 0, 1)
        shape = pm.Exponential("shape", 1)
        mu = pm.math.exp(base + slope * x)
        pm.Gamma("amount", alpha=shape, beta=shape / mu, observed=rng.gamma(2, 1, size=50))
    return model


def ordinal_regression() -> pm.Model:
    """Build a regression of ratings, with ordered cut points."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(90, 2))
    with pm.Model() as model:
        cut = pm.Normal(
            "cut", 0, 2, shape=4, transform=pm.distributions.transforms.ordered, initval=np.linspace(-1, 1, 4)
        )
        beta = pm.Normal("beta", 0, 1, shape=2)
        pm.OrderedLogistic("rating", eta=x @ beta, cutpoints=cut, observed=rng.integers(0, 5, size=90))
    return model


def multinomial_logit() -> pm.Model:
    """Build a classifier of flowers by softmax, the first class fixed at zero."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(90, 4))
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 1, shape=2)
        beta = pm.Normal("beta", 0, 1, shape=(4, 2))
        rest = intercept + x @ beta
        score = pt.concatenate([pt.zeros((90, 1)), rest], axis=1)
        pm.Categorical("kind", p=pm.math.softmax(score, axis=1), observed=rng.integers(0, 3, size=90))
    return model


def quantile_regression() -> pm.Model:
    """Build a regression of three quantiles, a column each."""
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, size=(60, 1))
    with pm.Model() as model:
        q = np.array([0.1, 0.5, 0.9])
        base, slope = pm.Normal("base", 0, 2, shape=3), pm.Normal("slope", 0, 2, shape=3)
        sigma = pm.HalfNormal("sigma", 1)
        seen = np.repeat(x + rng.normal(0, 0.3, size=(60, 1)), 3, axis=1)
        pm.AsymmetricLaplace("y", mu=base + slope * x, b=1 / sigma, q=q, observed=seen)
    return model


def heteroscedastic_regression() -> pm.Model:
    """Build a regression whose noise grows with the driver."""
    rng = np.random.default_rng(1)
    x = np.linspace(0, 3, 60)
    with pm.Model() as model:
        base, slope = pm.Normal("base", 0, 2), pm.Normal("slope", 0, 2)
        noise, growth = pm.Normal("noise", 0, 1), pm.Normal("growth", 0, 1)
        sigma = pm.math.exp(noise + growth * x)
        pm.Normal("y", base + slope * x, sigma, observed=x + rng.normal(0, 0.1 + x))
    return model


def horseshoe_regression() -> pm.Model:
    """Build a regression with a regularised horseshoe on thirty weights."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 30))
    with pm.Model(coords={"feature": range(30)}) as model:
        tau = pm.HalfStudentT("tau", 2, 0.1)
        lam = pm.HalfStudentT("lam", 5, dims="feature")
        c2 = pm.InverseGamma("c2", 1, 1)
        z = pm.Normal("z", 0.0, 1.0, dims="feature")
        shrink = pt.sqrt(c2 / (c2 + tau**2 * lam**2))
        beta = pm.Deterministic("beta", z * tau * lam * shrink, dims="feature")
        pm.Normal("y", pm.math.dot(x, beta), 1.0, observed=x[:, 0] + rng.normal(size=50))
    return model


def lasso_regression() -> pm.Model:
    """Build a regression with Laplace priors."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 10))
    with pm.Model() as model:
        scale = pm.HalfCauchy("scale", 1)
        beta = pm.Laplace("beta", 0, scale, shape=10)
        sigma = pm.HalfNormal("sigma", 1)
        pm.Normal("y", x @ beta, sigma, observed=x[:, 0] + rng.normal(size=50))
    return model


def spline_regression() -> pm.Model:
    """Build a regression on a basis of B-splines: cherry blossoms."""
    rng = np.random.default_rng(1)
    year = np.linspace(0, 1, 120)
    knots = np.r_[[0] * 4, np.linspace(0, 1, 10)[1:-1], [1] * 4]
    basis = BSpline.design_matrix(np.clip(year, 0, 1 - 1e-9), knots, 3).toarray()
    with pm.Model(coords={"spline": range(basis.shape[1]), "year": range(120)}) as model:
        intercept = pm.Normal("intercept", 100, 5)
        weight = pm.Normal("weight", 0, 5, dims="spline")
        mu = pm.Deterministic("mu", intercept + pm.math.dot(np.asfortranarray(basis), weight.T), dims="year")
        sigma = pm.Exponential("sigma", 1)
        pm.Normal("day", mu, sigma, observed=100 + 5 * np.sin(8 * year) + rng.normal(size=120), dims="year")
    return model


def moderation() -> pm.Model:
    """Build a regression whose slope a third variable moderates."""
    rng = np.random.default_rng(1)
    x, m = rng.normal(size=60), rng.normal(size=60)
    with pm.Model() as model:
        x_data, m_data = pm.Data("x", x), pm.Data("m", m)
        b = pm.Normal("b", 0, 0.5, shape=4)
        sigma = pm.HalfCauchy("sigma", 1)
        mu = b[0] + b[1] * x_data + b[2] * x_data * m_data + b[3] * m_data
        pm.Normal("y", mu, sigma, observed=x * m + rng.normal(size=60))
    return model


def mediation() -> pm.Model:
    """Build the two regressions of a mediation, and the effects made of them."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=75)
    m = 0.7 * x + rng.normal(size=75)
    with pm.Model(coords={"row": range(75)}) as model:
        i_m, i_y = pm.Normal("i_m", 0, 10), pm.Normal("i_y", 0, 10)
        a, b, c = pm.Normal("a", 0, 10), pm.Normal("b", 0, 10), pm.Normal("c", 0, 10)
        s_m, s_y = pm.HalfCauchy("s_m", 1), pm.HalfCauchy("s_y", 1)
        pm.Normal("m", i_m + a * x, s_m, observed=m, dims="row")
        pm.Normal("y", i_y + b * m + c * x, s_y, observed=m + rng.normal(size=75), dims="row")
        indirect = pm.Deterministic("indirect", a * b)
        pm.Deterministic("total", c + indirect)
    return model


def measurement_error() -> pm.Model:
    """Build a regression on a driver that is itself measured with an error."""
    rng = np.random.default_rng(1)
    true = rng.normal(size=40)
    with pm.Model() as model:
        x = pm.Normal("x", 0, 1, shape=40)
        pm.Normal("x_seen", x, 0.3, observed=true + rng.normal(0, 0.3, size=40))
        base, slope, sigma = pm.Normal("base", 0, 1), pm.Normal("slope", 0, 1), pm.HalfNormal("sigma", 1)
        pm.Normal("y", base + slope * x, sigma, observed=2 * true + rng.normal(0, 0.5, size=40))
    return model


def zero_inflated_poisson() -> pm.Model:
    """Build the counts of monks who drink on some days."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        drinks, writes = pm.Normal("drinks", -1.5, 1), pm.Normal("writes", 1, 0.5)
        counts = rng.poisson(1.5, size=120) * rng.binomial(1, 0.7, size=120)
        pm.ZeroInflatedPoisson("y", psi=1 - pm.math.invlogit(drinks), mu=pm.math.exp(writes), observed=counts)
    return model


def hurdle_gamma() -> pm.Model:
    """Build amounts that are zero or positive."""
    rng = np.random.default_rng(1)
    amounts = rng.gamma(2, 1, size=80) * rng.binomial(1, 0.6, size=80)
    with pm.Model() as model:
        psi = pm.Beta("psi", 2, 2)
        mu, sigma = pm.HalfNormal("mu", 3), pm.HalfNormal("sigma", 3)
        pm.HurdleGamma("y", psi=psi, mu=mu, sigma=sigma, observed=amounts)
    return model


def truncated_regression() -> pm.Model:
    """Build a regression of data that were kept only between two bounds."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-3, 3, size=90)
    y = x + rng.normal(size=90)
    x, y = x[np.abs(y) < 2], y[np.abs(y) < 2]
    with pm.Model() as model:
        slope, base, sigma = pm.Normal("slope", 0, 1), pm.Normal("base", 0, 1), pm.HalfNormal("sigma", 1)
        whole = pm.Normal.dist(base + slope * x, sigma)
        pm.Truncated("y", whole, lower=-2, upper=2, observed=y)
    return model


def censored_regression() -> pm.Model:
    """Build a Tobit regression: what is beyond a bound was recorded as the bound."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-3, 3, size=60)
    with pm.Model() as model:
        slope, base, sigma = pm.Normal("slope", 0, 1), pm.Normal("base", 0, 1), pm.HalfNormal("sigma", 1)
        whole = pm.Normal.dist(base + slope * x, sigma)
        seen = np.clip(x + rng.normal(size=60), -2, 2)
        pm.Censored("y", whole, lower=-2.0, upper=2.0, observed=seen)
    return model


def missing_covariate() -> pm.Model:
    """Build a regression with gaps in a driver and in the outcome, which PyMC imputes."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=50)
    y = x + rng.normal(0, 0.5, size=50)
    x[::7], y[::9] = np.nan, np.nan
    with pm.Model() as model:
        centre, spread = pm.Normal("centre", 0, 1), pm.HalfNormal("spread", 1)
        driver = pm.Normal("driver", centre, spread, observed=np.ma.masked_invalid(x))
        slope, sigma = pm.Normal("slope", 0, 1), pm.HalfNormal("sigma", 1)
        pm.Normal("y", slope * driver, sigma, observed=np.ma.masked_invalid(y))
    return model


def best() -> pm.Model:
    """Build the Bayesian t-test of two groups."""
    rng = np.random.default_rng(1)
    drug, placebo = rng.normal(101.9, 2, size=47), rng.normal(100.5, 1.5, size=42)
    with pm.Model() as model:
        mean_1, mean_2 = pm.Normal("mean_1", 101, 4), pm.Normal("mean_2", 101, 4)
        std_1, std_2 = pm.Uniform("std_1", 1, 10), pm.Uniform("std_2", 1, 10)
        nu = pm.Deterministic("nu", pm.Exponential("nu_minus_one", 1 / 29.0) + 1)
        pm.StudentT("drug", nu=nu, mu=mean_1, lam=std_1**-2, observed=drug)
        pm.StudentT("placebo", nu=nu, mu=mean_2, lam=std_2**-2, observed=placebo)
        difference = pm.Deterministic("difference of means", mean_1 - mean_2)
        pm.Deterministic("effect size", difference / np.sqrt((std_1**2 + std_2**2) / 2))
    return model


def ab_test() -> pm.Model:
    """Build the comparison of the conversion of several variants."""
    with pm.Model(coords={"variant": list("ABC")}) as model:
        theta = pm.Beta("theta", 100.0, 100.0, dims="variant")
        pm.Binomial(
            "converted", n=np.array([1000, 1010, 990]), p=theta, observed=np.array([480, 520, 530]), dims="variant"
        )
        pm.Deterministic("uplift", theta[1:] / theta[0] - 1)
    return model


def revenue_test() -> pm.Model:
    """Build the comparison of revenue: conversion times what a buyer spends, a variant each in a short loop."""
    with pm.Model() as model:
        theta = pm.Beta("theta", 5000.0, 5000.0, shape=2)
        lam = pm.Gamma("lam", 9000.0, 900.0, shape=2)
        pm.Binomial("bought", n=np.array([1000, 1000]), p=theta, observed=np.array([490, 510]))
        pm.Gamma("spent", alpha=np.array([490, 510]), beta=lam, observed=np.array([49.0, 55.0]))
        per_visit = [pm.Deterministic(f"per_visit_{name}", theta[i] / lam[i]) for i, name in enumerate("AB")]
        pm.Deterministic("uplift", per_visit[1] / per_visit[0] - 1)
    return model


def coin() -> pm.Model:
    """Build the conjugate model of a coin."""
    with pm.Model() as model:
        p = pm.Beta("p", 1, 1)
        pm.Bernoulli("heads", p, observed=np.array([0, 1, 1, 0, 1, 1, 1, 0, 1, 1]))
    return model


def dirichlet_multinomial() -> pm.Model:
    """Build overdispersed counts of trees in forests."""
    rng = np.random.default_rng(1)
    counts = np.array([rng.multinomial(50, rng.dirichlet([4, 3, 2, 1])) for _ in range(10)])
    with pm.Model(coords={"tree": list("abcd"), "forest": range(10)}) as model:
        frac = pm.Dirichlet("frac", a=np.ones(4), dims="tree")
        conc = pm.LogNormal("conc", 1, 1)
        pm.DirichletMultinomial("counts", n=50, a=frac * conc, observed=counts, dims=("forest", "tree"))
    return model


def multinomial() -> pm.Model:
    """Build counts of answers by softmax of scores."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        score = pm.Normal("score", 0, 1, shape=(6, 4))
        pm.Multinomial(
            "counts", n=30, p=pm.math.softmax(score, axis=-1), observed=rng.multinomial(30, [0.25] * 4, size=6)
        )
    return model


def difference_in_differences() -> pm.Model:
    """Build the difference in differences of two groups, with an expression for what would have been."""
    rng = np.random.default_rng(1)
    time, group = np.tile([0.0, 1.0], 20), np.repeat([0, 1], 20)
    treated = ((time > 0) & (group > 0)).astype(int)
    with pm.Model() as model:
        t, g, d = pm.Data("t", time), pm.Data("g", group), pm.Data("d", treated)
        control, gap, trend, effect = (pm.Normal(n, 0, 5) for n in ("control", "gap", "trend", "effect"))
        sigma = pm.HalfNormal("sigma", 1)
        mu = pm.Deterministic("mu", control + gap * g + trend * t + effect * d)
        pm.Normal("y", mu, sigma, observed=time + treated + rng.normal(0, 0.1, size=40))
    return model


def interrupted_time_series() -> pm.Model:
    """Build the regression before an intervention, with months as labels and data that are exchanged later."""
    rng = np.random.default_rng(1)
    months = np.arange(48)
    with pm.Model(coords={"month": list("jfmaMJYASONd")}) as model:
        month = pm.Data("month_number", months % 12, dims="obs")
        time = pm.Data("time", months / 12.0, dims="obs")
        seen = pm.Data("seen", 10 + months / 12 + rng.normal(size=48), dims="obs")
        intercept, trend = pm.Normal("intercept", 10, 5), pm.Normal("trend", 0, 1)
        season = pm.ZeroSumNormal("season", sigma=2, dims="month")
        sigma = pm.HalfNormal("sigma", 2)
        pm.Normal("y", intercept + trend * time + season[month], sigma, observed=seen, dims="obs")
    return model


def synthetic_control() -> pm.Model:
    """Build a unit as a weighted mean of others."""
    rng = np.random.default_rng(1)
    others = rng.normal(size=(30, 6)).cumsum(axis=0)
    with pm.Model(coords={"unit": range(6)}) as model:
        x = pm.Data("x", others, dims=("time", "unit"))
        weight = pm.Dirichlet("weight", a=np.ones(6), dims="unit")
        sigma = pm.HalfNormal("sigma", 1)
        pm.Normal("y", pm.math.dot(x, weight), sigma, observed=others[:, :2].mean(axis=1), dims="time")
    return model


def instrumental_variable() -> pm.Model:
    """Build an instrument, whose two outcomes share noise by an LKJ prior."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=60)
    t = z + rng.normal(size=60)
    with pm.Model() as model:
        b = pm.Normal("b", 0, 1, shape=4)
        chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2.0, sd_dist=pm.Exponential.dist(1.0))
        mu = pt.stack([b[0] + b[1] * t, b[2] + b[3] * z], axis=1)
        seen = np.stack([t + rng.normal(size=60), t], axis=1)
        pm.MvNormal("both", mu=mu, chol=chol, observed=seen)
    return model


def neural_network() -> pm.Model:
    """Build a network of two hidden layers, as the gallery fits by ADVI."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(200, 2)), rng.normal(size=200)
    with pm.Model() as model:
        batch_x, batch_y = pm.Minibatch(x, y, batch_size=50)
        w1 = pm.Normal("w1", 0, 1, shape=(2, 5))
        w2 = pm.Normal("w2", 0, 1, shape=(5, 5))
        w3 = pm.Normal("w3", 0, 1, shape=5)
        out = pm.math.dot(pm.math.tanh(pm.math.dot(pm.math.tanh(batch_x @ w1), w2)), w3)
        pm.Normal("y", out, pm.HalfNormal("sigma", 1), observed=batch_y, total_size=200)
    return model


def circular_regression() -> pm.Model:
    """Build directions, with a link to the circle."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=50)
    with pm.Model() as model:
        base, slope = pm.VonMises("base", 0, 1), pm.Normal("slope", 0, 1)
        kappa = pm.HalfNormal("kappa", 5)
        pm.VonMises("y", mu=base + 2 * pt.arctan(slope * x), kappa=kappa, observed=rng.vonmises(0, 2, size=50))
    return model
