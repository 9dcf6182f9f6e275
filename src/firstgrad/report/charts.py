"""A chart with its words: what it shows in a sentence, and the figure in words to unfold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from markupsafe import Markup

from firstgrad.show.style import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartSection:
    """A chart.

    Attributes
    ----------
    id, title : str
        Anchor and heading.
    caption : str
        What was chosen for it, and how it is read.
    description : str
        The figure in words.
    figure : Markup
        SVG.
    """

    template: ClassVar[str] = "chart.html"
    id: str
    title: str
    caption: str
    description: str
    figure: Markup


def chart_section(section_id: str, title: str, figure: Figure, *, caption: str, description: str) -> ChartSection:
    """Put a figure into a section; `section_id` is unique on the page."""
    return ChartSection(
        id=section_id,
        title=title,
        caption=caption,
        description=description,
        figure=inline_svg(figure, f"figure-{section_id}", description),
    )
