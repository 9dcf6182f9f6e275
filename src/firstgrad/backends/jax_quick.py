"""The backend ``jax_quick``: ``jax_direct`` with the least effort of XLA."""

from __future__ import annotations

from firstgrad.backends.jax_direct import JaxDirectBackend
from firstgrad.case import BackendName

BACKEND = JaxDirectBackend(BackendName.JAX_QUICK)
