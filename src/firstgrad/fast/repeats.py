"""A graph as batching reads it: sums and products flattened, constants computed, what is written twice made once."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.grouping import grouped
from firstgrad.observe.lines import reach, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_LARGEST_FOLDED = 10_000  # elements of a constant
_PLAIN = ("Elemwise", "DimShuffle", "Sum", "Prod", "Max", "Min", "All", "Any", "CAReduce", "Subtensor")
_OTHERS = ("Blockwise", "Dot", "Join", "MakeVector", "CumOp", "Softmax", "LogSoftmax", "CheckParameterValue", "Assert")
_BATCHED = frozenset((*_PLAIN, *_OTHERS, "ScalarFromTensor", "TensorFromScalar", "ExtractDiag", "Reshape"))
_FOLDS = {"add": "sum", "sub": "sum", "mul": "prod"}


@dataclass(slots=True, eq=False)
class Value:
    """A variable of the graph: an input, a constant, or what a node returns."""

    variable: Any
    number: int
    inputs: tuple[Value, ...] = ()  # of the operation that makes it, sums and products flattened
    op: Any = None
    fold: str = ""  # ``sum`` or ``prod`` where it is a flattened sum or product
    data: Any = None  # of a constant
    height: int = 0  # of the graph above it
    group: Batch | None = None
    place: int = 0  # within its group

    @property
    def is_batchable(self) -> bool:
        """Whether its operation is one that may have an axis more."""
        return self.op is not None and type(self.op).__name__ in _BATCHED and _is_known(self.variable)


@dataclass(slots=True, eq=False)
class Batch:
    """Values that are alike, so that one operation can make them all."""

    members: list[Value]

    def positions(self) -> Iterator[tuple[Value, ...]]:
        """Yield the members' inputs, position by position."""
        yield from zip(*(member.inputs for member in self.members), strict=True)


class Graph:
    """The graph above some outputs, in the order in which it is computed."""

    def __init__(self, outputs: Sequence[Any], instead: Mapping[Any, Any]) -> None:
        self._instead = instead
        self._of: dict[Any, Value] = {}
        self._constants: dict[tuple[Any, ...], Value] = {}
        self._same: dict[Any, Value] = {}
        self.values: list[Value] = []
        nodes = toposort(outputs, instead)
        users = Counter(variable for node in nodes for variable in node.inputs)
        users.update(outputs)
        flattened = _find_flattened(nodes, users) - instead.keys()
        for node in nodes:
            if all(output in flattened for output in node.outputs):
                continue
            fold = fold_of(node)
            if scalar_op(node.op) == "sub" and flattened.isdisjoint(node.inputs):
                fold = ""  # a difference, not the end of a sum
            inputs = tuple(self._operands(node, flattened)) if fold else tuple(map(self._value, node.inputs))
            if len(node.outputs) > 1:
                for output in node.outputs:
                    self._add(output, inputs)
                continue
            (output,), key = node.outputs, (node.op, fold, inputs)
            if _does_nothing(node):
                self._of[output] = inputs[0]
            elif _undoes(node, inputs):
                self._of[output] = inputs[0].inputs[0]
            elif (folded := _fold_constants(node, inputs)) is not None:
                self._of[output] = self._constant(output, folded)
            elif key in self._same:
                self._of[output] = self._same[key]
            else:
                self._same[key] = self._add(output, inputs, node.op, fold)
        self.outputs = [self._value(output) for output in outputs]

    def _add(self, variable: Any, inputs: tuple[Value, ...] = (), op: Any = None, fold: str = "") -> Value:
        value = Value(variable, len(self.values), inputs, op, fold)
        self._of[variable] = value
        self.values.append(value)
        value.height = 1 + max((one.height for one in inputs), default=0)
        return value

    def _operands(self, node: Any, flattened: frozenset[Any]) -> Iterator[Value]:
        """Yield what a sum or product is of, with what it takes as negative terms."""
        waiting = [(node, False)]
        while waiting:
            one, is_negative = waiting.pop()
            if hasattr(one, "op"):
                signs = [is_negative ^ (place == 1 and scalar_op(one.op) == "sub") for place in range(len(one.inputs))]
                operands = [(each.owner if each in flattened else each) for each in one.inputs]
                waiting += reversed(list(zip(operands, signs, strict=True)))
            else:
                yield self._negative(self._value(one)) if is_negative else self._value(one)

    def _negative(self, value: Value) -> Value:
        import pytensor.tensor as pt

        if value.data is not None:
            return self._constant(pt.constant(-value.data, dtype=value.variable.type.dtype), -value.data)
        key = (pt.neg, "", (value,))
        if key not in self._same:
            self._same[key] = self._add(pt.neg(value.variable), (value,), pt.neg)
        return self._same[key]

    def _value(self, variable: Any) -> Value:
        variable = self._instead.get(variable, variable)
        if variable in self._of:
            return self._of[variable]
        data = _data_of(variable)
        if data is None:
            return self._add(variable)
        self._of[variable] = self._constant(variable, data)
        return self._of[variable]

    def _constant(self, variable: Any, data: Any) -> Value:
        key = (variable.type, data.dtype.str, data.shape, data.tobytes())
        if key not in self._constants:
            self._constants[key] = self._add(variable)
            self._constants[key].data = data
        return self._constants[key]


def comes_whole(position: tuple[Value, ...]) -> bool:
    """Whether the inputs that stand at one place of all members needn't be stacked."""
    first = position[0]
    return (
        all(one is first for one in position)
        or all(one.data is not None for one in position)
        or (first.group is not None and all(one.group is first.group for one in position))
    )


def toposort(outputs: Iterable[Any], instead: Mapping[Any, Any] = MappingProxyType({})) -> list[Any]:
    """List the nodes above some outputs, inputs first and in their order; above others instead of some variables."""
    return list(walk(outputs, follow=lambda several: [instead.get(one, one) for one in reversed(list(several))]))


def _data_of(variable: Any) -> Any:
    """Read a constant of numbers; None of anything else."""
    data = getattr(variable, "data", None) if variable.owner is None else None
    return np.asarray(data) if isinstance(data, int | float | np.generic | np.ndarray) else None


def _does_nothing(node: Any) -> bool:
    """Whether a node returns its first input: PyMC's densities are full of these."""
    first, output = node.inputs[0] if node.inputs else None, node.outputs[0]
    if first is None or first.type != output.type or not _is_known(output):
        return False
    name = type(node.op).__name__
    return name == "Alloc" or (name == "Sum" and not output.type.ndim) or scalar_op(node.op) == "identity"


def _undoes(node: Any, inputs: Sequence[Value]) -> bool:
    """Whether a node is the logarithm of an exponential: PyTensor sees it only where they are side by side."""
    is_log_of_exp = len(inputs) == 1 and scalar_op(node.op) == "log" and scalar_op(inputs[0].op) == "exp"
    return is_log_of_exp and inputs[0].inputs[0].variable.type == node.outputs[0].type


def _fold_constants(node: Any, inputs: Sequence[Value]) -> Any:
    """Compute a small node of constants now; None where it isn't one."""
    if type(node.op).__name__ not in _PLAIN or not inputs or any(one.data is None for one in inputs):
        return None
    shape = getattr(node.outputs[0].type, "shape", ())
    if None in shape or np.prod(shape, dtype=float) > _LARGEST_FOLDED or len(inputs) != len(node.inputs):
        return None
    cell: list[Any] = [[None]]
    node.op.prepare_node(node, None, None, "py")  # else NumPy makes half precision of small whole numbers
    node.op.perform(node, [one.data if one.variable.type.ndim else one.data[()] for one in inputs], cell)
    return np.asarray(cell[0][0], dtype=node.outputs[0].type.dtype)


def _is_known(variable: Any) -> bool:
    shape = getattr(variable.type, "shape", None)
    return shape is not None and None not in shape


def scalar_op(op: Any) -> str:
    """Return the name of what an operation does to each element; '' where that is not what it does."""
    return str(getattr(getattr(op, "scalar_op", None), "name", "") or "")


def fold_of(node: Any) -> str:
    """Return ``sum`` or ``prod`` of what adds or multiplies, ``sum`` of a difference; '' of all else."""
    if type(node.op).__name__ != "Elemwise" or not _is_known(node.outputs[0]):
        return ""
    return _FOLDS.get(scalar_op(node.op), "")


def _find_flattened(nodes: Sequence[Any], users: Counter[Any]) -> frozenset[Any]:
    """Find the sums that are nothing but an operand of one other sum, and products alike.

    Of differences only those that another one goes on from: ``total - a - b``.
    """
    flattened: set[Any] = set()
    for node in nodes:
        if not (fold := fold_of(node)):
            continue
        is_difference = scalar_op(node.op) == "sub"
        for one in node.inputs[:1] if is_difference else node.inputs:
            if one.owner is None or users[one] != 1 or fold_of(one.owner) != fold or one.type != node.outputs[0].type:
                continue
            if scalar_op(one.owner.op) != "sub" or is_difference or not flattened.isdisjoint(one.owner.inputs):
                flattened.add(one)
    return frozenset(flattened)


# --- sums that go on from one another -------------------------------------------------------------------------------

_LEAST_LINKS = 3
_LARGEST_MATRIX = 1_000_000  # entries
_LARGEST_FACTOR = 8  # of a term: more of it than that means sums that double, whose terms would explode


@dataclass(slots=True, eq=False)
class _Chain:
    """Nodes of one chain, and of each the terms that it is the sum of, with their factors."""

    terms: dict[Any, Counter[Any]] = field(default_factory=dict)
    entries: int = 0  # terms of all of its sums together


def join_sums(outputs: Sequence[Any]) -> dict[Any, Any]:
    """Write chains of sums anew, each as one matrix product or cumulative sum: what to take instead of their links.

    ``position[child] = position[parent] + step``, a random walk in a loop: each link of such a chain is a sum of some
    of the same terms. All links together are a matrix of zeros and ones times the terms, or a cumulative sum of them,
    and nothing waits for the link before it.

    Only where a link is needed beside the chain, and where the terms are made by one operation, so that they are likely
    to be one array, too. What is written anew is equal but for the order in which terms are added; and where a term
    isn't finite, no link of its chain needs to be.
    """
    nodes = toposort(outputs)
    chains = _find_chains(nodes, outputs)
    return {old: new for chain in _independent(chains, nodes) for old, new in _joined(chain).items()}


def _find_chains(nodes: Sequence[Any], outputs: Iterable[Any]) -> list[_Chain]:
    """Find the chains that are long enough, each link's terms written out."""
    users = Counter(variable for node in nodes for variable in node.inputs)
    users.update(outputs)
    chain_of: dict[Any, _Chain] = {}
    chains: list[_Chain] = []
    for node in nodes:
        if fold_of(node) != "sum" or not str(node.outputs[0].type.dtype).startswith("float"):
            continue
        before = [one.owner for one in node.inputs if one.owner in chain_of and one.type == node.outputs[0].type]
        chain = chain_of[before[0]] if before else _Chain()
        if any(chain_of[one] is not chain for one in before) or chain.entries > _LARGEST_MATRIX:
            continue  # where two chains meet a new sum begins
        terms: Counter[Any] = Counter()
        for place, one in enumerate(node.inputs):
            sign = -1 if place and scalar_op(node.op) == "sub" else 1
            known = chain.terms[one.owner] if one.owner in before else {one: 1}
            for term, factor in known.items():
                terms[term] += sign * factor
        if max(map(abs, terms.values())) > _LARGEST_FACTOR:
            continue
        if not before:
            chains.append(chain)
        chain.terms[node] = terms
        chain.entries += len(terms)
        chain_of[node] = chain
    for chain in chains:
        _drop_what_is_passed(chain, users)
    return [chain for chain in chains if len(chain.terms) >= _LEAST_LINKS]


def _drop_what_is_passed(chain: _Chain, users: Counter[Any]) -> None:
    """Drop links that only the next one uses: that sum is written out anyway."""
    inner = Counter(one for node in chain.terms for one in node.inputs)
    for node in list(chain.terms):
        if users[node.outputs[0]] == inner[node.outputs[0]]:
            del chain.terms[node]


def _independent(chains: Sequence[_Chain], nodes: Iterable[Any]) -> Iterator[_Chain]:
    """Choose the chains whose terms need no links but those of chains before them: no circles."""
    bit_of = {node: 1 << number for number, chain in enumerate(chains) for node in chain.terms}
    needed = reach(nodes, {}, bit_of)  # chains, as bits
    for number, chain in enumerate(chains):
        if all(needed.get(term, 0) < 1 << number for terms in chain.terms.values() for term in terms):
            yield chain


def _joined(chain: _Chain) -> dict[Any, Any]:
    """Write a chain's links anew; nothing where it wouldn't pay, or the matrix would be too large."""
    import pytensor.tensor as pt

    links = list(chain.terms)
    kind = links[0].outputs[0].type
    columns: dict[Any, Any] = defaultdict(lambda: np.zeros(len(links)))
    for row, node in enumerate(links):
        for term, factor in chain.terms[node].items():
            columns[term][row] += factor
    alike = grouped(((term.type, getattr(term.owner, "op", None)), term) for term in columns)  # made by one operation
    parts, products = [], {}
    for (term_type, _), terms in alike.items():
        several, matrix = terms, np.stack([columns[term] for term in terms], axis=1)
        if not (is_cumulative := _is_cumulative(matrix)):
            varies = (matrix != matrix[0]).any(axis=0)
            parts += [_times(matrix[0, at], term) for at, term in enumerate(terms) if not varies[at]]
            several, matrix = [term for at, term in enumerate(terms) if varies[at]], matrix[:, varies]
            is_cumulative = _is_cumulative(matrix)
        if not several:
            continue
        if term_type in products or (matrix.size > _LARGEST_MATRIX and not is_cumulative):
            return {}
        stacked = pt.stack(several)
        products[term_type] = pt.cumsum(stacked, axis=0) if is_cumulative else _product(matrix, stacked)
    if not products:
        return {}
    parts += products.values()
    whole = (parts[0] if len(parts) == 1 else pt.add(*parts)).astype(kind.dtype)
    return {node.outputs[0]: whole[place] for place, node in enumerate(links)}


def _times(factor: float, term: Any) -> Any:
    import pytensor.tensor as pt

    return pt.expand_dims(term if factor == 1 else np.asarray(factor, dtype=term.type.dtype) * term, 0)


def _product(matrix: Any, terms: Any) -> Any:
    """Multiply a matrix by terms that are stacked along the first axis."""
    import pytensor.tensor as pt

    constant = pt.constant(matrix, dtype=terms.type.dtype)
    count, *shape = terms.type.shape
    flat = terms if len(shape) < 2 else terms.reshape((count, int(np.prod(shape))))  # noqa: PLR2004 - a matrix
    return pt.dot(constant, flat).reshape((len(matrix), *shape))


def _is_cumulative(matrix: Any) -> bool:
    return matrix.shape[0] == matrix.shape[1] and bool((matrix == np.tri(len(matrix))).all())
