"""The HMM's share of `benchmarks.limit.loops`."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from firstgrad.pose.data import UNIT_EPSILON

LOG_2PI = math.log(2 * math.pi)
LOG_HALF_NORMAL = 0.5 * math.log(2 / math.pi)
LARGE = 1e200
"""Of a product that stands for a sum of logarithms: before it overflows, its logarithm is taken."""

compiled = numba.njit(error_model="numpy")


@compiled
def hidden(  # noqa: C901, PLR0912, PLR0915 - loops are branches to it; calls would be compiled one by one
    v: Any,
    g: Any,
    steps: Any,
    joints: Any,
    n_states: Any,
    direction: Any,
    by_direction: Any,
    kappa_sigma: Any,
    logits_sigma: Any,
) -> Any:
    """Write the slopes of the HMM's groups and of the directions; forward and backward, scaled (Rabiner 1989, V.A)."""
    bones = joints - 1
    at_mu = 3 + 2 * bones + 3 * steps + 4 * bones * steps
    at_kappa = at_mu + 3 * n_states * joints
    at_init = at_kappa + n_states * joints
    at_trans = at_init + n_states
    total = n_states * joints * (LOG_HALF_NORMAL - math.log(kappa_sigma) - 1.5 * LOG_2PI)
    total -= n_states * (n_states + 1) * (math.log(logits_sigma) + 0.5 * LOG_2PI)
    norm, weight, met = np.empty((n_states, bones)), np.empty((n_states, bones, 3)), np.zeros((n_states, bones, 3))
    for place in range(at_mu, at_kappa):
        total -= 0.5 * v[place] * v[place]
        g[place] = -v[place]
    for place in range(at_kappa, at_init):
        kappa = math.exp(v[place])
        total += v[place] - 0.5 * (kappa / kappa_sigma) ** 2
        g[place] = 1 - (kappa / kappa_sigma) ** 2
    for place in range(at_init, at_trans + n_states * n_states):
        total -= 0.5 * (v[place] / logits_sigma) ** 2
        g[place] = -v[place] / logits_sigma**2
    for state in range(n_states):
        for bone in range(bones):
            kappa, place = math.exp(v[at_kappa + state * joints + bone + 1]), at_mu + 3 * (state * joints + bone + 1)
            length = math.sqrt(v[place] ** 2 + v[place + 1] ** 2 + v[place + 2] ** 2 + UNIT_EPSILON)
            norm[state, bone] = length
            for axis in range(3):
                weight[state, bone, axis] = kappa * v[place + axis] / length
    trans = np.empty((n_states + 1, n_states))  # the last row is how it begins
    for row in range(n_states + 1):
        begin = at_init if row == n_states else at_trans + row * n_states
        highest, mass = v[begin : begin + n_states].max(), 0.0
        for state in range(n_states):
            trans[row, state] = math.exp(v[begin + state] - highest)
            mass += trans[row, state]
        for state in range(n_states):
            trans[row, state] /= mass

    emission, alpha, scale = np.empty((steps, n_states)), np.empty((steps, n_states)), np.empty(steps)
    product = 1.0
    for step in range(steps):
        highest = -np.inf
        for state in range(n_states):
            size = 0.0
            for bone in range(bones):
                for axis in range(3):
                    size += weight[state, bone, axis] * direction[step, bone, axis]
            emission[step, state] = size
            highest = max(highest, size)
        mass = 0.0
        for state in range(n_states):
            emission[step, state] = math.exp(emission[step, state] - highest)
            reached = trans[n_states, state]
            if step > 0:
                reached = 0.0
                for before in range(n_states):
                    reached += alpha[step - 1, before] * trans[before, state]
            alpha[step, state] = reached * emission[step, state]
            mass += alpha[step, state]
        scale[step] = mass
        for state in range(n_states):
            alpha[step, state] /= mass
        product *= mass
        total += highest
        if product < 1 / LARGE or step == steps - 1:
            total += math.log(product)
            product = 1.0

    beta, ahead, counts = np.ones(n_states), np.empty(n_states), np.zeros((n_states, n_states))
    for step in range(steps - 1, -1, -1):
        for state in range(n_states):
            share = alpha[step, state] * beta[state]
            for bone in range(bones):
                for axis in range(3):
                    by_direction[step, bone, axis] += share * weight[state, bone, axis]
                    met[state, bone, axis] += share * direction[step, bone, axis]
            if step == 0:
                g[at_init + state] += share - trans[n_states, state]
        if step > 0:
            for state in range(n_states):
                ahead[state] = emission[step, state] * beta[state] / scale[step]
            for before in range(n_states):
                beta[before] = 0.0
                for state in range(n_states):
                    through = trans[before, state] * ahead[state]
                    beta[before] += through
                    counts[before, state] += alpha[step - 1, before] * through
    for state in range(n_states):
        leaving = counts[state].sum()
        for after in range(n_states):
            g[at_trans + state * n_states + after] += counts[state, after] - trans[state, after] * leaving
        for bone in range(bones):
            kappa, place = math.exp(v[at_kappa + state * joints + bone + 1]), at_mu + 3 * (state * joints + bone + 1)
            along = 0.0
            for axis in range(3):
                along += met[state, bone, axis] * weight[state, bone, axis]
            g[at_kappa + state * joints + bone + 1] += along
            for axis in range(3):
                unit = v[place + axis] / norm[state, bone]
                g[place + axis] += (kappa * met[state, bone, axis] - unit * along) / norm[state, bone]
    return total
