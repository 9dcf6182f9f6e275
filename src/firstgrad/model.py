"""A model: a reference and its parameters. The pose model is a reference like any other."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firstgrad.errors import SpecError
from firstgrad.pose.spec import PARAMETERS, PoseSpec, Scalar, read_pose, write_pose
from firstgrad.sources import split_reference
from firstgrad.units import MOST_DIGITS, clean_line

if TYPE_CHECKING:
    from collections.abc import Mapping

POSE = "pose"
"""The reference of the model that ships with firstgrad."""
FREEZE = "freeze_dims_and_data"
"""A parameter of every model of a user's: with true, PyMC's function of that name makes constants of dims and data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A PyMC model that can be built in any process.

    Two models are the same when they are equal: parameters of the pose model that are as by default are left out, so
    that a parameter which a later firstgrad adds changes no older model.
    """

    reference: str
    """``pose``, ``path/file.py:function`` or ``package.module:function``; the function returns a ``pm.Model`` or a
    pair ``(model, initial_point)``. Or ``path/script.py:variable``, a model that a script makes, ``path/script.py``
    where it makes one; or ``live:NAME``, a model that this process has (`firstgrad.measure`)."""
    parameters: tuple[tuple[str, Scalar], ...] = ()
    """Keyword arguments of that function, sorted by name."""

    def __post_init__(self) -> None:
        names = [name for name, _ in self.parameters]
        if names != sorted(set(names)):
            raise SpecError("parameters", "names must be sorted and differ from each other")
        for name, value in self.parameters:
            if isinstance(value, float) and not math.isfinite(value):
                raise SpecError("parameters", f"{name} must be finite, got {value!r}")
        if self.reference == POSE:
            parameters = tuple(sorted(write_pose(_pose(self.parameters)).items()))
            object.__setattr__(self, "parameters", parameters)
            return
        for name, value in self.parameters:
            if isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
                raise SpecError("parameters", f"{name} has more than {MOST_DIGITS} digits. Give it as a text, or less")
        place, name = split_reference(self.reference)
        if not place or not (name.isidentifier() or place == self.reference):
            raise SpecError(
                "model",
                "expected 'pose', 'path/file.py:function', 'path/script.py:variable', 'path/script.py' or "
                f"'package.module:function', got {self.reference!r}",
            )

    @property
    def pose(self) -> PoseSpec | None:
        """The pose model as it is written in Python; none for another model."""
        return _pose(self.parameters) if self.reference == POSE else None

    @property
    def is_frozen(self) -> bool:
        """Whether constants are made of its dims and data."""
        return dict(self.parameters).get(FREEZE) is True

    def frozen(self) -> Model:
        """Return this model with constants for its dims and data."""
        return make_model(self.reference, {**dict(self.parameters), FREEZE: True})

    def without_freezing(self) -> Model:
        """Return the model as its function makes it; itself where nothing is frozen."""
        if self.reference == POSE or FREEZE not in dict(self.parameters):
            return self
        return replace(self, parameters=tuple(one for one in self.parameters if one[0] != FREEZE))

    @property
    def values(self) -> dict[str, Scalar]:
        """Every parameter by its name, those of the pose model with their defaults.

        Of the pose model without an HMM, ``states`` is 0 and ``hmm_algorithm`` is ''.
        """
        if self.reference != POSE:
            return dict(self.parameters)
        return _pose_values(self.parameters).copy()

    def __str__(self) -> str:
        """Name it in one short line, as tables do."""
        if self.reference != POSE:
            given = ", ".join(f"{name}={value}" for name, value in self.parameters)
            return clean_line(f"{self.reference}({given})" if given else self.reference)
        return _pose_label(self.values)


def as_model(model: Model | PoseSpec) -> Model:
    """Return the model that a pose model, written in Python, is."""
    if isinstance(model, PoseSpec):
        return Model(reference=POSE, parameters=tuple(sorted(write_pose(model).items())))
    return model


def make_model(reference: str, parameters: Mapping[str, Scalar] | None = None) -> Model:
    """Return the model of a reference and its parameters, in whichever order these come."""
    return Model(reference=reference, parameters=tuple(sorted((parameters or {}).items())))


def _pose_label(values: Mapping[str, Scalar]) -> str:
    """Name a pose model: its sizes, its HMM, and all that isn't as by default."""

    def labels(*, sizes: bool) -> list[str]:
        return [
            parameter.label(values[name])
            for name, parameter in PARAMETERS.items()
            if parameter.is_size is sizes and not parameter.needs and name != "hmm"
            if name in ("timesteps", "directions") or values[name] != parameter.default
        ]

    hmm = "no HMM"
    if values["hmm"]:
        parts = (parameter.label(values[name]) for name, parameter in PARAMETERS.items() if parameter.needs == "hmm")
        hmm = " ".join(("HMM", *parts))
    return " ".join((POSE, *labels(sizes=True), hmm, *labels(sizes=False)))


def _pose(parameters: tuple[tuple[str, Scalar], ...]) -> PoseSpec:
    return _typed_pose(parameters, tuple(type(value) for _, value in parameters))


@functools.lru_cache(maxsize=4096)
def _typed_pose(parameters: tuple[tuple[str, Scalar], ...], _kinds: tuple[type, ...]) -> PoseSpec:
    """Read a pose model; by its values' types too, for True is 1 to a cache."""
    return read_pose(dict(parameters))


@functools.lru_cache(maxsize=4096)
def _pose_values(parameters: tuple[tuple[str, Scalar], ...]) -> dict[str, Scalar]:
    given = dict(parameters)
    values = {
        name: given.get(name, str(p.default) if p.choices and p.kind is not bool else p.default)
        for name, p in PARAMETERS.items()
    }
    if not values["hmm"]:
        values |= {name: type(values[name])() for name, p in PARAMETERS.items() if p.needs == "hmm"}
    return values
