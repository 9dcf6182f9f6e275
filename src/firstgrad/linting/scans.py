"""Scans that a cumulative sum, a matrix product or one array operation would do: read from their inner graphs."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firstgrad.linting.engine import number_names
from firstgrad.linting.finding import Extent, Finding, FindingName, Harm, Pattern, estimate
from firstgrad.linting.source import find_call, replace_names
from firstgrad.observe.lines import reach, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from firstgrad.linting.engine import LogpGraph
    from firstgrad.observe.events import CodeLine

_LONGEST_KERNEL = 2000
"""Steps up to which a recursion over data is worth a matrix of steps by steps."""
_THROUGH = frozenset({"DimShuffle", "ExpandDims", "Cast", "SpecifyShape", "Squeeze", "TensorFromScalar"})
_ONE_BY_ONE = frozenset({"Elemwise", *_THROUGH})


def closed_forms(graph: LogpGraph) -> Iterator[Finding]:
    """Find scans that have a closed form."""
    for node in graph.distinct:
        if type(node.op).__name__ == "Scan" and graph.lines.is_own(node):
            yield from _look(graph, node)


def _look(graph: LogpGraph, node: Any) -> Iterator[Finding]:
    op, info = node.op, node.op.info
    if info.as_while or info.n_mit_mot or info.n_mit_sot or info.n_untraced_sit_sot:
        return
    steps, lines = getattr(node.inputs[0], "data", None), graph.lines.of(node)
    count = int(steps) if steps is not None else 1
    inner = list(walk(op.inner_outputs))
    pattern = Pattern.ADDING
    names = number_names(name for one in node.inputs for name in graph.depends_on(one))
    if not info.n_sit_sot:
        is_simple = all(type(one.op).__name__ in _ONE_BY_ONE for one in inner) or _takes_rows(op)
        fact = "a scan carries nothing from step to step: one array operation computes all steps at once"
        instead = _mapped(lines, is_simple=is_simple)
    elif info.n_sit_sot == 1 and not info.n_nit_sot:
        step = _read_step(op)
        if not step:
            return
        if step == "recursion":
            is_data = info.n_seqs and not any(graph.is_free(one) for one in op.outer_seqs(node.inputs))
            if not is_data or steps is None or count > _LONGEST_KERNEL:
                return
            fact = (
                "a scan lets data fade by a constant factor from step to step: a convolution, which one product with a "
                "matrix of powers computes; it compiles a little sooner with Numba, and not with JAX"
            )
            instead, pattern = _convolved(lines), Pattern.FADING
        else:
            function = "pt.cumsum" if step == "sum" else "pt.cumprod"
            fact = f"a scan only {'adds' if step == 'sum' else 'multiplies'} up: {function} does the same"
            instead = _accumulated(lines, step)
    else:
        return
    yield Finding(
        name=FindingName.SCAN_CLOSED_FORM,
        harm=Harm.COMPILE,
        fact=fact,
        lines=lines,
        variables=names,
        count=count,
        nodes=len(inner) + 1,
        instead=instead,
        estimates=estimate(pattern, Extent(nodes=len(inner) + 1)),
        is_hint=pattern is Pattern.FADING,
    )


# --- the inner graph ----------------------------------------------------------------------------------------------


def _read_step(op: Any) -> str:  # noqa: PLR0911 - a return a form
    """Say what becomes of the one state of a scan: sum, product, recursion; '' for anything else."""
    (state,), (result,) = op.inner_sitsot(op.inner_inputs), op.inner_sitsot_outs(op.inner_outputs)
    below = _needing(state, result)
    kind, operands = _operands(result)
    if kind == "Sub" and operands[0] not in below:
        return ""
    if kind in ("Add", "Sub"):
        with_state = [one for one in operands if one in below]
        others = [one for one in operands if one not in below]
        if len(with_state) != 1 or not others:
            return ""
        if _bare(with_state[0]) is state:
            return "sum"
        factor_kind, factors = _operands(with_state[0])
        scaling = [one for one in factors if one not in below]
        is_scaled = factor_kind == "Mul" and len(factors) - len(scaling) == 1
        if is_scaled and any(_bare(one) is state for one in factors) and not _reaches(op, scaling):
            return "recursion"
        return ""
    if kind == "Mul":
        with_state = [one for one in operands if one in below]
        if len(with_state) == 1 and _bare(with_state[0]) is state and len(operands) > 1:
            return "product"
    return ""


def _takes_rows(op: Any) -> bool:
    """Whether a step is the product of its row with what is the same for all: then the whole is one of matrices."""
    products = [node for node in walk(op.inner_outputs) if type(node.op).__name__ not in _THROUGH]
    rows = set(op.inner_seqs(op.inner_inputs))
    return (
        len(products) == 1
        and type(products[0].op).__name__ in ("Dot", "Blockwise")
        and _bare(products[0].inputs[0]) in rows
        and _bare(products[0].inputs[1]) not in rows
    )


def _needing(state: Any, result: Any) -> set[Any]:
    """Return the variables of an inner graph that are computed from the state, with the state."""
    return {variable for variable, bits in reach(walk([result]), {state: 1}).items() if bits}


def _reaches(op: Any, variables: Sequence[Any]) -> bool:
    """Whether variables of an inner graph differ from step to step."""
    changing = set(op.inner_seqs(op.inner_inputs))
    return not changing.isdisjoint([*variables, *(one for node in walk(variables) for one in node.inputs)])


def _bare(variable: Any) -> Any:
    """Look through what changes no value."""
    while variable.owner is not None and type(variable.owner.op).__name__ in _THROUGH:
        variable = variable.owner.inputs[0]
    return variable


def _operands(variable: Any) -> tuple[str, list[Any]]:
    """Return the operation that makes a variable and its operands; sums of sums are one."""
    node = _bare(variable).owner
    kind = type(getattr(node.op, "scalar_op", node.op)).__name__ if node is not None else ""
    if node is None or kind not in ("Add", "Mul", "Sub"):
        return kind, []
    if kind == "Sub":
        return kind, list(node.inputs)
    operands = []
    for one in node.inputs:
        inner_kind, inner = _operands(one)
        operands += inner if inner_kind == kind else [one]
    return kind, operands


# --- what to write ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """A call of scan as the user wrote it."""

    target: str  # what its result is called
    body: ast.expr  # what the step returns
    arguments: dict[str, ast.expr]  # what stands for each of the step's arguments, but for the state's
    states: tuple[tuple[str, ast.expr], ...]


def _read_call(lines: Sequence[CodeLine]) -> _Call | None:
    found = next((found for line in lines if (found := find_call(line, ("scan", "map"))) is not None), None)
    if found is None:
        return None
    call, target, functions = found
    given: dict[str, ast.expr] = {key.arg: key.value for key in call.keywords if key.arg}
    names = ("fn", "sequences", "outputs_info", "non_sequences")
    given = {**dict(zip(names, call.args, strict=False)), **given}
    named = given.get("fn")
    function: ast.AST | None = functions.get(named.id) if isinstance(named, ast.Name) else named
    if isinstance(function, ast.Lambda):
        body, arguments = function.body, function.args
    elif isinstance(function, ast.FunctionDef) and len(function.body) == 1 and isinstance(function.body[0], ast.Return):
        if function.body[0].value is None:
            return None
        body, arguments = function.body[0].value, function.args
    else:
        return None
    parameters = [one.arg for one in arguments.args]
    groups = [_listed(given.get(name)) for name in names[1:]]
    states = [one for one in groups[1] if not (isinstance(one, ast.Constant) and one.value is None)]
    if any(isinstance(one, ast.Dict) for one in (*groups[0], *states)):
        return None
    values = [*groups[0], *states, *groups[2]]
    if len(values) != len(parameters):
        return None
    pairs = list(zip(parameters, values, strict=True))
    begin, end = len(groups[0]), len(groups[0]) + len(states)
    return _Call(
        target=target or "result",
        body=body,
        arguments=dict([*pairs[:begin], *pairs[end:]]),
        states=tuple(pairs[begin:end]),
    )


def _listed(value: ast.expr | None) -> list[ast.expr]:
    if value is None:
        return []
    values = list(value.elts) if isinstance(value, (ast.List, ast.Tuple)) else [value]
    return [
        one.args[0] if isinstance(one, ast.Call) and one.args and ast.unparse(one.func) in _WRAPPERS else one
        for one in values
    ]


def _accumulated(lines: Sequence[CodeLine], kind: str) -> str:
    function, neutral, sign, does = _ACCUMULATING[kind]
    call = _read_call(lines)
    if call is None or len(call.states) != 1:
        return f"# start: the state at first; steps: what each {does}\nresult = start {sign} {function}(steps)"
    ((state, start),) = call.states
    body = replace_names(call.body, {**call.arguments, state: ast.Name(id=neutral)})
    begun = ast.unparse(start)
    begin = "" if begun.replace(" ", "") in _NOTHING[neutral] else f"{begun} {sign} "
    return f"{call.target} = {begin}{function}({ast.unparse(_without_neutral(body, neutral))}, axis=0)"


_ACCUMULATING = {"sum": ("pt.cumsum", "0", "+", "adds"), "product": ("pt.cumprod", "1", "*", "multiplies by")}
_WRAPPERS = frozenset({"pt.as_tensor", "pt.as_tensor_variable", "pt.constant", "np.asarray"})
_NOTHING = {
    "0": frozenset({"0", "0.0", "pt.zeros(())", "pt.zeros([])"}),
    "1": frozenset({"1", "1.0", "pt.ones(())", "pt.ones([])"}),
}


def _without_neutral(body: ast.expr, neutral: str) -> ast.expr:
    """Leave out the state, of which only 0 or 1 is left."""

    class Drop(ast.NodeTransformer):
        def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
            left, right = self.visit(node.left), self.visit(node.right)
            wanted = ast.Add if neutral == "0" else ast.Mult
            if isinstance(node.op, wanted):
                if isinstance(left, ast.Name) and left.id == neutral:
                    return right  # type: ignore[no-any-return]  # an expression stays one
                if isinstance(right, ast.Name) and right.id == neutral:
                    return left  # type: ignore[no-any-return]  # an expression stays one
            if isinstance(node.op, ast.Sub) and isinstance(left, ast.Name) and left.id == neutral:
                return ast.UnaryOp(op=ast.USub(), operand=right)
            return ast.BinOp(left=left, op=node.op, right=right)

    return Drop().visit(body)  # type: ignore[no-any-return]  # an expression stays one


def _mapped(lines: Sequence[CodeLine], *, is_simple: bool) -> str:
    call = _read_call(lines)
    if call is None or call.states or not is_simple:
        return (
            "# write the step on the whole sequences, or have PyTensor do it:\n"
            'result = pt.vectorize(step, signature="(k)->()")(sequences)  # k: what one step takes'
        )
    return f"{call.target} = {ast.unparse(replace_names(call.body, call.arguments))}"


def _convolved(lines: Sequence[CodeLine]) -> str:
    call, target, added, factor = _read_call(lines), "result", "x", "factor"
    if call is not None and len(call.states) == 1:
        fading = _Fading(call.states[0][0])
        body = fading.visit(replace_names(call.body, {}))
        target = call.target
        added = ast.unparse(_without_neutral(replace_names(body, call.arguments), "0"))
        if fading.factor is not None:
            factor = ast.unparse(replace_names(fading.factor, call.arguments))
    shown = added if added.isidentifier() else f"({added})"
    return "\n".join(
        (
            f"n = {shown}.shape[0]",
            "gap = np.arange(n)[:, None] - np.arange(n)  # steps between",
            f"kernel = pt.where(gap >= 0, {factor} ** np.maximum(gap, 0), 0.0)",
            f"{target} = kernel @ {shown}  # + {factor} ** np.arange(1, n + 1) * start, where that isn't zero",
        )
    )


class _Fading(ast.NodeTransformer):
    """Takes the product of the state and its factor out of a step."""

    def __init__(self, state: str) -> None:
        self._state = state
        self.factor: ast.expr | None = None

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        if isinstance(node.op, ast.Mult):
            for one, other in ((node.left, node.right), (node.right, node.left)):
                if isinstance(one, ast.Name) and one.id == self._state:
                    self.factor = other
                    return ast.Name(id="0")
        return ast.BinOp(left=self.visit(node.left), op=node.op, right=self.visit(node.right))
