"""A script's trace as parts of a result: what it compiled, in sentences and in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firstgrad.grouping import summed
from firstgrad.show.result import (
    BLANK,
    Facts,
    Form,
    Heading,
    Items,
    Only,
    Result,
    Span,
    Style,
    Table,
    TableColumn,
    Text,
    right,
)
from firstgrad.show.words import shown
from firstgrad.tracing.redundant import PURPOSES, make_placer, name_call, short_name
from firstgrad.tracing.sentences import redundant_of, trace_sentences
from firstgrad.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from firstgrad.observe.compiles import TracedCompile
    from firstgrad.show.result import Inline, Part
    from firstgrad.tracing.record import ScriptTrace

MOST_LINES = 20
"""Of the table, on a terminal and in Markdown: the slowest compiles."""
LEAST_SHARE = 0.005
"""Of all seconds: what is shorter is left out there."""
_OF_ALL = ("pymc.compile", "pytensor.function")
_NARROW = (0, 1, 2, 4)  # columns


def trace_result(trace: ScriptTrace) -> Result:
    """Say what a script compiled, and what it could do without."""
    return Result(parts=trace_parts(trace), document=trace_document(trace))


def trace_document(trace: ScriptTrace) -> dict[str, Any]:
    """Make the document of ``--json``: the trace itself, what is needless, and the sentences."""
    return {"trace": trace, "redundant": redundant_of(trace), "sentences": trace_sentences(trace)}


def trace_parts(trace: ScriptTrace) -> list[Part]:
    """Say what a script compiled, for a terminal and for Markdown."""
    parts: list[Part] = [Heading(f"What {shown(trace.command, 120) or 'the block'} compiled"), BLANK]
    if not trace.compiles:
        parts.append(Text("Nothing was compiled."))
    else:
        least = LEAST_SHARE * sum(compiled.wall_seconds for compiled in trace.compiles)
        slowest = sorted(trace.compiles, key=lambda compiled: -compiled.wall_seconds)[:MOST_LINES]
        chosen = [compiled for compiled in slowest if compiled.wall_seconds >= least]
        chosen.sort(key=lambda compiled: (compiled.process, compiled.began_seconds))
        parts.append(compile_table(trace, chosen))
        if len(trace.compiles) > len(chosen):
            others = format_count(len(trace.compiles) - len(chosen), "shorter compile")
            parts.append(Text(f"{others} left out", Style.DIM))
        parts += [BLANK, *sentence_parts(trace_sentences(trace))]
    if trace.unavailable:
        parts += [BLANK, Text("What could not be seen:", Style.DOUBT), Items(trace.unavailable, Style.DOUBT)]
    return parts


def sentence_parts(sentences: Sequence[str]) -> tuple[Part, ...]:
    """Show sentences: code as code, and between back ticks on a terminal."""
    spans = Items([code_spans(sentence) for sentence in sentences])
    return (
        Only(Form.TERMINAL, (Items(sentences),)),
        Only(Form.MARKDOWN, (spans,)),
        Only(Form.HTML, (spans,)),
    )


def code_spans(sentence: str) -> Inline:
    """Take what stands between back ticks for code."""
    return tuple(Span(piece, is_verbatim=number % 2 == 1) for number, piece in enumerate(sentence.split("`")) if piece)


def name_of(compiled: TracedCompile) -> str:
    """Name a compile by its number, which is unique in its process."""
    return f"{compiled.process}.{compiled.number}" if compiled.process else f"{compiled.number}"


def anchor_of(compiled: TracedCompile) -> str:
    """Return the anchor of a compile on its page."""
    return f"compile-{compiled.process}-{compiled.number}"


def calls_of(compiled: TracedCompile) -> str:
    """Name the library's public functions that asked for a compile, outermost first, but for what all go through."""
    first, *others = compiled.library_calls or ("",)
    return " → ".join(map(short_name, (first, *(call for call in others if call not in _OF_ALL))))


def compile_table(trace: ScriptTrace, compiles: Sequence[TracedCompile], *, is_linked: bool = False) -> Table:
    """Make a line of each compile; on a page with links, sortable."""
    place = make_placer(trace.compiles)
    columns = (
        TableColumn("compile"),
        TableColumn("for", is_folded=True),
        *right("seconds", is_kept=True),
        TableColumn("backend", is_filter=True),
        TableColumn("asked for by", is_folded=True),
        *right("compiled", "from cache", "peak memory", "calls", is_kept=True),
    )
    rows: list[list[Inline]] = []
    for compiled in compiles:
        by = Span(place(compiled.asked_by), link="#" + line_anchor(trace, compiled) if is_linked else "")
        call = calls_of(compiled) if is_linked else name_call(compiled)
        inside = f" (within {compiled.within})" if compiled.within is not None else ""
        failed = (Span(" failed", Style.BAD),) if compiled.failure else ()
        peak, seen = compiled.peak_rss_bytes, compiled.calls
        rows.append(
            [
                Span(name_of(compiled), link=f"#{anchor_of(compiled)}" if is_linked else ""),
                (f"{PURPOSES[compiled.purpose]}{inside}", *failed),
                _number(format_seconds(compiled.wall_seconds), compiled.wall_seconds),
                compiled.backend,
                (by, f", {call}" if call else ""),
                _number(f"{compiled.cache.missed:,}", compiled.cache.missed),
                _number(f"{compiled.cache.read:,}", compiled.cache.read),
                _number(format_bytes(peak), peak) if peak is not None else "",
                _number(f"{seen:,}", seen) if seen is not None else "",
            ]
        )
    narrow = Table(columns=[columns[n] for n in _NARROW], rows=[[row[n] for n in _NARROW] for row in rows])
    return Table(columns=columns, rows=rows, narrow=narrow, sorted_as="compiles" if is_linked else "")


def line_anchor(trace: ScriptTrace, compiled: TracedCompile) -> str:
    """Return the anchor of the user's line that asked for a compile; of the compile where its source is not there."""
    line = compiled.asked_by
    files = [source.file for source in trace.sources]
    if line is None or line.file not in files:
        return anchor_of(compiled)
    return f"line-{files.index(line.file)}-{line.line}"


def compile_facts(trace: ScriptTrace, compiled: TracedCompile) -> Facts:
    """Say all that is known of one compile."""
    line, cache = compiled.asked_by, compiled.cache
    facts: list[tuple[str, Inline]] = []
    if line is not None:
        facts.append(("asked for by", (f"{shown(line.file, 160)}:{line.line} ", Span(line.text, is_verbatim=True))))
    if compiled.library_calls:
        facts.append(("through", " → ".join(map(short_name, compiled.library_calls))))
    facts.append(("for", f"{PURPOSES[compiled.purpose]}, {compiled.backend or 'unknown backend'}"))
    phases = ", ".join(f"{span.name} {format_seconds(span.wall_seconds)}" for span in compiled.phases)
    cpu = f"; {format_seconds(compiled.cpu_seconds)} of processors" if compiled.cpu_seconds is not None else ""
    facts.append(("seconds", f"{format_seconds(compiled.wall_seconds)}: {phases}{cpu}"))
    if cache.read or cache.missed:
        counts = f"{cache.read:,} read, {cache.written:,} compiled and kept, {cache.never_kept:,} that no cache takes"
        facts.append(("caches", counts))
    reasons = summed((miss.reason, miss.units) for miss in cache.misses)
    facts += [("not from a cache", f"{format_count(units, 'unit')}: {reason}") for reason, units in reasons.items()]
    facts += _graph_facts(trace, compiled)
    if compiled.peak_rss_bytes is not None or compiled.kept_bytes is not None:
        sizes = {"before": compiled.rss_before_bytes, "peak": compiled.peak_rss_bytes, "kept": compiled.kept_bytes}
        told = ", ".join(f"{name} {format_bytes(size)}" for name, size in sizes.items() if size is not None)
        facts.append(("memory", told))
    if compiled.calls is not None:
        took = f", {format_seconds(compiled.call_seconds)}" if compiled.call_seconds is not None else ""
        facts.append(("called afterwards", f"{format_count(compiled.calls, 'time')}{took}"))
    if compiled.failure:
        facts.append(("failed", Span(compiled.failure, Style.BAD)))
    return Facts(facts)


def _graph_facts(trace: ScriptTrace, compiled: TracedCompile) -> Iterator[tuple[str, Inline]]:
    if compiled.nodes_before or compiled.nodes_after:
        yield "nodes", f"{compiled.nodes_before:,} before rewriting, {compiled.nodes_after:,} after it"
    if compiled.constant_bytes:
        largest = format_bytes(compiled.largest_constant_bytes)
        yield "constants", f"{format_bytes(compiled.constant_bytes)}, the largest {largest}"
    if compiled.variables:
        yield "inputs", shown(", ".join(compiled.variables), 400)
    if compiled.graph_digest:
        same = ", ".join(name_of(other) for other in trace.compiles if _is_same(other, compiled))
        yield "graph", f"{compiled.graph_digest[:12]}{f', the same as of {same}' if same else ''}"


def _is_same(other: TracedCompile, compiled: TracedCompile) -> bool:
    return other is not compiled and other.graph_digest == compiled.graph_digest


def _number(text: str, value: float) -> Span:
    return Span(text, number=f"{value:g}")
