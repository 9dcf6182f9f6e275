"""Where a hand-written density differs from the oracle, by the oracle's own tolerances."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.agreement import compare_gradient, compare_logp
from firstgrad.measuring.worker import nearby_points
from firstgrad.points import flatten, unflatten
from firstgrad.pose.oracle import allowed_rounding, value_and_gradient
from firstgrad.pose.spec import Formulation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from firstgrad.pose.data import PoseData
    from firstgrad.pose.spec import PoseSpec
    from firstgrad.record import Mismatch


def flat_points(spec: PoseSpec, data: PoseData) -> list[NDArray[np.float64]]:
    """Give the start point and those near it, as flat vectors; the spec is ``vectorised``."""
    start = {name: np.asarray(value) for name, value in data.initial.items()}
    return [flatten(point, spec) for point in (start, *nearby_points(start))]


def mismatches(
    spec: PoseSpec,
    data: PoseData,
    call: Callable[[NDArray[np.float64]], tuple[Any, Any]],
    points: Sequence[NDArray[np.float64]],
) -> list[Mismatch]:
    """Compare a function's log-density and gradient with the oracle's at each point.

    Returns
    -------
    list of Mismatch
        Empty where they agree everywhere.
    """
    spec = replace(spec, formulation=Formulation.VECTORISED)
    found: list[Mismatch] = []
    for point in points:
        expected, slopes = value_and_gradient(spec, data, unflatten(point, spec))
        logp, slope = call(point)
        found += compare_logp(expected, float(logp))
        got = unflatten(np.asarray(slope, dtype=np.float64), spec)
        found += compare_gradient(spec, slopes, got, rounding=allowed_rounding(spec, expected))
    return found
