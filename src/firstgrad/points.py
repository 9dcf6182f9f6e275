"""Points of a model: value name to array, on PyMC's transformed space, and the flat vector of a gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

type Point = dict[str, NDArray[np.float64]]
"""Value name to array, float64."""


@dataclass(frozen=True, slots=True)
class Group:
    """One free random variable."""

    name: str  # its name in ``model.free_RVs``
    shape: tuple[int, ...]  # shape of its value
    is_log: bool = False  # whether PyMC samples its logarithm
    value_name: str = ""
    """Name of its value on the transformed space, as PyMC writes it; made from `name` where left out."""

    def __post_init__(self) -> None:
        if not self.value_name:
            object.__setattr__(self, "value_name", f"{self.name}_log__" if self.is_log else self.name)

    @property
    def size(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)


class Grouped(Protocol):
    """What has groups, such as a `PoseSpec`."""

    @property
    def groups(self) -> Sequence[Group]:
        """In model order."""


def groups_of(model: Grouped | Sequence[Group]) -> Sequence[Group]:
    """Return the groups themselves, or those of a model that has them."""
    return model if isinstance(model, tuple | list) else model.groups  # type: ignore[union-attr]  # any sequence


def flatten(point: Mapping[str, NDArray[np.float64]], model: Grouped | Sequence[Group]) -> NDArray[np.float64]:
    """Return a point (or a gradient) as one flat vector, shape (n_values,): groups in order, each in C order."""
    import numpy as np

    return np.concatenate([np.ravel(point[group.value_name]) for group in groups_of(model)])


def unflatten(vector: NDArray[np.float64], model: Grouped | Sequence[Group]) -> Point:
    """Return the groups that a flat vector holds, as copies; the inverse of `flatten`.

    Raises ValueError where the vector's length is not the groups' number of values.
    """
    import numpy as np

    groups = groups_of(model)
    ends = np.cumsum([group.size for group in groups])
    if vector.shape != (int(ends[-1]),):
        raise ValueError(f"expected a vector of {int(ends[-1])} values, got shape {vector.shape}")
    parts = np.split(vector, ends[:-1])
    return {group.value_name: part.reshape(group.shape).copy() for group, part in zip(groups, parts, strict=True)}


def add_terms(terms: Mapping[str, float]) -> float:
    """Add the terms of a log-density, by name; exactly, but for what isn't finite."""
    try:
        return math.fsum(terms.values())
    except (ValueError, OverflowError):  # infinities of both signs
        return sum(terms.values())
