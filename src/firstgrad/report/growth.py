"""Charts of growth: how metrics grow with the sizes of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from markupsafe import Markup

from firstgrad.metrics import metric_named
from firstgrad.show.style import inline_svg
from firstgrad.show.words import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.analysis.slices import Line
    from firstgrad.growth.law import GrowthLaw, NoLaw
    from firstgrad.row import Row

_METRICS = ("time_to_first_gradient", "evaluation", "peak_memory")
_MOST_AXES, _MOST_LINES = 3, 6
_LEAST_SIZES = 3
_MOST_A_SIZE, _MOST_A_LINE = 5, 80
_LONGEST_NAME, _LONGEST_LAW = 120, 400
_SYMBOLS = {"timesteps": "T", "directions": "K", "cameras": "C", "states": "S"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthSection:
    """Metrics along one size.

    Attributes
    ----------
    id, title : str
        Anchor and heading.
    caption, description : str
        Which lines were chosen, and the figure in words.
    figure : Markup
        SVG.
    laws : tuple of (str, str, str)
        Metric, line, and what its law says.
    """

    template: ClassVar[str] = "growth.html"
    id: str
    title: str
    caption: str
    description: str
    figure: Markup
    laws: tuple[tuple[str, str, str], ...]


def growth_sections(rows: Sequence[Row]) -> tuple[GrowthSection, ...]:
    """Draw time, evaluation and memory along each of the first few sizes of which a line has three or more.

    Parameters
    ----------
    rows : sequence of Row
        Of each line the newest samples of each size are used.
    """
    from firstgrad.analysis.slices import find_axes, find_lines

    sections: list[GrowthSection] = []
    for axis in find_axes(rows):
        lines = find_lines(rows, axis, least_sizes=_LEAST_SIZES)
        section = _section(axis, lines, number=len(sections) + 1) if lines else None
        sections += [section] if section is not None else []
        if len(sections) == _MOST_AXES:
            break
    return tuple(sections)


def _section(axis: str, lines: Sequence[Line], *, number: int) -> GrowthSection | None:
    from firstgrad.analysis.scaling import find_growth
    from firstgrad.show.growth import GrowthPanel, describe_growth, draw_growth

    chosen = sorted(lines, key=lambda line: (-line.n_sizes, -len(line.rows)))[:_MOST_LINES]
    metrics = [metric_named(name) for name in _METRICS]
    found = find_growth([row for line in chosen for row in _thinned(line)], [axis], metrics)
    if not found:
        return None
    panels = [GrowthPanel.of(growth, growth.lines, [line.name for line in growth.lines]) for growth in found]
    size, symbol = shown(axis), _SYMBOLS.get(axis, "n")
    description = describe_growth(panels, size=size, symbol=symbol)
    figure = draw_growth(panels, size=size, symbol=symbol, title=shown(found[0].common, 100))
    return GrowthSection(
        id=f"growth-{number}",
        title=f"Growth with {size}",
        caption=_tell(chosen=len(chosen), known=len(lines), common=found[0].common),
        description=description,
        figure=inline_svg(figure, f"figure-growth-{number}", description),
        laws=tuple(
            (growth.metric.title, shown(line.name, _LONGEST_NAME), shown(_law(line.law), _LONGEST_LAW))
            for growth in found
            for line in growth.lines
        ),
    )


def _law(law: GrowthLaw | NoLaw) -> str:
    from firstgrad.growth.law import NoLaw

    return f"no law: {law.reason}" if isinstance(law, NoLaw) else law.sentence


def _thinned(line: Line) -> list[Row]:
    """Take the newest samples of each size, and no more than a figure can show."""
    newest = sorted(zip(line.rows, line.sizes, strict=True), key=lambda each: each[0].started_at, reverse=True)
    taken: dict[float, list[Row]] = {}
    for row, size in newest:
        of_size = taken.setdefault(size, [])
        if len(of_size) < _MOST_A_SIZE:
            of_size.append(row)
    # One of each size before the second of any.
    in_turn = sorted(
        ((place, row) for rows in taken.values() for place, row in enumerate(rows)), key=lambda each: each[0]
    )
    return [row for _, row in in_turn[:_MOST_A_LINE]]


def _tell(*, chosen: int, known: int, common: str) -> str:
    which = f"The {chosen} lines with most sizes, of {known}" if chosen < known else "All lines of three sizes or more"
    of_what = f": {shown(common, _LONGEST_NAME)}" if common else ""
    return f"{which}{of_what}. Of each size the {_MOST_A_SIZE} newest samples. Arrows: stopped by a limit."
