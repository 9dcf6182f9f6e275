"""The table of all cases, the worst first: what its rows have in common, what tells them apart, the samples behind."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from markupsafe import escape

from firstgrad.case import Case, Target
from firstgrad.codec import to_json
from firstgrad.columns import AT_LEAST, Unit, metric_named
from firstgrad.comparing.sides import condition_fields
from firstgrad.estimates import estimate_median
from firstgrad.phase import Phase
from firstgrad.record import Doubt
from firstgrad.show.lines import CASE, FIRST, GOOD, WRONG, case_of, longest_phase
from firstgrad.show.page import Section
from firstgrad.show.records import describe_caches
from firstgrad.show.result import Span, Style, Table, TableColumn, TableRow, Text
from firstgrad.show.samples import Details, ShownPhase, ShownSample
from firstgrad.show.words import PROPER_NAMES, listed, shown, write_command, write_estimate, write_value
from firstgrad.units import format_bytes, format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from firstgrad.profiling import Profile
    from firstgrad.record import Environment, HostFingerprint, Record
    from firstgrad.show.result import Inline, Part

MOST_ROWS, MOST_TABLE_BYTES = 2000, 1_400_000
MOST_DETAILED, MOST_DETAILS_BYTES, MOST_RECORDS = 12, 600_000, 100
SHORT_COMMIT = 10

_LONGEST_NAME, _LONGEST_LABEL, _LONGEST_TEXT, _LONGEST_REASON = 160, 80, 200, 400
_CELL_BYTES = 48  # of the markup of a cell
_PROFILE_LINES = 5  # of each of a profile's tables
_SHOWN_ID = 8  # letters of a record's id that the command takes
_NUMBERS = (
    ("time_to_first_gradient_cpu", "CPU to it"),
    ("evaluation", "evaluation"),
    ("peak_memory", "peak memory"),
    ("nodes", "nodes"),
    ("compiled_units", "compiled units"),
    ("code_bytes", "machine code"),
    ("calls", "Python calls"),
    ("rewriters_tried", "rewriters tried"),
    ("simulated_instructions", "instructions"),
)
"""Columns of numbers after the time, shown where any row has one."""
_COUNTED = ("nodes", "compiled_units", "code_bytes", "calls", "rewriters_tried", "simulated_instructions")


# --- conditions in words --------------------------------------------------------------------------------------------


def tell_conditions(environments: Mapping[str, Environment]) -> tuple[dict[str, str], str]:
    """Name sets of conditions by no more than what tells them apart, and say what all of them have in common."""
    fields = {conditions: dict(condition_fields(environment)) for conditions, environment in environments.items()}
    names = dict.fromkeys((*PROPER_NAMES, *(name for known in fields.values() for name in known)))
    values = {name: [known.get(name, "") for known in fields.values()] for name in names}
    chosen: list[str] = []
    apart = 1
    for name in names:
        finer = len(set(zip(*(values[one] for one in (*chosen, name)), strict=True)))
        if finer > apart:
            chosen, apart = [*chosen, name], finer
    words = {
        conditions: ", ".join(_write_condition(name, known[name]) for name in chosen if known.get(name))
        for conditions, known in fields.items()
    }
    common = [_write_condition(name, values[name][0]) for name in PROPER_NAMES if len({*values[name]} - {""}) == 1]
    hosts = {describe_host(environment.host) for environment in environments.values()}
    where = f"on {shown(hosts.pop(), _LONGEST_TEXT)}" if len(hosts) == 1 else ""
    return words, " ".join(filter(None, (where, f"with {listed(common)}" if common else "")))


def _write_condition(name: str, value: str) -> str:
    name = name.removeprefix("host.")
    if name == "memory_bytes":
        return f"memory {format_bytes(float(value))}"
    return shown(f"{PROPER_NAMES.get(name, name.replace('_', ' '))} {value}")


def describe_host(host: HostFingerprint) -> str:
    """Describe a host in a line."""
    parts = [host.processor, format_count(host.cores, "core"), format_bytes(host.memory_bytes), host.operating_system]
    return ", ".join((*parts, *([f"container limits {host.container_limits}"] if host.container_limits else [])))


# --- the table ------------------------------------------------------------------------------------------------------


def case_section(
    rows: pd.DataFrame, environments: Mapping[str, Environment], details: Sequence[Details] = ()
) -> Section:
    """Make the table of the first rows that fit, with their details as far as there are any.

    A column of words is shown where rows differ in it, else said once above; one of numbers where any row has one.
    """
    rows = rows.assign(
        anchor=[id_of(line) if place < len(details) else "" for place, line in enumerate(rows.itertuples())]
    )
    words, where = tell_conditions(environments)
    columns, common = _choose_columns(rows, words)
    lines = (
        TableRow(
            [cell(line) for _, cell in columns],
            id=line.anchor,
            details=details[place : place + 1],
        )
        for place, line in enumerate(rows[:MOST_ROWS].itertuples())
    )
    shown_rows = take_fitting(lines, MOST_ROWS, MOST_TABLE_BYTES, lambda row: bytes_of(row.cells))
    parts: list[Part] = [Text(_tell_common(common, where, len(rows))), Text(_explain(rows))]
    if len(rows) > len(shown_rows):
        parts.append(
            Text(f"The table has the worst {len(shown_rows):,} of {len(rows):,} rows; a label or models leave others.")
        )
    if len(details) < len(shown_rows):
        parts.append(
            Text(f"The worst {len(details):,} rows have their samples; firstgrad show has those of the others.")
        )
    parts.append(Table(columns=[column for column, _ in columns], rows=shown_rows, sorted_as="All cases"))
    return Section("cases", "All cases", parts)


def id_of(line: Any) -> str:
    """Return a row's anchor, which later reports of the same case have, too."""
    text = to_json([str(case_of(line).id), line.conditions])
    return f"line-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


type _Cell = Callable[[Any], Inline]


def _choose_columns(
    rows: pd.DataFrame, words: Mapping[str, str]
) -> tuple[list[tuple[TableColumn, _Cell]], dict[str, str]]:
    """Choose the columns, each with what writes its cell; and name what would be the same in all rows."""
    first = "time to first draw" if (rows["target"] == Target.FIRST_DRAW).all() else "time to first gradient"
    texts: dict[str, _Text] = {
        "backend": lambda line: case_of(line).compiled_by,
        "target": _write_target,
        "scenario": lambda line: line.scenario,
        "label": lambda line: shown(line.label, _LONGEST_LABEL),
        "commit": lambda line: line.git_commit[:SHORT_COMMIT],
        "measured with": lambda line: words.get(line.conditions, "other, older conditions"),
        "status": lambda line: line.status,
    }
    ends: dict[str, _Text] = {
        "verdict": lambda line: line.verdict.replace("_", " "),
        "doubts": lambda line: line.doubts,
        "samples": _write_samples,
    }
    every = list(rows.itertuples())
    common: dict[str, str] = {}
    columns: list[tuple[TableColumn, _Cell]] = [(TableColumn("model"), lambda line: shown(line.model, _LONGEST_NAME))]
    is_filter = ("backend", "scenario", "status")

    conditions = [words.get(line.conditions, "") for line in every]

    def add_texts(named: Mapping[str, _Text]) -> None:
        for name, write in named.items():
            written = [write(line) for line in every]
            values = set(written)
            if name == "label" and 1 < len({*zip(written, conditions, strict=True)}) == len(values) == len(
                {*conditions}
            ):
                continue  # it says what the conditions say
            if len(values) > 1:
                cell = partial(_word_cell, write=write) if name == "status" else write
                columns.append((TableColumn(name, is_filter=name in is_filter), cell))
            elif text := values.pop():
                common[name] = text

    add_texts(texts)
    columns.append((TableColumn(first, is_right=True), _first_cell))
    if any(longest_phase(line) for line in every):
        columns.append((TableColumn("most of it"), _write_longest))
    if rows["before"].notna().any():
        columns.append((TableColumn("before", is_right=True), _before_cell))
    columns += [
        (TableColumn(title, is_right=True), partial(_number_cell, metric=name))
        for name, title in _NUMBERS
        if rows[name].notna().any() or (name + AT_LEAST in rows and rows[name + AT_LEAST].notna().any())
    ]
    add_texts(ends)
    return columns, common


type _Text = Callable[[Any], str]


def _write_target(line: Any) -> str:
    return case_of(line).wanted if line.target == Target.FIRST_DRAW else line.target


def _write_samples(line: Any) -> str:
    timed = line.n_samples - line.n_counting
    counting = f"{line.n_counting} counting" if line.n_counting else ""
    return " and ".join(filter(None, (f"{timed:,}" if timed else "", counting)))


def _write_longest(line: Any) -> str:
    longest = longest_phase(line)
    seconds = getattr(line, FIRST)
    if longest is None or not seconds > 0:
        return ""
    return f"{longest[0]} {min(longest[1] / seconds, 1.0):.0%}"


def _word_cell(line: Any, write: _Text) -> Span:
    return Span(write(line), Style.PLAIN if line.gravity == GOOD else Style.BAD)


def _first_cell(line: Any) -> Span:
    link = f"#{line.anchor}" if line.anchor else ""
    if not line.first_gradients:
        return replace(_number_cell(line, FIRST), link=link)
    estimate = estimate_median(line.first_gradients)
    return Span(write_estimate(Unit.SECONDS, estimate), number=f"{estimate.value:.6g}", link=link)


def _before_cell(line: Any) -> Inline:
    if not line.before > 0:
        return ""
    at = [f"label {shown(line.label_before) or 'none'}"] * (line.label_before != line.label)
    at += [f"commit {line.commit_before[:SHORT_COMMIT] or 'none'}"] * (line.commit_before != line.git_commit)
    return Span(f"{write_value(Unit.SECONDS, line.before)} ({', '.join(at)})", number=f"{line.before:.6g}")


def _number_cell(line: Any, metric: str) -> Span:
    median, bound = getattr(line, metric), getattr(line, metric + AT_LEAST, math.nan)
    unit = Unit.COUNT if metric == "calls" else metric_named(metric).unit
    if not math.isnan(median):
        return Span(write_value(unit, median), number=f"{median:.6g}")
    return Span("") if math.isnan(bound) else Span(f"over {write_value(unit, bound)}", number=f"{bound:.6g}")


def _tell_common(common: Mapping[str, str], where: str, n_rows: int) -> str:
    """Say what all rows have in common."""
    same = [f"{name} {text}" for name, text in common.items() if name not in ("measured with", "samples")]
    if number := common.get("samples", ""):
        first, *counting = number.split(" ", maxsplit=1)
        same.append(" ".join((f"{first} sample{'s' * (first != '1')}", *counting)))
    who = "The one row has" if n_rows == 1 else f"All {n_rows:,} rows have"
    measured = f"{'and was' if n_rows == 1 else 'and were'} measured {where}" if where else ""
    return (
        f"{who} {listed(same)}{', ' if measured else ''}{measured}."
        if same
        else f"{'It was' if n_rows == 1 else 'All were'} measured {where}."
    )


def _explain(rows: pd.DataFrame) -> str:
    """Say what a row is, and what its columns mean that do not say so themselves."""
    sentences = ["A row is a case, the worst first: what failed, wrong gradients, what was stopped, then the slowest."]
    if (rows["n_lines"] > 1).any():
        sentences.append(
            "It has the numbers of the newest commit and label alone; before is the median of the last ones before."
        )
    if rows[FIRST + AT_LEAST].notna().any():
        sentences.append(
            "What a limit stopped is no part of a median: alone it is shown as over what had been reached."
        )
    draws = rows["target"] == Target.FIRST_DRAW
    if draws.any() and not draws.all():
        sentences.append("With the target first_draw, the times are those to the first draw.")
    return " ".join(sentences)


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


def bytes_of(cells: Sequence[Inline]) -> int:
    """Count the bytes of a row's cells as HTML has them."""
    spans = [cell for cell in cells if isinstance(cell, Span)]
    texts = [cell for cell in cells if isinstance(cell, str)]
    markup = sum(_CELL_BYTES + len(span.number) for span in spans) + _CELL_BYTES * len(texts)
    return markup + escaped_bytes(*texts, *(span.text for span in spans))


# --- the samples behind a row -----------------------------------------------------------------------------------------


def choose_detailed(rows: pd.DataFrame, samples: pd.DataFrame) -> list[list[int]]:
    """Choose the samples behind each row, by their places in the table: the newest first, a dozen at most."""
    ordered = samples.sort_values("started_at", ascending=False, kind="stable")
    places = ordered.groupby(CASE, sort=False).indices
    return [
        [int(ordered.index[place]) for place in places[key][:MOST_DETAILED]]
        for key in rows[:MOST_ROWS][CASE].itertuples(index=False, name=None)
    ]


def make_details(
    rows: pd.DataFrame,
    samples: pd.DataFrame,
    chosen: Sequence[Sequence[int]],
    records: Mapping[str, Record],
    option: str = "",
    profiles: Mapping[str, Profile] | None = None,
) -> tuple[Details, ...]:
    """Make what stands behind each of the first rows that fit: some of their samples, and what to type.

    CPU seconds, memory by phase and the caches' counts are of those whose whole `records` there are. `option` is what
    commands need to find the samples, such as `` --store FILE``; `profiles` are by the question of their case.
    """
    from firstgrad.show.profiles import profile_parts

    kept = profiles or {}
    counts = samples.groupby(CASE, sort=False).size()
    taken = [sample for places in chosen for sample in places]
    cells = dict(zip(taken, samples.loc[taken].to_dict("records"), strict=True))
    made = (
        Details(
            title=shown(str(case), _LONGEST_NAME),
            samples=tuple(
                _show_sample(cells[place], records.get(cells[place]["record_id"]), option) for place in places
            ),
            left_out=int(counts[line.case, line.conditions]) - len(places),
            commands=tuple(_commands(case, line.gravity, profile)),
            profile=tuple(profile_parts(profile, top=_PROFILE_LINES)) if profile is not None else (),
        )
        for line, places in zip(rows.itertuples(), chosen, strict=False)
        for case in [case_of(line)]
        for profile in [kept.get(case.question)]
    )
    return take_fitting(made, MOST_ROWS, MOST_DETAILS_BYTES, lambda one: len(one.to_html()))


def _commands(case: Case, gravity: int, profile: Profile | None) -> Iterator[tuple[str, str]]:
    """Yield what to type next about a case."""
    if profile is not None:
        yield "its newest profile", f"firstgrad profile --show {profile.record.record_id[:_SHOWN_ID]}"
    wanted = (("what is wrong with its gradient", "check"),) * (gravity == WRONG)
    for what, verb in (*wanted, ("where its time goes", "profile"), ("more samples", "measure")):
        if command := write_command(verb, case):
            yield what, command


def _show_sample(cells: Mapping[str, Any], record: Record | None, option: str) -> ShownSample:
    numbers = {
        name: float(value) for name, value in cells.items() if isinstance(value, float) and not math.isnan(value)
    }
    timed = {one.phase: one for one in record.whole_phases} if record is not None else {}
    phases = tuple(
        ShownPhase(
            name=str(phase),
            wall_seconds=numbers[f"phase_{phase}"],
            cpu_seconds=timed[phase].cpu_seconds if phase in timed else None,
            peak_bytes=timed[phase].peak_rss_bytes if phase in timed else None,
        )
        for phase in Phase
        if f"phase_{phase}" in numbers
    )
    doubts = tuple(cells["doubts"].split())
    scenario = str(cells["scenario"])
    if Doubt.SCENARIO_CONTRADICTED in doubts:
        scenario += ", contradicted"
    if record is not None and record.caches is not None:
        scenario = shown(describe_caches(record.case.scenario, record.caches), _LONGEST_TEXT)
    return ShownSample(
        id=cells["record_id"],
        started=shown(cells["started_at"]),
        label=shown(cells["label"], _LONGEST_LABEL),
        commit=shown(cells["git_commit"]),
        status=cells["status"],
        reason=shown(cells["reason"], _LONGEST_REASON),
        window_seconds=numbers.get(FIRST),
        window_at_least=numbers.get(FIRST + AT_LEAST),
        cpu_seconds=numbers.get(f"{FIRST}_cpu"),
        evaluation_seconds=numbers.get("evaluation"),
        peak_bytes=numbers.get("peak_memory"),
        phases=phases,
        counts=tuple((title, numbers[name]) for name, title in _NUMBERS if name in _COUNTED and name in numbers),
        caches=scenario,
        verdict=cells["verdict"].replace("_", " "),
        doubts=doubts,
        command=f"firstgrad show {cells['record_id'][:_SHOWN_ID]}{option}",
    )
