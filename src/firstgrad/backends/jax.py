"""The JAX backend: PyTensor writes one JAX function and XLA compiles it in the first call."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from firstgrad.backends.pytensor_base import PyTensorBackend
from firstgrad.backends.refusals import explain_not_static, first_line
from firstgrad.case import BackendName
from firstgrad.errors import BackendUnavailable, ModelError, UnavailableError
from firstgrad.observe.listeners import listen_jax
from firstgrad.observe.probes import JAX_CACHE_HIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from firstgrad.backends.base import Answer, BuiltModel, Compiled, Hooks
    from firstgrad.case import Target

    type Call = Callable[[Mapping[str, NDArray[np.float64]]], Answer]


_LATE = ("jax.experimental.multihost_utils", "jaxlib.mlir.dialects.mhlo")
"""What JAX imports within the first constant and the first lowering; other releases have other places for it."""


class JaxBackend(PyTensorBackend):
    """PyTensor's JAX linker, in float64, on the processor."""

    name = BackendName.JAX

    def __init__(self) -> None:
        super().__init__()
        self._compiled = 0
        self._from_cache = 0

    def require(self) -> None:
        """Look for JAX."""
        if find_spec("jax") is None:
            raise BackendUnavailable(self.name, "the package jax", 'pip install "firstgrad[jax]"')

    def import_backend(self) -> None:
        """Import JAX and PyTensor's dispatch for it, switch on float64, listen to JAX's events."""
        import jax
        import pytensor.link.jax.dispatch  # noqa: F401 - imported for its time

        for name in _LATE:
            with suppress(ImportError):
                import_module(name)
        jax.config.update("jax_enable_x64", True)
        with suppress(UnavailableError):
            listen_jax(self._timed, self._told_by_jax, has_end=False)
        jax.devices()  # the client starts here, not within a compile

    def _timed(self, step: str, _seconds: float, _function: str) -> None:
        if step == "compile":
            self._compiled += 1
            self.unit_begins()

    def _told_by_jax(self, event: str) -> None:
        if event == JAX_CACHE_HIT:
            self._from_cache += 1

    def mode(self) -> Any:
        """Return the mode ``JAX``."""
        from pytensor.compile.mode import get_mode

        return get_mode("JAX")

    def compile(self, built: BuiltModel, graph: Any, target: Target, hooks: Hooks) -> Compiled:
        """Compile, and say what to do where PyTensor has no JAX for a part of the graph, or JAX refuses it.

        Before PyMC 5.27 there is none for the gradient of a scan. JAX looks at the graph in the first call only.
        """
        try:
            compiled = super().compile(built, graph, target, hooks)
        except NotImplementedError as error:
            raise no_jax(error, is_own=built.is_own) from error
        return replace(compiled, call=explained(compiled.call, built))

    def wait(self, result: Any) -> Any:
        """Wait for the device: JAX returns before it has computed."""
        import jax

        return jax.block_until_ready(result)

    def compiled_units(self) -> int:
        """Count XLA compiles so far, and C modules; JAX also times what its cache answered, so that is taken off."""
        return super().compiled_units() + self._compiled - self._from_cache


def no_jax(error: NotImplementedError, *, is_own: bool) -> ModelError:
    """Say what to do where PyTensor has no JAX for an operation."""
    way_out = (
        "register one with pytensor.link.jax.dispatch.jax_funcify"
        if is_own
        else "the pose model's HMM does without scan with --hmm-algorithm tree"
    )
    return ModelError(
        f"this PyTensor has no JAX for a part of the graph: {first_line(error)}. Take another backend or a newer PyMC; "
        f"{way_out}"
    )


def explained(call: Call, built: BuiltModel) -> Call:
    """Have a call's errors say what to do."""
    from jax.errors import JAXIndexError, JAXTypeError

    def answer(point: Mapping[str, NDArray[np.float64]]) -> Answer:
        try:
            return call(point)
        except NotImplementedError as error:
            raise no_jax(error, is_own=built.is_own) from error
        except (JAXTypeError, JAXIndexError) as error:
            raise explain_not_static(error, built.model) from error
        except TypeError as error:
            if "concrete" not in str(error):
                raise
            raise explain_not_static(error, built.model) from error

    return answer


BACKEND = JaxBackend()
