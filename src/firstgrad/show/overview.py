"""The page of everything that is stored: results, a table of all cases, figures, failures, doubts, environments.

A line of it is one case under one set of conditions, one label and one commit: nothing else is ever put together.
"""

from __future__ import annotations

import heapq
import math
import statistics
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from markupsafe import escape

from firstgrad.advise.breakeven import Option, break_even
from firstgrad.case import BackendName, Scenario, Target
from firstgrad.columns import METRICS, Unit, metric_named
from firstgrad.doubts import ADVICE
from firstgrad.estimates import estimate_median
from firstgrad.record import Doubt, Status, Verdict
from firstgrad.show.comparison import comparison_table, count_verdicts, name_sides, note_conditions
from firstgrad.show.page import Page, Section
from firstgrad.show.result import (
    Facts,
    Fold,
    Heading,
    Items,
    Picture,
    Span,
    Style,
    Table,
    TableColumn,
    Text,
    Verbatim,
    left,
)
from firstgrad.show.words import capitalised, shown, write_estimate, write_value
from firstgrad.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from firstgrad.compare.comparison import Comparison
    from firstgrad.growth.lines import SizeLine
    from firstgrad.record import HostFingerprint, Record
    from firstgrad.row import Row
    from firstgrad.show.result import Inline, Part

MOST_CASES, MOST_TABLE_BYTES = 2000, 1_800_000
MOST_ENVIRONMENTS, MOST_FAILURES, MOST_DOUBTED = 50, 50, 40
MOST_BARS, MOST_SAMPLES = 12, 5
CONTRADICTED = "contradicted"
"""Status of a sample that ended well and was no such measurement: its caches contradict the scenario."""

_PLACES = {metric.name: number for number, metric in enumerate(METRICS)}
_WORST_FIRST = (Verdict.DISAGREES, Verdict.AGREES, Verdict.NO_ORACLE, Verdict.UNCHECKED)
_STOPPED = (Status.TIMEOUT, Status.OUT_OF_MEMORY)
_FIRST_GRADIENT = "time_to_first_gradient"
_SHORT_COMMIT = 10
_LONGEST_NAME, _LONGEST_LABEL, _LONGEST_CAPTION, _LONGEST_TEXT = 160, 80, 100, 200
_LONGEST_REASON, _LONGEST_TAIL, _DAYS = 400, 2000, 6
_CELL_BYTES = 32  # of the markup of a cell
_MOST_CHANGES, _CHANGES_BYTES = 400, 200_000
_MEMORY_CANDIDATES = 3  # the highest may have no timeline
_LEAST_EVALUATIONS, _MOST_EVALUATIONS, _BEYOND = 1e4, 1e9, 30.0
_GROWTH_METRICS = (_FIRST_GRADIENT, "evaluation", "peak_memory")
_GROWTH_AXES, _GROWTH_LINES, _LEAST_SIZES, _MOST_A_SIZE, _MOST_A_LINE = 3, 6, 3, 5, 80

_METRIC_COLUMNS = (
    ("time_to_first_gradient_cpu", "CPU to first gradient"),
    ("evaluation", "evaluation"),
    ("peak_memory", "peak memory"),
    ("nodes", "nodes"),
    ("compiled_units", "compiled units"),
)
COLUMNS = (
    TableColumn("model"),
    TableColumn("backend", is_filter=True),
    TableColumn("target"),
    TableColumn("scenario", is_filter=True),
    *left("label", "commit"),
    TableColumn("samples", is_right=True),
    TableColumn("time to first gradient", is_right=True),
    *(TableColumn(name, is_right=True) for _, name in _METRIC_COLUMNS),
    TableColumn("status", is_filter=True),
    *left("verdict", "doubts", "environment", "last measured"),
)
"""Of the table of all cases."""


@dataclass(frozen=True, slots=True)
class CaseSamples:
    """The samples of one question under equal conditions, one label and one commit, in the order they were added."""

    rows: tuple[Row, ...]

    @property
    def newest(self) -> Row:
        """The sample that was begun last."""
        return max(self.rows, key=lambda row: row.started_at)

    @property
    def counted(self) -> list[Row]:
        """The samples whose numbers count."""
        return [row for row in self.rows if not row.reason]

    def numbers(self, metric: str) -> list[float]:
        """List a metric's numbers, in its unit, of the samples that count."""
        numbers = (number_of(row, metric) for row in self.counted)
        return [number for number in numbers if number is not None and math.isfinite(number)]

    def median(self, metric: str) -> float | None:
        """Find the median of `numbers`; none where there are none."""
        numbers = self.numbers(metric)
        return statistics.median(numbers) if numbers else None

    def bound(self, metric: str) -> float | None:
        """Find what a metric is at least, by the samples that a limit stopped: the largest bound."""
        bounds = (row.bounds[_PLACES[metric]] for row in self.rows)
        return max((bound for bound in bounds if bound is not None and math.isfinite(bound)), default=None)


def make_overview(
    rows: Sequence[Row],
    read: Callable[[Collection[str]], Iterable[Record]],
    *,
    label: str | None = None,
    comparison: Comparison | None = None,
) -> Page:
    """Put the page together.

    Parameters
    ----------
    rows : sequence of Row
        What the page is about, in the order in which they were added.
    read : callable
        Takes `record_id` of rows and returns the whole records: for figures, last outputs and environments; some 200
        at most.
    label : str, optional
        The page says that only records of this label are on it.
    comparison : Comparison, optional
        Shown with its forest plot.

    Raises
    ------
    ValueError
        Where there are no rows.
    """
    if not rows:
        raise ValueError("there are no records: nothing to report")
    groups = group_samples(rows)
    environments, failures = find_environments(rows), find_failures(rows)
    bars, peaks = choose_bars(groups), choose_peaks(rows)
    wanted = {row.record_id for samples in bars for row in samples} | set(peaks)
    wanted |= {newest.record_id for newest, _ in list(environments.values())[:MOST_ENVIRONMENTS]}
    wanted |= {kind[0].record_id for kind in failures[:MOST_FAILURES]}
    records: dict[str, Record] = {}
    for record in read(wanted):
        records.setdefault(record.record_id, record)
    sections: tuple[Section | None, ...] = (
        Section("results", "Results", (Items((*_tell_times(groups), *_tell_soundness(rows))),)),
        case_section(groups, environments),
        comparison_section(comparison) if comparison else None,
        _phase_section(groups, bars, records),
        memory_section(peaks, records),
        *breakeven_sections(groups),
        *growth_sections(rows),
        failure_section(failures, records),
        doubt_section(rows),
        environment_section(environments, records, rows),
    )
    only = [f"Only records with the label {shown(label, 120)!r}."] if label is not None else []
    return Page(
        title="First gradients: all that is stored",
        facts=(tell_measured(rows, groups), *only),
        sections=tuple(section for section in sections if section is not None),
        is_sortable=True,
    )


def group_samples(rows: Iterable[Row]) -> tuple[CaseSamples, ...]:
    """Put samples together that belong together; those that were measured last come first."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.question, row.conditions, row.label, row.git_commit), []).append(row)
    made = [CaseSamples(tuple(group)) for group in groups.values()]
    return tuple(sorted(made, key=lambda group: group.newest.started_at, reverse=True))


def number_of(row: Row, metric: str) -> float | None:
    """Read a metric's number, in its unit, whatever its sample is worth."""
    return row.numbers[_PLACES[metric]]


def status_of(row: Row) -> str:
    """Name how a sample ended, as tables show and filter it."""
    return CONTRADICTED if row.status is Status.OK and row.reason else str(row.status)


def name_of(row: Row) -> str:
    """Write a row's case as its record's case is written."""
    return f"{row.model}, {row.backend}, {row.target}, {row.scenario}"


def name_models(groups: Sequence[CaseSamples]) -> tuple[str, ...]:
    """Name the model of each group, with those of its parameters that tell it from others that read alike."""
    alike: dict[str, dict[str, set[object]]] = {}
    for group in groups:
        values = alike.setdefault(group.rows[0].model, {})
        for name, value in group.rows[0].axes:
            values.setdefault(name, set()).add(value)
    names = []
    for group in groups:
        row = group.rows[0]
        differing = [(name, value) for name, value in row.axes if len(alike[row.model][name]) > 1]
        apart = ", ".join(f"{name} {value if value != '' else 'none'}" for name, value in differing)
        names.append(f"{row.model} ({apart})" if apart else row.model)
    return tuple(names)


# --- what was measured, in sentences ----------------------------------------------------------------------------


def tell_measured(rows: Sequence[Row], groups: Sequence[CaseSamples]) -> str:
    """Say in one sentence what was measured: samples, cases, models, backends, hosts and dates."""
    cases = len({(row.question, row.conditions) for row in rows})
    models, hosts = len({(row.family, row.axes) for row in rows}), len({row.host for row in rows})
    used = {row.backend for row in rows}
    *others, last = (str(backend) for backend in BackendName if backend in used)
    backends = f"{', '.join(others)} and {last}" if others else last
    began, ended = (shown(choose(row.started_at for row in rows)[:10]) for choose in (min, max))
    when = f"on {began}" if began == ended else f"from {began} to {ended}"
    split = f", in {len(groups):,} lines by label and commit" if len(groups) > cases else ""
    return (
        f"{format_count(len(rows), 'sample')} of {format_count(cases, 'case')}{split}: "
        f"{format_count(models, 'model')}, compiled by {backends}, on {format_count(hosts, 'host')}, "
        f"measured {when} (UTC)."
    )


def _tell_times(groups: Sequence[CaseSamples]) -> Iterator[str]:
    for backend in BackendName:
        for scenario in Scenario:
            chosen = [one for one in groups if (one.newest.backend, one.newest.scenario) == (backend, scenario)]
            if chosen:
                yield f"{backend}, {scenario}: {_tell_range(chosen)}."


def _tell_range(groups: Sequence[CaseSamples]) -> str:
    medians = [(median, group) for group in groups if (median := group.median(_FIRST_GRADIENT)) is not None]
    what = "line" if len({group.rows[0].question for group in groups}) < len(groups) else "case"
    if not medians:
        return f"no first gradient that counts, in {format_count(len(groups), what)}"
    ends = [choose(medians, key=lambda median: median[0]) for choose in (min, max)]
    without = len(groups) - len(medians)
    more = f"; {format_count(without, f'further {what}')} without one" if without else ""
    least, most = (f"{format_seconds(median)} ({_tell_line(group, groups)})" for median, group in ends)
    if len(medians) == 1:
        return f"first gradient after {most}{more}"
    return f"first gradient after {least} to {most}, in {format_count(len(medians), what)}{more}"


def _tell_line(group: CaseSamples, groups: Sequence[CaseSamples]) -> str:
    """Name a model, with its label and commit where another line of it has others."""
    row = group.rows[0]
    others = [other.rows[0] for other in groups if other.rows[0].question == row.question]
    parts = [shown(row.model, _LONGEST_CAPTION)]
    if len({other.label for other in others}) > 1:
        parts.append(f"label {shown(row.label) or 'none'}")
    if len({other.git_commit for other in others}) > 1:
        parts.append(f"commit {row.git_commit[:_SHORT_COMMIT] or 'none'}")
    return ", ".join(parts)


def _tell_soundness(rows: Sequence[Row]) -> Iterator[str]:
    verdicts, statuses = Counter(row.verdict for row in rows), Counter(status_of(row) for row in rows)
    of_interest = (Verdict.AGREES, Verdict.DISAGREES, Verdict.NO_ORACLE)
    agreeing, disagreeing, without = (verdicts[verdict] for verdict in of_interest)
    yield (
        f"{format_count(agreeing, 'sample')} {'agrees' if agreeing == 1 else 'agree'} with the oracle, {disagreeing:,} "
        f"{'disagrees' if disagreeing == 1 else 'disagree'}; {without:,} are of models that have none."
    )
    failed = statuses[Status.FAILED] + statuses[Status.CRASHED]
    stopped = sum(statuses[status] for status in _STOPPED)
    caches = f", {statuses[CONTRADICTED]:,} with caches that contradict the scenario" if statuses[CONTRADICTED] else ""
    yield f"{format_count(failed, 'sample')} failed, {stopped:,} stopped by a limit of time or memory{caches}."


# --- the table of all cases -------------------------------------------------------------------------------------


def case_section(groups: Sequence[CaseSamples], environments: Mapping[str, tuple[Row, int]]) -> Section:
    """Make the table of the first lines that fit; environments, by their conditions, are named in their order."""
    names = {conditions: f"E{number}" for number, conditions in enumerate(environments, start=1)}
    candidates = groups[:MOST_CASES]
    lines = (
        _case_line(group, name, names.get(group.rows[0].conditions, ""))
        for group, name in zip(candidates, name_models(candidates), strict=True)
    )
    rows = take_fitting(lines, MOST_CASES, MOST_TABLE_BYTES, _bytes_of)
    parts: list[Part] = []
    if len(groups) > len(rows):
        parts.append(Text(f"The newest {len(rows):,} of {len(groups):,} lines are listed."))
    explanation: Inline = (
        "A line is a case with one label at one commit. What a limit stopped is not part of a median: it is counted "
        "under status, and alone it is shown as over what had been reached. ",
        Span("Environments", link="#environments"),
        " and ",
        Span("doubts", link="#doubts"),
        " are explained below.",
    )
    return Section(
        "cases", "All cases", (*parts, Text(explanation), Table(columns=COLUMNS, rows=rows, sorted_as="All cases"))
    )


def _case_line(group: CaseSamples, name: str, environment: str) -> tuple[Inline, ...]:
    row = group.rows[0]
    statuses = Counter(status_of(sample) for sample in group.rows)
    status = ", ".join(f"{count} {status}" for status, count in statuses.most_common())
    status = next(iter(statuses)) if len(statuses) == 1 else status
    doubts = {doubt for sample in group.rows for doubt in sample.doubts}
    verdicts = {sample.verdict for sample in group.rows}
    numbers = group.numbers(_FIRST_GRADIENT)
    first: Inline = _number_cell(group, _FIRST_GRADIENT)
    if numbers:
        estimate = estimate_median(numbers)
        first = Span(write_estimate(Unit.SECONDS, estimate), number=f"{estimate.value:.6g}")
    return (
        shown(name, _LONGEST_NAME),
        str(row.backend),
        str(row.target),
        str(row.scenario),
        shown(row.label, _LONGEST_LABEL),
        row.git_commit[:_SHORT_COMMIT],
        Span(f"{len(group.rows)}", number=f"{len(group.rows)}"),
        first,
        *(_number_cell(group, metric) for metric, _ in _METRIC_COLUMNS),
        Span(status, Style.PLAIN if set(statuses) == {str(Status.OK)} else Style.BAD),
        str(next(verdict for verdict in _WORST_FIRST if verdict in verdicts)).replace("_", " "),
        ", ".join(str(doubt) for doubt in Doubt if doubt in doubts),
        environment,
        shown(group.newest.started_at[:16].replace("T", " ")),
    )


def _number_cell(group: CaseSamples, metric: str) -> Span:
    median, bound, unit = group.median(metric), group.bound(metric), metric_named(metric).unit
    if median is not None:
        return Span(write_value(unit, median), number=f"{median:.6g}")
    return Span("") if bound is None else Span(f"over {write_value(unit, bound)}", number=f"{bound:.6g}")


def take_fitting[T](items: Iterable[T], most: int, most_bytes: int, size: Callable[[T], int]) -> tuple[T, ...]:
    """Take items from the start while no more than `most`, and their sizes together no more than `most_bytes`.

    No more of the items is read than is taken, and one.
    """
    taken: list[T] = []
    used = 0
    for item in items:
        used += size(item)
        if len(taken) == most or used > most_bytes:
            break
        taken.append(item)
    return tuple(taken)


def escaped_bytes(*texts: str) -> int:
    """Count the bytes of texts as HTML has them; a quotation mark takes five."""
    return sum(len(escape(text).encode("utf-8", "replace")) for text in texts)


def _bytes_of(line: Sequence[Inline]) -> int:
    spans = [cell for cell in line if isinstance(cell, Span)]
    texts = [cell for cell in line if isinstance(cell, str)]
    markup = sum(_CELL_BYTES + len(span.number) for span in spans) + _CELL_BYTES * len(texts)
    return markup + escaped_bytes(*texts, *(span.text for span in spans))


# --- a comparison -----------------------------------------------------------------------------------------------


def comparison_section(comparison: Comparison) -> Section:
    """Draw the ratios of the time to first gradient, and list all metrics that changed."""
    from firstgrad.show.forest import describe_forest, draw_forest

    short = partial(shown, longest=_LONGEST_LABEL)
    notes = (*count_verdicts(comparison), *note_conditions(comparison, short))
    parts: list[Part] = [Text(f"{capitalised(note)}.") for note in notes]
    try:
        description = describe_forest(comparison, (_FIRST_GRADIENT,))
    except ValueError:  # no case has it on any side
        pass
    else:
        caption = "Bars: 95% intervals of the ratios (of counts, their range). Shaded: changes that count as noise."
        draw = partial(draw_forest, comparison, (_FIRST_GRADIENT,))
        parts.append(Picture(draw, "comparison", description, caption))
    table = comparison_table(comparison, partial(shown, longest=_LONGEST_NAME))
    rows = take_fitting(table.lines(), _MOST_CHANGES, _CHANGES_BYTES, lambda row: _bytes_of(row.cells))
    if rows:
        parts.append(Table(title="What changed", columns=table.columns, rows=rows))
    else:
        parts.append(Text("Nothing changed."))
    if left_out := len(table.rows) - len(rows):
        command = Span("firstgrad compare", is_verbatim=True)
        parts.append(Text((f"{left_out} more lines are left out; ", command, " has them all.")))
    return Section("comparison", f"Comparison: {name_sides(comparison, short)}", parts)


# --- figures ----------------------------------------------------------------------------------------------------


def choose_bars(groups: Sequence[CaseSamples]) -> list[list[Row]]:
    """Choose lines for the figure of phases, model by model: first the model that most lines have, then the newest.

    Within a model they come in the order of backends and scenarios; of each the newest samples of equal limits.
    """
    known = [group for group in groups if group.numbers(_FIRST_GRADIENT)]
    models: dict[tuple[object, ...], list[CaseSamples]] = {}
    for group in known:
        models.setdefault((group.rows[0].family, group.rows[0].axes), []).append(group)
    chosen: list[CaseSamples] = []
    for of_model in sorted(models.values(), key=lambda lines: -len(lines)):  # stable: of equal ones the newest
        most_samples = sorted(of_model, key=lambda group: -len(group.counted))
        chosen += sorted(most_samples[: MOST_BARS - len(chosen)], key=_order)
    return [_alike(group) for group in chosen]


def _order(group: CaseSamples) -> tuple[int, int]:
    row = group.rows[0]
    return list(BackendName).index(row.backend), list(Scenario).index(row.scenario)


def _alike(group: CaseSamples) -> list[Row]:
    """Take samples of equal limits: unlike ones would be bars of their own, with the same name."""
    newest = sorted(group.counted, key=lambda row: row.started_at, reverse=True)
    known = [row for row in newest if number_of(row, _FIRST_GRADIENT) is not None]
    return [row for row in known if _limits(row) == _limits(known[0])][:MOST_SAMPLES]


def _limits(row: Row) -> tuple[object, ...]:
    return row.evaluations, row.time_limit_seconds, row.memory_limit_bytes


def _phase_section(
    groups: Sequence[CaseSamples], bars: Sequence[Sequence[Row]], records: Mapping[str, Record]
) -> Section | None:
    from firstgrad.show.bars import describe_phases, draw_phases

    drawn = [records[row.record_id] for samples in bars for row in samples if row.record_id in records]
    if not drawn:
        return None
    caption = tell_bars(groups, bars)
    picture = Picture(partial(draw_phases, drawn), "phases", describe_phases(drawn), caption)
    return Section("phases", "Where the time to first gradient goes", (picture,))


def tell_bars(groups: Sequence[CaseSamples], bars: Sequence[Sequence[Row]]) -> str:
    """Say which lines were chosen for the figure of phases."""
    known = [group for group in groups if group.numbers(_FIRST_GRADIENT)]
    medians = f"Medians, at most the {MOST_SAMPLES} newest samples a line."
    if len(bars) == len(known):
        return f"All {len(known)} lines with a first gradient. {medians}" if len(known) > 1 else medians
    first = bars[0][0]
    of_model = [group for group in known if (group.rows[0].family, group.rows[0].axes) == (first.family, first.axes)]
    name = shown(name_models(known)[known.index(of_model[0])], _LONGEST_CAPTION)
    all_of_it = f"all of its {len(of_model)} lines first"
    which = f"those with most samples of its {len(of_model)} lines" if len(bars) < len(of_model) else all_of_it
    return f"{len(bars)} of {len(known)} lines: those of the model that most lines have, {name}, {which}. {medians}"


def choose_peaks(rows: Iterable[Row]) -> tuple[str, ...]:
    """Name the records with the highest peaks, the highest first; a sample that failed may be among them."""
    peaks = ((peak, row.record_id) for row in rows if (peak := number_of(row, "peak_memory")) is not None)
    return tuple(record_id for _, record_id in heapq.nlargest(_MEMORY_CANDIDATES, peaks))


def memory_section(record_ids: Sequence[str], records: Mapping[str, Record]) -> Section | None:
    """Draw the first of these records that has a timeline of memory; none where none has."""
    from firstgrad.show.memory import describe_memory, draw_memory

    candidates = (records[record_id] for record_id in record_ids if record_id in records)
    record = next((one for one in candidates if one.memory is not None and one.memory.timeline), None)
    if record is None:
        return None
    caption = "Dots: the highest of a phase. The area: child processes, such as compilers."
    picture = Picture(partial(draw_memory, record), "memory", describe_memory(record), caption)
    return Section("memory", "Memory over time: the sample with the highest peak", (picture,))


def breakeven_sections(groups: Sequence[CaseSamples]) -> tuple[Section, ...]:
    """Draw, for the model that has most backends, a figure of them for each scenario that has two or more.

    Of models with equally many backends the newest is drawn, of a backend and scenario the newest label and commit.
    """
    models: dict[tuple[object, ...], dict[Scenario, dict[BackendName, CaseSamples]]] = {}
    for group in groups:
        row = group.rows[0]
        if group.numbers(_FIRST_GRADIENT) and group.numbers("evaluation"):
            model = models.setdefault((row.family, row.axes, row.target, row.conditions), {})
            model.setdefault(row.scenario, {}).setdefault(row.backend, group)
    best = max(
        models.values(),
        key=lambda model: (max(map(len, model.values())), sum(map(len, model.values()))),
        default={},
    )
    return tuple(
        _breakeven(scenario, best[scenario], groups) for scenario in Scenario if len(best.get(scenario, {})) > 1
    )


def _breakeven(
    scenario: Scenario, backends: Mapping[BackendName, CaseSamples], groups: Sequence[CaseSamples]
) -> Section:
    from firstgrad.show.totals import describe_breakeven, draw_breakeven

    options = [
        Option(
            name=str(backend),
            first_gradient=estimate_median(backends[backend].numbers(_FIRST_GRADIENT)),
            evaluation=estimate_median(backends[backend].numbers("evaluation")),
        )
        for backend in BackendName
        if backend in backends
    ]
    last = max((one.evaluations.value for one in break_even(options, _MOST_EVALUATIONS).crossings), default=0.0)
    result = break_even(options, min(max(_BEYOND * last, _LEAST_EVALUATIONS), _MOST_EVALUATIONS))
    line = next(iter(backends.values()))
    name = shown(name_models(groups)[groups.index(line)], _LONGEST_CAPTION)
    target = "" if line.rows[0].target is Target.DLOGP else f", {line.rows[0].target}"
    caption = f"{name}{target}: the newest model with most backends. Bands: intervals."
    name = f"break-even-{scenario}"
    picture = Picture(partial(draw_breakeven, result), name, describe_breakeven(result), caption)
    return Section(name, f"Total time over evaluations, {scenario} caches", (picture,))


def growth_sections(rows: Sequence[Row]) -> tuple[Section, ...]:
    """Draw time, evaluation and memory along each of the first few sizes of which a line has three or more."""
    from firstgrad.growth.lines import find_axes, find_lines

    sections: list[Section] = []
    for axis in find_axes(rows):
        lines = find_lines(rows, axis, least_sizes=_LEAST_SIZES)
        section = _growth(axis, lines, f"growth-{len(sections) + 1}") if lines else None
        sections += [section] if section is not None else []
    return tuple(sections[:_GROWTH_AXES])


def _growth(axis: str, lines: Sequence[SizeLine], name: str) -> Section | None:
    from firstgrad.growth.law import NoLaw
    from firstgrad.growth.lines import find_growth
    from firstgrad.show.growth import SIZE_TITLES, GrowthPanel, describe_growth, draw_growth

    chosen = sorted(lines, key=lambda line: (-line.n_sizes, -len(line.rows)))[:_GROWTH_LINES]
    metrics = [metric_named(metric) for metric in _GROWTH_METRICS]
    growths = find_growth([row for line in chosen for row in _thinned(line)], [axis], metrics)
    if not growths:
        return None
    panels = [GrowthPanel.of(growth, growth.lines, [line.name for line in growth.lines]) for growth in growths]
    size, symbol, common = shown(axis), SIZE_TITLES.get(axis, ("", "n"))[1], growths[0].common
    which = f"The {len(chosen)} lines with most sizes, of {len(lines)}"
    which = which if len(chosen) < len(lines) else "All lines of three sizes or more"
    of_what = f": {shown(common, _LONGEST_CAPTION)}" if common else ""
    picture = Picture(
        partial(draw_growth, panels, size=size, symbol=symbol, title=shown(common, _LONGEST_CAPTION)),
        name,
        describe_growth(panels, size=size, symbol=symbol),
        f"{which}{of_what}. Of each size the {_MOST_A_SIZE} newest samples. Arrows: stopped by a limit.",
    )
    laws = [
        (shown(line.name, _LONGEST_NAME), growth.metric.title, shown(sentence, _LONGEST_REASON))
        for growth in growths
        for line in growth.lines
        for sentence in [f"no law: {line.law.reason}" if isinstance(line.law, NoLaw) else line.law.sentence]
    ]
    table = Table(columns=left("line", "metric", "law"), rows=laws)
    return Section(name, f"Growth with {size}", (picture, Fold("The laws", (table,))))


def _thinned(line: SizeLine) -> list[Row]:
    """Take the newest samples of each size, and no more than a figure can show."""
    newest = sorted(zip(line.rows, line.sizes, strict=True), key=lambda sample: sample[0].started_at, reverse=True)
    taken: dict[float, list[Row]] = {}
    for row, size in newest:
        of_size = taken.setdefault(size, [])
        if len(of_size) < _MOST_A_SIZE:
            of_size.append(row)
    # One of each size before the second of any.
    in_turn = sorted(
        ((place, row) for rows in taken.values() for place, row in enumerate(rows)), key=lambda sample: sample[0]
    )
    return [row for _, row in in_turn[:_MOST_A_LINE]]


# --- failures, doubts, environments -----------------------------------------------------------------------------


def find_failures(rows: Iterable[Row]) -> list[list[Row]]:
    """Put equal failures of a case together, the newest first; the kind that was seen last comes first."""
    kinds: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.reason:
            kinds.setdefault((name_of(row), row.reason), []).append(row)
    newest = [sorted(kind, key=lambda row: row.started_at, reverse=True) for kind in kinds.values()]
    return sorted(newest, key=lambda kind: kind[0].started_at, reverse=True)


def failure_section(
    kinds: Sequence[Sequence[Row]],
    records: Mapping[str, Record],
    place_of: Callable[[Row], str] = lambda row: row.started_at[:10],
) -> Section:
    """List the first kinds of failures with the last output of one; `place_of` says where a sample was: its day."""
    parts: list[Part] = []
    samples = sum(len(kind) for kind in kinds)
    parts.append(Text(f"{samples} samples gave no numbers that count." if kinds else "None."))
    for kind in kinds[:MOST_FAILURES]:
        places = list(dict.fromkeys(place_of(row) for row in kind))
        earlier = f" and at {len(places) - _DAYS} earlier ones" if len(places) > _DAYS else ""
        where = f"{len(kind)} at {', '.join(places[:_DAYS])}{earlier}: "
        parts.append(Heading(_cut(name_of(kind[0]), _LONGEST_TEXT)))
        parts.append(Text((where, Span(_cut(kind[0].reason, _LONGEST_REASON), Style.BAD))))
        record = records.get(kind[0].record_id)
        if record is not None and record.failure is not None and record.failure.stderr_tail:
            tail = "\n".join(record.failure.stderr_tail)[-_LONGEST_TAIL:]
            parts.append(Fold("Last lines of standard error", (Verbatim(tail.split("\n")),)))
    if len(kinds) > MOST_FAILURES:
        parts.append(Text(f"{len(kinds) - MOST_FAILURES} older kinds of failures are left out."))
    return Section("failures", "Failures", parts)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def doubt_section(rows: Iterable[Row]) -> Section:
    """List the doubts that rows have, what to do about each, and the first few dozen of its cases."""
    samples: Counter[Doubt] = Counter()
    cases: dict[Doubt, dict[str, None]] = {}
    for row in rows:
        for doubt in row.doubts:
            samples[doubt] += 1
            cases.setdefault(doubt, {})[name_of(row)] = None
    known = [doubt for doubt in Doubt if samples[doubt]]
    if not known:
        return Section("doubts", "Doubts", (Text("None."),))
    table = Table(
        columns=(*left("doubt"), TableColumn("samples", is_right=True), *left("what it means")),
        rows=[(str(doubt), f"{samples[doubt]}", ADVICE[doubt]) for doubt in known],
    )
    folds = []
    for doubt in known:
        names = [shown(name, _LONGEST_NAME) for name in list(cases[doubt])[:MOST_DOUBTED]]
        more = f"; and {len(cases[doubt]) - len(names)} more" if len(cases[doubt]) > len(names) else ""
        summary = f"{doubt}: {format_count(len(cases[doubt]), 'case')}"
        folds.append(Fold(summary, (Text("; ".join(names) + more),)))
    return Section("doubts", "Doubts", (table, *folds))


def find_environments(rows: Iterable[Row]) -> dict[str, tuple[Row, int]]:
    """Find for each set of conditions its newest row and how many it has, the newest set first."""
    environments: dict[str, tuple[Row, int]] = {}
    for row in rows:
        newest, samples = environments.get(row.conditions, (row, 0))
        environments[row.conditions] = (max(newest, row, key=lambda one: one.started_at), samples + 1)
    return dict(sorted(environments.items(), key=lambda pair: pair[1][0].started_at, reverse=True))


def environment_section(
    environments: Mapping[str, tuple[Row, int]], records: Mapping[str, Record], rows: Iterable[Row]
) -> Section:
    """List the newest environments and their hosts; `records` holds the newest of each."""
    labels: dict[str, dict[str, None]] = {}
    for row in rows:
        labels.setdefault(row.conditions, {})[row.label] = None
    listed = [
        (f"E{number}", records[newest.record_id].environment, count, ", ".join(filter(None, labels[conditions])))
        for number, (conditions, (newest, count)) in enumerate(environments.items(), start=1)
        if number <= MOST_ENVIRONMENTS and newest.record_id in records
    ]
    hosts = {environment.host.digest: environment.host for _, environment, _, _ in listed}
    packages = sorted({name for _, environment, _, _ in listed for name, _ in environment.packages})
    lines = []
    for name, environment, count, of_label in listed:
        versions = dict(environment.versions)
        texts = (environment.device, environment.python, *(versions.get(package, "") for package in packages))
        texts += (environment.compiler, str(environment.threads), environment.flags, of_label)
        lines.append((name, environment.host.digest, *(shown(text, _LONGEST_TEXT) for text in texts), f"{count:,}"))
    names = ("environment", "host", "device", "Python", *packages, "compiler", "threads", "flags", "labels", "samples")
    left_out = len(environments) - len(listed)
    parts: list[Part] = [
        Facts([(f"host {digest}", shown(describe_host(host), _LONGEST_TEXT)) for digest, host in hosts.items()]),
        Table(columns=left(*names), rows=lines),
        *([Text(f"{left_out} older environments are left out.")] if left_out else []),
    ]
    return Section("environments", "Where and with what it was measured", parts)


def describe_host(host: HostFingerprint) -> str:
    """Describe a host in a line."""
    limits = f", container limits {host.container_limits}" if host.container_limits else ""
    return f"{host.processor}, {host.cores} cores, {format_bytes(host.memory_bytes)}, {host.operating_system}{limits}"
