"""The log-density and its gradient by hand, in loops that Numba compiles: the limit of evaluation.

The chain rule is that of `firstgrad.pose.oracle`, a timestep at a time, so that what a step needs stays in the
processor's nearest cache.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from benchmarks.limit.layout import places
from benchmarks.limit.loops_hidden import LARGE, LOG_2PI, LOG_HALF_NORMAL, compiled, hidden
from firstgrad.pose.data import IMAGE_HEIGHT, IMAGE_WIDTH, MIN_DEPTH, UNIT_EPSILON

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from firstgrad.pose.data import PoseData
    from firstgrad.pose.spec import PoseSpec

LOG_OUTLIER = -math.log(IMAGE_WIDTH * IMAGE_HEIGHT)


def make_value_and_gradient(
    spec: PoseSpec, data: PoseData
) -> Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]:
    """Compile the loops for float64 arrays, before the first call.

    Returns
    -------
    callable
        From a flat vector to the log-density and the flat gradient, a new array.

    Raises
    ------
    SpecError
        Where the spec asks for another likelihood or walk than the default.
    """
    size = max(end for _, end, _ in places(spec).values())
    n_states = spec.hmm.n_states if spec.hmm else 0
    seen = np.ascontiguousarray(data.seen.transpose(1, 2, 0))
    observed = np.where(seen[..., None], data.observations.transpose(1, 2, 0, 3), 0.0)
    parents, cameras = np.array(spec.joint_parents), np.ascontiguousarray(data.cameras)
    priors, (shape, rate) = spec.priors, spec.priors.obs_sigma_gamma
    heads = np.array([priors.eta2_root_sigma, priors.rho_sigma, priors.sigma2_sigma, priors.kappa_sigma])
    scales = np.array([priors.root_first_sigma, priors.logodds_sigma, priors.logits_sigma])
    gamma = np.array([shape, rate, shape * math.log(rate) - math.lgamma(shape)])
    seen_share = np.ascontiguousarray(observed), seen, cameras, parents, heads, scales, gamma
    kernel = _without_states if n_states == 0 else _with_states
    if n_states:
        seen_share = (*seen_share, n_states)
    arguments = (np.zeros(size), np.zeros(size), *seen_share)
    kernel.compile(tuple(numba.typeof(each) for each in arguments))

    def value_and_gradient(vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope = np.empty(size)
        return kernel(vector, slope, *seen_share), slope

    return value_and_gradient


def llvm_and_assembly() -> tuple[int, int]:
    """Give the lengths of what was compiled, as LLVM's text and as assembly, in characters."""
    kernels = [each for each in (_without_states, _with_states) if each.signatures]
    texts = [text for each in kernels for text in each.inspect_llvm().values()]
    return sum(map(len, texts)), sum(len(text) for each in kernels for text in each.inspect_asm().values())


@compiled
def _without_states(
    v: Any, g: Any, observed: Any, seen: Any, cameras: Any, parents: Any, heads: Any, scales: Any, gamma: Any
) -> Any:
    steps, joints = seen.shape[0], seen.shape[1]
    total = _prior(v, g, steps, joints - 1, heads, scales, gamma)
    norm, direction = _directions(v, steps, joints - 1)
    return total + _points(v, g, observed, seen, cameras, parents, norm, direction, np.zeros_like(direction))


@compiled
def _with_states(
    v: Any,
    g: Any,
    observed: Any,
    seen: Any,
    cameras: Any,
    parents: Any,
    heads: Any,
    scales: Any,
    gamma: Any,
    n_states: Any,
) -> Any:
    steps, joints = seen.shape[0], seen.shape[1]
    total = _prior(v, g, steps, joints - 1, heads, scales, gamma)
    norm, direction = _directions(v, steps, joints - 1)
    by_direction = np.zeros_like(direction)
    total += hidden(v, g, steps, joints, n_states, direction, by_direction, heads[3], scales[2])
    return total + _points(v, g, observed, seen, cameras, parents, norm, direction, by_direction)


@compiled
def _prior(v: Any, g: Any, steps: Any, bones: Any, heads: Any, scales: Any, gamma: Any) -> Any:
    """Write every slope of the groups without an HMM, as far as their priors know it."""
    at_root, total = 1 + 2 * bones, 0.0
    for place in range(at_root):
        sigma = heads[0] if place == 0 else heads[1 + (place - 1) // bones]
        square = (math.exp(v[place]) / sigma) ** 2
        total += LOG_HALF_NORMAL - math.log(sigma) - 0.5 * square + v[place]
        g[place] = 1 - square
    precision, first, square = math.exp(-v[0]), 1 / scales[0] ** 2, 0.0
    at_raw = at_root + 3 * steps
    for place in range(at_root, at_root + 3):
        total -= 0.5 * first * v[place] * v[place]
        g[place] = -first * v[place]
    for place in range(at_root + 3, at_raw):
        step = v[place] - v[place - 3]
        square += step * step
        g[place] = -precision * step
        g[place - 3] += precision * step
    n_steps = 3 * (steps - 1)
    total -= 0.5 * (precision * square + n_steps * v[0]) + 3 * math.log(scales[0]) + 0.5 * LOG_2PI * 3 * steps
    g[0] += 0.5 * (precision * square - n_steps)
    at_length = at_raw + 3 * bones * steps
    square = 0.0
    for place in range(at_raw, at_length):
        square += v[place] * v[place]
        g[place] = -v[place]
    total -= 0.5 * (square + LOG_2PI * 3 * bones * steps)
    for bone in range(bones):
        rho, precision = math.exp(v[1 + bone]), math.exp(-v[1 + bones + bone])
        off_sum = square = 0.0
        for step in range(steps):
            place = at_length + step * bones + bone
            off = v[place] - rho
            off_sum += off
            square += off * off
            g[place] = -precision * off
        g[1 + bone] += rho * precision * off_sum
        g[1 + bones + bone] += 0.5 * (precision * square - steps)
        total -= 0.5 * (precision * square + steps * (v[1 + bones + bone] + LOG_2PI))
    at_sigma = at_length + bones * steps
    sigma, logodds = math.exp(v[at_sigma]), v[at_sigma + 1]
    g[at_sigma] = gamma[0] - gamma[1] * sigma
    g[at_sigma + 1] = -logodds / scales[1] ** 2
    total += gamma[2] + gamma[0] * v[at_sigma] - gamma[1] * sigma
    return total - 0.5 * (logodds / scales[1]) ** 2 - math.log(scales[1]) - 0.5 * LOG_2PI


@compiled
def _directions(v: Any, steps: Any, bones: Any) -> Any:
    norm, direction = np.empty((steps, bones)), np.empty((steps, bones, 3))
    place = 1 + 2 * bones + 3 * steps
    for step in range(steps):
        for bone in range(bones):
            x, y, z = v[place], v[place + 1], v[place + 2]
            length = math.sqrt(x * x + y * y + z * z + UNIT_EPSILON)
            norm[step, bone] = length
            direction[step, bone, 0], direction[step, bone, 1], direction[step, bone, 2] = (
                x / length,
                y / length,
                z / length,
            )
            place += 3
    return norm, direction


@compiled
def _points(  # noqa: C901, PLR0915 - a timestep forth and back in one loop: what it needs stays near
    v: Any, g: Any, observed: Any, seen: Any, cameras: Any, parents: Any, norm: Any, direction: Any, by_direction: Any
) -> Any:
    """Add the observations: their log-density is returned, their slopes are added."""
    steps, joints, n_cameras = seen.shape
    bones = joints - 1
    at_root = 1 + 2 * bones
    at_raw = at_root + 3 * steps
    at_length = at_raw + 3 * bones * steps
    at_sigma = at_length + bones * steps
    log_sigma, logodds = v[at_sigma], v[at_sigma + 1]
    precision = math.exp(-2 * log_sigma)
    more = logodds - 2 * log_sigma - LOG_2PI - LOG_OUTLIER
    total = inliers = squares = 0.0
    n_seen = 0
    position, pull = np.empty((joints, 3)), np.empty((joints, 3))
    for step in range(steps):
        for axis in range(3):
            position[0, axis] = v[at_root + 3 * step + axis]
        for joint in range(1, joints):
            length = v[at_length + step * bones + joint - 1]
            for axis in range(3):
                position[joint, axis] = position[parents[joint], axis] + length * direction[step, joint - 1, axis]
        product = 1.0
        for joint in range(joints):
            x, y, z = position[joint]
            pull_x = pull_y = pull_z = 0.0
            for camera in range(n_cameras):
                if not seen[step, joint, camera]:
                    continue
                way = cameras[camera]
                depth = way[2, 0] * x + way[2, 1] * y + way[2, 2] * z + way[2, 3]
                is_in_front = depth > MIN_DEPTH
                nearness = 1 / depth if is_in_front else 1 / MIN_DEPTH
                column = (way[0, 0] * x + way[0, 1] * y + way[0, 2] * z + way[0, 3]) * nearness
                row = (way[1, 0] * x + way[1, 1] * y + way[1, 2] * z + way[1, 3]) * nearness
                right, down = observed[step, joint, camera, 0] - column, observed[step, joint, camera, 1] - row
                square = right * right + down * down
                odds = more - 0.5 * precision * square
                small = math.exp(-abs(odds))
                # The logarithm of a product instead of a sum of logarithms: one logarithm for many points.
                product *= 1 + small
                if product > LARGE:
                    total += math.log(product)
                    product = 1.0
                total += max(odds, 0.0)
                inlier = (1.0 if odds >= 0 else small) / (1 + small)
                n_seen += 1
                inliers += inlier
                squares += inlier * square
                strength = inlier * precision * nearness
                by_x, by_y = strength * right, strength * down
                by_depth = -(by_x * column + by_y * row) if is_in_front else 0.0
                pull_x += by_x * way[0, 0] + by_y * way[1, 0] + by_depth * way[2, 0]
                pull_y += by_x * way[0, 1] + by_y * way[1, 1] + by_depth * way[2, 1]
                pull_z += by_x * way[0, 2] + by_y * way[1, 2] + by_depth * way[2, 2]
            pull[joint, 0], pull[joint, 1], pull[joint, 2] = pull_x, pull_y, pull_z
        total += math.log(product)
        for joint in range(joints - 1, 0, -1):
            bone = joint - 1
            along = by_length = 0.0
            length = v[at_length + step * bones + bone]
            for axis in range(3):
                pull[parents[joint], axis] += pull[joint, axis]
                by_length += pull[joint, axis] * direction[step, bone, axis]
                by_direction[step, bone, axis] += length * pull[joint, axis]
                along += by_direction[step, bone, axis] * direction[step, bone, axis]
            g[at_length + step * bones + bone] += by_length
            for axis in range(3):
                slope = (by_direction[step, bone, axis] - direction[step, bone, axis] * along) / norm[step, bone]
                g[at_raw + 3 * (step * bones + bone) + axis] += slope
        for axis in range(3):
            g[at_root + 3 * step + axis] += pull[0, axis]
    small = math.exp(-abs(logodds))
    share = (1.0 if logodds >= 0 else small) / (1 + small)
    g[at_sigma] += precision * squares - 2 * inliers
    g[at_sigma + 1] += inliers - share * n_seen
    return total + n_seen * (LOG_OUTLIER - max(logodds, 0.0) - math.log1p(small))
