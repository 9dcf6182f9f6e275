"""A panel of lines along an axis, each with intervals, failures and its name at its end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.analysis.series import Point, Series
from firstgrad.figures.values import needs_log, scale_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from firstgrad.analysis.axes import Axis
    from firstgrad.figures.values import Scale

_MOST_TICKS = 24
_LABEL_POINTS = 11.0
_LONGEST_NAME = 60
_NAMES_AT = 1.02  # right of the panel, whose width is 1
_STRIP, _WIDEST_STEP = 0.94, 0.18  # where crosses stand, as a part of the panel's height and of a place's width


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A series as it is drawn.

    Attributes
    ----------
    series : Series
        Its numbers.
    name : str
        Written at its end.
    colour, marker : str
        As matplotlib spells them.
    emphasised : frozenset of str
        Keys of the places where it is drawn strongly.
    """

    series: Series
    name: str
    colour: str
    marker: str
    emphasised: frozenset[str] = frozenset()


def draw_panel(axes: Axes, lines: Sequence[Line], axis: Axis, *, height_inches: float) -> None:
    """Draw lines into one panel: medians, interval bars, crosses for failed samples, names at the ends.

    Parameters
    ----------
    axes : Axes
        Empty; its limits and ticks are set.
    lines : sequence of Line
        Of one metric. The numbers are drawn in the unit that the axis label names.
    axis : Axis
        Every place of it gets its room, so that panels line up.
    height_inches : float
        Of the panel, to keep names apart.
    """
    position = {place.key: number for number, place in enumerate(axis.places)}
    estimates = [point.estimate for line in lines for point in line.series.points if point.estimate]
    ends = [end for each in estimates for end in (each.low, each.high)]
    scale = scale_of(lines[0].series.metric.unit, ends) if lines else None
    axes.set_xlim(-0.5, len(axis.places) - 0.5)
    _set_ticks(axes, axis)
    if scale is None or not estimates:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no numbers", transform=axes.transAxes, ha="center", va="center")
    else:
        has_failed = any(point.n_failed for line in lines for point in line.series.points)
        _set_limits(axes, [end / scale.factor for end in ends], head=0.24 if has_failed else 0.1)
        axes.set_ylabel(scale.unit)
        axes.grid(visible=True, axis="y", which="major", color="#888888", alpha=0.25, linewidth=0.6)
        for line in lines:
            _draw_line(axes, line, position, scale)
        _name_lines(axes, lines, position, scale, height_inches)
    _mark_failures(axes, lines, position)


def shown(text: str, longest: int = _LONGEST_NAME) -> str:
    """Make any text fit for a figure: printable, and not too long."""
    clean = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return clean if len(clean) <= longest else f"{clean[: longest - 1]}…"


def _draw_line(axes: Axes, line: Line, position: dict[str, int], scale: Scale) -> None:
    places = [position[point.place] for point in line.series.points]
    # NaN breaks the line where all samples failed; it goes on over places that nobody measured.
    medians = [_median(point) / scale.factor for point in line.series.points]
    axes.plot(places, medians, color=line.colour, marker=line.marker, markersize=4.5, linewidth=1.4, label=line.name)
    bars = [(position[point.place], point.estimate) for point in line.series.points if point.estimate]
    axes.vlines(
        [place for place, _ in bars],
        [estimate.low / scale.factor for _, estimate in bars],
        [estimate.high / scale.factor for _, estimate in bars],
        color=line.colour,
        linewidth=2.6,
        alpha=0.55,
    )
    strong = [point for point in line.series.points if point.place in line.emphasised and point.estimate]
    if strong:
        axes.plot(
            [position[point.place] for point in strong],
            [_median(point) / scale.factor for point in strong],
            color=line.colour,
            marker=line.marker,
            markersize=8.0,
            linewidth=4.0,
            label=f"{line.name}: default",
        )


def _mark_failures(axes: Axes, lines: Sequence[Line], position: dict[str, int]) -> None:
    """Set crosses into the strip above all numbers, side by side: a failure has no height of its own."""
    failed = [line for line in lines if _failed_at(line, position)]
    step = min(_WIDEST_STEP, 0.8 / max(len(failed), 1))
    for number, line in enumerate(failed):
        shift = (number - (len(failed) - 1) / 2) * step
        axes.plot(
            [place + shift for place in _failed_at(line, position)],
            [_STRIP] * len(_failed_at(line, position)),
            transform=axes.get_xaxis_transform(),
            linestyle="none",
            marker="x",
            markersize=6.5,
            markeredgewidth=1.8,
            color=line.colour,
            label=f"{line.name}: failed",
        )
    if failed:
        last = max(place for line in failed for place in _failed_at(line, position))
        axes.annotate(
            "failed",
            xy=(last + (len(failed) - 1) / 2 * step, _STRIP),
            xycoords=axes.get_xaxis_transform(),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )


def _failed_at(line: Line, position: dict[str, int]) -> list[int]:
    return [position[point.place] for point in line.series.points if point.n_failed]


def _name_lines(
    axes: Axes, lines: Sequence[Line], position: dict[str, int], scale: Scale, height_inches: float
) -> None:
    """Write each line's name right of its last median, moved up or down so that no two overlap."""
    ends = []
    for line in lines:
        last = next((point for point in reversed(line.series.points) if point.estimate), None)
        if last is not None:
            end = (position[last.place], _median(last) / scale.factor)
            x, y = axes.transLimits.transform(axes.transScale.transform(end))
            ends.append((float(y), float(x), line))
    ends.sort(key=lambda each: each[0])
    heights = spread([y for y, _, _ in ends], _LABEL_POINTS / (72 * height_inches))
    for height, (y, x, line) in zip(heights, ends, strict=True):
        axes.text(_NAMES_AT, height, line.name, transform=axes.transAxes, va="center", fontsize=8.5)
        leader = ([x, _NAMES_AT - 0.005], [y, height])
        # Dotted, so that nobody takes it for numbers.
        axes.plot(*leader, ":", transform=axes.transAxes, color=line.colour, linewidth=1.0, clip_on=False)


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


def _set_ticks(axes: Axes, axis: Axis) -> None:
    step = -(-len(axis.places) // _MOST_TICKS) or 1
    chosen = [number for number in range(len(axis.places)) if (len(axis.places) - 1 - number) % step == 0]
    names = [shown(axis.places[number].name, 12) for number in chosen]
    axes.set_xticks(chosen, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8.5)


def _set_limits(axes: Axes, ends: Sequence[float], *, head: float) -> None:
    if needs_log(ends):
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

        decades = math.log10(max(ends) / min(ends))
        axes.set_yscale("log")
        axes.set_ylim(min(ends) / 10 ** (0.12 * decades), max(ends) * 10 ** (head * decades))
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)))  # noqa: PLR2004 - above, they'd crowd
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())
        return
    low, high = min(0.0, *ends), max(0.0, *ends)
    room = (high - low) or 1.0
    axes.set_ylim(low - (0.08 * room if low < 0 else 0.0), high + head * room)


def _median(point: Point) -> float:
    return point.estimate.value if point.estimate else math.nan
