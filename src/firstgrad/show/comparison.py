"""A comparison in words and as parts of a result: what the terminal, Markdown and the page say alike."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from firstgrad.columns import Unit, metric_named
from firstgrad.comparing.judge import ComparisonVerdict, is_count
from firstgrad.show.result import BLANK, Form, Heading, Items, Only, Span, Style, Table, TableRow, Text, left, right
from firstgrad.show.words import capitalised
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from firstgrad.comparing.comparison import CaseComparison, Comparison
    from firstgrad.comparing.judge import MetricComparison, SideSpread
    from firstgrad.show.result import Inline, Part

_ID_DIGITS = 8
_SHOWN_PRECISION = 0.005  # of three digits
_COLUMNS = (*left("metric"), *right("BASE", "HEAD", "ratio", "noise"), *left("verdict"))
_STYLES = {
    ComparisonVerdict.FAILED: Style.BAD,
    ComparisonVerdict.FASTER: Style.GOOD,
    ComparisonVerdict.SMALLER: Style.GOOD,
    ComparisonVerdict.REPAIRED: Style.GOOD,
    ComparisonVerdict.UNDECIDED: Style.DOUBT,
    ComparisonVerdict.MISSING: Style.DOUBT,
}


def comparison_parts(comparison: Comparison, *, show_all: bool) -> Iterator[Part]:
    """Yield what changed (or all of it), failures, and the counts."""
    names = name_cases(comparison)
    shown = [(case, [metric for metric in case.metrics if show_all or is_told(metric)]) for case in comparison.cases]
    doubts = Counter(doubt for case in comparison.cases for doubt in case.doubts)
    often = (f"doubt {doubt}: in {count} of {len(comparison.cases)} cases" for doubt, count in doubts.items())
    notes = [*note_conditions(comparison), *often]
    first, *more = count_verdicts(comparison)
    counts = ". ".join((first, *map(capitalised, more)))

    terminal: list[Part] = [Text(name_sides(comparison), Style.BAD if comparison.is_forced else Style.BOLD)]
    for case, metrics in shown:
        if metrics or case.reason:
            terminal += (BLANK, Heading(names[case.case_id]))
        if case.reason:
            terminal.append(Text(f"{case.verdict}: {case.reason}", _STYLES.get(case.verdict, Style.PLAIN)))
        if metrics:
            terminal.append(Table(columns=_COLUMNS, rows=[TableRow(_cells(one), _style(one)) for one in metrics]))
    yield Only(Form.TERMINAL, (*terminal, BLANK, Items(notes, Style.DOUBT), Text(counts)))

    # One table of all cases: for a comment on a pull request, or the summary of a CI job.
    outcome = "regression" if comparison.has_regression else "no regression"
    markdown: list[Part] = [
        Heading(f"firstgrad compare: {outcome if comparison.has_compared else 'nothing was compared'}"),
        Text((_code(name_sides(comparison)), f": {counts}.")),
    ]
    rows: list[Sequence[Inline]] = [
        (_code(names[case.case_id]), *_cells(metric)[:-1], _verdict(write_verdict(metric), metric.is_alarm))
        for case, metrics in shown
        for metric in metrics
    ]
    if rows:
        markdown.append(Table(columns=(*left("case"), *_COLUMNS), rows=rows))
    failures: list[Inline] = [
        (_case_verdict(case), ": ", _code(names[case.case_id]), ", ", _code(case.reason))
        for case, _ in shown
        if case.reason
    ]
    yield Only(Form.MARKDOWN, (*markdown, Items([*failures, *map(_code, notes)])))


def comparison_table(comparison: Comparison, shorten: Callable[[str], str] = str) -> Table:
    """Return all that changed or failed, a line each, for a page; `shorten` is applied to names and reasons."""
    names, rows = name_cases(comparison, shorten), []
    for case in comparison.cases:
        if case.reason:
            rows.append((names[case.case_id], shorten(case.reason), "", "", "", _case_verdict(case)))
        for metric in filter(is_told, case.metrics):
            _, base, head, ratio, _, verdict = _cells(metric)
            title = metric_named(metric.metric).title
            rows.append((names[case.case_id], title, base, head, ratio, _verdict(verdict, metric.is_alarm)))
    return Table(columns=(*left("case", "metric"), *right("BASE", "HEAD", "ratio"), *left("verdict")), rows=rows)


def _verdict(text: str, is_bad: bool) -> Span:
    return Span(text, Style.BAD if is_bad else Style.PLAIN)


def _case_verdict(case: CaseComparison) -> Span:
    return _verdict(case.verdict, case.verdict is ComparisonVerdict.FAILED)


def _cells(metric: MetricComparison) -> tuple[str, ...]:
    paired = ", paired" if metric.is_paired and metric.ratio is not None else ""
    return (
        metric.metric,
        _write_side(metric.base, metric.unit),
        _write_side(metric.head, metric.unit),
        write_ratio(metric) + paired,
        f"{metric.noise.factor:.3f}",
        write_verdict(metric),
    )


def _write_side(spread: SideSpread | None, unit: Unit) -> str:
    if spread is None:
        return ""
    write = {Unit.SECONDS: format_seconds, Unit.BYTES: format_bytes, Unit.COUNT: _write_count}[unit]
    return f"{write(spread.median)} (n={spread.samples})"


def _write_count(count: float, *, sign: str = "") -> str:
    """Write a count to its last digit: what changed in it is what it is looked at for."""
    return f"{count:{sign},.0f}" if count == round(count) else f"{count:{sign},.1f}"


def _style(metric: MetricComparison) -> Style:
    if metric.verdict.is_growth:
        return Style.BAD if metric.is_alarm else Style.NOTABLE
    return Style.DIM if metric.is_explaining else _STYLES.get(metric.verdict, Style.PLAIN)


def _code(text: str) -> Span:
    """Names and errors are the user's, and may stand beside ours."""
    return Span(text, is_verbatim=True)


# --- words --------------------------------------------------------------------------------------------------------


def name_sides(comparison: Comparison, shorten: Callable[[str], str] = str) -> str:
    """Name both sides, with what users and machines named shortened; forced comparisons say so first."""
    forced = "FORCED, the sides are not alike: " if comparison.is_forced else ""
    return f"{forced}{shorten(str(comparison.base))} to {shorten(str(comparison.head))}"


def count_verdicts(comparison: Comparison) -> Iterator[str]:
    """Count the verdicts of metrics that can be an alarm, of those that inform, and of failures; no full stops."""
    every = [metric for case in comparison.cases for metric in case.metrics if not metric.is_explaining]
    metrics, others = (Counter(one.verdict for one in every if one.is_gating is gates) for gates in (True, False))
    cases = Counter(case.verdict for case in comparison.cases if case.reason)
    compared = sum(case.is_compared for case in comparison.cases)
    yield f"cases compared: {compared:,}; of their metrics: {_listed(metrics) or 'none'}"
    if others:
        yield f"of metrics that only inform: {_listed(others)}"
    if cases:
        yield f"cases with failures or on one side: {_listed(cases)}"


def name_cases(comparison: Comparison, shorten: Callable[[str], str] = str) -> dict[str, str]:
    """Name each case by what it was matched by: with a part of that where two read alike, which is never shortened."""
    names = {
        case.case_id: str(case.case) if case.head_case is None else f"{case.case} to {case.head_case}"
        for case in comparison.cases
    }
    often = Counter(names.values())
    return {
        case_id: shorten(name) if often[name] == 1 else f"{shorten(name)} ({case_id[:_ID_DIGITS]})"
        for case_id, name in names.items()
    }


def note_conditions(comparison: Comparison, shorten: Callable[[str], str] = str) -> Iterator[str]:
    """Yield what the reader has to know beside the numbers, each without a full stop."""
    for difference in comparison.differences:
        why = "compared" if difference.is_declared else "NOT ALIKE"
        field, base, head = (shorten(text) for text in (difference.field, difference.base, difference.head))
        yield f"{why}: {field} is {base} on BASE and {head} on HEAD"
    if comparison.shared_samples:
        yield f"{comparison.shared_samples:,} samples are on both sides: they say nothing of a change"
    yield from _note_statistics(comparison)


def write_ratio(metric: MetricComparison) -> str:
    """Write a ratio with its interval, such as ``1.100 [1.080, 1.121]``, or with what a count grew by; '' for none."""
    if metric.ratio is None:
        return ""
    is_exact = is_count(metric_named(metric.metric)) and metric.ratio.low == metric.ratio.high
    if is_exact and metric.base and metric.head and metric.ratio.value != 1:
        unit = " B" if metric.unit is Unit.BYTES else ""
        return f"{metric.ratio.value:.3f} ({_write_count(metric.head.median - metric.base.median, sign='+')}{unit})"
    value, low, high = (f"{number:.3f}" for number in (metric.ratio.value, metric.ratio.low, metric.ratio.high))
    return value if low == high == value else f"{value} [{low}, {high}]"


def write_verdict(metric: MetricComparison) -> str:
    """Write a verdict: growth that is no alarm says why, what is undecided says how many samples would decide it."""
    if metric.verdict.is_growth and not metric.is_explaining and not metric.is_alarm:
        return f"{metric.verdict}, {'below the threshold' if metric.is_gating else 'informs'}"
    if metric.further_samples is not None:
        return f"{metric.verdict}: {metric.further_samples:,} more samples"
    return str(metric.verdict)


def is_told(metric: MetricComparison) -> bool:
    """Whether a metric belongs among what changed: phases that are undecided explain nothing."""
    quiet = {ComparisonVerdict.SAME} | ({ComparisonVerdict.UNDECIDED} if metric.is_explaining else set())
    return metric.verdict not in quiet


def _note_statistics(comparison: Comparison) -> Iterator[str]:
    tested = [case for case in comparison.cases if any(metric.p_value is not None for metric in case.metrics)]
    apart = sum(not case.is_interleaved for case in tested)
    if apart:
        which = "" if apart == len(tested) else f" in {apart:,} of {len(tested):,} cases"
        yield f"not interleaved{which}: drift of the machine counts as difference"
    if comparison.tested > 1 or comparison.looks > 1:
        looks = f" and {comparison.looks:,} looks" if comparison.looks > 1 else ""
        yield f"verdicts are corrected for {comparison.tested:,} durations{looks}, the intervals shown are not"
    whole = [metric for case in comparison.cases for metric in case.metrics if not metric.is_explaining]
    if any(metric.verdict.is_growth and not metric.is_gating for metric in whole):
        yield "what informs is no gate: compare --gate seconds alarms for times, too"
    noises = [metric.noise for metric in whole if metric.p_value is not None]
    if noises:
        default = f"{comparison.thresholds.noise_factor:g}"
        if by_history := sum(noise.changes > 0 for noise in noises):
            largest = max(noise.factor for noise in noises)
            which = f"{by_history:,} of {len(noises):,} metrics (up to {largest:.3f})"
            yield f"noise threshold: by the history of {which}, else {default}"
        else:
            yield f"a change by less than a factor of {default} counts as noise"
    if any(not _is_quotient(metric) for case in comparison.cases for metric in case.metrics):
        yield (
            "a ratio is made of rounds where it says paired, else of both sides' numbers: a mean of logarithms that "
            "wild samples move little, not HEAD's median by BASE's"
        )
    undecided = [metric for metric in whole if metric.verdict is ComparisonVerdict.UNDECIDED]
    further = [metric.further_samples for metric in undecided if metric.further_samples is not None]
    if further:
        some = f"{len(further):,} of {len(undecided):,} undecided metrics"
        what = some if len(further) < len(undecided) else "what is undecided"
        yield f"some {max(further):,} more samples of each side would decide {what}"


def _is_quotient(metric: MetricComparison) -> bool:
    """Whether the medians, as they are shown, explain the ratio beside them."""
    if metric.ratio is None or metric.base is None or metric.head is None or metric.base.median <= 0:
        return True
    return math.isclose(metric.ratio.value, metric.head.median / metric.base.median, rel_tol=_SHOWN_PRECISION)


def _listed(counts: Counter[ComparisonVerdict]) -> str:
    return ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in ComparisonVerdict if counts[verdict])
