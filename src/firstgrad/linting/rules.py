"""The rules, in the order in which they look; the short ones are here."""

from __future__ import annotations

import linecache
import re
from typing import TYPE_CHECKING, Any

from firstgrad.linting.backends import large_constants, operations, static_shapes
from firstgrad.linting.finding import Finding, FindingName, Harm
from firstgrad.linting.loops import loops
from firstgrad.linting.numerical import narrow_types, singular_points, unstable_formulas
from firstgrad.linting.scans import closed_forms
from firstgrad.observe.events import CodeLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firstgrad.linting.engine import LogpGraph, Rule

NUMBA_OPERANDS = 1000
"""So many operands one operation may have: Numba refuses tuples of more (tried with 1,100: a TypingError)."""
_FEWEST_BACKWARD = 8  # variables for which as many backward passes are worth a word
_PER_VARIABLE = re.compile(r"^[^#]*\.(compile_dlogp|dlogp)\(")


def many_operands(graph: LogpGraph) -> Iterator[Finding]:
    """Find sums of more operands than Numba takes, the log-density's own sum of terms among them."""
    if len(graph.terms) > NUMBA_OPERANDS:
        yield _too_many(len(graph.terms), "the log-density is a sum of {} terms", ())
    size: dict[Any, int] = {}  # operands of the sum that ends in a variable
    largest: Any = None
    for node in graph.nodes:
        output = node.outputs[0]
        if type(getattr(node.op, "scalar_op", None)).__name__ == "Add":
            merged = (size.get(one, 1) if len(graph.clients.get(one, ())) == 1 else 1 for one in node.inputs)
            size[output] = sum(merged)
            largest = output if largest is None or size[output] > size[largest] else largest
    if largest is not None and size[largest] > NUMBA_OPERANDS:
        yield _too_many(size[largest], "a sum has {} operands", graph.lines.of(largest)[:1])


def _too_many(count: int, what: str, lines: tuple[CodeLine, ...]) -> Finding:
    return Finding(
        name=FindingName.MANY_OPERANDS,
        harm=Harm.UNSUPPORTED,
        fact=f"{what.format(f'{count:,}')}, and Numba refuses an operation of more than {NUMBA_OPERANDS:,}",
        lines=lines,
        count=count,
        instead="# put what is added up into an array and sum that: pt.stack writes the same long operation,\n"
        "# so write the variables or values as one array from the start. JAX takes any number",
        backends=("numba",),
    )


def backward_once_a_variable(graph: LogpGraph) -> Iterator[Finding]:
    """Find calls of ``compile_dlogp`` and ``dlogp`` in the files that made the model: only who calls them pays."""
    count = len(graph.model.continuous_value_vars)
    if count < _FEWEST_BACKWARD:
        return
    files = dict.fromkeys(line.file for term in graph.terms for line in term.lines)
    lines = [
        CodeLine(file=file, line=number, function="", text=text.strip())
        for file in files
        for number, text in enumerate(linecache.getlines(file), 1)
        if _PER_VARIABLE.match(text)
    ]
    if lines:
        yield Finding(
            name=FindingName.GRADIENT_PER_VARIABLE,
            harm=Harm.COMPILE,
            fact=f"this call differentiates once for each of {count} variables and merges what is the same again; "
            "pm.sample and nutpie differentiate once",
            lines=tuple(lines),
            count=count,
            instead="function = model.logp_dlogp_function(ravel_inputs=True)  # value and gradient, as pm.sample",
        )


RULES: tuple[Rule, ...] = (
    loops,
    closed_forms,
    operations,
    static_shapes,
    large_constants,
    many_operands,
    backward_once_a_variable,
    singular_points,
    unstable_formulas,
    narrow_types,
)
"""Each takes the `LogpGraph` and yields its findings."""
