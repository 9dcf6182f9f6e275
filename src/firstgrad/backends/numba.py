"""The Numba backend: PyTensor writes Python functions and LLVM compiles them, mostly in the first call."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from firstgrad.backends.pytensor_base import PyTensorBackend
from firstgrad.case import BackendName
from firstgrad.errors import BackendUnavailable


class NumbaBackend(PyTensorBackend):
    """PyTensor's Numba linker."""

    name = BackendName.NUMBA

    def __init__(self) -> None:
        super().__init__()
        self._compiled = 0

    def require(self) -> None:
        """Look for Numba."""
        if find_spec("numba") is None:
            raise BackendUnavailable(self.name, "the package numba", 'pip install "firstgrad[numba]"')

    def import_backend(self) -> None:
        """Import Numba and PyTensor's dispatch for it, and listen to Numba's compile events."""
        import pytensor.link.numba.dispatch  # noqa: F401 - imported for its time
        from numba.core import event

        backend = self

        class CountCompiles(event.Listener):  # type: ignore[misc]  # numba has no types
            def on_start(self, event: Any) -> None:  # noqa: ARG002 - numba's signature
                """Count one jitted function; entries taken from the cache send no event."""
                backend._compiled += 1
                backend.unit_begins()

            def on_end(self, event: Any) -> None:
                """Need nothing: an event's ``is_failed`` is always true in Numba 0.68."""

        event.register("numba:compile", CountCompiles())

    def mode(self) -> Any:
        """Return the mode ``NUMBA``."""
        from pytensor.compile.mode import get_mode

        return get_mode("NUMBA")

    def compiled_units(self) -> int:
        """Count jitted functions compiled so far, and C modules."""
        return super().compiled_units() + self._compiled


BACKEND = NumbaBackend()
