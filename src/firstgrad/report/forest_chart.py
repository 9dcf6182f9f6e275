"""A comparison of two sides: its forest plot and its table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from markupsafe import Markup

from firstgrad.analysis.judge import ComparisonVerdict
from firstgrad.figures.lines import shown
from firstgrad.figures.values import write_value
from firstgrad.metrics import metric_named
from firstgrad.report.budget import escaped_bytes, take_fitting
from firstgrad.report.inline import inline_svg

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from firstgrad.analysis.compare import Comparison
    from firstgrad.analysis.compare_case import CaseComparison
    from firstgrad.analysis.judge import MetricComparison, Spread
    from firstgrad.metrics import Unit

_METRIC = "time_to_first_gradient"
_MOST_LINES, _MOST_BYTES, _MARKUP_BYTES = 400, 200_000, 150
_LONGEST_NAME, _LONGEST_REASON, _LONGEST_SIDE = 160, 200, 80
_ID_DIGITS = 8
_BAD = (ComparisonVerdict.WORSE, ComparisonVerdict.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonLine:
    """A line of the table: a metric that changed, or why a case has none."""

    case: str
    metric: str
    base: str
    head: str
    ratio: str
    verdict: str
    is_bad: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSection:
    """A comparison.

    Attributes
    ----------
    title : str
        Both sides.
    notes : tuple of str
        Counts of verdicts, and what the reader has to know beside the numbers.
    description : str
        The figure in words; '' where there is none.
    figure : Markup, optional
        SVG; none where no case has a time to first gradient on any side.
    lines : tuple of ComparisonLine
        What changed or failed.
    left_out : int
        How many further lines there are.
    """

    template: ClassVar[str] = "comparison.html"
    id: ClassVar[str] = "comparison"
    title: str
    notes: tuple[str, ...]
    description: str
    figure: Markup | None
    lines: tuple[ComparisonLine, ...]
    left_out: int


def comparison_section(comparison: Comparison) -> ComparisonSection:
    """Draw the ratios of the time to first gradient, and list all metrics that changed."""
    figure, description = _draw(comparison)
    every = list(_lines(comparison))
    lines = take_fitting(every, _MOST_LINES, _MOST_BYTES, _bytes)
    forced = "FORCED, the sides are not alike: " if comparison.is_forced else ""
    base, head = (shown(str(side), _LONGEST_SIDE) for side in (comparison.base, comparison.head))
    return ComparisonSection(
        title=f"Comparison: {forced}{base} to {head}",
        notes=tuple(_notes(comparison)),
        description=description,
        figure=figure,
        lines=lines,
        left_out=len(every) - len(lines),
    )


def _draw(comparison: Comparison) -> tuple[Markup | None, str]:
    from firstgrad.figures.forest import describe_forest, draw_forest

    try:
        description = describe_forest(comparison, (_METRIC,))
    except ValueError:  # no case has it on any side
        return None, ""
    return inline_svg(draw_forest(comparison, (_METRIC,)), "figure-comparison", description), description


def _notes(comparison: Comparison) -> Iterator[str]:
    verdicts = Counter(metric.verdict for case in comparison.cases for metric in case.metrics)
    told = ", ".join(f"{verdicts[each]:,} {each}" for each in ComparisonVerdict if verdicts[each])
    compared = sum(case.is_compared for case in comparison.cases)
    yield f"Cases compared: {compared:,}. Of their metrics: {told or 'none'}."
    cases = Counter(case.verdict for case in comparison.cases if case.reason)
    if told := ", ".join(f"{cases[each]:,} {each}" for each in ComparisonVerdict if cases[each]):
        yield f"Cases with failures or on one side: {told}."
    for each in comparison.differences:
        why = "Compared" if each.is_declared else "NOT ALIKE"
        base, head = (shown(value, _LONGEST_SIDE) for value in (each.base, each.head))
        yield f"{why}: {shown(each.field, _LONGEST_SIDE)} is {base} on BASE and {head} on HEAD."
    if comparison.shared_samples:
        yield f"{comparison.shared_samples:,} samples are on both sides: they say nothing of a change."


def _lines(comparison: Comparison) -> Iterator[ComparisonLine]:
    names = Counter(str(case.case) for case in comparison.cases)
    for case in comparison.cases:
        name = _name(case, is_alone=names[str(case.case)] == 1)
        if case.reason:
            yield _line(name, shown(case.reason, _LONGEST_REASON), case.verdict)
        yield from (_metric_line(name, each) for each in _changed(case.metrics))


def _changed(metrics: Iterable[MetricComparison]) -> Iterator[MetricComparison]:
    return (each for each in metrics if each.verdict is not ComparisonVerdict.SAME)


def _name(case: CaseComparison, *, is_alone: bool) -> str:
    apart = "" if is_alone else f" ({case.case_id[:_ID_DIGITS]})"  # cases that differ in their limits read alike
    return f"{shown(str(case.case), _LONGEST_NAME)}{apart}"


def _metric_line(name: str, metric: MetricComparison) -> ComparisonLine:
    return _line(
        name,
        metric_named(metric.metric).title,
        metric.verdict,
        base=_side(metric.base, metric.unit),
        head=_side(metric.head, metric.unit),
        ratio="" if metric.ratio is None else f"{metric.ratio:.3f}",
    )


def _line(
    case: str, metric: str, verdict: ComparisonVerdict, *, base: str = "", head: str = "", ratio: str = ""
) -> ComparisonLine:
    return ComparisonLine(
        case=case, metric=metric, base=base, head=head, ratio=ratio, verdict=str(verdict), is_bad=verdict in _BAD
    )


def _side(spread: Spread | None, unit: Unit) -> str:
    return "" if spread is None else f"{write_value(unit, spread.median)} (n={spread.samples})"


def _bytes(line: ComparisonLine) -> int:
    texts = (line.case, line.metric, line.base, line.head, line.ratio, line.verdict)
    return _MARKUP_BYTES + escaped_bytes(*texts)
