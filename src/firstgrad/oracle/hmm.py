"""The marginal likelihood of a hidden Markov model: by forward algorithm, by brute force, and its gradient.

Weights are logarithms and need not be normalised. A weight of ``-inf`` forbids a start or a step.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstgrad.oracle.densities import Numbers, logsumexp


def log_marginal(log_init: Numbers, log_trans: Numbers, emissions: Numbers) -> np.inexact[Any]:
    """Sum the hidden states out by the forward algorithm in log space.

    Parameters
    ----------
    log_init : array, shape (S,)
        Log-weight of starting in each state.
    log_trans : array, shape (S, S)
        Log-weight of going from the row's state to the column's.
    emissions : array, shape (T, S)
        Log-weight of what was seen at each time in each state.

    Returns
    -------
    float64 or complex128
        Complex where an argument is, so that it can be differentiated by a complex step.
    """
    return _scalar(logsumexp(_forward(log_init, log_trans, emissions)[-1], axis=0))


def brute_force_log_marginal(log_init: Numbers, log_trans: Numbers, emissions: Numbers) -> np.inexact[Any]:
    """Sum over all S ** T paths, one by one: the definition, for small S and T.

    Returns
    -------
    float64 or complex128
        What `log_marginal` gives, up to rounding.
    """
    steps, n_states = emissions.shape
    paths = []
    for path in itertools.product(range(n_states), repeat=steps):
        weight = log_init[path[0]] + sum(emissions[time, state] for time, state in enumerate(path))
        paths.append(weight + sum(log_trans[here, there] for here, there in itertools.pairwise(path)))
    return _scalar(logsumexp(np.array(paths), axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """The gradient of `log_marginal`.

    Attributes
    ----------
    log_marginal : float
        The marginal itself.
    gamma : array, shape (T, S)
        Probability of each state at each time: the derivative by the emissions; its first row is that by
        the initial log-weights.
    xi : array, shape (S, S)
        Expected number of steps between each two states: the derivative by the transition log-weights.
    """

    log_marginal: float
    gamma: NDArray[np.float64]
    xi: NDArray[np.float64]


def posterior(
    log_init: NDArray[np.float64], log_trans: NDArray[np.float64], emissions: NDArray[np.float64]
) -> Posterior:
    """Run the forward and backward algorithms.

    Parameters
    ----------
    log_init, log_trans, emissions : array
        As in `log_marginal`, real, with at least one path allowed.

    Returns
    -------
    Posterior
    """
    alpha = _forward(log_init, log_trans, emissions)
    beta = np.zeros_like(alpha)
    for time in range(len(emissions) - 1, 0, -1):
        beta[time - 1] = logsumexp(log_trans + (emissions[time] + beta[time]), axis=1)
    total = float(logsumexp(alpha[-1], axis=0))
    ahead = (emissions + beta)[1:]
    steps = alpha[:-1, :, None] + log_trans + ahead[:, None, :] - total
    return Posterior(total, gamma=np.exp(alpha + beta - total), xi=np.exp(steps).sum(axis=0))


def _scalar(total: Numbers) -> np.inexact[Any]:
    number: np.inexact[Any] = total.dtype.type(total)
    return number


def _forward(log_init: Numbers, log_trans: Numbers, emissions: Numbers) -> Numbers:
    alpha = np.empty(emissions.shape, dtype=np.result_type(log_init, log_trans, emissions))
    alpha[0] = log_init + emissions[0]
    for time in range(1, len(emissions)):
        alpha[time] = logsumexp(alpha[time - 1][:, None] + log_trans, axis=0) + emissions[time]
    return alpha
