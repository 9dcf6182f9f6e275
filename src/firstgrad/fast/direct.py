"""From a model's log-density to one compiled JAX function that gives value and gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.errors import ModelError
from firstgrad.fast.constants import write_function
from firstgrad.fast.effort import Effort, compile_lowered
from firstgrad.observe import probes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_NOT_DERIVATIVES = ("DisconnectedGrad", "ZeroGrad", "GradClip", "GradScale", "UndefinedGrad")
_OVERRIDES = ("pullback_overrides", "lop_overrides", "grad_overrides")  # the newest name first


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a flat vector is cut.

    Attributes
    ----------
    shapes : tuple of tuple of int
        Of the differentiated values, in order.
    """

    shapes: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return sum(int(np.prod(shape)) for shape in self.shapes)

    def cut(self, vector: Any) -> list[Any]:
        """Cut a NumPy or JAX vector into arrays."""
        parts, begin = [], 0
        for shape in self.shapes:
            end = begin + int(np.prod(shape))
            parts.append(vector[begin:end].reshape(shape))
            begin = end
        return parts


def open_graph(logp: Any, values: Sequence[Any], held: Sequence[Any]) -> Any:
    """Make a graph of the log-density that rewrites may change, shared variables frozen at what they hold now.

    Parameters
    ----------
    logp : scalar tensor
        The log-density.
    values, held : sequence of tensors
        Inputs that are differentiated, and others.

    Returns
    -------
    pytensor.graph.fg.FunctionGraph

    Raises
    ------
    ModelError
        Where an operation of the graph changes its own gradient (``disconnected_grad`` and the like, or an
        ``OpFromGraph`` with a gradient of its own): JAX would not know of it.
    """
    import pytensor.tensor as pt
    from pytensor.compile.sharedvalue import SharedVariable
    from pytensor.graph.fg import FunctionGraph
    from pytensor.graph.replace import clone_replace

    above = _ancestors([logp])
    for variable in above:
        _refuse_own_gradient(variable)
    shared = {each: pt.constant(each.get_value()) for each in above if isinstance(each, SharedVariable)}
    if shared:
        (logp,) = clone_replace([logp], replace=shared)
    return FunctionGraph([*values, *held], [logp], clone=True)


def _ancestors(outputs: Sequence[Any]) -> list[Any]:
    return list(probes.ANCESTORS.find()(outputs))


def _refuse_own_gradient(variable: Any) -> None:
    node = variable.owner
    if node is None:
        return
    name = type(node.op).__name__
    # Subclasses are the libraries' own, whose gradients are derivatives.
    is_overridden = name == "OpFromGraph" and any(getattr(node.op, each, None) for each in _OVERRIDES)
    if name in _NOT_DERIVATIVES or is_overridden:
        raise ModelError(
            f"the model's graph holds {node.op}, which has a gradient of its own making. JAX differentiates what is "
            "computed and would not know of it: take PyTensor's gradient (backend jax, or firstgrad.fast_mode())"
        )
    # Graphs within the graph: a Scan's step, an OpFromGraph.
    inner = getattr(node.op, "fgraph", None)
    for each in _ancestors(inner.outputs) if inner is not None else ():
        _refuse_own_gradient(each)


def compile_direct(
    fgraph: Any, layout: Layout, start: tuple[NDArray[np.float64], Sequence[Any]], effort: Effort, *, with_logp: bool
) -> tuple[Callable[..., tuple[Any, Any]], Callable[[Effort], Callable[..., tuple[Any, Any]]]]:
    """Trace, differentiate and compile a rewritten log-density.

    Parameters
    ----------
    fgraph : pytensor.graph.fg.FunctionGraph
        Rewritten for JAX; its inputs are the differentiated values and then the held ones.
    layout : Layout
        Of the differentiated values.
    start : tuple of (array, sequence of arrays)
        A flat vector and the held values, for shapes and types.
    effort : Effort
        How hard XLA tries.
    with_logp : bool
        Whether the log-density is wanted, too; NaN stands for it otherwise, and what it alone needs isn't compiled.

    Returns
    -------
    tuple of callables
        One from a flat vector and held values to the log-density and its flat gradient; one that compiles the same
        again with another effort.
    """
    import jax

    write = write_function(fgraph)

    def logp(vector: Any, *held: Any) -> Any:
        return write(*layout.cut(vector), *held)[0]

    vector, held = start
    differentiated = jax.value_and_grad(logp) if with_logp else jax.grad(logp)
    lowered = jax.jit(differentiated).lower(vector, *held)

    def compile_with(effort: Effort) -> Callable[..., tuple[Any, Any]]:
        compiled = compile_lowered(lowered, effort)
        if with_logp:
            return compiled
        return lambda vector, *held: (math.nan, compiled(vector, *held))

    return compile_with(effort), compile_with
