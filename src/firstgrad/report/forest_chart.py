"""A comparison of two sides: its forest plot and its table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from markupsafe import Markup

from firstgrad.compare.judge import ComparisonVerdict
from firstgrad.metrics import metric_named
from firstgrad.report.budget import escaped_bytes, take_fitting
from firstgrad.show.comparison import (
    count_verdicts,
    is_told,
    name_cases,
    name_sides,
    note_conditions,
    write_ratio,
    write_verdict,
)
from firstgrad.show.style import inline_svg
from firstgrad.show.words import shown, write_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from firstgrad.compare.comparison import Comparison
    from firstgrad.compare.judge import MetricComparison, SideSpread
    from firstgrad.metrics import Unit

_METRIC = "time_to_first_gradient"
_MOST_LINES, _MOST_BYTES, _MARKUP_BYTES = 400, 200_000, 150
_LONGEST_NAME, _LONGEST_REASON, _LONGEST_SIDE = 160, 200, 80


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
    sides = name_sides(comparison, _short)
    return ComparisonSection(
        title=f"Comparison: {sides}",
        notes=tuple(_notes(comparison)),
        description=description,
        figure=figure,
        lines=lines,
        left_out=len(every) - len(lines),
    )


def _draw(comparison: Comparison) -> tuple[Markup | None, str]:
    from firstgrad.show.forest import describe_forest, draw_forest

    try:
        description = describe_forest(comparison, (_METRIC,))
    except ValueError:  # no case has it on any side
        return None, ""
    return inline_svg(draw_forest(comparison, (_METRIC,)), "figure-comparison", description), description


def _notes(comparison: Comparison) -> Iterator[str]:
    for text in (*count_verdicts(comparison), *note_conditions(comparison, _short)):
        yield f"{text[0].upper()}{text[1:]}."


def _short(text: str) -> str:
    return shown(text, _LONGEST_SIDE)


def _lines(comparison: Comparison) -> Iterator[ComparisonLine]:
    names = name_cases(comparison, lambda name: shown(name, _LONGEST_NAME))
    for case in comparison.cases:
        name = names[case.case_id]
        if case.reason:
            is_bad = case.verdict is ComparisonVerdict.FAILED
            yield _line(name, shown(case.reason, _LONGEST_REASON), str(case.verdict), is_bad=is_bad)
        yield from (_metric_line(name, each) for each in _changed(case.metrics))


def _changed(metrics: Iterable[MetricComparison]) -> Iterator[MetricComparison]:
    return (each for each in metrics if is_told(each))


def _metric_line(name: str, metric: MetricComparison) -> ComparisonLine:
    return _line(
        name,
        metric_named(metric.metric).title,
        write_verdict(metric),
        is_bad=metric.is_alarm,
        base=_side(metric.base, metric.unit),
        head=_side(metric.head, metric.unit),
        ratio=write_ratio(metric),
    )


def _line(
    case: str, metric: str, verdict: str, *, is_bad: bool, base: str = "", head: str = "", ratio: str = ""
) -> ComparisonLine:
    return ComparisonLine(case=case, metric=metric, base=base, head=head, ratio=ratio, verdict=verdict, is_bad=is_bad)


def _side(spread: SideSpread | None, unit: Unit) -> str:
    return "" if spread is None else f"{write_value(unit, spread.median)} (n={spread.samples})"


def _bytes(line: ComparisonLine) -> int:
    texts = (line.case, line.metric, line.base, line.head, line.ratio, line.verdict)
    return _MARKUP_BYTES + escaped_bytes(*texts)
