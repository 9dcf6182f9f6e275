"""Groups of the pose model, and the same point in the other formulation.

Both formulations write the same density, so a point of one has exactly one counterpart in the other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from firstgrad.pose.spec import Formulation, PoseSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from firstgrad.points import Point


def to_vectorised(point: Mapping[str, NDArray[np.float64]], spec: PoseSpec) -> Point:
    """Convert a point (or a gradient) to the formulation ``vectorised``.

    Parameters
    ----------
    point : mapping
        Value name to array, in the formulation of the spec.
    spec : PoseSpec
        The model that the point is of.

    Returns
    -------
    dict
        Value name to array; the arrays are copies.
    """
    if spec.formulation is Formulation.VECTORISED:
        return {name: np.array(value, dtype=np.float64) for name, value in point.items()}
    return _gather(spec, lambda name: np.asarray(point[name], dtype=np.float64))


def _gather(spec: PoseSpec, take: Callable[[str], NDArray[np.float64]]) -> Point:
    target = replace(spec, formulation=Formulation.VECTORISED)
    bones = range(1, spec.n_directions + 1)
    states = range(spec.hmm.n_states if spec.hmm else 0)

    def pairs(stem: str, suffix: str = "") -> NDArray[np.float64]:
        rows = [np.stack([take(f"{stem}_s{s}_j{j}{suffix}") for j in range(spec.n_joints)]) for s in states]
        return np.stack(rows)

    result: Point = {}
    for group in target.groups:
        match group.name:
            case "raw_u" | "length":
                result[group.name] = np.stack([take(f"{group.name}_{k}") for k in bones], axis=1)
            case "hmm_mu_raw":
                result[group.value_name] = pairs("hmm_mu_raw")
            case "hmm_kappa":
                result[group.value_name] = pairs("hmm_kappa", "_log__")
            case _:
                result[group.value_name] = np.array(take(group.value_name))
    return result


def to_per_joint(point: Mapping[str, NDArray[np.float64]], spec: PoseSpec) -> Point:
    """Convert a point (or a gradient) to the formulation ``per_joint``.

    Parameters
    ----------
    point : mapping
        Value name to array, in the formulation of the spec.
    spec : PoseSpec
        The model that the point is of.

    Returns
    -------
    dict
        Value name to array; the arrays are copies.
    """
    if spec.formulation is Formulation.PER_JOINT:
        return {name: np.array(value, dtype=np.float64) for name, value in point.items()}
    target = replace(spec, formulation=Formulation.PER_JOINT)
    result: Point = {}
    for group in target.groups:
        name = group.name
        if name.startswith(("raw_u_", "length_")):
            stem, _, number = name.rpartition("_")
            value = np.asarray(point[stem])[:, int(number) - 1]
        elif name.startswith(("hmm_mu_raw_", "hmm_kappa_")):
            stem, state, joint = name.rsplit("_", 2)
            source = f"{stem}_log__" if group.is_log else stem
            value = np.asarray(point[source])[int(state[1:]), int(joint[1:])]
        else:
            value = np.asarray(point[group.value_name])
        result[group.value_name] = np.array(value, dtype=np.float64)
    return result
