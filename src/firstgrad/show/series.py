"""Metrics along commits or releases, as lines with intervals; PyMC's releases at a glance; the page of both."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from firstgrad.backends import facts_of
from firstgrad.case import Scenario, Target
from firstgrad.columns import METRICS, metric_named, samples_table
from firstgrad.grouping import grouped
from firstgrad.growth.series import AxisKind, default_backend, group_records, make_series, release_axis, tell_apart
from firstgrad.show import drawing
from firstgrad.show.page import Page, Section
from firstgrad.show.result import Fold, Picture, Span, Style, Table, left, right
from firstgrad.show.soundness import (
    doubt_section,
    environment_section,
    failure_section,
    find_environments,
    find_failures,
)
from firstgrad.show.style import PageRole, Tip, set_role
from firstgrad.show.words import capitalised, shown, split_common, write_counted, write_estimate, write_value
from firstgrad.units import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from firstgrad.case import Case
    from firstgrad.columns import Column
    from firstgrad.estimates import Estimate
    from firstgrad.growth.series import MetricSeries, SeriesAxis, SeriesGroup, SeriesPoint
    from firstgrad.record import Record
    from firstgrad.show.drawing import Strokes
    from firstgrad.show.result import Inline

PANELS = (
    ("Time to first gradient, cold", "time_to_first_gradient", Scenario.COLD),
    ("Time to first gradient, warm", "time_to_first_gradient", Scenario.WARM),
    ("CPU time to first gradient, cold", "time_to_first_gradient_cpu", Scenario.COLD),
    ("CPU time to first gradient, warm", "time_to_first_gradient_cpu", Scenario.WARM),
    ("Evaluation time (median call), cold", "evaluation", Scenario.COLD),
    ("Peak memory, compilers included, cold", "peak_memory", Scenario.COLD),
)
"""Title, metric and scenario of each panel of the releases."""

_ROWS, _RELEASES_WIDTH, _ROW_INCHES = 3, 11.0, 3.7
_LINES_DESCRIBED = 12
_WIDTH_INCHES, _LEAST_HEIGHT_INCHES, _INCHES_A_LINE = 10.0, 1.7, 0.17
_MOST_TICKS = 24
_LABEL_POINTS = 11.0
_LOG_SPAN, _MANY_DECADES = 10.0, 2.5
_STRIP, _WIDEST_STEP = 0.94, 0.18  # where crosses stand, as a part of the panel's height and of a place's width
_LONGEST_REASON = 160  # the whole of it is among the failures
_COLUMNS = (*left("at"), *right("median [interval]", "confidence", "samples"), *left("failed", "doubts"))
_CAPTION = "Bars: interval of the median. Crosses: failed samples."


class _SeriesLine(NamedTuple):
    """A series as it is drawn, strongly at some places."""

    series: MetricSeries
    name: str
    look: drawing.Look
    strong: frozenset[str] = frozenset()

    @property
    def known(self) -> list[tuple[str, Estimate]]:
        """The places that have an estimate."""
        return [(point.place, point.estimate) for point in self.series.points if point.estimate]


def series_picture(series: Sequence[MetricSeries], axis: SeriesAxis) -> Picture:
    """Picture one metric along an axis: a panel a backend, scenario and target, a line a case.

    Bars are the intervals of the medians, crosses failed samples. Each panel has its own range, logarithmic above a
    factor of ten. Raises ValueError where there are no series.
    """
    if not series:
        raise ValueError("no series has a number or a failure: nothing to draw")
    parts = [_describe_line(one, axis, name) for one, name in zip(series, full_names(series), strict=True)]
    more = f"; and {len(parts) - _LINES_DESCRIBED} more, see the table" if len(parts) > _LINES_DESCRIBED else ""
    places, metric = axis.places, series[0].metric
    words = (
        f"Lines of {metric.title} along {len(places)} places ({axis.title}), from {places[0].name} to "
        f"{places[-1].name}. {'; '.join(parts[:_LINES_DESCRIBED])}{more}."
    )
    return Picture(partial(_draw_series, series, axis), metric.name, words, _CAPTION, has_numbers=False)


def _draw_series(series: Sequence[MetricSeries], axis: SeriesAxis) -> Figure:
    common, lines = _name_lines(series)
    panels = grouped((_panel_of(line.series.case), line) for line in lines)
    heights = [max(_LEAST_HEIGHT_INCHES, _INCHES_A_LINE * len(chosen)) for chosen in panels.values()]
    height = 1.3 + sum(heights) + 0.45 * len(heights)
    with drawing.new_panels(_WIDTH_INCHES, height, heights, is_shared=True) as (figure, grid):
        for axes, inches, (name, chosen) in zip(grid, heights, panels.items(), strict=True):
            _draw_panel(axes, chosen, axis, height_inches=inches)
            axes.set_title(name, fontsize=10)
        grid[-1].set_xlabel(axis.title)
        about = f"\n{shown(common, 110)}" if common else ""
        drawing.head_figure(figure, f"{shown(capitalised(series[0].metric.title), 110)}{about}")
    return figure


def _panel_of(case: Case) -> str:
    return f"{case.backend}, {case.scenario}{'' if case.target is Target.DLOGP else f', {case.target}'}"


def full_names(series: Sequence[MetricSeries]) -> list[str]:
    """Name each series by its case and by what tells it from the others."""
    return [
        ", ".join(filter(None, (str(one.case), more))) for one, more in zip(series, tell_apart(series), strict=True)
    ]


def releases_picture(records: Sequence[Record], name: str = "releases") -> Picture:
    """Picture what changed over PyMC releases: six panels for each model and target, a line a backend.

    Thick lines with large markers are the backend that the release compiles to by default. Raises ValueError where no
    record names its PyMC release.
    """
    axis = release_axis(records)
    if not axis.places:
        raise ValueError("no record names its PyMC release: nothing to draw")
    models = by_model(group_records(records, axis))
    sentences = []
    for model, groups in models.items():
        for title, metric, scenario in PANELS:
            lines = _release_lines(groups, metric, scenario)
            told = "; ".join(_describe_line(line.series, axis, line.name) for line in lines)
            sentences.append(f"{model}, {title[0].lower()}{title[1:]}: {told or 'no records'}.")
    words = (
        f"Six panels of lines over {len(axis.places)} PyMC releases, a line a backend, the default backend of each "
        f"release emphasised ({_tell_defaults(axis)}). {' '.join(sentences)}"
    )
    return Picture(partial(_draw_releases, models, axis), name, words, _CAPTION)


def _draw_releases(models: dict[str, list[SeriesGroup]], axis: SeriesAxis) -> Figure:
    with drawing.new_figure(_RELEASES_WIDTH, _ROWS * _ROW_INCHES * len(models)) as figure:
        parts = figure.subfigures(len(models), 1, squeeze=False)[:, 0]
        for part, (name, groups) in zip(parts, models.items(), strict=True):
            _draw_model(part, name, groups, axis)
    return figure


def by_model(groups: Sequence[SeriesGroup]) -> dict[str, list[SeriesGroup]]:
    """Sort groups by what is compiled: model and target, in words."""
    return grouped((f"{group.case.model!s}, {group.case.target}", group) for group in groups)


def _describe_line(series: MetricSeries, axis: SeriesAxis, name: str) -> str:
    """Say in words what one line shows: where it begins and ends, and where samples failed."""
    unit = series.metric.unit
    known = [(axis.place(point.place).name, point.estimate) for point in series.points if point.estimate]
    ends = known if len(known) <= 1 else [known[0], known[-1]]
    text = ", ".join(f"{write_value(unit, estimate.value)} at {place}" for place, estimate in ends) or "no numbers"
    failed = [axis.place(point.place).name for point in series.points if point.n_failed]
    return f"{name}: {text}" + (f", failed samples at {', '.join(failed)}" if failed else "")


def _name_lines(series: Sequence[MetricSeries]) -> tuple[str, list[_SeriesLine]]:
    common, models = split_common([str(one.case.model) for one in series])
    names = [
        ", ".join(filter(None, (model, more))) or str(one.case.backend)
        for one, model, more in zip(series, models, tell_apart(series), strict=True)
    ]
    looks = drawing.looks_of(names)
    return common, [_SeriesLine(one, shown(name), looks[name]) for one, name in zip(series, names, strict=True)]


def _release_lines(groups: Sequence[SeriesGroup], metric: str, scenario: Scenario) -> list[_SeriesLine]:
    """Make a line for each group of a scenario, named by its backend and what else tells it apart."""
    series = make_series([group for group in groups if group.case.scenario is scenario], metric_named(metric))
    lines = []
    for one, more in zip(series, tell_apart(series), strict=True):
        backend = one.case.backend
        look = drawing.Look(facts_of(backend).colour, facts_of(backend).marker)
        strong = frozenset(point.place for point in one.points if default_backend(point.place) is backend)
        lines.append(_SeriesLine(one, shown(f"{backend}, {more}" if more else str(backend)), look, strong))
    return lines


def _draw_model(part: SubFigure, name: str, groups: Sequence[SeriesGroup], axis: SeriesAxis) -> None:
    defaults = [default_backend(place.key) for place in axis.places]
    for axes, (title, metric, scenario) in zip(part.subplots(_ROWS, 2).flat, PANELS, strict=True):
        _draw_panel(axes, _release_lines(groups, metric, scenario), axis, height_inches=_ROW_INCHES - 1.1)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(axis.title)
        for number in range(1, len(defaults)):
            if defaults[number] is not defaults[number - 1]:
                axes.axvline(number - 0.5, color="#888888", linestyle="--", linewidth=0.9)
    thick = f"thick: the release's default backend ({_tell_defaults(axis)})"
    text = f"{shown(name, 100)}\n{thick}; bars: interval of the median; crosses: failed samples"
    drawing.head_figure(part, text, size=10, weight="normal")


def _tell_defaults(axis: SeriesAxis) -> str:
    """Say which backend is the default up to and from which of the shown releases."""
    releases = grouped((str(default_backend(place.key)), shown(place.name, 20)) for place in axis.places)
    if len(releases) == 1:
        return next(iter(releases))
    (before, old), *_, (after, new) = releases.items()
    return f"{before} until {old[-1]}, {after} from {new[0]}"


def _draw_panel(axes: Axes, lines: Sequence[_SeriesLine], axis: SeriesAxis, *, height_inches: float) -> None:
    """Draw lines of one metric: medians, interval bars, crosses for failed samples, names at the ends.

    Every place of the axis gets its room, so that panels line up.
    """
    set_role(axes, PageRole.ALONG)
    estimates = [estimate for line in lines for _, estimate in line.known]
    axes.set_xlim(-0.5, len(axis.places) - 0.5)
    step = -(-len(axis.places) // _MOST_TICKS) or 1
    chosen = [number for number in range(len(axis.places)) if (len(axis.places) - 1 - number) % step == 0]
    names = [shown(axis.places[number].name, 12) for number in chosen]
    axes.set_xticks(chosen, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8.5)
    if not estimates:
        drawing.say_nothing_is_there(axes)
    else:
        ends = [end for estimate in estimates for end in (estimate.low, estimate.high)]
        scale = drawing.scale_of(lines[0].series.metric.unit, ends)
        has_failed = any(point.n_failed for line in lines for point in line.series.points)
        _set_limits(axes, [end / scale.factor for end in ends], head=0.24 if has_failed else 0.1)
        axes.set_ylabel(scale.unit)
        drawing.add_grid(axes, "y")
        last = [_draw_line(axes, line, axis, scale.factor) for line in lines]
        drawing.name_ends(axes, [end for end in last if end], height_inches=height_inches, gap_points=_LABEL_POINTS)
    _mark_failures(axes, lines, axis)


def _draw_line(axes: Axes, line: _SeriesLine, axis: SeriesAxis, factor: float) -> drawing.LineEnd | None:
    """Draw a line; return where it ends, if it has a number at all."""
    position, unit = _positions(axis), line.series.metric.unit
    look: Strokes = {"color": line.look.colour, "marker": line.look.marker}
    # NaN breaks the line where all samples failed; it goes on over places that nobody measured.
    medians = [
        (position[point.place], point.estimate.value / factor if point.estimate else math.nan)
        for point in line.series.points
    ]
    tips = [_tip(line, axis, place, write_counted(unit, estimate)) for place, estimate in line.known]
    drawing.plot(axes, medians, tips=tips, label=line.name, markersize=4.5, linewidth=1.4, **look)
    intervals = [(position[place], one.low / factor, one.high / factor) for place, one in line.known]
    drawing.draw_intervals(axes, intervals, line.look.colour)
    strong = [(position[place], one.value / factor) for place, one in line.known if place in line.strong]
    if strong:
        drawing.plot(axes, strong, label=f"{line.name}: default", markersize=8.0, linewidth=4.0, **look)
    if not line.known:
        return None
    place, last = line.known[-1]
    return drawing.LineEnd(position[place], last.value / factor, line.name, line.look.colour)


def _positions(axis: SeriesAxis) -> dict[str, int]:
    return {place.key: number for number, place in enumerate(axis.places)}


def _tip(line: _SeriesLine, axis: SeriesAxis, key: str, value: str) -> Tip:
    place, case = axis.place(key), _panel_of(line.series.case)
    name = case if case.startswith(line.name) else f"{case}: {line.name}"
    return Tip(name, " ".join(filter(None, (place.name, place.title))), value)


def _mark_failures(axes: Axes, lines: Sequence[_SeriesLine], axis: SeriesAxis) -> None:
    """Set crosses into the strip above all numbers, side by side: a failure has no height of its own."""
    position = _positions(axis)
    points = [(line, [point for point in line.series.points if point.n_failed]) for line in lines]
    failed = [(line, [position[point.place] for point in of_line]) for line, of_line in points if of_line]
    tips = [
        [
            _tip(
                line,
                axis,
                point.place,
                "; ".join(f"{n}\N{MULTIPLICATION SIGN} {shown(why, _LONGEST_REASON)}" for why, n in point.failed),
            )
            for point in of_line
        ]
        for line, of_line in points
        if of_line
    ]
    if not failed:
        return
    step = min(_WIDEST_STEP, 0.8 / len(failed))
    cross: Strokes = {"linestyle": "none", "marker": "x", "markersize": 6.5, "markeredgewidth": 1.8}
    at = axes.get_xaxis_transform()
    for number, (line, places) in enumerate(failed):
        shifted = [place + (number - (len(failed) - 1) / 2) * step for place in places]
        label = f"{line.name}: failed"
        strip = [(place, _STRIP) for place in shifted]
        drawing.plot(axes, strip, tips=tips[number], transform=at, color=line.look.colour, label=label, **cross)
    last = max(place for _, places in failed for place in places) + (len(failed) - 1) / 2 * step
    drawing.note(axes, "failed", (last, _STRIP), (8, 0), xycoords=at, va="center")


def _set_limits(axes: Axes, ends: Sequence[float], *, head: float) -> None:
    """Set the range of values: logarithmic where small ones would vanish; `head` is the room above them."""
    low, high = min(ends), max(ends)
    if low > 0 and high > _LOG_SPAN * low:
        decades = math.log10(high / low)
        axes.set_yscale("log")
        axes.set_ylim(low / 10 ** (0.12 * decades), high * 10 ** (head * decades))
        drawing.write_ticks(axes.yaxis, steps=(1.0, 2.0, 5.0) if decades < _MANY_DECADES else (1.0,), digits=6)
        return
    low, high = min(0.0, low), max(0.0, high)
    room = (high - low) or 1.0
    axes.set_ylim(low - (0.08 * room if low < 0 else 0.0), high + head * room)


# --- the page --------------------------------------------------------------------------------------------------


def make_page(records: Sequence[Record], axis: SeriesAxis) -> Page:
    """Put the page together; records that don't tell their place on the axis are left out, and counted.

    Raises ValueError where no record has a place on the axis.
    """
    placed = [record for record in records if axis.key_of(record)]
    if not placed:
        raise ValueError(f"no record tells its {axis.kind}: nothing to report")
    groups = group_records(placed, axis)
    names = {place.key: place.name for place in axis.places}
    places = {record.record_id: names.get(axis.key_of(record), "no place") for record in placed}
    samples, by_id = samples_table(placed), {record.record_id: record for record in reversed(placed)}
    sections = []
    if axis.kind is AxisKind.RELEASE:
        sections.append(Section("releases", "PyMC releases at a glance", (releases_picture(placed),)))
    sections += [section for metric in METRICS if (section := metric_section(groups, metric, axis)) is not None]
    sections += [
        failure_section(find_failures(samples, samples["record_id"].map(places)), by_id),
        doubt_section(samples),
        environment_section(find_environments(samples), by_id),
    ]
    return Page(
        title="First gradients along " + ("commits" if axis.kind is AxisKind.COMMIT else "PyMC releases"),
        facts=tuple(_facts(records, placed, groups, axis)),
        sections=tuple(sections),
    )


def _facts(
    records: Sequence[Record], placed: Sequence[Record], groups: Sequence[SeriesGroup], axis: SeriesAxis
) -> Iterator[str]:
    places, used = axis.places, sum(len(group) for each in groups for _, group in each.records)
    cases = len({record.case.id for record in placed})
    began, ended = (choose(record.started_at for record in placed) for choose in (min, max))
    yield (
        f"{format_count(len(placed), 'sample')} of {format_count(cases, 'case')} at "
        f"{format_count(len(places), str(axis.kind))}, from {places[0].name} to {places[-1].name}; measured from "
        f"{began[:10]} to {ended[:10]} (UTC)."
    )
    if len(placed) < len(records):
        yield f"{format_count(len(records) - len(placed), 'sample')} without a {axis.kind} left out."
    if used < len(placed):
        yield (
            f"{format_count(len(placed) - used, 'sample')} left out of figures and tables of metrics: measured with "
            "other packages than the newest sample of the same case and release."
        )


def metric_section(groups: Sequence[SeriesGroup], metric: Column, axis: SeriesAxis) -> Section | None:
    """Make a metric's figure and tables, which are unfolded of the first metric; none where no record has it."""
    series = make_series(groups, metric)
    if not any(point.estimate for one in series for point in one.points):
        return None
    tables = [
        Table(title=name, columns=_COLUMNS, rows=[_cells(one, point, axis) for point in one.points])
        for name, one in zip(full_names(series), series, strict=True)
    ]
    numbers = Fold("The numbers", tables, is_open=metric is METRICS[0])
    return Section(f"metric-{metric.name}", capitalised(metric.title), (series_picture(series, axis), numbers))


def _cells(series: MetricSeries, point: SeriesPoint, axis: SeriesAxis) -> tuple[Inline, ...]:
    place, estimate = axis.place(point.place), point.estimate
    name: Inline = Span(place.name, is_verbatim=True)
    if place.title:
        name = (Span(place.name, is_verbatim=True), " ", Span(place.title, Style.DIM))
    failed = "; ".join(
        f"{count}\N{MULTIPLICATION SIGN} {shown(reason, _LONGEST_REASON)}" for reason, count in point.failed
    )
    doubts = [piece for doubt in point.doubts for piece in (", ", Span(str(doubt), link="#doubts"))]
    return (
        name,
        write_estimate(series.metric.unit, estimate) if estimate else "",
        f"{estimate.confidence:.0%}" if estimate and estimate.samples > 1 else "",
        f"{estimate.samples if estimate else 0}",
        Span(failed, Style.BAD) if failed else "",
        tuple(doubts[1:]),
    )
