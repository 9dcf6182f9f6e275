"""How many nodes of each type of operation a graph has, before and after rewriting."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from firstgrad.profile import NodeType

if TYPE_CHECKING:
    from collections.abc import Iterable


def count_node_types(graph: Any, after: Iterable[tuple[str, int]]) -> tuple[NodeType, ...]:
    """Count a graph's nodes by the type of their operation.

    Parameters
    ----------
    graph : variable or list of variables
        Outputs of the graph before rewriting.
    after : iterable of (str, int)
        The same count after rewriting.

    Returns
    -------
    tuple of NodeType
        Most frequent after rewriting first, of equals the most frequent before.
    """
    before: Counter[str] = Counter()
    waiting, seen = list(graph) if isinstance(graph, (list, tuple)) else [graph], set[int]()
    while waiting:
        node = getattr(waiting.pop(), "owner", None)
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        before[type(node.op).__name__] += 1
        waiting += node.inputs
    left = dict(after)
    counts = [NodeType(name=name, before=before[name], after=left.get(name, 0)) for name in {**before, **left}]
    return tuple(sorted(counts, key=lambda each: (-each.after, -each.before, each.name)))
