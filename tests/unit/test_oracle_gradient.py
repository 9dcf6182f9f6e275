"""The oracle's gradient by hand against complex steps and finite differences of its log-density."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from firstgrad.points import flatten, unflatten
from firstgrad.pose.data import generate
from firstgrad.pose.oracle import complex_step_gradient, gradient, logp, value_and_gradient
from firstgrad.pose.points import groups, to_per_joint
from firstgrad.pose.spec import Formulation, HmmSpec, Likelihood, PosePriors, PoseSpec, Skeleton, WalkAxis

RTOL = 1e-10
"""Relative to max(|value|, 1); the worst of the small cases below has 1e-12."""
SKELETONS = {
    "chain": {"skeleton": Skeleton.CHAIN},
    "star": {"skeleton": Skeleton.STAR},
    "binary": {"skeleton": Skeleton.BINARY},
    "custom": {"skeleton": Skeleton.CUSTOM, "parents": (-1, 0, 1, 1)},
}
PRIORS = PosePriors(
    eta2_root_sigma=0.7,
    rho_sigma=1.3,
    root_first_sigma=3.0,
    logodds_sigma=2.0,
    kappa_sigma=3.0,
    logits_sigma=1.7,
)
TINY = PoseSpec(
    n_timesteps=3,
    n_directions=3,
    n_cameras=2,
    missed_fraction=0.2,
    formulation=Formulation.VECTORISED,
    skeleton=Skeleton.BINARY,
    priors=PRIORS,
)


def perturbed(spec, seed=0, by=0.05):
    data = generate(spec)
    vector = flatten(data.initial, spec)
    return data, unflatten(vector + by * np.random.default_rng(seed).normal(size=vector.shape), spec)


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
    spec = replace(
        TINY,
        n_timesteps=steps,
        likelihood=likelihood,
        walk_axis=axis,
        hmm=HmmSpec(n_states=n_states) if n_states else None,
    )
    assert_by_hand_is_the_complex_step(spec)


@pytest.mark.parametrize("hmm", [None, HmmSpec(n_states=2)])
@pytest.mark.parametrize("skeleton", SKELETONS)
def test_by_hand_is_the_complex_step_on_every_skeleton(skeleton, hmm):
    assert_by_hand_is_the_complex_step(replace(TINY, hmm=hmm, **SKELETONS[skeleton]))


def assert_by_hand_is_the_complex_step(spec):
    data, point = perturbed(spec)
    per_joint = replace(spec, formulation=Formulation.PER_JOINT)

    expected = complex_step_gradient(spec, data, point)

    assert list(expected) == [group.value_name for group in groups(spec)]
    assert_same(gradient(spec, data, point), expected)
    assert_same(gradient(per_joint, data, to_per_joint(point, spec)), to_per_joint(expected, spec))


def test_complex_step_speaks_the_formulation_it_was_asked_in():
    spec = PoseSpec(n_timesteps=2, n_directions=2, n_cameras=1, hmm=HmmSpec(n_states=2))
    data, point = perturbed(spec)

    found = complex_step_gradient(spec, data, point)

    assert list(found) == [group.value_name for group in groups(spec)]
    assert_same(gradient(spec, data, point), found)


@pytest.mark.parametrize("hmm", [None, HmmSpec(n_states=3)])
@pytest.mark.parametrize("formulation", Formulation)
def test_the_default_size_agrees_with_finite_differences(hmm, formulation):
    spec = PoseSpec(hmm=hmm, formulation=formulation)
    data, point = perturbed(spec, by=0.01)
    vector, slope = flatten(point, spec), flatten(gradient(spec, data, point), spec)
    rng = np.random.default_rng(3)

    for _ in range(3):
        direction = rng.normal(size=vector.shape)
        ahead, behind = (logp(spec, data, unflatten(vector + step * direction, spec)) for step in (1e-6, -1e-6))
        assert (ahead - behind) / 2e-6 == pytest.approx(direction @ slope, rel=1e-5)


@pytest.mark.parametrize("likelihood", Likelihood)
def test_behind_the_camera_depth_has_no_slope(likelihood):
    spec = PoseSpec(n_timesteps=2, n_directions=2, n_cameras=2, likelihood=likelihood)
    data, point = perturbed(spec)
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
    data, point = perturbed(spec)

    found = gradient(spec, data, point)

    np.testing.assert_array_equal(found["hmm_mu_raw_s1_j0"], -point["hmm_mu_raw_s1_j0"])
    assert not np.array_equal(found["hmm_mu_raw_s1_j1"], -point["hmm_mu_raw_s1_j1"])


@pytest.mark.parametrize("hmm", [None, HmmSpec(n_states=2)])
def test_value_and_gradient_are_those_of_the_single_functions(hmm):
    spec = PoseSpec(n_timesteps=3, n_directions=2, hmm=hmm)
    data, point = perturbed(spec)

    value, slopes = value_and_gradient(spec, data, point)

    assert value == logp(spec, data, point)
    assert_same(slopes, gradient(spec, data, point))


def test_the_point_is_left_alone():
    spec = PoseSpec(n_timesteps=3, n_directions=2, formulation=Formulation.VECTORISED, hmm=HmmSpec())
    data, point = perturbed(spec)
    before = {name: value.copy() for name, value in point.items()}

    slopes = gradient(spec, data, point)

    for name, value in point.items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
        assert not np.shares_memory(slopes[name], value), name
