"""What ``firstgrad.fast_gradient`` gives: a gradient to call, whatever way it was compiled."""

from __future__ import annotations

import math
import os
import threading
import warnings
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.errors import ModelError
from firstgrad.fast.xla import Effort
from firstgrad.linting.values import Density

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    type Function = Callable[..., tuple[Any, Any]]
    """From a flat vector and the held values to the log-density and its flat gradient."""


class GradientNote(UserWarning):
    """A warning of `fast_gradient`: random draws are held, or the derivative is not JAX's own."""


class Way(StrEnum):
    """Who differentiates the log-density, and who compiles it.

    ``jax``: JAX both. ``pytensor-jax``: PyTensor's gradient, compiled by JAX. ``numba``, ``c``: PyTensor's gradient,
    compiled by these. ``interpreter``: PyTensor's gradient, not compiled.
    """

    JAX = "jax"
    PYTENSOR_JAX = "pytensor-jax"
    NUMBA = "numba"
    C = "c"
    INTERPRETER = "interpreter"

    @property
    def is_by_jax(self) -> bool:
        """Whether the function is an executable of JAX."""
        return self in (Way.JAX, Way.PYTENSOR_JAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a flat vector is cut."""

    names: tuple[str, ...]  # of the differentiated values, in order
    shapes: tuple[tuple[int, ...], ...]  # theirs

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return sum(int(np.prod(shape)) for shape in self.shapes)

    def cutter(self, wanted: Sequence[Sequence[int]]) -> Callable[[Any], list[Any]]:
        """Make a function that cuts a vector into stacks of these arrays; of one array alone there is no stack."""
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        begins = [0, *np.cumsum(sizes).tolist()]
        places = [
            np.concatenate([np.arange(begins[number], begins[number] + sizes[number]) for number in numbers])
            for numbers in wanted
        ]
        # A slice where they are side by side: its gradient is no scatter.
        taken = [
            slice(where[0], where[-1] + 1) if len(where) and (np.diff(where) == 1).all() else where for where in places
        ]

        def cut(vector: Any) -> list[Any]:
            parts = []
            for numbers, where in zip(wanted, taken, strict=True):
                shape, part = self.shapes[numbers[0]], vector[where]
                parts.append(part.reshape(shape if len(numbers) == 1 else (len(numbers), *shape)))
            return parts

        return cut

    def flatten(self, point: Mapping[str, Any]) -> NDArray[np.float64]:
        """Bring a point, value name to array, into a flat vector."""
        parts = [np.asarray(point[name], dtype=np.float64).ravel() for name in self.names]
        return np.concatenate(parts) if parts else np.zeros(0)

    def unflatten(self, vector: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Cut a flat vector into arrays by value name."""
        parts, begin = {}, 0
        for name, shape in zip(self.names, self.shapes, strict=True):
            end = begin + int(np.prod(shape))
            parts[name] = vector[begin:end].reshape(shape)
            begin = end
        return parts


def as_function(call: Callable[..., Any], *, with_logp: bool) -> Function:
    """Take an executable of log-density and gradient, or of the gradient alone, for a function of both."""
    return call if with_logp else lambda vector, *held: (math.nan, *call(vector, *held))


class _HeldValue:
    """A discrete variable's value, as PyMC's step methods set the shared variables of theirs."""

    def __init__(self, held: dict[str, Any], name: str) -> None:
        self._held, self._name = held, name

    def set_value(self, value: Any, borrow: bool = False) -> None:  # noqa: ARG002 - PyTensor's signature
        """Set it."""
        self._held[self._name] = np.asarray(value, dtype=self._held[self._name].dtype)

    def get_value(self, borrow: bool = False) -> Any:  # noqa: ARG002 - PyTensor's signature
        """Return it."""
        return self._held[self._name]


class FastGradient:
    """A model's log-density and gradient as one compiled function; made by `fast_gradient`.

    Call it with a flat vector (or what PyMC's samplers pass) and get ``(logp, gradient)``; `firstgrad.sample` draws by
    it. It also has what PyMC's step methods ask of ``logp_dlogp_func``, but with a step of one's own ``pm.sample``
    leaves nutpie, and starts all chains at one point.

    Attributes
    ----------
    names : tuple of str
        Differentiated values, in the order of the flat vector.
    shapes : tuple of tuple of int
        Theirs.
    function : callable
        What is called in the end: takes a flat vector, and the held values after it. `improve` puts another in place.
    way : Way
        Who differentiates, and who compiled it.
    notes : tuple of str
        What was frozen, and why another way than JAX's own derivative was taken.
    effort : Effort
        With which the function that is called now was compiled.
    with_logp : bool
        Whether calls return the log-density; NaN stands in its place otherwise.
    kept : str
        Whether its executable was ``loaded`` from firstgrad's cache, ``made and kept`` there, or why it was not kept.
    """

    # What PyMC's GradientSharedStep and leapfrog integrator read of a ValueGradFunction.
    dtype = "float64"
    _raveled_inputs = True

    def __init__(
        self,
        model: Any,
        layout: Layout,
        held: Mapping[str, Any],
        function: Function,
        compile_with: Callable[[Effort], Function] | None,
        *,
        way: Way,
        notes: Sequence[str] = (),
        effort: Effort,
        with_logp: bool,
        kept: str = "",
    ) -> None:
        self.kept = kept
        self.model, self.layout, self.names, self.shapes = model, layout, layout.names, layout.shapes
        self.way, self.notes, self.effort, self.with_logp = way, tuple(notes), effort, with_logp
        self.function, self._compile_with = function, compile_with
        self._held = {name: np.asarray(value) for name, value in held.items()}
        self._process = os.getpid()

    def __repr__(self) -> str:
        values = f"{len(self.names)} values of {self.size} numbers"
        return "\n".join([f"<FastGradient of {values}, by {self.way}>", *(f"  {note}" for note in self.notes)])

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return self.layout.size

    def __call__(
        self,
        vector: Any,
        grad_out: NDArray[np.float64] | None = None,
        extra_vars: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute the log-density and its gradient.

        Parameters
        ----------
        vector : array, shape (size,)
            The values on the transformed space, one after the other; or a sequence that holds just this array, or
            PyMC's ``RaveledVars``.
        grad_out : array, shape (size,), optional
            Where the gradient goes; up to PyMC 5.18 the integrator gives one.
        extra_vars : mapping, optional
            New values of discrete variables, by value name.

        Returns
        -------
        tuple of (float, array), or float
            The log-density, and the gradient, shape (size,); the log-density alone where `grad_out` takes the gradient.
        """
        if extra_vars is not None:
            self.set_extra_values(extra_vars)
        if hasattr(vector, "point_map_info"):
            vector = vector.data
        elif not isinstance(vector, np.ndarray) and np.ndim(vector) > 1:
            (vector,) = vector
        logp, gradient = self._pytensor_function(vector)
        if grad_out is None:
            return logp, gradient
        np.copyto(grad_out, gradient)
        return logp

    def _pytensor_function(self, vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        # The name under which PyMC's leapfrog integrator takes the bare function.
        if self.way.is_by_jax and os.getpid() != self._process:
            raise ModelError(
                "JAX doesn't survive a fork, and this process was forked after the gradient was compiled. Sample with "
                "cores=1, or make the gradient within each process"
            )
        logp, gradient = self.function(np.asarray(vector, dtype=np.float64), *self._held.values())
        return float(logp), np.array(gradient)  # JAX's own may not be written to

    def __reduce__(self) -> Any:
        raise ModelError(
            "a compiled gradient can't be sent to another process. Sample with cores=1, or call "
            "firstgrad.fast_gradient(model) within that process"
        )

    @property
    def _extra_vars_shared(self) -> dict[str, Any]:
        return {name: _HeldValue(self._held, name) for name in self._held}

    def set_extra_values(self, extra_vars: Mapping[str, Any]) -> None:
        """Give discrete variables new values, by value name."""
        for name in self._held:
            if name in extra_vars:
                self._held[name] = np.asarray(extra_vars[name], dtype=self._held[name].dtype)

    def get_extra_values(self) -> dict[str, Any]:
        """Return the values at which discrete variables are held."""
        return dict(self._held)

    def flatten(self, point: Mapping[str, Any]) -> NDArray[np.float64]:
        """Bring a point, value name to array, into a flat vector."""
        return self.layout.flatten(point)

    def unflatten(self, vector: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Cut a flat vector into arrays by value name."""
        return self.layout.unflatten(vector)

    def improve(self, effort: Effort | str = Effort.FULL, *, wait: bool = True) -> threading.Thread | None:
        """Compile again with more effort; calls use the new function as soon as it is there.

        The last digits of results may change with it, so a run that shall be repeatable waits. Without `wait` it goes
        on in a thread, which is returned. Only JAX's ways know efforts: of another one a `GradientNote` is given.
        """
        effort, compile_with = Effort(effort), self._compile_with
        if compile_with is None:
            warnings.warn(f"efforts are of XLA's, and this gradient is by {self.way}", GradientNote, stacklevel=2)

        def compile_and_swap() -> None:
            if compile_with is not None:
                self.function, self.effort = compile_with(effort), effort

        if wait:
            compile_and_swap()
            return None
        thread = threading.Thread(target=compile_and_swap, name="firstgrad-improve", daemon=True)
        thread.start()
        return thread


# --- against PyTensor's own -----------------------------------------------------------------------------------------

_RELATIVE = 1e-7  # PyTensor keeps Python's short numbers in single precision, and may compute constants of them there
_STEP = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientCheck:
    """How a fast gradient compares with PyTensor's."""

    points: int  # at how many points
    logp_difference: float
    """Largest difference of the log-densities, by the larger of their size and 1; 0 of a gradient without one."""
    gradient_difference: float
    """Largest difference of the gradients' entries, by the larger of the gradient's largest entry and 1."""
    worst: str  # value in which that is
    allowed: float = _RELATIVE  # largest difference that rounding may explain

    @property
    def agrees(self) -> bool:
        """Whether both differences are within what is allowed; NaN is not."""
        return self.logp_difference <= self.allowed and self.gradient_difference <= self.allowed


def check_gradient(
    gradient: FastGradient, *, initial_point: Mapping[str, Any] | None = None, points: int = 2, seed: int = 0
) -> GradientCheck:
    """Compare a fast gradient with PyTensor's own, evaluated in Python within seconds and without a compiler.

    Parameters
    ----------
    gradient : FastGradient
        Made by `firstgrad.fast_gradient`.
    initial_point : mapping, optional
        Value name to array; the model's own where left out.
    points : int
        At how many points: the initial one, and others near it.
    seed : int
        Seed of the other points.

    Returns
    -------
    GradientCheck
        Whether both agree, and by how much log-density and gradient differ.
    """
    point = initial_point if initial_point is not None else gradient.model.initial_point()
    reference = Density(gradient.model).gradient
    held = {name: np.asarray(point[name]) for name in gradient.get_extra_values()}
    rng = np.random.default_rng(seed)
    start = gradient.flatten(point)
    logp_difference, gradient_difference, worst = 0.0, 0.0, gradient.names[0]
    before = gradient.get_extra_values()
    try:
        for number in range(points):
            vector = start if number == 0 else start + _STEP * rng.standard_normal(start.size)
            logp, flat = gradient(vector, extra_vars=held)
            expected_logp, expected = reference(gradient.unflatten(vector) | held)
            if gradient.with_logp:
                logp_difference = _larger(logp_difference, abs(logp - expected_logp) / max(abs(expected_logp), 1.0))
            parts = gradient.unflatten((flat - expected) / max(float(np.abs(expected).max()), 1.0))
            for name, part in parts.items():
                difference = float(np.abs(part).max(initial=0.0))
                if not difference <= gradient_difference:
                    gradient_difference, worst = _larger(gradient_difference, difference), name
    finally:
        gradient.set_extra_values(before)
    return GradientCheck(
        points=points, logp_difference=logp_difference, gradient_difference=gradient_difference, worst=worst
    )


def _larger(one: float, other: float) -> float:
    """Take the larger; NaN is the largest."""
    return float(np.maximum(one, other))
