from __future__ import annotations

import numpy as np
import pytest

from firstgrad.measure.worker import MIN_CALLS, N_POINTS, WARM_UP_CALLS, nearby_points, time_calls
from helpers import FakeClock

POINTS = [{"x": np.array([float(number)])} for number in range(N_POINTS)]


class Function:
    """A function that takes as long as it is told, and remembers its inputs."""

    def __init__(self, clock, seconds):
        self._clock, self._seconds = clock, iter(seconds)
        self.inputs = []

    def __call__(self, point):
        self.inputs.append(id(point))
        self._clock.tick(next(self._seconds))


def run(seconds, *, count, points=POINTS, **options):
    clock = FakeClock(0.0)  # small numbers: their differences are exact
    function = Function(clock, seconds)
    return time_calls(function, points, count=count, clock=clock, **options), function


def test_each_call_gets_its_own_seconds_and_the_warm_up_none():
    warm_up = [64.0] * WARM_UP_CALLS
    timed = [0.5, 0.25, 8.0, 0.125, 1.0, 2.0, 4.0]
    seconds, function = run([*warm_up, *timed], count=7, budget_seconds=1e9)
    assert seconds == tuple(timed)
    assert len(function.inputs) == WARM_UP_CALLS + 7


def test_no_more_is_warmed_up_than_is_timed():
    seconds, function = run([1.0, 1.0, 2.0, 2.0], count=2)
    assert seconds == (2.0, 2.0)
    assert len(function.inputs) == 4


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 8, 20])
@pytest.mark.parametrize("n_points", [2, 4, 5, N_POINTS])
def test_no_two_calls_in_a_row_have_the_same_input(count, n_points):
    _, function = run([0.0] * 100, count=count, points=POINTS[:n_points])
    assert all(one != other for one, other in zip(function.inputs, function.inputs[1:], strict=False))
    assert len(set(function.inputs)) == min(n_points, min(count, WARM_UP_CALLS) + count)


def test_no_calls_are_made_where_none_are_wanted():
    assert run([], count=0)[0] == ()


def test_the_budget_ends_it_early():
    # The warm-up is part of the budget: 5 s of it, then one second each until 10 s are over.
    seconds, _ = run([1.0] * 100, count=50, budget_seconds=10.0)
    assert seconds == (1.0,) * 6


def test_the_budget_never_leaves_fewer_than_the_least_number_of_calls():
    seconds, _ = run([100.0] * 100, count=50, budget_seconds=1.0)
    assert seconds == (100.0,) * MIN_CALLS
    assert run([100.0] * 100, count=2, budget_seconds=1.0)[0] == (100.0,) * 2


def test_nearby_points_are_near_and_all_different():
    point = {"big": np.full(50, 1e6), "small": np.zeros((4, 3)), "scalar": np.array(2.0)}
    near = nearby_points(point)
    assert len(near) == N_POINTS
    for each in near:
        assert {name: np.shape(value) for name, value in each.items()} == {
            "big": (50,),
            "small": (4, 3),
            "scalar": (),
        }
        for name, value in point.items():
            distance = np.abs(each[name] - value) / (1 + np.abs(value))
            assert np.all(distance > 0)
            assert np.all(distance < 0.01)
    assert len({float(each["scalar"]) for each in near}) == N_POINTS


def test_nearby_points_are_the_same_for_the_same_seed():
    point = {"x": np.arange(3.0)}
    one, same, other = (nearby_points(point, count=2, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(left["x"], right["x"]) for left, right in zip(one, same, strict=True))
    assert not np.array_equal(one[0]["x"], other[0]["x"])


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint8, bool])
def test_discrete_values_stay_where_they_are(kind):
    point = {"k": np.array([1, 0, 1], dtype=kind), "x": np.zeros(2)}
    for each in nearby_points(point, count=3):
        assert each["k"].dtype == kind
        assert np.array_equal(each["k"], point["k"])
        assert np.all(each["x"] != 0)
