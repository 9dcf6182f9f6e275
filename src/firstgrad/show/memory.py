"""Memory of one sample over time: the process tree, of it the compilers, phase by phase."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from firstgrad.columns import Unit
from firstgrad.phase import Phase
from firstgrad.show.drawing import head_figure, new_panels, note, plot, scale_of, spread
from firstgrad.show.result import Picture
from firstgrad.show.style import PHASE_COLOURS, Tip
from firstgrad.show.words import shown
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from firstgrad.record import Memory, MemoryPoint, Record
    from firstgrad.show.drawing import Scale, Strokes

_TREE, _CHILDREN = "#0072B2", "#D55E00"
_NAME_WIDTH = 0.106  # of a phase's name, as a part of the panel's width
_NAMES_ABOVE, _PANEL_TOP = 1.05, 1.005  # where the names of the phases stand, and where their leaders begin
_BESIDE, _SPAN_WIDTH, _TEXTS_AT = 1.012, 0.014, 1.05  # right of the panel, whose width is 1
_LABEL_HEIGHT = 0.15  # of three lines of text, as a part of the panel's height
_NEARLY = 0.99
_LATE = 0.6  # right of this part of the panel, texts stand left of what they name


class _PhaseStretch(NamedTuple):
    """A phase as it is drawn; `point` is the highest of the timeline within it, `peak_bytes` what is known of it."""

    phase: Phase
    began_seconds: float
    ended_seconds: float
    point: MemoryPoint | None
    peak_bytes: int | None
    is_ended: bool = True


def memory_picture(record: Record, caption: str = "") -> Picture:
    """Picture the resident memory of one sample against the seconds since its worker began.

    A line for the whole process tree, an area for its children (compilers), a shade, a name and a dot at its peak for
    each phase that ended, and for the one in which it failed. A triangle stands where the memory first came within 1 %
    of its peak. Raises ValueError where the record has no timeline of memory.
    """
    memory = record.memory
    if memory is None or not memory.timeline:
        raise ValueError(f"record {record.record_id!r} has no timeline of memory: nothing to draw")
    stretches = _find_stretches(record, memory)
    peaks = [
        f"{stretch.phase} {format_bytes(stretch.peak_bytes)}{'' if stretch.is_ended else ' (not ended)'}"
        for stretch in stretches
        if stretch.peak_bytes is not None
    ]
    parts = [
        f"peak {format_bytes(memory.peak_rss_bytes)}, {_where(_reached(memory), stretches)}",
        *([f"by phase: {', '.join(peaks)}"] if peaks else []),
        f"children (compilers) at most {format_bytes(_children_peak(memory))}",
        *([] if memory.retained_bytes is None else [f"retained {format_bytes(memory.retained_bytes)}"]),
    ]
    length = format_seconds(memory.timeline[-1].at_seconds - memory.timeline[0].at_seconds)
    case = shown(str(record.case), 200)
    words = f"Resident memory of the process tree over {length}, {case}: {'; '.join(parts)}."
    return Picture(partial(_draw_memory, record, memory, stretches), "memory", words, caption)


def _draw_memory(record: Record, memory: Memory, stretches: Sequence[_PhaseStretch]) -> Figure:
    scale = scale_of(Unit.BYTES, [memory.peak_rss_bytes])
    with new_panels(9.0, 4.6) as (figure, [axes]):
        times = [point.at_seconds for point in memory.timeline]
        began, ended = min([0.0, *times]), max([*times, *(stretch.ended_seconds for stretch in stretches)])
        axes.set_xlim(began, ended + 0.01 * (ended - began or 1.0))
        axes.set_ylim(0, 1.16 * memory.peak_rss_bytes / scale.factor)
        _shade_phases(axes, stretches)
        whole = [point.rss_bytes / scale.factor for point in memory.timeline]
        children = [point.children_rss_bytes / scale.factor for point in memory.timeline]
        axes.plot(times, whole, color=_TREE, linewidth=1.6, label="process tree")
        axes.fill_between(times, children, color=_CHILDREN, alpha=0.55, linewidth=0.8, label="children")
        _mark_peaks(axes, stretches, memory, scale)
        _name_levels(axes, record, memory, scale)
        axes.set_xlabel("seconds since the worker began")
        axes.set_ylabel(f"resident memory [{scale.unit}]")
        head_figure(figure, f"Memory of the process tree, compilers included\n{shown(str(record.case), 110)}")
    return figure


def _find_stretches(record: Record, memory: Memory) -> list[_PhaseStretch]:
    spans: list[tuple[Phase, float, float, int | None, bool]] = [
        (one.phase, one.began_seconds, one.began_seconds + one.wall_seconds, one.peak_rss_bytes, True)
        for one in record.phases
    ]
    failed = record.failure.phase if record.failure is not None else None
    if failed is not None and record.phase(failed) is None:
        began = spans[-1][2] if spans else 0.0
        spans.append((failed, began, max(began, memory.timeline[-1].at_seconds), None, False))
    stretches = []
    for phase, began, ended, peak, is_ended in spans:
        within = [point for point in memory.timeline if began <= point.at_seconds <= ended]
        highest = max(within, key=lambda point: point.rss_bytes, default=None)
        known = highest.rss_bytes if peak is None and highest is not None else peak
        stretches.append(_PhaseStretch(phase, began, ended, highest, known, is_ended))
    return stretches


def _reached(memory: Memory) -> MemoryPoint:
    """Find where the peak was all but reached first: a plateau creeps on, and its last page tells nothing."""
    highest = max(point.rss_bytes for point in memory.timeline)
    return next(point for point in memory.timeline if point.rss_bytes >= _NEARLY * highest)


def _children_peak(memory: Memory) -> int:
    return max(memory.children_peak_rss_bytes, *(point.children_rss_bytes for point in memory.timeline))


def _where(point: MemoryPoint, stretches: Sequence[_PhaseStretch]) -> str:
    within = (one for one in stretches if one.began_seconds <= point.at_seconds <= one.ended_seconds)
    stretch = next(within, None)
    return f"reached in {stretch.phase}" if stretch else "reached outside of the phases"


def _shade_phases(axes: Axes, stretches: Sequence[_PhaseStretch]) -> None:
    """Shade each phase, and name it above the panel: names keep apart, and leaders say whose they are."""
    left, right = axes.get_xlim()
    middles = [((one.began_seconds + one.ended_seconds) / 2 - left) / (right - left) for one in stretches]
    for one, middle, place in zip(stretches, middles, spread(middles, _NAME_WIDTH), strict=True):
        colour = PHASE_COLOURS[one.phase]
        axes.axvspan(one.began_seconds, one.ended_seconds, color=colour, alpha=0.22, linewidth=0, label=one.phase)
        leader = [(middle, _PANEL_TOP), (place, _NAMES_ABOVE - 0.01)]
        plot(axes, leader, color="#888888", linewidth=0.8, transform=axes.transAxes, clip_on=False)
        size = "" if one.peak_bytes is None else f"\n{format_bytes(one.peak_bytes)}"
        name = f"{one.phase}{'' if one.is_ended else ' (not ended)'}{size}"
        style: Strokes = {"ha": "center", "va": "bottom", "fontsize": 8, "linespacing": 1.1}
        axes.text(place, _NAMES_ABOVE, name, transform=axes.transAxes, **style)


def _mark_peaks(axes: Axes, stretches: Sequence[_PhaseStretch], memory: Memory, scale: Scale) -> None:
    marked = [
        (stretch.point.at_seconds, stretch.point.rss_bytes / scale.factor) for stretch in stretches if stretch.point
    ]
    dots: Strokes = {"linestyle": "none", "color": _TREE}
    tips = [
        Tip(str(one.phase), f"after {format_seconds(one.point.at_seconds)}", format_bytes(one.point.rss_bytes))
        for one in stretches
        if one.point
    ]
    plot(axes, marked, tips=tips, marker="o", markersize=4.5, label="highest of a phase", **dots)
    reached = _reached(memory)
    peak = reached.at_seconds, reached.rss_bytes / scale.factor
    tips = [Tip("peak", f"after {format_seconds(reached.at_seconds)}", format_bytes(memory.peak_rss_bytes))]
    plot(axes, [peak], tips=tips, marker="v", markersize=9, label="peak", **dots)
    left, right = axes.get_xlim()
    is_late = (reached.at_seconds - left) / (right - left) > _LATE
    text = f"peak {format_bytes(memory.peak_rss_bytes)}, {_where(reached, stretches)}"
    note(axes, text, peak, (-7 if is_late else 7, 6))


def _name_levels(axes: Axes, record: Record, memory: Memory, scale: Scale) -> None:
    """Draw, right of the panel, how much the children had at most and how much was retained, and name both."""
    levels = []
    if children := _children_peak(memory):
        text = f"children\n(compilers)\nup to {format_bytes(children)}"
        levels.append((0.0, children / scale.factor, _CHILDREN, text))
    call = record.phase(Phase.FIRST_CALL)
    if memory.retained_bytes is not None and call is not None:
        ended = call.began_seconds + call.wall_seconds
        # The timeline keeps peaks: its lowest point comes nearest to what is left.
        later = [point.rss_bytes for point in memory.timeline if point.at_seconds >= ended]
        after = min(later, default=memory.timeline[-1].rss_bytes) / scale.factor
        before = after - memory.retained_bytes / scale.factor
        began, right = record.phases[0].began_seconds, axes.get_xlim()[1]
        axes.hlines(before, began, right, color=_TREE, linestyle=":", linewidth=1.2, label="before build")
        axes.hlines(after, ended, right, color=_TREE, linestyle="--", linewidth=1.2, label="after the first call")
        levels.append((before, after, _TREE, f"retained\n{format_bytes(memory.retained_bytes)}"))
    levels.sort(key=lambda level: level[0] + level[1])
    top = axes.get_ylim()[1]
    beside: Strokes = {"transform": axes.transAxes, "clip_on": False}
    heights = spread([(low + high) / 2 / top for low, high, _, _ in levels], _LABEL_HEIGHT)
    for number, (height, (low, high, colour, text)) in enumerate(zip(heights, levels, strict=True)):
        at = _BESIDE + number * _SPAN_WIDTH
        plot(axes, [(at, low / top), (at, high / top)], color=colour, linewidth=2.4, **beside)
        leader = [(at, (low + high) / 2 / top), (_TEXTS_AT, height)]
        plot(axes, leader, linestyle=":", color=colour, linewidth=1.0, **beside)
        axes.text(_TEXTS_AT + 0.004, height, text, transform=axes.transAxes, va="center", fontsize=8.5)
