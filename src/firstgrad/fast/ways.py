"""The ways to a gradient: who differentiates a frozen log-density, and who compiles it."""

from __future__ import annotations

import functools
import gc
import math
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.fast.function import Way
from firstgrad.fast.repeats import scalar_op
from firstgrad.fast.xla import write_function
from firstgrad.linting.refusals import explain_missing_gradient
from firstgrad.linting.values import (
    NodeEvaluator,
    as_tensor,
    fast_run,
    operation_name,
    rewrite_before_gradient,
    with_parameter_checks,
    without_compiler,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firstgrad.fast.freezing import ClosedGraph
    from firstgrad.fast.function import Function, Layout


@dataclass(frozen=True, kw_only=True)
class Differentiable:
    """A frozen log-density with all that is needed to compile its gradient."""

    model: Any
    density: ClosedGraph
    layout: Layout
    with_logp: bool

    def lower_direct(self, rewrite: Callable[[Any], object] | None = None) -> Any:
        """Have JAX trace and differentiate the log-density, which PyTensor has rewritten; lower it.

        Raises NotImplementedError naming the operation that PyTensor has no JAX for.
        """
        import jax

        density = self.density
        with undisturbed():
            fgraph = rewritten(self.model, [*density.sources, *density.held], density.outputs, rewrite)
            check_by_element(fgraph)
            _mend_kinks(fgraph)
            write = write_function(fgraph)
            is_used = [bool(fgraph.clients[source]) for source in fgraph.inputs[: len(density.places)]]
            cut = self.layout.cutter([place for place, used in zip(density.places, is_used, strict=True) if used])

            def logp(vector: Any, *held: Any) -> Any:
                parts = iter(cut(vector))
                return write(*(next(parts) if used else 0.0 for used in is_used), *held)[0]

            gradient = jax.grad(logp)
            return self._lower(jax.value_and_grad(logp) if self.with_logp else lambda *at: (gradient(*at),))

    def lower_differentiated(self) -> Any:
        """Have JAX trace and lower PyTensor's gradient."""
        with undisturbed():
            inputs, outputs = self._gradient_graph
            write = write_function(rewritten(self.model, inputs, outputs))
            return self._lower(write)

    def compile_by_pytensor(self, way: Way) -> Function:
        """Compile PyTensor's gradient by Numba or C, or take it as it is."""
        import pytensor

        inputs, outputs = self._gradient_graph
        if way is Way.INTERPRETER:
            return self._interpreted(inputs, outputs)
        with pytensor.config.change_flags(traceback__limit=0), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Numba will use object mode")  # a note says so
            function = pytensor.function(
                inputs, outputs, mode=with_parameter_checks(_mode(way), self.model), on_unused_input="ignore"
            )
        function.trust_input = True

        def call(vector: Any, *held: Any) -> tuple[Any, Any]:
            *logp, gradient = function(np.ascontiguousarray(vector), *held)
            return (logp[0] if logp else math.nan), gradient

        return call

    def _interpreted(self, inputs: list[Any], outputs: list[Any]) -> Function:
        from pytensor.graph.fg import FunctionGraph

        fgraph = FunctionGraph(inputs, outputs, clone=True)
        with without_compiler(fast_run()), np.errstate(all="ignore"):
            with_parameter_checks(fast_run(), self.model).optimizer.rewrite(fgraph)
        evaluator = NodeEvaluator(fgraph.inputs, fgraph.outputs, is_stabilised=True)
        names = [one.name for one in inputs]

        def call(*given: Any) -> tuple[Any, Any]:
            values = evaluator.at(dict(zip(names, given, strict=True)))
            *logp, gradient = (values[output] for output in evaluator.outputs)
            return (logp[0] if logp else math.nan), gradient

        return call

    def _lower(self, function: Callable[..., Any]) -> Any:
        import jax

        held = [jax.ShapeDtypeStruct(one.type.shape, one.type.dtype) for one in self.density.held]
        # All is kept, so that whoever has the executable alone knows what it takes.
        return jax.jit(function, keep_unused=True).lower(jax.ShapeDtypeStruct((self.layout.size,), np.float64), *held)

    @functools.cached_property
    def _gradient_graph(self) -> tuple[list[Any], list[Any]]:
        """PyTensor's gradient as PyMC writes it: from a flat vector and held values to log-density and flat gradient.

        Raises ModelError where an operation has none.
        """
        import pytensor
        import pytensor.tensor as pt
        from pytensor.gradient import NullTypeGradError
        from pytensor.graph.replace import clone_replace
        from pytensor.graph.utils import MethodNotDefined

        density, sources = self.density, self.density.sources
        cost = rewrite_before_gradient(density.outputs[0])
        try:
            parts = pytensor.grad(cost, sources, disconnected_inputs="ignore", return_disconnected="none")
        except (NotImplementedError, MethodNotDefined, NullTypeGradError) as error:
            raise explain_missing_gradient(error, cost, sources) from error
        cut, numbers = self.layout.cutter(density.places), np.arange(self.layout.size)
        places = [np.ravel(one) for one, part in zip(cut(numbers), parts, strict=True) if part is not None]
        parts = [as_tensor(part).ravel() for part in parts if part is not None]
        where = np.concatenate(places) if places else numbers[:0]
        gradient = pt.concatenate(parts).astype("float64") if parts else pt.zeros(0)
        if len(where) != len(numbers) or (np.sort(where) != numbers).any():
            gradient = pt.zeros(len(numbers))[where].inc(gradient)
        elif (where != numbers).any():
            gradient = gradient[np.argsort(where)]
        flat = pt.vector("flat values", shape=(len(numbers),), dtype="float64")
        given = {source: _as_type(part, source.type) for source, part in zip(sources, cut(flat), strict=True)}
        outputs = clone_replace([cost, gradient], replace=given)
        return [flat, *density.held], outputs if self.with_logp else outputs[1:]


def _mend_kinks(fgraph: Any) -> None:
    """Have absolute values the derivative 0 at 0, as PyTensor has it, instead of 1: Laplace priors start there."""
    import pytensor.tensor as pt

    for node in list(fgraph.apply_nodes):
        (value, *_) = node.inputs or [None]
        if operation_name(node) == "Abs" and value.type.dtype.startswith("float"):
            fgraph.replace(node.outputs[0], value * pt.sign(value), import_missing=True)


def _as_type(part: Any, kind: Any) -> Any:
    """Have a part of a vector the type of a value: another precision, or names of dimensions."""
    part = part.astype(kind.dtype)
    if not hasattr(kind, "dims"):
        return part
    from pytensor.xtensor import as_xtensor

    return as_xtensor(part, dims=kind.dims)


def rewritten(model: Any, inputs: list[Any], outputs: list[Any], rewrite: Callable[[Any], object] | None = None) -> Any:
    """Rewrite a clone of a model's graph, as PyTensor does it for JAX where nothing else is given."""
    from pytensor.compile.mode import JAX
    from pytensor.graph.fg import FunctionGraph

    fgraph = FunctionGraph(inputs, outputs, clone=True)
    keep_logarithms(fgraph)
    (rewrite or with_parameter_checks(JAX, model).optimizer.rewrite)(fgraph)
    return fgraph


def _mode(way: Way) -> Any:
    from pytensor.compile.mode import Mode, get_mode

    return get_mode("NUMBA") if way is Way.NUMBA else Mode("cvm", "fast_run")


def is_there(way: Way) -> bool:
    """Say whether what compiles is installed."""
    import pytensor

    if way is Way.NUMBA:  # looking for it reads the folder of all packages
        return find_spec("numba") is not None
    return way is not Way.C or bool(pytensor.config.cxx)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Spare what takes time and serves nothing here.

    Python's collector would look through all that imports have made, again and again; and PyTensor would note where in
    the code each of its passing nodes was made.
    """
    import pytensor

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with pytensor.config.change_flags(traceback__limit=0):
            yield
    finally:
        if was_enabled:
            gc.enable()


# --- fewer kernels --------------------------------------------------------------------------------------------------
# XLA compiles a density as some dozens of small loops, each by itself, and that is most of a cold compile.

_SCALARS = ("ScalarFromTensor", "TensorFromScalar")


def keep_logarithms(fgraph: Any) -> None:
    """Go on with what an exponential is of, where its logarithm or root is taken; before a graph is rewritten.

    Positive values are exponentials in PyMC, and standard deviations often roots of them. PyTensor sees ``log(exp(x))``
    where nothing stands between; a broadcast, an index or a switch is looked through here.
    """
    import pytensor.tensor as pt

    for node in fgraph.toposort():
        if type(node.op).__name__ != "Elemwise" or (name := scalar_op(node.op)) not in ("log", "sqrt"):
            continue
        inner = _logarithm(node.inputs[0])
        made = inner if inner is None or name == "log" else pt.exp(_half(inner))
        if made is not None and made.type == node.outputs[0].type:
            fgraph.replace(node.outputs[0], made, reason="keep_logarithms")


def _logarithm(variable: Any) -> Any:
    """Write the logarithm of what is made of exponentials without taking it; None of all else."""
    import pytensor.tensor as pt

    node = variable.owner
    if node is None:
        return None
    name = scalar_op(node.op) if type(node.op).__name__ == "Elemwise" else type(node.op).__name__
    made = None
    if name == "exp":
        made = node.inputs[0]
    elif name in ("DimShuffle", "Subtensor", "sqrt") and (inner := _logarithm(node.inputs[0])) is not None:
        made = _half(inner) if name == "sqrt" else node.op(inner, *node.inputs[1:])
    elif _is_switch(node):
        condition, *branches = node.inputs
        constants = [_constant(branch) for branch in branches]
        logarithms = [
            _logarithm(branch) if data is None else pt.constant(np.log(data)) if (data > 0).all() else None
            for branch, data in zip(branches, constants, strict=True)
        ]
        if all(one is not None for one in logarithms) and any(data is None for data in constants):
            made = pt.switch(condition, *logarithms)
    return made if made is not None and made.type == variable.type else None


def _constant(variable: Any) -> Any:
    """Read a constant, or a number that is broadcast, as double precision; None of all else."""
    inner = variable
    while inner.owner and type(inner.owner.op).__name__ == "DimShuffle":
        (inner,) = inner.owner.inputs
    data = getattr(inner, "data", None)
    if inner.owner or not isinstance(data, np.ndarray) or (inner is not variable and data.size != 1):
        return None
    return data.astype("float64").reshape((1,) * variable.type.ndim if data.size == 1 else data.shape)


def _half(variable: Any) -> Any:
    return variable * np.asarray(0.5, dtype=variable.type.dtype)


def check_by_element(fgraph: Any) -> None:
    """Have parameters checked element by element, in a log-density that was rewritten for JAX.

    PyMC checks all elements of a parameter together, and makes all terms -inf where one is refused: a loop of its own
    before every density. Where these terms are all added up to the log-density, one of -inf is enough.
    """
    import pytensor.tensor as pt

    waiting = list(fgraph.outputs)
    while waiting:
        variable = waiting.pop()
        node = variable.owner
        if node is None or variable.type.ndim:
            continue
        if type(node.op).__name__ == "Elemwise" and scalar_op(node.op) == "add":
            waiting += node.inputs
        elif type(node.op).__name__ == "Sum" and _is_switch(chosen := node.inputs[0].owner):
            condition, terms, other = chosen.inputs
            parts = _checked_together(condition)
            is_refusal = (data := _constant(other)) is not None and bool((data == -np.inf).all())
            if parts and is_refusal and all(_fits(one, terms) for one in parts):
                checked = pt.switch(functools.reduce(pt.and_, parts), terms, other)
                fgraph.replace(variable, node.op(checked), reason="check_by_element")


def _checked_together(condition: Any) -> list[Any]:
    """Find the conditions whose elements must all hold for this one, if it is such a one; else none."""
    while condition.owner and type(condition.owner.op).__name__ in ("DimShuffle", *_SCALARS):
        (condition,) = condition.owner.inputs
    if condition.owner is None or type(condition.owner.op).__name__ != "All" or condition.type.ndim:
        return []
    (whole,) = condition.owner.inputs
    if whole.owner is None or type(whole.owner.op).__name__ != "MakeVector":
        return [whole]
    parts = [_checked_together(part) for part in whole.owner.inputs]
    return [one for part in parts for one in part] if all(parts) else []


def _fits(condition: Any, terms: Any) -> bool:
    """Whether each element of a condition belongs to some of the terms."""
    shape, wanted = condition.type.shape, terms.type.shape
    return len(shape) <= len(wanted) and all(
        n is not None and n in (1, m) for n, m in zip(reversed(shape), reversed(wanted), strict=False)
    )


def _is_switch(node: Any) -> bool:
    return type(getattr(getattr(node, "op", None), "scalar_op", None)).__name__ == "Switch"
