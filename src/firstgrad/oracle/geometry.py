"""From directions and lengths to pixels, keeping what the way back needs; and the way back.

Written apart from `firstgrad.data`, which makes the data: a slip in one of the two shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from firstgrad.data import MIN_DEPTH, UNIT_EPSILON
from firstgrad.oracle.densities import Numbers


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """Vectors brought to length one (nearly: `UNIT_EPSILON` is added under the root).

    Attributes
    ----------
    value : array, shape (..., 3)
        The unit vectors.
    norm : array, shape (..., 1)
        What the raw ones were divided by.
    """

    value: Numbers
    norm: Numbers

    def pull_back(self, by_value: Numbers) -> Numbers:
        """Turn a derivative by the unit vectors into one by the raw ones."""
        along = np.sum(self.value * by_value, axis=-1, keepdims=True)
        by_raw: Numbers = (by_value - self.value * along) / self.norm
        return by_raw


def unit(raw: Numbers) -> Unit:
    """Normalise along the last axis."""
    norm = np.sqrt(np.sum(raw * raw, axis=-1, keepdims=True) + UNIT_EPSILON)
    return Unit(raw / norm, norm)


def follow(x_root: Numbers, offsets: Numbers, parents: Numbers) -> Numbers:
    """Give the joints' positions, shape (T, J, 3), from the bones' offsets, shape (T, K, 3)."""
    positions = np.empty((len(x_root), len(parents), 3), dtype=np.result_type(x_root, offsets))
    positions[:, 0] = x_root
    for joint in range(1, len(parents)):
        positions[:, joint] = positions[:, parents[joint]] + offsets[:, joint - 1]
    return positions


def follow_back(by_position: Numbers, parents: Numbers) -> tuple[Numbers, Numbers]:
    """Turn a derivative by positions into those by the root's position and by the bones' offsets."""
    total = by_position.copy()
    for joint in range(len(parents) - 1, 0, -1):
        total[:, parents[joint]] += total[:, joint]
    return total[:, 0], total[:, 1:]


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Joints as the cameras see them.

    Attributes
    ----------
    pixels : array, shape (C, T, J, 2)
        Where they appear.
    depth : array, shape (C, T, J, 1)
        What was divided by, at least `MIN_DEPTH`.
    is_in_front : array of bool, shape (C, T, J, 1)
        Whether that was the true depth.
    """

    pixels: Numbers
    depth: Numbers
    is_in_front: Numbers

    def pull_back(self, by_pixel: Numbers, cameras: Numbers) -> Numbers:
        """Turn a derivative by pixels into one by positions, shape (T, J, 3)."""
        by_plane = by_pixel / self.depth
        by_depth = -np.sum(by_plane * self.pixels, axis=-1, keepdims=True) * self.is_in_front
        by_seen = np.concatenate([by_plane, by_depth], axis=-1)
        by_position: Numbers = (by_seen @ cameras[:, None, :, :3]).sum(axis=0)
        return by_position


def project(positions: Numbers, cameras: Numbers) -> Projection:
    """Project joints, shape (T, J, 3), by cameras, shape (C, 3, 4)."""
    seen = positions @ cameras[:, None, :, :3].swapaxes(-1, -2) + cameras[:, None, None, :, 3]
    depth = seen[..., 2:]
    is_in_front = depth.real > MIN_DEPTH
    depth = np.where(is_in_front, depth, MIN_DEPTH)
    return Projection(seen[..., :2] / depth, depth, is_in_front)
