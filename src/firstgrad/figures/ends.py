"""Names at the ends of lines: right of the panel, kept apart, each with a leader to its line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.figures.lines import spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_NAMES_AT = 1.02  # right of the panel, whose width is 1
_LINE_POINTS, _GAP_POINTS = 10.5, 3.0
_FONT_SIZE = 8.5


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Where a line ends, in the axes' own numbers, and what is written there (a newline begins a second line)."""

    x: float
    y: float
    text: str
    colour: str


def name_ends(axes: Axes, ends: Sequence[End], *, height_inches: float) -> None:
    """Write the texts right of the panel at the heights of their ends, moved up or down so that no two overlap.

    Parameters
    ----------
    axes : Axes
        With its scales and limits set.
    ends : sequence of End
        In any order. An end above or below the panel is named at its edge.
    height_inches : float
        Of the panel.
    """
    found = []
    for end in ends:
        x, y = axes.transLimits.transform(axes.transScale.transform((end.x, end.y)))
        found.append((min(max(float(y), 0.0), 1.0), float(x), end))
    found.sort(key=lambda each: each[0])
    lines = max((end.text.count("\n") + 1 for end in ends), default=1)
    heights = spread([y for y, _, _ in found], (lines * _LINE_POINTS + _GAP_POINTS) / (72 * height_inches))
    for height, (y, x, end) in zip(heights, found, strict=True):
        axes.text(
            _NAMES_AT, height, end.text, transform=axes.transAxes, va="center", fontsize=_FONT_SIZE, linespacing=1.1
        )
        # Dotted, so that nobody takes it for numbers.
        leader = ([x, _NAMES_AT - 0.005], [y, height])
        axes.plot(*leader, ":", transform=axes.transAxes, color=end.colour, linewidth=1.0, clip_on=False)
