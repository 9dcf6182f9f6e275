"""A comparison as texts: what the table and the Markdown have in common."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from firstgrad.analysis.compare_words import count_verdicts, is_told, note_conditions, write_ratio, write_verdict
from firstgrad.metrics import Unit
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firstgrad.analysis.compare import Comparison
    from firstgrad.analysis.compare_case import CaseComparison
    from firstgrad.analysis.judge import MetricComparison, Spread

COLUMNS = ("metric", "BASE", "HEAD", "ratio", "noise", "verdict")


def summary(comparison: Comparison) -> str:
    """Count the verdicts: of metrics, and of cases that failed or are missing."""
    return ". ".join(
        text[0].upper() + text[1:] if number else text for number, text in enumerate(count_verdicts(comparison))
    )


def shown_metrics(case: CaseComparison, *, show_all: bool) -> list[MetricComparison]:
    """Choose the metrics that changed, or all."""
    return [each for each in case.metrics if show_all or is_told(each)]


def cells(metric: MetricComparison) -> tuple[str, ...]:
    """Write one metric as the texts of `COLUMNS`."""
    paired = ", paired" if metric.is_paired and metric.ratio is not None else ""
    return (
        metric.metric,
        _side(metric.base, metric.unit),
        _side(metric.head, metric.unit),
        write_ratio(metric) + paired,
        f"{metric.noise.factor:.3f}",
        write_verdict(metric),
    )


def notes(comparison: Comparison) -> Iterable[str]:
    """Say what the reader has to know beside the numbers.

    Yields
    ------
    str
        A sentence each.
    """
    yield from note_conditions(comparison)
    doubts = Counter(doubt for case in comparison.cases for doubt in case.doubts)
    for doubt, count in doubts.items():
        yield f"doubt {doubt}: in {count} of {len(comparison.cases)} cases"


def _side(spread: Spread | None, unit: Unit) -> str:
    if spread is None:
        return ""
    write = {Unit.SECONDS: format_seconds, Unit.BYTES: format_bytes, Unit.COUNT: "{:g}".format}[unit]
    return f"{write(spread.median)} (n={spread.samples})"
