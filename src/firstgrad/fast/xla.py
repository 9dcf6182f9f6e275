"""XLA by way of PyTensor: how hard it tries, graphs without a compile for each constant, ``fast_mode()``."""

from __future__ import annotations

import functools
import inspect
import math
import re
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from firstgrad.case import BackendName
from firstgrad.errors import BackendUnavailable
from firstgrad.observe import probes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


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


_SUMS_IN_TURN = {"xla_disable_hlo_passes": "tree_reduction_rewriter"}
_MOST_IN_TURN = 2**15
"""Numbers of which a sum loses no more than 4e-12 of their sizes, added one after the other."""
_OPTIONS: dict[Effort, dict[str, Any]] = {
    Effort.FULL: {},
    Effort.NORMAL: {"xla_backend_optimization_level": 1},
    Effort.LEAST: {"xla_backend_optimization_level": 0} | _SUMS_IN_TURN,
}


_UNKNOWN_OPTION = ("No such compile option", "Protocol Buffer reflection")
"""What XLA says where it doesn't know an option, or, up to JAX 0.4.31, doesn't take lists."""


def xla_options(effort: Effort) -> dict[str, Any]:
    """List the options of XLA's compiler for an effort, as ``jax.jit(compiler_options=...)`` takes them."""
    return dict(_OPTIONS[effort])


def compile_lowered(lowered: Any, effort: Effort) -> Callable[..., Any]:
    """Compile a jitted function that JAX lowered, without those options that this XLA doesn't know.

    Sums of a function whose arrays are all small aren't split into trees, unless all effort is wanted: it saves a
    third of the kernels, and costs no digits.
    """
    options = xla_options(effort) | (_SUMS_IN_TURN if effort is not Effort.FULL and is_small(lowered) else {})
    while options:
        try:
            return lowered.compile(compiler_options=options)  # type: ignore[no-any-return]  # JAX's stages are Any here
        except RuntimeError as error:  # JAX's own name for it came after 0.4.31
            if not any(text in str(error) for text in _UNKNOWN_OPTION):
                raise
            options.popitem()  # the last one is the newest
    return lowered.compile()  # type: ignore[no-any-return]


def is_small(lowered: Any) -> bool:
    """Return whether no array of what JAX lowered is so large that its sum must be split into a tree for its digits."""
    shapes = re.findall(r"tensor<((?:\d+x)*)", lowered.as_text())
    sizes = (math.prod(map(int, shape.split("x")[:-1])) for shape in set(shapes))
    return all(size <= _MOST_IN_TURN for size in sizes)


def require_jax(name: BackendName = BackendName.JAX_DIRECT) -> None:
    """Look for JAX, and switch its 64 bits on, as PyTensor does where it is to write functions for JAX.

    Raises BackendUnavailable where JAX isn't installed.
    """
    if find_spec("jax") is None:
        raise BackendUnavailable(name, "the package jax", 'pip install "firstgrad[jax]"')
    import jax
    import pytensor

    jax.config.update("jax_enable_x64", pytensor.config.floatX == "float64")


def write_function(fgraph: Any) -> Callable[..., tuple[Any, ...]]:
    """Write a graph, rewritten for JAX, as a Python function of its inputs that JAX can trace: a tuple of its outputs.

    PyTensor's own way brings each constant to JAX by ``jnp.array``, which has XLA compile a copy for each new shape and
    type: 16 of them, a third of a second, for the pose model. ``jax.device_put`` compiles nothing. Graphs within the
    graph (of a Scan) are still written PyTensor's way. Raises NotImplementedError naming the operation that PyTensor
    has no JAX for.
    """
    import jax

    write, write_operation = probes.GRAPH_TO_PYTHON.find(), probes.JAX_FUNCIFY.find()

    def write_own(op: Any, node: Any = None, **context: Any) -> Any:
        # JAX's own softplus has less to compile, and a sound derivative.
        if type(getattr(op, "scalar_op", None)).__name__ == "Softplus":
            return jax.nn.softplus
        own = None if node is None else _write_primitive(op, node)
        return write_operation(op, node=node, **context) if own is None else own

    return write(  # type: ignore[no-any-return]  # PyTensor has no types
        fgraph, write_own, type_conversion_fn=to_jax, fgraph_name=probes.GRAPH_FUNCTION
    )


_PRIMITIVES = {
    "Add": "add",
    "Sub": "sub",
    "Mul": "mul",
    "TrueDiv": "div",
    "Neg": "neg",
    "Exp": "exp",
    "Expm1": "expm1",
    "Log": "log",
    "Log1p": "log1p",
    "Sqr": "square",
    "Sqrt": "sqrt",
    "Sigmoid": "logistic",
    "Tanh": "tanh",
    "Sin": "sin",
    "Cos": "cos",
    "Sign": "sign",
    "Maximum": "max",
    "Minimum": "min",
    "Switch": "select",
    "AND": "bitwise_and",
    "OR": "bitwise_or",
    "LT": "lt",
    "LE": "le",
    "GT": "gt",
    "GE": "ge",
    "EQ": "eq",
    "NEQ": "ne",
}
"""JAX's primitive for what PyTensor does to each element, by PyTensor's name for it."""
_ON_BOOLEANS, _COMPARISONS, _OF_MANY = ("AND", "OR"), ("LT", "LE", "GT", "GE", "EQ", "NEQ"), ("Add", "Mul", "AND", "OR")


def _write_primitive(op: Any, node: Any) -> Callable[..., Any] | None:
    """Write an operation by JAX's primitives; None where it isn't known, or an array has no known shape.

    PyTensor writes it by ``jax.numpy``, whose functions are jitted: JAX traces, differentiates, transposes and lowers a
    function of its own for each operation of the graph. A primitive is one equation.
    """
    write = {"Elemwise": _write_elementwise, "DimShuffle": _write_dimshuffle, "Sum": _write_sum}.get(type(op).__name__)
    types = [variable.type for variable in (*node.inputs, *node.outputs)]
    is_known = all(None not in getattr(kind, "shape", (None,)) for kind in types)
    return write(op, types[:-1], types[-1]) if write and is_known else None


def _write_elementwise(op: Any, inputs: Sequence[Any], output: Any) -> Callable[..., Any] | None:
    import jax
    import numpy as np  # not above, as in `to_jax`
    from jax import lax

    name, shape = type(op.scalar_op).__name__, output.shape
    kinds = [np.dtype(kind.dtype) for kind in inputs]
    is_choice = name == "Switch"
    target = np.result_type(*kinds) if name in _COMPARISONS else np.dtype(output.dtype)
    if name not in _PRIMITIVES or target.kind != ("b" if name in _ON_BOOLEANS else "f"):
        return None
    if is_choice and kinds[0].kind != "b":
        return None
    target = jax.dtypes.canonicalize_dtype(target)  # single precision where JAX's 64 bits are off
    targets = [*kinds[:is_choice], *(target for _ in kinds[is_choice:])]
    primitive = getattr(lax, _PRIMITIVES[name])

    def fit(value: Any, kind: Any) -> Any:
        if not isinstance(value, jax.Array):
            value = kind.type(value)
        elif value.dtype != kind:
            value = lax.convert_element_type(value, kind)
        own = value.shape
        # Primitives take a number beside an array; but for the choice.
        if own == shape or not (own or is_choice):
            return value
        return lax.broadcast_in_dim(value, shape, tuple(range(len(shape) - len(own), len(shape))))

    def elementwise(*values: Any) -> Any:
        fitted = [fit(value, kind) for value, kind in zip(values, targets, strict=True)]
        return functools.reduce(primitive, fitted) if name in _OF_MANY else primitive(*fitted)

    return elementwise


def _write_dimshuffle(op: Any, inputs: Sequence[Any], output: Any) -> Callable[..., Any]:
    from jax import lax

    order = [*op.shuffle, *op.drop]
    is_in_order = order == sorted(order) or inputs[0].shape.count(1) == len(order)

    def dimshuffle(value: Any) -> Any:
        return lax.reshape(value if is_in_order else lax.transpose(value, order), output.shape)

    return dimshuffle


def _write_sum(op: Any, inputs: Sequence[Any], output: Any) -> Callable[..., Any] | None:
    import numpy as np  # as above
    from jax import lax

    (summed,) = inputs
    axes = tuple(range(len(summed.shape))) if op.axis is None else tuple(op.axis)
    if {summed.dtype, op.acc_dtype or summed.dtype} != {output.dtype} or np.dtype(summed.dtype).kind != "f":
        return None
    return lambda value: lax.reduce(value, np.zeros((), dtype=value.dtype), lax.add, axes) if axes else value


def to_jax(data: Any, dtype: Any = None, **context: Any) -> Any:
    """Bring a constant to JAX: a scalar as Python's number, an array without a compile, all else PyTensor's way."""
    import numpy as np  # not above: the backends' facts are read by a parent that needs no NumPy

    if isinstance(data, np.ndarray):
        import jax

        return data.item() if data.ndim == 0 else jax.device_put(data if dtype is None else data.astype(dtype))
    return probes.JAX_TYPIFY.find()(data, dtype=dtype, **context)


def fast_mode(effort: Effort | str = Effort.NORMAL) -> Any:
    """Make a mode that compiles sooner than ``mode="JAX"`` and computes the same.

    It differs in two points: constants are brought to JAX without a compile for each, and XLA has LLVM optimise less.
    Rewrites are those of ``"JAX"``. For nutpie, the default of ``pm.sample``, it does no more than ``backend="jax"``,
    since nutpie reads only the linker of a mode. For the least time see `firstgrad.fast_gradient`.

    Parameters
    ----------
    effort : Effort or str
        How hard XLA tries.

    Returns
    -------
    pytensor.compile.mode.Mode
        Give it where a function is compiled: ``model.compile_dlogp(mode=fast_mode())``.

    Raises
    ------
    BackendUnavailable
        Where JAX isn't installed.
    ValueError
        Where there is no such effort.
    """
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
            makers = (node for node in fgraph.apply_nodes if type(node.op).__name__ == "JAXShapeTuple")
            shapes = {size for node in makers for size in node.inputs}
            if any(type(entry.type).__name__.startswith("Random") or entry in shapes for entry in fgraph.inputs):
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
