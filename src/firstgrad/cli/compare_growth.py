"""Growth laws of both sides of a comparison, where it holds several sizes: found, judged, and put into words."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from firstgrad.columns import METRICS, samples_table
from firstgrad.comparing.judge import is_gating_between
from firstgrad.growth.change import GrowthChangeVerdict
from firstgrad.growth.law import GrowthLaw
from firstgrad.show.result import Form, Items, Only, Span, Style, Table, TableRow, Text, left, right
from firstgrad.show.words import write_fitted
from firstgrad.units import format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from firstgrad.columns import Column
    from firstgrad.comparing.comparison import Comparison
    from firstgrad.comparing.judge import Thresholds
    from firstgrad.growth.change import ChangedPart, GrowthChanges, LawChange
    from firstgrad.record import Record
    from firstgrad.show.result import Part

_STYLES = {
    GrowthChangeVerdict.GREW: Style.BAD,
    GrowthChangeVerdict.SHRANK: Style.GOOD,
    GrowthChangeVerdict.UNDECIDED: Style.DOUBT,
}
_PARTS = ("exponent", "fixed_cost")


def find_growth(
    records: Sequence[Record],
    base: str,
    head: str,
    resolve: Callable[[str], str],
    metrics: Sequence[Column] = METRICS,
) -> GrowthChanges:
    """Compare the growth laws of two stored sides; without lines where they don't hold three sizes of anything."""
    from firstgrad.comparing.sides import find_side
    from firstgrad.growth.change import GATING, find_growth_changes

    sides = [samples_table(find_side(records, side, resolve)[1]) for side in (base, head)]
    return find_growth_changes(*sides, metrics=[metric for metric in GATING if metric in metrics])


def is_growth_alarm(growth: GrowthChanges | None, comparison: Comparison) -> bool:
    """Whether a law grew between sides that were measured in turn.

    Laws aren't paired by round: of sides that were measured on different days, the machine's drift would show as a
    change, which is worth a line and no alarm. Nor is a fixed cost that grew by less than the metric's threshold.
    """
    return (
        growth is not None
        and any(_is_beyond(line, comparison.thresholds) for line in growth.lines)
        and comparison.has_compared
        and all(case.is_interleaved for case in comparison.cases if case.is_compared)
    )


def _is_beyond(line: LawChange, thresholds: Thresholds) -> bool:
    if not is_gating_between(line.metric, thresholds.gate, is_alike=line.is_alike):
        return False
    if line.exponent is not None and line.exponent.verdict is GrowthChangeVerdict.GREW:
        return True
    part = line.fixed_cost
    if part is None or part.verdict is not GrowthChangeVerdict.GREW or not isinstance(line.base, GrowthLaw):
        return False
    return part.difference.value > (thresholds.alarm_factor(line.metric) - 1) * min(line.base.levels)


def growth_change_documents(growth: GrowthChanges) -> list[dict[str, Any]]:
    """Return what ``compare --json`` has as ``growth``: an object a metric and line."""
    documents = []
    for line in growth.lines:
        base, head = (law.sentence if isinstance(law, GrowthLaw) else law.reason for law in (line.base, line.head))
        document: dict[str, Any] = {
            "axis": line.axis,
            "metric": line.metric.name,
            "unit": line.metric.unit,
            "common": line.common,
            "name": line.name,
            "verdict": line.verdict,
            "base_sentence": base,
            "head_sentence": head,
            "reason": line.reason,
        }
        for name in _PARTS:
            part: ChangedPart | None = getattr(line, name)
            document[f"compared_{name}"] = part.what if part else ""
            document[f"{name}_verdict"] = part.verdict if part else ""
            for side in ("base", "head", "difference"):
                document[f"{name}_{side}"] = getattr(part, side) if part else None
        documents.append(document)
    return documents


def growth_change_parts(growth: GrowthChanges, *, show_all: bool, is_alarm: bool) -> Iterator[Part]:
    """Yield the laws that changed (or all of them), each difference with its interval; nothing where there are none.

    Markdown has a line for each law that grew or shrank.
    """
    yield Only(Form.TERMINAL, list(_terminal_parts(growth, show_all=show_all, is_alarm=is_alarm)))
    changed = [line for line in growth.lines if line.verdict in {GrowthChangeVerdict.GREW, GrowthChangeVerdict.SHRANK}]
    if changed:
        style = Style.BOLD if is_alarm else Style.PLAIN
        items = [
            (
                Span(f"{line.metric.name} along {line.axis}", style),
                f" {line.verdict} (",
                Span(f"{line.common} {line.name}", is_verbatim=True),
                ")",
            )
            for line in changed
        ]
        heading = "Growth laws:" if is_alarm else "Growth laws, which raise no alarm:"
        yield Only(Form.MARKDOWN, [Text(heading), Items(items)])


def _terminal_parts(growth: GrowthChanges, *, show_all: bool, is_alarm: bool) -> Iterator[Part]:
    if not growth.lines and not growth.unmatched:
        return
    yield Items([f"no growth law compared: {line}" for line in growth.unmatched], Style.DOUBT)
    shown = [line for line in growth.lines if show_all or line.verdict is not GrowthChangeVerdict.SAME]
    if shown:
        yield Table(
            title="growth laws, HEAD less BASE",
            title_style=Style.BOLD,
            columns=(*left("metric", "along", "line"), *right("exponent", "fixed cost"), *left("verdict")),
            rows=[_table_row(line) for line in shown],
        )
    counts = (f"{sum(line.verdict is verdict for line in growth.lines)} {verdict}" for verdict in GrowthChangeVerdict)
    summary = f"{format_count(len(growth.lines), 'growth law')}: {', '.join(counts)}"
    if growth.has_alarm and not is_alarm:
        summary += "; no alarm: no gate, below the threshold, or the sides were not measured in turn"
    if growth.n_tests:
        summary += f" ({growth.confidence:.0%} for all {format_count(growth.n_tests, 'interval')} together)"
    yield Text(summary)


def _table_row(line: LawChange) -> TableRow:
    is_explained = line.reason and line.verdict is not GrowthChangeVerdict.SAME
    cells = (
        line.metric.name,
        line.axis,
        line.name,
        _changed(line.exponent, "{:z.2f}".format, "exponent"),
        _changed(line.fixed_cost, partial(write_fitted, line.metric.unit), "fixed cost"),
        f"{line.verdict}: {line.reason}" if is_explained else str(line.verdict),
    )
    return TableRow(cells, _STYLES.get(line.verdict, Style.PLAIN))


def _changed(part: ChangedPart | None, write: Callable[[float], str], usual: str) -> str:
    """Write both sides and the difference, and what was compared where it isn't what the column says."""
    if part is None:
        return ""

    def signed(number: float) -> str:
        return "any" if math.isinf(number) else f"{'-' if number < 0 else '+'}{write(abs(number))}"

    difference = part.difference
    ends = "" if difference.width == 0 else f" [{signed(difference.low)}, {signed(difference.high)}]"
    named = "" if part.what == usual else f" ({part.what})"
    return f"{write(part.base.value)} to {write(part.head.value)}: {signed(difference.value)}{ends}{named}"
