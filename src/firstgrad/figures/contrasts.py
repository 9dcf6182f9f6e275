"""Contrasts as figures: one a choice, size and metric, with a curve a backend and scenario."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.analysis.contrasts import Contrast
from firstgrad.figures.growth import MOST_LINES, size_title
from firstgrad.figures.ratio import RatioLine, describe_ratio, draw_ratio

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.figure import Figure

    from firstgrad.analysis.contrasts import ContrastCurve

CONTRAST_TITLES = {
    Contrast.HMM: "HMM / no HMM",
    Contrast.ALGORITHM: "other HMM algorithms / scan",
    Contrast.FORMULATION: "vectorised / per_joint",
    Contrast.SCENARIO: "warm / cold",
}
"""What is divided by what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastFigure:
    """A figure that can be drawn.

    Attributes
    ----------
    name : str
        For a file: ``ratio-hmm-timesteps-peak_memory``.
    title : str
        For people.
    axis : str
        The size.
    lines : tuple of RatioLine
        A curve each.
    """

    name: str
    title: str
    axis: str
    lines: tuple[RatioLine, ...]

    def draw(self) -> Figure:
        """Draw it."""
        return draw_ratio(self.lines, title=self.title, size=size_title(self.axis)[0])

    def describe(self) -> str:
        """Say in words what `draw` shows."""
        return describe_ratio(self.lines, title=self.title, size=size_title(self.axis)[0])


def contrast_figures(contrasts: Iterable[ContrastCurve]) -> tuple[ContrastFigure, ...]:
    """Arrange ratio curves into figures of the first `MOST_LINES`; curves of a single size make none."""
    found: dict[tuple[str, str, str], list[ContrastCurve]] = {}
    for each in contrasts:
        if len(each.curve.points) > 1:
            found.setdefault((str(each.contrast), each.axis, each.metric.name), []).append(each)
    return tuple(
        ContrastFigure(
            name=f"ratio-{contrast}-{axis}-{metric}",
            title=f"{CONTRAST_TITLES[Contrast(contrast)]}: {members[0].metric.title}",
            axis=axis,
            lines=tuple(RatioLine(name=each.name, curve=each.curve) for each in members[:MOST_LINES]),
        )
        for (contrast, axis, metric), members in found.items()
    )
