"""The backend ``jax_fast``: PyTensor's own gradient under ``firstgrad.fast_mode()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firstgrad.backends.jax import JaxBackend
from firstgrad.case import BackendName

if TYPE_CHECKING:
    from firstgrad.backends.base import BuiltModel
    from firstgrad.case import Target


class JaxFastBackend(JaxBackend):
    """The JAX backend in `firstgrad.fast_mode`, its gradient graph written by one backward pass as NUTS has it."""

    name = BackendName.JAX_FAST

    def mode(self) -> Any:
        """Return the fast mode."""
        from firstgrad.fast.fast_mode import fast_mode

        return fast_mode()

    def grad_graph(self, built: BuiltModel, logp: Any, target: Target) -> Any:
        """Differentiate once for all values."""
        return self.one_pass_gradient(built, logp, target)


BACKEND = JaxFastBackend()
