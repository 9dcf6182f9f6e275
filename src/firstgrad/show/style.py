"""One style for all figures: legible in print and on dark and light pages, safe for colour-blind readers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from firstgrad.record import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.figure import Figure

# Okabe and Ito's palette (2008, Color Universal Design), one colour a phase.
PHASE_COLOURS = {
    Phase.IMPORT: "#999999",
    Phase.BUILD: "#F0E442",
    Phase.LOGP_GRAPH: "#56B4E9",
    Phase.GRAD_GRAPH: "#009E73",
    Phase.REWRITE: "#E69F00",
    Phase.LINK: "#CC79A7",
    Phase.FIRST_CALL: "#D55E00",
    Phase.EVALUATE: "#0072B2",
}
"""Colour of each phase, the same in every figure."""

SERIES_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours of lines, from the same palette: without black and yellow, which vanish on a dark or a white page."""

SERIES_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Markers of lines, so that none is told by its colour alone; as many as make each pair with a colour unique."""

_SETTINGS: dict[Any, Any] = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "font.size": 10.0,
    "text.parse_math": False,  # users' names may hold dollars
    "savefig.dpi": 150.0,
    "svg.hashsalt": "firstgrad",  # the same figure gives the same file
}


@contextmanager
def firstgrad_style() -> Iterator[None]:
    """Draw within the project's style, without a window."""
    import matplotlib as mpl

    with mpl.rc_context(_SETTINGS):
        yield


def save_figure(figure: Figure, folder: Path, name: str, *, description: str) -> tuple[Path, Path]:
    """Save a figure as PNG and SVG, with its description as the alternative text.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to save.
    folder : Path
        Made where it isn't there.
    name : str
        File name without an ending.
    description : str
        What the figure shows, in words; it goes into both files' metadata.

    Returns
    -------
    tuple of Path
        PNG and SVG.
    """
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    with firstgrad_style():
        figure.savefig(png, metadata={"Description": description})
        figure.savefig(svg, metadata={"Description": description, "Date": None})
    return png, svg
