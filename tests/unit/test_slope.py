"""Finite differences along one direction: a right gradient passes, a wrong one doesn't, and noise isn't judged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.measure.slope import SLOW_SECONDS, check_slope
from firstgrad.points import Group
from helpers import FakeClock

GROUPS = (Group("a", (), value_name="a_log__"), Group("b", (2, 3)), Group("c", (40,)))


def make_point(seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    return {each.value_name: scale * rng.normal(size=each.shape) for each in GROUPS}


def flat(point):
    return np.concatenate([np.ravel(point[each.value_name]) for each in GROUPS])


def logp(point):
    """Neither quadratic nor separable."""
    x = flat(point)
    return float(np.sin(x).sum() - (x**4).sum() / 10 + x[0] * x[3])


def gradient_of(point):
    x = flat(point)
    gradient = np.cos(x) - 4 * x**3 / 10
    gradient[0] += x[3]
    gradient[3] += x[0]
    return gradient


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.0, 0.1, 1.0, 3.0]), level=st.sampled_from([0, 1e3, -1e8]))
def test_a_right_gradient_agrees_wherever_it_is_taken(seed, scale, level):
    point = make_point(seed, scale)
    slope = check_slope(point, GROUPS, gradient_of(point), lambda at: logp(at) + level, seed=seed)
    assert not slope.skipped
    assert not slope.differs


@pytest.mark.parametrize("place", [0, 1, 6, 7, 46])
def test_one_wrong_value_is_found_whichever_group_it_is_in(place):
    point = make_point()
    gradient = gradient_of(point)
    gradient[place] += 0.01
    assert check_slope(point, GROUPS, gradient, logp).differs


@pytest.mark.parametrize("change", [lambda g: -g, lambda g: 1.5 * g, np.zeros_like, lambda g: g[::-1].copy()])
def test_a_wrong_sign_factor_order_or_nothing_at_all_is_found(change):
    point = make_point()
    assert check_slope(point, GROUPS, change(gradient_of(point)), logp).differs


def test_what_is_no_group_is_held():
    point = make_point() | {"k": np.array(3)}

    def with_discrete(at):
        assert at["k"] == 3
        assert at["k"].dtype == point["k"].dtype
        return logp(at)

    assert not check_slope(point, GROUPS, gradient_of(point), with_discrete).differs


def test_the_point_itself_stays_as_it_is():
    point = make_point()
    before = {name: value.copy() for name, value in point.items()}
    check_slope(point, GROUPS, gradient_of(point), logp)
    assert all(np.array_equal(point[name], before[name]) for name in point)


def test_a_log_density_that_differs_from_call_to_call_is_not_judged():
    rng = np.random.default_rng(0)
    slope = check_slope(make_point(), GROUPS, np.zeros(47), lambda _: float(rng.normal()))
    assert "differs from call to call" in slope.skipped
    assert not slope.differs


def test_what_is_not_finite_is_not_judged():
    point = make_point()
    assert check_slope(point, GROUPS, np.full(47, np.nan), logp).skipped == "the gradient isn't finite"
    assert check_slope(point, GROUPS, np.zeros(47), lambda _: -np.inf).skipped == "the log-density isn't finite"
    edge = check_slope(point, GROUPS, np.zeros(47), lambda at: 0.0 if at["a_log__"] == point["a_log__"] else -np.inf)
    assert edge.skipped == "the log-density isn't finite nearby"


def test_a_slow_log_density_is_evaluated_once_only():
    clock, calls = FakeClock(), []

    def slow(_):
        calls.append(1)
        clock.tick(SLOW_SECONDS * 1.01)
        return 1.0

    assert "takes seconds" in check_slope(make_point(), GROUPS, np.zeros(47), slow, clock=clock).skipped
    assert len(calls) == 1


@pytest.mark.parametrize("noise", [1e-8, 1e-7])
def test_noise_beyond_what_the_size_tells_is_no_wrong_gradient(noise):
    """As a Cholesky factor of an ill-conditioned matrix has it: the same at each call, another one at each point."""

    def noisy(point):
        ulps = np.random.default_rng(np.abs(flat(point).view(np.int64)))
        return logp(point) + noise * float(ulps.normal())

    differing = [
        seed
        for seed in range(200)
        if check_slope(make_point(seed), GROUPS, gradient_of(make_point(seed)), noisy, seed=seed).differs
    ]
    assert len(differing) <= 1


@pytest.mark.parametrize("scale", [1e-5, 1e-6])
def test_a_wave_shorter_than_the_steps_is_not_judged(scale):
    """As a frequency times a time stamp makes it."""
    for seed in range(20):
        point = make_point(seed)
        gradient = np.cos(flat(point) / scale) / scale
        slope = check_slope(point, GROUPS, gradient, lambda at: float(np.sin(flat(at) / scale).sum()), seed=seed)
        assert not slope.differs
        assert not slope.skipped or "isn't smooth" in slope.skipped


def test_a_wrong_gradient_is_found_in_spite_of_noise():
    def noisy(point):
        return logp(point) + 1e-9 * float(np.random.default_rng(np.abs(flat(point).view(np.int64))).normal())

    for seed in range(20):
        point = make_point(seed)
        assert check_slope(point, GROUPS, gradient_of(point) * 1.5, noisy, seed=seed).differs
