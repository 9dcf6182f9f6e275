"""A comparison in words and as parts of a result: what the terminal, Markdown and the page say alike."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.columns import Unit, metric_named
from firstgrad.comparing.judge import ComparisonVerdict, is_count
from firstgrad.show.result import (
    BLANK,
    Fold,
    Form,
    Heading,
    Items,
    Only,
    Span,
    Style,
    Table,
    TableRow,
    Text,
    Verbatim,
    left,
    right,
)
from firstgrad.show.words import PROPER_NAMES, capitalised
from firstgrad.units import format_bytes, format_count, format_seconds, shorten_middle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from firstgrad.comparing.comparison import CaseComparison, Comparison, MeanRatio
    from firstgrad.comparing.judge import MetricComparison, SideSpread
    from firstgrad.comparing.reproducer import Reproducer
    from firstgrad.show.result import Inline, Part

_ID_DIGITS = 8
_LONGEST_REASON = 160
_MOST_ROWS = 150  # of a block for a pull request: GitHub takes 65,536 letters
_WIDE = 4.0  # an interval from end to end
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a comparison's block for a pull request ends with."""

    command: str = ""  # that made it
    reproducer: Reproducer | str = ""  # of the worst case, or why there is none


def comparison_parts(comparison: Comparison, *, show_all: bool, proof: Proof | None = None) -> Iterator[Part]:
    """Yield what changed (or all of it), failures, and the counts."""
    names = name_cases(comparison)
    shown = [(case, [metric for metric in case.metrics if show_all or is_told(metric)]) for case in comparison.cases]
    doubts = Counter(doubt for case in comparison.cases for doubt in case.doubts)
    often = (f"doubt {doubt}: in {count} of {len(comparison.cases)} cases" for doubt, count in doubts.items())
    notes = [*note_conditions(comparison), *often]
    first, *more = count_verdicts(comparison)
    counts = ". ".join((first, *map(capitalised, more)))
    overview = list(overview_parts(comparison, show_all=show_all)) if is_of_several(comparison) else []

    terminal: list[Part] = [Text(name_sides(comparison), Style.BAD if comparison.is_forced else Style.BOLD), *overview]
    for case, metrics in shown:
        if metrics or case.reason:
            terminal += (BLANK, Heading(names[case.case_id]))
        if case.reason:
            terminal.append(Text(f"{case.verdict}: {case.reason}", _STYLES.get(case.verdict, Style.PLAIN)))
        if metrics:
            terminal.append(Table(columns=_COLUMNS, rows=[TableRow(_cells(one), _style(one)) for one in metrics]))
    yield Only(Form.TERMINAL, (*terminal, BLANK, Items(notes, Style.DOUBT), Text(counts)))

    # One block: for a comment on a pull request, or the summary of a CI job.
    outcome = "regression" if comparison.has_regression else "no regression"
    markdown: list[Part] = [
        Heading(f"firstgrad compare: {outcome if comparison.has_compared else 'nothing was compared'}"),
        Text((*sum_up(comparison), _code(name_sides(comparison)), f": {counts}.")),
        *overview,
    ]
    rows: list[Sequence[Inline]] = [
        (_code(names[case.case_id]), *_cells(metric)[:-1], _verdict(write_verdict(metric), metric.is_alarm))
        for case, metrics in shown
        for metric in metrics
    ]
    changes: list[Part] = [Table(columns=(*left("case"), *_COLUMNS), rows=rows)] if rows else []
    failures: list[Inline] = [
        (_case_verdict(case), ": ", _code(names[case.case_id]), ", ", _code(case.reason))
        for case, _ in shown
        if case.reason
    ]
    if overview:
        told = f"{format_count(len(rows), 'number')}, changed or undecided"
        about = "Every metric" if show_all else told
        if len(rows) > _MOST_ROWS:
            rest = f"{len(rows) - _MOST_ROWS:,} more rows are left out, none of worse cases; --json has them."
            changes = [Table(columns=(*left("case"), *_COLUMNS), rows=rows[:_MOST_ROWS]), Text(rest)]
        markdown += [Items(failures[:_MOST_ROWS]), *([Fold(f"{about}, by case", changes)] if changes else [])]
        markdown.append(Fold("Versions and conditions", [*_versions(comparison), Items([*map(_code, notes)])]))
    else:
        markdown += [*changes, Items([*failures, *map(_code, notes)])]
        markdown += (Fold("Versions", [table]) for table in _versions(comparison))
    yield Only(Form.MARKDOWN, (*markdown, *_prove(proof or Proof())))


def is_of_several(comparison: Comparison) -> bool:
    """Whether it is of several cases, which are first seen side by side."""
    return len(comparison.cases) + len(comparison.left_out) > 1


def sum_up(comparison: Comparison) -> tuple[str | Span, ...]:
    """Say in a sentence what came of several cases: how many are worse, and which most; nothing of one."""
    if not is_of_several(comparison):
        return ()
    cases = comparison.cases
    worst = cases[0]
    worse = sum(case.is_alarm for case in cases)
    counts = f"{worse} of {format_count(len(cases), 'case')} {'is' if worse == 1 else 'are'} worse"
    if not worse:
        return (f"None of {format_count(len(cases), 'case')} is worse beyond its threshold. ",)
    if worst.verdict is ComparisonVerdict.FAILED or worst.worst is None:
        return (f"{counts}: ", _code(str(worst.case.model)), " failed on HEAD. ")
    ratio = write_ratio(worst.worst)
    return (f"{counts}, most of all ", _code(str(worst.case.model)), f": {worst.worst.metric} {ratio}. ")


def overview_parts(
    comparison: Comparison, *, show_all: bool = False, shorten: Callable[[str], str] = str
) -> Iterator[Part]:
    """Yield a table of the cases, the worst first, and one of the averages over models."""
    common, names = _split_names(comparison)
    rows = [_overview_row(case, shorten(name)) for case, name in zip(comparison.cases, names, strict=True)]
    rows += [
        TableRow((_code(shorten(one.what)), "left out", _code(shorten(one.reason)), *[""] * 6), Style.DOUBT)
        for one in comparison.left_out
    ]
    columns = (
        *left("case", "verdict", "most", is_folded=True),
        *right("BASE", "HEAD", "time", "memory"),
        *left("counts", "oracle"),
    )
    few = (0, 1, 2, 5, 7)
    narrow = Table(columns=[columns[place] for place in few], rows=[_pick(row, few) for row in rows])
    yield Table(columns=columns, rows=rows, title=shorten(common), narrow=narrow)
    if comparison.means:
        yield from _mean_parts(comparison, show_all=show_all)


def _pick(row: TableRow, places: Sequence[int]) -> TableRow:
    return TableRow([row.cells[place] for place in places], row.style)


def _split_names(comparison: Comparison) -> tuple[str, list[str]]:
    """Say what all cases have in common, and name each by the rest."""
    names = name_cases(comparison)
    asked = {case.asked for case in comparison.cases}
    if len(asked) > 1 or any(case.head_case is not None for case in comparison.cases):
        return "", [names[case.case_id] for case in comparison.cases]
    models = [str(case.case.model) for case in comparison.cases]
    is_told = len(set(models)) == len(models)
    return "".join(asked), models if is_told else [names[case.case_id] for case in comparison.cases]


def _overview_row(case: CaseComparison, name: str) -> TableRow:
    most, known = _most_changed(case), {metric.metric: metric for metric in case.metrics}
    time = next((metric for metric in case.metrics if metric.unit is Unit.SECONDS), None)
    exact = [metric for metric in case.metrics if metric_named(metric.metric).is_exact]
    changed = sum(metric.verdict is not ComparisonVerdict.SAME for metric in exact)
    told = f"{most.metric} {_write_short(most)}" if most is not None else ""
    cells: tuple[Inline, ...] = (
        _code(name),
        _verdict(str(case.verdict), case.is_alarm),
        _code(shorten_middle(case.reason, _LONGEST_REASON)) if case.reason else told,
        _write_median(time, is_head=False),
        _write_median(time, is_head=True),
        _write_short(time),
        _write_short(known.get("peak_memory")),
        f"{changed} of {len(exact)} changed" if changed else f"{len(exact)} the same" if exact else "",
        " to ".join(dict.fromkeys(case.checks)).replace("_", " "),
    )
    return TableRow(cells, Style.BAD if case.is_alarm else _STYLES.get(case.verdict, Style.PLAIN))


def _most_changed(case: CaseComparison) -> MetricComparison | None:
    """Find the metric that tells most: what grew most, else what shrank most; none where nothing changed."""
    if case.worst is not None and case.worst.verdict.is_growth:
        return case.worst
    quiet = (ComparisonVerdict.SAME, ComparisonVerdict.MISSING)
    changed = [one for one in case.metrics if one.is_gating and one.ratio is not None and one.verdict not in quiet]
    return min(changed, key=lambda one: one.ratio.value if one.ratio else 1.0, default=None)


def _write_short(metric: MetricComparison | None) -> str:
    """Write a ratio, with its interval where that says something."""
    if metric is None or metric.ratio is None:
        return ""
    is_wide = metric.ratio.high > _WIDE * metric.ratio.low
    return f"{metric.ratio.value:.3f}" if is_wide else write_ratio(metric)


def _write_median(metric: MetricComparison | None, *, is_head: bool) -> str:
    side = None if metric is None else metric.head if is_head else metric.base
    return "" if side is None else format_seconds(side.median)


def _mean_parts(comparison: Comparison, *, show_all: bool) -> Iterator[Part]:
    told = {metric.metric for case in comparison.cases for metric in case.metrics if show_all or is_told(metric)}
    explaining = {metric.metric for case in comparison.cases for metric in case.metrics if metric.is_explaining}
    several = len({mean.asked for mean in comparison.means}) > 1
    rows: list[Sequence[Inline]] = []
    same: dict[str, None] = {}
    for mean in comparison.means:
        if mean.metric not in told and metric_named(mean.metric).is_exact:
            same[mean.metric] = None
        elif mean.metric in told or mean.metric not in explaining:
            rows.append(_mean_row(mean, several=several))
    columns = (*left("metric", *["of"] * several), *right("mean ratio", "range"), *right("worse", "better", "models"))
    if rows:
        yield Table(columns=columns, rows=rows, title="Geometric means over models, HEAD by BASE, with 95% intervals")
    if same:
        yield Text(f"The same in all models: {', '.join(same)}.")


def _mean_row(mean: MeanRatio, *, several: bool) -> tuple[str, ...]:
    ratio, digits = mean.ratio, 5 if metric_named(mean.metric).is_exact else 3
    value, low, high, least, most = (
        f"{number:.{digits}f}" for number in (ratio.value, ratio.low, ratio.high, mean.low, mean.high)
    )
    return (
        mean.metric,
        *([mean.asked] if several else []),
        f"{value} [{low}, {high}]" if high != low else value,
        f"{least} to {most}" if least != most else least,
        str(mean.worse),
        str(mean.better),
        str(ratio.samples),
    )


def _versions(comparison: Comparison) -> Iterator[Table]:
    if comparison.versions:
        rows = [(one.name, _code(one.base), _code(one.head)) for one in comparison.versions]
        yield Table(columns=left("", "BASE", "HEAD"), rows=rows)


def _prove(proof: Proof) -> Iterator[Part]:
    """Yield the reproducer and the command, for whoever wants to see it for himself."""
    from firstgrad.comparing.reproducer import SCRIPT

    made = proof.reproducer
    if isinstance(made, str):
        if made:
            yield Text(f"No reproducer without firstgrad: {made}.")
    else:
        about: tuple[str | Span, ...] = ("Reproduce the worst case without firstgrad: ", _code(made.what))
        saved = Text(("Save as ", _code(SCRIPT), ", then one command a side:"))
        yield Fold(about, [saved, Verbatim(made.lines), Verbatim(made.script.splitlines(), language="python")])
    if proof.command:
        yield Text(("Made by ", _code(proof.command)))


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


def short_sides(comparison: Comparison) -> tuple[str, str, str]:
    """Name the sides by the package that differs, of several the one that tells most; else as they were asked for.

    Before them stands the word that a sentence needs: with a version, at a label or commit.
    """
    declared = {one.field: one for one in comparison.differences if one.is_declared}
    for package, name in PROPER_NAMES.items():
        if one := declared.get(package):
            return "with", f"{name} {one.base}", f"{name} {one.head}"
    return "at", str(comparison.base), str(comparison.head)


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
    for one in comparison.left_out:
        yield f"left out: {shorten(one.what)}: {shorten(one.reason)}"
    if comparison.copied:
        yield f"copied beside both commits as they are now: {', '.join(map(shorten, comparison.copied))}"
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
    if not all(case.is_alike for case in comparison.cases):
        yield "counts of two ways to compile are not of the same work: they inform, and times and memory are the gate"
    elif any(metric.verdict.is_growth and not metric.is_gating for metric in whole):
        yield "metrics marked as informing raise no alarm; compare --gate seconds makes times raise alarms too"
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
