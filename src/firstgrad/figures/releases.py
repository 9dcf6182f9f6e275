"""PyMC releases: first gradient cold and warm, evaluation, memory; each release's default backend emphasised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.analysis.axes import default_backend, release_axis
from firstgrad.analysis.series import group_records, make_series, tell_apart
from firstgrad.backends import facts_of
from firstgrad.case import Scenario, describe_model
from firstgrad.figures.lines import Line, draw_panel, shown
from firstgrad.figures.series import describe_line
from firstgrad.metrics import metric_named
from firstgrad.show.style import firstgrad_style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from firstgrad.analysis.axes import Axis
    from firstgrad.analysis.series import Group
    from firstgrad.record import Record

PANELS = (
    ("Time to first gradient, cold", "time_to_first_gradient", Scenario.COLD),
    ("Time to first gradient, warm", "time_to_first_gradient", Scenario.WARM),
    ("CPU time to first gradient, cold", "time_to_first_gradient_cpu", Scenario.COLD),
    ("CPU time to first gradient, warm", "time_to_first_gradient_cpu", Scenario.WARM),
    ("Evaluation time (median call), cold", "evaluation", Scenario.COLD),
    ("Peak memory, compilers included, cold", "peak_memory", Scenario.COLD),
)
"""Title, metric and scenario of each panel."""
_ROWS = 3
_WIDTH_INCHES, _HEIGHT_INCHES = 11.0, 3.7 * _ROWS


def draw_releases(records: Sequence[Record]) -> Figure:
    """Draw what changed over PyMC releases, a line a backend.

    Parameters
    ----------
    records : sequence of Record
        Each model and target in it gets panels of its own.

    Returns
    -------
    matplotlib.figure.Figure
        Thick lines with large markers are the backend that the release compiles to by default.

    Raises
    ------
    ValueError
        Where no record names its PyMC release.
    """
    axis = release_axis(records)
    if not axis.places:
        raise ValueError("no record names its PyMC release: nothing to draw")
    from matplotlib.figure import Figure

    groups = by_model(group_records(records, axis))
    with firstgrad_style():
        figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES * len(groups)), layout="constrained")
        parts = figure.subfigures(len(groups), 1, squeeze=False)[:, 0]
        for part, (name, chosen) in zip(parts, groups.items(), strict=True):
            _draw_model(part, name, chosen, axis)
    return figure


def describe_releases(records: Sequence[Record]) -> str:
    """Say in words what `draw_releases` shows, for readers who can't see it."""
    axis = release_axis(records)
    sentences = []
    for name, groups in by_model(group_records(records, axis)).items():
        for title, metric, scenario in PANELS:
            lines = make_lines([each for each in groups if each.case.scenario is scenario], metric)
            told = "; ".join(describe_line(line.series, axis, line.name) for line in lines)
            sentences.append(f"{name}, {title[0].lower()}{title[1:]}: {told or 'no records'}.")
    return (
        f"Six panels of lines over {len(axis.places)} PyMC releases, a line a backend, the default backend of each "
        f"release emphasised ({_tell_defaults(axis)}). {' '.join(sentences)}"
    )


def by_model(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Sort groups by what is compiled: model and target, in words."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(f"{describe_model(group.case.model)}, {group.case.target}", []).append(group)
    return found


def make_lines(groups: Sequence[Group], metric: str) -> list[Line]:
    """Make a line for each group, named by its backend and what else tells it apart."""
    series = make_series(groups, metric_named(metric))
    lines = []
    for each, more in zip(series, tell_apart(series), strict=True):
        backend = each.case.backend
        default = frozenset(point.place for point in each.points if default_backend(point.place) is backend)
        name = f"{backend}, {more}" if more else str(backend)
        lines.append(
            Line(
                series=each,
                name=shown(name),
                colour=facts_of(backend).colour,
                marker=facts_of(backend).marker,
                emphasised=default,
            )
        )
    return lines


def _draw_model(part: SubFigure, name: str, groups: Sequence[Group], axis: Axis) -> None:
    grid = part.subplots(_ROWS, 2)
    for axes, (title, metric, scenario) in zip(grid.flat, PANELS, strict=True):
        lines = make_lines([each for each in groups if each.case.scenario is scenario], metric)
        draw_panel(axes, lines, axis, height_inches=_HEIGHT_INCHES / _ROWS - 1.1)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(axis.title)
        _mark_change(axes, axis)
    part.suptitle(
        f"{shown(name, 100)}\nthick: the release's default backend ({_tell_defaults(axis)}); bars: interval of the "
        "median; crosses: failed samples",
        x=0.01,
        ha="left",
        fontsize=10,
    )


def _mark_change(axes: Axes, axis: Axis) -> None:
    """Draw a line where the default changes from one release to the next."""
    defaults = [default_backend(place.key) for place in axis.places]
    for number in range(1, len(defaults)):
        if defaults[number] is not defaults[number - 1]:
            axes.axvline(number - 0.5, color="#888888", linestyle="--", linewidth=0.9)


def _tell_defaults(axis: Axis) -> str:
    """Say which backend is the default up to and from which of the shown releases."""
    shown_by: dict[str, list[str]] = {}
    for place in axis.places:
        shown_by.setdefault(str(default_backend(place.key)), []).append(shown(place.name, 20))
    if len(shown_by) == 1:
        return next(iter(shown_by))
    (before, old), *_, (after, new) = shown_by.items()
    return f"{before} until {old[-1]}, {after} from {new[0]}"
