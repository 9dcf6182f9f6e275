"""Seeded observations for the pose model, and the form in which own data are given. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from firstgrad.errors import SpecError
from firstgrad.pose.points import to_per_joint, to_vectorised
from firstgrad.pose.spec import Formulation, PoseSpec, check_parents

if TYPE_CHECKING:
    from firstgrad.points import Group, Point


IMAGE_WIDTH = 640.0
"""Width of every camera's image, in pixels."""
IMAGE_HEIGHT = 480.0
"""Height of every camera's image, in pixels."""
SELF_TRANSITION = 0.85
PIXEL_NOISE = 0.5
UNIT_EPSILON = 1e-8
"""Added under the root when a direction is normalised."""
MIN_DEPTH = 1e-6
"""Depths below this are replaced by it before the division."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseData:
    """What the cameras saw: pixels (NaN where a point was missed), cameras, the skeleton, and a start point."""

    observations: NDArray[np.float64]  # shape (C, T, J, 2): Pixels; NaN where a camera missed the point
    cameras: NDArray[np.float64]  # shape (C, 3, 4): Projection matrices
    parents: NDArray[np.int64]  # shape (J,): The skeleton; -1 for the root, which comes first
    initial: Mapping[str, NDArray[np.float64]]
    """Start values by *value name* on the transformed space, in either formulation."""

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which points were seen, shape (C, T, J)."""
        return np.isfinite(self.observations).all(axis=-1)


def generate(spec: PoseSpec) -> PoseData:
    """Generate the data of a pose model, with start values equal to the true ones in the formulation of `spec`.

    A hidden state path, directions around each state's canonical direction, a root walk, and C cameras on a ring that
    look at the scene's middle. Formulation, backend and the like change nothing in the data.
    """
    rng = np.random.default_rng(spec.seed)
    n_states = spec.hmm.n_states if spec.hmm else 2
    steps, bones = spec.n_timesteps, spec.n_directions
    path = _state_path(rng, steps, n_states)
    canonical = _unit(rng.normal(size=(n_states, bones, 3)))
    raw_u = canonical[path] + 0.15 * rng.normal(size=(steps, bones, 3))
    rho = rng.uniform(0.6, 1.4, size=bones)
    length = rho + 0.05 * rng.normal(size=(steps, bones))
    x_root = np.cumsum(0.05 * rng.normal(size=(steps, 3)), axis=0)
    parents = np.array(spec.joint_parents, dtype=np.int64)
    positions = joint_positions(x_root, raw_u, length, parents)
    cameras = _cameras(spec.n_cameras, positions)
    observations = project(positions, cameras) + PIXEL_NOISE * rng.normal(
        size=(spec.n_cameras, steps, spec.n_joints, 2)
    )
    _miss_points(rng, observations, spec.missed_fraction)
    start = {
        "eta2_root_log__": np.log(np.array(0.05**2)),
        "rho_log__": np.log(rho),
        "sigma2_log__": np.log(np.full(bones, 0.05**2)),
        "x_root": x_root,
        "raw_u": raw_u,
        "length": length,
        "obs_sigma_log__": np.log(np.array(PIXEL_NOISE)),
        "logodds_inlier": np.array(3.0),
    }
    if spec.hmm:
        start |= _hmm_start(canonical, n_states)
    data = PoseData(observations, cameras, parents, start)
    return replace(data, initial=initial_point(spec, data))


def initial_point(spec: PoseSpec, data: PoseData) -> Point:
    """Give the data's start values under the names of the spec's formulation.

    Returns one array a group of `spec`, in model order. Raises SpecError where a group has no start value, or one of a
    wrong shape or that isn't finite.
    """
    written = _written_as(spec, data.initial)
    for group in written.groups:
        _check_start(group, data.initial)
    convert = to_per_joint if spec.formulation is Formulation.PER_JOINT else to_vectorised
    return convert({group.value_name: data.initial[group.value_name] for group in written.groups}, written)


def _written_as(spec: PoseSpec, initial: Mapping[str, NDArray[np.float64]]) -> PoseSpec:
    """Tell by its names in which formulation a point is written; the spec's own where that is open."""
    other = next(each for each in Formulation if each is not spec.formulation)
    candidates = (spec, replace(spec, formulation=other))
    return max(candidates, key=lambda each: sum(group.value_name in initial for group in each.groups))


def _check_start(group: Group, initial: Mapping[str, NDArray[np.float64]]) -> None:
    name = group.value_name
    if name not in initial:
        raise SpecError("initial", f"no start value for {name!r}")
    value = np.asarray(initial[name], dtype=np.float64)
    if value.shape != group.shape:
        raise SpecError("initial", f"{name!r}: expected shape {group.shape}, got {value.shape}")
    if not np.isfinite(value).all():
        raise SpecError("initial", f"{name!r}: has values that are not finite")


def check_data(spec: PoseSpec, data: PoseData) -> None:
    """Check that data fit a spec.

    Raises SpecError naming the field: ``observations``, ``cameras``, ``parents`` or ``initial``.
    """
    wanted = (spec.n_cameras, spec.n_timesteps, spec.n_joints, 2)
    if data.observations.shape != wanted:
        raise SpecError("observations", f"expected shape (C, T, J, 2) = {wanted}, got {data.observations.shape}")
    if np.isinf(data.observations).any():
        raise SpecError("observations", "has infinite values; write NaN where a camera missed the point")
    if not data.seen.any():
        raise SpecError("observations", "every point is missed (NaN); at least one must be seen")
    if data.cameras.shape != (spec.n_cameras, 3, 4):
        raise SpecError("cameras", f"expected shape (C, 3, 4) = {(spec.n_cameras, 3, 4)}, got {data.cameras.shape}")
    if not np.isfinite(data.cameras).all():
        raise SpecError("cameras", "has values that are not finite")
    if data.parents.ndim != 1 or not np.issubdtype(data.parents.dtype, np.integer):
        raise SpecError("parents", f"expected whole numbers of shape (J,), got {data.parents!r}")
    parents = tuple(int(parent) for parent in data.parents)
    check_parents(parents, n_joints=spec.n_joints)
    if parents != spec.joint_parents:
        raise SpecError("parents", "the data's skeleton differs from the spec's; use skeleton 'custom'")
    initial_point(spec, data)


def unit_directions(raw_u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normalise along the last axis, with `UNIT_EPSILON` under the root."""
    norm: NDArray[np.float64] = np.sqrt(np.sum(raw_u**2, axis=-1, keepdims=True) + UNIT_EPSILON)
    return raw_u / norm


def joint_positions(
    x_root: NDArray[np.float64],
    raw_u: NDArray[np.float64],
    length: NDArray[np.float64],
    parents: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Follow the skeleton from the root."""
    offsets = length[..., None] * unit_directions(raw_u)
    positions = [x_root]
    for joint in range(1, len(parents)):
        positions.append(positions[parents[joint]] + offsets[:, joint - 1])
    return np.stack(positions, axis=1)


def project(positions: NDArray[np.float64], cameras: NDArray[np.float64]) -> NDArray[np.float64]:
    """Project joints into every camera: pixels, shape (C, T, J, 2)."""
    homogeneous = np.concatenate([positions, np.ones((*positions.shape[:-1], 1))], axis=-1)
    seen: NDArray[np.float64] = np.einsum("cij,tkj->ctki", cameras, homogeneous)
    depth: NDArray[np.float64] = np.maximum(seen[..., 2:], MIN_DEPTH)
    return seen[..., :2] / depth


def ancestor_matrix(parents: tuple[int, ...]) -> NDArray[np.float64]:
    """Which bones lie between the root and each joint: a matrix (J, K), 1.0 where bone k, column k - 1, does."""
    matrix = np.zeros((len(parents), len(parents) - 1))
    for joint, parent in enumerate(parents):
        if parent >= 0:
            matrix[joint] = matrix[parent]
            matrix[joint, joint - 1] = 1.0
    return matrix


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    norm: NDArray[np.float64] = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / norm


def _state_path(rng: np.random.Generator, steps: int, n_states: int) -> NDArray[np.int64]:
    path = np.zeros(steps, dtype=np.int64)
    for step in range(1, steps):
        stay = n_states == 1 or rng.random() < SELF_TRANSITION
        path[step] = path[step - 1] if stay else (path[step - 1] + rng.integers(1, n_states)) % n_states
    return path


def _cameras(n_cameras: int, positions: NDArray[np.float64]) -> NDArray[np.float64]:
    centre = positions.reshape(-1, 3).mean(axis=0)
    reach = np.abs(positions - centre).max()
    distance, focal = 6.0 + 3.0 * reach, 600.0
    intrinsics = np.array([[focal, 0, IMAGE_WIDTH / 2], [0, focal, IMAGE_HEIGHT / 2], [0, 0, 1.0]])
    matrices = []
    for camera in range(n_cameras):
        angle = 2 * np.pi * camera / n_cameras
        eye = centre + distance * _unit(np.array([np.cos(angle), np.sin(angle), 0.3]))
        forward = _unit(centre - eye)
        right = _unit(np.cross(forward, np.array([0.0, 0.0, 1.0])))
        rotation = np.stack([right, np.cross(forward, right), forward])
        matrices.append(intrinsics @ np.hstack([rotation, -(rotation @ eye)[:, None]]))
    return np.stack(matrices)


def _miss_points(rng: np.random.Generator, observations: NDArray[np.float64], fraction: float) -> None:
    n_points = observations[..., 0].size
    n_missed = min(round(fraction * n_points), n_points - 1)
    missed = rng.choice(n_points, size=n_missed, replace=False)
    observations.reshape(n_points, 2)[missed] = np.nan


def _hmm_start(canonical: NDArray[np.float64], n_states: int) -> dict[str, NDArray[np.float64]]:
    # The root's row is a parameter too, though its direction is zero: any finite start will do.
    root = np.broadcast_to(np.array([0.0, 0.0, 1.0]), (n_states, 1, 3))
    stay = np.log(SELF_TRANSITION) if n_states > 1 else 0.0
    leave = np.log((1 - SELF_TRANSITION) / max(n_states - 1, 1))
    return {
        "hmm_mu_raw": np.concatenate([root, canonical], axis=1),
        "hmm_kappa_log__": np.full((n_states, canonical.shape[1] + 1), np.log(5.0)),
        "hmm_init_logits": np.zeros(n_states),
        "hmm_trans_logits": np.where(np.eye(n_states, dtype=bool), stay, leave),
    }
