"""Backends: what the graph is compiled to. One file each, one `Backend` protocol, a registry of names."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from firstgrad.case import BackendName

if TYPE_CHECKING:
    from firstgrad.backends.base import Backend

__all__ = ["BACKEND_MODULES", "load_backend"]

BACKEND_MODULES = {
    BackendName.C: "firstgrad.backends.c",
    BackendName.NUMBA: "firstgrad.backends.numba",
    BackendName.JAX: "firstgrad.backends.jax",
    BackendName.JAX_FAST: "firstgrad.backends.jax_fast",
    BackendName.JAX_DIRECT: "firstgrad.backends.jax_direct",
    BackendName.JAX_QUICK: "firstgrad.backends.jax_quick",
    BackendName.FAKE: "firstgrad.backends.fake",
}
"""Name to module. Importing this package imports none of them: the parent side stays light."""


def load_backend(name: BackendName) -> Backend:
    """Import a backend and check that what it needs is installed.

    Raises
    ------
    BackendUnavailable
        Naming what is missing and the command that installs it.
    """
    backend = cast("Backend", import_module(BACKEND_MODULES[name]).BACKEND)
    backend.require()
    return backend
