"""The largest changes between two profiles, as pairs of bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.analysis.profile_change import ChangeKind
from firstgrad.figures.lines import shown
from firstgrad.figures.profile import title_of
from firstgrad.figures.values import scale_of, write_value
from firstgrad.metrics import Unit
from firstgrad.show.style import SERIES_COLOURS, firstgrad_style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from firstgrad.analysis.profile_change import Change
    from firstgrad.analysis.profile_difference import ProfileDifference

TOP = 8
"""How many changes a panel has, where nobody says."""

_SIDES = (("base", SERIES_COLOURS[0], -0.2), ("contender", SERIES_COLOURS[1], 0.2))
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
_LONGEST_NAME = 58
_HEADROOM = 1.35  # right of the longest bar, for its numbers


def draw_profile_difference(difference: ProfileDifference, *, top: int = TOP) -> Figure:
    """Draw the largest changes between two profiles.

    Parameters
    ----------
    difference : ProfileDifference
        With at least one change beyond noise.
    top : int
        How many changes a panel has.

    Returns
    -------
    matplotlib.figure.Figure
        Up to three axes, of seconds, counts and bytes: a pair of horizontal bars a change, the base above the
        contender, the largest absolute difference at the top. The contender's bar has the ratio at its end.

    Raises
    ------
    ValueError
        Where nothing changed by more than noise.
    """
    panels = _panels(difference, top)
    if not panels:
        raise ValueError("nothing changed by more than noise: nothing to draw")
    from matplotlib.figure import Figure

    heights = [len(changes) + 0.9 for changes in panels.values()]
    with firstgrad_style():
        figure = Figure(figsize=(10.0, 1.5 + sum(0.5 * each + 0.35 for each in heights)), layout="constrained")
        every = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, (unit, changes) in zip(every, panels.items(), strict=True):
            _draw_pairs(axes, unit, changes)
        handles, labels = every[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
        base, contender = (title_of(each) for each in (difference.base, difference.contender))
        figure.suptitle(
            f"What changed, instruments on\nbase: {base}\ncontender: {contender}",
            x=0.01,
            ha="left",
            fontsize=11,
            fontweight="bold",
        )
    return figure


def describe_profile_difference(difference: ProfileDifference, *, top: int = TOP) -> str:
    """Say in words what `draw_profile_difference` shows, for readers who can't see it."""
    told = "; ".join(
        f"{_name(each)} {write_value(unit, each.base or 0)} to {write_value(unit, each.contender or 0)}"
        for unit, changes in _panels(difference, top).items()
        for each in changes
    )
    base, contender = (shown(str(each.record.case), 200) for each in (difference.base, difference.contender))
    return f"Pairs of bars of what changed from {base} to {contender}: {told or 'nothing beyond noise'}."


def _panels(difference: ProfileDifference, top: int) -> dict[Unit, list[Change]]:
    found = {}
    for unit, kinds in _KINDS.items():
        changes = [
            each
            for each in difference.changes
            if each.unit is unit and each.kind in kinds and each.metric in _METRICS and not each.is_noise
        ]
        if changes:
            found[unit] = sorted(changes, key=lambda each: -abs(each.difference))[:top]
    return found


def _name(change: Change) -> str:
    """Name a change in full: most names are told apart by their kind alone."""
    name = shown(change.name, _LONGEST_NAME)
    return _NAMES.get((change.kind, change.metric), "{kind} {name}").format(
        kind=change.kind,
        name=name,
        words=name.replace("_", " "),
    )


def _draw_pairs(axes: Axes, unit: Unit, changes: Sequence[Change]) -> None:
    ends = [value for each in changes for value in (each.base or 0.0, each.contender or 0.0)]
    scale = scale_of(unit, ends)
    longest = (max(ends) / scale.factor) or 1.0
    for number, (side, colour, shift) in enumerate(_SIDES):
        values = [(each.contender if number else each.base) or 0.0 for each in changes]
        places = [row + shift for row in range(len(changes))]
        lengths = [value / scale.factor for value in values]
        hatch = "" if number else "//"  # so that no side is told by its colour alone
        axes.barh(places, lengths, height=0.38, color=colour, label=side, hatch=hatch, edgecolor="white")
        for place, length, value, change in zip(places, lengths, values, changes, strict=True):
            ratio = f"  x{change.ratio:.3g}" if number and change.ratio is not None else ""
            text = "none" if (change.contender if number else change.base) is None else write_value(unit, value)
            axes.text(max(length, 0.0) + 0.01 * longest, place, f"{text}{ratio}", va="center", fontsize=8)
    axes.set_yticks(range(len(changes)), [_name(each) for each in changes], fontsize=8.5)
    axes.set_ylim(len(changes) - 0.45, -0.55)
    axes.set_xlim(min(0.0, *(end / scale.factor for end in ends)), _HEADROOM * longest)
    axes.set_title(_TITLES[unit] + (f" [{scale.unit}]" if unit is Unit.BYTES else ""), fontsize=10)
