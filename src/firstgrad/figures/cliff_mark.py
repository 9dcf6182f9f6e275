"""Cliffs: thick pieces between the medians beside a jump, with its factor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from firstgrad.growth.law import Cliff


def mark_cliff(axes: Axes, cliff: Cliff, heights: tuple[float, float], colour: str, *, label: str) -> None:
    """Mark a cliff on logarithmic axes; `heights` are the medians before and after it, NaN where there is none."""
    if any(math.isnan(height) for height in heights):
        return
    axes.plot(
        [cliff.from_size, cliff.to_size],
        heights,
        color=colour,
        linewidth=5.0,
        alpha=0.45,
        solid_capstyle="butt",
        label=label,
    )
    axes.annotate(
        f"cliff, factor {cliff.factor:.3g}",
        xy=(math.sqrt(cliff.from_size * cliff.to_size), math.sqrt(heights[0] * heights[1])),
        xytext=(-8, 4),
        textcoords="offset points",
        ha="right",
        fontsize=8.5,
    )
