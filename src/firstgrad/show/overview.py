"""The page of everything that is stored: results, a table of all cases, figures, failures, doubts, environments.

A line of it is one case under one set of conditions, one label and one commit: nothing else is ever put together.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from markupsafe import escape

from firstgrad.advising.breakeven import Option, break_even
from firstgrad.case import BackendName, Scenario, Target
from firstgrad.columns import AT_LEAST, METRICS, Unit, metric_named
from firstgrad.doubts import ADVICE
from firstgrad.estimates import estimate_median
from firstgrad.record import Doubt, Status, Verdict
from firstgrad.show.comparison import (
    comparison_table,
    count_verdicts,
    is_of_several,
    name_sides,
    note_conditions,
    overview_parts,
)
from firstgrad.show.page import Page, Section
from firstgrad.show.result import (
    Facts,
    Fold,
    Heading,
    Items,
    Span,
    Style,
    Table,
    TableColumn,
    Text,
    Verbatim,
    left,
    right,
)
from firstgrad.show.suites import suite_parts
from firstgrad.show.words import capitalised, shown, write_estimate, write_value
from firstgrad.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from firstgrad.comparing.comparison import Comparison
    from firstgrad.growth.lines import SizeLine
    from firstgrad.record import HostFingerprint, Record
    from firstgrad.show.result import Inline, Part

MOST_CASES, MOST_TABLE_BYTES = 2000, 1_800_000
MOST_ENVIRONMENTS, MOST_FAILURES, MOST_DOUBTED = 50, 50, 40
MOST_BARS, MOST_SAMPLES = 12, 5
CONTRADICTED = "contradicted"
"""Status of a sample that ended well and was no such measurement: its caches contradict the scenario."""

_CASE = ["backend", "target", "scenario"]
_KEYS = ["question", "conditions", "label", "git_commit"]
_ALIKE = ["conditions", "label", "git_commit"]
_QUESTIONS = ["reference", "parameters", "target", "conditions"]
_LIMITS = ["evaluations", "time_limit_seconds", "memory_limit_bytes"]
_WORST_FIRST = (Verdict.DISAGREES, Verdict.AGREES, Verdict.NO_ORACLE, Verdict.DREW, Verdict.UNCHECKED)
_STOPPED = (Status.TIMEOUT, Status.OUT_OF_MEMORY)
_FIRST_GRADIENT, _FIRST_DRAW = "time_to_first_gradient", "time_to_first_draw"
_SHORT_COMMIT = 10
_LONGEST_NAME, _LONGEST_LABEL, _LONGEST_CAPTION, _LONGEST_TEXT = 160, 80, 100, 200
_LONGEST_REASON, _LONGEST_TAIL, _PLACES = 400, 2000, 6
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
    *right("samples", "time to first gradient", *(name for _, name in _METRIC_COLUMNS)),
    TableColumn("status", is_filter=True),
    *left("verdict", "doubts", "environment", "last measured"),
)
"""Of the table of all cases."""


def make_overview(
    samples: pd.DataFrame,
    read: Callable[[Collection[str]], Iterable[Record]],
    *,
    label: str | None = None,
    comparison: Comparison | None = None,
) -> Page:
    """Put the page together, of samples as `firstgrad.columns.samples_table` makes them.

    `read` takes some `record_id`, 200 at most, and returns the whole records: for figures, last outputs and
    environments. With a `label`, the page says that only its records are on it; a `comparison` is shown with its forest
    plot. Raises ValueError where there are no samples.
    """
    if samples.empty:
        raise ValueError("there are no records: nothing to report")
    lines = make_lines(samples)
    environments, failures = find_environments(samples), find_failures(samples)
    bars, peaks = choose_bars(lines, samples), choose_peaks(samples)
    wanted = {record_id for bar in bars for record_id in bar} | set(peaks)
    wanted |= set(environments["record_id"][:MOST_ENVIRONMENTS]) | set(failures["record_id"][:MOST_FAILURES])
    records: dict[str, Record] = {}
    for record in read(wanted):
        records.setdefault(record.record_id, record)
    sections: tuple[Section | None, ...] = (
        Section("results", "Results", (Items((*_tell_times(lines), *_tell_soundness(samples))),)),
        model_section(samples),
        case_section(lines, environments),
        comparison_section(comparison) if comparison else None,
        _phase_section(lines, bars, records),
        memory_section(peaks, records),
        *breakeven_sections(lines),
        *growth_sections(samples),
        failure_section(failures, records),
        doubt_section(samples),
        environment_section(environments, records),
    )
    only = [f"Only records with the label {shown(label, 120)!r}."] if label is not None else []
    return Page(
        title="First gradients: all that is stored",
        facts=(tell_measured(samples, lines), *only),
        sections=tuple(section for section in sections if section is not None),
        is_sortable=True,
    )


def make_lines(samples: pd.DataFrame) -> pd.DataFrame:
    """Put samples together that belong together: one question under equal conditions, one label and one commit.

    A line each, the one that was measured last first: what all its samples have in common; ``n_samples``,
    ``n_counted``, ``newest``; each metric's median over the samples whose numbers count, and its largest bound;
    ``first_gradients`` and ``evaluations``, those numbers themselves; status, verdict and doubts of all.
    """
    import pandas as pd

    names, bounds = [metric.name for metric in METRICS], [metric.name + AT_LEAST for metric in METRICS]
    samples = _with_draws(samples.assign(status=_statuses(samples)))
    samples[names + bounds] = samples[names + bounds].replace([math.inf, -math.inf], math.nan)
    groups = samples.groupby(_KEYS, sort=False)
    counted = samples[samples["reason"] == ""].groupby(_KEYS, sort=False)
    common = samples.drop_duplicates(_KEYS).set_index(_KEYS)[["reference", "parameters", "model", *_CASE, "host"]]
    made = pd.DataFrame(
        {
            "n_samples": groups.size(),
            "n_counted": counted.size(),
            "newest": groups["started_at"].max(),
            "status": groups["status"].agg(_count_statuses),
            "verdict": groups["verdict"].agg(lambda verdicts: min(verdicts, key=_WORST_FIRST.index)),
            "doubts": groups["doubts"].agg(_in_order),
            "first_gradients": counted[_FIRST_GRADIENT].agg(lambda numbers: tuple(numbers.dropna())),
            "evaluations": counted["evaluation"].agg(lambda numbers: tuple(numbers.dropna())),
        }
    )
    lines = common.join(made).join(counted[names].median()).join(groups[bounds].max())
    lines = lines.copy()  # in one piece, as `firstgrad.columns.samples_table`
    lines["n_counted"] = lines["n_counted"].fillna(0).astype(int)
    for name in ("first_gradients", "evaluations"):
        lines[name] = [numbers if isinstance(numbers, tuple) else () for numbers in lines[name]]
    return lines.reset_index().sort_values("newest", ascending=False, kind="stable", ignore_index=True)


def _with_draws(samples: pd.DataFrame) -> pd.DataFrame:
    """Give samples of first draws their time where others have that to the first gradient; the target tells which."""
    ends = ("", "_cpu")
    filled = {_FIRST_GRADIENT + end: samples[_FIRST_GRADIENT + end].fillna(samples[_FIRST_DRAW + end]) for end in ends}
    return samples.assign(**filled)


def _statuses(samples: pd.DataFrame) -> pd.Series[str]:
    """Name how each sample ended, as tables show and filter it."""
    is_contradicted = (samples["status"] == Status.OK) & (samples["reason"] != "")
    return samples["status"].mask(is_contradicted, CONTRADICTED)


def _count_statuses(statuses: Iterable[str]) -> str:
    counts = Counter(statuses)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {status}" for status, count in counts.most_common())


def _in_order(texts: Iterable[str]) -> str:
    doubts = " ".join(texts).split()
    return ", ".join(doubt for doubt in Doubt if doubt in doubts)


def _case_names(samples: pd.DataFrame) -> pd.Series[str]:
    """Write each sample's case as its record's case is written."""
    return samples["model"] + ", " + samples["backend"] + ", " + samples["target"] + ", " + samples["scenario"]


# --- what was measured, in sentences ----------------------------------------------------------------------------


def tell_measured(samples: pd.DataFrame, lines: pd.DataFrame) -> str:
    """Say in one sentence what was measured: samples, cases, models, backends, hosts and dates."""
    cases = len(samples.drop_duplicates(["question", "conditions"]))
    models, hosts = len(samples.drop_duplicates(["reference", "parameters"])), samples["host"].nunique()
    used = set(samples["backend"])
    *others, last = (str(backend) for backend in BackendName if backend in used)
    backends = f"{', '.join(others)} and {last}" if others else last
    began, ended = (shown(moment[:10]) for moment in (samples["started_at"].min(), samples["started_at"].max()))
    when = f"on {began}" if began == ended else f"from {began} to {ended}"
    split = f", in {len(lines):,} lines by label and commit" if len(lines) > cases else ""
    return (
        f"{format_count(len(samples), 'sample')} of {format_count(cases, 'case')}{split}: "
        f"{format_count(models, 'model')}, compiled by {backends}, on {format_count(hosts, 'host')}, "
        f"measured {when} (UTC)."
    )


def _tell_times(lines: pd.DataFrame) -> Iterator[str]:
    is_draw = lines["target"] == Target.FIRST_DRAW
    for backend, scenario, draws in itertools.product(BackendName, Scenario, (False, True)):
        chosen = lines[(lines["backend"] == backend) & (lines["scenario"] == scenario) & (is_draw == draws)]
        if len(chosen):
            yield f"{backend}, {scenario}: {_tell_range(chosen, 'first draw' if draws else 'first gradient')}."


def _tell_range(lines: pd.DataFrame, first: str) -> str:
    known = lines.dropna(subset=[_FIRST_GRADIENT])
    what = "line" if lines["question"].nunique() < len(lines) else "case"
    if known.empty:
        return f"no {first} that counts, in {format_count(len(lines), what)}"
    without = len(lines) - len(known)
    more = f"; {format_count(without, f'further {what}')} without one" if without else ""
    times = known[_FIRST_GRADIENT]
    least, most = (
        f"{format_seconds(times[place])} ({_tell_line(known.loc[place], lines)})"
        for place in (times.idxmin(), times.idxmax())
    )
    if len(known) == 1:
        return f"{first} after {most}{more}"
    return f"{first} after {least} to {most}, in {format_count(len(known), what)}{more}"


def _tell_line(line: Any, lines: pd.DataFrame) -> str:
    """Name a model, with its label and commit where another line of it has others."""
    others = lines[lines["question"] == line.question]
    parts = [shown(line.model, _LONGEST_CAPTION)]
    if set(others["label"]) != {line.label}:
        parts.append(f"label {shown(line.label) or 'none'}")
    if set(others["git_commit"]) != {line.git_commit}:
        parts.append(f"commit {line.git_commit[:_SHORT_COMMIT] or 'none'}")
    return ", ".join(parts)


def _tell_soundness(samples: pd.DataFrame) -> Iterator[str]:
    verdicts, statuses = Counter(samples["verdict"]), Counter(_statuses(samples))
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


def model_section(samples: pd.DataFrame) -> Section | None:
    """Put the models beside each other that were measured alike, and last; none where that is one model."""
    newest = samples.loc[samples["started_at"].idxmax(), _ALIKE]
    alike = samples[(samples[_ALIKE] == newest).all(axis=1)]
    if len(set(alike["reference"])) == 1:
        return None
    cells = alike.astype(object).where(alike.notna(), None).to_dict("records")
    label, commit = shown(str(newest["label"])) or "none", str(newest["git_commit"])[:_SHORT_COMMIT] or "none"
    return Section("models", "Models", (Text(f"Label {label}, commit {commit}."), *suite_parts(cells)))


# --- the table of all cases -------------------------------------------------------------------------------------


def case_section(lines: pd.DataFrame, environments: pd.DataFrame) -> Section:
    """Make the table of the first lines that fit; environments are named by their places."""
    names = dict(zip(environments["conditions"], environments["name"], strict=True))
    cells = (_case_line(line, names[line.conditions]) for line in lines[:MOST_CASES].itertuples())
    rows = take_fitting(cells, MOST_CASES, MOST_TABLE_BYTES, _bytes_of)
    parts: list[Part] = []
    if len(lines) > len(rows):
        parts.append(Text(f"The newest {len(rows):,} of {len(lines):,} lines are listed."))
    draws = lines["target"] == Target.FIRST_DRAW
    explanation: Inline = (
        *(["With the target first_draw, the times are those to the first draw. "] if draws.any() else []),
        "A line is a case with one label at one commit. What a limit stopped is not part of a median: it is counted "
        "under status, and alone it is shown as over what had been reached. ",
        Span("Environments", link="#environments"),
        " and ",
        Span("doubts", link="#doubts"),
        " are explained below.",
    )
    parts += [Text(explanation), Table(columns=COLUMNS, rows=rows, sorted_as="All cases")]
    return Section("cases", "All cases", parts)


def _case_line(line: Any, environment: str) -> tuple[Inline, ...]:
    first: Inline = _number_cell(line, _FIRST_GRADIENT)
    if line.first_gradients:
        estimate = estimate_median(line.first_gradients)
        first = Span(write_estimate(Unit.SECONDS, estimate), number=f"{estimate.value:.6g}")
    return (
        shown(line.model, _LONGEST_NAME),
        line.backend,
        line.target,
        line.scenario,
        shown(line.label, _LONGEST_LABEL),
        line.git_commit[:_SHORT_COMMIT],
        Span(f"{line.n_samples}", number=f"{line.n_samples}"),
        first,
        *(_number_cell(line, metric) for metric, _ in _METRIC_COLUMNS),
        Span(line.status, Style.PLAIN if line.status == Status.OK else Style.BAD),
        line.verdict.replace("_", " "),
        line.doubts,
        environment,
        shown(line.newest[:16].replace("T", " ")),
    )


def _number_cell(line: Any, metric: str) -> Span:
    median, bound, unit = getattr(line, metric), getattr(line, metric + AT_LEAST), metric_named(metric).unit
    if not math.isnan(median):
        return Span(write_value(unit, median), number=f"{median:.6g}")
    return Span("") if math.isnan(bound) else Span(f"over {write_value(unit, bound)}", number=f"{bound:.6g}")


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
    from firstgrad.show.forest import forest_picture

    short = partial(shown, longest=_LONGEST_LABEL)
    notes = (*count_verdicts(comparison), *note_conditions(comparison, short))
    parts: list[Part] = [Text(f"{capitalised(note)}.") for note in notes]
    caption = "Bars: 95% intervals of the ratios (of counts, their range). Shaded: changes that count as noise."
    with suppress(ValueError):  # no case has it on any side
        parts.append(forest_picture(comparison, (_FIRST_GRADIENT, _FIRST_DRAW), caption=caption))
    if is_of_several(comparison):
        parts += overview_parts(comparison, shorten=partial(shown, longest=_LONGEST_NAME))
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


def choose_bars(lines: pd.DataFrame, samples: pd.DataFrame) -> list[list[str]]:
    """Choose lines for the figure of phases, and name of each the newest records of equal limits.

    Model by model: first the model that most lines have, then the newest; within it by backend and scenario.
    """
    known = lines.dropna(subset=[_FIRST_GRADIENT])
    models = [model for _, model in known.groupby(["reference", "parameters"], sort=False)]
    samples = _with_draws(samples)
    counted = samples[(samples["reason"] == "") & samples[_FIRST_GRADIENT].notna()]
    by_line = dict(list(counted.sort_values("started_at", ascending=False, kind="stable").groupby(_KEYS, sort=False)))
    bars: list[list[str]] = []
    for model in sorted(models, key=lambda model: -len(model)):  # stable: of equal ones the newest
        most = model.sort_values("n_counted", ascending=False, kind="stable")[: MOST_BARS - len(bars)]
        orders: dict[str, list[Any]] = {"backend": list(BackendName), "scenario": list(Scenario)}
        most = most.sort_values(list(orders), key=lambda texts: texts.map(orders[texts.name].index), kind="stable")
        for line in most[_KEYS].itertuples(index=False, name=None):
            of_line = by_line[line]
            limits = of_line[_LIMITS].fillna(-1.0)
            is_like_newest = (limits == limits.iloc[0]).all(axis=1)
            bars.append(list(of_line["record_id"][is_like_newest][:MOST_SAMPLES]))
    return bars


def _phase_section(lines: pd.DataFrame, bars: Sequence[Sequence[str]], records: Mapping[str, Record]) -> Section | None:
    from firstgrad.show.bars import phases_picture

    drawn = [records[record_id] for bar in bars for record_id in bar if record_id in records]
    if not drawn:
        return None
    picture = phases_picture(drawn, caption=tell_bars(lines, len(bars)))
    return Section("phases", "Where the time to first gradient goes", (picture,))


def tell_bars(lines: pd.DataFrame, n_bars: int) -> str:
    """Say which lines were chosen for the figure of phases."""
    known = lines.dropna(subset=[_FIRST_GRADIENT])
    medians = f"Medians, at most the {MOST_SAMPLES} newest samples a line."
    if n_bars == len(known):
        return f"All {len(known)} lines with a first gradient. {medians}" if len(known) > 1 else medians
    models = [model for _, model in known.groupby(["reference", "parameters"], sort=False)]
    first = max(models, key=len)
    name = shown(first["model"].iloc[0], _LONGEST_CAPTION)
    all_of_it = f"all of its {len(first)} lines first"
    which = f"those with most samples of its {len(first)} lines" if n_bars < len(first) else all_of_it
    return f"{n_bars} of {len(known)} lines: those of the model that most lines have, {name}, {which}. {medians}"


def choose_peaks(samples: pd.DataFrame) -> tuple[str, ...]:
    """Name the records with the highest peaks, the highest first; a sample that failed may be among them."""
    highest = samples.dropna(subset=["peak_memory"]).sort_values("peak_memory", ascending=False, kind="stable")
    return tuple(highest["record_id"][:_MEMORY_CANDIDATES])


def memory_section(record_ids: Sequence[str], records: Mapping[str, Record]) -> Section | None:
    """Draw the first of these records that has a timeline of memory; none where none has."""
    from firstgrad.show.memory import memory_picture

    candidates = (records[record_id] for record_id in record_ids if record_id in records)
    record = next((one for one in candidates if one.memory is not None and one.memory.timeline), None)
    if record is None:
        return None
    caption = "Dots: the highest of a phase. The area: child processes, such as compilers."
    return Section("memory", "Memory over time: the sample with the highest peak", (memory_picture(record, caption),))


def breakeven_sections(lines: pd.DataFrame) -> tuple[Section, ...]:
    """Draw, for the model that has most backends, a figure of them for each scenario that has two or more.

    Of models with equally many backends the newest is drawn, of a backend and scenario the newest label and commit.
    """
    known = lines[lines["first_gradients"].astype(bool) & lines["evaluations"].astype(bool)]
    newest = known.drop_duplicates([*_QUESTIONS, "backend", "scenario"])
    models = [model for _, model in newest.groupby(_QUESTIONS, sort=False)]
    best = max(models, key=lambda model: (model["scenario"].value_counts().max(), len(model)), default=newest)
    of_scenarios = ((scenario, best[best["scenario"] == scenario]) for scenario in Scenario)
    return tuple(_breakeven(scenario, chosen) for scenario, chosen in of_scenarios if len(chosen) > 1)


def _breakeven(scenario: Scenario, lines: pd.DataFrame) -> Section:
    from firstgrad.show.totals import breakeven_picture

    options = [
        Option(line.backend, estimate_median(line.first_gradients), estimate_median(line.evaluations))
        for line in sorted(lines.itertuples(), key=lambda line: list(BackendName).index(line.backend))
    ]
    last = max((one.evaluations.value for one in break_even(options, _MOST_EVALUATIONS).crossings), default=0.0)
    result = break_even(options, min(max(_BEYOND * last, _LEAST_EVALUATIONS), _MOST_EVALUATIONS))
    line = lines.iloc[0]
    target = "" if line.target == Target.DLOGP else f", {line.target}"
    name = shown(line.model, _LONGEST_CAPTION)
    caption = f"{name}{target}: the newest model with most backends. Bands: intervals."
    picture = breakeven_picture(result, f"break-even-{scenario}", caption)
    return Section(picture.name, f"Total time over evaluations, {scenario} caches", (picture,))


def growth_sections(samples: pd.DataFrame) -> tuple[Section, ...]:
    """Draw time, evaluation and memory along each of the first few sizes of which a line has three or more."""
    from firstgrad.growth.lines import find_axes, find_lines

    sections: list[Section] = []
    for axis in find_axes(samples):
        lines = find_lines(samples, axis, least_sizes=_LEAST_SIZES)
        section = _growth(axis, lines, f"growth-{len(sections) + 1}") if lines else None
        sections += [section] if section is not None else []
    return tuple(sections[:_GROWTH_AXES])


def _growth(axis: str, lines: Sequence[SizeLine], name: str) -> Section | None:
    import pandas as pd

    from firstgrad.growth.law import NoLaw
    from firstgrad.growth.lines import find_growth
    from firstgrad.show.growth import GrowthPanel, growth_picture, name_size

    chosen = sorted(lines, key=lambda line: (-line.n_sizes, -len(line.sizes)))[:_GROWTH_LINES]
    metrics = [metric_named(metric) for metric in _GROWTH_METRICS]
    growths = find_growth(pd.concat([_thinned(line) for line in chosen]), [axis], metrics)
    if not growths:
        return None
    panels = [GrowthPanel.of(growth, growth.lines, [line.name for line in growth.lines]) for growth in growths]
    size, letter, common = shown(axis), name_size(axis)[1], growths[0].common
    which = f"The {len(chosen)} lines with most sizes, of {len(lines)}"
    which = which if len(chosen) < len(lines) else "All lines of three sizes or more"
    of_what = f": {shown(common, _LONGEST_CAPTION)}" if common else ""
    caption = f"{which}{of_what}. Of each size the {_MOST_A_SIZE} newest samples. Arrows: stopped by a limit."
    title = shown(common, _LONGEST_CAPTION)
    picture = growth_picture(
        panels, size=size, symbol="n" if letter == axis else letter, title=title, name=name, caption=caption
    )
    laws = [
        (shown(line.name, _LONGEST_NAME), growth.metric.title, shown(sentence, _LONGEST_REASON))
        for growth in growths
        for line in growth.lines
        for sentence in [f"no law: {line.law.reason}" if isinstance(line.law, NoLaw) else line.law.sentence]
    ]
    table = Table(columns=left("line", "metric", "law"), rows=laws)
    return Section(name, f"Growth with {size}", (picture, Fold("The laws", (table,))))


def _thinned(line: SizeLine) -> pd.DataFrame:
    """Take the newest samples of each size, and no more than a figure can show."""
    import pandas as pd

    samples = line.samples.reset_index(drop=True)
    newest = samples.sort_values("started_at", ascending=False, kind="stable").index
    sizes = pd.Series(line.sizes)[newest]
    of_size = sizes.groupby(sizes, sort=False)
    order = pd.DataFrame({"turn": of_size.cumcount(), "size": of_size.ngroup()})
    # One of each size before the second of any.
    in_turn = order[order["turn"] < _MOST_A_SIZE].sort_values(["turn", "size"])
    return samples.loc[in_turn.index[:_MOST_A_LINE]]


# --- failures, doubts, environments -----------------------------------------------------------------------------


def find_failures(samples: pd.DataFrame, places: pd.Series[str] | None = None) -> pd.DataFrame:
    """Put equal failures of a case together, the newest first: case, reason, newest record, places, how many.

    `places` says where each sample was; left out, it is the day.
    """
    failed = samples.assign(case=_case_names(samples), place=samples["started_at"].str[:10])
    failed = failed if places is None else failed.assign(place=places)
    failed = failed[failed["reason"] != ""].sort_values("started_at", ascending=False, kind="stable")
    kinds = failed.groupby(["case", "reason"], sort=False)
    return kinds.agg(
        record_id=("record_id", "first"),
        n_samples=("record_id", "size"),
        places=("place", lambda all_: list(all_.unique())),
    ).reset_index()


def failure_section(kinds: pd.DataFrame, records: Mapping[str, Record]) -> Section:
    """List the first kinds of failures, with the last output of the newest."""
    parts: list[Part] = []
    parts.append(Text(f"{kinds['n_samples'].sum()} samples gave no numbers that count." if len(kinds) else "None."))
    for kind in kinds[:MOST_FAILURES].itertuples():
        more = len(kind.places) - _PLACES
        earlier = f" and at {more} earlier ones" if more > 0 else ""
        where = f"{kind.n_samples} at {', '.join(kind.places[:_PLACES])}{earlier}: "
        parts.append(Heading(_cut(kind.case, _LONGEST_TEXT)))
        parts.append(Text((where, Span(_cut(kind.reason, _LONGEST_REASON), Style.BAD))))
        record = records.get(kind.record_id)
        if record is not None and record.failure is not None and record.failure.stderr_tail:
            tail = "\n".join(record.failure.stderr_tail)[-_LONGEST_TAIL:]
            parts.append(Fold("Last lines of standard error", (Verbatim(tail.split("\n")),)))
    if len(kinds) > MOST_FAILURES:
        parts.append(Text(f"{len(kinds) - MOST_FAILURES} older kinds of failures are left out."))
    return Section("failures", "Failures", parts)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def doubt_section(samples: pd.DataFrame) -> Section:
    """List the doubts of samples, what to do about each, and the first few dozen of its cases."""
    doubted = samples.assign(case=_case_names(samples), doubt=samples["doubts"].str.split()).explode("doubt")
    kinds = dict(list(doubted.groupby("doubt")["case"]))
    rows, folds = [], []
    for doubt in Doubt:
        if doubt in kinds:
            rows.append((str(doubt), f"{len(kinds[doubt])}", ADVICE[doubt]))
            cases = kinds[doubt].unique()
            names = [shown(name, _LONGEST_NAME) for name in cases[:MOST_DOUBTED]]
            more = f"; and {len(cases) - len(names)} more" if len(cases) > len(names) else ""
            folds.append(Fold(f"{doubt}: {format_count(len(cases), 'case')}", (Text("; ".join(names) + more),)))
    if not rows:
        return Section("doubts", "Doubts", (Text("None."),))
    table = Table(columns=(*left("doubt"), *right("samples"), *left("what it means")), rows=rows)
    return Section("doubts", "Doubts", (table, *folds))


def find_environments(samples: pd.DataFrame) -> pd.DataFrame:
    """Find the sets of conditions, the newest first: their names, newest record, labels, and how many samples."""
    newest = samples.sort_values("started_at", ascending=False, kind="stable").groupby("conditions", sort=False)
    found = newest.agg(
        record_id=("record_id", "first"),
        n_samples=("record_id", "size"),
        labels=("label", lambda labels: ", ".join(filter(None, labels.unique()))),
    ).reset_index()
    return found.assign(name=[f"E{number}" for number in range(1, len(found) + 1)])


def environment_section(environments: pd.DataFrame, records: Mapping[str, Record]) -> Section:
    """List the newest environments and their hosts; `records` holds the newest of each."""
    listed = [
        (one, records[one.record_id].environment)
        for one in environments[:MOST_ENVIRONMENTS].itertuples()
        if one.record_id in records
    ]
    hosts = {environment.host.digest: environment.host for _, environment in listed}
    packages = sorted({name for _, environment in listed for name, _ in environment.packages})
    rows = []
    for one, environment in listed:
        versions = dict(environment.versions)
        texts = (environment.device, environment.python, *(versions.get(package, "") for package in packages))
        texts += (environment.compiler, str(environment.threads), environment.flags, one.labels)
        cells = (shown(text, _LONGEST_TEXT) for text in texts)
        rows.append((one.name, environment.host.digest, *cells, f"{one.n_samples:,}"))
    names = ("environment", "host", "device", "Python", *packages, "compiler", "threads", "flags", "labels", "samples")
    left_out = len(environments) - len(listed)
    parts: list[Part] = [
        Facts([(f"host {digest}", shown(describe_host(host), _LONGEST_TEXT)) for digest, host in hosts.items()]),
        Table(columns=left(*names), rows=rows),
        *([Text(f"{left_out} older environments are left out.")] if left_out else []),
    ]
    return Section("environments", "Where and with what it was measured", parts)


def describe_host(host: HostFingerprint) -> str:
    """Describe a host in a line."""
    limits = f", container limits {host.container_limits}" if host.container_limits else ""
    return f"{host.processor}, {host.cores} cores, {format_bytes(host.memory_bytes)}, {host.operating_system}{limits}"
