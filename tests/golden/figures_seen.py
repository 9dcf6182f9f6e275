"""Run a module as a program, and write down what each figure shows that it saves: ``OUT MODULE ARGUMENT...``.

Figures are seen where they are saved, whoever draws them. They aren't rendered, which takes longest.
"""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
from matplotlib import colors, figure

from firstgrad.show import style

POINTS = 6
"""Points of a line or a band that are kept; of longer ones, evenly chosen."""
STUB = '<svg xmlns="http://www.w3.org/2000/svg" width="1pt" height="1pt" viewBox="0 0 1 1"/>'

seen: dict[str, object] = {}


def numbers(values) -> list:
    values = np.asarray(values, dtype=float)
    if len(values) > POINTS:
        values = values[np.linspace(0, len(values) - 1, POINTS).round().astype(int)]
    return [float(f"{number:.7g}") for number in values.ravel()]


def text_of(artist) -> str:
    return artist.get_text().strip()


def in_order(drawn: dict) -> str:
    """Sort artists by what they show, not by who is drawn first; the last digits don't matter."""
    return re.sub(r"\d+\.\d+(e-?\d+)?", lambda number: f"{float(number[0]):.4g}", json.dumps(drawn))


def about(drawn) -> dict:
    """What an artist is called and how it looks."""
    label = str(drawn.get_label())
    return {} if label.startswith("_") else {"label": label}


def look_at_axes(axes) -> dict:
    lines = [
        about(line)
        | {"colour": colors.to_hex(line.get_color()), "style": f"{line.get_linestyle()}{line.get_marker()}"}
        | {"points": numbers(np.column_stack(line.get_data()))}
        for line in axes.lines
    ]
    patches = [
        about(patch)
        | {"colour": colors.to_hex(patch.get_facecolor())}
        | {"box": numbers([patch.get_path().get_extents(patch.get_patch_transform()).bounds])}
        for patch in axes.patches
    ]
    collections = [
        about(held) | {"kind": type(held).__name__, "paths": [numbers(path.vertices) for path in held.get_paths()[:20]]}
        for held in axes.collections
    ]
    legend = axes.get_legend()
    return {
        "titles": [text_of(held) for held in (axes.title, axes._left_title, axes._right_title) if text_of(held)],
        "x": [axes.get_xlabel(), axes.get_xscale()],
        "y": [axes.get_ylabel(), axes.get_yscale()],
        "ticks": [text_of(tick) for tick in axes.get_yticklabels() if text_of(tick)][:40]
        if axes.get_yscale() == "linear"
        else [],
        "texts": sorted(text_of(held) for held in axes.texts),
        "legend": [text_of(held) for held in legend.get_texts()] if legend else [],
        "lines": sorted(lines, key=in_order),
        "patches": sorted(patches, key=in_order),
        "collections": sorted(collections, key=in_order),
    }


def look(self, fname, *_args, metadata=None, **_how) -> None:
    """Stands where a figure would be saved."""
    name = Path(fname).stem if isinstance(fname, str | Path) else f"inline-{len(seen)}"
    if not isinstance(fname, str | Path):
        fname.write(STUB)
    seen[name] = {
        "description": (metadata or {}).get("Description", ""),
        "texts": [text_of(held) for held in self.texts if text_of(held)] + [self.get_suptitle()] * bool(self._suptitle),
        "legends": [[text_of(held) for held in legend.get_texts()] for legend in self.legends],
        "axes": [look_at_axes(axes) for axes in self.axes],
    }


def look_at_files(picture, *paths) -> None:
    """Stands where a figure would be written to files."""
    drawn = picture.draw()
    for path in paths:
        look(drawn, path, metadata={"Description": picture.description})


if __name__ == "__main__":
    out, *arguments = sys.argv[1:]
    figure.Figure.savefig = look
    style.write_picture = look_at_files
    sys.argv = arguments
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    finally:
        Path(out).write_text(json.dumps(seen))
