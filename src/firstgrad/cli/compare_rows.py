"""A comparison in words: what the table and the Markdown have in common."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from firstgrad.analysis.judge import ComparisonVerdict
from firstgrad.metrics import Unit
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firstgrad.analysis.compare import Comparison
    from firstgrad.analysis.compare_case import CaseComparison
    from firstgrad.analysis.judge import MetricComparison, Spread

COLUMNS = ("metric", "BASE", "HEAD", "ratio", "verdict")
_ID_DIGITS = 8


def title(comparison: Comparison) -> str:
    """Name both sides; forced comparisons say so first."""
    forced = "FORCED, the sides are not alike: " if comparison.is_forced else ""
    return f"{forced}{comparison.base} to {comparison.head}"


def summary(comparison: Comparison) -> str:
    """Count the verdicts: of metrics, and of cases that failed or are missing."""
    metrics = Counter(metric.verdict for case in comparison.cases for metric in case.metrics)
    cases = Counter(case.verdict for case in comparison.cases if case.reason)
    compared = sum(case.is_compared for case in comparison.cases)
    told = [f"{metrics[each]} {each}" for each in ComparisonVerdict if metrics[each]]
    text = f"cases compared: {compared}; of their metrics: {', '.join(told) or 'none'}"
    told = [f"{cases[each]} {each}" for each in ComparisonVerdict if cases[each]]
    return f"{text}. Cases with failures or on one side: {', '.join(told)}" if told else text


def shown_metrics(case: CaseComparison, *, show_all: bool) -> list[MetricComparison]:
    """Choose the metrics that changed, or all."""
    return [each for each in case.metrics if show_all or each.verdict is not ComparisonVerdict.SAME]


def cells(metric: MetricComparison) -> tuple[str, str, str, str, str]:
    """Write one metric as the texts of `COLUMNS`."""
    ratio = "" if metric.ratio is None else f"{metric.ratio:.3f}"
    return metric.metric, _side(metric.base, metric.unit), _side(metric.head, metric.unit), ratio, str(metric.verdict)


def case_names(comparison: Comparison) -> dict[str, str]:
    """Name each case by its id: with a part of that id where two cases read alike."""
    names = {case.case_id: str(case.case) for case in comparison.cases}
    often = Counter(names.values())
    return {one: name if often[name] == 1 else f"{name} ({one[:_ID_DIGITS]})" for one, name in names.items()}


def notes(comparison: Comparison) -> Iterable[str]:
    """Say what the reader has to know beside the numbers.

    Yields
    ------
    str
        A sentence each.
    """
    for each in comparison.differences:
        why = "compared" if each.is_declared else "NOT ALIKE"
        yield f"{why}: {each.field} is {each.base} on BASE and {each.head} on HEAD"
    if comparison.shared_samples:
        yield f"{comparison.shared_samples} samples are on both sides: they say nothing of a change"
    doubts = Counter(doubt for case in comparison.cases for doubt in case.doubts)
    for doubt, count in doubts.items():
        yield f"doubt {doubt}: in {count} of {len(comparison.cases)} cases"


def _side(spread: Spread | None, unit: Unit) -> str:
    if spread is None:
        return ""
    write = {Unit.SECONDS: format_seconds, Unit.BYTES: format_bytes, Unit.COUNT: "{:g}".format}[unit]
    return f"{write(spread.median)} (n={spread.samples})"
