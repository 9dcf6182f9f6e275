"""firstgrad's worker, with the variant that an environment variable names put in place of what the backend does."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.upstream.variants import CHOSEN, LINKERS, VARIANTS, Variant
from firstgrad.backends import load_backend
from firstgrad.backends.pytensor import PyTensorBackend
from firstgrad.case import BackendName
from firstgrad.measuring import worker


def change(backend: PyTensorBackend, variant: Variant) -> None:
    """Give a backend another mode, and PyMC another way to write the gradient."""
    own_mode, import_modules = backend.mode, backend.import_modules

    def mode() -> Any:
        from pytensor.compile.mode import Mode

        chosen = Mode(LINKERS[backend.facts.name], variant.rewrites) if variant.rewrites else own_mode()
        return chosen.excluding(*variant.without) if variant.without else chosen

    def import_and_change() -> None:
        import_modules()
        if variant.one_gradient:
            from pymc import pytensorf

            pytensorf.gradient = gradient_in_one

    backend.mode, backend.import_modules = mode, import_and_change  # type: ignore[method-assign]


def gradient_in_one(cost: Any, values: list[Any]) -> Any:
    """Differentiate with respect to all values at once."""
    import pytensor
    import pytensor.tensor as pt

    gradients = pytensor.grad(cost, values, disconnected_inputs="ignore")
    return pt.concatenate([gradient.ravel() for gradient in gradients])


if __name__ == "__main__":
    for name in (BackendName.C, BackendName.NUMBA, BackendName.JAX):
        each = load_backend(name)
        assert isinstance(each, PyTensorBackend)
        change(each, VARIANTS[os.environ[CHOSEN]])
    worker.main()
