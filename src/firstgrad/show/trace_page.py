"""The page of a script's trace: a time line, a table, the source beside it, and all that is known of each compile."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from firstgrad.grouping import grouped
from firstgrad.observe.compiles import CompilePhase
from firstgrad.observe.events import SpanKind, TimeSpan
from firstgrad.phase import Phase
from firstgrad.profiling.trace import TraceFormat, Track, nest_spans, write_tracks
from firstgrad.show.page import Markup, Page, Section, render_page
from firstgrad.show.result import Facts, Fold, Items, Table, Text, left, right
from firstgrad.show.sources import Note, source_part
from firstgrad.show.style import PHASE_COLOURS
from firstgrad.show.traces import (
    anchor_of,
    calls_of,
    compile_facts,
    compile_table,
    line_anchor,
    name_of,
    sentence_parts,
)
from firstgrad.show.words import shown
from firstgrad.tracing.redundant import PURPOSES, make_placer, name_call
from firstgrad.tracing.sentences import trace_sentences
from firstgrad.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from firstgrad.observe.compiles import TracedCompile
    from firstgrad.observe.events import SourceFile
    from firstgrad.profiling.trace import NestedSpan
    from firstgrad.show.result import Part
    from firstgrad.tracing.record import DrawsBegan, ProcessStage, ScriptTrace, TracedProcess
    from firstgrad.tracing.redundant import Placer

PAGE_NAME = "trace.html"
MOST_UNIT_BARS, MOST_UNITS, MOST_COMPILES = 6000, 25, 1500
"""Of a whole page's time line; of one compile's table; of the page's table and details."""
_MAIN = "MainThread"
_LANE = 1.3  # rem
_TOGETHER_SECONDS = 0.02  # phases closer than that are one bar
_COLOURS = {
    CompilePhase.LOGP_GRAPH: PHASE_COLOURS[Phase.LOGP_GRAPH],
    CompilePhase.GRAD_GRAPH: PHASE_COLOURS[Phase.GRAD_GRAPH],
    CompilePhase.REWRITE: PHASE_COLOURS[Phase.REWRITE],
    CompilePhase.LINK: PHASE_COLOURS[Phase.LINK],
    CompilePhase.FIRST_CALL: PHASE_COLOURS[Phase.FIRST_CALL],
    CompilePhase.COMPILE: PHASE_COLOURS[Phase.BUILD],
}
_LEGEND = (
    *((phase.replace("_", " "), colour) for phase, colour in _COLOURS.items()),
    ("compile of a function", "var(--compile)"),
    ("compiled unit", "var(--unit)"),
    ("other stages", "var(--stage)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part(TimeSpan):
    """A stretch of a compile, or of one of its phases or units."""

    compiled: TracedCompile
    is_whole: bool = False


class _Row(NamedTuple):
    """What a thread did; what is known of its process only is in the first of the process's rows."""

    process: int
    thread: str
    compiles: Sequence[TracedCompile]
    stages: Sequence[ProcessStage]
    draws: Sequence[DrawsBegan]


def write_trace_files(trace: ScriptTrace, folder: Path) -> None:
    """Write the page, and traces for speedscope and Chrome; StoreError as `firstgrad.store.files.write_file` does."""
    from firstgrad.store.files import write_file

    write_file(folder / PAGE_NAME, render_page(trace_page(trace)).encode("utf-8", "replace"))
    for trace_format in TraceFormat:
        write_file(folder / trace_format.file_name, f"{write_script_trace(trace, trace_format)}\n".encode())


def write_script_trace(trace: ScriptTrace, trace_format: TraceFormat) -> str:
    """Write a script's compiles for a trace viewer: a track a thread, seconds since the trace's start."""
    tracks = [
        Track(
            name=_row_name(trace, row),
            process_name=_process_name(trace, row.process),
            spans=[
                *(replace(stage.span, kind=SpanKind.PHASE, name=_name_stage(stage)) for stage in row.stages),
                *(part for compiled in row.compiles for part in _parts(compiled)),
            ],
            name_span=_name_span,
            process=row.process + 1,
            thread=number,
        )
        for number, row in enumerate(_rows(trace), 1)
    ]
    return write_tracks(shown(trace.command, 200) or "a block", tracks, trace_format)


def trace_page(trace: ScriptTrace) -> Page:
    """Put the page of a script's trace together."""
    shown_compiles = sorted(trace.compiles, key=lambda compiled: -compiled.wall_seconds)[:MOST_COMPILES]
    chosen = sorted(shown_compiles, key=lambda compiled: (compiled.process, compiled.began_seconds))
    said = sentence_parts(trace_sentences(trace)) if trace.compiles else (Text("Nothing was compiled."),)
    sections = (
        Section("needless", "What to know, and what to type", said),
        Section("time", "When", (_time_line(trace, chosen),)) if chosen else None,
        Section("source", "Your source", (_source(trace),)) if trace.sources else None,
        Section("compiles", "Compiles", (compile_table(trace, chosen, is_linked=True),)) if chosen else None,
        Section("details", "Each compile", _details(trace, chosen)) if chosen else None,
        Section("processes", "Processes and environment", _about(trace)),
    )
    processes = "1 process" if len(trace.processes) == 1 else f"{len(trace.processes):,} processes"
    code = trace.exit_code or 0
    ended = f" It was ended by signal {-code}." if code < 0 else f" It ended with exit code {code}." if code else ""
    return Page(
        title=f"Compiles of {shown(trace.command, 120) or 'a block'}",
        facts=(
            f"{format_count(len(trace.compiles), 'compile')} in {processes}; {format_seconds(trace.wall_seconds)} from "
            f"start to end, {format_seconds(trace.cpu_seconds)} of processors.{ended}",
            f"Started at {trace.started_at}.",
        ),
        sections=tuple(section for section in sections if section is not None),
        is_sortable=True,
        has_source=True,
        has_time_line=True,
        made_by="firstgrad trace",
    )


# The time line


def _time_line(trace: ScriptTrace, compiles: Sequence[TracedCompile]) -> Part:
    whole = max(trace.wall_seconds, *(_end_of(span) for compiled in compiles for span in compiled.phases), 1e-6)
    chosen, place = set(map(anchor_of, compiles)), make_placer(trace.compiles)
    budget = MOST_UNIT_BARS // max(len(compiles), 1)
    rows = []
    for row in _rows(trace):
        parts = [
            part for compiled in row.compiles if anchor_of(compiled) in chosen for part in _parts(compiled, budget)
        ]
        bars = []
        for stage in row.stages:
            span, name = stage.span, _name_stage(stage)
            title = f"{name}: {format_seconds(span.wall_seconds)}"
            bars.append(_bar(name, title, "stage", 0, span.began_seconds, span.wall_seconds, whole))
        depth = lanes = int(bool(row.stages))
        for nested, level in _levels(nest_spans(parts), lanes):
            bars.append(_part_bar(place, nested, level, whole))
            depth = max(depth, level + 1)
        marks = [
            (
                _percent(draws.at_seconds, whole),
                f"{draws.sampler} begins to draw after {format_seconds(draws.at_seconds)}",
            )
            for draws in row.draws
        ]
        height = f"{max(depth, 1) * _LANE:.2f}"
        rows.append({"name": _row_name(trace, row), "height": height, "bars": bars, "marks": marks})
    step = whole / 8
    return Markup(
        "timeline.html",
        {
            "rows": rows,
            "seconds": f"{whole:.6f}",
            "ticks": [(_percent(number * step, whole), format_seconds(number * step)) for number in range(8)],
            "legend": _LEGEND,
            "said": "Point at a bar, or go to it with the keyboard, to see here what it is; a click shows all of it.",
        },
    )


def _name_stage(stage: ProcessStage) -> str:
    return shown(f"{stage.span.name.replace('_', ' ')} {stage.note}".rstrip(), 120)


def _rows(trace: ScriptTrace) -> Iterator[_Row]:
    """Yield a row for each thread of a process that compiled, and for the main thread of those that did not."""
    for process in range(max(len(trace.processes), 1 + max((one.process for one in trace.compiles), default=0))):
        threads = grouped((compiled.thread, compiled) for compiled in trace.compiles if compiled.process == process)
        stages = [stage for stage in trace.stages if stage.process == process]
        draws = [draws for draws in trace.draws_began if draws.process == process]
        for thread, compiles in sorted((threads or {_MAIN: []}).items(), key=lambda item: item[0] != _MAIN):
            yield _Row(process, thread, compiles, stages, draws)
            stages, draws = [], []


def _parts(compiled: TracedCompile, most: int = MOST_UNIT_BARS) -> Iterator[_Part]:
    """Yield a compile as a trace shows it: bars of it, for what it did without a break, its phases, its units."""
    runs: list[list[TimeSpan]] = []
    for span in compiled.phases:
        if runs and span.began_seconds - _end_of(runs[-1][-1]) < _TOGETHER_SECONDS:
            runs[-1].append(span)
        else:
            runs.append([span])
    for run in runs:
        whole = replace(run[0], name=PURPOSES[compiled.purpose], wall_seconds=_end_of(run[-1]) - run[0].began_seconds)
        yield _Part(**asdict(whole), compiled=compiled, is_whole=True)
        for span in run:
            yield _Part(**asdict(span), compiled=compiled)
    for span in compiled.unit_spans[:most]:
        yield _Part(**asdict(span), compiled=compiled)


def _end_of(span: TimeSpan) -> float:
    return span.began_seconds + span.wall_seconds


def _name_span(span: TimeSpan) -> str:
    if isinstance(span, _Part) and span.is_whole:
        call = name_call(span.compiled)
        return f"{name_of(span.compiled)} {span.name}{f' ({call})' if call else ''}"
    return span.name if span.kind is SpanKind.PHASE else f"{span.name} [{span.kind}]"


def _levels(nested: Sequence[NestedSpan], level: int) -> Iterator[tuple[NestedSpan, int]]:
    waiting = [(one, level) for one in reversed(nested)]
    while waiting:
        one, depth = waiting.pop()
        yield one, depth
        waiting += [(inner, depth + 1) for inner in reversed(one.inner)]


def _part_bar(place: Placer, nested: NestedSpan, lane: int, whole: float) -> dict[str, str]:
    part = nested.span
    assert isinstance(part, _Part)  # noqa: S101 - `nest_spans` keeps the class of what it is given
    compiled, took = part.compiled, format_seconds(part.wall_seconds)
    began, seconds = nested.began_seconds, nested.ended_seconds - nested.began_seconds
    if part.is_whole:
        title = _sum_up(place, compiled)
        kind = f"whole{' bad' if compiled.failure else ''}"
        label = f"{name_of(compiled)} {part.name} {took}"
        return _bar(label, title, kind, lane, began, seconds, whole, href=f"#{anchor_of(compiled)}")
    of = f"of compile {name_of(compiled)}"
    if part.kind is SpanKind.UNIT:
        return _bar(shown(part.name, 80), f"{shown(part.name, 160)} {of}: {took}", "unit", lane, began, seconds, whole)
    name = part.name.replace("_", " ")
    colour = _COLOURS.get(CompilePhase(part.name)) if part.name in CompilePhase else None
    return _bar(f"{name} {took}", f"{name} {of}: {took}", "phase", lane, began, seconds, whole, colour=colour or "#999")


def _sum_up(place: Placer, compiled: TracedCompile) -> str:
    """Say in one line what a compile was."""
    by = place(compiled.asked_by)
    calls = f", {calls_of(compiled)}" if compiled.library_calls else ""
    facts = [f"{name_of(compiled)}: {PURPOSES[compiled.purpose]}, {compiled.backend or 'unknown backend'}"]
    facts.append(f"{format_seconds(compiled.wall_seconds)} for {by}{calls}")
    if compiled.cache.missed or compiled.cache.read:
        facts.append(f"{compiled.cache.missed:,} compiled, {compiled.cache.read:,} from cache")
    if compiled.peak_rss_bytes is not None:
        facts.append(f"up to {format_bytes(compiled.peak_rss_bytes)}")
    if compiled.failure:
        facts.append("failed")
    return "; ".join(facts)


def _bar(
    label: str,
    title: str,
    kind: str,
    lane: int,
    began: float,
    seconds: float,
    whole: float,
    *,
    href: str = "",
    colour: str = "",
) -> dict[str, str]:
    """Say what the template needs to draw a stretch of time; `place` is CSS."""
    place = (
        f"left:{_percent(began, whole)}%;width:{_percent(seconds, whole)}%;top:{lane * _LANE:.2f}rem"
        f"{f';background:{colour}' if colour else ''}"
    )
    return {"label": label, "title": title, "kind": kind, "place": place, "href": href}


def _percent(seconds: float, whole: float) -> str:
    return f"{min(max(seconds / whole, 0.0), 1.0) * 100:.5f}"


def _process_name(trace: ScriptTrace, process: int) -> str:
    if process >= len(trace.processes):
        return f"process {process}"
    one = trace.processes[process]
    return f"{process}: {one.how} {one.pid}"


def _row_name(trace: ScriptTrace, row: _Row) -> str:
    return f"{_process_name(trace, row.process)}, {shown(row.thread)}"


# The source


def _source(trace: ScriptTrace) -> Part:
    files = [(source, _notes(trace, source)) for source in trace.sources]
    return source_part(("seconds",), "source, and the compiles that it asked for", files)


def _notes(trace: ScriptTrace, source: SourceFile) -> dict[int, Note]:
    """Note by line the seconds and the compiles that it asked for."""
    asked = grouped(
        (line.line, compiled)
        for compiled in trace.compiles
        if (line := compiled.asked_by) is not None and line.file == source.file
    )
    # Those in the same process; what is nested is in the outer one's seconds, whatever line that has.
    seconds = {
        number: sum(one.wall_seconds for one in compiles if one.within is None) for number, compiles in asked.items()
    }
    most = max(seconds.values(), default=0.0) or 1.0
    return {
        number: Note(
            cells=(format_seconds(seconds[number]),),
            share=seconds[number] / most,
            id=line_anchor(trace, compiles[0]),
            links=tuple(
                (f"#{anchor_of(one)}", f"{name_of(one)} {PURPOSES[one.purpose]} {format_seconds(one.wall_seconds)}")
                for one in compiles[:MOST_UNITS]
            ),
        )
        for number, compiles in asked.items()
    }


# Details


def _details(trace: ScriptTrace, compiles: Sequence[TracedCompile]) -> tuple[Part, ...]:
    return tuple(
        Fold(
            f"{name_of(compiled)}: {PURPOSES[compiled.purpose]}, {format_seconds(compiled.wall_seconds)}",
            (compile_facts(trace, compiled), *_units(compiled)),
            id=anchor_of(compiled),
        )
        for compiled in compiles
    )


def _units(compiled: TracedCompile) -> tuple[Part, ...]:
    if not compiled.units:
        return ()
    units = sorted(compiled.units, key=lambda unit: -unit.own_seconds)[:MOST_UNITS]
    of = f"The slowest {len(units)} of {len(compiled.units):,} units" if len(compiled.units) > len(units) else "Units"
    return (
        Table(
            title=of,
            columns=(*left("unit", "operation"), *right("own seconds", "with what it pulled in"), *left("from")),
            rows=[
                [
                    shown(unit.name, 120),
                    shown(unit.op, 80),
                    format_seconds(unit.own_seconds),
                    format_seconds(unit.wall_seconds),
                    "cache" if unit.from_cache else "",
                ]
                for unit in units
            ],
        ),
    )


def _about(trace: ScriptTrace) -> tuple[Part, ...]:
    parts: list[Part] = [
        Table(
            title="Processes",
            columns=(
                *left("process", "how", "command"),
                *right("began", "ended", "peak memory", "compiles", "seconds"),
            ),
            rows=[_process_row(trace, number, process) for number, process in enumerate(trace.processes)],
        )
    ]
    if trace.environment is not None:
        versions = ", ".join(f"{name} {version}" for name, version in trace.environment.versions)
        host = trace.environment.host
        facts = [("Python", trace.environment.python), ("packages", shown(versions, 400))]
        facts.append(("machine", shown(f"{host.processor}, {host.cores} cores, {host.operating_system}", 200)))
        parts.append(Facts(facts))
    if trace.unavailable:
        parts += [Text("What could not be seen:"), Items([shown(text, 300) for text in trace.unavailable])]
    return tuple(parts)


def _process_row(trace: ScriptTrace, number: int, process: TracedProcess) -> list[str]:
    compiles = [compiled for compiled in trace.compiles if compiled.process == number and compiled.within is None]
    ended, peak = process.ended_seconds, process.peak_rss_bytes
    return [
        f"{number}",
        f"{process.how}, {process.pid}",
        shown(process.command, 160),
        format_seconds(process.began_seconds),
        "killed, or left at once" if ended is None else format_seconds(ended),
        "" if peak is None else format_bytes(peak),
        f"{len(compiles):,}",
        format_seconds(sum(compiled.wall_seconds for compiled in compiles)),
    ]
