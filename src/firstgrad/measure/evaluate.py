"""Steady-state evaluation: warmed up, many calls, each timed, at points that change from call to call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.backends.base import Answer
    from firstgrad.points import Point

N_POINTS = 8
WARM_UP_CALLS = 5
MIN_CALLS = 3
TIME_BUDGET_SECONDS = 30.0
"""No more calls are begun after this, so that a slow model does not take an hour; a doubt is noted."""


def nearby_points(point: Point, *, count: int = N_POINTS, scale: float = 1e-3, seed: int = 1) -> list[Point]:
    """Draw points near a point.

    Parameters
    ----------
    point : Point
        The middle. Values of an integer or boolean type stay as they are: discrete variables have no point nearby.
    count : int
        How many.
    scale : float
        Standard deviation of the difference, relative to 1 + the value's size.
    seed : int
        Of the random numbers.

    Returns
    -------
    list of Point
    """
    rng = np.random.default_rng(seed)
    return [
        {
            name: value + scale * (1 + np.abs(value)) * rng.standard_normal(np.shape(value))
            if np.asarray(value).dtype.kind not in "biu"
            else value
            for name, value in point.items()
        }
        for _ in range(count)
    ]


def time_calls(
    call: Callable[[Point], Answer],
    points: list[Point],
    *,
    count: int,
    clock: Callable[[], float] = time.perf_counter,
    budget_seconds: float = TIME_BUDGET_SECONDS,
) -> tuple[float, ...]:
    """Time many calls one by one.

    Parameters
    ----------
    call : callable
        Returns only when its result is there.
    points : list of Point
        Taken in turn, so that no two calls in a row have the same input.
    count : int
        How many calls are wanted.
    clock : callable
        In seconds.
    budget_seconds : float
        Stop early after so long, but not before `MIN_CALLS`.

    Returns
    -------
    tuple of float
        Seconds of each call, without the warm-up.
    """
    if count == 0:
        return ()
    began = clock()
    warm_up = min(WARM_UP_CALLS, count)
    for number in range(warm_up):
        call(points[number % len(points)])
    seconds: list[float] = []
    for number in range(count):
        if number >= MIN_CALLS and clock() - began > budget_seconds:
            break
        point = points[(warm_up + number) % len(points)]
        start = clock()
        call(point)
        seconds.append(clock() - start)
    return tuple(seconds)
