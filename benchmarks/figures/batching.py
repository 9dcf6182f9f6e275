"""The graph of a log-density that a loop wrote, and the one that `firstgrad.batch` makes of it."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from firstgrad.show.result import Picture
from firstgrad.show.style import firstgrad_style

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ONE, _ARRAY = "#56B4E9", "#E69F00"
_NAMES = {"Subtensor": "take one", "Cumsum": "cumulative\nsum", "true_div": "/", "mul": "*", "sub": "-", "add": "+"}


def batching_picture(source: Path) -> Picture:
    """Picture the two graphs that `benchmarks.batching.graph` wrote."""
    graphs = json.loads(source.read_text())
    before, after = (_count(graphs[side]) for side in ("before", "after"))
    told = f"A log-density that a loop over five bones wrote, {before} operations, and the same as arrays: {after}."
    return Picture(partial(_draw, graphs), "batching", told)


def _count(graph: dict[str, Any]) -> int:
    return sum(1 for node in graph["nodes"] if node["inputs"])


def _draw(graphs: dict[str, Any]) -> Figure:
    from matplotlib.figure import Figure

    with firstgrad_style():
        figure = Figure(figsize=(9, 5.2), layout="constrained")
        panels = figure.subplots(1, 2, width_ratios=(3, 1.2))
        titles = ("as the loop writes it", "as arrays")
        for axes, graph, title in zip(panels, graphs.values(), titles, strict=True):
            _draw_graph(axes, graph["nodes"])
            axes.set_title(f"{title}: {_count(graph)} operations")
    return figure


def _draw_graph(axes: Axes, nodes: list[dict[str, Any]]) -> None:
    seen: Counter[int] = Counter()
    rows = Counter(node["height"] for node in nodes)
    places = []
    for node in nodes:
        height = node["height"]
        places.append((seen[height] + 0.5 - rows[height] / 2, height))
        seen[height] += 1
    for node, (x, y) in zip(nodes, places, strict=True):
        for number in node["inputs"]:
            axes.plot([places[number][0], x], [places[number][1], y], color="0.75", linewidth=1, zorder=1)
        name = _NAMES.get(node["name"], node["name"])
        colour = _ARRAY if node["size"] > 1 else _ONE
        box = {"boxstyle": "round", "facecolor": colour, "edgecolor": "none"}
        axes.text(x, y, name, ha="center", va="center", fontsize=8, color="black", bbox=box, zorder=2)
    widest = max(rows.values()) / 2 + 0.6
    axes.set(xlim=(-widest, widest), ylim=(-0.7, max(rows) + 0.7))
    axes.axis("off")
