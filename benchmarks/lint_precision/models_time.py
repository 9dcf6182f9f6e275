"""Time series, change points, survival and differential equations, as PyMC's documentation and gallery teach them."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt


def coal_mining_with_gaps() -> pm.Model:
    """Build the mining disasters: a switch of the rate in a year that is a discrete variable, two years missing."""
    rng = np.random.default_rng(1)
    counts = np.r_[rng.poisson(3, size=40), rng.poisson(1, size=71)].astype(float)
    counts[[20, 83]] = np.nan
    years = np.arange(1851, 1962)
    with pm.Model() as model:
        switchpoint = pm.DiscreteUniform("switchpoint", lower=years.min(), upper=years.max())
        early, late = pm.Exponential("early", 1.0), pm.Exponential("late", 1.0)
        rate = pm.math.switch(switchpoint >= years, early, late)
        pm.Poisson("disasters", rate, observed=np.ma.masked_invalid(counts))
    return model


def smooth_change_point() -> pm.Model:
    """Build a change point that is continuous, by a sigmoid."""
    rng = np.random.default_rng(1)
    time = np.arange(60.0)
    with pm.Model() as model:
        tau = pm.Uniform("tau", 0, 60)
        mu = pm.Normal("mu", 0, 3, shape=2)
        weight = pm.math.sigmoid(2 * (time - tau))
        pm.Normal("y", weight * mu[0] + (1 - weight) * mu[1], 1.0, observed=np.r_[np.zeros(30), np.ones(30)])
        pm.Normal("noise", 0, pm.HalfNormal("sigma", 1), observed=rng.normal(size=60))
    return model


def autoregression() -> pm.Model:
    """Build an AR(2) process with a constant."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        rho = pm.Normal("rho", 0.0, 1.0, shape=3)
        sigma = pm.HalfNormal("sigma", 3)
        init = pm.Normal.dist(0, 10, size=2)
        pm.AR("y", rho=rho, sigma=sigma, init_dist=init, constant=True, observed=rng.normal(size=80).cumsum() / 5)
    return model


def latent_autoregression() -> pm.Model:
    """Build a hidden AR process with a trend, and data seen through noise."""
    rng = np.random.default_rng(1)
    time = np.arange(50)
    with pm.Model(coords={"time": time}) as model:
        t = pm.Data("t", time, dims="time")
        y = pm.Data("y", 0.1 * time + rng.normal(size=50), dims="time")
        coefs = pm.Normal("coefs", [0.5, 0.2], 0.1, shape=2)
        sigma = pm.HalfNormal("sigma", 0.2)
        init = pm.Normal.dist(0, 1, shape=1)
        hidden = pm.AR("hidden", coefs, sigma=sigma, init_dist=init, constant=True, steps=49, dims="time")
        trend = pm.Normal("trend", 0, 0.2)
        pm.Normal("seen", hidden + trend * t, 0.3, observed=y, dims="time")
    return model


def random_walk() -> pm.Model:
    """Build a slope that walks, as in a rolling regression."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=60)
    with pm.Model(coords={"time": range(60)}) as model:
        step_a, step_b = pm.Exponential("step_a", 50), pm.Exponential("step_b", 50)
        init = pm.Normal.dist(0, 5)
        alpha = pm.GaussianRandomWalk("alpha", sigma=step_a, init_dist=init, dims="time")
        beta = pm.GaussianRandomWalk("beta", sigma=step_b, init_dist=init, dims="time")
        pm.Normal("y", alpha + beta * x, pm.HalfNormal("sigma", 0.1), observed=x + rng.normal(0, 0.1, size=60))
    return model


def stochastic_volatility() -> pm.Model:
    """Build daily returns whose log-volatility walks."""
    rng = np.random.default_rng(1)
    with pm.Model(coords={"day": range(100)}) as model:
        step_size = pm.Exponential("step_size", 10)
        volatility = pm.GaussianRandomWalk("volatility", sigma=step_size, init_dist=pm.Normal.dist(0, 100), dims="day")
        nu = pm.Exponential("nu", 0.1)
        pm.StudentT("returns", nu=nu, lam=pt.exp(-2 * volatility), observed=0.01 * rng.normal(size=100), dims="day")
    return model


def garch() -> pm.Model:
    """Build a GARCH(1, 1) process."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        omega = pm.HalfNormal("omega", 0.5)
        alpha, beta = pm.Uniform("alpha", 0, 0.5), pm.Uniform("beta", 0, 0.5)
        pm.GARCH11("y", omega=omega, alpha_1=alpha, beta_1=beta, initial_vol=1.0, observed=rng.normal(size=40))
    return model


def stochastic_differential_equation() -> pm.Model:
    """Build an Ornstein-Uhlenbeck process by Euler and Maruyama, seen through noise."""
    rng = np.random.default_rng(1)

    def equation(x, lam):
        return -lam * x, 0.5

    with pm.Model() as model:
        lam = pm.HalfNormal("lam", 1)
        init = pm.Normal.dist(0, 1)
        path = pm.EulerMaruyama("path", dt=0.1, sde_fn=equation, sde_pars=(lam,), init_dist=init, shape=50)
        pm.Normal("seen", path, 0.2, observed=rng.normal(0, 0.5, size=50))
    return model


def vector_autoregression() -> pm.Model:
    """Build a VAR(2) of two series: a short loop over lags, as the gallery writes it."""
    rng = np.random.default_rng(1)
    data, lags = rng.normal(size=(60, 2)), 2
    with pm.Model(coords={"lag": range(lags), "to": range(2), "from": range(2)}) as model:
        intercept = pm.Normal("intercept", 0, 1, dims="to")
        coefs = pm.Normal("coefs", 0, 0.5, dims=("to", "lag", "from"))
        parts = [data[lags - 1 - lag : -1 - lag] @ coefs[:, lag].T for lag in range(lags)]
        chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=1.0, sd_dist=pm.HalfNormal.dist(1.0))
        pm.MvNormal("y", mu=intercept + sum(parts), chol=chol, observed=data[lags:])
    return model


def seasons_and_trend() -> pm.Model:
    """Build passengers of airlines: a trend times seasons from a Fourier basis."""
    rng = np.random.default_rng(1)
    t = np.linspace(0, 1, 96)
    basis = np.stack([f(2 * np.pi * n * np.arange(96) / 12) for n in range(1, 4) for f in (np.sin, np.cos)], axis=1)
    with pm.Model(coords={"wave": range(6)}) as model:
        alpha, beta = pm.Normal("alpha", 0, 0.5), pm.Normal("beta", 0, 0.5)
        waves = pm.Normal("waves", 0, 0.1, dims="wave")
        trend = pm.Deterministic("trend", alpha + beta * t)
        mu = trend * (1 + basis @ waves)
        pm.Normal("y", mu, pm.HalfNormal("sigma", 0.1), observed=t + rng.normal(0, 0.05, size=96))
    return model


def trend_with_change_points() -> pm.Model:
    """Build a trend that bends at known places (as Prophet does), by one matrix."""
    rng = np.random.default_rng(1)
    t = np.linspace(0, 1, 100)
    bends = np.linspace(0, 0.8, 12)[1:]
    after = (t[:, None] > bends).astype(float)
    with pm.Model() as model:
        k, m = pm.Normal("k", 0, 1), pm.Normal("m", 0, 5)
        delta = pm.Laplace("delta", 0, 0.1, shape=11)
        growth, offset = k + after @ delta, m + after @ (-bends * delta)
        pm.Normal("y", growth * t + offset, pm.HalfCauchy("sigma", 0.5), observed=t + rng.normal(0, 0.1, size=100))
    return model


def media_mix() -> pm.Model:
    """Build sales from advertising: geometric carry-over by one matrix of lags, then saturation."""
    rng = np.random.default_rng(1)
    spend = rng.gamma(2, 1, size=(60, 2))
    lagged = np.stack([np.vstack([np.zeros((lag, 2)), spend[: 60 - lag]]) for lag in range(6)])
    with pm.Model(coords={"channel": ["tv", "web"]}) as model:
        keep = pm.Beta("keep", 1, 3, dims="channel")
        lam, effect = pm.Gamma("lam", 3, 1, dims="channel"), pm.HalfNormal("effect", 2, dims="channel")
        weight = keep ** np.arange(6)[:, None]
        carried = (lagged * (weight / weight.sum(axis=0))[:, None, :]).sum(axis=0)
        saturated = (1 - pt.exp(-lam * carried)) / (1 + pt.exp(-lam * carried))
        mu = pm.Normal("base", 0, 2) + (effect * saturated).sum(axis=-1)
        pm.Normal("sales", mu, pm.HalfNormal("sigma", 1), observed=3 + rng.normal(size=60))
    return model


def local_level() -> pm.Model:
    """Build a state space by scan, its shocks not centred."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        shock = pm.Normal("shock", shape=50)
        keep, scale = pm.Beta("keep", 5, 1), pm.HalfNormal("scale", 0.5)
        level = pytensor.scan(
            lambda shock, level, keep, scale: keep * level + scale * shock,
            sequences=[shock],
            outputs_info=[pt.as_tensor(0.0, dtype="float64")],
            non_sequences=[keep, scale],
            return_updates=False,
        )
        pm.Normal("y", level, pm.HalfNormal("noise", 0.5), observed=rng.normal(size=50))
    return model


def hidden_markov() -> pm.Model:
    """Build a hidden Markov chain whose states a forward pass sums out, by scan in logs."""
    rng = np.random.default_rng(1)
    y = rng.normal(size=40)
    with pm.Model() as model:
        mu = pm.Normal("mu", [-1.0, 1.0], 1.0, shape=2)
        move = pm.Dirichlet("move", a=np.array([[5.0, 1.0], [1.0, 5.0]]))
        seen = pm.logp(pm.Normal.dist(mu, 1.0), y[:, None])
        last = pytensor.scan(
            lambda seen, before, move: seen + pt.logsumexp(before[:, None] + pt.log(move), axis=0),
            sequences=[seen[1:]],
            outputs_info=[seen[0] + np.log(0.5)],
            non_sequences=[move],
            return_updates=False,
        )[-1]
        pm.Potential("chain", pt.logsumexp(last))
    return model


def epidemic() -> pm.Model:
    """Build an SIR epidemic by scan, day by day, with counts seen."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        beta, gamma = pm.LogNormal("beta", np.log(0.4), 0.5), pm.LogNormal("gamma", np.log(0.125), 0.2)

        def day(s, i, beta, gamma):
            new = beta * i * s / 10_000
            return s - new, i + new - gamma * i

        start = [pt.as_tensor(9990.0, dtype="float64"), pt.as_tensor(10.0, dtype="float64")]
        _, i = pytensor.scan(day, outputs_info=start, non_sequences=[beta, gamma], n_steps=40, return_updates=False)
        pm.NegativeBinomial("cases", mu=i, alpha=10.0, observed=rng.poisson(np.exp(np.arange(40) / 10)))
    return model


def predator_prey() -> pm.Model:
    """Build lynx and hare by a scan of Euler steps, several within a year."""
    rng = np.random.default_rng(1)
    seen = np.exp(rng.normal(0, 0.2, size=(20, 2))) * [30.0, 8.0]
    with pm.Model() as model:
        rates = pm.LogNormal("rates", np.log([0.55, 0.028, 0.8, 0.024]), 0.1, shape=4)
        start = pm.LogNormal("start", np.log([30.0, 8.0]), 0.2, shape=2)

        def step(before, rates):
            hare, lynx = before[0], before[1]
            up = pt.stack([(rates[0] - rates[1] * lynx) * hare, (rates[3] * hare - rates[2]) * lynx])
            return before + 0.05 * up

        path = pytensor.scan(step, outputs_info=[start], non_sequences=[rates], n_steps=200, return_updates=False)
        pm.LogNormal("seen", pt.log(path[9::10]), pm.HalfNormal("sigma", 0.5), observed=seen)
    return model


def differential_equation_by_scipy() -> pm.Model:
    """Build free fall through PyMC's `DifferentialEquation`, which asks SciPy."""
    times = np.arange(0.5, 5, 0.5)

    def fall(y, _t, p):
        return [2 * p[1] - p[0] * y[0]]

    with pm.Model() as model:
        gamma, gravity = pm.LogNormal("gamma", 0, 1), pm.HalfNormal("gravity", 10)
        equation = pm.ode.DifferentialEquation(func=fall, times=times, n_states=1, n_theta=2, t0=0)
        speed = equation(y0=[0.0], theta=[gamma, gravity])
        pm.Normal("speed", speed, pm.HalfCauchy("sigma", 1), observed=(10 * (1 - np.exp(-times)))[:, None])
    return model


def weibull_lifetimes() -> pm.Model:
    """Build accelerated failure times, the censored ones by the survival function as a potential."""
    rng = np.random.default_rng(1)
    x, died = rng.normal(size=60), rng.binomial(1, 0.7, size=60).astype(bool)
    time = rng.weibull(1.3, size=60) + 0.05
    with pm.Model() as model:
        base, slope, shape = pm.Normal("base", 0, 1), pm.Normal("slope", 0, 1), pm.HalfNormal("shape", 2)
        scale = pt.exp(base + slope * x)
        pm.Weibull("seen", alpha=shape, beta=scale[died], observed=time[died])
        pm.Potential("beyond", (-((time[~died] / scale[~died]) ** shape)).sum())
    return model


def gumbel_lifetimes() -> pm.Model:
    """Build accelerated failure times on the log scale: events, and what is beyond the end."""
    rng = np.random.default_rng(1)
    x, died = rng.normal(size=(60, 2)), rng.binomial(1, 0.7, size=60).astype(bool)
    y = np.log(rng.weibull(1.3, size=60) + 0.05)
    with pm.Model() as model:
        s, beta = pm.HalfNormal("s", 5.0), pm.Normal("beta", 0, 5, shape=2)
        eta = beta.dot(x.T)
        pm.Gumbel("events", eta[died], s, observed=y[died])
        pm.Potential("beyond", pt.log1p(-pt.exp(-pt.exp(-(y[~died] - eta[~died]) / s))))
    return model


def cox_by_entered_intervals() -> pm.Model:
    """Build Cox's model by the Poisson trick: exposure in each interval that a patient enters."""
    rng = np.random.default_rng(1)
    last = rng.integers(0, 6, size=25)
    interval = np.arange(6)
    exposure = np.where(interval < last[:, None], 3.0, np.where(interval == last[:, None], 1.5, 0.0))
    death = (interval == last[:, None]) & (rng.random((25, 1)) < 0.6)
    with pm.Model(coords={"interval": interval}) as model:
        hazard = pm.Gamma("hazard", 0.1, 0.1, dims="interval")
        beta = pm.Normal("beta", 0, 2)
        rate = pm.Deterministic("rate", pt.outer(pt.exp(beta * rng.binomial(1, 0.5, size=25)), hazard))
        row, column = np.nonzero(exposure)
        pm.Poisson("death", exposure[row, column] * rate[row, column], observed=death[row, column])
    return model


def cox_with_zero_exposure() -> pm.Model:
    """Build Cox's model as the gallery does, with an exposure of zero after the event."""
    rng = np.random.default_rng(1)
    last = rng.integers(0, 6, size=25)
    exposure = np.where(np.arange(6) <= last[:, None], 1.5, 0.0)
    death = (np.arange(6) == last[:, None]) * 1
    with pm.Model() as model:
        lambda0 = pm.Gamma("lambda0", 0.01, 0.01, shape=6)
        beta = pm.Normal("beta", 0, sigma=1000)
        lam = pm.Deterministic("lambda", pt.outer(pt.exp(beta * rng.binomial(1, 0.5, size=25)), lambda0))
        pm.Poisson("death", exposure * lam, observed=death)
    return model


def censored_lifetimes() -> pm.Model:
    """Build exponential lifetimes, some beyond the end of the study."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        rate = pm.Gamma("rate", 2, 2)
        life = np.minimum(rng.exponential(1, size=50), 1.5)
        pm.Censored("life", pm.Exponential.dist(rate), lower=None, upper=1.5, observed=life)
    return model


def growth_curve() -> pm.Model:
    """Build a logistic growth of several trees."""
    rng = np.random.default_rng(1)
    age = np.tile(np.linspace(0, 10, 12), 4)
    tree = np.repeat(np.arange(4), 12)
    with pm.Model(coords={"tree": range(4)}) as model:
        top = pm.Normal("top", 10, 2, dims="tree")
        middle, width = pm.Normal("middle", 5, 1), pm.HalfNormal("width", 2)
        mu = top[tree] * pm.math.sigmoid((age - middle) / width)
        pm.Normal("height", mu, pm.HalfNormal("sigma", 1), observed=10 / (1 + np.exp(5 - age)) + rng.normal(size=48))
    return model
