"""Total seconds against planned evaluations, a panel for each state of the caches."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from firstgrad.analysis.advice_words import advice_sentences, alarm_sentences, count
from firstgrad.figures.ends import End, name_ends
from firstgrad.figures.looks import looks_of
from firstgrad.show.style import firstgrad_style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from firstgrad.analysis.advice import Advice, ScenarioAdvice
    from firstgrad.analysis.breakeven import BreakEven, Option
    from firstgrad.figures.looks import Look

_PLACES, _MARKER_EVERY = 120, 24
_PANEL_WIDTH_INCHES, _HEIGHT_INCHES = 7.2, 5.0
_ROOM_BELOW, _ROOM_LINE = 0.06, 0.05  # of the panel's height, for what is said of crossings
_NOTE_POINTS = 13.0
_WIDE = 1e7  # above this span only every second decade is named
_KEY = "thick: ahead; dot: where another takes the lead, with its interval; bands: intervals"


def draw_advice(advice: Advice) -> Figure:
    """Draw what each choice costs in all, over the number of evaluations that wait for each other.

    Parameters
    ----------
    advice : Advice
        With at least one scenario.

    Returns
    -------
    matplotlib.figure.Figure
        A panel a scenario, both scales logarithmic and equal in all of them. A line with its band (of the intervals'
        ends) a choice, thick where it is ahead; the planned number as a dashed upright; at each crossing a dot with its
        interval.
    """
    from matplotlib.figure import Figure

    panels = advice.scenarios
    names = [each.choice.name for each in sorted((o for p in panels for o in p.offers), key=lambda each: each.choice)]
    looks = looks_of(names)
    with firstgrad_style():
        figure = Figure(figsize=(_PANEL_WIDTH_INCHES * len(panels), _HEIGHT_INCHES), layout="constrained")
        n_max = max(each.breakeven.n_max for each in panels)
        limits = _limits(panels, n_max)
        for number, (axes, panel) in enumerate(
            zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True)
        ):
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlim(1, n_max)
            axes.set_ylim(*limits)
            _draw_panel(axes, panel, looks, n_max)
            _mark_planned(axes, advice.workload.in_a_row)
            axes.set_xlabel("gradient evaluations, one after the other")
            if number == 0:
                axes.set_ylabel("total seconds, first gradient included, import not")
            axes.set_title(_title(panel))
    return figure


def describe_advice(advice: Advice) -> str:
    """Say in words what `draw_advice` shows, for readers who can't see it."""
    return " ".join(
        ("Lines of total seconds against gradient evaluations.", *alarm_sentences(advice), *advice_sentences(advice))
    )


def _title(panel: ScenarioAdvice) -> str:
    told = panel.leader.choice.name if panel.is_decided and panel.rivals else "undecided at the planned number"
    return f"{panel.scenario} caches: {told}" if panel.rivals else f"{panel.scenario} caches"


def _limits(panels: Sequence[ScenarioAdvice], n_max: float) -> tuple[float, float]:
    ends = [
        end
        for panel in panels
        for offer in panel.offers
        for total in (offer.option.total_seconds(1.0), offer.option.total_seconds(n_max))
        for end in (total.low, total.high)
        if end > 0
    ]
    low, high = math.log10(min(ends)), math.log10(max(ends))
    height = max(high - low, 0.3)
    lines = 1 + max(len(panel.breakeven.crossings) for panel in panels)
    return 10 ** (low - height * (_ROOM_BELOW + lines * _ROOM_LINE)), 10 ** (high + 0.06 * height)


def _draw_panel(axes: Axes, panel: ScenarioAdvice, looks: dict[str, Look], n_max: float) -> None:
    result = panel.breakeven
    places = [n_max ** (step / _PLACES) for step in range(_PLACES + 1)]
    for number, option in enumerate(result.options):
        _draw_option(axes, option, looks[option.name], places, first_marker=5 * number % _MARKER_EVERY)
    for option, began, ended in _leads(result, n_max):
        within = [began, *(each for each in places if began < each < ended), ended]
        axes.plot(
            within,
            [option.total_seconds(each).value for each in within],
            color=looks[option.name].colour,
            linewidth=5.0,
            alpha=0.5,
            label=f"{option.name}: ahead",
        )
    notes = [_KEY]
    for crossing in (each for each in result.crossings if each.evaluations.value > 1):
        at, colour = crossing.evaluations, looks[crossing.after.name].colour
        total = crossing.after.total_seconds(at.value).value
        low, high = max(at.low, 1.0), min(at.high, n_max)
        axes.plot([low, high], [total, total], color=colour, linewidth=1.4, label=f"{crossing.after.name}: interval")
        for end, mark in ((low, "|" if at.low >= 1 else "<"), (high, "|" if at.high <= n_max else ">")):
            axes.plot([end], [total], color=colour, marker=mark, markersize=7, clip_on=False)
        axes.plot([at.value], [total], color=colour, marker="o", markersize=8, label=f"{crossing.after.name}: crossing")
        notes.append(f"{crossing.after.name} from {count(at.value)} on [{count(at.low)}, {count(at.high)}]")
    for number, note in enumerate(notes):
        axes.annotate(
            note,
            xy=(0.01, 0.02),
            xycoords="axes fraction",
            xytext=(0, _NOTE_POINTS * number),
            textcoords="offset points",
            fontsize=9 if number else 7.5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )
    ends = [
        End(x=n_max, y=each.total_seconds(n_max).value, text=each.name, colour=looks[each.name].colour)
        for each in result.options
    ]
    name_ends(axes, ends, height_inches=_HEIGHT_INCHES - 0.9)
    axes.grid(visible=True, which="major", color="#888888", alpha=0.25, linewidth=0.6)
    _write_plainly(axes)


def _write_plainly(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for side in (axes.xaxis, axes.yaxis):
        low, high = side.get_view_interval()
        side.set_major_locator(LogLocator(base=100.0 if high > _WIDE * low else 10.0))
        side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        side.set_minor_formatter(NullFormatter())


def _draw_option(axes: Axes, option: Option, look: Look, places: Sequence[float], *, first_marker: int) -> None:
    totals = [option.total_seconds(each) for each in places]
    axes.fill_between(
        places,
        [each.low for each in totals],
        [each.high for each in totals],
        color=look.colour,
        alpha=0.15,
        linewidth=0,
    )
    axes.plot(
        places,
        [each.value for each in totals],
        color=look.colour,
        linestyle=look.style,
        linewidth=1.5,
        marker=look.marker,
        markersize=5,
        markevery=(first_marker, _MARKER_EVERY),
        label=option.name,
    )


def _leads(result: BreakEven, n_max: float) -> list[tuple[Option, float, float]]:
    """Who is ahead from and up to how many evaluations, within the panel."""
    turns = [1.0, *(max(each.evaluations.value, 1.0) for each in result.crossings), n_max]
    leads = zip(result.leaders, itertools.pairwise(turns), strict=True)
    return [(option, began, ended) for option, (began, ended) in leads if began < ended]


def _mark_planned(axes: Axes, evaluations: float) -> None:
    axes.axvline(evaluations, color="#555555", linestyle="--", linewidth=1.2, zorder=0.5, label="planned")
    axes.annotate(
        f" planned: {count(evaluations)} ",
        xy=(evaluations, 0.98),
        xycoords=("data", "axes fraction"),
        ha="right" if evaluations > math.sqrt(axes.get_xlim()[1]) else "left",
        va="top",
        fontsize=9,
    )
