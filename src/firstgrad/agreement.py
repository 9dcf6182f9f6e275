"""Where a measured function differs from the oracle, and which gradient values aren't finite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from firstgrad.points import groups_of
from firstgrad.record import GroupFiniteness, Mismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from firstgrad.points import Group, Grouped, Point

# All are for float64; float32 rounds at 6e-8. Measured against PyMC 6.4, at start points and with noise of up
# to 0.15 on every value, T=100 and K=5 without an HMM, T=40 and K=5 with one: log-densities differ by 6e-16
# relative, gradient values by 1.7e-10 relative to themselves, by 5e-13 relative to the group's largest.
LOGP_RTOL = 1e-9
"""Allowed difference of the log-density, relative to max(|expected|, 1).

Its terms are sums of hundreds of numbers of order one, so near zero there is nothing to be relative to.
"""

GRADIENT_RTOL = 1e-8
"""Allowed difference of a gradient value, relative to its scale: see `compare_gradient`."""

GROUP_SHARE = 1e-2
"""Smallest scale of a gradient value, relative to the largest value of its group.

A value is a sum over points or timesteps of terms about as large as its group's largest value; where they
cancel, their rounding stays. With this share it may be 1e-10 of the largest, 200 times what was measured.
"""

ABSOLUTE_SCALE = 1e-2
"""Smallest scale of a gradient value at all.

A group of one value has no other to lean on, and near a mode its gradient is zero but for rounding. The
terms are of order one (nats per unit), so 1e-10 is rounding and nothing else.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalDerivative:
    """One operation of a graph with its derivative, apart from the graph it stands in."""

    operation: str
    line: str  # the user's
    inputs: tuple[Group, ...]  # those by which it has a derivative
    variables: tuple[tuple[str, ...], ...]  # of each of these, what it is computed from
    point: Point  # what goes into it
    gradient: NDArray[np.float64]  # of its results, weighed at random
    value: Callable[[Point], float]  # of the same


def compare_logp(expected: float, got: float, rtol: float = LOGP_RTOL) -> tuple[Mismatch, ...]:
    """Compare two log-densities, by a difference relative to max(|expected|, 1); empty where they agree.

    NaN agrees with NaN only, an infinity with itself only.
    """
    excess = _excess(np.asarray(expected), np.asarray(got), np.maximum(np.abs(expected), 1.0), rtol)
    if excess <= 1:
        return ()
    return (Mismatch(group="logp", index=(), expected=float(expected), got=float(got)),)


def compare_gradient(
    model: Grouped | Sequence[Group],
    expected: Mapping[str, NDArray[np.float64]],
    got: Mapping[str, NDArray[np.float64]],
    rtol: float = GRADIENT_RTOL,
    rounding: float = 0.0,
) -> tuple[Mismatch, ...]:
    """Compare two gradients by value name, group by group; `rounding` is an absolute difference that is allowed, too.

    A value's scale is the largest of its own size, `GROUP_SHARE` of the group's largest and `ABSOLUTE_SCALE`; with an
    HMM, rounding of the recursion is allowed beside it (`allowed_rounding`). Returns, in model order, the worst value
    of each group that differs, and how many of its values differ; NaN agrees with NaN only, an infinity with itself
    only. Raises ValueError where a gradient lacks a group or has it in a wrong shape.
    """
    found = []
    for group in groups_of(model):
        wanted, given = _value(expected, group), _value(got, group)
        finite = np.abs(wanted[np.isfinite(wanted)])
        floor = max(GROUP_SHARE * float(finite.max(initial=0.0)), ABSOLUTE_SCALE, rounding / rtol)
        excess = _excess(wanted, given, np.maximum(np.abs(wanted), floor), rtol)
        n_different = int(np.count_nonzero(excess > 1))
        if n_different:
            worst = np.unravel_index(int(np.argmax(excess)), group.shape)
            index = tuple(int(place) for place in worst)
            found.append(
                Mismatch(
                    group=group.name,
                    index=index,
                    expected=float(wanted[index]),
                    got=float(given[index]),
                    n_different=n_different,
                )
            )
    return tuple(found)


def finiteness(
    model: Grouped | Sequence[Group], gradient: Mapping[str, NDArray[np.float64]]
) -> tuple[GroupFiniteness, ...]:
    """Count the NaN and infinite values of each group of a gradient, given by value name, in model order.

    Raises ValueError where the gradient lacks a group or has it in a wrong shape.
    """
    counts = []
    for group in groups_of(model):
        value = _value(gradient, group)
        n_nan, n_infinite = int(np.isnan(value).sum()), int(np.isinf(value).sum())
        counts.append(GroupFiniteness(group=group.name, values=value.size, nan=n_nan, infinite=n_infinite))
    return tuple(counts)


def _value(gradient: Mapping[str, NDArray[np.float64]], group: Group) -> NDArray[np.float64]:
    if group.value_name not in gradient:
        raise ValueError(f"the gradient has no {group.value_name!r}; it has {', '.join(sorted(gradient))}")
    value = np.asarray(gradient[group.value_name], dtype=np.float64)
    if value.shape != group.shape:
        raise ValueError(f"{group.value_name!r}: expected shape {group.shape}, got {value.shape}")
    return value


def _excess(
    expected: NDArray[np.float64], got: NDArray[np.float64], scale: NDArray[np.float64], rtol: float
) -> NDArray[np.float64]:
    """Give the difference over the allowed one: above 1 differs; infinite where only one is finite."""
    same = (expected == got) | (np.isnan(expected) & np.isnan(got))
    with np.errstate(invalid="ignore", over="ignore"):
        ratio = np.abs(got - expected) / (rtol * scale)
    not_finite = ~(np.isfinite(expected) & np.isfinite(got))
    return np.where(same, 0.0, np.where(not_finite, np.inf, ratio))
