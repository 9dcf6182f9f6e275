"""Which share of each group's gradient is finite: a bar a group, a panel a record."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from firstgrad.pose.spec import Missing
from firstgrad.show.result import Picture
from firstgrad.show.style import firstgrad_style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from firstgrad.record import Record

_FINITE, _NAN = "#0072B2", "#D55E00"
_BAR_INCHES, _PANEL_INCHES = 0.24, 3.6


def finiteness_picture(records: Sequence[Record]) -> Picture:
    """Picture the finiteness of the same groups in each record, a panel each. Raises ValueError where there is none."""
    if not records or not all(each.check.finiteness for each in records):
        raise ValueError("there are no groups to draw")
    return Picture(partial(_draw, records), "finiteness", _describe(records))


def sentence(records: Sequence[Record]) -> str:
    """Say how many gradient values and groups aren't finite in each record."""
    told = []
    for record in records:
        groups = record.check.finiteness
        bad = sum(bool(each.nan + each.infinite) for each in groups)
        values = _count(record).replace(" not finite", " gradient values aren't finite")
        told.append(
            f"where points are {_name(record)}, {values}" + (f", in {bad} of {len(groups)} groups" if bad else "")
        )
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]}."


def _draw(records: Sequence[Record]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    groups = records[0].check.finiteness
    height = _BAR_INCHES * len(groups) + 1.3
    with firstgrad_style():
        figure = Figure(figsize=(_PANEL_INCHES * len(records) + 1.4, height), layout="constrained")
        panels = figure.subplots(1, len(records), sharey=True, squeeze=False)[0]
        for axes, record in zip(panels, records, strict=True):
            _draw_panel(axes, record)
            axes.xaxis.set_major_formatter(PercentFormatter(1.0))
            axes.set_xlabel("share of the group's gradient values")
        panels[0].set_yticks(range(len(groups)), [each.group for each in groups])
        panels[0].invert_yaxis()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw_panel(axes: Axes, record: Record) -> None:
    groups = record.check.finiteness
    places = range(len(groups))
    bad = [(each.nan + each.infinite) / max(each.values, 1) for each in groups]
    axes.barh(places, [1 - share for share in bad], color=_FINITE, label="finite")
    axes.barh(places, bad, left=[1 - share for share in bad], color=_NAN, hatch="//", label="NaN or infinite")
    for place, each in zip(places, groups, strict=True):
        axes.text(0.01, place, f"{each.nan + each.infinite} of {each.values}", va="center", color="white", fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_title(f"{_name(record)}:\n{_count(record)}")


def _name(record: Record) -> str:
    model = record.case.model.pose
    if model is None:
        return str(record.case.backend)
    return "masked after the arithmetic" if model.missing is Missing.NAIVE else "masked before it"


def _count(record: Record) -> str:
    groups = record.check.finiteness
    return f"{sum(each.nan + each.infinite for each in groups)} of {sum(each.values for each in groups)} not finite"


def _describe(records: Sequence[Record]) -> str:
    told = []
    for record in records:
        bad = [
            f"{each.group} {each.nan + each.infinite} of {each.values}"
            for each in record.check.finiteness
            if each.nan + each.infinite
        ]
        told.append(f"{_name(record)}: {_count(record)}" + (f" ({', '.join(bad)})" if bad else ""))
    return "Gradient values that are not finite, by group. " + "; ".join(told) + "."
