"""How hard XLA tries: fewer seconds of compiling for dearer calls."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Effort(StrEnum):
    """How much XLA optimises.

    ``full``: as it does by default. ``normal``: LLVM at level 1, which compiles sooner and, measured here, calls as
    fast. ``least``: level 0, and sums are not split into trees, which saves a third of the kernels; the soonest first
    gradient. Calls take about twice as long, and a sum of a million terms loses some digits more.
    ``docs/findings.md`` has the numbers.
    """

    FULL = "full"
    NORMAL = "normal"
    LEAST = "least"


_OPTIONS: dict[Effort, dict[str, Any]] = {
    Effort.FULL: {},
    Effort.NORMAL: {"xla_backend_optimization_level": 1},
    Effort.LEAST: {"xla_backend_optimization_level": 0, "xla_disable_hlo_passes": "tree_reduction_rewriter"},
}


_UNKNOWN_OPTION = ("No such compile option", "Protocol Buffer reflection")
"""What XLA says where it doesn't know an option, or, up to JAX 0.4.31, doesn't take lists."""


def xla_options(effort: Effort) -> dict[str, Any]:
    """List the options of XLA's compiler for an effort, as ``jax.jit(compiler_options=...)`` takes them."""
    return dict(_OPTIONS[effort])


def compile_lowered(lowered: Any, effort: Effort) -> Callable[..., Any]:
    """Compile what JAX lowered, without those options that this XLA doesn't know.

    Parameters
    ----------
    lowered : jax.stages.Lowered
        Of a jitted function.
    effort : Effort
        How hard to try.

    Returns
    -------
    jax.stages.Compiled
    """
    options = xla_options(effort)
    while options:
        try:
            return lowered.compile(compiler_options=options)  # type: ignore[no-any-return]  # JAX's stages are Any here
        except RuntimeError as error:  # JAX's own name for it came after 0.4.31
            if not any(told in str(error) for told in _UNKNOWN_OPTION):
                raise
            options.popitem()  # the last one is the newest
    return lowered.compile()  # type: ignore[no-any-return]
