"""What a variant of a compile is: other rewrites than the backend's own, another way to write the gradient, or both."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How a compile differs from what `firstgrad measure` does.

    Attributes
    ----------
    rewrites : str
        Name of a predefined query of PyTensor (``o1`` is ``fast_compile``); '' for the backend's own mode.
    without : tuple of str
        Tags or names of rewrites taken out of the mode.
    one_gradient : bool
        Whether all variables are differentiated in one call of ``pytensor.grad``, as ``Model.logp_dlogp_function``
        does; ``Model.dlogp`` calls it once a variable.
    """

    rewrites: str = ""
    without: tuple[str, ...] = ()
    one_gradient: bool = False


VARIANTS = {
    "as_is": Variant(),
    "one_gradient": Variant(one_gradient=True),
    "fast_compile": Variant(rewrites="o1"),
    "o2": Variant(rewrites="o2"),
    "o3": Variant(rewrites="o3"),
    "stabilize": Variant(rewrites="stabilize"),
    "minimum": Variant(rewrites="minimum_compile"),
    "no_fusion": Variant(without=("fusion", "add_mul_fusion")),
    "no_inplace": Variant(without=("inplace",)),
    "no_blas": Variant(without=("BlasOpt",)),
    "no_canonicalize": Variant(without=("canonicalize",)),
    "no_specialize": Variant(without=("specialize", "uncanonicalize")),
    "one_gradient+fast_compile": Variant(rewrites="o1", one_gradient=True),
    "one_gradient+minimum": Variant(rewrites="minimum_compile", one_gradient=True),
}
LINKERS = {"c": "cvm", "numba": "numba", "jax": "jax"}
CHOSEN = "FIRSTGRAD_BENCHMARK_VARIANT"
"""Environment variable that tells the worker which one."""
