"""Logarithmic axes of figures along a size: ticks at the measured sizes, numbers written plainly."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_MOST_TICKS = 10
_FEW_DECADES, _MANY_DECADES = 0.7, 2.5
_LEAST_ROOM = 0.05  # decades


def set_sizes(grid: Sequence[Axes], sizes: Sequence[float]) -> None:
    """Set the limits of the sizes, and ticks at those that were measured, as far as their names keep apart."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    decades = math.log10(max(sizes) / min(sizes))
    room = max(0.04 * decades, _LEAST_ROOM)
    chosen: list[float] = []
    for size in sorted(set(sizes), reverse=True):
        if not chosen or math.log10(chosen[-1] / size) >= decades / _MOST_TICKS:
            chosen.append(size)
    for axes in grid:
        axes.set_xlim(min(sizes) / 10**room, max(sizes) * 10**room)
        axes.xaxis.set_major_locator(FixedLocator(chosen))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.10g}"))
        axes.xaxis.set_minor_locator(NullLocator())


def set_values(axes: Axes, ends: Sequence[float], *, has_arrows: bool = False) -> None:
    """Set a logarithmic scale of values, all above zero, with room for arrows above them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    decades = max(math.log10(max(ends) / min(ends)), 0.15)
    axes.set_yscale("log")
    axes.set_ylim(min(ends) / 10 ** (0.08 * decades), max(ends) * 10 ** ((0.18 if has_arrows else 0.08) * decades))
    steps = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if decades < _FEW_DECADES else (1.0, 2.0, 5.0)
    axes.yaxis.set_major_locator(LogLocator(subs=steps if decades < _MANY_DECADES else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, axis="y", which="major", color="#888888", alpha=0.25, linewidth=0.6)
