"""One metric along commits or releases: a panel a backend and scenario, a line a case."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from firstgrad.analysis.series import tell_apart
from firstgrad.case import Target, describe_model
from firstgrad.figures.lines import Line, draw_panel, shown
from firstgrad.figures.values import write_value
from firstgrad.show.style import SERIES_COLOURS, SERIES_MARKERS, firstgrad_style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from firstgrad.analysis.axes import Axis
    from firstgrad.analysis.series import Series

_LINES_DESCRIBED = 12
_WIDTH_INCHES, _LEAST_HEIGHT_INCHES, _INCHES_A_LINE = 10.0, 1.7, 0.17


def draw_series(series: Sequence[Series], axis: Axis) -> Figure:
    """Draw one metric along an axis.

    Parameters
    ----------
    series : sequence of Series
        Of one metric.
    axis : Axis
        Along which they were made.

    Returns
    -------
    matplotlib.figure.Figure
        One axes a backend, scenario and target, in order of appearance. Bars are the intervals of the medians,
        crosses failed samples. Each panel has its own range, logarithmic above a factor of ten.

    Raises
    ------
    ValueError
        Where there are no series.
    """
    if not series:
        raise ValueError("no series has a number or a failure: nothing to draw")
    from matplotlib.figure import Figure

    common, lines = _lines(series)
    panels: dict[str, list[Line]] = {}
    for line in lines:
        panels.setdefault(_panel(line.series), []).append(line)
    heights = [max(_LEAST_HEIGHT_INCHES, _INCHES_A_LINE * len(each)) for each in panels.values()]
    with firstgrad_style():
        figure = Figure(figsize=(_WIDTH_INCHES, 1.3 + sum(heights) + 0.45 * len(heights)), layout="constrained")
        grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights})
        for axes, height, (name, chosen) in zip(grid[:, 0], heights, panels.items(), strict=True):
            draw_panel(axes, chosen, axis, height_inches=height)
            axes.set_title(name, fontsize=10)
        grid[-1, 0].set_xlabel(axis.title)
        about = f"\n{shown(common, 110)}" if common else ""
        figure.suptitle(
            f"{shown(_capital(series[0].metric.title), 110)}{about}",
            x=0.01,
            ha="left",
            fontsize=11,
            fontweight="bold",
        )
    return figure


def describe_series(series: Sequence[Series], axis: Axis) -> str:
    """Say in words what `draw_series` shows, for readers who can't see it."""
    if not series:
        return "Nothing was measured."
    parts = [describe_line(each, axis, name) for each, name in zip(series, full_names(series), strict=True)]
    more = f"; and {len(parts) - _LINES_DESCRIBED} more, see the table" if len(parts) > _LINES_DESCRIBED else ""
    places = axis.places
    return (
        f"Lines of {series[0].metric.title} along {len(places)} places ({axis.title}), from {places[0].name} to "
        f"{places[-1].name}. {'; '.join(parts[:_LINES_DESCRIBED])}{more}."
    )


def describe_line(series: Series, axis: Axis, name: str) -> str:
    """Say in words what one line shows: where it begins and ends, and where samples failed."""
    unit = series.metric.unit
    known = [(axis.place(point.place).name, point.estimate) for point in series.points if point.estimate]
    if not known:
        text = "no numbers"
    elif len(known) == 1:
        text = f"{write_value(unit, known[0][1].value)} at {known[0][0]}"
    else:
        (first, before), (last, after) = known[0], known[-1]
        text = f"{write_value(unit, before.value)} at {first}, {write_value(unit, after.value)} at {last}"
    failed = [axis.place(point.place).name for point in series.points if point.n_failed]
    return f"{name}: {text}" + (f", failed samples at {', '.join(failed)}" if failed else "")


def full_names(series: Sequence[Series]) -> list[str]:
    """Name each series by its case and by what tells it from the others."""
    apart = tell_apart(series)
    return [f"{each.case}, {more}" if more else str(each.case) for each, more in zip(series, apart, strict=True)]


def split_common(names: Sequence[str]) -> tuple[str, list[str]]:
    """Split the words that all names begin with from the rest of each, which is empty only where all are equal."""
    if len(set(names)) == 1:
        return names[0], [""] * len(names)
    words = [re.split(r"(?<!\bno) ", name) for name in names]  # `no HMM` is one word
    count = 0
    while all(len(each) > count + 1 for each in words) and len({each[count] for each in words}) == 1:
        count += 1
    return " ".join(words[0][:count]), [" ".join(each[count:]) for each in words]


def _lines(series: Sequence[Series]) -> tuple[str, list[Line]]:
    common, models = split_common([describe_model(each.case.model) for each in series])
    apart = tell_apart(series)
    names = [
        ", ".join(filter(None, (model, more))) or str(each.case.backend)
        for each, model, more in zip(series, models, apart, strict=True)
    ]
    order = list(dict.fromkeys(names))
    return common, [
        Line(
            series=each,
            name=shown(name),
            colour=SERIES_COLOURS[order.index(name) % len(SERIES_COLOURS)],
            marker=SERIES_MARKERS[order.index(name) % len(SERIES_MARKERS)],
        )
        for each, name in zip(series, names, strict=True)
    ]


def _panel(series: Series) -> str:
    case = series.case
    return f"{case.backend}, {case.scenario}" + ("" if case.target is Target.DLOGP else f", {case.target}")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
