"""The Numba backend: PyTensor writes Python functions and LLVM compiles them, mostly in the first call."""

from __future__ import annotations

from contextlib import suppress

from firstgrad.backends.base import BackendFacts
from firstgrad.backends.pytensor import PyTensorBackend
from firstgrad.case import BackendName
from firstgrad.errors import UnavailableError
from firstgrad.observe.disk_cache import CacheEntry
from firstgrad.observe.listeners import listen_numba


class NumbaBackend(PyTensorBackend):
    """PyTensor's Numba linker."""

    facts = BackendFacts(
        name=BackendName.NUMBA,
        compiler=BackendName.NUMBA,
        colour="#0072B2",
        marker="^",
        mode=("NUMBA",),
        package="numba",
        missing="the package numba",
        install='pip install "firstgrad[numba]"',
        cache_entries=(CacheEntry(name=r"(.+)\.\d+\.nbc", beside=r"\1.nbi"),),
        keeps="PyTensor keeps Numba's and C's in base_compiledir",
        options=("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX", "NUMBA_OPT", "NUMBA_BOUNDSCHECK"),
        variables={"NUMBA_CACHE_DIR": "{caches}/numba", "NUMBA_NUM_THREADS": "{threads}"},
    )

    def __init__(self) -> None:
        super().__init__()
        self._compiled = 0

    def import_backend(self) -> None:
        """Import Numba and PyTensor's dispatch for it, and listen to Numba's compile events."""
        import pytensor.link.numba.dispatch  # noqa: F401 - imported for its time

        def began(_data: object) -> None:
            self._compiled += 1
            self.unit_begins()

        with suppress(UnavailableError):
            listen_numba(began)

    def compiled_units(self) -> int:
        """Count jitted functions compiled so far, and C modules."""
        return super().compiled_units() + self._compiled


BACKENDS = (NumbaBackend(),)
