"""Models in the situations that people report with a slow compile, a refusal or a NaN; and some with nothing wrong."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt


def saturation_of_unused_channels() -> pm.Model:
    """Build advertising whose channels saturate by a power, some weeks without spending: nothing is wrong."""
    rng = np.random.default_rng(4)
    spend = rng.gamma(2, 1, size=(52, 3)) * rng.binomial(1, 0.7, size=(52, 3))
    with pm.Model(coords={"channel": ["radio", "paper", "web"]}) as model:
        half = pm.Gamma("half", 2, 1, dims="channel")
        slope = pm.Beta("slope", 4, 2, dims="channel")
        gain = pm.HalfNormal("gain", 1, dims="channel")
        response = gain * spend**slope / (half**slope + spend**slope)
        pm.Normal("sales", response.sum(axis=1), pm.HalfNormal("sigma", 1), observed=rng.normal(2, 1, size=52))
    return model


def spikes_of_each_cell(*, cured: bool = False) -> pm.Model:
    """Build spike counts with an observed variable for each of forty cells and two conditions."""
    rng = np.random.default_rng(4)
    counts = rng.poisson(12, size=(40, 2))
    with pm.Model() as model:
        chol, _, _ = pm.LKJCholeskyCov("cov", n=2, eta=1, sd_dist=pm.Exponential.dist(1.0))
        level = pm.MvNormal("level", mu=np.zeros(2), chol=chol, shape=(40, 2))
        rate = pt.exp(2.5 + level)
        if cured:
            pm.Poisson("spikes", rate, observed=counts)
            return model
        for cell in range(40):
            for condition in range(2):
                pm.Poisson(f"spikes_{cell}_{condition}", rate[cell, condition], observed=counts[cell, condition])
    return model


def effects_picked_row_by_row(*, cured: bool = False) -> pm.Model:
    """Build a mean for each of eighty rows by a list of picked effects, then stacked."""
    rng = np.random.default_rng(4)
    site, year, depth = rng.integers(0, 6, size=80), rng.integers(0, 4, size=80), rng.uniform(size=80)
    with pm.Model() as model:
        of_site, of_year = pm.Normal("of_site", shape=6), pm.Normal("of_year", shape=4)
        fading = pm.HalfNormal("fading", 1)
        mean = of_site[site] + of_year[year] * pt.exp(-fading * depth)
        if not cured:
            mean = pt.stack(
                [of_site[site[row]] + of_year[year[row]] * pt.exp(-fading * depth[row]) for row in range(80)]
            )
        pm.Normal("seen", mean, pm.HalfNormal("sigma", 1), observed=rng.normal(size=80))
    return model


def answers_filled_in(*, cured: bool = False) -> pm.Model:
    """Build item response with a matrix of probabilities that two loops fill."""
    rng = np.random.default_rng(4)
    people, items = 12, 8
    with pm.Model() as model:
        ability, hardness = pm.Normal("ability", shape=people), pm.Normal("hardness", shape=items)
        steepness = pm.LogNormal("steepness", 0, 0.5, shape=items)
        share = pt.sigmoid(steepness * (ability[:, None] - hardness)) if cured else pt.zeros((people, items))
        for person in () if cured else range(people):
            for item in range(items):
                logit = steepness[item] * (ability[person] - hardness[item])
                share = pt.set_subtensor(share[person, item], pt.sigmoid(logit))
        pm.Bernoulli("right", share, observed=rng.binomial(1, 0.5, size=(people, items)))
    return model


def survival_by_potentials() -> pm.Model:
    """Build Weibull survival with a potential for each of fifty patients, those still alive among them."""
    rng = np.random.default_rng(4)
    years, died, age = rng.weibull(1.3, size=50) + 0.05, rng.binomial(1, 0.6, size=50), rng.normal(size=50)
    with pm.Model() as model:
        shape, by_age = pm.Gamma("shape", 4, 3), pm.Normal("by_age", 0, 1)
        base = pm.Normal("base", 0, 1)
        for patient in range(50):
            scale = pt.exp(base + by_age * age[patient])
            if died[patient]:
                pm.Potential(f"died_{patient}", pm.logp(pm.Weibull.dist(shape, scale), years[patient]))
            else:
                pm.Potential(f"lives_{patient}", -((years[patient] / scale) ** shape))
    return model


def doses_added_up(*, cured: bool = False) -> pm.Model:
    """Build a concentration as the sum of thirty doses, each of which fades from its own time on."""
    rng = np.random.default_rng(4)
    hours = np.sort(rng.uniform(0, 240, size=25))
    with pm.Model() as model:
        rate, volume = pm.LogNormal("rate", -2, 0.5), pm.LogNormal("volume", 1, 0.5)
        since = hours - 8.0 * np.arange(30)[:, None]
        concentration = pt.zeros(25)
        if cured:
            faded = 5.0 / volume * pt.exp(-rate * np.maximum(since, 0)) * (since > 0)
            concentration = concentration + faded.sum(axis=0)
        for number in () if cured else range(30):
            since = hours - 8.0 * number
            concentration = concentration + 5.0 / volume * pt.exp(-rate * np.maximum(since, 0)) * (since > 0)
        pm.LogNormal("blood", pt.log(concentration + 1e-3), 0.3, observed=rng.gamma(2, 1, size=25))
    return model


def growth_side_by_side(*, cured: bool = False) -> pm.Model:
    """Build the growth of sixteen plots, each measured on its own days: a list of curves, then stacked."""
    rng = np.random.default_rng(4)
    days = np.sort(rng.uniform(0, 60, size=(16, 20)), axis=1)
    with pm.Model() as model:
        tall, pace, late = pm.HalfNormal("tall", 2), pm.LogNormal("pace", -2, 0.5), pm.Normal("late", 20, 5)

        def curve(day):  # type: ignore[no-untyped-def]  # an array, of one plot or of all
            return tall * pt.sigmoid(pace * (day - late))

        height = curve(days) if cured else pt.stack([curve(days[plot]) for plot in range(16)])
        pm.Normal("height", height, pm.HalfNormal("sigma", 1), observed=rng.normal(1, 0.5, size=(16, 20)))
    return model


def matern_by_hand() -> pm.Model:
    """Build a Gaussian process whose kernel takes distances by a root, the diagonal's zeros among them."""
    rng = np.random.default_rng(4)
    with pm.Model() as model:
        place, length = pm.Normal("place", shape=(9, 2)), pm.InverseGamma("length", 5, 5)
        apart = pt.sqrt(((place[:, None, :] - place[None, :, :]) ** 2).sum(-1)) / length
        cov = (1 + np.sqrt(3) * apart) * pt.exp(-np.sqrt(3) * apart) + 0.1 * np.eye(9)
        pm.MvNormal("height", np.zeros(9), cov, observed=rng.normal(size=9))
    return model


def share_below_a_limit() -> pm.Model:
    """Build batches of which a share lies below a limit, by the incomplete beta function with unknown shapes."""
    rng = np.random.default_rng(4)
    with pm.Model() as model:
        mean, many = pm.Beta("mean", 4, 2), pm.Gamma("many", 4, 0.5)
        below = pt.betainc(mean * many, (1 - mean) * many, np.linspace(0.3, 0.9, 8))
        pm.Binomial("passed", 30, below, observed=rng.binomial(30, np.linspace(0.05, 0.8, 8)))
    return model


def exposure_that_is_zero() -> pm.Model:
    """Build claims by contract, some without a day insured, as a negative binomial."""
    rng = np.random.default_rng(4)
    days = rng.integers(0, 3, size=40) * 120.0
    with pm.Model() as model:
        usual, by_age = pm.Gamma("usual", 2, 100), pm.Normal("by_age", 0, 0.5)
        rate = days * usual * pt.exp(by_age * rng.normal(size=40))
        pm.NegativeBinomial("claims", mu=rate, alpha=pm.Exponential("alpha", 1), observed=(days > 0) * 1)
    return model


def complementary_log_log() -> pm.Model:
    """Build infections by the complementary log-log link, written by hand: nothing is wrong, PyTensor mends it."""
    rng = np.random.default_rng(4)
    dose = rng.gamma(2, 1, size=60)
    with pm.Model() as model:
        power, base = pm.HalfNormal("power", 1), pm.Normal("base", 0, 1)
        hazard = pt.exp(base) * dose**power
        infected = rng.binomial(1, 0.5, size=60)
        pm.Potential("seen", (infected * pt.log(1 - pt.exp(-hazard)) - (1 - infected) * hazard).sum())
    return model


def censored_wells() -> pm.Model:
    """Build concentrations below a limit of detection, in wells that share a mean: nothing is wrong."""
    rng = np.random.default_rng(4)
    well = rng.integers(0, 7, size=70)
    with pm.Model(coords={"well": range(7)}) as model:
        mean, spread = pm.Normal("mean", 0, 1), pm.HalfNormal("spread", 1)
        of_well = pm.Deterministic("of_well", mean + spread * pm.Normal("shift", dims="well"), dims="well")
        latent = pm.Normal.dist(of_well[pm.Data("well_of", well)], pm.HalfNormal("noise", 1))
        pm.Censored("seen", latent, lower=-1.0, upper=None, observed=np.maximum(rng.normal(size=70), -1.0))
    return model


def epidemic_by_scan() -> pm.Model:
    """Build an epidemic by a scan over its days: nothing is wrong."""
    rng = np.random.default_rng(4)
    with pm.Model() as model:
        contact, heal = pm.LogNormal("contact", -1, 0.3), pm.Beta("heal", 2, 8)

        def day(well, ill, contact, heal):  # type: ignore[no-untyped-def]  # PyTensor gives tensors
            new = contact * well * ill
            return well - new, ill + new - heal * ill

        _, ill = pytensor.scan(
            day,
            outputs_info=[pt.constant(0.99), pt.constant(0.01)],
            non_sequences=[contact, heal],
            n_steps=30,
            return_updates=False,
        )
        pm.Poisson("cases", 1000 * ill, observed=rng.poisson(40, size=30))
    return model
