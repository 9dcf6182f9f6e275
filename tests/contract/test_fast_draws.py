"""nutpie with the fast gradient: the model, the start points and the draws that nutpie's own compile gives."""

from __future__ import annotations

import _thread
import logging
import warnings

import numpy as np
import nutpie
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy.stats import kstest, uniform

import firstgrad
from benchmarks.sampling.models import calibration_ranks
from firstgrad.errors import ModelError, SpecError
from firstgrad.fast.kept import Entry
from firstgrad.fast.starts import StartPoints

OBSERVED = np.array([4.0, 5.0, 3.5, 6.0])
QUIET = {"progressbar": False, "quiet": True, "compute_convergence_checks": False}


def shaped():
    """Build a model of all that a draw may consist of: dims, data, transforms, whole numbers."""
    with pm.Model(coords={"group": [10, 20, 30], "side": ["left", "right"], "row": range(4)}) as model:
        x = pm.Data("x", np.arange(8.0).reshape(4, 2), dims=("row", "side"))
        share = pm.Dirichlet("share", np.ones(3), dims="group")
        level = pm.Normal("level", 2.0, 3.0)
        cut = pm.Normal("cut", np.arange(3.0), 1.0, transform=pm.distributions.transforms.ordered, dims="group")
        slope = pm.Normal("slope", 0.0, 1.0, dims="side")
        sigma = pm.Uniform("sigma", 0.1, 3.0)
        pm.HalfNormal("first")
        pm.HalfNormal("second")
        mean = pm.Deterministic("mean", x @ slope + level * (share * cut).sum(), dims="row")
        pm.Deterministic("n_positive", pt.sum(cut > 0))
        pm.HalfNormal("third")  # alike, and not side by side
        pm.Normal("y", mean, sigma, observed=OBSERVED, dims="row")
    return model


@pytest.fixture(scope="module")
def both():
    model = shaped()
    ours = firstgrad.nutpie_model(model)  # without a compiler, so without a word about BLAS
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PyTensor could not link to a BLAS")
        return ours, nutpie.compile_pymc_model(model, backend="jax", gradient_backend="jax", freeze_model=False)


def functions(compiled):
    """Take what nutpie calls."""
    density, expand = compiled._make_logp_func(), compiled._make_expand_func(0, 0, 0)
    shared = compiled._shared_data
    return (lambda vector: density(vector, **shared)), (lambda vector: expand(vector, **shared))


@pytest.mark.compiles
def test_names_dims_and_coords_are_those_of_nutpies_own_compile(both):
    ours, theirs = both
    assert ours.n_dim == theirs.n_dim
    assert ours.dims == theirs.dims
    assert ours.reparameterized_names == theirs.reparameterized_names
    assert list(ours.coords) == list(theirs.coords)
    assert all(index.equals(theirs.coords[name]) for name, index in ours.coords.items())


@pytest.mark.compiles
def test_variables_whose_lengths_data_tell_may_differ_in_them():
    """Their types are equal, and so is what makes them."""
    with pm.Model() as model:
        slope = pm.Normal("slope")
        for name, length in (("short", 2), ("long", 3)):
            pm.Deterministic(name, slope * pm.Data(f"{name} x", np.arange(float(length))))
    _, expand = functions(firstgrad.nutpie_model(model))
    draw = expand(np.array([2.0]))
    assert {name: value.tolist() for name, value in draw.items()} == {
        "slope": 2.0,
        "short": [0.0, 2.0],
        "long": [0.0, 2.0, 4.0],
    }


@pytest.mark.compiles
@pytest.mark.parametrize("seed", [0, 12345])
def test_start_points_are_pymcs_own_for_a_seed(both, seed):
    ours, theirs = (one._make_initial_points(seed) for one in both)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert not np.allclose(ours, both[0]._make_initial_points(seed + 1))


@pytest.mark.compiles
def test_densities_and_draws_agree(both):
    start = both[1]._make_initial_points(3)
    (logp, gradient), (expected_logp, expected) = (functions(one)[0](start) for one in both)
    assert logp == pytest.approx(expected_logp, rel=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-9)
    draw, expected_draw = (functions(one)[1](start) for one in both)
    assert list(draw) == list(expected_draw)
    for name, value in expected_draw.items():
        np.testing.assert_allclose(draw[name], value, rtol=1e-12, atol=1e-14, err_msg=name)


@pytest.mark.compiles
def test_what_was_kept_draws_the_same(tmp_path, monkeypatch):
    with pm.Model(coords={"row": range(3)}) as model:
        x = pm.HalfNormal("x", dims="row")
        pm.Deterministic("roots", pt.sqrt(x + 0.25), dims="row")
    tmp_path.chmod(0o700)
    monkeypatch.setenv("FIRSTGRAD_CACHE", "1")
    monkeypatch.setenv("FIRSTGRAD_CACHE_DIR", str(tmp_path))
    made = firstgrad.nutpie_model(model)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(Entry, "keep", lambda *_: pytest.fail("it was made again"))
    loaded = firstgrad.nutpie_model(model)
    assert loaded.dims == made.dims
    start = np.array([0.1, -0.2, 0.3])
    for before, now in zip(functions(made), functions(loaded), strict=True):
        np.testing.assert_equal(now(start), before(start))
    with pytest.raises(pytest.fail.Exception, match="made again"):
        firstgrad.nutpie_model(model, var_names=["roots"])


def conjugate():
    with pm.Model() as model:
        x = pm.Normal("x", 3.0, 2.0)
        pm.Deterministic("twice", 2 * x)
        pm.Normal("y", x, 1.0, observed=OBSERVED)
    return model


@pytest.fixture(scope="module")
def drawn():
    heard = []
    options = {"progress_callback": lambda chains: heard.append(len(chains)), "progress_rate": 1}
    model = conjugate()
    with model:
        trace = firstgrad.sample(
            draws=1000, tune=300, chains=4, cores=2, random_seed=4, progressbar=False, quiet=True, nuts=options
        )
    return model, trace, heard


@pytest.mark.compiles
def test_the_posterior_is_the_known_one(drawn):
    _, trace, heard = drawn
    precision = 1 / 4 + len(OBSERVED)
    mean = (3.0 / 4 + OBSERVED.sum()) / precision
    draws = np.asarray(trace.posterior["x"])
    assert draws.shape == (4, 1000)
    assert draws.mean() == pytest.approx(mean, abs=4 * precision**-0.5 / 1000**0.5)
    assert draws.std() == pytest.approx(precision**-0.5, rel=0.08)
    np.testing.assert_allclose(trace.posterior["twice"], 2 * draws, rtol=1e-12)
    assert heard
    assert set(heard) == {4}


@pytest.mark.compiles
def test_the_result_is_what_pm_sample_gives(drawn):
    model, _, _ = drawn
    asked = {"draws": 60, "tune": 40, "chains": 2, "cores": 1, "random_seed": 9, "discard_tuned_samples": False}
    ours = firstgrad.sample(model, target_accept=0.9, **asked, **QUIET)
    theirs = pm.sample(model=model, backend="jax", nuts={"target_accept": 0.9}, **asked, **QUIET)
    assert set(ours.children) == set(theirs.children)
    for group in theirs.children:
        assert list(ours[group].data_vars) == list(theirs[group].data_vars), group
        assert ours[group].sizes == theirs[group].sizes, group
    assert set(ours.posterior.attrs) == {*theirs.posterior.attrs, "firstgrad_gradient"}
    assert ours.posterior.attrs["tuning_steps"] == 40
    assert ours.posterior.attrs["firstgrad_gradient"] == "jax"
    # Of one seed come one start and the same steps.
    np.testing.assert_allclose(ours.warmup_posterior["x"][:, :5], theirs.warmup_posterior["x"][:, :5], rtol=1e-6)


@pytest.mark.compiles
def test_only_what_is_asked_for_is_drawn(drawn):
    model, _, _ = drawn
    trace = firstgrad.sample(model, draws=10, tune=0, chains=1, var_names=["x"], initvals={"x": 40.0}, **QUIET)
    assert list(trace.posterior.data_vars) == ["x"]


@pytest.mark.compiles
def test_ctrl_c_keeps_the_draws_that_were_made(drawn):
    model, _, _ = drawn

    def interrupt(chains):
        if chains[0].finished_draws > 200 and not told:
            told.append(True)
            _thread.interrupt_main()

    told = []
    options = {"progress_callback": interrupt, "progress_rate": 1}
    trace = firstgrad.sample(model, draws=10**7, tune=100, chains=1, nuts=options, **QUIET)
    assert 50 < trace.posterior.sizes["draw"] < 10**7


@pytest.mark.compiles
def test_what_the_checks_of_draws_say_is_logged(drawn, caplog):
    model, _, _ = drawn
    with caplog.at_level(logging.INFO, logger="pymc"):
        firstgrad.sample(model, draws=20, tune=20, chains=1, progressbar=False)
    assert "NUTS[nutpie]" in caplog.text
    assert "too small to check convergence" in caplog.text


def test_draws_of_which_the_shape_alone_is_asked_need_no_compiler(monkeypatch):
    with pm.Model() as model:
        pm.LKJCholeskyCov("factor", n=3, eta=2.0, sd_dist=pm.Exponential.dist(1.0))
    starts = StartPoints(model)
    monkeypatch.delattr("pymc.initial_point.make_initial_point_fn")
    (plain,), (jittered,) = starts.plain().values(), starts.jittered(1).values()
    assert plain.tolist() == pytest.approx([0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert np.abs(jittered - plain).max() < 1.0
    assert len(set(jittered)) == 6


def test_jitter_goes_on_into_starts_that_depend_on_it():
    with pm.Model() as model:
        x = pm.Normal("x", 1.0)
        pm.Normal("y", 2 * x, shape=3)
    starts = StartPoints(model)
    assert starts.plain()["y"].tolist() == [2.0, 2.0, 2.0]
    points = [starts.jittered(seed) for seed in range(500)]
    x, y = (np.array([point[name] for point in points]) for name in ("x", "y"))
    for jitter in (x - 1.0, *(y - 2 * x[:, None]).T):
        assert kstest(jitter, uniform(-1.0, 2.0).cdf).pvalue > 1e-4
    assert np.abs(np.corrcoef(x, (y - 2 * x[:, None])[:, 0])[0, 1]) < 0.2


def test_a_start_drawn_from_the_prior_is_pymcs():
    with pm.Model() as model:
        x = pm.Normal("x", initval="prior")
        pm.Normal("y", x)
    ours = firstgrad.nutpie_model(model)
    theirs = nutpie.compile_pymc_model(model, backend="jax", freeze_model=False)
    np.testing.assert_allclose(ours._make_initial_points(5), theirs._make_initial_points(5), rtol=1e-12)


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ({"step": None}, r"step: .*pm\.sample\(step=\.\.\.\)"),
        ({"callback": print}, "callback: .*progress_callback"),
        ({"backend": "numba"}, "backend: .*leave it out"),
        ({"max_treedepth": 12}, "max_treedepth: .*nuts="),
        ({"steps": 12}, "steps: .*no such argument"),
        ({"initvals": [{"x": 1.0}, None]}, "initvals: .*one mapping"),
    ],
)
def test_other_arguments_are_refused_by_name(argument, says):
    with pytest.raises(SpecError, match=says):
        firstgrad.sample(conjugate(), **argument)


def test_a_number_of_draws_is_no_model():
    with pytest.raises(SpecError, match=r"firstgrad\.sample\(model, draws=500\)"):
        firstgrad.sample(500)


def test_discrete_variables_go_to_pm_sample(monkeypatch):
    with pm.Model() as model:
        n = pm.Poisson("n", 3.0)
        pm.Normal("x", n)
    with pytest.raises(ModelError, match=r"discrete ones \(n\)"):
        firstgrad.nutpie_model(model)
    asked = {}
    monkeypatch.setattr(pm, "sample", lambda draws, **options: asked.update(options, draws=draws) or "drawn")
    with pytest.warns(firstgrad.GradientNote, match=r"discrete variables \(n\)"):
        assert firstgrad.sample(model, draws=7, target_accept=0.9) == "drawn"
    assert asked["draws"] == 7
    assert asked["nuts"] == {"target_accept": 0.9}
    assert asked["model"] is model


def test_what_jax_cannot_have_is_left_to_nutpie(monkeypatch):
    with pm.Model() as model:
        x = pm.Normal("x")
        pm.Deterministic("kept", x)
        pm.Potential("p", pt.gammainc(2.0, pt.exp(x)))
    asked = {}
    monkeypatch.setattr(nutpie, "compile_pymc_model", lambda model, **options: asked.update(options, model=model))
    monkeypatch.setattr("firstgrad.fast.draws.write_function", refuse)
    with pytest.warns(firstgrad.GradientNote, match="nutpie compiles by Numba"):
        firstgrad.nutpie_model(model, var_names=["kept"], initvals={"x": 1.0})
    assert asked == {"model": model, "var_names": ["kept"], "initial_points": {"x": 1.0}}


def refuse(_fgraph):
    raise NotImplementedError("No JAX conversion for the given `Op`: Owens_t")


@pytest.mark.compiles
def test_ranks_of_parameters_among_draws_are_uniform():
    ranks = calibration_ranks(150, 1, draws=200, tune=200, chains=2, cores=2, progressbar=False, quiet=True)
    for name, rank in ranks.items():
        assert kstest(rank, "uniform").pvalue > 1e-3, name
