"""The user's source with numbers beside its lines, as line profilers show it: on a terminal and on a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from firstgrad.case import BackendName
from firstgrad.observe.events import SourceFile
from firstgrad.phase import Phase
from firstgrad.show.page import Markup
from firstgrad.show.result import BLANK, Heading, Span, Style, Table, TableColumn, TableRow, Text, left, right
from firstgrad.show.words import shown
from firstgrad.units import clean_line, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from firstgrad.observe.events import CodeLine
    from firstgrad.profiling import Profile
    from firstgrad.profiling.lines import LineCost, LineCosts
    from firstgrad.show.result import Part

_LONGEST_TEXT = 100
_MOST_SOURCE_LINES = 400  # of a longer file, only what is near a line with numbers is shown
_CONTEXT = 12
_GAP = "…"
_WORDS = {
    Phase.BUILD: "building the model",
    Phase.LOGP_GRAPH: "writing the log-density",
    Phase.GRAD_GRAPH: "differentiating",
    Phase.REWRITE: "rewriting",
    Phase.LINK: "linking",
    Phase.FIRST_CALL: "the first call",
}
_LEAST_SHARE = 0.001  # of the whole: less isn't named


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What stands beside a line of a source on a page."""

    cells: tuple[str, ...]
    share: float  # of the largest number, as a bar in the first cell
    id: str = ""  # its anchor
    links: tuple[tuple[str, str], ...] = ()  # anchors and texts, below the line


def source_part(columns: Sequence[str], title: str, files: Sequence[tuple[SourceFile, Mapping[int, Note]]]) -> Markup:
    """Make the part of a page that shows sources: a column of numbers each, the line's number, the text."""
    values = {
        "columns": [*columns, "line"],
        "title": title,
        "files": [
            {"name": shown(PurePath(source.file).name, 120), "lines": list(_annotate(source.text, notes))}
            for source, notes in files
        ],
    }
    return Markup("source.html", values)


def _annotate(text: str, notes: Mapping[int, Note]) -> Iterator[dict[str, object]]:
    """Yield a source's lines; of a long one, those far from any note are left out."""
    texts = text.splitlines()
    is_short = len(texts) <= _MOST_SOURCE_LINES
    near = {number + step for number in notes for step in range(-_CONTEXT, _CONTEXT + 1)}
    skipped = 0
    for number, line in enumerate([*texts, None], start=1):
        if line is not None and not (is_short or number in near):
            skipped += 1
            continue
        if skipped:
            yield {"gap": f"{format_count(skipped, 'line')} left out"}
            skipped = 0
        if line is not None:
            yield {"gap": "", "text": line, "number": number, "note": notes.get(number)}


def line_parts(profile: Profile, costs: LineCosts, *, top: int) -> Iterator[Part]:
    """Yield a terminal's annotated source, and in its last sentence the line that costs most."""
    slowest = [cost for cost in costs.lines if cost.share >= _LEAST_SHARE][:top]
    others = costs.lines[len(slowest) :]
    of = f" ({len(slowest)} of {len(costs.lines)} lines)" if others else ""
    yield Heading(f"seconds by line{of}")
    yield Table(
        columns=(
            *right("seconds", "share", "nodes before", "after", "units", is_kept=True),
            TableColumn("line", is_right=True, is_kept=True),
            *left("source"),
        ),
        rows=list(_rows(profile, costs, slowest)),
    )
    yield BLANK
    yield Text(how_split(profile, costs), Style.DIM)
    yield BLANK
    yield Text(name_slowest(costs), Style.BOLD)


def _rows(profile: Profile, costs: LineCosts, slowest: Sequence[LineCost]) -> Iterator[TableRow]:
    """Yield the slowest lines in the order of their source, then all others, what is of no line, and the whole."""
    texts = {source.file: source.text.splitlines() for source in profile.attribution.sources}
    files = list(dict.fromkeys(cost.line.file for cost in slowest if cost.line is not None))
    for file in files:
        here = sorted(
            ((cost.line, cost) for cost in slowest if cost.line is not None and cost.line.file == file),
            key=lambda pair: pair[0].line,
        )
        if len(files) > 1:
            yield TableRow(("", "", "", "", "", "", Span(clean_line(PurePath(file).name), Style.BOLD)))
        for number, (line, cost) in enumerate(here, start=1):
            source = texts.get(file, [])
            text = source[line.line - 1] if line.line <= len(source) else line.text
            yield TableRow(
                (*_numbers(cost, units=cost.units), str(line.line), _code(text)), ends_section=number == len(here)
            )
            if number < len(here) and here[number][0].line > line.line + 1:
                yield TableRow(("", "", "", "", "", "", _GAP), Style.DIM)
    others = [cost for cost in costs.lines if cost not in slowest]
    if others:
        yield TableRow((*_numbers(*others), "", format_count(len(others), "other line")))
    nowhere = costs.costs[-1]
    yield TableRow(
        (*_numbers(nowhere, units=nowhere.units), "", f"of no line: {say_phases(nowhere)}"), ends_section=True
    )
    yield TableRow((*_numbers(*costs.costs), "", "in all"))


def _numbers(*costs: LineCost, units: int = 0) -> tuple[str, ...]:
    """Add costs up; units of several aren't: one that serves several lines would count several times."""
    names = ("seconds", "share", "nodes_before", "nodes_after")
    seconds, share, before, after = (sum(getattr(cost, name) for cost in costs) for name in names)
    return format_seconds(seconds), f"{share:.1%}", write_nodes(before), write_nodes(after), f"{units:,}" * bool(units)


def write_nodes(nodes: float) -> str:
    """Write a number of nodes, of which lines may share one: ``1,234``, ``0.5``, or nothing for none."""
    return f"{nodes:,.0f}" if nodes >= 10 else f"{nodes:.2g}" if nodes else ""  # noqa: PLR2004 - digits


def _code(text: str) -> Span:
    """Keep the indent, which shows where loops and functions are."""
    code = text.rstrip().expandtabs(4)
    indent = len(code) - len(code.lstrip())
    return Span("\u00a0" * indent + shown(code.lstrip(), _LONGEST_TEXT), is_verbatim=True)


def say_phases(cost: LineCost) -> str:
    """Say what a cost consists of, the largest first."""
    known = sorted(cost.phases.items(), key=lambda pair: -pair[1])
    whole = cost.seconds / cost.share if cost.share else 0.0
    named = [f"{_WORDS[phase]} {format_seconds(spent)}" for phase, spent in known if spent >= _LEAST_SHARE * whole]
    return ", ".join(named) or "nothing"


def how_split(profile: Profile, costs: LineCosts) -> str:
    """Say by what the seconds are split."""
    replaced = costs.replaced_seconds / costs.rewriting_seconds if costs.rewriting_seconds else 0.0
    gradient = (
        "JAX differentiates, so the derivative of an operation is counted as the operation."
        if profile.record.case.backend in (BackendName.JAX_DIRECT, BackendName.JAX_QUICK)
        else "A gradient's node is of the line whose derivative it is."
    )
    return (
        f"Split by nodes: rewriting by those that each rewriter replaced ({replaced:.0%} of it; the rest by all nodes "
        f"before it), a compiled unit by those that use it, that of the whole graph by operations. {gradient}"
    )


def name_slowest(costs: LineCosts) -> str:
    """Name the line that costs most, in a sentence."""
    slowest = next(iter(costs.lines), None)
    if slowest is None or slowest.line is None or not slowest.seconds:
        return "No second is of a line of yours."
    line: CodeLine = slowest.line
    place = f"{clean_line(PurePath(line.file).name)}:{line.line}"
    nodes = sum(cost.nodes_before for cost in costs.costs)
    share = f"{slowest.share:.0%} of the time to the first gradient"
    return (
        f"{place} costs most: {format_seconds(slowest.seconds)}, {share} ({say_phases(slowest)}), with "
        f"{write_nodes(slowest.nodes_before)} of {nodes:,.0f} nodes: {shown(line.text, _LONGEST_TEXT)}"
    )


def line_source(profile: Profile, costs: LineCosts) -> Markup:
    """Make the part of a page that shows the whole source with what each line costs."""
    most = max((cost.seconds for cost in costs.lines), default=0.0) or 1.0
    notes: dict[str, dict[int, Note]] = {}
    for cost in costs.lines:
        if cost.line is not None:
            note = Note(cells=_numbers(cost, units=cost.units), share=cost.seconds / most)
            notes.setdefault(cost.line.file, {}).setdefault(cost.line.line, note)
    known = {source.file: source for source in profile.attribution.sources}
    lines = [cost.line for cost in costs.lines if cost.line is not None]
    for file in notes.keys() - known.keys():  # a notebook's cell, say: of its text only these lines are known
        texts = {line.line: line.text for line in lines if line.file == file}
        text = "\n".join(texts.get(number, "") for number in range(1, max(texts) + 1))
        known[file] = SourceFile(file=file, text=text)
    files = [(source, notes.get(file, {})) for file, source in known.items()]
    return source_part(("seconds", "share", "nodes before", "after", "units"), "source", files)
