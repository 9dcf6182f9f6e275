"""A comparison as a forest plot: the ratio HEAD by BASE of each case, with its interval and verdict."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from firstgrad.columns import metric_named
from firstgrad.comparing.judge import ComparisonVerdict
from firstgrad.show.drawing import NAMES_AT, add_grid, head_figure, new_panels, plot, write_ticks
from firstgrad.show.result import Picture
from firstgrad.show.style import Tip
from firstgrad.show.words import capitalised, shown, split_common, write_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from firstgrad.comparing.comparison import CaseComparison, Comparison
    from firstgrad.comparing.judge import MetricComparison
    from firstgrad.show.drawing import Strokes

_LOOKS = {
    ComparisonVerdict.FAILED: ("#D55E00", "X"),
    ComparisonVerdict.SLOWER: ("#D55E00", "^"),
    ComparisonVerdict.LARGER: ("#D55E00", "^"),
    ComparisonVerdict.UNDECIDED: ("#CC79A7", "D"),
    ComparisonVerdict.MISSING: ("#888888", "s"),
    ComparisonVerdict.REPAIRED: ("#009E73", "*"),
    ComparisonVerdict.FASTER: ("#009E73", "v"),
    ComparisonVerdict.SMALLER: ("#009E73", "v"),
    ComparisonVerdict.SAME: ("#0072B2", "o"),
}
"""Colour and marker of each verdict, the worst first."""
_WORST_FIRST = tuple(_LOOKS)
DRAWN = ("time_to_first_gradient", "time_to_first_draw", "evaluation")
"""Metrics that are drawn where nobody asks for others."""
_TICKS = (
    (0.5, 0.67, 0.8, 1.0, 1.25, 1.5, 2.0),
    (0.25, 0.33, 0.5, 0.67, 1.0, 1.5, 2.0, 3.0, 4.0),
    (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)
_WIDTH_INCHES, _ROW_INCHES, _TALL_ROW_INCHES = 10.0, 0.27, 0.36
_LETTER_INCHES, _VERDICTS_INCHES = 0.07, 2.3  # of a letter, and of what stands right of the panel
_WIDEST = 20.0  # an interval that reaches farther says nothing, and would squeeze all others


class _ForestRow(NamedTuple):
    """A line of the figure: a metric of a case, or what a case's failures say."""

    case: CaseComparison
    verdict: ComparisonVerdict
    metric: MetricComparison | None = None
    text: str = ""

    @property
    def rank(self) -> tuple[int, float]:
        """The worst first; of one verdict, the largest ratio."""
        ratio = self.metric.ratio.value if self.metric is not None and self.metric.ratio is not None else math.inf
        return _WORST_FIRST.index(self.verdict), -ratio


def forest_picture(
    comparison: Comparison,
    metrics: Sequence[str] = ("time_to_first_gradient",),
    *,
    most_rows: int = 60,
    most_told: int = 12,
    caption: str = "",
) -> Picture:
    """Picture the ratios of a comparison, a row a case and metric, the worst first; of many rows the first `most_rows`.

    Ratios have their interval and, shaded, the noise threshold below which a change is none. Rows without a ratio
    (failed, missing) say why. Raises ValueError where no case has any of these metrics, or a metric isn't known.
    """
    rows = _find_rows(comparison, metrics)
    there = {row.metric.metric for row in rows if row.metric is not None}
    metrics = [name for name in metrics if name in there] or metrics
    counts = Counter(row.verdict for row in rows)
    common, names = _name_rows(rows, several=len(metrics) > 1)
    told = [
        f"{name.replace(chr(10), ', ')}: {_tell(row)} {row.text}".rstrip()
        for name, row in zip(names[:most_told], rows, strict=False)
    ]
    more = f"; and {len(rows) - len(told)} more" if len(rows) > len(told) else ""
    about = f" of {common}" if common else ""
    words = (
        f"Ratios of HEAD ({comparison.head}) by BASE ({comparison.base}){about}, {len(rows)} rows: "
        f"{', '.join(f'{counts[verdict]} {verdict}' for verdict in _WORST_FIRST if counts[verdict])}. "
        f"{'; '.join(told)}{more}."
    )
    return Picture(partial(_draw_forest, comparison, metrics, rows, most_rows), "comparison", words, caption)


def _draw_forest(comparison: Comparison, metrics: Sequence[str], every: Sequence[_ForestRow], most_rows: int) -> Figure:
    rows = every[: max(most_rows, 1)]
    common, names = _name_rows(rows, several=len(metrics) > 1)
    height = _TALL_ROW_INCHES if any("\n" in name for name in names) else _ROW_INCHES
    with new_panels(_WIDTH_INCHES, 1.9 + height * len(rows)) as (figure, [axes]):
        axes.set_xscale("log")
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(*_limits(rows))
        longest = max(len(part) for name in names for part in name.splitlines())
        room = int((_WIDTH_INCHES - _VERDICTS_INCHES) / _LETTER_INCHES) - longest
        for number, row in enumerate(rows):
            _draw_row(axes, number, row, names[number], room=room)
        axes.axvline(1.0, color="#888888", linewidth=1.2)
        axes.set_yticks(range(len(rows)), names, fontsize=8.5)
        axes.tick_params(axis="y", length=0)
        low, high = axes.get_xlim()
        fitting = next((ticks for ticks in _TICKS if low >= ticks[0] / 1.4 and high <= ticks[-1] * 1.4), None)
        write_ticks(axes.xaxis, fitting, digits=3)
        add_grid(axes, "x")
        axes.set_xlim(low, high)
        left_out = len(every) - len(rows)
        more = f"\n{left_out} more rows are left out, none of them worse than these" if left_out else ""
        axes.set_xlabel(f"HEAD / BASE, right of 1 is costlier; shaded: noise, no change{more}")
        what = capitalised(", ".join(metric_named(metric).title for metric in metrics))
        sides = f"BASE {shown(str(comparison.base), 40)}, HEAD {shown(str(comparison.head), 40)}"
        about = f"\n{shown(common, 110)}" if common else ""
        head_figure(figure, f"{shown(what, 110)}\n{sides}{about}", size=10.5)
    return figure


def _find_rows(comparison: Comparison, metrics: Sequence[str]) -> list[_ForestRow]:
    for name in metrics:
        try:
            metric_named(name)
        except KeyError:
            raise ValueError(f"metric: there is none named {name!r}; `firstgrad.columns.METRICS` lists them") from None
    rows = []
    for case in comparison.cases:
        if case.reason:
            rows.append(_ForestRow(case=case, verdict=case.verdict, text=case.reason))
        rows += [
            _ForestRow(case=case, verdict=metric.verdict, metric=metric, text=_why_no_ratio(metric))
            for metric in case.metrics
            if metric.metric in metrics
        ]
    if not rows:
        raise ValueError(f"no case of this comparison has {' or '.join(metrics) or 'a metric'}: nothing to draw")
    return sorted(rows, key=lambda row: row.rank)


def _why_no_ratio(metric: MetricComparison) -> str:
    if metric.ratio is not None:
        return ""
    if metric.base is not None and metric.head is not None:
        before, after = (write_value(metric.unit, side.median) for side in (metric.base, metric.head))
        return f"{before} on BASE, {after} on HEAD"
    side, spread = ("BASE", metric.base) if metric.base is not None else ("HEAD", metric.head)
    return f"on {side} only" + (f", {write_value(metric.unit, spread.median)}" if spread else "")


def _tell(row: _ForestRow) -> str:
    if row.metric is None or row.metric.ratio is None:
        return str(row.verdict)
    ratio = row.metric.ratio
    interval = "" if ratio.low == ratio.high else f" [{ratio.low:.2f}, {ratio.high:.2f}]"
    return f"{row.verdict} {ratio.value:.2f}{interval}"


def _name_rows(rows: Sequence[_ForestRow], *, several: bool) -> tuple[str, list[str]]:
    """Split what all cases have in common from each row's name."""
    cases = list({row.case.case_id: str(row.case.case) for row in rows}.items())
    common, rest = split_common([name for _, name in cases])
    # Cases that differ in their limits only have one name: the id tells them apart.
    named = {
        case_id: shown(name or "this case") + (f" ({case_id[:6]})" if rest.count(name) > 1 else "")
        for (case_id, _), name in zip(cases, rest, strict=True)
    }
    titles = [metric_named(row.metric.metric).title if several and row.metric else "" for row in rows]
    return common, [
        "\n".join(filter(None, (named[row.case.case_id], title))) for row, title in zip(rows, titles, strict=True)
    ]


def _draw_row(axes: Axes, number: int, row: _ForestRow, name: str, *, room: int) -> None:
    colour, marker = _LOOKS[row.verdict]
    at, left, right = axes.get_yaxis_transform(), *axes.get_xlim()
    look: Strokes = {"color": colour, "markersize": 6, "clip_on": False}
    axes.plot([NAMES_AT], [number], marker=marker, transform=at, label=row.verdict, **look)
    axes.text(NAMES_AT + 0.02, number, _tell(row), transform=at, va="center", fontsize=8.5)
    if row.metric is None or row.metric.ratio is None:
        axes.text(0.01, number, shown(row.text, room), transform=at, va="center", fontsize=8.5, style="italic")
        return
    factor, ratio = row.metric.noise.factor, row.metric.ratio
    axes.fill_betweenx([number - 0.5, number + 0.5], 1 / factor, factor, color="#888888", alpha=0.16, linewidth=0)
    interval = [(max(ratio.low, left), number), (min(ratio.high, right), number)]
    plot(axes, interval, color=colour, linewidth=2.2, solid_capstyle="butt", label="interval")
    for end, is_beyond, arrow in ((left, ratio.low < left, "<"), (right, ratio.high > right, ">")):
        if is_beyond:
            plot(axes, [(end, number)], marker=arrow, label="no end", **look)
    tips = [Tip(name.replace("\n", ", "), metric_named(row.metric.metric).title, f"HEAD / BASE: {_tell(row)}")]
    plot(axes, [(ratio.value, number)], tips=tips, marker=marker, color=colour, markersize=6.5, label="ratio")


def _limits(rows: Sequence[_ForestRow]) -> tuple[float, float]:
    """Hold every ratio and noise threshold, and every interval that isn't wider than all others need."""
    known = [row.metric for row in rows if row.metric is not None]
    ratios = [metric.ratio for metric in known if metric.ratio is not None]
    ends = [1.35, 1 / 1.35]
    for metric in known:
        ends += [metric.noise.factor, 1 / metric.noise.factor]
    for ratio in ratios:
        ends += [ratio.value, max(ratio.low, ratio.value / _WIDEST), min(ratio.high, ratio.value * _WIDEST)]
    room = 1.08
    return min(ends) / room, max(ends) * room
