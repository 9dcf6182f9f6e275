"""A comparison in words: what tables, Markdown and the page say alike."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from firstgrad.analysis.judge import ComparisonVerdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firstgrad.analysis.compare import Comparison
    from firstgrad.analysis.compare_case import CaseComparison
    from firstgrad.analysis.judge import MetricComparison

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
        Of metrics that can be an alarm; then, where there are any, of cases that failed or are missing. No full stop.
    """
    metrics = Counter(metric.verdict for case in comparison.cases for metric in case.metrics if metric.is_gating)
    cases = Counter(case.verdict for case in comparison.cases if case.reason)
    compared = sum(case.is_compared for case in comparison.cases)
    yield f"cases compared: {compared:,}; of their metrics: {_listed(metrics) or 'none'}"
    if told := _listed(cases):
        yield f"cases with failures or on one side: {told}"


def name_cases(comparison: Comparison, shorten: Callable[[str], str] = _whole) -> dict[str, str]:
    """Name each case by what it was matched by: with a part of that where two read alike, which is never shortened."""
    names = {case.case_id: _name(case) for case in comparison.cases}
    often = Counter(names.values())
    return {
        one: shorten(name) if often[name] == 1 else f"{shorten(name)} ({one[:_ID_DIGITS]})"
        for one, name in names.items()
    }


def _name(case: CaseComparison) -> str:
    return str(case.case) if case.head_case is None else f"{case.case} to {case.head_case}"


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
    yield from _note_statistics(comparison)


def write_ratio(metric: MetricComparison) -> str:
    """Write a ratio with its interval, such as ``1.100 [1.080, 1.121]``; '' where there is none."""
    if metric.ratio is None:
        return ""
    value, low, high = (f"{each:.3f}" for each in (metric.ratio.value, metric.ratio.low, metric.ratio.high))
    return value if low == high == value else f"{value} [{low}, {high}]"


def write_verdict(metric: MetricComparison) -> str:
    """Write a verdict: growth below the threshold says so, what is undecided says how many samples would decide it."""
    if metric.verdict.is_growth and metric.is_gating and not metric.is_alarm:
        return f"{metric.verdict}, below the threshold"
    if metric.further_samples is not None:
        return f"{metric.verdict}: {metric.further_samples:,} more samples"
    return str(metric.verdict)


def is_told(metric: MetricComparison) -> bool:
    """Whether a metric belongs among what changed: phases that are undecided explain nothing."""
    quiet = {ComparisonVerdict.SAME} | (set() if metric.is_gating else {ComparisonVerdict.UNDECIDED})
    return metric.verdict not in quiet


def _note_statistics(comparison: Comparison) -> Iterator[str]:
    tested = [case for case in comparison.cases if any(each.p_value is not None for each in case.metrics)]
    apart = sum(not case.is_interleaved for case in tested)
    if apart:
        which = "" if apart == len(tested) else f" in {apart:,} of {len(tested):,} cases"
        yield f"not interleaved{which}: drift of the machine counts as difference"
    if comparison.tested > 1 or comparison.looks > 1:
        looks = f" and {comparison.looks:,} looks" if comparison.looks > 1 else ""
        yield (f"verdicts are corrected for {comparison.tested:,} durations{looks}, the intervals shown are not")
    noises = [each.noise for case in tested for each in case.metrics if each.is_gating and each.p_value is not None]
    if noises:
        told = sum(noise.changes > 0 for noise in noises)
        default = f"{comparison.thresholds.noise_factor:g}"
        largest = max(noise.factor for noise in noises)
        yield (
            f"a change by less than a factor of {default} counts as noise"
            if not told
            else (
                f"noise threshold: by the history of {told:,} of {len(noises):,} metrics (up to {largest:.3f}), "
                f"else {default}"
            )
        )
    undecided = [
        each for case in comparison.cases for each in _gating(case) if each.verdict is ComparisonVerdict.UNDECIDED
    ]
    known = [each.further_samples for each in undecided if each.further_samples is not None]
    if known:
        of_all = len(known) == len(undecided)
        what = "what is undecided" if of_all else f"{len(known):,} of {len(undecided):,} undecided metrics"
        yield f"some {max(known):,} more samples of each side would decide {what}"


def _gating(case: CaseComparison) -> Iterator[MetricComparison]:
    return (each for each in case.metrics if each.is_gating)


def _listed(counts: Counter[ComparisonVerdict]) -> str:
    return ", ".join(f"{counts[each]:,} {each}" for each in ComparisonVerdict if counts[each])
