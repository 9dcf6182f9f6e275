"""The page of everything that is stored: answers first, then a table of all cases, figures, failures, environments."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from firstgrad.advising.breakeven import Option, break_even
from firstgrad.case import BackendName, Scenario, Target
from firstgrad.columns import metric_named
from firstgrad.estimates import estimate_median
from firstgrad.show.answers import answers
from firstgrad.show.cases import (
    MOST_RECORDS,
    bytes_of,
    case_section,
    choose_detailed,
    make_details,
    take_fitting,
    tell_conditions,
)
from firstgrad.show.comparison import (
    comparison_table,
    count_verdicts,
    is_of_several,
    name_sides,
    note_conditions,
    overview_parts,
    short_sides,
)
from firstgrad.show.history import history_sections
from firstgrad.show.lines import FIRST, LINE, make_lines, make_rows, prepare_samples
from firstgrad.show.page import Page, Section
from firstgrad.show.result import Fold, Items, Span, Table, Text, left
from firstgrad.show.soundness import (
    MOST_ENVIRONMENTS,
    MOST_FAILURES,
    doubt_section,
    environment_section,
    failure_section,
    find_environments,
    find_failures,
)
from firstgrad.show.words import capitalised, listed, shown
from firstgrad.units import format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import pandas as pd

    from firstgrad.comparing.comparison import Comparison
    from firstgrad.growth.lines import SizeLine
    from firstgrad.profiling import Profile
    from firstgrad.record import Record
    from firstgrad.show.result import Part

MOST_BARS, MOST_SAMPLES = 12, 5

_MODEL = ["reference", "parameters"]
_QUESTIONS = [*_MODEL, "target", "conditions"]
_LIMITS = ["evaluations", "time_limit_seconds", "memory_limit_bytes"]
_LONGEST_NAME, _LONGEST_LABEL, _LONGEST_CAPTION, _LONGEST_REASON = 160, 80, 100, 400
_MOST_CHANGES, _CHANGES_BYTES = 400, 200_000
_MEMORY_CANDIDATES = 3  # the highest may have no timeline
_LEAST_EVALUATIONS, _MOST_EVALUATIONS, _BEYOND = 1e4, 1e9, 30.0
_GROWTH_METRICS = (FIRST, "evaluation", "peak_memory")
_GROWTH_AXES, _GROWTH_LINES, _LEAST_SIZES, _MOST_A_SIZE, _MOST_A_LINE = 3, 6, 3, 5, 80


def make_overview(
    samples: pd.DataFrame,
    read: Callable[[Collection[str]], Iterable[Record]],
    *,
    label: str | None = None,
    comparison: Comparison | None = None,
    why_compared: str = "",
    commits: Mapping[str, str] | None = None,
    option: str = "",
    profiles: Mapping[str, Profile] | None = None,
) -> Page:
    """Put the page together, of samples as `firstgrad.columns.samples_table` makes them.

    `read` takes some `record_id`, 300 at most, and returns the whole records: for figures, details, last outputs and
    environments. With a `label`, the page says that only its records are on it; a `comparison` is told of first, and
    shown with its forest plot. `commits` are those that git has with their subject lines, the oldest first; `option` is
    what commands need to find the samples, and `profiles` are kept ones by the question of their case. Raises
    ValueError where there are no samples.
    """
    if samples.empty:
        raise ValueError("there are no records: nothing to report")
    prepared = prepare_samples(samples)
    lines = make_lines(prepared, commits)
    rows = make_rows(lines)
    environments, failures = find_environments(samples), find_failures(samples)
    bars, peaks, detailed = choose_bars(rows, prepared), choose_peaks(samples), choose_detailed(rows, prepared)
    wanted = {record_id for bar in bars for record_id in bar} | set(peaks)
    wanted |= set(environments["record_id"][:MOST_ENVIRONMENTS]) | set(failures["record_id"][:MOST_FAILURES])
    wanted |= set(prepared.loc[[places[0] for places in detailed[:MOST_RECORDS]], "record_id"])
    records: dict[str, Record] = {}
    for record in read(wanted):
        records.setdefault(record.record_id, record)
    conditions = {
        one.conditions: records[one.record_id].environment
        for one in environments.itertuples()
        if one.record_id in records
    }
    sections: tuple[Section | None, ...] = (
        Section("results", "Results", (Items(answers(prepared, rows, comparison, tell_conditions(conditions)[0])),)),
        comparison_section(comparison, why_compared) if comparison else None,
        case_section(rows, conditions, make_details(rows, prepared, detailed, records, option, profiles)),
        *history_sections(lines, prepared, conditions, commits or {}),
        _phase_section(rows, bars, records),
        memory_section(peaks, records),
        *breakeven_sections(rows),
        *growth_sections(samples),
        failure_section(failures, records),
        doubt_section(samples),
        environment_section(environments, records),
    )
    only = [f"Only records with the label {shown(label, 120)!r}."] if label is not None else []
    return Page(
        title="First gradients: all that is stored",
        facts=(tell_measured(samples, rows), *only),
        sections=tuple(section for section in sections if section is not None),
        is_sortable=True,
    )


def tell_measured(samples: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Say in one sentence what was measured: samples, cases, models, backends, hosts, commits and dates."""
    backends = [str(backend) for backend in BackendName if backend in set(samples["backend"])]
    counts = {"model": len(samples.drop_duplicates(_MODEL)), "host": samples["host"].nunique()}
    models, hosts = (format_count(count, what) for what, count in counts.items())
    commits = samples.loc[samples["git_commit"] != "", "git_commit"].nunique()
    at = f", at {format_count(commits, 'commit')}" if commits > 1 else ""
    began, ended = (shown(moment[:10]) for moment in (samples["started_at"].min(), samples["started_at"].max()))
    when = f"on {began}" if began == ended else f"from {began} to {ended}"
    return (
        f"{format_count(len(samples), 'sample')} of {format_count(len(rows), 'case')}: {models}, compiled by "
        f"{listed(backends)}, on {hosts}{at}, measured {when} (UTC)."
    )


# --- a comparison -----------------------------------------------------------------------------------------------


def comparison_section(comparison: Comparison, why: str = "") -> Section:
    """List the cases and all metrics that changed, and draw the ratios of the time to the target.

    `why` says why these two sides, where nobody asked for them.
    """
    from firstgrad.show.forest import forest_picture

    short = partial(shown, longest=_LONGEST_LABEL)
    first, *counts = count_verdicts(comparison)
    parts: list[Part] = [Text(f"{why}{capitalised(first)}."), *(Text(f"{capitalised(count)}.") for count in counts)]
    if is_of_several(comparison):
        parts += overview_parts(comparison, shorten=partial(shown, longest=_LONGEST_NAME))
    caption = "Bars: 95% intervals of the ratios (of counts, their range). Shaded: changes that count as noise."
    with suppress(ValueError):  # no case has it on any side
        parts.append(forest_picture(comparison, (FIRST, "time_to_first_draw"), caption=caption))
    table = comparison_table(comparison, partial(shown, longest=_LONGEST_NAME))
    rows = take_fitting(table.lines(), _MOST_CHANGES, _CHANGES_BYTES, lambda row: bytes_of(row.cells))
    if rows:
        changed = Table(title="What changed", columns=table.columns, rows=rows)
        about = f"{format_count(len(rows), 'number')}, changed or undecided"
        parts.append(Fold(about, (changed,), is_open=not is_of_several(comparison)))
    else:
        parts.append(Text("Nothing changed."))
    if left_out := len(table.rows) - len(rows):
        command = Span("firstgrad compare", is_verbatim=True)
        parts.append(Text((f"{left_out} more lines are left out; ", command, " has them all.")))
    notes = [f"{capitalised(note)}." for note in note_conditions(comparison, short)]
    parts.append(Fold("How it was compared", (Items(notes),)))
    _, base, head = map(short, short_sides(comparison))
    names = name_sides(comparison, short) if comparison.is_forced else f"{base} to {head}"
    return Section("comparison", f"Comparison: {names}", parts)


# --- figures ----------------------------------------------------------------------------------------------------


def choose_bars(rows: pd.DataFrame, samples: pd.DataFrame) -> list[list[str]]:
    """Choose rows for the figure of phases, and name of each the newest records of equal limits.

    Model by model: first the model that most rows are of, then the slowest; within it by backend and scenario.
    """
    known = rows.dropna(subset=[FIRST])
    models = known.groupby(_MODEL, sort=False)
    counted = samples[(samples["reason"] == "") & samples[FIRST].notna()]
    by_line = counted.sort_values("started_at", ascending=False, kind="stable").groupby(LINE, sort=False)
    bars: list[list[str]] = []
    # Stable: of equal ones the slowest.
    for name in models.size().sort_values(ascending=False, kind="stable").index[:MOST_BARS]:
        model = models.get_group(name).sort_values("n_counted", ascending=False, kind="stable")
        most = model[: MOST_BARS - len(bars)]
        orders: dict[str, list[Any]] = {"backend": list(BackendName), "scenario": list(Scenario)}
        most = most.sort_values(list(orders), key=lambda texts: texts.map(orders[texts.name].index), kind="stable")
        for line in most[LINE].itertuples(index=False, name=None):
            of_line = by_line.get_group(line)
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


def tell_bars(rows: pd.DataFrame, n_bars: int) -> str:
    """Say which rows were chosen for the figure of phases."""
    known = rows.dropna(subset=[FIRST])
    medians = f"Medians, at most the {MOST_SAMPLES} newest samples a case."
    if n_bars == len(known):
        return f"All {len(known)} cases with a first gradient. {medians}" if len(known) > 1 else medians
    models = [model for _, model in known.groupby(_MODEL, sort=False)]
    first = max(models, key=len)
    name = shown(first["model"].iloc[0], _LONGEST_CAPTION)
    all_of_it = f"all of its {len(first)} cases first"
    which = f"those with most samples of its {len(first)} cases" if n_bars < len(first) else all_of_it
    return f"{n_bars} of {len(known)} cases: those of the model that most cases are of, {name}, {which}. {medians}"


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

    Of models with equally many backends the slowest is drawn.
    """
    known = lines[lines["first_gradients"].astype(bool) & lines["evaluations"].astype(bool)]
    newest = known.drop_duplicates([*_QUESTIONS, "backend", "scenario"])
    several = newest[newest.duplicated(_QUESTIONS, keep=False)]
    models = [model for _, model in several.groupby(_QUESTIONS, sort=False)]
    best = max(models, key=lambda model: (model["scenario"].value_counts().max(), len(model)), default=several)
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
    caption = f"{name}{target}: the slowest model with most backends. Bands: intervals."
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
