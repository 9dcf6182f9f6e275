"""Sums that go on from one another, as one: ``position[child] = position[parent] + step``, a random walk in a loop.

Each link of such a chain is a sum of some of the same terms. All links together are a matrix of zeros and ones times
the terms, or a cumulative sum of them, and nothing waits for the link before it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.fast.repeats import fold_of, scalar_op, toposort
from firstgrad.grouping import grouped
from firstgrad.observe.lines import reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
