"""Memory of one sample over time: the process tree, of it the compilers, phase by phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.figures.lines import shown, spread
from firstgrad.figures.values import scale_of
from firstgrad.metrics import Unit
from firstgrad.record import Phase
from firstgrad.show.style import PHASE_COLOURS, firstgrad_style
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from firstgrad.figures.values import Scale
    from firstgrad.record import Memory, MemoryPoint, Record

_TREE, _CHILDREN = "#0072B2", "#D55E00"
_NAME_WIDTH = 0.106  # of a phase's name, as a part of the panel's width
_NAMES_AT, _PANEL_TOP = 1.05, 1.005  # where the names of the phases stand, and where their leaders begin
_BESIDE, _SPAN_WIDTH, _TEXTS_AT = 1.012, 0.014, 1.05  # right of the panel, whose width is 1
_LABEL_HEIGHT = 0.15  # of three lines of text, as a part of the panel's height
_NEARLY = 0.99
_LATE = 0.6  # right of this part of the panel, texts stand left of what they name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """A phase as it is drawn; `point` is the highest of the timeline within it, `peak_bytes` what is known of it."""

    phase: Phase
    began_seconds: float
    ended_seconds: float
    point: MemoryPoint | None
    peak_bytes: int | None
    is_ended: bool = True

    @property
    def name(self) -> str:
        ending = "" if self.is_ended else " (not ended)"
        size = "" if self.peak_bytes is None else f"\n{format_bytes(self.peak_bytes)}"
        return f"{self.phase}{ending}{size}"


def draw_memory(record: Record) -> Figure:
    """Draw the resident memory of one sample over time.

    Parameters
    ----------
    record : Record
        With a timeline of memory; phases are those that ended, and the one in which it failed.

    Returns
    -------
    matplotlib.figure.Figure
        One axes: seconds since the start of the worker's clock, and resident memory. A line for the whole process
        tree, an area for its children (compilers), a shade, a name and a dot at its peak for each phase. A triangle
        stands where the memory first came within 1 % of its peak.

    Raises
    ------
    ValueError
        Where the record has no timeline of memory.
    """
    memory = _memory(record)
    from matplotlib.figure import Figure

    stretches = _find_stretches(record, memory)
    scale = scale_of(Unit.BYTES, [memory.peak_rss_bytes])
    with firstgrad_style():
        figure = Figure(figsize=(9.0, 4.6), layout="constrained")
        axes = figure.add_subplot()
        times = [point.at_seconds for point in memory.timeline]
        began, ended = min([0.0, *times]), max([*times, *(each.ended_seconds for each in stretches)])
        axes.set_xlim(began, ended + 0.01 * (ended - began or 1.0))
        axes.set_ylim(0, 1.16 * memory.peak_rss_bytes / scale.factor)
        _shade_phases(axes, stretches)
        _draw_lines(axes, memory, scale)
        _mark_peaks(axes, stretches, memory, scale)
        _name_levels(axes, record, memory, scale)
        axes.set_xlabel("seconds since the worker began")
        axes.set_ylabel(f"resident memory [{scale.unit}]")
        figure.suptitle(
            f"Memory of the process tree, compilers included\n{shown(str(record.case), 110)}",
            x=0.01,
            ha="left",
            fontsize=11,
            fontweight="bold",
        )
    return figure


def describe_memory(record: Record) -> str:
    """Say in words what `draw_memory` shows, for readers who can't see it; raises ValueError as it does."""
    memory = _memory(record)
    stretches = _find_stretches(record, memory)
    told = [
        f"{each.phase} {format_bytes(each.peak_bytes)}{'' if each.is_ended else ' (not ended)'}"
        for each in stretches
        if each.peak_bytes is not None
    ]
    parts = [
        f"peak {format_bytes(memory.peak_rss_bytes)}, {_where(_reached(memory), stretches)}",
        *([f"by phase: {', '.join(told)}"] if told else []),
        f"children (compilers) at most {format_bytes(_children_peak(memory))}",
        *([] if memory.retained_bytes is None else [f"retained {format_bytes(memory.retained_bytes)}"]),
    ]
    length = memory.timeline[-1].at_seconds - memory.timeline[0].at_seconds
    return (
        f"Resident memory of the process tree over {format_seconds(length)}, {shown(str(record.case), 200)}: "
        f"{'; '.join(parts)}."
    )


def _memory(record: Record) -> Memory:
    if record.memory is None or not record.memory.timeline:
        raise ValueError(f"record {record.record_id!r} has no timeline of memory: nothing to draw")
    return record.memory


def _find_stretches(record: Record, memory: Memory) -> list[_Stretch]:
    found = [
        _stretch(memory, each.phase, each.began_seconds, each.began_seconds + each.wall_seconds, each.peak_rss_bytes)
        for each in record.phases
    ]
    failed = record.failure.phase if record.failure is not None else None
    if failed is not None and record.phase(failed) is None:
        began = found[-1].ended_seconds if found else 0.0
        ended = max(began, memory.timeline[-1].at_seconds)
        found.append(_stretch(memory, failed, began, ended, None, is_ended=False))
    return found


def _stretch(
    memory: Memory, phase: Phase, began: float, ended: float, peak: int | None, *, is_ended: bool = True
) -> _Stretch:
    within = [point for point in memory.timeline if began <= point.at_seconds <= ended]
    highest = max(within, key=lambda each: each.rss_bytes, default=None)
    return _Stretch(
        phase=phase,
        began_seconds=began,
        ended_seconds=ended,
        point=highest,
        peak_bytes=peak if peak is not None or highest is None else highest.rss_bytes,
        is_ended=is_ended,
    )


def _reached(memory: Memory) -> MemoryPoint:
    """Find where the peak was all but reached first: a plateau creeps on, and its last page tells nothing."""
    highest = max(each.rss_bytes for each in memory.timeline)
    return next(each for each in memory.timeline if each.rss_bytes >= _NEARLY * highest)


def _children_peak(memory: Memory) -> int:
    return max(memory.children_peak_rss_bytes, *(each.children_rss_bytes for each in memory.timeline))


def _where(point: MemoryPoint, stretches: Sequence[_Stretch]) -> str:
    at = point.at_seconds
    found = next((each for each in stretches if each.began_seconds <= at <= each.ended_seconds), None)
    return f"reached in {found.phase}" if found else "reached outside of the phases"


def _shade_phases(axes: Axes, stretches: Sequence[_Stretch]) -> None:
    """Shade each phase, and name it above the panel: names keep apart, and leaders say whose they are."""
    left, right = axes.get_xlim()
    middles = [((each.began_seconds + each.ended_seconds) / 2 - left) / (right - left) for each in stretches]
    for each, middle, place in zip(stretches, middles, spread(middles, _NAME_WIDTH), strict=True):
        colour = PHASE_COLOURS[each.phase]
        axes.axvspan(each.began_seconds, each.ended_seconds, color=colour, alpha=0.22, linewidth=0, label=each.phase)
        leader = ([middle, place], [_PANEL_TOP, _NAMES_AT - 0.01])
        axes.plot(*leader, color="#888888", linewidth=0.8, transform=axes.transAxes, clip_on=False)
        axes.text(
            place, _NAMES_AT, each.name, transform=axes.transAxes, ha="center", va="bottom", fontsize=8, linespacing=1.1
        )


def _draw_lines(axes: Axes, memory: Memory, scale: Scale) -> None:
    times = [point.at_seconds for point in memory.timeline]
    whole = [point.rss_bytes / scale.factor for point in memory.timeline]
    children = [point.children_rss_bytes / scale.factor for point in memory.timeline]
    axes.plot(times, whole, color=_TREE, linewidth=1.6, label="process tree")
    axes.fill_between(times, children, color=_CHILDREN, alpha=0.55, linewidth=0.8, label="children")


def _mark_peaks(axes: Axes, stretches: Sequence[_Stretch], memory: Memory, scale: Scale) -> None:
    marked = [each.point for each in stretches if each.point is not None]
    axes.plot(
        [point.at_seconds for point in marked],
        [point.rss_bytes / scale.factor for point in marked],
        linestyle="none",
        marker="o",
        markersize=4.5,
        color=_TREE,
        label="highest of a phase",
    )
    reached = _reached(memory)
    at, height = reached.at_seconds, reached.rss_bytes / scale.factor
    axes.plot([at], [height], linestyle="none", marker="v", markersize=9, color=_TREE, label="peak")
    left, right = axes.get_xlim()
    is_late = (at - left) / (right - left) > _LATE
    axes.annotate(
        f"peak {format_bytes(memory.peak_rss_bytes)}, {_where(reached, stretches)}",
        xy=(at, height),
        xytext=(-7 if is_late else 7, 6),
        textcoords="offset points",
        ha="right" if is_late else "left",
        fontsize=8.5,
    )


def _name_levels(axes: Axes, record: Record, memory: Memory, scale: Scale) -> None:
    """Draw, right of the panel, how much the children had at most and how much was retained, and name both."""
    spans = []
    children = _children_peak(memory)
    if children:
        spans.append(
            (0.0, children / scale.factor, _CHILDREN, f"children\n(compilers)\nup to {format_bytes(children)}")
        )
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
        spans.append((before, after, _TREE, f"retained\n{format_bytes(memory.retained_bytes)}"))
    spans.sort(key=lambda each: each[0] + each[1])
    top = axes.get_ylim()[1]
    heights = spread([(low + high) / 2 / top for low, high, _, _ in spans], _LABEL_HEIGHT)
    for number, (height, (low, high, colour, text)) in enumerate(zip(heights, spans, strict=True)):
        at = _BESIDE + number * _SPAN_WIDTH
        axes.plot(
            [at, at], [low / top, high / top], color=colour, linewidth=2.4, transform=axes.transAxes, clip_on=False
        )
        leader = ([at, _TEXTS_AT], [(low + high) / 2 / top, height])
        axes.plot(*leader, ":", color=colour, linewidth=1.0, transform=axes.transAxes, clip_on=False)
        axes.text(_TEXTS_AT + 0.004, height, text, transform=axes.transAxes, va="center", fontsize=8.5)
