"""The headline: seconds to the first gradient and first draw of the unchanged model, with empty caches and full ones.

A row a quantity, a dot and its range a way, a panel without and with an HMM.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.headline.sides import Quantity, Way
from benchmarks.headline.table import collect, read_called, select
from firstgrad.estimates import estimate_median
from firstgrad.show.result import Picture
from firstgrad.show.style import firstgrad_style
from firstgrad.store import import_jsonl
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from benchmarks.headline.table import Sample

_SHOWN = {
    Way.DEFAULT: ("PyMC's default", "#D55E00", "s"),
    Way.NUTPIE_JAX: ("nutpie with JAX", "#E69F00", "D"),
    Way.FIRSTGRAD: ("firstgrad", "#0072B2", "o"),
    Way.BY_HAND: ("JAX, by hand", "#777777", "v"),
}
"""Ways in the figure: name, colour, marker."""
_ROWS = {
    Quantity.FIRST_GRADIENT: "first gradient",
    Quantity.SECOND_GRADIENT: "first gradient,\nsecond process",
    Quantity.FIRST_DRAW: "first draw",
    Quantity.SECOND_DRAW: "first draw,\nsecond process",
}


def read_samples(folder: Path) -> list[Sample]:
    """Read what ``make headline`` wrote there."""
    records = import_jsonl(folder / "headline.jsonl")
    return collect(records, read_called(folder / "headline-called.ndjson"))[0]


def headline_picture(samples: Sequence[Sample]) -> Picture:
    """Picture the smallest model that was measured, on a logarithmic axis. Raises ValueError where there is none."""
    shown = [one for one in samples if one.way in _SHOWN and one.quantity in _ROWS]
    if not shown:
        raise ValueError("there is no sample to draw")
    least = min(one.size.directions for one in shown)
    shown = [one for one in shown if one.size.directions == least]
    return Picture(partial(_draw, shown), "headline", _describe(shown))


def _draw(samples: Sequence[Sample]) -> Figure:
    from matplotlib.figure import Figure

    sizes = sorted({one.size for one in samples})
    with firstgrad_style():
        figure = Figure(figsize=(4.4 * len(sizes) + 1.2, 3.4), layout="constrained")
        panels = figure.subplots(1, len(sizes), sharey=True, sharex=True, squeeze=False)[0]
        for axes, size in zip(panels, sizes, strict=True):
            for way, (name, colour, marker) in _SHOWN.items():
                named = name
                for row, quantity in enumerate(_ROWS):
                    if not (found := select(samples, way, size, quantity)):
                        continue
                    seconds = estimate_median([one.wall for one in found])
                    axes.plot([seconds.low, seconds.high], [row, row], color=colour, linewidth=2)
                    axes.plot([seconds.value], [row], color=colour, marker=marker, linestyle="", label=named)
                    named = "_nolegend_"
                    axes.annotate(
                        format_seconds(seconds.value),
                        (seconds.value, row),
                        (0, -7 if way is Way.BY_HAND else 7),  # the nearest ones' numbers not above each other
                        textcoords="offset points",
                        ha="center",
                        va="top" if way is Way.BY_HAND else "bottom",
                        fontsize="small",
                    )
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds:g}")
            axes.margins(x=0.12, y=0.2)
            axes.set_title(str(size))
            axes.set_xlabel("seconds (log)")
            axes.grid(axis="y", linewidth=0.4)
        panels[0].set_yticks(range(len(_ROWS)), list(_ROWS.values()))
        panels[0].invert_yaxis()
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(_SHOWN))
    return figure


def _describe(samples: Sequence[Sample]) -> str:
    told = []
    for size in sorted({one.size for one in samples}):
        for quantity in _ROWS:
            cells = ((name, select(samples, way, size, quantity)) for way, (name, *_) in _SHOWN.items())
            medians = [(name, estimate_median([one.wall for one in found]).value) for name, found in cells if found]
            if medians:
                listed = ", ".join(f"{name} {format_seconds(seconds)}" for name, seconds in medians)
                told.append(f"{size}, {quantity}: {listed}")
    return f"Seconds of the unchanged pose model. {'. '.join(told)}."
