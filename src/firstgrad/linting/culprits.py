"""Where a value that isn't finite is made, what of, and which of the user's lines that is.

A walk goes from the value back through what isn't finite, element by element where operations work so, to the first
operation whose result isn't finite though what goes into it is.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.grouping import grouped
from firstgrad.linting.source import statement_at
from firstgrad.linting.values import Density, NodeEvaluator, operation_name
from firstgrad.observe.lines import walk
from firstgrad.record import Origin, OriginKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from firstgrad.linting.values import NodeValues
    from firstgrad.observe.events import CodeLine
    from firstgrad.points import Point

_MASK_STEPS = 12
_WITH_A_POINT = "write whole numbers among its parameters with a point (90.0): PyTensor keeps small ones in 8 bits"
_LONGEST = 40  # of an operand that is written again, in characters

INSTEAD = {
    OriginKind.POWER: "keep the base above 0 before the power: pt.maximum({0}, 1e-6)",
    OriginKind.LOG: "keep what the log is taken of above 0 before: pt.log(pt.maximum({0}, 1e-300))",
    OriginKind.ROOT: "put a small number below the root: pt.sqrt({0} + 1e-12)",
    OriginKind.DIVISION: "keep the denominator away from 0 before dividing: pt.switch(pt.eq({0}, 0), 1, {0})",
    OriginKind.MASK: (
        "put a finite stand-in in the place of what is masked before the arithmetic, and mask afterwards: "
        "safe = pt.where(mask, {0}, 1.0), then pt.where(mask, f(safe), 0.0)"
    ),
    OriginKind.OVERFLOW: "exp overflows above 709: stay with logarithms (pm.math.logsumexp, pt.softplus), or scale",
    OriginKind.OUTSIDE: "look at observed values, bounds and parameters, or give another start (initval)",
    OriginKind.DATA: "leave these entries out, or let PyMC impute them (a masked array as observed)",
    OriginKind.EIGENVALUES: (
        "do without eigenvectors (a Cholesky factor, as pm.gp.Marginal has it), or set the points apart that make two "
        "rows alike"
    ),
}
"""What to write instead; ``{0}`` stands for what the line has there, or a name for it."""
_LOGS = ("Log", "Log2", "Log10", "Log1p", "XLogX", "XLogY0")
_NAMES = {
    OriginKind.POWER: ("Pow",),
    OriginKind.ROOT: ("Sqrt",),
    OriginKind.LOG: _LOGS,
    OriginKind.DIVISION: ("TrueDiv", "Reciprocal"),
}
_AT_ZERO = "the derivative of {} at 0 is infinite"
_OF_OPS = ("make_node", "pullback", "L_op", "grad")  # the line that uses an Op says more than one within it
_NO_PARAMETERS = frozenset({"observed", "dims", "shape", "initval", "transform", "default_transform", "total_size"})
_PLACEHOLDERS = {OriginKind.POWER: "base", OriginKind.DIVISION: "denominator"}


@dataclass(frozen=True, slots=True)
class Culprit:
    """An element of a node's result, or of a leaf, at which something begins to go wrong."""

    variable: Any  # whose element it is
    index: tuple[int, ...]
    kind: OriginKind
    fact: str  # a sentence without its full stop
    of: Any = None  # the variable that causes it: a base, a denominator
    via: Any = None  # the node whose line counts; the variable's own where there is none
    under: OriginKind | None = None  # of a mask: what it hides


class OriginFinder:
    """Finds where values that aren't finite are made.

    Parameters
    ----------
    values
        Of every variable of the graph, as `NodeEvaluator.at` gives them.
    forward
        The log-density's terms within that graph: what isn't needed for them is of the gradient.
    """

    def __init__(self, values: NodeValues, forward: Sequence[Any]) -> None:
        self._values = values
        self._forward = dict.fromkeys(walk(forward))
        self._clients = grouped((one, node) for node in self._forward for one in node.inputs)

    def find(self, variable: Any, index: tuple[int, ...]) -> Culprit:
        """Walk from an element that isn't finite to where that begins."""
        asked, before = variable, None
        zero = None  # the factor of 0 that met what is infinite
        while True:
            node = variable.owner
            ways = [] if node is None else list(self._not_finite_inputs(node, index))
            if not ways:
                break
            if operation_name(node) in ("Mul", "TrueDiv") and np.isnan(self._at(variable, index)):
                zero = self._zero_beside(node, index) or zero
            before = node
            variable, index = next((way for way in ways if np.isnan(self._at(*way))), ways[0])
        culprit = self._describe_leaf(variable, index, before) if node is None else self._describe(node, index)
        # Where only a gradient has the NaN of the data, a mask has hidden it from the log-density.
        is_masked = culprit.kind is OriginKind.DATA and self.is_of_gradient(asked)
        is_masked = is_masked or (zero is not None and self._is_masked(*zero))
        if not is_masked and node is not None and operation_name(node) == "TrueDiv":
            beside = self._zero_beside(node, index)
            is_masked = beside is not None and self._is_masked(*beside)
        if is_masked and culprit.kind is not OriginKind.OUTSIDE:
            return self._masked(culprit)
        return culprit

    def is_of_gradient(self, variable: Any) -> bool:
        """Whether the log-density does without it."""
        return variable.owner is not None and variable.owner not in self._forward

    # --- the walk -------------------------------------------------------------------------------------------------

    def _at(self, variable: Any, index: tuple[int, ...]) -> float:
        return float(np.asarray(self._values[variable])[index])

    def _not_finite_inputs(self, node: Any, index: tuple[int, ...]) -> Iterator[tuple[Any, tuple[int, ...]]]:
        for number, one in enumerate(node.inputs):
            if is_float(self._values.get(one)):
                place = self._place(node, number, index, lambda part: ~np.isfinite(part))
                if place is not None:
                    yield one, place

    def _place(
        self, node: Any, number: int, index: tuple[int, ...], wanted: Callable[[Any], Any]
    ) -> tuple[int, ...] | None:
        """Find the element of an input that is wanted and that an element of the result is computed from."""
        op, value = node.op, np.asarray(self._values[node.inputs[number]])
        kind = type(op).__name__
        if hasattr(op, "scalar_op") and kind == "Elemwise":
            if operation_name(node) == "Switch" and number and (number == 1) != bool(self._element(node, 0, index)):
                return None
            place = _broadcast(value, index)
        elif kind == "DimShuffle":
            to = {dimension: at for dimension, at in zip(op.new_order, index, strict=True) if dimension != "x"}
            place = tuple(to.get(dimension, 0) for dimension in range(value.ndim))
        else:
            mask = wanted(value)
            axes = getattr(op, "axis", None) if hasattr(op, "scalar_op") else None
            if axes is not None and number == 0 and len(index) == value.ndim - len(axes):
                rest = iter(index)
                mask = mask & _only(value.shape, {at: next(rest) for at in range(value.ndim) if at not in axes})
            places = np.argwhere(mask)
            return tuple(int(at) for at in places[0]) if len(places) else None
        return place if wanted(value[place]) else None

    def _element(self, node: Any, number: int, index: tuple[int, ...]) -> float:
        value = np.asarray(self._values[node.inputs[number]])
        return float(value[_broadcast(value, index)])

    def _zero_beside(self, node: Any, index: tuple[int, ...]) -> tuple[Any, tuple[int, ...]] | None:
        """Find an input that is 0 there: of a quotient what is above."""
        last = 1 if operation_name(node) == "TrueDiv" else len(node.inputs)
        for number, one in enumerate(node.inputs[:last]):
            place = self._place(node, number, index, lambda part: part == 0)
            if place is not None:
                return one, place
        return None

    def _is_masked(self, variable: Any, index: tuple[int, ...]) -> bool:
        """Whether a 0 comes from the branch of a `where` that wasn't taken."""
        waiting = [(variable, index)]
        for _ in range(_MASK_STEPS):
            if not waiting:
                return False
            variable, index = waiting.pop(0)
            node = variable.owner
            if node is None:
                continue
            if operation_name(node) == "Switch":
                taken = node.inputs[1 if self._element(node, 0, index) else 2]
                if taken.owner is None or not np.any(self._values[taken]):
                    return True
            if operation_name(node) in ("EQ", "NEQ", "LT", "GT", "LE", "GE", "And", "Or", "Invert"):
                return True  # 1 and 0 of a mask, by which something is multiplied
            for number, one in enumerate(node.inputs):
                if self._values.get(one) is not None and np.asarray(self._values[one]).dtype.kind in "fbiu":
                    place = self._place(node, number, index, lambda part: part == 0)
                    if place is not None:
                        waiting.append((one, place))
        return False

    # --- what it is -----------------------------------------------------------------------------------------------

    def _describe_leaf(self, variable: Any, index: tuple[int, ...], via: Any) -> Culprit:
        value = self._at(variable, index)
        if np.isinf(value) and via is not None and operation_name(via) in ("Switch", "IfElse"):
            condition = np.asarray(self._values[via.inputs[0]])
            fact = (
                "a parameter is outside of what its distribution allows"
                if condition.ndim == 0 or condition.size == 1
                else "the value is outside of where its distribution has any probability"
            )
            return Culprit(variable, index, OriginKind.OUTSIDE, fact, via=via)
        if not hasattr(variable, "data") and not hasattr(variable, "get_value"):
            return Culprit(variable, index, OriginKind.OUTSIDE, f"the start point is {_written(value)}", of=variable)
        name = f"{variable.name} holds" if variable.name else "the data hold"
        where = f" at {list(index)}" if index else ""
        return Culprit(variable, index, OriginKind.DATA, f"{name} {_written(value)}{where}", of=variable, via=via)

    def _masked(self, culprit: Culprit) -> Culprit:
        fact = (
            f"{culprit.fact}; a mask drops it after the arithmetic, and the derivative of what was dropped is "
            "0 times that, NaN"
        )
        return replace(culprit, kind=OriginKind.MASK, fact=fact, under=culprit.kind)

    def _describe(self, node: Any, index: tuple[int, ...]) -> Culprit:
        name, output = operation_name(node), node.outputs[0]
        kind, fact, of = OriginKind.OTHER, f"{name} gives {_written(self._at(output, index))}", None
        if type(node.op).__name__ == "Elemwise":
            numbers = [self._element(node, number, index) for number in range(len(node.inputs))]
            kind, fact, of = self._describe_scalar(node, name, numbers)
        elif name in ("Eigh", "SVD", "SVDDecomposition"):
            kind = OriginKind.EIGENVALUES
        elif name == "Cholesky":
            fact = "a matrix isn't positive definite, so it has no Cholesky factor"
        return Culprit(output, index, kind, fact, of=of, via=self._whose(node, kind, of))

    def _describe_scalar(  # noqa: PLR0911 - a table of operations
        self, node: Any, name: str, numbers: list[float]
    ) -> tuple[OriginKind, str, Any]:
        is_derivative = node not in self._forward
        first = numbers[0]
        match name:
            case "Pow" if first == 0:
                if not is_derivative:
                    return OriginKind.POWER, f"0 to the power {numbers[1]:.3g} is infinite", node.inputs[0]
                if self._users(node.inputs[0], "Sqrt"):
                    return OriginKind.ROOT, _AT_ZERO.format("a square root"), node.inputs[0]
                fact = (
                    f"the derivative of x ** {numbers[1] + 1:.3g} at x = 0 is infinite, since the exponent is below 1"
                )
                return OriginKind.POWER, fact, node.inputs[0]
            case "Pow" if first < 0:
                return OriginKind.POWER, f"{first:.3g} to the power {numbers[1]:.3g} is no real number", node.inputs[0]
            case "Log" | "Log2" | "Log10" | "Log1p":
                of = first + 1 if name == "Log1p" else first
                what = "is infinite" if of == 0 else "is no real number"
                return OriginKind.LOG, f"log({of:.3g}) {what}", node.inputs[0]
            case "Sqrt":
                return OriginKind.ROOT, f"the square root of {first:.3g} is no real number", node.inputs[0]
            case "TrueDiv" | "Reciprocal" if numbers[-1] == 0:
                return self._describe_quotient(node, is_derivative=is_derivative)
            case "Exp" | "Expm1" | "Sinh" | "Cosh":
                return OriginKind.OVERFLOW, f"{name.lower()}({first:.3g}) is beyond the largest number", node.inputs[0]
            case "Mul" | "Add" | "Sub" | "Sqr" | "TrueDiv" | "Pow":
                return OriginKind.OVERFLOW, "a result is beyond the largest number, 1e308", None
        shown = ", ".join(f"{number:.3g}" for number in numbers[:4])
        return OriginKind.OTHER, f"{name}({shown}) isn't finite", None

    def _describe_quotient(self, node: Any, *, is_derivative: bool) -> tuple[OriginKind, str, Any]:
        below = node.inputs[-1]
        if is_derivative:
            roots = [one for one in _factors(below) if one.owner is not None and operation_name(one.owner) == "Sqrt"]
            if roots:
                return OriginKind.ROOT, _AT_ZERO.format("a square root"), roots[0].owner.inputs[0]
            if self._users(below, *_LOGS):
                return OriginKind.LOG, _AT_ZERO.format("a log"), below
            if self._users(below, "Pow"):
                return OriginKind.POWER, _AT_ZERO.format("a power whose exponent is below 1"), below
        return OriginKind.DIVISION, "the denominator is 0", below

    def _users(self, variable: Any, *names: str) -> list[Any]:
        """List the operations of the log-density that take a variable, or what it is a product of, by their names."""
        clients = (client for one in _factors(variable) for client in self._clients.get(one, ()))
        return [client for client in clients if operation_name(client) in names]

    def _whose(self, node: Any, kind: OriginKind, of: Any) -> Any:
        """Find the operation of the log-density whose derivative a node is a part of, by what both take."""
        if node in self._forward or of is None:
            return node
        return next(iter(self._users(of, *_NAMES.get(kind, ()))), node)


def _broadcast(value: NDArray[Any], index: tuple[int, ...]) -> tuple[int, ...]:
    """Find the element of an operand that an element of the result is computed from."""
    return tuple(0 if size == 1 else at for size, at in zip(value.shape, index, strict=True))


def _only(shape: tuple[int, ...], fixed: Mapping[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(fixed.get(at, slice(None)) for at in range(len(shape)))] = True
    return mask


def _factors(variable: Any) -> list[Any]:
    """List a variable, and what it is a product or a view of."""
    known, waiting = [], [variable]
    while waiting:
        one = waiting.pop()
        known.append(one)
        if one.owner is not None and (operation_name(one.owner) in ("Mul", "Sqr", "DimShuffle", "Second", "Alloc")):
            waiting += one.owner.inputs
    return known


def _written(value: float) -> str:
    return "NaN" if np.isnan(value) else "infinity" if value > 0 else "minus infinity"


def is_float(value: Any) -> bool:
    """Whether it is an array, or a number, of floats."""
    return isinstance(value, (np.ndarray, np.floating, float)) and np.asarray(value).dtype.kind in "fc"


# --- of a model -----------------------------------------------------------------------------------------------------


def find_origins(density: Density, point: Point, bad: Mapping[str, NDArray[np.bool_]]) -> tuple[Origin, ...]:
    """Find where the values of a gradient that aren't finite are made, and those of the log-density's terms.

    Parameters
    ----------
    density : Density
        Of the model.
    point : Point
        At which it was looked at.
    bad : mapping
        By value name: which values of the gradient aren't finite, as the compiled function has them.
    """
    return tuple(origin for _, origin in find_culprits(density, point, bad))


def find_culprits(
    density: Density, point: Point, bad: Mapping[str, NDArray[np.bool_]]
) -> tuple[tuple[Any, Origin], ...]:
    """Find the same, each with the node whose line it is, or None."""
    if not bad:
        return _origins_in(density, density.evaluator, point, {})[0]
    found, is_explained = _origins_in(density, density.gradient_evaluator, point, bad)
    if is_explained:
        return found
    # PyTensor's rewrites have mended it: JAX differentiates by itself.
    own, _ = _origins_in(density, density.literal_gradient_evaluator, point, bad)
    told = "(in JAX's own derivative; PyTensor's is finite)"
    return tuple((node, replace(one, fact=f"{one.fact} {told}", is_jaxs_own=True)) for node, one in own)


def _origins_in(
    density: Density, evaluator: NodeEvaluator, point: Point, bad: Mapping[str, NDArray[np.bool_]]
) -> tuple[tuple[tuple[Any, Origin], ...], bool]:
    """Find the origins in one graph; say also whether its gradient has any of what is bad."""
    values = evaluator.at(point)
    n_terms = len(density.terms)
    terms, parts = evaluator.outputs[:n_terms], evaluator.outputs[n_terms:]
    finder = OriginFinder(values, terms)
    rv_names = {density.model.rvs_to_values[rv].name: rv.name for rv in density.model.free_RVs}
    wanted = [(name, term, ~np.isfinite(values[term]), False) for name, term in zip(density.names, terms, strict=True)]
    for variable, part in zip(density.model.continuous_value_vars, parts, strict=False):
        mask, known = ~np.isfinite(values[part]), bad.get(variable.name)
        if known is not None:
            mask = mask & known if known.shape == mask.shape else mask
            wanted.append((rv_names[variable.name], part, mask, True))
    origins: dict[tuple[Any, OriginKind], Origin] = {}
    for name, variable, mask, is_gradient in wanted:
        index, count = first_place(mask)
        if not count:
            continue
        culprit = finder.find(variable, index)
        place, key = write_place(density.model, name, index), (culprit.via, culprit.kind)
        known_origin = origins.get(key)
        if known_origin is None:
            origins[key] = make_origin(density, culprit, place, count, is_gradient=is_gradient)
        else:
            places = tuple(dict.fromkeys((*known_origin.places, place)))
            origins[key] = replace(known_origin, places=places, values=known_origin.values + count)
    found = tuple((node, origin) for (node, _), origin in origins.items())
    return found, any(mask.any() for _, _, mask, is_gradient in wanted if is_gradient)


def first_place(mask: Any) -> tuple[tuple[int, ...], int]:
    """Find where a mask is set first, and count how often."""
    places = np.argwhere(mask)
    return (tuple(int(at) for at in places[0]) if len(places) else ()), len(places)


def make_origin(density: Density, culprit: Culprit, place: str, count: int, *, is_gradient: bool) -> Origin:
    """Write what was found as a part of a record."""
    lines = density.lines_of(culprit.via) if culprit.via is not None else ()
    leaf = culprit.of.name if culprit.of is not None and culprit.of.owner is None else None  # a clone: by its name
    rv = next((rv for rv in density.model.free_RVs if density.model.rvs_to_values[rv].name == leaf), None)
    lines = density.lines_of(rv) if rv is not None and not lines else lines
    is_own = density.lines is None or culprit.via is None or density.lines.is_own(culprit.via)
    return Origin(
        places=(place,),
        values=count,
        is_gradient=is_gradient,
        kind=culprit.kind,
        fact=culprit.fact,
        at=culprit.index,
        line=write_line(lines),
        variables=depends_on(density, culprit.of) if culprit.of is not None else (),
        instead=_WITH_A_POINT
        if rv is not None and any(_is_small_integer(one) for one in rv.owner.inputs)
        else _write_parameter(lines)
        if not is_own and OriginKind.LOG in (culprit.kind, culprit.under) and _is_at_zero(culprit.of)
        else write_instead(culprit.kind if is_own or culprit.under is None else culprit.under, lines),
    )


def _is_at_zero(variable: Any) -> bool:
    """Whether it is what a person gave that is 0, and not 1 minus that."""
    return variable is not None and (
        variable.owner is None or operation_name(variable.owner) not in ("Add", "Sub", "Neg")
    )


def _write_parameter(lines: Sequence[CodeLine]) -> str:
    """Say how to keep a parameter above 0 of which PyMC's own density takes a log: in there nobody can write."""
    statement = statement_at(lines[0]) if lines else None
    calls = (one for one in ast.walk(statement) if isinstance(one, ast.Call)) if statement is not None else ()
    call = next((one for one in calls if _is_named(one)), None)
    given = [] if call is None else [("", one) for one in call.args[1:]]
    given += [(f"{one.arg}=", one.value) for one in (call.keywords if call else ()) if one.arg not in _NO_PARAMETERS]
    # Numbers are above 0, and so are variables that are made here
    unknown = [(name, ast.unparse(one)) for name, one in given if not (isinstance(one, ast.Constant) or _is_named(one))]
    name, written = unknown[0] if len(unknown) == 1 else ("", "parameter")
    return f"keep it above 0, {name}pt.maximum({written}, 1e-300), or leave out the rows where it is 0"


def _is_named(node: ast.AST) -> bool:
    """Whether it is a call whose first argument is a text, as of what makes a variable."""
    is_call = isinstance(node, ast.Call) and bool(node.args)
    return is_call and isinstance(node.args[0], (ast.Constant, ast.JoinedStr))  # type: ignore[attr-defined]  # by the line above


def _is_small_integer(variable: Any) -> bool:
    """Whether a parameter is of constants that PyTensor keeps in 8 or 16 bits."""
    leaves = [variable] if variable.owner is None else [one for node in walk([variable]) for one in node.inputs]
    return any(hasattr(one, "data") and getattr(one.type, "dtype", "") in ("int8", "int16") for one in leaves)


def write_line(lines: Sequence[CodeLine]) -> str:
    """Write the innermost of the user's lines: file, number, text."""
    if not lines:
        return ""
    first = next((line for line in lines if line.function not in _OF_OPS), lines[0])
    return f"{first.file.rpartition('/')[2]}:{first.line}: {first.text.strip()}".rstrip(": ")


def write_instead(kind: OriginKind, lines: Sequence[CodeLine]) -> str:
    """Say what to write instead, with the line's own names where it can be read."""
    name = find_operand(lines[0].text, kind) if lines else ""
    return INSTEAD.get(kind, "").format(name or _PLACEHOLDERS.get(kind, "x"))


def find_operand(text: str, kind: OriginKind) -> str:
    """Find in a line of code what a power, log, root or quotient is taken of; '' unless it is the only one."""
    try:
        tree = ast.parse(text.strip().removeprefix("return ").rstrip(":"))
    except (SyntaxError, ValueError):
        return ""
    nodes = list(ast.walk(tree))
    calls = {"log": OriginKind.LOG, "log2": OriginKind.LOG, "log10": OriginKind.LOG, "sqrt": OriginKind.ROOT}
    operations = {ast.Pow: (OriginKind.POWER, "left"), ast.Div: (OriginKind.DIVISION, "right")}
    operands = []
    for node in nodes:
        if isinstance(node, ast.BinOp) and operations.get(type(node.op), ("",))[0] == kind:
            operands.append(getattr(node, operations[type(node.op)][1]))
        if isinstance(node, ast.Call) and node.args and calls.get(getattr(node.func, "attr", "")) == kind:
            operands.append(node.args[0])
    written = ast.unparse(operands[0]) if len(operands) == 1 else ""
    return written if len(written) <= _LONGEST else ""


def depends_on(density: Density, variable: Any) -> tuple[str, ...]:
    """Name what a variable is computed from: variables of the model in their order, then data."""
    names = {density.model.rvs_to_values[rv].name: rv.name for rv in density.model.basic_RVs}
    leaves = [variable] if variable.owner is None else [one for node in walk([variable]) for one in node.inputs]
    reached = {one.name for one in leaves if one.owner is None and one.name}
    return (*(name for value, name in names.items() if value in reached), *sorted(reached - set(names)))


def write_place(model: Any, name: str, index: tuple[int, ...]) -> str:
    """Name an element of a variable: by coordinates where its dims have them and its shape is theirs."""
    if not index:
        return name
    dims = (getattr(model, "named_vars_to_dims", None) or {}).get(name) or ()
    labels = []
    for at, dim in zip(index, dims, strict=False):
        coords = (model.coords or {}).get(dim)
        labels.append(f"{dim}={coords[at]}" if coords is not None and at < len(coords) else str(at))
    if len(labels) != len(index):
        labels = [str(at) for at in index]
    return f"{name}[{', '.join(labels)}]"
