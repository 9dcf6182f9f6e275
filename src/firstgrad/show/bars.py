"""Bars: phases of the time to first gradient stacked, where one profile's time went, what differs between two."""

from __future__ import annotations

import statistics
import textwrap
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from firstgrad.case import Target
from firstgrad.columns import Unit
from firstgrad.doubts import why_unusable
from firstgrad.estimates import estimate_median
from firstgrad.grouping import grouped
from firstgrad.phase import Phase
from firstgrad.profiling.difference import ChangeKind
from firstgrad.profiling.units import merge_patterns
from firstgrad.show.drawing import head_figure, new_panels, plot, scale_of, set_rows
from firstgrad.show.result import Picture
from firstgrad.show.style import PHASE_COLOURS, SERIES_COLOURS, PageRole, Tip, set_role
from firstgrad.show.words import shown, write_counted, write_estimate, write_value
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from firstgrad.estimates import Estimate
    from firstgrad.linting.finding import LintReport
    from firstgrad.observe.events import CompiledUnit
    from firstgrad.profiling import Profile
    from firstgrad.profiling.difference import ProfileChange, ProfileDifference
    from firstgrad.record import Record
    from firstgrad.show.drawing import Strokes

TOP, TOP_CHANGES = 10, 8
"""How many passes and units, and how many changes of a kind are drawn, where nobody says."""

_LABEL_FRACTION = 0.09
_WHISKER, _WHISKER_AT = "#777777", 0.4  # below the bar, so that it is seen on dark and light
_ON_BARS = "#111111"  # no black: that would turn light on a dark page, and bars stay as they are
_UNKNOWN = "#BBBBBB"
_MOST_BARS = 60  # of more, a figure would be taller than what can be drawn, or read
_LONGEST_NAME, _LONGEST_CHANGE = 52, 58
_TITLE_WIDTH, _LONGEST_TITLE = 72, 200
_SOURCES = 3
_HEADROOM, _PAIR_HEADROOM = 1.25, 1.35  # right of the longest bar, for its number

# --- phases of cases --------------------------------------------------------------------------------------------


class _CaseBar(NamedTuple):
    """Samples of one case under equal conditions, as they are drawn: medians."""

    name: str
    total: Estimate
    phases: dict[Phase, float]
    peak_bytes: float | None


def phases_picture(records: Sequence[Record], name: str = "phases", caption: str = "") -> Picture:
    """Picture the phases up to the first gradient or draw, one stacked bar a case.

    The case of the first record is at the top. Samples of a case under equal conditions become one bar; those without
    a first gradient or draw that counts are left out. With several samples each phase is the median of its own, so that
    a bar may end a little beside the median of the totals, which has a dot and a whisker over its interval. Raises
    ValueError where no record has either.
    """
    bars = _case_bars(records)
    if not bars:
        raise ValueError("no record has a first gradient that counts: nothing to draw")
    parts = []
    for bar in bars:
        phase = max(bar.phases, key=lambda phase: bar.phases[phase], default=None)
        share = f", of it {phase} {bar.phases[phase] / bar.total.value:.0%}" if phase and bar.total.value else ""
        parts.append(f"{bar.name.replace(chr(10), ', ')}: {write_estimate(Unit.SECONDS, bar.total)}{share}")
    title = f"Time to first {_waited_for(records)}, by phase"
    words = f"Stacked bars of the time to first {_waited_for(records)} by phase. {'; '.join(parts)}."
    return Picture(partial(_draw_phases, bars, title), name, words, caption)


def _waited_for(records: Sequence[Record]) -> str:
    draws = [record.case.is_draw for record in records]
    return "draw" if all(draws) else "gradient or draw" if any(draws) else "gradient"


def _draw_phases(bars: Sequence[_CaseBar], title: str) -> Figure:
    longest = max(max(bar.total.value, sum(bar.phases.values())) for bar in bars)
    with new_panels(9.0, 1.4 + 0.62 * len(bars)) as (figure, [axes]):
        for row, bar in enumerate(bars):
            _draw_stack(axes, row, bar, longest)
        most = max(1.4 * longest, 1.05 * max(bar.total.high for bar in bars)) or 1.0
        set_rows(axes, [bar.name for bar in bars], most=most)
        axes.set_xlabel("seconds, wall")
        axes.set_title(title)
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=6, frameon=False)
    return figure


def _case_bars(records: Sequence[Record]) -> list[_CaseBar]:
    groups = grouped(
        ((record.case.question, here.conditions, here.label, here.git_commit), record)
        for record in records
        if record.window_seconds is not None and not why_unusable(record)
        for here in [record.environment]
    )
    alike = grouped((_case_name(group), _conditions(group[0])) for group in groups.values())
    return [_case_bar(group, _tell_apart(_conditions(group[0]), alike[_case_name(group)])) for group in groups.values()]


def _case_bar(group: Sequence[Record], apart: str) -> _CaseBar:
    walls = {
        phase: [timed.wall_seconds for record in group if (timed := record.phase(phase)) is not None]
        for phase in group[0].window_phases
    }
    peaks = [record.memory.peak_rss_bytes for record in group if record.memory is not None]
    samples = f"{len(group)} samples" if len(group) > 1 else ""
    return _CaseBar(
        name=", ".join(filter(None, (_case_name(group), shown(apart), samples))),
        total=estimate_median([record.window_seconds or 0.0 for record in group]),
        phases={phase: statistics.median(seconds) for phase, seconds in walls.items() if seconds},
        peak_bytes=statistics.median(peaks) if peaks else None,
    )


def _draw_stack(axes: Axes, row: int, bar: _CaseBar, longest: float) -> None:
    left, is_named, name = 0.0, False, bar.name.replace("\n", ", ")
    for phase, seconds in bar.phases.items():
        shape: Strokes = {"height": 0.62, "edgecolor": "white", "linewidth": 0.5}
        stretch = axes.barh(row, seconds, left=left, color=PHASE_COLOURS[phase], label=str(phase), **shape)
        set_role(stretch.patches[0], PageRole.TIPS, [Tip(name, str(phase), format_seconds(seconds))])
        if seconds > _LABEL_FRACTION * longest:
            axes.text(left + seconds / 2, row, f"{phase}", ha="center", va="center", fontsize=8, color=_ON_BARS)
            is_named = True
        left += seconds
    total = bar.total
    if total.samples > 1:
        height = row + _WHISKER_AT
        plot(axes, [(total.low, height), (total.high, height)], color=_WHISKER, linewidth=1.6, marker="|")
        tips = [Tip(name, "all of it", write_counted(Unit.SECONDS, total))]
        plot(axes, [(total.value, height)], tips=tips, color=_WHISKER, marker="o", markersize=4)
    peak = "" if bar.peak_bytes is None else f", peak {format_bytes(bar.peak_bytes)}"
    costliest = max(bar.phases, key=lambda phase: bar.phases[phase], default=None)
    most = "" if is_named or costliest is None else f", most in {costliest}"  # no colour needs to be told by eye
    interval = f"\n[{format_seconds(total.low)}, {format_seconds(total.high)}]" if total.samples > 1 else ""
    text = f"{format_seconds(total.value)}{peak}{most}{interval}"
    axes.text(left + 0.01 * longest, row, text, va="center", fontsize=9, linespacing=1.1)


def _case_name(group: Sequence[Record]) -> str:
    case = group[0].case
    target = "" if case.target is Target.DLOGP else f", {case.wanted}"
    return f"{shown(str(case.model))}\n{case.backend}, {case.scenario}{target}"


def _conditions(record: Record) -> dict[str, str]:
    """List what can differ between bars of one name: what the user named first, then the release."""
    environment, versions = record.environment, dict(record.environment.versions)
    return {
        "label": environment.label,
        "commit": environment.git_commit[:8],
        "pymc": versions.get("pymc", ""),
        "pytensor": versions.get("pytensor", ""),
        "host": environment.host.digest,
        "device": environment.device,
        "Python": environment.python,
        "compiler": environment.compiler,
        "threads": str(environment.threads),
        "flags": environment.flags,
        "bytecode": "no" if environment.bytecode is False else "",
        **dict(environment.packages),
        "case": record.case.id[:6],
    }


def _tell_apart(own: dict[str, str], others: Sequence[dict[str, str]]) -> str:
    """Name as many conditions as it takes to tell a bar from those of the same name."""
    chosen: list[str] = []
    kinds = 1
    for field in dict.fromkeys(field for other in others for field in other):
        wider = [*chosen, field]
        distinct = len({tuple(other.get(name, "") for name in wider) for other in others})
        if distinct > kinds:
            chosen, kinds = wider, distinct
    return ", ".join(f"{field} {own.get(field) or 'none'}" for field in chosen)


# --- one profile ------------------------------------------------------------------------------------------------


class _ProfileBar(NamedTuple):
    """A phase, a pass or a unit as it is drawn."""

    name: str
    phase: Phase | None
    seconds: float
    text: str


def profile_picture(profile: Profile, *, top: int = TOP, name: str = "profile") -> Picture:
    """Picture where the time of a profile went: its phases, and below them the slowest passes and units.

    Horizontal bars in seconds: above the phases in order; below passes and units together, each by its own seconds
    and in the colour of its phase, `top` of them and never more than 60. Raises ValueError where no phase of the way to
    the first gradient ended.
    """
    phases, slowest = _phase_bars(profile), _slowest_bars(profile, top)
    if not phases:
        raise ValueError(f"profile {profile.record.record_id!r} has no phase that ended: nothing to draw")
    listed = ", ".join(f"{bar.name} {bar.text}" for bar in phases)
    words = f"Bars of where the time of {shown(str(profile.record.case), 200)} went. Phases: {listed}."
    panels = {"Phases, up to the first gradient": phases}
    if slowest:
        panels[f"The {len(slowest)} slowest passes and units within, by their own time"] = slowest
        words += f" Slowest within: {'; '.join(f'{bar.name} {bar.text} in {bar.phase}' for bar in slowest)}."
    return Picture(partial(_draw_profile, profile, panels), name, words)


def _draw_profile(profile: Profile, panels: dict[str, list[_ProfileBar]]) -> Figure:
    height = 1.5 + sum(0.34 * len(bars) + 0.75 for bars in panels.values())
    with new_panels(10.0, height, [len(bars) + 1.2 for bars in panels.values()]) as (figure, grid):
        for axes, (title, bars) in zip(grid, panels.items(), strict=True):
            _draw_bars(axes, bars, title)
        grid[-1].set_xlabel("seconds, wall, instruments on")
        head_figure(figure, _profile_title(profile))
    return figure


def _profile_title(profile: Profile) -> str:
    """Write a profile's case in lines that are no wider than a figure."""
    return textwrap.fill(shown(str(profile.record.case), _LONGEST_TITLE), _TITLE_WIDTH)


def _phase_bars(profile: Profile) -> list[_ProfileBar]:
    record = profile.record
    counted = [timed for timed in record.whole_phases if timed.phase in record.window_phases]
    whole = record.window_seconds or sum(timed.wall_seconds for timed in counted)
    shares = [f" ({timed.wall_seconds / whole:.0%})" if whole > 0 else "" for timed in counted]
    return [
        _ProfileBar(str(timed.phase), timed.phase, timed.wall_seconds, format_seconds(timed.wall_seconds) + share)
        for timed, share in zip(counted, shares, strict=True)
    ]


def _slowest_bars(profile: Profile, top: int) -> list[_ProfileBar]:
    record, patterns = profile.record, merge_patterns(profile.attribution.units)
    timed: list[tuple[str, Phase | None, float]] = [
        *((f"pass {shown(one.name, _LONGEST_NAME)}", Phase.REWRITE, one.wall_seconds) for one in record.rewrite_passes),
        *((_unit_name(one.unit, one.units), one.unit.phase, one.unit.own_seconds) for one in patterns),
    ]
    slowest = sorted(timed, key=lambda bar: -bar[2])[: min(top, _MOST_BARS)]
    return [_ProfileBar(name, phase, seconds, format_seconds(seconds)) for name, phase, seconds in slowest]


def _unit_name(unit: CompiledUnit, units: int) -> str:
    name = shown(unit.name, _LONGEST_NAME // 2) + (f" x{units}" if units > 1 else "")
    name = f"{shown(unit.op, _LONGEST_NAME // 2)} ({name})" if unit.op else name
    if not unit.sources:
        return name
    more = ", …" if len(unit.sources) > _SOURCES else ""
    return f"{name}\nfor {shown(', '.join(unit.sources[:_SOURCES]), _LONGEST_NAME)}{more}"


def _draw_bars(axes: Axes, bars: Sequence[_ProfileBar], title: str, *, is_of_phases: bool = True) -> None:
    longest = max(bar.seconds for bar in bars) or 1.0
    for row, bar in enumerate(bars):
        colour = _UNKNOWN if bar.phase is None else PHASE_COLOURS[bar.phase]
        axes.barh(row, bar.seconds, height=0.66, color=colour, label=str(bar.phase or "phase not known"))
        is_told = is_of_phases and str(bar.phase) != bar.name
        where = f", in {bar.phase or 'no known phase'}" if is_told else ""
        axes.text(bar.seconds + 0.01 * longest, row, f"{bar.text}{where}", va="center", fontsize=8.5)
    style: Strokes = {"fontsize": 8.5, "linespacing": 1.1, "multialignment": "right"}
    set_rows(axes, [bar.name for bar in bars], most=_HEADROOM * longest, **style)
    axes.set_title(title, fontsize=10)


# --- what was found ---------------------------------------------------------------------------------------------


def findings_picture(report: LintReport, *, name: str = "findings") -> Picture:
    """Picture what each finding is estimated to cost, a bar each; raises ValueError where none has an estimate."""
    rows = [
        _ProfileBar(f"{one.name}\n{shown(', '.join(one.variables), _LONGEST_NAME)}".strip(), None, one.seconds, told)
        for one in report.findings
        if one.seconds
        for told in [f"some {format_seconds(one.seconds)}"]
    ]
    return _named_bars(name, f"What findings cost {shown(report.model, _LONGEST_TITLE)}", "seconds, estimated", rows)


def finiteness_picture(record: Record, *, name: str = "finiteness") -> Picture:
    """Picture how much of each group's gradient is not finite; raises ValueError where all of it is."""
    rows = [
        _ProfileBar(shown(one.group, _LONGEST_NAME), None, 100 * bad / one.values, f"{bad} of {one.values}")
        for one in record.check.finiteness
        if (bad := one.nan + one.infinite)
    ]
    title = f"Not finite: {shown(str(record.case), _LONGEST_TITLE)}"
    return _named_bars(name, title, "% of the group's gradient", rows)


def _named_bars(name: str, title: str, label: str, rows: Sequence[_ProfileBar]) -> Picture:
    if not rows:
        raise ValueError(f"{title}: nothing to draw")
    words = f"Bars, {label}. {title}: {'; '.join(f'{row.name} {row.text}' for row in rows)}."

    def draw() -> Figure:
        with new_panels(10.0, 1.5 + 0.45 * len(rows), [1.0]) as (figure, (axes,)):
            _draw_bars(axes, rows, "", is_of_phases=False)
            axes.set_xlabel(label)
            head_figure(figure, textwrap.fill(title, _TITLE_WIDTH))
        return figure

    return Picture(draw, name, words)


# --- two profiles -----------------------------------------------------------------------------------------------

_KINDS = {
    Unit.SECONDS: (ChangeKind.TOTAL, ChangeKind.PHASE, ChangeKind.PASS, ChangeKind.UNIT),
    Unit.COUNT: (ChangeKind.TOTAL, ChangeKind.NODE_TYPE, ChangeKind.UNIT),
    Unit.BYTES: (ChangeKind.MEMORY,),
}
"""What each panel draws; rewriters are parts of passes, and would fill a panel of their own."""
_METRICS = ("wall_seconds", "own_seconds", "nodes_before", "nodes_after", "compiled_units", "after", "units", "bytes")
_TITLES = {Unit.SECONDS: "Seconds, wall", Unit.COUNT: "Counts", Unit.BYTES: "Resident memory"}
_NAMES = {
    (ChangeKind.TOTAL, "wall_seconds"): "{words}",
    (ChangeKind.TOTAL, "nodes_before"): "nodes before rewriting",
    (ChangeKind.TOTAL, "nodes_after"): "nodes after rewriting",
    (ChangeKind.TOTAL, "compiled_units"): "compiled units",
    (ChangeKind.NODE_TYPE, "after"): "nodes {name}, after rewriting",
    (ChangeKind.UNIT, "units"): "units {name}",
    (ChangeKind.MEMORY, "bytes"): "{name}",
}


def difference_picture(difference: ProfileDifference, *, top: int = TOP_CHANGES) -> Picture:
    """Picture the largest changes between two profiles, `top` a panel.

    Panels of seconds, counts and bytes: a pair of bars a change, base above head, the largest absolute difference at
    the top, with the ratio at head's end. Raises ValueError where nothing changed by more than noise.
    """
    telling = [change for change in difference.changes if change.metric in _METRICS and not change.is_noise]
    telling.sort(key=lambda change: -abs(change.difference))
    panels = {
        unit: chosen
        for unit, kinds in _KINDS.items()
        if (chosen := [change for change in telling if change.unit is unit and change.kind in kinds][:top])
    }
    if not panels:
        raise ValueError("nothing changed by more than noise: nothing to draw")
    changes = "; ".join(
        f"{_change_name(change)} {write_value(unit, change.base or 0)} to {write_value(unit, change.head or 0)}"
        for unit, changed in panels.items()
        for change in changed
    )
    base, head = (shown(str(profile.record.case), 200) for profile in (difference.base, difference.head))
    words = f"Pairs of bars of what changed from {base} to {head}: {changes}."
    return Picture(partial(_draw_difference, difference, panels), "difference", words)


def _draw_difference(difference: ProfileDifference, panels: dict[Unit, list[ProfileChange]]) -> Figure:
    heights = [len(changes) + 0.9 for changes in panels.values()]
    with new_panels(10.0, 1.5 + sum(0.5 * height + 0.35 for height in heights), heights) as (figure, grid):
        for axes, (unit, changes) in zip(grid, panels.items(), strict=True):
            _draw_pairs(axes, unit, changes)
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
        base, head = (_profile_title(profile) for profile in (difference.base, difference.head))
        head_figure(figure, f"What changed, instruments on\nbase: {base}\nhead: {head}")
    return figure


def _change_name(change: ProfileChange) -> str:
    """Name a change in full: most names are told apart by their kind alone."""
    name = shown(change.name, _LONGEST_CHANGE)
    words = name.replace("_", " ")
    return _NAMES.get((change.kind, change.metric), "{kind} {name}").format(kind=change.kind, name=name, words=words)


def _draw_pairs(axes: Axes, unit: Unit, changes: Sequence[ProfileChange]) -> None:
    ends = [value for change in changes for value in (change.base or 0.0, change.head or 0.0)]
    scale = scale_of(unit, ends)
    longest = (max(ends) / scale.factor) or 1.0
    for number, (side, shift) in enumerate((("base", -0.2), ("head", 0.2))):
        values = [change.head if number else change.base for change in changes]
        places = [row + shift for row in range(len(changes))]
        lengths = [(value or 0.0) / scale.factor for value in values]
        hatch = "" if number else "//"  # so that no side is told by its colour alone
        look: Strokes = {"color": SERIES_COLOURS[number], "hatch": hatch, "edgecolor": "white"}
        axes.barh(places, lengths, height=0.38, label=side, **look)
        for place, length, value, change in zip(places, lengths, values, changes, strict=True):
            ratio = f"  x{change.ratio:.3g}" if number and change.ratio is not None else ""
            text = "none" if value is None else write_value(unit, value)
            axes.text(max(length, 0.0) + 0.01 * longest, place, f"{text}{ratio}", va="center", fontsize=8)
    least = min(0.0, *(end / scale.factor for end in ends))
    set_rows(axes, [_change_name(one) for one in changes], most=_PAIR_HEADROOM * longest, least=least, fontsize=8.5)
    axes.set_title(_TITLES[unit] + (f" [{scale.unit}]" if unit is Unit.BYTES else ""), fontsize=10)
