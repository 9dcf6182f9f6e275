"""``firstgrad.fast_mode()``: a PyTensor mode with a sooner first call, for wherever PyMC takes a mode."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from firstgrad.fast.constants import write_function
from firstgrad.fast.effort import Effort, xla_options
from firstgrad.observe import probes

if TYPE_CHECKING:
    from collections.abc import Callable


def fast_mode(effort: Effort | str = Effort.NORMAL) -> Any:
    """Make a mode that compiles sooner than ``mode="JAX"`` and computes the same.

    It differs in two points: constants are brought to JAX without a compile for each, and XLA has LLVM optimise less.
    Rewrites are those of ``"JAX"``. Give it wherever PyMC takes a mode: ``model.compile_dlogp(mode=fast_mode())``,
    ``pm.sample(compile_kwargs={"mode": fast_mode()})``. For the least time see `firstgrad.fast_gradient`.

    Parameters
    ----------
    effort : Effort or str
        How hard XLA tries.

    Returns
    -------
    pytensor.compile.mode.Mode

    Raises
    ------
    BackendUnavailable
        Where JAX isn't installed.
    ValueError
        Where there is no such effort.
    """
    from firstgrad.fast.require import require_jax

    require_jax()
    from pytensor.compile.mode import JAX, Mode

    return Mode(_make_linker_class()(Effort(effort)), JAX.provided_optimizer)


@functools.cache
def _make_linker_class() -> type:
    # Within: PyTensor is imported when a mode is asked for, not when this module is.
    linker_class = probes.JAX_LINKER.find()

    class FastJAXLinker(linker_class):  # type: ignore[misc, valid-type]  # PyTensor has no types
        """PyTensor's linker for JAX with these two differences."""

        def __init__(self, effort: Effort = Effort.NORMAL, **options: Any) -> None:
            super().__init__(**options)
            self.effort = effort

        def fgraph_convert(self, fgraph: Any, *args: Any, **options: Any) -> Any:
            """Write the graph as one function; those with random numbers, or shapes as inputs, PyTensor's way."""
            shapes = {
                each for node in fgraph.apply_nodes if type(node.op).__name__ == "JAXShapeTuple" for each in node.inputs
            }
            if any(type(each.type).__name__.startswith("Random") or each in shapes for each in fgraph.inputs):
                return super().fgraph_convert(fgraph, *args, **options)
            self.scalar_shape_inputs: tuple[int, ...] = ()
            return write_function(fgraph)

        def jit_compile(self, fn: Callable[..., Any]) -> Callable[..., Any]:
            """Jit it, with XLA's options for this effort."""
            import jax

            # JAX before 0.5 has no such argument.
            if len(self.scalar_shape_inputs) or "compiler_options" not in inspect.signature(jax.jit).parameters:
                return super().jit_compile(fn)  # type: ignore[no-any-return]
            return jax.jit(fn, compiler_options=xla_options(self.effort))  # type: ignore[no-any-return]

    return FastJAXLinker
