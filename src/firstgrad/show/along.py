"""The page of all metrics along commits or PyMC releases: a figure and tables a metric."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from firstgrad.columns import METRICS, samples_table
from firstgrad.growth.series import AxisKind, group_records, make_series
from firstgrad.show.overview import (
    doubt_section,
    environment_section,
    failure_section,
    find_environments,
    find_failures,
)
from firstgrad.show.page import Page, Section
from firstgrad.show.result import Fold, Picture, Span, Style, Table, left, right
from firstgrad.show.series import describe_releases, describe_series, draw_releases, draw_series, full_names
from firstgrad.show.words import capitalised, shown, write_estimate
from firstgrad.units import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from firstgrad.columns import Column
    from firstgrad.growth.series import MetricSeries, SeriesAxis, SeriesGroup, SeriesPoint
    from firstgrad.record import Record
    from firstgrad.show.result import Inline

_LONGEST_REASON = 160  # the whole of it is among the failures
_COLUMNS = (*left("at"), *right("median [interval]", "confidence", "samples"), *left("failed", "doubts"))
_CAPTION = "Bars: interval of the median. Crosses: failed samples."


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
    sections = [_releases_section(placed)] if axis.kind is AxisKind.RELEASE else []
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


def _releases_section(records: Sequence[Record]) -> Section:
    picture = Picture(partial(draw_releases, records), "releases", describe_releases(records), _CAPTION)
    return Section("releases", "PyMC releases at a glance", (picture,))


def metric_section(groups: Sequence[SeriesGroup], metric: Column, axis: SeriesAxis) -> Section | None:
    """Make a metric's figure and tables, which are unfolded of the first metric; none where no record has it."""
    series = make_series(groups, metric)
    if not any(point.estimate for one in series for point in one.points):
        return None
    picture = Picture(partial(draw_series, series, axis), metric.name, describe_series(series, axis), _CAPTION)
    tables = [
        Table(title=name, columns=_COLUMNS, rows=[_cells(one, point, axis) for point in one.points])
        for name, one in zip(full_names(series), series, strict=True)
    ]
    numbers = Fold("The numbers", tables, is_open=metric is METRICS[0])
    return Section(f"metric-{metric.name}", capitalised(metric.title), (picture, numbers))


def _cells(series: MetricSeries, point: SeriesPoint, axis: SeriesAxis) -> tuple[Inline, ...]:
    place, estimate = axis.place(point.place), point.estimate
    name: Inline = Span(place.name, is_verbatim=True)
    if place.title:
        name = (Span(place.name, is_verbatim=True), " ", Span(place.title, Style.DIM))
    failed = "; ".join(
        f"{kind.samples}\N{MULTIPLICATION SIGN} {shown(kind.reason, _LONGEST_REASON)}" for kind in point.failed
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
