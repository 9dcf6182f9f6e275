from __future__ import annotations

import numpy as np
import pytest

from firstgrad.measuring.worker import MIN_CALLS, N_POINTS, WARM_UP_CALLS, nearby_points, time_calls
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


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 8, 20])
@pytest.mark.parametrize("n_points", [2, 4, 5, N_POINTS])
def test_no_two_calls_in_a_row_have_the_same_input(count, n_points):
    _, function = run([0.0] * 100, count=count, points=POINTS[:n_points])
    assert all(one != other for one, other in zip(function.inputs, function.inputs[1:], strict=False))
    assert len(set(function.inputs)) == min(n_points, min(count, WARM_UP_CALLS) + count)


WARM_UP, TIMED = [64.0] * WARM_UP_CALLS, (0.5, 0.25, 8.0, 0.125, 1.0, 2.0, 4.0)
CALLS = {
    "each has its own seconds and the warm-up none": ([*WARM_UP, *TIMED], 7, 1e9, TIMED),
    "no more is warmed up than is timed": ([1.0, 1.0, 2.0, 2.0], 2, None, (2.0, 2.0)),
    "none are wanted": ([], 0, None, ()),
    # The warm-up is part of the budget: 5 s of it, then one second each until 10 s are over.
    "the budget ends it early": ([1.0] * 100, 50, 10.0, (1.0,) * 6),
    "but never below the least number": ([100.0] * 100, 50, 1.0, (100.0,) * MIN_CALLS),
    "or what is wanted": ([100.0] * 100, 2, 1.0, (100.0,) * 2),
}


@pytest.mark.parametrize(("seconds", "count", "budget", "timed"), CALLS.values(), ids=CALLS)
def test_calls_are_timed_one_by_one(seconds, count, budget, timed):
    found, function = run(seconds, count=count, **{} if budget is None else {"budget_seconds": budget})
    assert found == timed
    assert len(function.inputs) == min(WARM_UP_CALLS, count) + len(timed)


def test_nearby_points_are_near_and_all_different():
    point = {"big": np.full(50, 1e6), "small": np.zeros((4, 3)), "scalar": np.array(2.0)}
    near = nearby_points(point)
    assert len(near) == N_POINTS
    for each in near:
        assert {name: np.shape(value) for name, value in each.items()} == {"big": (50,), "small": (4, 3), "scalar": ()}
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
