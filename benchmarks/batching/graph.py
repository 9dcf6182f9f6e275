"""The graph that a small loop writes, and the one that batching makes of it, for `benchmarks.figures.batching`.

Usage: ``python -m benchmarks.batching.graph docs/data/batching-graph.json``
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

BONES = 5


def make_density() -> Any:
    """Write joints in a loop, each from the one before, and the density of where they were seen."""
    import pytensor.tensor as pt

    length = pt.vector("length", dtype="float64", shape=(BONES,))
    place = density = 0.0
    for bone in range(BONES):
        place = place + pt.exp(length[bone])
        density = density - (place - (1.0 + bone)) ** 2 / 2
    return density


def describe(output: Any) -> dict[str, Any]:
    """Tell a graph's nodes, bottom up: what they do, how high they stand, and which they take."""
    from firstgrad.fast.repeats import toposort

    number: dict[Any, int] = {}
    nodes: list[dict[str, Any]] = []

    def add(variable: Any) -> int:
        if variable not in number:
            number[variable] = len(nodes)
            size = math.prod(variable.type.shape)
            nodes.append({"name": str(variable.name), "height": 0, "inputs": [], "size": size})
        return number[variable]

    for node in toposort([output]):
        inputs = [add(one) for one in node.inputs if not hasattr(one, "data")]
        height = 1 + max((nodes[one]["height"] for one in inputs), default=0)
        scalar = getattr(node.op, "scalar_op", None) if type(node.op).__name__ == "Elemwise" else None
        (made,) = node.outputs
        number[made] = len(nodes)
        name = str(scalar.name or scalar) if scalar is not None else str(node.op).partition("{")[0]
        nodes.append({"name": name, "height": height, "inputs": inputs, "size": math.prod(made.type.shape)})
    return {"nodes": nodes}


def main() -> None:
    """Write both graphs."""
    from pytensor.graph.rewriting.utils import rewrite_graph

    from firstgrad import batch

    density = make_density()
    batched = rewrite_graph(batch([density])[0], include=("canonicalize",))
    graphs = {"before": describe(density), "after": describe(batched)}
    Path(sys.argv[1]).write_text(json.dumps(graphs, indent=1) + "\n")
    print({name: sum(1 for node in graph["nodes"] if node["inputs"]) for name, graph in graphs.items()})


if __name__ == "__main__":
    main()
