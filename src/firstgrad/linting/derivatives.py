"""Derivatives one by one: each operation of a graph apart from it, and what explains a gradient that is wrong."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.agreement import LocalDerivative
from firstgrad.linting.culprits import INSTEAD, depends_on, find_origins, is_float, write_line
from firstgrad.linting.values import Density, NodeEvaluator, fast_run, operation_name, without_compiler
from firstgrad.observe.lines import deep_traces
from firstgrad.points import Group
from firstgrad.record import OriginKind, WrongDerivative

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from firstgrad.linting.values import NodeValues
    from firstgrad.points import Point
    from firstgrad.record import Origin

_EQUAL = 1e-12  # of the largest: eigenvalues closer than that differ by rounding
_PLAIN_MODULES = (
    "pytensor.tensor.elemwise",
    "pytensor.tensor.subtensor",
    "pytensor.tensor.shape",
    "pytensor.tensor.basic",
)
_PLAIN_SCALARS = "pytensor.scalar.basic"


def local_derivatives(density: Density, point: Point, names: Sequence[str]) -> Iterator[LocalDerivative]:
    """Yield the operations that some variables go through and whose derivative isn't plain arithmetic."""
    values = density.evaluator.at(point)
    wanted = set(names)
    for node in density.evaluator.nodes:
        if _is_plain(node):
            continue
        reached = [depends_on(density, one) for one in node.inputs]
        if any(wanted & set(each) for each in reached):
            try:
                local = _local(density, node, values, reached)
            except Exception:  # noqa: BLE001, S112 - an Op of the user's may refuse whatever it isn't used to
                continue
            if local is not None:
                yield local


def nearly_equal_eigenvalues(density: Density, point: Point) -> WrongDerivative | None:
    """Find an eigendecomposition with eigenvalues that differ by rounding only: its derivative divides by that."""
    values = density.evaluator.at(point)
    for node in density.evaluator.nodes:
        if operation_name(node) in ("Eigh", "SVD") and len(node.outputs) > 1:
            spectrum = np.sort(np.asarray(values[node.outputs[0 if operation_name(node) == "Eigh" else 1]]).ravel())
            if np.diff(spectrum).min(initial=np.inf) <= _EQUAL * np.abs(spectrum).max(initial=0.0):
                return WrongDerivative(
                    operation=operation_name(node),
                    input="a matrix with eigenvalues that nearly coincide",
                    variables=depends_on(density, node.inputs[0]),
                    line=write_line(density.lines_of(node)),
                    instead=INSTEAD[OriginKind.EIGENVALUES],
                )
    return None


def _is_plain(node: Any) -> bool:
    scalar = getattr(node.op, "scalar_op", None)
    if scalar is not None:
        return type(scalar).__module__ == _PLAIN_SCALARS
    return type(node.op).__module__.startswith(_PLAIN_MODULES)


def _local(density: Density, node: Any, values: NodeValues, reached: list[tuple[str, ...]]) -> LocalDerivative | None:
    import pytensor
    import pytensor.tensor as pt

    inputs = []
    for number, one in enumerate(node.inputs):
        fresh = one
        if one.owner is not None or one.name is not None:
            fresh = one.type()
            fresh.name = f"input {number + 1}"
        inputs.append(fresh)
    given = {
        fresh.name: np.asarray(values[one]) for fresh, one in zip(inputs, node.inputs, strict=True) if fresh is not one
    }
    by = [
        number
        for number, fresh in enumerate(inputs)
        if fresh is not node.inputs[number] and is_float(given[fresh.name])
    ]
    outputs = node.op.make_node(*inputs).outputs
    rng = np.random.default_rng(0)
    with without_compiler(fast_run()):
        cost = pt.add(
            *(
                (output * rng.standard_normal(np.shape(values[original]))).sum()
                for output, original in zip(outputs, node.outputs, strict=True)
                if is_float(values[original])
            )
        )
        parts = pytensor.grad(cost, [inputs[number] for number in by], disconnected_inputs="ignore")
    named = [fresh for fresh, one in zip(inputs, node.inputs, strict=True) if fresh is not one]
    alone = NodeEvaluator(named, [cost], is_stabilised=True)
    gradients = NodeEvaluator(named, [pt.as_tensor_variable(part) for part in parts], is_stabilised=True)
    derived = gradients.at(given)
    flat = [np.ravel(np.asarray(derived[part], dtype=np.float64)) for part in gradients.outputs]
    return LocalDerivative(
        operation=operation_name(node),
        line=write_line(density.lines_of(node)),
        inputs=tuple(Group(f"input {number + 1}", np.shape(given[inputs[number].name])) for number in by),
        variables=tuple(reached[number] for number in by),
        point=given,
        gradient=np.concatenate(flat),
        value=lambda at: float(alone.at(at)[cost]),
    )


class GraphExplainer:
    """What can be told of a model's log-density without the compiled function.

    Parameters
    ----------
    density
        Of the model that was compiled.
    rebuild
        Builds it once more, for PyTensor to note where each node is made; asked only where something is wrong.
    """

    def __init__(self, density: Density, rebuild: Callable[[], Any]) -> None:
        self._given, self._rebuild = density, rebuild

    @property
    def random_operations(self) -> tuple[str, ...]:
        """Operations that draw anew in each call."""
        return self._given.random_operations

    @property
    def rewriting_seconds(self) -> float:
        """What it took to stabilise the terms' graph."""
        return self._given.rewriting_seconds

    @functools.cached_property
    def density(self) -> Density:
        """The density with the lines of its nodes."""
        with deep_traces():
            return Density.with_lines(self._rebuild())

    def origins(self, point: Point, bad: Mapping[str, NDArray[np.bool_]]) -> tuple[Origin, ...]:
        """Find where values that aren't finite are made; see `find_origins`."""
        return find_origins(self.density, point, bad) or find_origins(self._given, point, bad)

    def derivatives(self, point: Point, names: Sequence[str]) -> Iterator[LocalDerivative]:
        """Yield the operations that some variables go through; see `local_derivatives`."""
        return local_derivatives(self.density, point, names)

    def nearly_equal(self, point: Point) -> WrongDerivative | None:
        """Find an eigendecomposition whose derivative can't be right."""
        return nearly_equal_eigenvalues(self.density, point)
