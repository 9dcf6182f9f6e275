"""What a page says, as data: each section names the template that shows it.

A new section is a frozen dataclass with `id`, `title` and `template`, a function that makes it, and its template.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from markupsafe import Markup

from firstgrad.analysis.series import make_series
from firstgrad.show.series import describe_releases, describe_series, draw_releases, draw_series, full_names
from firstgrad.show.style import inline_svg
from firstgrad.show.words import shown, write_estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.analysis.axes import Axis, Place
    from firstgrad.analysis.series import Group, Point, Series
    from firstgrad.metrics import Metric
    from firstgrad.record import Record

_LONGEST_REASON = 160  # the whole of it is among the failures


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One point as a row of a table, all of it as text.

    Attributes
    ----------
    place : Place
        Commit or release.
    estimate, confidence : str
        Median [interval] with units, and how sure the interval is; empty where all samples failed.
    samples : int
        How many numbers the median is of.
    failed : tuple of str
        Each reason, with how many samples.
    doubts : tuple of str
        Names; the page explains them at its end.
    """

    place: Place
    estimate: str
    confidence: str
    samples: int
    failed: tuple[str, ...]
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSection:
    """One metric: its figure, and a table a series.

    Attributes
    ----------
    id, title, description : str
        Anchor, heading, and the figure in words.
    figure : Markup
        SVG.
    tables : tuple of (str, tuple of Row)
        A series each, with its name.
    is_open : bool
        Whether the tables are unfolded from the start.
    """

    template: ClassVar[str] = "metric.html"
    id: str
    title: str
    description: str
    figure: Markup
    tables: tuple[tuple[str, tuple[Row, ...]], ...]
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureSection:
    """A figure alone: anchor, heading, the figure in words, SVG."""

    template: ClassVar[str] = "figure.html"
    id: str
    title: str
    description: str
    figure: Markup


def releases_section(records: Sequence[Record]) -> FigureSection:
    """Make the overview of the releases; raises ValueError where no record names its release."""
    description = describe_releases(records)
    return FigureSection(
        id="releases",
        title="PyMC releases at a glance",
        description=description,
        figure=inline_svg(draw_releases(records), "figure-releases", description),
    )


def metric_section(groups: Sequence[Group], metric: Metric, axis: Axis, *, is_open: bool) -> MetricSection | None:
    """Make a metric's section; none where no record has it."""
    series = make_series(groups, metric)
    if not any(point.estimate for each in series for point in each.points):
        return None
    description = describe_series(series, axis)
    return MetricSection(
        id=f"metric-{metric.name}",
        title=metric.title[:1].upper() + metric.title[1:],
        description=description,
        figure=inline_svg(draw_series(series, axis), f"figure-{metric.name}", description),
        tables=tuple(
            (name, tuple(_row(each, point, axis) for point in each.points))
            for name, each in zip(full_names(series), series, strict=True)
        ),
        is_open=is_open,
    )


def _row(series: Series, point: Point, axis: Axis) -> Row:
    estimate = point.estimate
    return Row(
        place=axis.place(point.place),
        estimate=write_estimate(series.metric.unit, estimate) if estimate else "",
        confidence=f"{estimate.confidence:.0%}" if estimate and estimate.samples > 1 else "",
        samples=estimate.samples if estimate else 0,
        failed=tuple(
            f"{each.samples}\N{MULTIPLICATION SIGN} {shown(each.reason, _LONGEST_REASON)}" for each in point.failed
        ),
        doubts=tuple(str(doubt) for doubt in point.doubts),
    )
