"""Rules about numbers: singular points that the data meet, masks after the arithmetic, formulas that lose digits.

The log-density's nodes are evaluated at a point beside the start, where nothing is 0 by chance. Only where one of them
is singular there is anything differentiated.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.linting.culprits import find_culprits, is_float
from firstgrad.linting.finding import Finding, FindingName, Harm
from firstgrad.linting.values import (
    Density,
    EvaluationError,
    NodeEvaluator,
    fast_run,
    operation_name,
    stabilise,
    without_compiler,
)
from firstgrad.observe.lines import walk
from firstgrad.record import OriginKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from firstgrad.linting.engine import LogpGraph
    from firstgrad.linting.values import NodeValues

_NAMES = {
    OriginKind.MASK: FindingName.MASK_AFTER_ARITHMETIC,
    OriginKind.POWER: FindingName.SINGULAR_AT_DATA,
    OriginKind.LOG: FindingName.SINGULAR_AT_DATA,
    OriginKind.ROOT: FindingName.SINGULAR_AT_DATA,
    OriginKind.DIVISION: FindingName.SINGULAR_AT_DATA,
    OriginKind.OVERFLOW: FindingName.UNSTABLE_FORMULA,
}
_BESIDE = 0.02  # of 1 + each value's size
_AWAY, _TRIED = {False: 2.0, True: 60.0}, 4
"""The same, to see whether a formula with exponentials, or with an error function, is lost; and at how many points."""
_OF_ONE_LINE = 2  # more formulas of one line aren't tried: a loop writes the same again and again
_FUNCTIONS = ("Exp", "Erf", "Erfc")
_LINEAR = ("Add", "Mul", "Sub", "Neg", "TrueDiv", "DimShuffle", "Sum", "CAReduce", "Dot", "Alloc", "Second", "Reshape")
_LOGS = ("Log", "Log2", "Log10")
_WHOLE: dict[str, Callable[..., Any]] = {
    "Add": lambda *values: sum(values),
    "Mul": lambda *values: functools.reduce(np.multiply, values),
    "Sub": np.subtract,
    "Sqr": np.square,
    "Pow": np.power,
}


def singular_points(graph: LogpGraph) -> Iterator[Finding]:
    """Find powers, logs, roots and quotients that meet their singular point at the data, masked or not."""
    point = point_beside(graph.model)
    if not all(np.isfinite(value).all() for value in point.values()):
        return  # the start itself is none: that is another rule's
    literal = NodeEvaluator(graph.model.value_vars, [term.logp for term in graph.terms], is_stabilised=False)
    try:
        values = literal.at(point)
    except EvaluationError:  # some graphs of PyMC's run only once they are rewritten
        literal = stabilise(graph.model, [term.logp for term in graph.terms])
        values = literal.at(point)
    bad = {output for node in literal.nodes if _is_singular(node, values) for output in node.outputs}
    if not bad:
        return
    for node in literal.nodes:
        if any(one in bad for one in node.inputs):
            bad.update(node.outputs)
    touched = [term for term, output in zip(graph.terms, literal.outputs, strict=True) if output in bad]
    density = Density(graph.model, [term.logp for term in touched], graph.lines, names=[term.name for term in touched])
    everywhere = {var.name: np.ones(np.shape(point[var.name]), dtype=bool) for var in graph.model.continuous_value_vars}
    seen = set()
    for node, origin in find_culprits(density, point, everywhere):
        lines = graph.lines.of(node)[:1] if node is not None else ()
        name = _NAMES.get(origin.kind)
        if name is not None and lines and (name, lines) not in seen:
            seen.add((name, lines))
            yield Finding(
                name=name,
                harm=Harm.WRONG,
                fact=f"{origin.fact}: gradient of {', '.join(origin.places[:3])}",
                lines=lines,
                variables=origin.variables,
                count=origin.values,
                nodes=1,
                instead=f"# {origin.instead}",
                backends=("jax_direct",) if origin.is_jaxs_own else (),
            )


@functools.lru_cache(maxsize=1)
def _start(model: Any) -> dict[str, NDArray[Any]]:
    """Ask for the start point, once a model: PyMC writes and compiles functions for it."""
    with without_compiler(fast_run()):
        return {name: np.asarray(value) for name, value in model.initial_point().items()}


def point_beside(model: Any, *, by: float = _BESIDE, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Choose a point near the start, at which no continuous value is where it is by chance."""
    rng = np.random.default_rng(seed)
    return {
        name: value + by * (1 + np.abs(value)) * rng.standard_normal(value.shape) if value.dtype.kind == "f" else value
        for name, value in _start(model).items()
    }


def _is_singular(node: Any, values: NodeValues) -> bool:
    """Whether a node's result isn't finite though its inputs are, or its derivative isn't where its result is."""
    name, inputs = operation_name(node), [values.get(one) for one in node.inputs]
    if any(_has(np.isnan, value) for value in inputs):
        return any(one.owner is None for one in node.inputs)  # the data's own
    if any(_has(np.isinf, value) for value in inputs):
        return False
    if any(_has(np.isnan, values.get(one)) or _has(np.isinf, values.get(one)) for one in node.outputs):
        return True
    numbers: list[NDArray[Any]] = [np.asarray(value) for value in inputs if value is not None]
    if name == "Pow":
        base, exponent = numbers
        return bool(((base == 0) & (exponent < 1) & (exponent != 0)).any())
    return name == "Sqrt" and bool((numbers[0] == 0).any())


def _has(what: Callable[[Any], Any], value: Any) -> bool:
    return is_float(value) and bool(np.any(what(value)))


# --- formulas by hand -----------------------------------------------------------------------------------------------


def unstable_formulas(graph: LogpGraph) -> Iterator[Finding]:
    """Find logs of exponentials and of error functions, written by hand, that PyTensor's rewrites don't mend."""
    tried: Counter[Any] = Counter()
    for node in graph.nodes:
        name = operation_name(node)
        if name not in _LOGS or not graph.is_free(node.outputs[0]) or not graph.lines.is_own(node):
            continue
        inner, others, is_sum = _boundary(node.inputs[0])
        lines = graph.lines.of(node)[:1]
        # Exponentials of PyMC's own are transforms of variables.
        is_by_hand = is_sum and any(graph.lines.is_own(one) and graph.is_free(one.outputs[0]) for one in inner)
        if not is_by_hand or tried[lines] >= _OF_ONE_LINE:
            continue
        tried[lines] += 1
        if all(_is_density(one.inputs[0]) for one in inner):
            tried[lines] = _OF_ONE_LINE
            yield _unstable(
                graph,
                node,
                "densities leave the logarithm to be added up, and return to it: the log of 0 wherever all of them are "
                "small",
                "pm.math.logsumexp(pt.log(weights) + logps, axis=-1)  # logps: of each, side by side; or pm.Mixture",
            )
            continue
        is_error = operation_name(inner[0]) != "Exp"
        points = [point_beside(graph.model, by=_AWAY[is_error], seed=seed) for seed in range(1, _TRIED + 1)]
        if _is_lost(graph, node, [*(one.inputs[0] for one in inner), *others], points):
            tried[lines] = _OF_ONE_LINE
            of = "an error function" if is_error else "a sum of exponentials"
            yield _unstable(
                graph,
                node,
                f"the log of {of}, written by hand, is the log of 0 not far from the start (tried there), and "
                "PyTensor's rewrites don't mend this one",
                "pm.logcdf(pm.Normal.dist(mu, sigma), x)  # the log of a normal's distribution function"
                if is_error
                else "pm.math.logsumexp(log_weights + exponents, axis=-1)  # stay with logarithms",
            )


def _is_density(variable: Any) -> bool:
    """Whether it is what PyMC gives as a log-density."""
    while variable.owner is not None and type(variable.owner.op).__name__ == "DimShuffle":
        variable = variable.owner.inputs[0]
    return variable.owner is not None and type(variable.owner.op).__name__ == "CheckParameterValue"


def _boundary(variable: Any) -> tuple[list[Any], list[Any], bool]:
    """Walk from a log's argument through sums and products to its exponentials and error functions.

    Returns these, what else goes into it, and whether anything is added up on the way.
    """
    inner, others, waiting, known, is_sum = [], [], [variable], set(), False
    while waiting:
        one = waiting.pop()
        if one in known:
            continue
        known.add(one)
        node = one.owner
        if node is not None and operation_name(node) in _FUNCTIONS:
            inner.append(node)
        elif node is not None and (operation_name(node) in _LINEAR or type(node.op).__name__ in _LINEAR):
            waiting += node.inputs
            is_sum = is_sum or operation_name(node) in ("Add", "Sub", "Sum", "Dot")
        elif node is not None or not hasattr(one, "data"):
            others.append(one)
    is_error = any(operation_name(one) != "Exp" for one in inner)
    return inner, others, is_sum or is_error


def _is_lost(graph: LogpGraph, node: Any, inputs: Sequence[Any], points: Sequence[dict[str, NDArray[Any]]]) -> bool:
    """Try the formula alone, rewritten as PyTensor does it: whether it takes the log of 0 at some points."""
    from pytensor.graph.fg import FunctionGraph
    from pytensor.graph.replace import clone_replace

    fresh = {variable: variable.type() for variable in inputs}
    for number, variable in enumerate(fresh.values()):
        variable.name = f"input {number}"
    (output,) = clone_replace([node.outputs[0]], replace=fresh)
    with without_compiler(fast_run()), np.errstate(all="ignore"):
        alone = FunctionGraph(list(fresh.values()), [output], clone=True)
        fast_run().optimizer.rewrite(alone)
    formula = NodeEvaluator(alone.inputs, alone.outputs, is_stabilised=True)
    before = NodeEvaluator(graph.model.value_vars, list(fresh), is_stabilised=False)
    for point in points:
        values = before.at(point)
        given = {variable.name: values[source] for source, variable in fresh.items()}
        result = np.asarray(formula.at(given)[formula.outputs[0]])
        is_given = all(np.isfinite(value).all() for value in given.values())
        if is_given and (np.isnan(result) | (result == -np.inf)).any():
            return True
    return False


def _unstable(graph: LogpGraph, node: Any, fact: str, instead: str) -> Finding:
    return Finding(
        name=FindingName.UNSTABLE_FORMULA,
        harm=Harm.WRONG,
        fact=fact,
        lines=graph.lines.of(node)[:1],
        variables=graph.depends_on(node.outputs[0]),
        nodes=sum(1 for _ in walk([node.outputs[0]])),
        instead=instead,
    )


# --- types ----------------------------------------------------------------------------------------------------------


def narrow_types(graph: LogpGraph) -> Iterator[Finding]:
    """Find what is computed in float32, whole numbers that overflow, and variables that are rounded."""
    whole = [node for node in graph.nodes if _is_whole(node)]
    values: NodeValues = {}
    if whole:
        evaluator = NodeEvaluator(graph.model.value_vars, [node.outputs[0] for node in whole], is_stabilised=False)
        values = evaluator.at(point_beside(graph.model))
    for node in graph.nodes:
        output, name = node.outputs[0], operation_name(node)
        dtype = getattr(output.type, "dtype", "")
        fact = instead = ""
        if node in whole:
            with np.errstate(all="ignore"):
                exact = _WHOLE[name](*(np.asarray(values[one], dtype=np.float64) for one in node.inputs))
            if not np.allclose(exact, np.asarray(values[output], dtype=np.float64), rtol=1e-6):
                fact = f"whole numbers of {dtype} overflow here: {_worst(exact, values[output])}"
                instead = '# make them floats before: data.astype("float64"); write numbers with a point: 90.0'
        elif name == "Cast" and graph.is_free(output) and graph.lines.is_own(node):
            before = str(node.inputs[0].type.dtype)
            if dtype == "float32" and before == "float64":
                fact = "what depends on variables is rounded to float32, to 7 digits, and so is its gradient"
                instead = '# leave the cast out, or cast to "float64"'
            elif dtype.startswith(("int", "uint")) and before.startswith("float"):
                fact = "what depends on variables is made a whole number: its gradient is 0 there"
                instead = "# interpolate between whole numbers, or sum the whole number out"
        if fact:
            yield Finding(
                name=FindingName.NARROW_TYPE,
                harm=Harm.WRONG,
                fact=fact,
                lines=graph.lines.of(node)[:1],
                variables=graph.depends_on(output),
                nodes=1,
                instead=instead,
            )


def _is_whole(node: Any) -> bool:
    dtype = str(getattr(node.outputs[0].type, "dtype", ""))
    return operation_name(node) in _WHOLE and type(node.op).__name__ == "Elemwise" and dtype.startswith(("int", "uint"))


def _worst(exact: NDArray[np.float64], got: Any) -> str:
    difference = np.abs(exact - np.asarray(got, dtype=np.float64))
    at = np.unravel_index(int(np.argmax(difference)), difference.shape)
    return f"{exact[at]:.0f} becomes {np.asarray(got)[at]}"
