"""A comparison in words: what tables, Markdown and the page say alike."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from firstgrad.analysis.judge import ComparisonVerdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firstgrad.analysis.compare import Comparison

_ID_DIGITS = 8


def _whole(text: str) -> str:
    return text


def name_sides(comparison: Comparison, shorten: Callable[[str], str] = _whole) -> str:
    """Name both sides; forced comparisons say so first.

    Parameters
    ----------
    comparison : Comparison
    shorten : callable
        Applied to what users and machines named.
    """
    forced = "FORCED, the sides are not alike: " if comparison.is_forced else ""
    return f"{forced}{shorten(str(comparison.base))} to {shorten(str(comparison.head))}"


def count_verdicts(comparison: Comparison) -> Iterator[str]:
    """Count the verdicts.

    Yields
    ------
    str
        Of metrics; then, where there are any, of cases that failed or are missing. Without a full stop.
    """
    metrics = Counter(metric.verdict for case in comparison.cases for metric in case.metrics)
    cases = Counter(case.verdict for case in comparison.cases if case.reason)
    compared = sum(case.is_compared for case in comparison.cases)
    yield f"cases compared: {compared:,}; of their metrics: {_listed(metrics) or 'none'}"
    if told := _listed(cases):
        yield f"cases with failures or on one side: {told}"


def name_cases(comparison: Comparison, shorten: Callable[[str], str] = _whole) -> dict[str, str]:
    """Name each case by its id: with a part of that id where two cases read alike, which is never shortened."""
    names = {case.case_id: str(case.case) for case in comparison.cases}
    often = Counter(names.values())
    return {
        one: shorten(name) if often[name] == 1 else f"{shorten(name)} ({one[:_ID_DIGITS]})"
        for one, name in names.items()
    }


def note_conditions(comparison: Comparison, shorten: Callable[[str], str] = _whole) -> Iterator[str]:
    """Say what the reader has to know beside the numbers.

    Yields
    ------
    str
        Without a full stop.
    """
    for each in comparison.differences:
        why = "compared" if each.is_declared else "NOT ALIKE"
        field, base, head = (shorten(text) for text in (each.field, each.base, each.head))
        yield f"{why}: {field} is {base} on BASE and {head} on HEAD"
    if comparison.shared_samples:
        yield f"{comparison.shared_samples:,} samples are on both sides: they say nothing of a change"


def _listed(counts: Counter[ComparisonVerdict]) -> str:
    return ", ".join(f"{counts[each]:,} {each}" for each in ComparisonVerdict if counts[each])
