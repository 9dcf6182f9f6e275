"""What growth laws are fitted to, as arrays: many metrics that were measured at the same sizes and hosts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEAST = 1e-300
"""Instead of a zero that would be divided by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Observations of m metrics that were measured at the same n sizes and hosts, as arrays.

    Attributes
    ----------
    steps : array of float, n
        Logarithm of each size by the smallest.
    span : float
        The largest of them.
    logs : array of float, m by n
        Logarithms of the values.
    is_censored : array of bool, n
        Whether the true value lies above.
    members : array of float, n by hosts
        1 where the observation is of that host.
    """

    steps: Floats
    span: float
    logs: Floats
    is_censored: NDArray[np.bool_]
    members: Floats

    @property
    def has_censored(self) -> bool:
        """Whether any observation is."""
        return bool(self.is_censored.any())

    def seen(self) -> Problem:
        """Leave out the censored observations; the span stays."""
        which = ~self.is_censored
        return replace(
            self,
            steps=self.steps[which],
            logs=self.logs[:, which],
            is_censored=self.is_censored[which],
            members=self.members[which],
        )

    def picked(self, metrics: NDArray[np.int64]) -> Problem:
        """Take some of the metrics."""
        return replace(self, logs=self.logs[metrics])


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What the fits take for granted: robust weights (m by n), and the logarithms' standard deviations (m).

    The deviations matter only where there are censored observations.
    """

    weights: Floats
    sigmas: Floats

    def picked(self, metrics: NDArray[np.int64]) -> Noise:
        """Take some of the metrics."""
        return Noise(weights=self.weights[metrics], sigmas=self.sigmas[metrics])


def condense(problem: Problem, noise: Noise) -> tuple[Problem, Noise, Floats]:
    """Put each size's samples on a host together: their weighted mean tells a fit as much as they do.

    Returns
    -------
    Problem, Noise
        With one observation a size and host; as they are where something is censored.
    within : array of float, m
        What the deviances of the condensed fit lack: the scatter around the means.
    """
    nothing = np.zeros(len(problem.logs))
    if problem.has_censored:
        return problem, noise, nothing
    keys = np.column_stack([problem.steps, problem.members])
    cells, of_sample = np.unique(keys, axis=0, return_inverse=True)
    if len(cells) == len(keys):
        return problem, noise, nothing
    is_in = (of_sample.ravel()[:, None] == np.arange(len(cells))).astype(float)
    weights = noise.weights @ is_in
    means = (noise.weights * problem.logs) @ is_in / np.maximum(weights, LEAST)
    off = problem.logs - means @ is_in.T
    condensed = replace(
        problem,
        steps=cells[:, 0],
        members=cells[:, 1:],
        logs=means,
        is_censored=np.zeros(len(cells), dtype=bool),
    )
    return condensed, replace(noise, weights=weights), np.einsum("kn,kn->k", noise.weights * off, off)
