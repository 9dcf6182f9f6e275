"""The pose model's oracle: its density against SciPy and plain loops, its gradient against complex steps."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate, stats

from firstgrad.errors import SpecError
from firstgrad.points import flatten, unflatten
from firstgrad.pose.data import PoseData, generate
from firstgrad.pose.densities import (
    log_gamma,
    log_half_normal,
    log_marginal,
    logaddexp,
    logsumexp,
    posterior,
)
from firstgrad.pose.oracle import canonical, complex_terms, forward, gradient, logp, logp_terms, value_and_gradient
from firstgrad.pose.points import to_per_joint, to_vectorised
from firstgrad.pose.spec import (
    Formulation,
    HmmAlgorithm,
    HmmSpec,
    Likelihood,
    Missing,
    PoseSpec,
    Skeleton,
    WalkAxis,
)
from planted import TINY_POSE as TINY

STEP = 1e-30
RTOL = 1e-10
"""Relative to max(|value|, 1); the worst of the small cases below has 1e-12."""
VARIANTS = [
    replace(TINY, likelihood=likelihood, walk_axis=axis, hmm=hmm, n_timesteps=steps)
    for likelihood, axis, hmm, steps in itertools.product(
        Likelihood, WalkAxis, (None, HmmSpec(n_states=1), HmmSpec(n_states=2)), (1, 3)
    )
]


def brute_force_log_marginal(log_init, log_trans, emissions):
    """The definition: the sum over all S ** T paths, one by one."""
    paths = []
    for path in itertools.product(range(emissions.shape[1]), repeat=len(emissions)):
        weight = log_init[path[0]] + sum(emissions[time, state] for time, state in enumerate(path))
        paths.append(weight + sum(log_trans[here, there] for here, there in itertools.pairwise(path)))
    return logsumexp(np.array(paths), axis=0)


def complex_step_gradient(spec, data, point):
    """By one complex evaluation of the log-density a value: exact to rounding, and knows nothing of the gradient."""
    model = replace(spec, formulation=Formulation.VECTORISED)
    vector = flatten(canonical(spec, point), model)
    slopes = np.empty_like(vector)
    with np.errstate(over="ignore", invalid="ignore"):
        for place in range(len(vector)):
            stepped = vector.astype(np.complex128)
            stepped[place] += 1j * STEP
            values = unflatten(stepped, model)
            terms = complex_terms(model, values, forward(model, data, values))
            slopes[place] = sum(float(np.imag(term)) for term in terms.values()) / STEP
    found = unflatten(slopes, model)
    return to_per_joint(found, model) if spec.formulation is Formulation.PER_JOINT else found


def name(spec):
    n_states = spec.hmm.n_states if spec.hmm else 0
    return f"{spec.likelihood}-{spec.walk_axis}-S{n_states}-T{spec.n_timesteps}"


def moved(spec, by=0.1, seed=0):
    """Data, and a point near their start."""
    data = generate(spec)
    vector = flatten(data.initial, spec)
    return data, unflatten(vector + by * np.random.default_rng(seed).normal(size=vector.shape), spec)


@pytest.mark.parametrize("spec", VARIANTS, ids=name)
def test_each_term_is_the_textbook_density(spec):
    data, point = moved(spec)
    found = logp_terms(spec, data, point)
    expected = _prior_terms(spec, point) | {"likelihood": _likelihood(spec, data, point)}
    assert found.keys() == expected.keys()
    assert found == {key: pytest.approx(term, rel=1e-12, abs=1e-12) for key, term in expected.items()}
    assert logp(spec, data, point) == pytest.approx(sum(expected.values()), rel=1e-12)


@pytest.mark.parametrize(
    "log_density",
    [lambda x: log_half_normal(x, 0.7), lambda x: log_gamma(x, *TINY.priors.obs_sigma_gamma)],
    ids=["half_normal", "gamma"],
)
def test_transformed_densities_integrate_to_one(log_density):
    total, _ = integrate.quad(lambda x: math.exp(log_density(x)), -60, 8, limit=200)
    assert total == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("spec", VARIANTS, ids=name)
def test_both_formulations_are_one_density(spec):
    data, point = moved(spec)
    per_joint = replace(spec, formulation=Formulation.PER_JOINT)
    mapped = to_per_joint(point, spec)
    assert logp(per_joint, data, mapped) == pytest.approx(logp(spec, data, point), rel=1e-12)
    assert mapped.keys() != point.keys()


@pytest.mark.parametrize(
    "change",
    [{"missing": Missing.NAIVE}, {"seed": 7}]
    + [{"hmm": HmmSpec(n_states=2, algorithm=algorithm)} for algorithm in HmmAlgorithm],
    ids=str,
)
def test_what_only_concerns_the_graph_changes_nothing(change):
    spec = replace(TINY, hmm=HmmSpec(n_states=2))
    data, point = moved(spec)
    assert logp(replace(spec, **change), data, point) == logp(spec, data, point)


def test_the_stand_in_of_a_missed_point_does_not_matter():
    data, point = moved(TINY)
    half_missed = []
    for stand_in in (np.nan, 0.0, -1e300):
        observations = data.observations.copy()
        observations[~data.seen] = (stand_in, np.nan)
        half_missed.append(logp(TINY, replace(data, observations=observations), point))
    assert not data.seen.all()
    assert half_missed == [logp(TINY, data, point)] * 3


@pytest.mark.parametrize("hmm", [None, HmmSpec(n_states=2)])
@pytest.mark.parametrize("likelihood", Likelihood)
def test_a_camera_that_misses_everything_is_as_good_as_none(hmm, likelihood):
    spec = replace(TINY, hmm=hmm, likelihood=likelihood)
    data, point = moved(spec)
    blind = data.observations.copy()
    blind[1] = np.nan
    alone = PoseData(data.observations[:1], data.cameras[:1], data.parents, data.initial)
    found = logp(spec, replace(data, observations=blind), point)
    assert found == pytest.approx(logp(replace(spec, n_cameras=1), alone, point), rel=1e-13)
    assert found != pytest.approx(logp(spec, data, point), rel=1e-3)


def test_a_seen_point_matters():
    spec = replace(TINY, likelihood=Likelihood.GAUSSIAN)
    data, point = moved(spec)
    elsewhere = data.observations.copy()
    elsewhere[tuple(np.argwhere(data.seen)[0])] += 1.0
    assert logp(spec, replace(data, observations=elsewhere), point) != logp(spec, data, point)


def test_a_joint_behind_the_camera_is_clamped_not_infinite():
    data, point = moved(TINY, by=0)
    behind = -data.cameras  # without the clamp both signs would cancel, and every point be an inlier
    found = logp_terms(TINY, replace(data, cameras=behind), point)["likelihood"]
    p_outlier = 1 / (1 + math.exp(float(point["logodds_inlier"])))
    assert found == pytest.approx(data.seen.sum() * math.log(p_outlier / (640 * 480)), rel=1e-12)


def test_the_default_case_has_a_finite_density():
    spec = PoseSpec()
    data = generate(spec)
    assert math.isfinite(logp(spec, data, data.initial))


@pytest.mark.parametrize(
    ("formulation", "wrong", "message"),
    [
        (Formulation.VECTORISED, {"rho_log__": None}, "rho_log__"),
        (Formulation.VECTORISED, {"rho_log__": np.array(0.1)}, r"rho_log__.*\(3,\).*\(\)"),
        (Formulation.PER_JOINT, {}, "raw_u_1"),
    ],
    ids=["incomplete", "a shape that would be broadcast", "another formulation"],
)
def test_a_point_that_does_not_fit_is_refused_by_name(formulation, wrong, message):
    data, point = moved(TINY)
    point = {name: value for name, value in {**point, **wrong}.items() if value is not None}
    with pytest.raises(SpecError, match=message) as caught:
        logp(replace(TINY, formulation=formulation), data, point)
    assert caught.value.field == "point"


def test_complex_logaddexp_agrees_with_numpy():
    a, b = np.random.default_rng(0).normal(scale=300, size=(2, 50))
    np.testing.assert_allclose(logaddexp(a, b), np.logaddexp(a, b), rtol=1e-15)
    np.testing.assert_allclose(logaddexp(a + 0j, b).real, np.logaddexp(a, b), rtol=1e-13)


def test_the_mapping_helper_moves_every_value():
    spec = replace(TINY, hmm=HmmSpec(n_states=2), formulation=Formulation.PER_JOINT)
    _, point = moved(spec)
    assert sum(value.size for value in to_vectorised(point, spec).values()) == sum(group.size for group in spec.groups)


# The gradient


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        error = np.abs(found[name] - value) / np.maximum(np.abs(value), 1)
        assert np.max(error) < RTOL, name


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("n_states", [0, 1, 2, 3])
@pytest.mark.parametrize("axis", WalkAxis)
@pytest.mark.parametrize("likelihood", Likelihood)
def test_by_hand_is_the_complex_step(steps, n_states, axis, likelihood):
    hmm = HmmSpec(n_states=n_states) if n_states else None
    spec = replace(TINY, n_timesteps=steps, likelihood=likelihood, walk_axis=axis, hmm=hmm)
    assert_by_hand_is_the_complex_step(spec)


@pytest.mark.parametrize("hmm", [None, HmmSpec(n_states=2)])
@pytest.mark.parametrize("skeleton", Skeleton)
def test_by_hand_is_the_complex_step_on_every_skeleton(skeleton, hmm):
    parents = (-1, 0, 1, 1) if skeleton is Skeleton.CUSTOM else None
    assert_by_hand_is_the_complex_step(replace(TINY, hmm=hmm, skeleton=skeleton, parents=parents))


def assert_by_hand_is_the_complex_step(spec):
    data, point = moved(spec)
    per_joint = replace(spec, formulation=Formulation.PER_JOINT)
    expected = complex_step_gradient(spec, data, point)
    assert list(expected) == [group.value_name for group in spec.groups]
    assert_same(gradient(spec, data, point), expected)
    assert_same(gradient(per_joint, data, to_per_joint(point, spec)), to_per_joint(expected, spec))


def test_complex_step_speaks_the_formulation_it_was_asked_in():
    spec = PoseSpec(n_timesteps=2, n_directions=2, n_cameras=1, hmm=HmmSpec(n_states=2))
    data, point = moved(spec)
    found = complex_step_gradient(spec, data, point)
    assert list(found) == [group.value_name for group in spec.groups]
    assert_same(gradient(spec, data, point), found)


@pytest.mark.parametrize("hmm", [None, HmmSpec(n_states=3)])
@pytest.mark.parametrize("formulation", Formulation)
def test_the_default_size_agrees_with_finite_differences(hmm, formulation):
    spec = PoseSpec(hmm=hmm, formulation=formulation)
    data, point = moved(spec, by=0.01)
    vector, slope = flatten(point, spec), flatten(gradient(spec, data, point), spec)
    rng = np.random.default_rng(3)
    for _ in range(3):
        direction = rng.normal(size=vector.shape)
        ahead, behind = (logp(spec, data, unflatten(vector + step * direction, spec)) for step in (1e-6, -1e-6))
        assert (ahead - behind) / 2e-6 == pytest.approx(direction @ slope, rel=1e-5)


@pytest.mark.parametrize("likelihood", Likelihood)
def test_behind_the_camera_depth_has_no_slope(likelihood):
    spec = PoseSpec(n_timesteps=2, n_directions=2, n_cameras=2, likelihood=likelihood)
    data, point = moved(spec)
    data = replace(data, cameras=-data.cameras)
    expected = complex_step_gradient(spec, data, point)
    found = gradient(spec, data, point)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-9 * np.abs(value).max())


def test_missed_points_leave_the_gradient_finite():
    spec = PoseSpec(n_timesteps=4, missed_fraction=0.9)
    data = generate(spec)
    found = flatten(gradient(spec, data, data.initial), spec)
    assert np.isnan(data.observations).any()
    assert np.isfinite(found).all()


def test_the_roots_hidden_direction_moves_by_its_prior_alone():
    spec = PoseSpec(n_timesteps=3, n_directions=2, hmm=HmmSpec(n_states=2))
    data, point = moved(spec)
    found = gradient(spec, data, point)
    np.testing.assert_array_equal(found["hmm_mu_raw_s1_j0"], -point["hmm_mu_raw_s1_j0"])
    assert not np.array_equal(found["hmm_mu_raw_s1_j1"], -point["hmm_mu_raw_s1_j1"])


@pytest.mark.parametrize("hmm", [None, HmmSpec(n_states=2)])
def test_value_and_gradient_are_those_of_the_single_functions(hmm):
    spec = PoseSpec(n_timesteps=3, n_directions=2, hmm=hmm)
    data, point = moved(spec)
    value, slopes = value_and_gradient(spec, data, point)
    assert value == logp(spec, data, point)
    assert_same(slopes, gradient(spec, data, point))


def test_the_point_is_left_alone():
    spec = PoseSpec(n_timesteps=3, n_directions=2, formulation=Formulation.VECTORISED, hmm=HmmSpec())
    data, point = moved(spec)
    before = {name: value.copy() for name, value in point.items()}
    slopes = gradient(spec, data, point)
    for name, value in point.items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
        assert not np.shares_memory(slopes[name], value), name


# The hidden Markov model


@st.composite
def weights(draw):
    n_states, steps = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    number = st.floats(-30, 30)
    return tuple(
        draw(arrays(np.float64, shape, elements=number))
        for shape in ((n_states,), (n_states, n_states), (steps, n_states))
    )


@given(weights())
@settings(max_examples=60, deadline=None)
def test_forward_algorithm_sums_over_all_paths(given_weights):
    expected = brute_force_log_marginal(*given_weights)
    assert log_marginal(*given_weights) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(weights())
@settings(max_examples=40, deadline=None)
def test_posterior_is_the_gradient(given_weights):
    found = posterior(*given_weights)
    by_complex_step = _complex_step(log_marginal, given_weights, 2)
    np.testing.assert_allclose(by_complex_step, found.gamma, rtol=1e-10, atol=1e-12)
    by_init, by_trans, by_emission = (
        _complex_step(brute_force_log_marginal, given_weights, which) for which in range(3)
    )
    assert found.log_marginal == pytest.approx(log_marginal(*given_weights), rel=1e-14, abs=1e-14)
    np.testing.assert_allclose(found.gamma, by_emission, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.gamma[0], by_init, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.xi, by_trans, rtol=1e-10, atol=1e-12)


def test_brute_force_knows_a_hand_sum():
    init, trans = np.array([0.25, 0.75]), np.array([[0.9, 0.1], [0.4, 0.6]])
    seen = np.array([[0.5, 0.2], [0.3, 0.7]])
    by_hand = 0.25 * 0.5 * 0.9 * 0.3 + 0.25 * 0.5 * 0.1 * 0.7 + 0.75 * 0.2 * 0.4 * 0.3 + 0.75 * 0.2 * 0.6 * 0.7
    assert brute_force_log_marginal(np.log(init), np.log(trans), np.log(seen)) == pytest.approx(
        math.log(by_hand), rel=1e-14
    )


def test_one_timestep_needs_no_transition_and_one_state_is_a_plain_sum():
    nonsense = np.full((2, 2), np.nan)
    found = log_marginal(np.log([0.5, 0.5]), nonsense, np.log([[0.2, 0.6]]))
    assert found == pytest.approx(math.log(0.4), rel=1e-15)
    assert log_marginal(np.array([0.5]), np.array([[0.25]]), np.arange(6.0)[:, None]) == 0.5 + 5 * 0.25 + 15


def test_huge_weights_neither_overflow_nor_vanish():
    log_init, log_trans = np.log([0.5, 0.5]), np.log([[0.9, 0.1], [0.1, 0.9]])
    emissions = np.random.default_rng(0).normal(size=(50, 2))
    plain = posterior(log_init, log_trans, emissions)
    for shift in (-1e6, 1e6):
        shifted = posterior(log_init, log_trans, emissions + shift)
        assert shifted.log_marginal - 50 * shift == pytest.approx(plain.log_marginal, abs=1e-6)
        np.testing.assert_allclose(shifted.gamma, plain.gamma, atol=1e-6)


def test_forbidden_steps_are_never_taken():
    with np.errstate(divide="ignore"):
        log_init, log_trans = np.log([1.0, 0.0]), np.log([[0.5, 0.5], [0.0, 1.0]])
    found = posterior(log_init, log_trans, np.zeros((4, 2)))
    assert found.log_marginal == pytest.approx(0.0, abs=1e-15)
    assert found.gamma[0].tolist() == [1.0, 0.0]
    assert found.xi[1, 0] == 0
    assert found.xi.sum() == pytest.approx(3)


def _complex_step(function, point, which):
    slopes = np.empty_like(point[which])
    for place in np.ndindex(slopes.shape):
        stepped = [each.astype(np.complex128) if here == which else each for here, each in enumerate(point)]
        stepped[which][place] += 1j * STEP
        slopes[place] = function(*stepped).imag / STEP
    return slopes


# The textbook


def _prior_terms(spec, point):
    priors = spec.priors

    def half(group, sigma):
        log_x = point[f"{group}_log__"]
        return float(np.sum(stats.halfnorm.logpdf(np.exp(log_x), scale=sigma) + log_x))

    def normal(group, sigma):
        return float(np.sum(stats.norm.logpdf(point[group], scale=sigma)))

    eta = math.sqrt(math.exp(point["eta2_root_log__"]))
    walk = point["x_root"].T if spec.walk_axis == "time" else point["x_root"]
    x_root = 0.0
    for row in walk:
        x_root += stats.norm.logpdf(row[0], scale=priors.root_first_sigma)
        for before, after in itertools.pairwise(row):
            x_root += stats.norm.logpdf(after, loc=before, scale=eta)
    length = 0.0
    for bone in range(spec.n_directions):
        mean, deviation = math.exp(point["rho_log__"][bone]), math.exp(point["sigma2_log__"][bone]) ** 0.5
        length += stats.norm.logpdf(point["length"][:, bone], loc=mean, scale=deviation).sum()
    log_sigma = float(point["obs_sigma_log__"])
    shape, rate = priors.obs_sigma_gamma
    terms = {
        "eta2_root": half("eta2_root", priors.eta2_root_sigma),
        "rho": half("rho", priors.rho_sigma),
        "sigma2": half("sigma2", priors.sigma2_sigma),
        "x_root": x_root,
        "raw_u": normal("raw_u", 1),
        "length": length,
        "obs_sigma": stats.gamma.logpdf(math.exp(log_sigma), shape, scale=1 / rate) + log_sigma,
    }
    if spec.likelihood == "mixture":
        terms["logodds_inlier"] = normal("logodds_inlier", priors.logodds_sigma)
    if spec.hmm:
        terms["hmm_mu_raw"] = normal("hmm_mu_raw", 1)
        terms["hmm_kappa"] = half("hmm_kappa", priors.kappa_sigma)
        terms["hmm_init_logits"] = normal("hmm_init_logits", priors.logits_sigma)
        terms["hmm_trans_logits"] = normal("hmm_trans_logits", priors.logits_sigma)
    return terms


def _unit(vector):
    return vector / math.sqrt(sum(each**2 for each in vector) + 1e-8)


def _position(spec, point, time, joint):
    place = point["x_root"][time].copy()
    while joint > 0:
        place += point["length"][time, joint - 1] * _unit(point["raw_u"][time, joint - 1])
        joint = spec.joint_parents[joint]
    return place


def _log_obs(spec, data, point, time):
    sigma, total = math.exp(point["obs_sigma_log__"]), 0.0
    for camera, joint in itertools.product(range(spec.n_cameras), range(spec.n_joints)):
        seen = data.observations[camera, time, joint]
        if np.isnan(seen).any():
            continue
        a, b, w = data.cameras[camera] @ [*_position(spec, point, time, joint), 1.0]
        inlier = stats.norm.logpdf(seen, loc=[a / max(w, 1e-6), b / max(w, 1e-6)], scale=sigma).sum()
        if spec.likelihood == "mixture":
            p = 1 / (1 + math.exp(-point["logodds_inlier"]))
            inlier = np.logaddexp(math.log(p) + inlier, math.log(1 - p) - math.log(640 * 480))
        total += inlier
    return total


def _likelihood(spec, data, point):
    times = range(spec.n_timesteps)
    log_obs = [_log_obs(spec, data, point, time) for time in times]
    if spec.hmm is None:
        return sum(log_obs)
    states, bones = range(spec.hmm.n_states), range(spec.n_directions)
    init = np.exp(point["hmm_init_logits"]) / np.exp(point["hmm_init_logits"]).sum()
    rows = [np.exp(row) / np.exp(row).sum() for row in point["hmm_trans_logits"]]
    kappa, mu = np.exp(point["hmm_kappa_log__"]), point["hmm_mu_raw"]
    likes = [
        [
            sum(kappa[s, k + 1] * np.dot(_unit(point["raw_u"][time, k]), _unit(mu[s, k + 1])) for k in bones)
            for s in states
        ]
        for time in times
    ]
    total = 0.0
    for path in itertools.product(states, repeat=spec.n_timesteps):
        weight = init[path[0]] * math.prod(rows[a][b] for a, b in itertools.pairwise(path))
        total += weight * math.exp(sum(likes[time][state] for time, state in enumerate(path)))
    return math.log(total) + sum(log_obs)
