"""Phases as stacked bars: where the time to first gradient goes, a bar a case."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.case import Target, describe_model
from firstgrad.estimates import estimate_median
from firstgrad.figures.lines import shown
from firstgrad.figures.values import write_estimate
from firstgrad.metrics import Unit
from firstgrad.record import FIRST_GRADIENT_PHASES
from firstgrad.row import conditions_of, packages_of
from firstgrad.show.style import PHASE_COLOURS, firstgrad_style
from firstgrad.units import format_bytes, format_seconds
from firstgrad.usability import why_unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from firstgrad.estimates import Estimate
    from firstgrad.record import Phase, Record

_LABEL_FRACTION = 0.09
_WHISKER, _WHISKER_AT = "#777777", 0.4  # below the bar, so that it is seen on dark and light
_ON_BARS = "#111111"  # no black: that would turn light on a dark page, and bars stay as they are


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    """Samples of one case under equal conditions, as they are drawn: medians."""

    name: str
    total: Estimate
    phases: tuple[tuple[Phase, float], ...]
    peak_bytes: float | None

    @property
    def length(self) -> float:
        return sum(seconds for _, seconds in self.phases)

    @property
    def longest(self) -> tuple[Phase, float]:
        return max(self.phases, key=lambda each: each[1])


def draw_phases(records: Sequence[Record]) -> Figure:
    """Draw the phases from `build` to `first_call`, one stacked bar a case.

    Parameters
    ----------
    records : sequence of Record
        The case of the first is drawn at the top. Several samples of a case under equal conditions (host, Python,
        compiler, threads, flags, packages) become one bar. Those without a first gradient, and those whose numbers
        don't count, are left out.

    Returns
    -------
    matplotlib.figure.Figure
        One axes; bar lengths in seconds. With several samples each phase is the median of its own, so that a bar
        may end a little beside the median of the totals, which has a dot and a whisker from end to end of its
        interval (the whole range below 6 samples).

    Raises
    ------
    ValueError
        Where no record has a first gradient.
    """
    bars = _make_bars(records)
    if not bars:
        raise ValueError("no record has a first gradient that counts: nothing to draw")
    from matplotlib.figure import Figure

    with firstgrad_style():
        figure = Figure(figsize=(9.0, 1.4 + 0.62 * len(bars)), layout="constrained")
        axes = figure.add_subplot()
        longest = max(max(each.total.value, each.length) for each in bars)
        for row, bar in enumerate(bars):
            _draw_bar(axes, row, bar, longest)
        axes.set_yticks(range(len(bars)), [each.name for each in bars])
        axes.set_ylim(len(bars) - 0.45, -0.55)
        axes.set_xlim(0, max(1.4 * longest, 1.05 * max(each.total.high for each in bars)) or 1.0)
        axes.set_xlabel("seconds, wall")
        axes.set_title("Time to first gradient, by phase")
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=6, frameon=False)
    return figure


def describe_phases(records: Sequence[Record]) -> str:
    """Say in words what `draw_phases` shows, for readers who can't see it."""
    parts = []
    for bar in _make_bars(records):
        phase, seconds = bar.longest
        share = f", of it {phase} {seconds / bar.total.value:.0%}" if bar.total.value else ""
        parts.append(f"{bar.name.replace(chr(10), ', ')}: {write_estimate(Unit.SECONDS, bar.total)}{share}")
    return "Stacked bars of the time to first gradient by phase. " + "; ".join(parts) + "."


def _make_bars(records: Sequence[Record]) -> list[_Bar]:
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.time_to_first_gradient_seconds is not None and not why_unusable(record):
            groups.setdefault((record.case.question, conditions_of(record.environment)), []).append(record)
    alike: dict[str, list[dict[str, str]]] = {}
    for group in groups.values():
        alike.setdefault(_name(group), []).append(_conditions(group[0]))
    return [_make_bar(group, _tell_apart(_conditions(group[0]), alike[_name(group)])) for group in groups.values()]


def _make_bar(group: Sequence[Record], apart: str) -> _Bar:
    found = {
        phase: [record.wall_seconds for each in group if (record := each.phase(phase)) is not None]
        for phase in FIRST_GRADIENT_PHASES
    }
    peaks = [each.memory.peak_rss_bytes for each in group if each.memory is not None]
    samples = f"{len(group)} samples" if len(group) > 1 else ""
    return _Bar(
        name=", ".join(filter(None, (_name(group), shown(apart), samples))),
        total=estimate_median([each.time_to_first_gradient_seconds or 0.0 for each in group]),
        phases=tuple((phase, statistics.median(seconds)) for phase, seconds in found.items() if seconds),
        peak_bytes=statistics.median(peaks) if peaks else None,
    )


def _draw_bar(axes: Axes, row: int, bar: _Bar, longest: float) -> None:
    left, is_named = 0.0, False
    for phase, seconds in bar.phases:
        axes.barh(
            row,
            seconds,
            left=left,
            height=0.62,
            color=PHASE_COLOURS[phase],
            edgecolor="white",
            linewidth=0.5,
            label=str(phase),
        )
        if seconds > _LABEL_FRACTION * longest:
            axes.text(left + seconds / 2, row, f"{phase}", ha="center", va="center", fontsize=8, color=_ON_BARS)
            is_named = True
        left += seconds
    total = bar.total
    if total.samples > 1:
        axes.plot([total.low, total.high], [row + _WHISKER_AT] * 2, color=_WHISKER, linewidth=1.6, marker="|")
        axes.plot([total.value], [row + _WHISKER_AT], color=_WHISKER, marker="o", markersize=4)
    peak = "" if bar.peak_bytes is None else f", peak {format_bytes(bar.peak_bytes)}"
    most = "" if is_named or not bar.phases else f", most in {bar.longest[0]}"  # no colour needs to be told by eye
    interval = f"\n[{format_seconds(total.low)}, {format_seconds(total.high)}]" if total.samples > 1 else ""
    axes.text(
        left + 0.01 * longest,
        row,
        f"{format_seconds(total.value)}{peak}{most}{interval}",
        va="center",
        fontsize=9,
        linespacing=1.1,
    )


def _name(group: Sequence[Record]) -> str:
    case = group[0].case
    target = "" if case.target is Target.DLOGP else f", {case.target}"
    return f"{shown(describe_model(case.model))}\n{case.backend}, {case.scenario}{target}"


def _conditions(record: Record) -> dict[str, str]:
    """List what can differ between bars of one name, the release first."""
    environment, versions = record.environment, dict(record.environment.versions)
    return {
        "pymc": versions.get("pymc", ""),
        "pytensor": versions.get("pytensor", ""),
        "host": environment.host.digest,
        "Python": environment.python,
        "compiler": environment.compiler,
        "threads": str(environment.threads),
        "flags": environment.flags,
        **dict(packages_of(environment.versions)),
        "case": record.case.id[:6],
    }


def _tell_apart(own: dict[str, str], others: Sequence[dict[str, str]]) -> str:
    """Name as many conditions as it takes to tell a bar from those of the same name."""
    fields = dict.fromkeys(field for each in others for field in each)
    chosen: list[str] = []
    told = 1
    for field in fields:
        wider = [*chosen, field]
        found = len({tuple(each.get(name, "") for name in wider) for each in others})
        if found > told:
            chosen, told = wider, found
    return ", ".join(f"{field} {own.get(field) or 'none'}" for field in chosen)
