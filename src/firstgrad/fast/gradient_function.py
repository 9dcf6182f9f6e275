"""What `firstgrad.fast_gradient` makes: a compiled log-density and gradient that PyMC's step methods can call."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.errors import ModelError
from firstgrad.fast.effort import Effort

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from firstgrad.fast.direct import Layout


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
    """A model's log-density and gradient as one compiled JAX function; made by `fast_gradient`.

    Call it with a flat vector (or what PyMC's samplers pass) and get ``(logp, gradient)``. It also has what PyMC's step
    methods ask of ``logp_dlogp_func``: ``pm.sample(step=pm.NUTS(logp_dlogp_func=fast_gradient(model)), cores=1)``.

    Attributes
    ----------
    names : tuple of str
        Differentiated values, in the order of the flat vector.
    shapes : tuple of tuple of int
        Theirs.
    effort : Effort
        With which the function that is called now was compiled.
    with_logp : bool
        Whether calls return the log-density; NaN stands in its place otherwise.
    """

    # What PyMC's GradientSharedStep and leapfrog integrator read of a ValueGradFunction.
    dtype = "float64"
    _raveled_inputs = True

    def __init__(
        self, model: Any, held: Mapping[str, Any], layout: Layout, names: tuple[str, ...], *, with_logp: bool
    ) -> None:
        self.model, self.names, self.shapes, self._layout = model, names, layout.shapes, layout
        self.effort, self.with_logp = Effort.NORMAL, with_logp
        self._held = {name: np.asarray(value) for name, value in held.items()}
        self._process = os.getpid()
        self._function: Callable[..., tuple[Any, Any]]
        self._compile_with: Callable[[Effort], Callable[..., tuple[Any, Any]]]

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return self._layout.size

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
        if os.getpid() != self._process:
            raise ModelError(
                "JAX doesn't survive a fork, and this process was forked after the gradient was compiled. Sample with "
                "cores=1, or make the gradient within each process"
            )
        logp, gradient = self._function(np.asarray(vector, dtype=np.float64), *self._held.values())
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
        parts = [np.asarray(point[name], dtype=np.float64).ravel() for name in self.names]
        return np.concatenate(parts) if parts else np.zeros(0)

    def unflatten(self, vector: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Cut a flat vector into arrays by value name."""
        return dict(zip(self.names, self._layout.cut(vector), strict=True))

    def improve(self, effort: Effort | str = Effort.FULL, *, wait: bool = True) -> threading.Thread | None:
        """Compile again with more effort; calls use the new function as soon as it is there.

        The last digits of results may change with it, so a run that shall be repeatable waits.

        Parameters
        ----------
        effort : Effort or str
            How hard XLA tries.
        wait : bool
            Return when it is done; else it goes on in a thread.

        Returns
        -------
        threading.Thread or None
            The thread, where it doesn't wait.
        """
        effort = Effort(effort)

        def compile_and_swap() -> None:
            self._function = self._compile_with(effort)
            self.effort = effort

        if wait:
            compile_and_swap()
            return None
        thread = threading.Thread(target=compile_and_swap, name="firstgrad-improve", daemon=True)
        thread.start()
        return thread
