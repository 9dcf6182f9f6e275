"""Bounds: hollow markers with arrows towards where the true value lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from firstgrad.figures.looks import Look

_ARROW_POINTS = 18


def draw_bounds(
    axes: Axes, points: Sequence[tuple[float, float]], look: Look, *, label: str, is_lower: bool = True
) -> None:
    """Draw bounds at (x, y), in the axes' own numbers: the true value lies above each, or below if not `is_lower`."""
    if not points:
        return
    axes.plot(
        [x for x, _ in points],
        [y for _, y in points],
        linestyle="none",
        marker=look.marker,
        markersize=6.5,
        markerfacecolor="none",
        markeredgewidth=1.4,
        color=look.colour,
        label=label,
    )
    for point in points:
        axes.annotate(
            "",
            xy=point,
            xytext=(0, _ARROW_POINTS if is_lower else -_ARROW_POINTS),
            textcoords="offset points",
            arrowprops={"arrowstyle": "<|-", "color": look.colour, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 3},
        )
