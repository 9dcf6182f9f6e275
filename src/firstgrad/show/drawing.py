"""What figures are drawn with: a figure in the project's style, looks of lines, logarithmic axes, marks, names at ends.

Only matplotlib within functions: whoever imports this has not imported that.
"""

from __future__ import annotations

import itertools
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from firstgrad.columns import Unit
from firstgrad.show.style import SERIES_COLOURS, SERIES_MARKERS, PageRole, Tip, firstgrad_style, set_role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis as Side
    from matplotlib.figure import Figure, SubFigure

NAMES_AT = 1.02
"""Where names stand right of a panel, whose width is 1."""

type Strokes = dict[str, Any]
"""Keyword arguments for matplotlib: how something is drawn."""

type LineStyle = str | tuple[int, tuple[int, ...]]

_STYLES: tuple[LineStyle, ...] = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
_LINE_POINTS, _GAP_POINTS, _ARROW_POINTS = 10.5, 3.0, 18
_MOST_TICKS, _FEW_DECADES, _MANY_DECADES, _LEAST_ROOM = 10, 0.7, 2.5, 0.05


class Scale(NamedTuple):
    """How an axis shows a metric: numbers are divided by `factor`, and then are in `unit`."""

    factor: float
    unit: str


_SCALES = {
    Unit.SECONDS: (Scale(1.0, "seconds"), Scale(1e-3, "milliseconds"), Scale(1e-6, "microseconds")),
    Unit.BYTES: (Scale(2.0**30, "GiB"), Scale(2.0**20, "MiB"), Scale(2.0**10, "KiB")),
    Unit.COUNT: (Scale(1.0, ""),),
}


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """Make a figure of so many inches, and draw within the project's style."""
    from matplotlib.figure import Figure

    with firstgrad_style():
        yield Figure(figsize=(width, height), layout="constrained")


@contextmanager
def new_panels(
    width: float, height: float, heights: Sequence[float] = (1.0,), *, is_shared: bool = False
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Make a figure as `new_figure` does, with a panel of each relative height below the other."""
    with new_figure(width, height) as figure:
        grid = figure.subplots(len(heights), 1, squeeze=False, sharex=is_shared, height_ratios=heights)
        yield figure, list(grid[:, 0])


def head_figure(figure: Figure | SubFigure, text: str, size: float = 11, weight: str = "bold") -> None:
    """Write a figure's title to the left."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=size, fontweight=weight)


def plot(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    *,
    tips: Sequence[Tip] = (),
    role: PageRole = PageRole.TIPS,
    **look: Any,
) -> None:
    """Draw a line or markers, given point by point; on a page its markers tell the tips, one each that is drawn."""
    (line,) = axes.plot([x for x, _ in points], [y for _, y in points], **look)
    if tips or role is not PageRole.TIPS:
        set_role(line, role, tips)


def note(axes: Axes, text: str, at: tuple[float, float], shift: tuple[float, float] = (0, 0), **style: Any) -> None:
    """Write a text beside a place, by so many points from it: right of it, or left where the shift is negative."""
    style = {"fontsize": 8.5, "ha": "right" if shift[0] < 0 else "left"} | style
    set_role(axes.annotate(text, xy=at, xytext=shift, textcoords="offset points", **style), PageRole.NOTE)


def add_grid(axes: Axes, axis: str = "both") -> None:
    """Draw faint lines at the ticks."""
    axes.grid(visible=True, axis=axis, which="major", color="#888888", alpha=0.25, linewidth=0.6)  # type: ignore[arg-type]  # one of x, y, both


def say_nothing_is_there(axes: Axes) -> None:
    """Leave a panel empty, and say so."""
    axes.set_yticks([])
    axes.text(0.5, 0.5, "no numbers", transform=axes.transAxes, ha="center", va="center")


def scale_of(unit: Unit, numbers: Iterable[float]) -> Scale:
    """Choose in what an axis counts, so that its largest number is 1 or more."""
    largest = max((abs(number) for number in numbers), default=0.0)
    return next((scale for scale in _SCALES[unit] if largest >= scale.factor), _SCALES[unit][-1])


class Look(NamedTuple):
    """How a line looks, as matplotlib spells it: nothing is told by colour alone."""

    colour: str
    marker: str
    style: LineStyle = "-"


def looks_of(keys: Iterable[str]) -> dict[str, Look]:
    """Give each different key a look, in the order of their first appearance."""
    choices = (itertools.cycle(choice) for choice in (SERIES_COLOURS, SERIES_MARKERS, _STYLES))
    looks = itertools.starmap(Look, zip(*choices, strict=True))
    return dict(zip(dict.fromkeys(keys), looks, strict=False))


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Move ascending heights as little as it takes to keep them `gap` apart, within 0 and 1 where they fit."""
    placed: list[float] = []
    for height in wanted:
        placed.append(max(height, placed[-1] + gap) if placed else max(height, 0.0))
    top = 1.0
    for number in range(len(placed) - 1, -1, -1):
        if placed[number] <= top:
            break
        placed[number] = top
        top -= gap
    return placed


def choose_dots(values: Sequence[float], most: int) -> list[float]:
    """Choose dots to draw: all of a few numbers, of more than `most` the extremes and some between them."""
    if len(values) <= most:
        return list(values)
    ordered = sorted(values)
    return [ordered[round(step * (len(ordered) - 1) / (most - 1))] for step in range(most)]


class LineEnd(NamedTuple):
    """Where a line ends, in the axes' own numbers, and what is written there (a newline begins a second line)."""

    x: float
    y: float
    text: str
    colour: str


def name_ends(axes: Axes, ends: Sequence[LineEnd], *, height_inches: float, gap_points: float | None = None) -> None:
    """Write the texts right of the panel at the heights of their ends, moved so that no two overlap.

    The axes have their scales and limits, and a panel of `height_inches`. An end above or below it is named at its
    edge. Lines are `gap_points` apart, or as many as the texts need.
    """
    placed = []
    for end in ends:
        x, y = axes.transLimits.transform(axes.transScale.transform((end.x, end.y)))
        placed.append((min(max(float(y), 0.0), 1.0), float(x), end))
    placed.sort(key=lambda place: place[0])
    lines = max((end.text.count("\n") + 1 for end in ends), default=1)
    points = lines * _LINE_POINTS + _GAP_POINTS if gap_points is None else gap_points
    heights = spread([y for y, _, _ in placed], points / (72 * height_inches))
    for height, (y, x, end) in zip(heights, placed, strict=True):
        axes.text(NAMES_AT, height, end.text, transform=axes.transAxes, va="center", fontsize=8.5, linespacing=1.1)
        # Dotted, so that nobody takes it for numbers.
        leader = [(x, y), (NAMES_AT - 0.005, height)]
        look: Strokes = {"linestyle": ":", "color": end.colour, "linewidth": 1.0, "clip_on": False}
        plot(axes, leader, role=PageRole.LEADER, transform=axes.transAxes, **look)


def draw_intervals(axes: Axes, intervals: Sequence[tuple[float, float, float]], colour: str) -> None:
    """Draw upright bars, each given by its place, low and high end."""
    places, lows, highs = ([interval[number] for interval in intervals] for number in range(3))
    axes.vlines(places, lows, highs, color=colour, linewidth=2.4, alpha=0.55)


def draw_bounds(
    axes: Axes, points: Sequence[tuple[float, float]], look: Look, *, label: str, is_lower: bool = True
) -> None:
    """Draw bounds as hollow markers: the true value lies above each, or below if not `is_lower`, as its arrow says."""
    if not points:
        return
    hollow: Strokes = {"markersize": 6.5, "markerfacecolor": "none", "markeredgewidth": 1.4, "color": look.colour}
    plot(axes, points, linestyle="none", marker=look.marker, label=label, **hollow)
    arrow = {"arrowstyle": "<|-", "color": look.colour, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 3}
    for point in points:
        note(axes, "", point, (0, _ARROW_POINTS if is_lower else -_ARROW_POINTS), arrowprops=arrow)


def write_ticks(
    side: Side,
    at: Sequence[float] | None = None,
    *,
    steps: Sequence[float] = (1.0,),
    base: float = 10.0,
    digits: int = 10,
    has_minor: bool = False,
) -> None:
    """Set ticks at some numbers, or at these steps of all decades, and write them plainly."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

    side.set_major_locator(LogLocator(base, steps) if at is None else FixedLocator(at))
    side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.{digits}g}"))
    side.set_minor_formatter(NullFormatter())
    if not has_minor:
        side.set_minor_locator(NullLocator())


def set_sizes(grid: Sequence[Axes], sizes: Sequence[float]) -> None:
    """Set the limits of the sizes, and ticks at those that were measured, as far as their names keep apart."""
    decades = math.log10(max(sizes) / min(sizes))
    room = max(0.04 * decades, _LEAST_ROOM)
    chosen: list[float] = []
    for size in sorted(set(sizes), reverse=True):
        if not chosen or math.log10(chosen[-1] / size) >= decades / _MOST_TICKS:
            chosen.append(size)
    for axes in grid:
        axes.set_xlim(min(sizes) / 10**room, max(sizes) * 10**room)
        write_ticks(axes.xaxis, chosen)


def set_values(axes: Axes, ends: Sequence[float], *, has_arrows: bool = False) -> None:
    """Set a logarithmic scale of values, all above zero, with room for arrows above them."""
    decades = max(math.log10(max(ends) / min(ends)), 0.15)
    axes.set_yscale("log")
    axes.set_ylim(min(ends) / 10 ** (0.08 * decades), max(ends) * 10 ** ((0.18 if has_arrows else 0.08) * decades))
    steps = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if decades < _FEW_DECADES else (1.0, 2.0, 5.0)
    write_ticks(axes.yaxis, steps=steps if decades < _MANY_DECADES else (1.0,), has_minor=True)
    add_grid(axes, "y")


def set_rows(axes: Axes, names: Sequence[str], *, most: float, least: float = 0.0, **style: Any) -> None:
    """Name the rows of horizontal bars, the first at the top, and set how far the bars reach."""
    axes.set_yticks(range(len(names)), names, **style)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_xlim(least, most)
