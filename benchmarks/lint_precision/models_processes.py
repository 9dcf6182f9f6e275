"""Gaussian processes, maps, mixtures and densities of one's own, as PyMC's documentation and gallery teach them."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op


def _sine(n: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(0, 6, n)
    return x[:, None], np.sin(x) + np.random.default_rng(1).normal(0, 0.2, size=n)


def _grid(side: int) -> np.ndarray:
    place = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
    return (np.abs(place[:, None] - place[None]).sum(axis=-1) == 1).astype(int)


def marginal_process() -> pm.Model:
    """Build a Gaussian process whose function is marginalised out."""
    x, y = _sine(20)
    with pm.Model() as model:
        ell, eta, sigma = pm.Gamma("ell", 2, 1), pm.HalfCauchy("eta", 3), pm.HalfCauchy("sigma", 2)
        gp = pm.gp.Marginal(cov_func=eta**2 * pm.gp.cov.Matern52(1, ell))
        gp.marginal_likelihood("y", X=x, y=y, sigma=sigma)
    return model


def latent_process() -> pm.Model:
    """Build a latent Gaussian process with a StudentT likelihood."""
    x, y = _sine(18)
    with pm.Model() as model:
        ell, eta = pm.Gamma("ell", 2, 1), pm.HalfNormal("eta", 5)
        gp = pm.gp.Latent(cov_func=eta**2 * pm.gp.cov.ExpQuad(1, ell))
        f = gp.prior("f", X=x)
        pm.StudentT("y", mu=f, lam=1 / pm.HalfNormal("sigma", 2), nu=1 + pm.Gamma("nu", 2, 0.1), observed=y)
    return model


def process_of_classes() -> pm.Model:
    """Build a classifier by a latent process."""
    x, y = _sine(18)
    with pm.Model() as model:
        ell, eta = pm.InverseGamma("ell", 5, 5), pm.HalfNormal("eta", 2)
        f = pm.gp.Latent(cov_func=eta**2 * pm.gp.cov.Matern32(1, ell)).prior("f", X=x)
        pm.Bernoulli("y", logit_p=f, observed=(y > 0).astype(int))
    return model


def additive_process() -> pm.Model:
    """Build a sum of a trend and a periodic process: CO2 at Mauna Loa."""
    x, y = _sine(20)
    with pm.Model() as model:
        trend = pm.gp.Marginal(cov_func=pm.HalfCauchy("a", 2) ** 2 * pm.gp.cov.Matern52(1, pm.Gamma("l1", 4, 1)))
        period = pm.Normal("period", 1, 0.05)
        wave = pm.gp.cov.Periodic(1, period=period, ls=pm.Gamma("l2", 4, 3)) * pm.gp.cov.Matern52(1, 10.0)
        gp = trend + pm.gp.Marginal(cov_func=pm.HalfCauchy("b", 2) ** 2 * wave)
        gp.marginal_likelihood("y", X=x, y=y, sigma=pm.HalfNormal("sigma", 0.5))
    return model


def sparse_process() -> pm.Model:
    """Build a process on inducing points (FITC)."""
    x, y = _sine(40)
    with pm.Model() as model:
        ell, eta, sigma = pm.Gamma("ell", 2, 1), pm.HalfCauchy("eta", 3), pm.HalfCauchy("sigma", 2)
        gp = pm.gp.MarginalApprox(cov_func=eta**2 * pm.gp.cov.Matern52(1, ell), approx="FITC")
        gp.marginal_likelihood("y", X=x, Xu=np.linspace(0, 6, 8)[:, None], y=y, sigma=sigma)
    return model


def hilbert_space_process() -> pm.Model:
    """Build a Hilbert space approximation of a process."""
    x, y = _sine(80)
    with pm.Model() as model:
        ell, eta = pm.LogNormal("ell", 0, 0.5), pm.Exponential("eta", 1)
        gp = pm.gp.HSGP(m=[15], c=2.0, cov_func=eta**2 * pm.gp.cov.Matern52(1, ls=ell))
        f = gp.prior("f", X=x)
        pm.Normal("y", f, pm.HalfNormal("sigma", 1), observed=y)
    return model


def linearised_process() -> pm.Model:
    """Build the same by its basis, with data that can be exchanged."""
    x, y = _sine(60)
    with pm.Model() as model:
        data = pm.Data("x", x)
        ell, eta = pm.InverseGamma("ell", 5, 5), pm.Exponential("eta", 1)
        gp = pm.gp.HSGP(m=[12], L=[8.0], cov_func=eta**2 * pm.gp.cov.ExpQuad(1, ls=ell))
        phi, root = gp.prior_linearized(data)
        beta = pm.Normal("beta", size=12)
        pm.Normal("y", phi @ (beta * root), pm.HalfNormal("sigma", 1), observed=y)
    return model


def periodic_hilbert_process() -> pm.Model:
    """Build a periodic process by its Hilbert basis."""
    x, y = _sine(60)
    with pm.Model() as model:
        scale, ell = pm.HalfNormal("scale", 1), pm.InverseGamma("ell", 5, 5)
        gp = pm.gp.HSGPPeriodic(m=8, scale=scale, cov_func=pm.gp.cov.Periodic(1, period=6.0, ls=ell))
        pm.Normal("y", gp.prior("f", X=x), pm.HalfNormal("sigma", 1), observed=y)
    return model


def kronecker_process() -> pm.Model:
    """Build a latent process on a grid, by the Cholesky factors of two covariances."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        covs = [pm.gp.cov.Matern32(1, pm.Gamma(f"ell_{name}", 3, 2)) for name in ("east", "north")]
        f = pm.gp.LatentKron(cov_funcs=covs).prior(
            "f", Xs=[np.linspace(0, 3, 6)[:, None], np.linspace(0, 2, 5)[:, None]]
        )
        pm.Normal("y", f, pm.HalfNormal("sigma", 1), observed=rng.normal(size=30))
    return model


def student_process() -> pm.Model:
    """Build a StudentT process."""
    x, y = _sine(16)
    with pm.Model() as model:
        gp = pm.gp.TP(scale_func=pm.gp.cov.ExpQuad(1, pm.Gamma("ell", 2, 1)), nu=pm.Gamma("nu", 3, 1))
        pm.Normal("y", gp.prior("f", X=x), 0.3, observed=y)
    return model


def coregionalised_process() -> pm.Model:
    """Build two outputs that share a process by coregionalisation."""
    x, y = _sine(12)
    stacked = np.concatenate([np.c_[x, np.zeros(12)], np.c_[x, np.ones(12)]])
    with pm.Model() as model:
        w, kappa = pm.Normal("w", 0, 3, shape=(2, 1)), pm.Gamma("kappa", 1.5, 1, shape=2)
        coregion = pm.gp.cov.Coregion(input_dim=2, active_dims=[1], kappa=kappa, W=w)
        cov = coregion * pm.gp.cov.ExpQuad(2, pm.Gamma("ell", 2, 1), active_dims=[0])
        pm.gp.Marginal(cov_func=cov).marginal_likelihood("y", stacked, np.r_[y, -y], sigma=pm.HalfNormal("sigma", 1))
    return model


def log_gaussian_cox_process() -> pm.Model:
    """Build counts of anemones on a grid, whose log-rate is a process."""
    rng = np.random.default_rng(1)
    centre = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), axis=-1).reshape(-1, 2)
    with pm.Model() as model:
        mu, rho, variance = pm.Normal("mu", 1, 1), pm.Uniform("rho", 1, 5), pm.InverseGamma("variance", 3, 1)
        gp = pm.gp.Latent(mean_func=pm.gp.mean.Constant(mu), cov_func=variance * pm.gp.cov.Matern52(2, ls=rho))
        pm.Poisson("counts", mu=pm.math.exp(gp.prior("log_rate", X=centre)), observed=rng.poisson(3, size=25))
    return model


def process_of_births() -> pm.Model:
    """Build births by day: trend, week and year, each an HSGP or an effect that sums to zero."""
    rng = np.random.default_rng(1)
    day = np.arange(140)
    with pm.Model(coords={"weekday": range(7)}) as model:
        slow = pm.gp.HSGP(
            m=[10], c=1.5, cov_func=pm.HalfNormal("eta", 1) * pm.gp.cov.ExpQuad(1, pm.LogNormal("ell", 0, 1))
        )
        trend = slow.prior("trend", X=(day / 140)[:, None])
        week = pm.ZeroSumNormal("week", 1, dims="weekday")
        pm.Normal("births", trend + week[day % 7], pm.HalfNormal("sigma", 1), observed=rng.normal(size=140))
    return model


def conditional_autoregression() -> pm.Model:
    """Build cancer by district: CAR for neighbours, noise for each."""
    rng = np.random.default_rng(1)
    near = _grid(4)
    with pm.Model(coords={"district": range(16)}) as model:
        b0, b1 = pm.Normal("b0", 0, 5), pm.Normal("b1", 0, 5)
        tau_i, tau_s, alpha = pm.Gamma("tau_i", 3, 3), pm.Gamma("tau_s", 1, 1), pm.Beta("alpha", 1, 1)
        theta = pm.Normal("theta", mu=0, tau=tau_i, dims="district")
        phi = pm.CAR("phi", mu=np.zeros(16), tau=tau_s, alpha=alpha, W=near, dims="district")
        mu = pt.exp(rng.normal(size=16) + b0 + b1 * rng.normal(size=16) + theta + phi)
        pm.Poisson("cases", mu=mu, observed=rng.poisson(5, size=16), dims="district")
    return model


def besag_york_mollie() -> pm.Model:
    """Build the same by a mixture of ICAR and noise (BYM2)."""
    rng = np.random.default_rng(1)
    with pm.Model(coords={"district": range(16)}) as model:
        beta0, sigma, rho = pm.Normal("beta0", 0, 1), pm.HalfNormal("sigma", 1), pm.Beta("rho", 0.5, 0.5)
        theta = pm.Normal("theta", 0, 1, dims="district")
        phi = pm.ICAR("phi", W=_grid(4), dims="district")
        mixed = pt.sqrt(1 - rho) * theta + pt.sqrt(rho / 0.7) * phi
        pm.Poisson("cases", pt.exp(beta0 + sigma * mixed), observed=rng.poisson(3, size=16), dims="district")
    return model


def gaussian_mixture() -> pm.Model:
    """Build clusters whose memberships are summed out, with means in order."""
    rng = np.random.default_rng(1)
    y = np.r_[rng.normal(-2, 1, size=30), rng.normal(2, 1, size=40)]
    ordered = pm.distributions.transforms.ordered
    with pm.Model(coords={"cluster": range(2)}) as model:
        w = pm.Dirichlet("w", np.ones(2), dims="cluster")
        mu = pm.Normal("mu", 0, 5, transform=ordered, initval=np.array([-1.0, 1.0]), dims="cluster")
        pm.NormalMixture("y", w=w, mu=mu, sigma=pm.HalfNormal("sigma", 2, dims="cluster"), observed=y)
    return model


def mixture_with_labels() -> pm.Model:
    """Build clusters whose memberships are kept, each a discrete variable of one array."""
    rng = np.random.default_rng(1)
    y = np.r_[rng.normal(-2, 1, size=20), rng.normal(2, 1, size=20)]
    with pm.Model() as model:
        mu = pm.Normal("mu", [-1.0, 1.0], 5.0, shape=2)
        label = pm.Categorical("label", p=pm.Dirichlet("p", np.ones(2)), shape=40)
        pm.Normal("y", mu[label], pm.HalfNormal("sigma", 1), observed=y)
    return model


def dirichlet_process_mixture() -> pm.Model:
    """Build a truncated Dirichlet process by sticks broken by hand, as the gallery does."""
    rng = np.random.default_rng(1)
    with pm.Model(coords={"component": range(10)}) as model:
        alpha = pm.Gamma("alpha", 1.0, 1.0)
        beta = pm.Beta("beta", 1, alpha, dims="component")
        left = pt.concatenate([[1], pt.extra_ops.cumprod(1 - beta)[:-1]])
        w = pm.Deterministic("w", beta * left / (beta * left).sum(), dims="component")
        tau, lam = pm.Gamma("tau", 1.0, 1.0, dims="component"), pm.Gamma("lam", 10.0, 1.0, dims="component")
        mu = pm.Normal("mu", 0, tau=lam * tau, dims="component")
        pm.NormalMixture("y", w, mu, tau=lam * tau, observed=rng.normal(size=60))
    return model


def stick_breaking_mixture() -> pm.Model:
    """Build the same with PyMC's weights of broken sticks, and Poisson components."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        w = pm.StickBreakingWeights("w", alpha=pm.Gamma("alpha", 1, 1), K=7)
        mu = pm.Gamma("mu", 2, 0.1, shape=8)
        pm.Mixture("y", w=w, comp_dists=pm.Poisson.dist(mu), observed=rng.poisson(10, size=50))
    return model


def dependent_density_regression() -> pm.Model:
    """Build weights of components that depend on a driver, by probits of lines."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 1))
    with pm.Model() as model:
        alpha, beta = pm.Normal("alpha", 0, 5, shape=6), pm.Normal("beta", 0, 5, shape=6)
        v = pm.math.invprobit(alpha + beta * x)
        w = v * pt.concatenate([pt.ones((40, 1)), pt.extra_ops.cumprod(1 - v, axis=1)[:, :-1]], axis=1)
        w = w / w.sum(axis=1, keepdims=True)
        mu = pm.Normal("a", 0, 10, shape=6) + pm.Normal("b", 0, 10, shape=6) * x
        pm.NormalMixture("y", w, mu, tau=pm.Gamma("tau", 1, 1, shape=6), observed=rng.normal(size=40))
    return model


def mixture_of_regressions() -> pm.Model:
    """Build two lines, each row of one of them."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, size=60)
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(2))
        slope, sigma = pm.Normal("slope", [-1.0, 1.0], 2.0, shape=2), pm.HalfNormal("sigma", 1)
        lines = pm.Normal.dist(slope * x[:, None], sigma)
        pm.Mixture("y", w=w, comp_dists=lines, observed=x * rng.choice([-1, 1], size=60))
    return model


def outlier_mixture() -> pm.Model:
    """Build Hogg's outliers: two likelihoods mixed by a potential with logaddexp."""
    rng = np.random.default_rng(1)
    x, y = np.arange(20.0), np.arange(20.0) + rng.normal(size=20)
    with pm.Model() as model:
        line, share = pm.Normal("line", 0, 10, shape=2), pm.Uniform("share", 0, 0.5)
        spread = pm.HalfNormal("spread", 10)
        inlier = pm.logp(pm.Normal.dist(line[0] + line[1] * x, 1.0), y)
        outlier = pm.logp(pm.Normal.dist(y.mean(), 1.0 + spread), y)
        pm.Potential("both", pm.math.logaddexp(pt.log1p(-share) + inlier, pt.log(share) + outlier).sum())
    return model


def custom_density() -> pm.Model:
    """Build a density of one's own by its logarithm."""
    rng = np.random.default_rng(1)

    def logp(value, alpha, beta):
        return pt.log(alpha) + pt.log(beta) + (alpha - 1) * pt.log(value) + (beta - 1) * pt.log1p(-(value**alpha))

    with pm.Model() as model:
        alpha, beta = pm.HalfNormal("alpha", 3), pm.HalfNormal("beta", 3)
        pm.CustomDist("y", alpha, beta, logp=logp, observed=rng.beta(2, 3, size=50))
    return model


def custom_symbolic_distribution() -> pm.Model:
    """Build a distribution made of others, whose density PyMC derives."""
    rng = np.random.default_rng(1)

    def shifted(mu, sigma, size):
        return pt.exp(pm.Normal.dist(mu, sigma, size=size)) + 1.0

    with pm.Model() as model:
        mu, sigma = pm.Normal("mu", 0, 1), pm.HalfNormal("sigma", 1)
        pm.CustomDist("y", mu, sigma, dist=shifted, observed=1 + rng.lognormal(size=40))
    return model


def custom_random_walk() -> pm.Model:
    """Build an AR process by a scan within a `CustomDist`."""
    rng = np.random.default_rng(1)

    def walk(init, rho, sigma, size):  # noqa: ARG001 - PyMC gives it
        import pytensor
        from pymc.pytensorf import collect_default_updates

        def step(before, rho, sigma):
            after = pm.Normal.dist(rho * before, sigma)
            return after, collect_default_updates(outputs=[after])

        path, _ = pytensor.scan(step, outputs_info=[init], non_sequences=[rho, sigma], n_steps=30, strict=True)
        return path

    with pm.Model() as model:
        rho, sigma = pm.Normal("rho", 0, 0.5), pm.HalfNormal("sigma", 1)
        init = pm.Normal("init", 0, 1)
        pm.CustomDist("path", init, rho, sigma, dist=walk, observed=rng.normal(size=30))
    return model


def potential_of_constraint() -> pm.Model:
    """Build a constraint between two groups as a potential with a switch."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        mu = pm.Normal("mu", [0.0, 1.0], 1.0, shape=2)
        pm.Potential("order", pm.math.switch(mu[0] < mu[1], 0.0, -np.inf))
        pm.Normal("y", mu[rng.integers(0, 2, size=40)], 1.0, observed=rng.normal(size=40))
    return model


def simulator() -> pm.Model:
    """Build a simulator without a likelihood, for `sample_smc`."""
    rng = np.random.default_rng(1)

    def simulate(rng, a, b, size=None):
        return rng.normal(a, b, size=size)

    with pm.Model() as model:
        a, b = pm.Normal("a", 0, 5), pm.HalfNormal("b", 1)
        pm.Simulator("y", simulate, params=(a, b), sum_stat="sort", epsilon=1, observed=rng.normal(size=30))
    return model


class _LogLike(Op):
    """A black box with a gradient of its own, both in NumPy."""

    def make_node(self, slope, base, x, y):
        inputs = [pt.as_tensor(value) for value in (slope, base, x, y)]
        return Apply(self, inputs, [pt.dscalar()])

    def perform(self, _node, inputs, outputs):
        slope, base, x, y = inputs
        outputs[0][0] = np.asarray(-0.5 * ((y - slope * x - base) ** 2).sum())


def black_box() -> pm.Model:
    """Build a likelihood in NumPy, wrapped in an Op without a gradient."""
    x = np.linspace(0, 1, 20)
    with pm.Model() as model:
        slope, base = pm.Uniform("slope", -10, 10), pm.Uniform("base", -10, 10)
        pm.Potential("likelihood", _LogLike()(slope, base, x, 1 + 2 * x))
    return model
