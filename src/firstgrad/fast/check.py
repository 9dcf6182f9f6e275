"""``firstgrad.check_gradient``: a fast gradient against PyTensor's own, without a compiler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.linting.values import Density

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firstgrad.fast.function import FastGradient

_RELATIVE = 1e-7  # PyTensor keeps Python's short numbers in single precision, and may compute constants of them there
_STEP = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientCheck:
    """How a fast gradient compares with PyTensor's."""

    points: int  # at how many points
    logp_difference: float
    """Largest difference of the log-densities, by the larger of their size and 1; 0 of a gradient without one."""
    gradient_difference: float
    """Largest difference of the gradients' entries, by the larger of the gradient's largest entry and 1."""
    worst: str  # value in which that is
    allowed: float = _RELATIVE  # largest difference that rounding may explain

    @property
    def agrees(self) -> bool:
        """Whether both differences are within what is allowed; NaN is not."""
        return self.logp_difference <= self.allowed and self.gradient_difference <= self.allowed


def check_gradient(
    gradient: FastGradient, *, initial_point: Mapping[str, Any] | None = None, points: int = 2, seed: int = 0
) -> GradientCheck:
    """Compare a fast gradient with the one that PyTensor derives, evaluated in Python: seconds, and no compiler.

    Parameters
    ----------
    gradient : FastGradient
        Made by `firstgrad.fast_gradient`.
    initial_point : mapping, optional
        Value name to array; the model's own where left out.
    points : int
        At how many points: the initial one, and others beside it.
    seed : int
        Of those.
    """
    point = initial_point if initial_point is not None else gradient.model.initial_point()
    reference = Density(gradient.model).gradient
    held = {name: np.asarray(point[name]) for name in gradient.get_extra_values()}
    rng = np.random.default_rng(seed)
    start = gradient.flatten(point)
    logp_difference, gradient_difference, worst = 0.0, 0.0, gradient.names[0]
    before = gradient.get_extra_values()
    try:
        for number in range(points):
            vector = start if number == 0 else start + _STEP * rng.standard_normal(start.size)
            logp, flat = gradient(vector, extra_vars=held)
            expected_logp, expected = reference(gradient.unflatten(vector) | held)
            if gradient.with_logp:
                logp_difference = _larger(logp_difference, abs(logp - expected_logp) / max(abs(expected_logp), 1.0))
            parts = gradient.unflatten((flat - expected) / max(float(np.abs(expected).max()), 1.0))
            for name, part in parts.items():
                difference = float(np.abs(part).max(initial=0.0))
                if not difference <= gradient_difference:
                    gradient_difference, worst = _larger(gradient_difference, difference), name
    finally:
        gradient.set_extra_values(before)
    return GradientCheck(
        points=points, logp_difference=logp_difference, gradient_difference=gradient_difference, worst=worst
    )


def _larger(one: float, other: float) -> float:
    """Take the larger; NaN is the largest."""
    return float(np.maximum(one, other))
