"""Where the time of one profile went: its phases, and the dearest passes and units within them."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.analysis.unit_patterns import merge_patterns
from firstgrad.figures.lines import shown
from firstgrad.record import FIRST_GRADIENT_PHASES, Phase
from firstgrad.show.style import PHASE_COLOURS, firstgrad_style
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from firstgrad.profile import Profile, Unit

TOP = 10
"""How many passes and units are drawn, where nobody says."""

_MOST_BARS = 60  # of more, a figure would be taller than what can be drawn, or read
_LONGEST_NAME = 52
_TITLE_WIDTH, _LONGEST_TITLE = 72, 200
_SOURCES = 3
_HEADROOM = 1.25  # right of the longest bar, for its number
_UNKNOWN = "#BBBBBB"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    """A phase, a pass or a unit as it is drawn."""

    name: str
    phase: Phase | None
    seconds: float
    text: str


def draw_profile(profile: Profile, *, top: int = TOP) -> Figure:
    """Draw where the time of a profile went.

    Parameters
    ----------
    profile : Profile
        With at least one phase of the way to the first gradient.
    top : int
        How many passes and units; never more than 60.

    Returns
    -------
    matplotlib.figure.Figure
        Two axes, horizontal bars in seconds: above the phases in order; below the dearest rewrite passes and compiled
        units together, each by its own seconds and in the colour of its phase. Without passes and units, the upper
        one alone.

    Raises
    ------
    ValueError
        Where no such phase ended.
    """
    phases, dearest = _phase_bars(profile), _dearest_bars(profile, top)
    if not phases:
        raise ValueError(f"profile {profile.record.record_id!r} has no phase that ended: nothing to draw")
    from matplotlib.figure import Figure

    counts = [len(phases), *([len(dearest)] if dearest else [])]
    with firstgrad_style():
        figure = Figure(figsize=(10.0, 1.5 + sum(0.34 * each + 0.75 for each in counts)), layout="constrained")
        panels = figure.subplots(len(counts), 1, squeeze=False, height_ratios=[each + 1.2 for each in counts])[:, 0]
        _draw_bars(panels[0], phases, "Phases, up to the first gradient")
        if dearest:
            _draw_bars(panels[1], dearest, f"The {len(dearest)} dearest passes and units within, by their own time")
        panels[-1].set_xlabel("seconds, wall, instruments on")
        figure.suptitle(title_of(profile), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def title_of(profile: Profile) -> str:
    """Write a profile's case in lines that are no wider than a figure."""
    return textwrap.fill(shown(str(profile.record.case), _LONGEST_TITLE), _TITLE_WIDTH)


def describe_profile(profile: Profile, *, top: int = TOP) -> str:
    """Say in words what `draw_profile` shows, for readers who can't see it."""
    phases = ", ".join(f"{each.name} {each.text}" for each in _phase_bars(profile))
    dearest = "; ".join(f"{each.name} {each.text} in {each.phase}" for each in _dearest_bars(profile, top))
    told = f" Dearest within: {dearest}." if dearest else ""
    return f"Bars of where the time of {shown(str(profile.record.case), 200)} went. Phases: {phases}.{told}"


def _phase_bars(profile: Profile) -> list[_Bar]:
    counted = [each for each in profile.record.phases if each.phase in FIRST_GRADIENT_PHASES]
    whole = profile.record.time_to_first_gradient_seconds or sum(each.wall_seconds for each in counted)
    return [
        _Bar(
            name=str(each.phase),
            phase=each.phase,
            seconds=each.wall_seconds,
            text=_with_share(each.wall_seconds, whole),
        )
        for each in counted
    ]


def _dearest_bars(profile: Profile, top: int) -> list[_Bar]:
    passes = [
        _Bar(
            name=f"pass {shown(each.name, _LONGEST_NAME)}",
            phase=Phase.REWRITE,
            seconds=each.wall_seconds,
            text=format_seconds(each.wall_seconds),
        )
        for each in profile.record.rewrite_passes
    ]
    units = [
        _Bar(
            name=_unit_name(each.unit, each.units),
            phase=each.unit.phase,
            seconds=each.unit.own_seconds,
            text=format_seconds(each.unit.own_seconds),
        )
        for each in merge_patterns(profile.attribution.units)
    ]
    return sorted((*passes, *units), key=lambda each: -each.seconds)[: min(top, _MOST_BARS)]


def _unit_name(unit: Unit, units: int) -> str:
    name = shown(unit.name, _LONGEST_NAME // 2) + (f" x{units}" if units > 1 else "")
    name = f"{shown(unit.op, _LONGEST_NAME // 2)} ({name})" if unit.op else name
    if not unit.sources:
        return name
    more = ", …" if len(unit.sources) > _SOURCES else ""
    return f"{name}\nfor {shown(', '.join(unit.sources[:_SOURCES]), _LONGEST_NAME)}{more}"


def _with_share(seconds: float, whole: float) -> str:
    share = f" ({seconds / whole:.0%})" if whole > 0 else ""
    return f"{format_seconds(seconds)}{share}"


def _draw_bars(axes: Axes, bars: Sequence[_Bar], title: str) -> None:
    longest = max(each.seconds for each in bars) or 1.0
    for row, each in enumerate(bars):
        colour = _UNKNOWN if each.phase is None else PHASE_COLOURS[each.phase]
        axes.barh(row, each.seconds, height=0.66, color=colour, label=str(each.phase or "phase not known"))
        where = "" if str(each.phase) == each.name else f", in {each.phase or 'no known phase'}"
        axes.text(each.seconds + 0.01 * longest, row, f"{each.text}{where}", va="center", fontsize=8.5)
    axes.set_yticks(
        range(len(bars)), [each.name for each in bars], fontsize=8.5, linespacing=1.1, multialignment="right"
    )
    axes.set_ylim(len(bars) - 0.45, -0.55)
    axes.set_xlim(0, _HEADROOM * longest)
    axes.set_title(title, fontsize=10)
