"""Total seconds against gradient evaluations: from when on a costlier compile pays, and what is advised."""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import TYPE_CHECKING

from firstgrad.advising.workload import Counted
from firstgrad.columns import Unit
from firstgrad.show import drawing
from firstgrad.show.advice import advice_sentences, alarm_sentences, count
from firstgrad.show.result import Picture
from firstgrad.show.style import Tip
from firstgrad.show.words import shown, write_counted
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from firstgrad.advising.advice import Advice
    from firstgrad.advising.breakeven import BreakEven, Crossing, Option
    from firstgrad.show.drawing import Look, Strokes

_MARKERS = 5  # of a line
_LONGEST_NAME = 40
_WIDE, _WIDER, _WIDEST = 300.0, 3e6, 1e7  # spans above which fewer numbers are written at an axis
_FLOOR, _FLOOR_LINE = 0.035, 0.055  # where what is said of a crossing stands, and the next one above it
_LATE = 0.5  # right of this part of the panel, what is said of a crossing stands left of it
_KEY = "thick: ahead; dot: where another takes the lead, with its interval; bands: intervals"


def breakeven_picture(result: BreakEven, name: str = "breakeven", caption: str = "") -> Picture:
    """Picture the total seconds of each option, from one evaluation on, both scales logarithmic.

    A line with its band an option, thick where it is ahead; at each crossing a dot with the crossing's interval, a line
    down, and its name. A crossing below one evaluation is not drawn.
    """
    options = "; ".join(
        f"{_name(option)}: {format_seconds(option.first_gradient.value)} to the first gradient, then "
        f"{format_seconds(option.evaluation.value)} an evaluation"
        for option in result.options
    )
    leads = [f"{_name(result.leaders[0])} is ahead {'all the way' if result.always_ahead else 'at first'}"]
    leads += [_tell(crossing, result.n_max) for crossing in result.crossings]
    lines = f"Lines of total seconds against gradient evaluations, up to {count(result.n_max)}."
    return Picture(partial(_draw_breakeven, result), name, f"{lines} {options}. {'; '.join(leads)}.", caption)


def _draw_breakeven(result: BreakEven) -> Figure:
    with drawing.new_panels(9.0, 5.2) as (figure, [axes]):
        crossings = [crossing for crossing in result.crossings if crossing.evaluations.value > 1]
        low, high = _span([result], result.n_max)
        room = (0.06 + len(crossings) * _FLOOR_LINE) / (0.9 - len(crossings) * _FLOOR_LINE)
        limits = low - room * (high - low), high + 0.06 * (high - low)
        looks = drawing.looks_of(option.name for option in result.options)
        _draw_totals(axes, result, looks, result.n_max, limits, places=200, inches=4.3, few=(_WIDE, _WIDER))
        for number, crossing in enumerate(crossings):
            place = _FLOOR + (len(crossings) - 1 - number) * _FLOOR_LINE
            _name_crossing(axes, crossing, result.n_max, looks[crossing.after.name].colour, height=place)
        axes.set_xlabel("gradient evaluations after the first")
        axes.set_ylabel("total seconds, first gradient included")
        axes.set_title(_headline(result))
    return figure


def advice_picture(advice: Advice) -> Picture:
    """Picture what each choice costs in all, over the number of evaluations that wait for each other.

    A panel a scenario, of which there is at least one; scales are logarithmic and equal in all of them. Besides what
    `breakeven_picture` shows, the planned number is a dashed upright.
    """
    lines = f"Lines of total seconds against {_axis(advice)}."
    words = " ".join((lines, *alarm_sentences(advice), *advice_sentences(advice)))
    return Picture(partial(_draw_advice, advice), "advice", words)


def _draw_advice(advice: Advice) -> Figure:
    panels = advice.scenarios
    offers = sorted((offer for panel in panels for offer in panel.offers), key=lambda offer: offer.choice)
    looks = drawing.looks_of(offer.choice.name for offer in offers)
    n_max = max(panel.breakeven.n_max for panel in panels)
    low, high = _span([panel.breakeven for panel in panels], n_max)
    notes = 1 + max(len(panel.breakeven.crossings) for panel in panels)
    limits = low - (high - low) * (0.06 + notes * 0.05), high + 0.06 * (high - low)
    with drawing.new_figure(7.2 * len(panels), 5.0) as figure:
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(grid, panels, strict=True):
            _draw_totals(axes, panel.breakeven, looks, n_max, limits, places=120, inches=4.1, few=(0.0, _WIDEST))
            _note_crossings(axes, panel.breakeven, looks, n_max)
            _mark_planned(axes, advice.workload.in_a_row)
            axes.set_xlabel(f"{_axis(advice)}, one after the other")
            leader = panel.leader.choice.name if panel.is_decided else "undecided at the planned number"
            axes.set_title(f"{panel.scenario} caches{f': {leader}' if panel.rivals else ''}")
        grid[0].set_ylabel(f"total seconds, {advice.workload.counted.first} included, import not")
    return figure


def _axis(advice: Advice) -> str:
    return "gradient evaluations" if advice.workload.counted is Counted.EVALUATIONS else "draws, tuning included"


def _headline(result: BreakEven) -> str:
    ahead = result.always_ahead
    if ahead is None:
        return "Total time, and from how many evaluations on another option is ahead"
    return "Total time" if len(result.options) == 1 else f"Total time: {_name(ahead)} is ahead all the way"


def _span(results: Iterable[BreakEven], n_max: float) -> tuple[float, float]:
    """Find between which powers of ten all totals and their bands lie, at least a part of one apart."""
    options = [option for result in results for option in result.options]
    totals = [option.total_seconds(number) for option in options for number in (1.0, n_max)]
    ends = [end for total in totals for end in (total.value, total.low, total.high) if end > 0] or [1.0, 10.0]
    low, high = math.log10(min(ends)), math.log10(max(ends))
    return low, max(high, low + 0.3)


def _draw_totals(
    axes: Axes,
    result: BreakEven,
    looks: dict[str, Look],
    n_max: float,
    powers: tuple[float, float],
    *,
    places: int,
    inches: float,
    few: tuple[float, float],
) -> None:
    """Draw a line with its band and name an option, and its stretch ahead once more and thick.

    At the scales stand 1, 2 and 5; above the first span of `few` decades alone, above the second half of them.
    """
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(1, n_max)
    axes.set_ylim(10 ** powers[0], 10 ** powers[1])
    drawing.add_grid(axes)
    _write_plainly(axes, few)
    numbers = [n_max ** (step / places) for step in range(places + 1)]
    every = places // _MARKERS
    for position, option in enumerate(result.options):
        look, totals = looks[option.name], [option.total_seconds(number) for number in numbers]
        lows, highs = [total.low for total in totals], [total.high for total in totals]
        axes.fill_between(numbers, lows, highs, color=look.colour, alpha=0.17, linewidth=0)
        style: Strokes = {"linestyle": look.style, "linewidth": 1.5, "marker": look.marker, "markersize": 5}
        style["markevery"] = (7 * position % every, every)  # not over each other, where lines meet
        points = [(number, total.value) for number, total in zip(numbers, totals, strict=True)]
        tips = [
            Tip(_name(option), f"{count(number)} evaluations", write_counted(Unit.SECONDS, total))
            for number, total in list(zip(numbers, totals, strict=True))[7 * position % every :: every]
        ]
        drawing.plot(axes, points, tips=tips, color=look.colour, label=option.name, **style)
    turns = [1.0, *(max(crossing.evaluations.value, 1.0) for crossing in result.crossings), n_max]
    for option, (began, ended) in zip(result.leaders, itertools.pairwise(turns), strict=True):
        if began < ended:
            ahead = [began, *(number for number in numbers if began < number < ended), ended]
            points = [(number, option.total_seconds(number).value) for number in ahead]
            drawing.plot(
                axes, points, color=looks[option.name].colour, linewidth=4.5, alpha=0.55, label=f"{option.name}: ahead"
            )
    ends = [
        drawing.LineEnd(
            n_max, option.total_seconds(n_max).value or 10 ** powers[0], _name(option), looks[option.name].colour
        )
        for option in result.options
    ]
    drawing.name_ends(axes, ends, height_inches=inches)


def _draw_crossing(axes: Axes, crossing: Crossing, n_max: float, colour: str) -> float:
    """Draw a dot with its interval, open where that leaves the panel; return its height."""
    at, name = crossing.evaluations, crossing.after.name
    total = crossing.after.total_seconds(at.value).value
    low, high = max(at.low, 1.0), min(at.high, n_max)
    drawing.plot(axes, [(low, total), (high, total)], color=colour, linewidth=1.4, label=f"{name}: interval")
    for end, is_known, is_open in ((low, at.low >= 1, "<"), (high, at.high <= n_max, ">")):
        drawing.plot(
            axes, [(end, total)], color=colour, marker="|" if is_known else is_open, markersize=7, clip_on=False
        )
    tips = [Tip(name, "is ahead", _tell(crossing, n_max))]
    drawing.plot(
        axes, [(at.value, total)], tips=tips, color=colour, marker="o", markersize=8, label=f"{name}: crossing"
    )
    return total


def _name_crossing(axes: Axes, crossing: Crossing, n_max: float, colour: str, *, height: float) -> None:
    """Draw a crossing, and a line from it down to its name at a part of the panel's height."""
    total, at = _draw_crossing(axes, crossing, n_max, colour), crossing.evaluations.value
    floor = axes.transData.inverted().transform(axes.transAxes.transform((0.0, height)))[1]
    drawing.plot(axes, [(at, floor), (at, total)], linestyle=":", color=colour, linewidth=1.2)
    shift = -5 if math.log(at) > _LATE * math.log(n_max) else 5
    drawing.note(axes, _tell(crossing, n_max), (at, floor), (shift, 0), va="center", fontsize=9)


def _note_crossings(axes: Axes, result: BreakEven, looks: dict[str, Look], n_max: float) -> None:
    """Draw the crossings, and list them in the corner."""
    notes = [_KEY]
    for crossing in result.crossings:
        if crossing.evaluations.value > 1:
            _draw_crossing(axes, crossing, n_max, looks[crossing.after.name].colour)
            at = crossing.evaluations
            notes.append(f"{crossing.after.name} from {count(at.value)} on [{count(at.low)}, {count(at.high)}]")
    style: Strokes = {"xycoords": "axes fraction", "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1.0}}
    for number, text in enumerate(notes):
        drawing.note(axes, text, (0.01, 0.02), (0, 13.0 * number), fontsize=9 if number else 7.5, **style)


def _mark_planned(axes: Axes, evaluations: float) -> None:
    axes.axvline(evaluations, color="#555555", linestyle="--", linewidth=1.2, zorder=0.5, label="planned")
    style: Strokes = {"xycoords": ("data", "axes fraction"), "va": "top", "fontsize": 9}
    is_late = evaluations > math.sqrt(axes.get_xlim()[1])
    drawing.note(
        axes, f" planned: {count(evaluations)} ", (evaluations, 0.98), ha="right" if is_late else "left", **style
    )


def _write_plainly(axes: Axes, few: tuple[float, float]) -> None:
    for side in (axes.xaxis, axes.yaxis):
        low, high = side.get_view_interval()
        is_wide, is_widest = (high > span * low for span in few)
        steps = (1.0,) if is_wide else (1.0, 2.0, 5.0)
        drawing.write_ticks(side, steps=steps, base=100.0 if is_widest else 10.0, has_minor=True)


def _tell(crossing: Crossing, n_max: float) -> str:
    at = crossing.evaluations
    low, value, high = (count(end) if end >= 1 else f"{end:.2g}" for end in (at.low, at.value, at.high))
    if at.low == at.high:
        return f"{_name(crossing.after)} from {value} on"
    high = f"beyond {count(n_max)}" if n_max < at.high < math.inf else high
    return f"{_name(crossing.after)} from {value} on [{low}, {high}]"


def _name(option: Option) -> str:
    return shown(option.name, _LONGEST_NAME)
