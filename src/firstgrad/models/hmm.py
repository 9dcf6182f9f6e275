"""Three ways to sum out the hidden states; all give the same number."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytensor
import pytensor.tensor as pt

from firstgrad.spec import HmmAlgorithm

if TYPE_CHECKING:
    from firstgrad.spec import HmmSpec


def log_marginal(emissions: Any, log_init: Any, log_trans: Any, hmm: HmmSpec, n_timesteps: int) -> Any:
    """Log-probability of all observations, hidden states summed out.

    Parameters
    ----------
    emissions : tensor, shape (T, S)
        Log-density of each timestep in each state.
    log_init, log_trans : tensor, shapes (S,) and (S, S)
        Log-probabilities of the first state, and of going from a row's state to a column's.
    hmm : HmmSpec
        Number of states and algorithm.
    n_timesteps : int
        T.

    Returns
    -------
    scalar tensor

    Notes
    -----
    The forward algorithm in log space (Rabiner 1989, A tutorial on hidden Markov models).
    """
    if hmm.n_states == 1:
        # One state: nothing to sum out. Its log-probabilities are zero, kept so that all groups take part.
        return pt.sum(emissions) + log_init[0] + (n_timesteps - 1) * log_trans[0, 0]
    first = log_init + emissions[0]
    if n_timesteps == 1:
        return _logsumexp(first, axis=0) + 0.0 * pt.sum(log_trans)
    match hmm.algorithm:
        case HmmAlgorithm.SCAN:
            last = _scan(first, emissions, log_trans)
        case HmmAlgorithm.UNROLLED:
            last = first
            for step in range(1, n_timesteps):
                last = _forward(emissions[step], last, log_trans)
        case HmmAlgorithm.TREE:
            product = _tree(log_trans[None, :, :] + emissions[1:, None, :], n_timesteps - 1)
            last = _logsumexp(first[:, None] + product, axis=0)
    return _logsumexp(last, axis=0)


def _forward(emission: Any, alpha: Any, log_trans: Any) -> Any:
    return emission + _logsumexp(alpha[:, None] + log_trans, axis=0)


def _scan(first: Any, emissions: Any, log_trans: Any) -> Any:
    options: dict[str, Any] = {}
    # Newer PyTensor returns the outputs alone; older ones also a dictionary of updates.
    alone = "return_updates" in inspect.signature(pytensor.scan).parameters
    if alone:
        options["return_updates"] = False
    result = pytensor.scan(
        _forward, sequences=[emissions[1:]], outputs_info=[first], non_sequences=[log_trans], **options
    )
    alphas = result if alone else result[0]
    return alphas[-1]


def _tree(matrices: Any, count: int) -> Any:
    """Product of `count` S x S matrices in the log semiring, halving each round: depth log2 of `count`."""
    while count > 1:
        pairs = count // 2
        left, right = matrices[0 : 2 * pairs : 2], matrices[1 : 2 * pairs : 2]
        product = _logsumexp(left[:, :, :, None] + right[:, None, :, :], axis=2)
        if count % 2:
            product = pt.concatenate([product, matrices[2 * pairs :]], axis=0)
        matrices, count = product, pairs + count % 2
    return matrices[0]


def _logsumexp(values: Any, axis: int) -> Any:
    return pt.logsumexp(values, axis=axis)
