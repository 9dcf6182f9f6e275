"""A profile as parts of a result: where the time and the memory of one case go, and what makes two differ."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from firstgrad.grouping import summed
from firstgrad.phase import Phase
from firstgrad.profiling.difference import LEAST_SECONDS, LEAST_SECONDS_FACTOR, ChangeKind
from firstgrad.profiling.lines import find_line_costs
from firstgrad.profiling.units import find_unit_shares, merge_patterns, share_of_phase
from firstgrad.show.page import Page, Section
from firstgrad.show.records import record_parts
from firstgrad.show.result import BLANK, Fold, Heading, Items, Style, Table, TableRow, Text, left, right
from firstgrad.show.sources import how_split, line_parts, line_source, name_slowest, say_phases
from firstgrad.show.words import shorten, shown, write_value
from firstgrad.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from firstgrad.profiling import Profile
    from firstgrad.profiling.difference import ProfileChange, ProfileDifference
    from firstgrad.profiling.units import UnitPattern
    from firstgrad.record import Record
    from firstgrad.show.result import Part

INSTRUMENTS_NOTE = (
    "Instruments were on: do not compare these seconds with those of firstgrad measure. Shares and counts are reliable."
)
_LONGEST_SOURCE, _SOURCES = 24, 3
_LEAST_SECONDS = 0.0005  # less is shown as nothing at all: passes that only look are many
_TITLES = {
    ChangeKind.TOTAL: "in all",
    ChangeKind.PHASE: "phases",
    ChangeKind.PASS: "rewrite passes",
    ChangeKind.REWRITER: "single rewriters",
    ChangeKind.NODE_TYPE: "nodes by type of operation",
    ChangeKind.UNIT: "compiled units, by name and operation",
    ChangeKind.MEMORY: "memory",
}
_METRICS = {
    "wall_seconds": "wall",
    "cpu_seconds": "CPU",
    "own_seconds": "own",
    "nodes_before": "before rewriting",
    "nodes_after": "after rewriting",
    "nodes_added": "nodes added",
    "before": "before rewriting",
    "after": "after rewriting",
    "code_bytes": "code",
    "bytes": "",
    **dict.fromkeys(("groups", "values", "compiled_units"), ""),  # totals whose name says it all
}


def compared_parts(
    base: Profile | None, head: Profile | None, difference: ProfileDifference | None = None, *, top: int = 10
) -> Iterator[Part]:
    """Yield one profile, or two and what changed; `top` lines a table and metric."""
    for side, one in (("base", base), ("head", head)):
        if one is not None:
            if base is not None:
                yield Text(f"{side} {one.record.record_id[:8]}", Style.BANNER)
            # Two whole ones would bury what changed; --show prints each.
            yield from profile_parts(one, top=top) if difference is None else record_parts(one.record)
    if difference is not None:
        yield from _difference_parts(difference, top)


def profile_parts(profile: Profile, *, top: int) -> Iterator[Part]:
    """Yield one profile: the record, then where its time and its memory went."""
    yield from record_parts(profile.record)
    compilers = _compiler_parts(profile, top)
    costs = find_line_costs(profile)
    yield from compilers if costs is None else [Fold("where the compilers spent it", list(compilers))]
    yield Items([f"unavailable: {line}" for line in profile.attribution.unavailable], Style.DOUBT)
    yield Text(INSTRUMENTS_NOTE, Style.DIM)
    yield BLANK
    if costs is not None:
        yield from line_parts(profile, costs, top=top)
        yield BLANK


def profile_page(profile: Profile, *, top: int) -> Page:
    """Put a profile's page together: the annotated source first, the compilers' names last."""
    costs = find_line_costs(profile)
    sections = [
        Section("record", "The record", tuple(record_parts(profile.record))),
        Section("compilers", "Where the compilers spent it", tuple(_compiler_parts(profile, top))),
    ]
    if costs is not None:
        last = costs.costs[-1]
        nowhere = Text(f"Of no line: {format_seconds(last.seconds)} ({say_phases(last)}).")
        said = (
            Text(name_slowest(costs), Style.BOLD),
            line_source(profile, costs),
            nowhere,
            Text(how_split(profile, costs)),
        )
        sections.insert(0, Section("lines", "Seconds by line", said))
    facts = (INSTRUMENTS_NOTE, *(f"Unavailable: {line}" for line in profile.attribution.unavailable))
    return Page(
        title=f"Profile of {shown(str(profile.record.case), 160)}",
        facts=facts,
        sections=tuple(sections),
        has_source=True,
        made_by="firstgrad profile",
    )


def _compiler_parts(profile: Profile, top: int) -> Iterator[Part]:
    for title, table in _profile_tables(profile, top):
        yield from (Heading(title), table, BLANK)
    yield Items(tuple(_sentences(profile, top)))


def _profile_tables(profile: Profile, top: int) -> Iterator[tuple[str, Table]]:
    record, attribution = profile.record, profile.attribution
    passes = sorted(record.rewrite_passes, key=lambda one: -one.wall_seconds)
    rows: list[tuple[str, ...]] = [
        (
            shorten(one.name),
            format_seconds(one.wall_seconds),
            _share(one.wall_seconds, record, Phase.REWRITE),
            *("" if nodes is None else f"{nodes:,}" for nodes in (one.nodes_before, one.nodes_after)),
        )
        for one in passes[:top]
    ]
    if shown := sum(one.wall_seconds >= _LEAST_SECONDS for one in passes):
        yield _title("slowest rewrite passes", top, shown), _table("pass", "wall|of rewrite|nodes before|after", rows)
    rewriters = sorted(attribution.rewriters, key=lambda one: (-one.wall_seconds, one.name))
    rows = [
        (shorten(one.name), shorten(one.pass_name, 32), format_seconds(one.wall_seconds), f"{one.applied:,}")
        for one in rewriters[:top]
    ]
    if shown := sum(one.wall_seconds >= _LEAST_SECONDS or one.applied > 0 for one in rewriters):
        yield _title("slowest single rewriters", top, shown), _table("rewriter|pass", "wall|applied", rows)
    if types := attribution.node_types:
        yield _title("nodes by type of operation", top, len(types)), _node_types(profile, top)
    if patterns := merge_patterns(attribution.units):
        kind, *others = {unit.kind.replace("_", " ") for unit in attribution.units}
        every = "" if others else f", each {'an' if kind[0] in 'aeiox' else 'a'} {kind}"
        table = _units(profile, patterns[:top], is_mixed=bool(others))
        yield _title(f"slowest compiled units{every}", top, len(patterns)), table
    if imports := sorted(attribution.imports, key=lambda one: -one.own_seconds):
        rows = [
            (
                shorten(one.name),
                *map(format_seconds, (one.own_seconds, one.wall_seconds)),
                _share(one.own_seconds, record, Phase.IMPORT),
            )
            for one in imports[:top]
        ]
        table = _table("package", "own|with what it imports|of import", rows)
        yield _title("slowest imports", top, len(imports)), table
    if sites := sorted(profile.allocations, key=lambda site: -site.size_bytes):
        rows = [
            (
                *map(shorten, (site.function, f"{site.file}:{site.line}" if site.line else site.file, site.native)),
                format_bytes(site.size_bytes),
                f"{site.allocations:,}",
            )
            for site in sites[:top]
        ]
        table = _table("function|file|native function below it", "alive|allocations", rows)
        yield _title("memory at the peak, by where it was allocated", top, len(sites)), table


def _node_types(profile: Profile, top: int) -> Table:
    nodes = sorted(profile.attribution.node_types, key=lambda one: (-max(one.before, one.after), one.name))
    lines = [(shorten(one.name), one.before, one.after) for one in nodes[:top]]
    if rest := nodes[top:]:
        others = format_count(len(rest), "other type")
        lines.append((others, sum(one.before for one in rest), sum(one.after for one in rest)))
    rows = [
        TableRow((name, f"{before:,}", f"{after:,}", f"{after - before:+,}"), ends_section=number == top < len(lines))
        for number, (name, before, after) in enumerate(lines, start=1)
    ]
    return _table("type", "before rewriting|after|change", rows)


def _units(profile: Profile, patterns: Sequence[UnitPattern], *, is_mixed: bool) -> Table:
    """Make a line a pattern; on a narrow terminal three columns of names would have a few letters each."""
    wide, narrow = [], []
    for pattern in patterns:
        unit = pattern.unit
        kind = f"{unit.kind.replace('_', ' ')} " if is_mixed else ""
        times = f" x{pattern.units}" if pattern.units > 1 else ""
        sources = ", ".join(shorten(name, _LONGEST_SOURCE) for name in unit.sources[:_SOURCES])
        more = len(unit.sources) - _SOURCES
        names = (
            f"{kind}{shorten(unit.name, 36)}{times}{' (from the cache)' if unit.from_cache else ''}",
            shorten(unit.op, 32),
            f"{sources} and {more} more" if more > 0 else sources,
        )
        share = share_of_phase(profile, unit)
        shares = ("" if share is None else f"{share:.1%}", str(unit.phase or ""))
        own, nodes = format_seconds(unit.own_seconds), f"{unit.nodes:,}" if unit.nodes else ""
        code = "" if unit.code_bytes is None else format_bytes(unit.code_bytes)
        wide.append((*names, own, *shares, nodes, code))
        narrow.append(("\n  ".join(filter(None, names)), own, " ".join(shares), nodes, code))
    return replace(
        _table("unit|operation|for", "own|of its phase|phase|nodes|code", wide),
        narrow=_table("unit, operation, for", "own|of its phase|nodes|code", narrow),
    )


def _sentences(profile: Profile, top: int) -> Iterator[str]:
    for share in find_unit_shares(profile, top):
        what = format_count(share.units, share.kind.replace("_", " "))
        cached = f" ({share.from_cache:,} from the cache)" if share.from_cache else ""
        verb = "explains" if share.units == 1 else "explain"
        some = f"; the {share.slowest} slowest {share.slowest_share:.0%}" if share.units > share.slowest else ""
        yield f"{what}{cached} {verb} {share.share:.0%} of {share.phase}{some}"
    missed = summed((miss.reason, miss.units) for miss in profile.attribution.cache_misses)
    for reason, count in sorted(missed.items(), key=lambda item: -item[1]):
        yield f"caches: {format_count(count, 'unit')} not taken from them, or not kept: {reason}"


def _difference_parts(difference: ProfileDifference, top: int) -> Iterator[Part]:
    yield Heading("What changed")
    for side, one in (("base", difference.base), ("head", difference.head)):
        yield Text(f"{side}  {one.record.record_id[:8]}  {one.record.case}")
    for note in difference.notes:
        yield Text(note, Style.DOUBT if note.startswith("warning") else Style.PLAIN)
    yield BLANK
    for kind in ChangeKind:
        if changes := difference.of_kind(kind, noise=kind is ChangeKind.TOTAL):
            largest = _largest(changes, top)
            rest = len(changes) - len(largest)
            left_out = f" ({format_count(rest, 'smaller change')} left out)" if rest else ""
            yield from (Heading(f"{_TITLES[kind]}{left_out}"), _changes_table(largest), BLANK)
    if hidden := sum(one.is_noise and one.kind is not ChangeKind.TOTAL for one in difference.changes):
        yield Text(f"{format_count(hidden, 'number')} changed within noise")
    yield Text(
        "Each side is a single sample with instruments on: seconds that differ by less than "
        f"{LEAST_SECONDS_FACTOR - 1:.0%} or {format_seconds(LEAST_SECONDS)} are not listed, and listed ones are hints. "
        "Counts are reliable. To compare seconds: firstgrad measure --samples, then firstgrad compare.",
        Style.DIM,
    )
    yield BLANK


def _largest(changes: Sequence[ProfileChange], top: int) -> list[ProfileChange]:
    """Take the first of each metric; they come by metric, the largest first."""
    groups = (list(group) for _, group in groupby(changes, key=lambda change: change.metric))
    return [one for group in groups for one in (group if group[0].kind is ChangeKind.TOTAL else group[:top])]


def _changes_table(changes: Sequence[ProfileChange]) -> Table:
    rows = []
    for number, change in enumerate(changes, start=1):
        is_total = change.kind is ChangeKind.TOTAL
        is_last = number < len(changes) and changes[number].metric != change.metric
        sides = ("none" if side is None else write_value(change.unit, side) for side in (change.base, change.head))
        cells = (
            shorten(change.name.replace("_", " ") if is_total else change.name, 64),
            _METRICS.get(change.metric, change.metric),
            *sides,
            f"{'+' if change.difference > 0 else ''}{write_value(change.unit, change.difference)}",
            "" if change.ratio is None else f"x{change.ratio:.3g}",
        )
        style = Style.DIM if change.is_noise else Style.PLAIN
        rows.append(TableRow(cells, style, ends_section=is_last and not is_total))
    return Table(
        columns=(
            *left("what", is_folded=True),
            *left("number"),
            *right("base", "head", "difference", "ratio", is_kept=True),
        ),
        rows=rows,
    )


def _table(names: str, numbers: str, rows: Sequence[Any]) -> Table:
    """Names to the left, numbers aligned to the right."""
    columns = (*left(*names.split("|"), is_folded=True), *right(*numbers.split("|"), is_kept=True))
    return Table(columns=columns, rows=rows)


def _title(text: str, top: int, every: int) -> str:
    return f"{text} ({top} of {every})" if every > top else text


def _share(seconds: float, record: Record, phase: Phase) -> str:
    whole = record.phase(phase)
    return f"{seconds / whole.wall_seconds:.1%}" if whole and whole.wall_seconds else ""
