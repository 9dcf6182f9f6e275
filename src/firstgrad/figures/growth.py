"""Growth laws as panels: for each size, backend and scenario one figure of several metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.case import Target
from firstgrad.figures.scaling import ScalingLine, ScalingPanel, describe_scaling, draw_scaling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from firstgrad.analysis.scaling import GrownLine, Growth
    from firstgrad.analysis.slices import Line

SIZE_TITLES = {
    "timesteps": ("timesteps T", "T"),
    "directions": ("direction vectors K", "K"),
    "cameras": ("cameras C", "C"),
    "states": ("hidden states S", "S"),
    "nodes": ("graph nodes after rewriting N", "N"),
}
"""What an axis is called on a figure, and its letter in laws; others go by their own name."""

MOST_LINES = 8
"""In a panel; those with most sizes and samples are drawn, and the title says how many are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthFigure:
    """A figure that can be drawn.

    Attributes
    ----------
    name : str
        For a file: ``scaling-timesteps-jax-cold``.
    title : str
        For people.
    axis : str
        The size.
    panels : tuple of ScalingPanel
        A metric each.
    """

    name: str
    title: str
    axis: str
    panels: tuple[ScalingPanel, ...]

    def draw(self) -> Figure:
        """Draw it."""
        size, symbol = size_title(self.axis)
        return draw_scaling(self.panels, size=size, symbol=symbol, title=self.title)

    def describe(self) -> str:
        """Say in words what `draw` shows."""
        size, symbol = size_title(self.axis)
        return describe_scaling(self.panels, size=size, symbol=symbol)


def size_title(axis: str) -> tuple[str, str]:
    """Name an axis, and its letter in laws."""
    return SIZE_TITLES.get(axis, (axis, axis))


def growth_figures(growths: Sequence[Growth]) -> tuple[GrowthFigure, ...]:
    """Arrange growth laws into figures: one a size, backend, scenario and target, with a panel a metric.

    Lines within a panel are the formulations and HMM algorithms, so that HMM and no HMM stand side by side.
    """
    from firstgrad.analysis.slices import name_lines

    found: dict[tuple[str, str], list[Growth]] = {}
    for growth in growths:
        for place in dict.fromkeys(_place(grown.line) for grown in growth.lines):
            found.setdefault((growth.axis, place), []).append(growth)
    made = []
    for (axis, place), members in found.items():
        panels, common, left_out = [], "", 0
        for growth in members:
            chosen = _chosen([grown for grown in growth.lines if _place(grown.line) == place])
            left_out = max(left_out, sum(_place(grown.line) == place for grown in growth.lines) - len(chosen))
            common, names = name_lines([grown.line for grown in chosen])
            lines = tuple(
                ScalingLine(name=name, observations=grown.law.observations, law=grown.law)
                for grown, name in zip(chosen, names, strict=True)
            )
            heading = growth.metric.title[:1].upper() + growth.metric.title[1:]
            panels.append(ScalingPanel(title=heading, unit=growth.metric.unit, lines=lines))
        name = f"scaling-{axis}-{place.replace(', ', '-')}"
        title = f"{common} ({left_out} more lines are not drawn)" if left_out else common
        made.append(GrowthFigure(name=name, title=title, axis=axis, panels=tuple(panels)))
    return tuple(made)


def _chosen(lines: Sequence[GrownLine]) -> list[GrownLine]:
    """Choose the lines with most sizes, then with most samples, where there are more than can be told apart."""
    order = sorted(range(len(lines)), key=lambda each: (-lines[each].line.n_sizes, -len(lines[each].line.rows)))
    return [lines[each] for each in sorted(order[:MOST_LINES])]


def _place(line: Line) -> str:
    place = f"{line.backend}, {line.scenario}"
    return place if line.target is Target.DLOGP else f"{place}, {line.target}"
