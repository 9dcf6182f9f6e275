"""A log-density as a graph of its values alone, its loops batched: what `fast_gradient` begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firstgrad.errors import ModelError
from firstgrad.fast.batching import batch
from firstgrad.linting.values import random_operations
from firstgrad.observe import probes

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOT_DERIVATIVES = ("DisconnectedGrad", "ZeroGrad", "GradClip", "GradScale", "UndefinedGrad")
_OVERRIDES = ("pullback_overrides", "lop_overrides", "grad_overrides")  # the newest name first


def open_graph(logp: Any, values: Sequence[Any], held: Sequence[Any]) -> tuple[Any, list[tuple[Any, ...]]]:
    """Make a graph of the log-density that rewrites may change, shared variables frozen at what they hold now.

    With it, of which values its inputs are, but for the held ones in the end: each of one, or a stack of several.

    Raises ModelError where an operation of the graph changes its own gradient (``disconnected_grad`` or the like, or an
    ``OpFromGraph`` with a gradient of its own): JAX would not know of it.
    """
    import pytensor.tensor as pt
    from pytensor.compile.sharedvalue import SharedVariable
    from pytensor.graph.fg import FunctionGraph
    from pytensor.graph.replace import clone_replace

    above = _ancestors([logp])
    for variable in above:
        _refuse_own_gradient(variable)
    if drawn := random_operations([logp]):
        raise ModelError(
            f"the log-density draws anew in each call ({', '.join(drawn)}), which JAX's own function can't. Take "
            "another backend (jax, numba)"
        )
    shared = {variable: pt.constant(variable.get_value()) for variable in above if isinstance(variable, SharedVariable)}
    if shared:
        (logp,) = clone_replace([logp], replace=shared)
    stacks: dict[tuple[Any, ...], Any] = {}

    def stack(several: tuple[Any, ...]) -> Any:
        if not set(several) <= set(values):
            return None
        kind = several[0].type
        return stacks.setdefault(several, pt.tensor(dtype=kind.dtype, shape=(len(several), *kind.shape)))

    (logp,) = batch([logp], stack=stack)
    inputs = [*values, *stacks.values(), *held]
    return FunctionGraph(inputs, [logp], clone=True), [*((one,) for one in values), *stacks]


def _ancestors(outputs: Sequence[Any]) -> list[Any]:
    return list(probes.ANCESTORS.find()(outputs))


def _refuse_own_gradient(variable: Any) -> None:
    node = variable.owner
    if node is None:
        return
    name = type(node.op).__name__
    # Subclasses are the libraries' own, whose gradients are derivatives.
    is_overridden = name == "OpFromGraph" and any(getattr(node.op, attribute, None) for attribute in _OVERRIDES)
    if name in _NOT_DERIVATIVES or is_overridden:
        raise ModelError(
            f"the model's graph holds {node.op}, which has a gradient of its own making. JAX differentiates what is "
            "computed and would not know of it: take PyTensor's gradient (backend jax, or firstgrad.fast_mode())"
        )
    # Graphs within the graph: a Scan's step, an OpFromGraph.
    inner = getattr(node.op, "fgraph", None)
    for within in _ancestors(inner.outputs) if inner is not None else ():
        _refuse_own_gradient(within)
