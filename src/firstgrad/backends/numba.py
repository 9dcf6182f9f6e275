"""The Numba backend: PyTensor writes Python functions and LLVM compiles them, mostly in the first call."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from firstgrad.backends.pytensor_base import PyTensorBackend
from firstgrad.case import BackendName
from firstgrad.errors import BackendUnavailable, UnavailableError
from firstgrad.observe.listeners import listen_numba


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

        def began(_data: object) -> None:
            self._compiled += 1
            self.unit_begins()

        with suppress(UnavailableError):
            listen_numba(began)

    def mode(self) -> Any:
        """Return the mode ``NUMBA``."""
        from pytensor.compile.mode import get_mode

        return get_mode("NUMBA")

    def compiled_units(self) -> int:
        """Count jitted functions compiled so far, and C modules."""
        return super().compiled_units() + self._compiled


BACKEND = NumbaBackend()
