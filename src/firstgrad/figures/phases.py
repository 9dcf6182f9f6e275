"""Phases as stacked bars: where the time to first gradient goes, a bar a case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.case import describe_model
from firstgrad.figures.style import PHASE_COLOURS, firstgrad_style
from firstgrad.record import FIRST_GRADIENT_PHASES
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from firstgrad.record import Record

_LABEL_FRACTION = 0.09


def draw_phases(records: Sequence[Record]) -> Figure:
    """Draw the phases from `build` to `first_call`, one stacked bar a record.

    Parameters
    ----------
    records : sequence of Record
        One a case; the first is drawn at the top. Those without a first gradient are left out.

    Returns
    -------
    matplotlib.figure.Figure
        One axes; bar lengths in seconds.

    Raises
    ------
    ValueError
        Where no record has a first gradient.
    """
    shown = [each for each in records if each.time_to_first_gradient_seconds is not None]
    if not shown:
        raise ValueError("no record has a first gradient: nothing to draw")
    from matplotlib.figure import Figure

    with firstgrad_style():
        figure = Figure(figsize=(9.0, 1.4 + 0.62 * len(shown)), layout="constrained")
        axes = figure.add_subplot()
        longest = max(each.time_to_first_gradient_seconds or 0.0 for each in shown)
        for row, record in enumerate(shown):
            _draw_bar(axes, row, record, longest)
        axes.set_yticks(range(len(shown)), [_name(each) for each in shown])
        axes.invert_yaxis()
        axes.set_xlim(0, 1.4 * longest)
        axes.set_xlabel("seconds, wall")
        axes.set_title("Time to first gradient, by phase")
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=6, frameon=False)
    return figure


def describe_phases(records: Sequence[Record]) -> str:
    """Say in words what `draw_phases` shows, for readers who can't see it."""
    parts = []
    for record in records:
        whole = record.time_to_first_gradient_seconds
        if whole is None:
            continue
        longest = record.longest_phase
        parts.append(
            f"{_name(record).replace(chr(10), ', ')}: {format_seconds(whole)}, "
            f"of it {longest.phase} {longest.wall_seconds / whole:.0%}"
        )
    return "Stacked bars of the time to first gradient by phase. " + "; ".join(parts) + "."


def _draw_bar(axes: Axes, row: int, record: Record, longest: float) -> None:
    left = 0.0
    for phase in FIRST_GRADIENT_PHASES:
        found = record.phase(phase)
        if found is None:
            continue
        axes.barh(
            row,
            found.wall_seconds,
            left=left,
            height=0.62,
            color=PHASE_COLOURS[phase],
            edgecolor="white",
            linewidth=0.5,
            label=str(phase),
        )
        if found.wall_seconds > _LABEL_FRACTION * longest:
            axes.text(
                left + found.wall_seconds / 2,
                row,
                f"{phase}",
                ha="center",
                va="center",
                fontsize=8,
                color="black",
            )
        left += found.wall_seconds
    peak = f", peak {format_bytes(record.memory.peak_rss_bytes)}" if record.memory else ""
    axes.text(
        left + 0.01 * longest,
        row,
        f"{format_seconds(record.time_to_first_gradient_seconds or left)}{peak}",
        va="center",
        fontsize=9,
    )


def _name(record: Record) -> str:
    return f"{describe_model(record.case.model)}\n{record.case.backend}, {record.case.scenario}"
