"""The forward algorithm against its definition, and its posterior against differentiation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from firstgrad.pose.densities import brute_force_log_marginal, log_marginal, posterior

STEP = 1e-30


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
    by_init, by_trans, by_emission = (
        _complex_step(brute_force_log_marginal, given_weights, which) for which in range(3)
    )

    assert found.log_marginal == pytest.approx(log_marginal(*given_weights), rel=1e-14, abs=1e-14)
    np.testing.assert_allclose(found.gamma, by_emission, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.gamma[0], by_init, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.xi, by_trans, rtol=1e-10, atol=1e-12)


@given(weights())
@settings(max_examples=20, deadline=None)
def test_log_marginal_takes_complex_steps(given_weights):
    by_emission = _complex_step(log_marginal, given_weights, 2)

    np.testing.assert_allclose(by_emission, posterior(*given_weights).gamma, rtol=1e-10, atol=1e-12)


def test_brute_force_knows_a_hand_sum():
    init, trans = np.array([0.25, 0.75]), np.array([[0.9, 0.1], [0.4, 0.6]])
    seen = np.array([[0.5, 0.2], [0.3, 0.7]])
    by_hand = 0.25 * 0.5 * 0.9 * 0.3 + 0.25 * 0.5 * 0.1 * 0.7 + 0.75 * 0.2 * 0.4 * 0.3 + 0.75 * 0.2 * 0.6 * 0.7

    assert brute_force_log_marginal(np.log(init), np.log(trans), np.log(seen)) == pytest.approx(
        math.log(by_hand), rel=1e-14
    )


def test_one_state_is_a_plain_sum():
    emissions = np.arange(6.0)[:, None]

    assert log_marginal(np.array([0.5]), np.array([[0.25]]), emissions) == 0.5 + 5 * 0.25 + 15


def test_one_timestep_needs_no_transition():
    nonsense = np.full((2, 2), np.nan)

    found = log_marginal(np.log([0.5, 0.5]), nonsense, np.log([[0.2, 0.6]]))

    assert found == pytest.approx(math.log(0.4), rel=1e-15)


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
