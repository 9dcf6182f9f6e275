"""Total seconds against the number of gradient evaluations: from when on a dearer compile pays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from firstgrad.figures.ends import End, name_ends
from firstgrad.figures.lines import shown
from firstgrad.figures.looks import looks_of
from firstgrad.show.style import firstgrad_style
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from firstgrad.analysis.breakeven import BreakEven, Crossing, Option
    from firstgrad.figures.looks import Look

_PLACES, _MARKER_EVERY = 200, 40
_WIDE, _WIDEST = 300.0, 3e6  # above these spans only decades are written, and only every second
_WIDTH_INCHES, _HEIGHT_INCHES = 9.0, 5.2
_FLOOR, _FLOOR_LINE = 0.035, 0.055  # where what is said of a crossing stands, and the next one above it
_LATE = 0.5  # right of this part of the panel, what is said of a crossing stands left of it


def draw_breakeven(result: BreakEven) -> Figure:
    """Draw the total seconds of each option against the number of gradient evaluations.

    Parameters
    ----------
    result : BreakEven
        From `firstgrad.analysis.breakeven.break_even`.

    Returns
    -------
    matplotlib.figure.Figure
        One axes, both of its scales logarithmic, from one evaluation on. A line with its band an option, thick where
        it is ahead; at each crossing a dot with the crossing's interval, a line down, and its name. A crossing below
        one evaluation is not drawn.
    """
    from matplotlib.figure import Figure

    with firstgrad_style():
        figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(1, result.n_max)
        drawn = [each for each in result.crossings if each.evaluations.value > 1]
        _set_height(axes, result, lines=len(drawn))
        looks = looks_of(each.name for each in result.options)
        for number, option in enumerate(result.options):
            _draw_option(axes, result, option, looks[option.name], first_marker=7 * number % _MARKER_EVERY)
        for number, crossing in enumerate(drawn):
            colour = looks[crossing.after.name].colour
            _mark_crossing(axes, result, crossing, colour, height=_FLOOR + (len(drawn) - 1 - number) * _FLOOR_LINE)
        ends = [
            End(
                x=result.n_max,
                y=each.total_seconds(result.n_max).value or axes.get_ylim()[0],
                text=_name(each),
                colour=looks[each.name].colour,
            )
            for each in result.options
        ]
        name_ends(axes, ends, height_inches=_HEIGHT_INCHES - 0.9)
        _write_plainly(axes)
        axes.grid(visible=True, which="major", color="#888888", alpha=0.25, linewidth=0.6)
        axes.set_xlabel("gradient evaluations after the first")
        axes.set_ylabel("total seconds, first gradient included")
        axes.set_title(_headline(result))
    return figure


def describe_breakeven(result: BreakEven) -> str:
    """Say in words what `draw_breakeven` shows, for readers who can't see it."""
    options = "; ".join(
        f"{_name(each)}: {format_seconds(each.first_gradient.value)} to the first gradient, then "
        f"{format_seconds(each.evaluation.value)} an evaluation"
        for each in result.options
    )
    told = [f"{_name(result.leaders[0])} is ahead {'all the way' if result.always_ahead else 'at first'}"]
    told += [_tell(each, result.n_max) for each in result.crossings]
    return (
        f"Lines of total seconds against gradient evaluations, up to {_count(result.n_max)}. {options}. "
        f"{'; '.join(told)}."
    )


def _headline(result: BreakEven) -> str:
    ahead = result.always_ahead
    if ahead is None:
        return "Total time, and from how many evaluations on another option is ahead"
    alone = "" if len(result.options) == 1 else f": {_name(ahead)} is ahead all the way"
    return f"Total time{alone}"


def _draw_option(axes: Axes, result: BreakEven, option: Option, look: Look, *, first_marker: int) -> None:
    places = [result.n_max ** (step / _PLACES) for step in range(_PLACES + 1)]
    totals = [option.total_seconds(each) for each in places]
    colour = look.colour
    axes.fill_between(
        places, [each.low for each in totals], [each.high for each in totals], color=colour, alpha=0.18, linewidth=0
    )
    axes.plot(
        places,
        [each.value for each in totals],
        color=colour,
        linestyle=look.style,
        linewidth=1.5,
        marker=look.marker,
        markersize=5,
        markevery=(first_marker, _MARKER_EVERY),
        label=option.name,
    )
    if option in result.leaders:
        began, ended = _led(result, option)
        ahead = [began, *(each for each in places if began < each < ended), ended]
        if began < ended:
            axes.plot(
                ahead,
                [option.total_seconds(each).value for each in ahead],
                color=colour,
                linewidth=4.0,
                alpha=0.6,
                label=f"{option.name}: ahead",
            )


def _led(result: BreakEven, option: Option) -> tuple[float, float]:
    """From and up to how many evaluations an option is ahead, within the panel."""
    place = result.leaders.index(option)
    began = result.crossings[place - 1].evaluations.value if place else 1.0
    ended = result.crossings[place].evaluations.value if place < len(result.crossings) else result.n_max
    return max(began, 1.0), ended


def _mark_crossing(axes: Axes, result: BreakEven, crossing: Crossing, colour: str, *, height: float) -> None:
    at, option = crossing.evaluations, crossing.after
    total = option.total_seconds(at.value).value
    low, high = max(at.low, 1.0), min(at.high, result.n_max)
    axes.plot([low, high], [total, total], color=colour, linewidth=1.4, label=f"{option.name}: interval")
    for end, known, open_mark in ((low, at.low >= 1, "<"), (high, at.high <= result.n_max, ">")):
        axes.plot([end], [total], color=colour, marker="|" if known else open_mark, markersize=7, clip_on=False)
    axes.plot([at.value], [total], color=colour, marker="o", markersize=8, label=f"{option.name}: crossing")
    floor = axes.transData.inverted().transform(axes.transAxes.transform((0.0, height)))[1]
    axes.plot([at.value, at.value], [floor, total], ":", color=colour, linewidth=1.2)
    is_late = math.log(at.value) > _LATE * math.log(result.n_max)
    axes.annotate(
        _tell(crossing, result.n_max),
        xy=(at.value, floor),
        xytext=(-5 if is_late else 5, 0),
        textcoords="offset points",
        ha="right" if is_late else "left",
        va="center",
        fontsize=9,
    )


def _tell(crossing: Crossing, n_max: float) -> str:
    at = crossing.evaluations
    if at.low == at.high:
        return f"{_name(crossing.after)} from {_count(at.value)} on"
    high = "never" if math.isinf(at.high) else f"beyond {_count(n_max)}" if at.high > n_max else _count(at.high)
    return f"{_name(crossing.after)} from {_count(at.value)} on [{_count(at.low)}, {high}]"


def _set_height(axes: Axes, result: BreakEven, *, lines: int) -> None:
    """Leave room below all lines for what is said of the crossings."""
    ends = [
        end
        for each in result.options
        for number in (1.0, result.n_max)
        for end in (each.total_seconds(number).value, each.total_seconds(number).low, each.total_seconds(number).high)
        if end > 0
    ]
    low, high = (min(ends), max(ends)) if ends else (1.0, 10.0)
    decades = max(math.log10(high / low), 0.3)
    room = (0.06 + lines * _FLOOR_LINE) / (0.9 - lines * _FLOOR_LINE)
    axes.set_ylim(low / 10 ** (room * decades), high * 10 ** (0.06 * decades))


def _write_plainly(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for side in (axes.xaxis, axes.yaxis):
        low, high = side.get_view_interval()
        if high > _WIDEST * low:
            side.set_major_locator(LogLocator(base=100.0))
        else:
            side.set_major_locator(LogLocator(subs=(1.0,) if high > _WIDE * low else (1.0, 2.0, 5.0)))
        side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        side.set_minor_formatter(NullFormatter())


def _count(number: float) -> str:
    """Write a number of evaluations with two significant digits: more would not be known."""
    if not number:
        return "0"
    digits = 1 - math.floor(math.log10(number))
    return f"{round(number, digits):,.10g}"


def _name(option: Option) -> str:
    return shown(option.name, 40)
