"""A rewritten graph as a Python function of JAX arrays, without a compile for each constant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.observe import probes

if TYPE_CHECKING:
    from collections.abc import Callable


def write_function(fgraph: Any) -> Callable[..., tuple[Any, ...]]:
    """Write a graph as a Python function that JAX can trace.

    PyTensor's own way brings each constant to JAX by ``jnp.array``, which has XLA compile a copy for each new shape and
    type: 16 of them, a third of a second, for the pose model. ``jax.device_put`` compiles nothing. Graphs within the
    graph (of a Scan) are still written PyTensor's way.

    Parameters
    ----------
    fgraph : pytensor.graph.fg.FunctionGraph
        Rewritten for JAX.

    Returns
    -------
    callable
        From the graph's inputs to a tuple of its outputs.

    Raises
    ------
    NotImplementedError
        Where PyTensor has no JAX for an operation; it is named.
    """
    write = probes.GRAPH_TO_PYTHON.find()
    return write(  # type: ignore[no-any-return]  # PyTensor has no types
        fgraph, probes.JAX_FUNCIFY.find(), type_conversion_fn=to_jax, fgraph_name=probes.GRAPH_FUNCTION
    )


def to_jax(data: Any, dtype: Any = None, **context: Any) -> Any:
    """Bring a constant to JAX: a scalar as Python's number, an array without a compile, all else PyTensor's way."""
    if isinstance(data, np.ndarray):
        import jax

        return data.item() if data.ndim == 0 else jax.device_put(data if dtype is None else data.astype(dtype))
    return probes.JAX_TYPIFY.find()(data, dtype=dtype, **context)
