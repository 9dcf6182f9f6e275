"""A comparison as a forest plot: the ratio HEAD by BASE of each case, with its interval and verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.compare.judge import ComparisonVerdict
from firstgrad.figures.lines import shown
from firstgrad.figures.series import split_common
from firstgrad.figures.values import write_value
from firstgrad.metrics import metric_named
from firstgrad.show.style import firstgrad_style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from firstgrad.compare.comparison import CaseComparison, Comparison
    from firstgrad.compare.judge import MetricComparison

_WORST_FIRST = (
    ComparisonVerdict.FAILED,
    ComparisonVerdict.SLOWER,
    ComparisonVerdict.LARGER,
    ComparisonVerdict.UNDECIDED,
    ComparisonVerdict.MISSING,
    ComparisonVerdict.REPAIRED,
    ComparisonVerdict.FASTER,
    ComparisonVerdict.SMALLER,
    ComparisonVerdict.SAME,
)
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
_TICKS = (
    (0.5, 0.67, 0.8, 1.0, 1.25, 1.5, 2.0),
    (0.25, 0.33, 0.5, 0.67, 1.0, 1.5, 2.0, 3.0, 4.0),
    (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)
_WIDTH_INCHES, _ROW_INCHES, _TALL_ROW_INCHES = 10.0, 0.27, 0.36
_LETTER_INCHES, _VERDICTS_INCHES = 0.07, 2.3  # of a letter, and of what stands right of the panel
_BESIDE = 1.02  # right of the panel, whose width is 1
_ROWS_DESCRIBED = 12
_WIDEST = 20.0  # an interval that reaches farther says nothing, and would squeeze all others


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
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


def draw_forest(
    comparison: Comparison, metrics: Sequence[str] = ("time_to_first_gradient",), *, most_rows: int = 60
) -> Figure:
    """Draw the ratios of a comparison, a row a case and metric, the worst first.

    Parameters
    ----------
    comparison : Comparison
        From `firstgrad.compare.comparison.compare`.
    metrics : sequence of str
        Names of the metrics to draw.
    most_rows : int
        Further rows are left out, and the figure says how many.

    Returns
    -------
    matplotlib.figure.Figure
        One axes: the ratio of HEAD by BASE on a logarithmic scale, with its interval; the shade is the noise threshold,
        below which a change is none. Rows without a ratio (failed, missing) say why.

    Raises
    ------
    ValueError
        Where no case has any of these metrics, or a metric isn't known.
    """
    every = _find_rows(comparison, metrics)
    rows = every[: max(most_rows, 1)]
    common, names = _name_rows(rows, several=len(metrics) > 1)
    from matplotlib.figure import Figure

    height = _TALL_ROW_INCHES if any("\n" in name for name in names) else _ROW_INCHES
    with firstgrad_style():
        figure = Figure(figsize=(_WIDTH_INCHES, 1.9 + height * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xscale("log")
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(*_limits(rows))
        longest = max(len(part) for name in names for part in name.splitlines())
        room = int((_WIDTH_INCHES - _VERDICTS_INCHES) / _LETTER_INCHES) - longest
        for number, row in enumerate(rows):
            _draw_row(axes, number, row, room=room)
        axes.axvline(1.0, color="#888888", linewidth=1.2)
        axes.set_yticks(range(len(rows)), names, fontsize=8.5)
        axes.tick_params(axis="y", length=0)
        _set_ticks(axes)
        left_out = len(every) - len(rows)
        more = f"\n{left_out} more rows are left out, none of them worse than these" if left_out else ""
        axes.set_xlabel(f"HEAD / BASE, right of 1 is dearer; shaded: noise, no change{more}")
        what = ", ".join(metric_named(each).title for each in metrics)
        sides = f"BASE {shown(str(comparison.base), 40)}, HEAD {shown(str(comparison.head), 40)}"
        about = f"\n{shown(common, 110)}" if common else ""
        figure.suptitle(
            f"{shown(what[:1].upper() + what[1:], 110)}\n{sides}{about}",
            x=0.01,
            ha="left",
            fontsize=10.5,
            fontweight="bold",
        )
    return figure


def describe_forest(
    comparison: Comparison, metrics: Sequence[str] = ("time_to_first_gradient",), *, most_rows: int = 60
) -> str:
    """Say in words what `draw_forest` shows, for readers who can't see it; raises ValueError as it does."""
    every = _find_rows(comparison, metrics)
    rows = every[: max(most_rows, 1)]
    counts = [(verdict, sum(each.verdict is verdict for each in every)) for verdict in _WORST_FIRST]
    common, names = _name_rows(rows, several=len(metrics) > 1)
    told = [
        f"{name.replace(chr(10), ', ')}: {_tell(row)} {row.text}".rstrip()
        for name, row in zip(names, rows, strict=True)
    ][:_ROWS_DESCRIBED]
    more = f"; and {len(every) - len(told)} more" if len(every) > len(told) else ""
    about = f" of {common}" if common else ""
    return (
        f"Ratios of HEAD ({comparison.head}) by BASE ({comparison.base}){about}, {len(every)} rows: "
        f"{', '.join(f'{count} {verdict}' for verdict, count in counts if count)}. {'; '.join(told)}{more}."
    )


def _find_rows(comparison: Comparison, metrics: Sequence[str]) -> list[_Row]:
    for name in metrics:
        try:
            metric_named(name)
        except KeyError:
            raise ValueError(f"metric: there is none named {name!r}; `firstgrad.metrics.METRICS` lists them") from None
    rows = []
    for case in comparison.cases:
        if case.reason:
            rows.append(_Row(case=case, verdict=case.verdict, text=case.reason))
        rows += [
            _Row(case=case, verdict=each.verdict, metric=each, text="" if _has_ratio(each) else _why_none(each))
            for each in case.metrics
            if each.metric in metrics
        ]
    if not rows:
        raise ValueError(f"no case of this comparison has {' or '.join(metrics) or 'a metric'}: nothing to draw")
    return sorted(rows, key=lambda each: each.rank)


def _has_ratio(metric: MetricComparison) -> bool:
    return metric.ratio is not None


def _why_none(metric: MetricComparison) -> str:
    if metric.base is not None and metric.head is not None:
        before, after = (write_value(metric.unit, each.median) for each in (metric.base, metric.head))
        return f"{before} on BASE, {after} on HEAD"
    side, spread = ("BASE", metric.base) if metric.base is not None else ("HEAD", metric.head)
    return f"on {side} only" + (f", {write_value(metric.unit, spread.median)}" if spread else "")


def _tell(row: _Row) -> str:
    if row.metric is None or row.metric.ratio is None:
        return str(row.verdict)
    ratio = row.metric.ratio
    interval = "" if ratio.low == ratio.high else f" [{ratio.low:.2f}, {ratio.high:.2f}]"
    return f"{row.verdict} {ratio.value:.2f}{interval}"


def _name_rows(rows: Sequence[_Row], *, several: bool) -> tuple[str, list[str]]:
    """Split what all cases have in common from each row's name."""
    cases = list({each.case.case_id: str(each.case.case) for each in rows}.items())
    common, rest = split_common([name for _, name in cases])
    # Cases that differ in their limits only have one name: the id tells them apart.
    named = {
        case_id: shown(name or "this case") + (f" ({case_id[:6]})" if rest.count(name) > 1 else "")
        for (case_id, _), name in zip(cases, rest, strict=True)
    }
    metric = [metric_named(each.metric.metric).title if several and each.metric else "" for each in rows]
    return common, [
        "\n".join(filter(None, (named[each.case.case_id], title))) for each, title in zip(rows, metric, strict=True)
    ]


def _draw_row(axes: Axes, number: int, row: _Row, *, room: int) -> None:
    colour, marker = _LOOKS[row.verdict]
    at = axes.get_yaxis_transform()
    axes.plot(
        [_BESIDE], [number], marker=marker, color=colour, markersize=6, transform=at, clip_on=False, label=row.verdict
    )
    axes.text(_BESIDE + 0.02, number, _tell(row), transform=at, va="center", fontsize=8.5)
    if row.metric is None or row.metric.ratio is None:
        axes.text(0.01, number, shown(row.text, room), transform=at, va="center", fontsize=8.5, style="italic")
        return
    factor = row.metric.noise.factor
    axes.fill_betweenx([number - 0.5, number + 0.5], 1 / factor, factor, color="#888888", alpha=0.16, linewidth=0)
    left, right = axes.get_xlim()
    low, high = row.metric.ratio.low, row.metric.ratio.high
    axes.plot(
        [max(low, left), min(high, right)],
        [number, number],
        color=colour,
        linewidth=2.2,
        solid_capstyle="butt",
        label="interval",
    )
    for end, edge, arrow in ((low, left, "<"), (-high, -right, ">")):
        if end < edge:
            axes.plot([abs(edge)], [number], marker=arrow, color=colour, markersize=6, clip_on=False, label="no end")
    axes.plot([row.metric.ratio.value], [number], marker=marker, color=colour, markersize=6.5, label="ratio")


def _limits(rows: Sequence[_Row]) -> tuple[float, float]:
    """Hold every ratio and noise threshold, and every interval that isn't wider than all others need."""
    known = [each.metric for each in rows if each.metric is not None]
    ratios = [each.ratio for each in known if each.ratio is not None]
    ends = [1.35, 1 / 1.35]
    ends += [end for each in known for end in (each.noise.factor, 1 / each.noise.factor)]
    ends += [each.value for each in ratios]
    ends += [
        min(max(end, each.value / _WIDEST), each.value * _WIDEST) for each in ratios for end in (each.low, each.high)
    ]
    room = 1.08
    return min(ends) / room, max(ends) * room


def _set_ticks(axes: Axes) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    low, high = axes.get_xlim()
    fitting = next((each for each in _TICKS if low >= each[0] / 1.4 and high <= each[-1] * 1.4), None)
    axes.xaxis.set_major_locator(LogLocator() if fitting is None else FixedLocator(fitting))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.3g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(visible=True, axis="x", color="#888888", alpha=0.25, linewidth=0.6)
    axes.set_xlim(low, high)
