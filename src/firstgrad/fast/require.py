"""What the fast ways need."""

from __future__ import annotations

from importlib.util import find_spec

from firstgrad.case import BackendName
from firstgrad.errors import BackendUnavailable


def require_jax(name: BackendName = BackendName.JAX_DIRECT) -> None:
    """Look for JAX, and switch its 64 bits on, as PyTensor does.

    Raises
    ------
    BackendUnavailable
        Where JAX isn't installed.
    """
    if find_spec("jax") is None:
        raise BackendUnavailable(name, "the package jax", 'pip install "firstgrad[jax]"')
    import pytensor.link.jax.dispatch  # noqa: F401 - sets jax_enable_x64 by floatX
