"""The nodes of a graph at a point, one by one in Python, as a compiled function computes them; no compiler.

Who asks: ``check`` for the log-density's terms and for where a NaN is made, `firstgrad.check_gradient` for PyTensor's
own gradient, ``lint`` for the points at which an operation is singular.
"""

from __future__ import annotations

import functools
import time
import warnings
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.observe.lines import NodeLines, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from firstgrad.observe.events import CodeLine
    from firstgrad.points import Point

    type NodeValues = Mapping[Any, Any]

_MOST_OPERANDS = 31  # of NumPy's own functions, the result not counted
_RANDOM_STATES = ("RandomGeneratorType", "RandomType")
_NOT_DERIVATIVES = ("DisconnectedGrad", "ZeroGrad", "GradClip", "GradScale", "UndefinedGrad")
_OVERRIDES = ("pullback_overrides", "lop_overrides", "grad_overrides")  # the newest name first
_NOT_IN_PYTHON = (
    "cxx_only",
    "BlasOpt",
    "fusion",
    "inplace",
    "scan_reduce_trace_prealloc",
    "reuse_decomposition_multiple_solves",
)
"""Rewrites that change how a graph is computed and not what, or that need a compiler."""


class EvaluationError(Exception):
    """An operation raised: its node, and the error in one line."""

    def __init__(self, node: Any, error: Exception) -> None:
        reason = " ".join(str(error).split())[:200]
        super().__init__(f"{operation_name(node)} raised {type(error).__name__}: {reason}".rstrip(": "))
        self.node = node


class NodeEvaluator:
    """Evaluates every node that some variables need.

    Parameters
    ----------
    inputs
        Variables whose values a point has, by their names.
    outputs
        What is wanted.
    is_stabilised
        Whether graphs within the graph (a Scan's step) are rewritten as PyTensor does it before it compiles.
    """

    def __init__(self, inputs: Sequence[Any], outputs: Sequence[Any], *, is_stabilised: bool) -> None:
        from pytensor.compile.mode import Mode

        self.inputs, self.outputs, self.nodes = tuple(inputs), tuple(outputs), tuple(walk(outputs))
        self._mode = fast_run() if is_stabilised else Mode("py", None)
        self._cells: dict[Any, list[Any]] = {}
        self._thunks: list[Any] = []

    def at(self, point: Mapping[str, NDArray[Any]]) -> dict[Any, Any]:
        """Evaluate all nodes; give the value of each variable. Raises EvaluationError."""
        with without_compiler(self._mode), np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not self._cells:
                self._prepare()
            for variable, cell in self._cells.items():
                if variable.owner is not None:
                    cell[0] = None
                elif hasattr(variable, "get_value"):
                    cell[0] = variable.get_value(borrow=True)
            for variable in self.inputs:
                self._cells[variable][0] = np.asarray(point[variable.name], dtype=variable.type.dtype)
            for node, thunk in zip(self.nodes, self._thunks, strict=True):
                try:
                    thunk()
                except Exception as error:
                    raise EvaluationError(node, error) from error
        return {variable: cell[0] for variable, cell in self._cells.items()}

    def _prepare(self) -> None:
        for variable in (*self.inputs, *self.outputs, *(one for node in self.nodes for one in node.inputs)):
            if variable.owner is None:
                self._cells[variable] = [getattr(variable, "data", None)]
        for node in self.nodes:
            self._cells |= {output: [None] for output in node.outputs}
        computed = {variable: [variable.owner is None] for variable in self._cells}
        for node in self.nodes:
            try:
                self._thunks.append(self._thunk(node, computed))
            except Exception as error:
                raise EvaluationError(node, error) from error

    def _thunk(self, node: Any, computed: dict[Any, list[bool]]) -> Any:
        scalar = getattr(node.op, "scalar_op", None)
        fold = {"Add": np.add, "Mul": np.multiply}.get(type(scalar).__name__)
        if fold is not None and len(node.inputs) > _MOST_OPERANDS:
            sources, (target,) = [self._cells[one] for one in node.inputs], [self._cells[one] for one in node.outputs]

            def folded() -> None:
                target[0] = functools.reduce(fold, (source[0] for source in sources))

            return folded
        if (
            type(node.op).__name__ == "CheckParameterValue"
        ):  # as `with_parameter_checks` has it, where nothing is rewritten
            value, *conditions = [self._cells[one] for one in node.inputs]
            target = self._cells[node.outputs[0]]

            def checked() -> None:
                is_allowed = all(np.all(condition[0]) for condition in conditions)
                target[0] = value[0] if is_allowed else np.full_like(value[0], -np.inf)

            return checked
        return node.op.make_thunk(node, self._cells, computed, [], impl="py")


@contextmanager
def without_compiler(mode: Any) -> Iterator[None]:
    """Keep PyTensor from the C compiler, which constant folding and inner graphs would start."""
    import pytensor

    with pytensor.config.change_flags(cxx="", mode=mode):
        yield


@functools.cache
def fast_run() -> Any:
    """Make the mode of the interpreter that rewrites as PyTensor does it before it compiles."""
    from pytensor.compile.mode import Mode

    return Mode("py", "fast_run").excluding(*_NOT_IN_PYTHON)


def with_parameter_checks(mode: Any, model: Any) -> Any:
    """Have a mode treat the checks of parameters as PyMC's compile does: invalid ones give a log-density of -inf."""
    import pymc  # noqa: F401 - registers these rewrites

    is_checked = getattr(model, "check_bounds", True)
    return mode.including("local_check_parameter_to_ninf_switch" if is_checked else "local_remove_check_parameter")


def stabilise(model: Any, outputs: Sequence[Any]) -> NodeEvaluator:
    """Rewrite a clone of a model's graph as PyTensor does it before it compiles."""
    from pytensor.graph.fg import FunctionGraph

    values = model.value_vars
    leaves = {one: None for node in walk(outputs) for one in node.inputs if one.owner is None}
    others = [one for one in leaves if one not in values and not hasattr(one, "data")]
    mode = with_parameter_checks(fast_run(), model)
    with without_compiler(fast_run()), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = FunctionGraph([*values, *others], list(outputs), clone=True)
        mode.optimizer.rewrite(graph)
    # A shared variable's clone holds its value itself; one that is none is an input that nobody gives.
    return NodeEvaluator(graph.inputs[: len(values)], graph.outputs, is_stabilised=True)


class Density:
    """A model's log-density, and its gradient by PyTensor, at points.

    Parameters
    ----------
    model
        The `pm.Model`.
    terms
        Its terms as ``model.logp(sum=False)`` wrote them, where they are there already.
    names
        Theirs; of all terms of the model where left out.
    lines
        Who is to know the user's lines of all that is made; None where nobody asks.
    """

    def __init__(
        self,
        model: Any,
        terms: Sequence[Any] | None = None,
        lines: NodeLines | None = None,
        *,
        names: Sequence[str] | None = None,
    ) -> None:
        self.model, self.lines = model, lines
        self.terms = list(terms) if terms is not None else list(model.logp(sum=False))
        self.names = names if names is not None else [var.name for var in (*model.basic_RVs, *model.potentials)]
        self.rewriting_seconds = 0.0

    @classmethod
    def with_lines(cls, model: Any) -> Density:
        """Make one that knows the user's lines; best of a model that was built within `deep_traces`."""
        lines = NodeLines(model)
        with lines.following():
            terms = model.logp(sum=False)
        lines.mark_density(terms)
        return cls(model, terms, lines)

    def lines_of(self, node: Any) -> tuple[CodeLine, ...]:
        """Return the user's frames that made a node, innermost first."""
        return self.lines.of(node) if self.lines is not None else ()

    @contextmanager
    def _rewriting(self) -> Iterator[None]:
        began = time.perf_counter()
        with self.lines.following() if self.lines is not None else nullcontext():
            yield
        self.rewriting_seconds += time.perf_counter() - began

    def _filled(self, evaluator: NodeEvaluator) -> NodeEvaluator:
        if self.lines is not None:
            self.lines.fill(evaluator.nodes)
        return evaluator

    @functools.cached_property
    def random_operations(self) -> tuple[str, ...]:
        """Names of operations that draw anew in each call, such as those of a mini-batch."""
        return random_operations(self.terms)

    @functools.cached_property
    def evaluator(self) -> NodeEvaluator:
        """Of the stabilised terms."""
        with self._rewriting():
            made = stabilise(self.model, self.terms)
        return self._filled(made)

    def __call__(self, point: Point) -> dict[str, float]:
        """Give each term's sum, by the name of the variable or potential."""
        values = self.evaluator.at(point)
        return {
            name: float(np.sum(values[term])) for name, term in zip(self.names, self.evaluator.outputs, strict=True)
        }

    @functools.cached_property
    def gradient_evaluator(self) -> NodeEvaluator:
        """Of the stabilised terms, and of the gradient by each continuous value after them."""
        with self._rewriting():
            made = stabilise(
                self.model, [*self.terms, *self._differentiate(self.terms, self.model.continuous_value_vars)]
            )
        return self._filled(made)

    @functools.cached_property
    def literal_gradient_evaluator(self) -> NodeEvaluator:
        """Of the stabilised terms and their derivatives as they are, without a rewrite: as JAX takes its own."""
        stable = self.evaluator
        values = {variable.name: variable for variable in stable.inputs}
        with self._rewriting():
            by = [values[variable.name] for variable in self.model.continuous_value_vars]
            parts = self._differentiate(stable.outputs, by, is_rewritten=True)
        return self._filled(NodeEvaluator(stable.inputs, [*stable.outputs, *parts], is_stabilised=True))

    def _differentiate(self, terms: Sequence[Any], by: Sequence[Any], *, is_rewritten: bool = False) -> list[Any]:
        """Write the gradient of some terms as PyMC does, by one backward pass."""
        import pytensor
        import pytensor.tensor as pt

        with without_compiler(fast_run()):
            cost = pt.add(*(as_tensor(term).sum() for term in terms))
            cost = cost if is_rewritten else rewrite_before_gradient(cost)
            return [as_tensor(part) for part in pytensor.grad(cost, by, disconnected_inputs="ignore")]

    def gradient(self, point: Mapping[str, NDArray[Any]]) -> tuple[float, NDArray[np.float64]]:
        """Give the log-density and its flat gradient."""
        evaluator, n_terms = self.gradient_evaluator, len(self.terms)
        values = evaluator.at(point)
        logp = sum(float(np.sum(values[term])) for term in evaluator.outputs[:n_terms])
        parts = [np.ravel(np.asarray(values[part], dtype=np.float64)) for part in evaluator.outputs[n_terms:]]
        return logp, np.concatenate(parts)


def as_tensor(variable: Any) -> Any:
    """Take the array of a variable that has names of dimensions (``pymc.dims``)."""
    import pytensor.tensor as pt

    return variable.values if hasattr(variable.type, "dims") else pt.as_tensor_variable(variable)


def own_gradients(outputs: Sequence[Any]) -> Iterator[str]:
    """Name operations that change their own gradient (``disconnected_grad``, an ``OpFromGraph`` with overrides)."""
    for node in walk(outputs):
        name = type(node.op).__name__
        # Subclasses are the libraries' own, whose gradients are derivatives.
        is_overridden = name == "OpFromGraph" and any(getattr(node.op, attribute, None) for attribute in _OVERRIDES)
        if name in _NOT_DERIVATIVES or is_overridden:
            yield str(node.op)
        # Graphs within the graph: a Scan's step, an OpFromGraph.
        inner = getattr(node.op, "fgraph", None)
        if inner is not None:
            yield from own_gradients(inner.outputs)


def rewrite_before_gradient(cost: Any) -> Any:
    """Rewrite a graph as PyMC does before it differentiates, but where that would lose ``disconnected_grad``."""
    from pymc.pytensorf import rewrite_pregrad

    return cost if any(own_gradients([cost])) else rewrite_pregrad(cost)


def random_operations(outputs: Sequence[Any]) -> tuple[str, ...]:
    """Name the operations that some variables need and that draw anew in each call."""
    nodes = walk(outputs)
    drawn = [node for node in nodes if any(map(is_random_state, node.inputs))]
    return tuple(dict.fromkeys(operation_name(node).removesuffix("Op") for node in drawn))


def is_random_state(variable: Any) -> bool:
    """Whether a variable is a random generator."""
    return type(variable.type).__name__ in _RANDOM_STATES


def operation_name(node: Any) -> str:
    """Name a node's operation as PyTensor's users know it."""
    return operation_name_of(node.op)


def operation_name_of(op: Any) -> str:
    """Name an operation: by its scalar or core operation where it does that for each element."""
    inner = getattr(op, "scalar_op", None) or getattr(op, "core_op", None)
    return type(op).__name__ if inner is None else operation_name_of(inner)
