"""A profile as tables for a terminal."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from firstgrad.analysis.unit_patterns import merge_patterns
from firstgrad.analysis.unit_shares import find_unit_shares, share_of_phase
from firstgrad.record import Phase
from firstgrad.show.records import record_parts
from firstgrad.show.result import print_parts
from firstgrad.show.words import shorten
from firstgrad.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from firstgrad.analysis.unit_patterns import UnitPattern
    from firstgrad.profile import NodeType, Profile, Unit

INSTRUMENTS_NOTE = (
    "Instruments were on: these seconds are not for comparing with those of firstgrad measure. Shares and counts tell."
)
_SOURCES = 3
_LONGEST_SOURCE = 24
_NARROW = 110  # columns of a terminal: with fewer, three columns of names would have a few letters each
_LEAST_SECONDS = 0.0005  # less is shown as nothing at all: passes that only look are many


def show_profile(console: Console, profile: Profile, *, top: int) -> None:
    """Print one profile: the record, then where its time and its memory went, `top` lines a table."""
    print_parts(console, record_parts(profile.record))
    for title, table in _tables(profile, top, is_narrow=console.width < _NARROW):
        console.print(Text(title, style="bold"), soft_wrap=True)
        console.print(table)
        console.print()
    for line in _lines(profile, top):
        console.print(Text(line), soft_wrap=True)
    for line in profile.attribution.unavailable:
        console.print(Text(f"unavailable: {line}", style="yellow"), soft_wrap=True)
    console.print(Text(INSTRUMENTS_NOTE, style="dim"), soft_wrap=True)
    console.print()


def _tables(profile: Profile, top: int, *, is_narrow: bool) -> Iterable[tuple[str, Table]]:
    attribution = profile.attribution
    passes = [each for each in profile.record.rewrite_passes if each.wall_seconds >= _LEAST_SECONDS]
    if passes:
        yield _title("dearest rewrite passes", top, len(passes)), _passes(profile, top)
    rewriters = [each for each in attribution.rewriters if each.wall_seconds >= _LEAST_SECONDS or each.applied]
    if rewriters:
        yield _title("dearest single rewriters", top, len(rewriters)), _rewriters(profile, top)
    if attribution.node_types:
        nodes = sorted(attribution.node_types, key=lambda each: (-max(each.before, each.after), each.name))
        yield _title("nodes by type of operation", top, len(nodes)), _node_types(nodes, top)
    if attribution.units:
        kinds = {each.kind.replace("_", " ") for each in attribution.units}
        of_one_kind = f", each {_with_article(kinds.pop())}" if len(kinds) == 1 else ""
        what = f"dearest compiled units{of_one_kind}"
        patterns = merge_patterns(attribution.units)
        yield _title(what, top, len(patterns)), _units(profile, patterns[:top], is_narrow=is_narrow)
    if attribution.imports:
        yield _title("dearest imports", top, len(attribution.imports)), _imports(profile, top)
    if profile.allocations:
        yield (
            _title("memory at the peak, by where it was allocated", top, len(profile.allocations)),
            _sites(profile, top),
        )


def _title(text: str, top: int, every: int) -> str:
    return f"{text} ({top} of {every})" if every > top else text


def _make_table(left: Sequence[str], right: Sequence[str]) -> Table:
    """Make a table: names to the left, numbers aligned to the right."""
    table = Table()
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _passes(profile: Profile, top: int) -> Table:
    table = _make_table(["pass"], ["wall", "of rewrite", "nodes before", "after"])
    rewrite = profile.record.phase(Phase.REWRITE)
    for each in sorted(profile.record.rewrite_passes, key=lambda each: -each.wall_seconds)[:top]:
        share = each.wall_seconds / rewrite.wall_seconds if rewrite and rewrite.wall_seconds else None
        nodes = ("" if count is None else f"{count:,}" for count in (each.nodes_before, each.nodes_after))
        table.add_row(shorten(each.name), format_seconds(each.wall_seconds), _percent(share), *nodes)
    return table


def _rewriters(profile: Profile, top: int) -> Table:
    table = _make_table(["rewriter", "pass"], ["wall", "applied"])
    for each in sorted(profile.attribution.rewriters, key=lambda each: (-each.wall_seconds, each.name))[:top]:
        applied = f"{each.applied:,}"
        table.add_row(shorten(each.name), shorten(each.pass_name, 32), format_seconds(each.wall_seconds), applied)
    return table


def _node_types(nodes: Sequence[NodeType], top: int) -> Table:
    table = _make_table(["type"], ["before rewriting", "after", "change"])
    for each in nodes[:top]:
        table.add_row(shorten(each.name), f"{each.before:,}", f"{each.after:,}", f"{each.after - each.before:+,}")
    rest = nodes[top:]
    if rest:
        before, after = sum(each.before for each in rest), sum(each.after for each in rest)
        table.add_section()
        table.add_row(format_count(len(rest), "other type"), f"{before:,}", f"{after:,}", f"{after - before:+,}")
    return table


def _units(profile: Profile, patterns: Sequence[UnitPattern], *, is_narrow: bool) -> Table:
    if is_narrow:
        table = _make_table(["unit, operation, for"], ["own", "of its phase", "nodes", "code"])
    else:
        table = _make_table(["unit", "operation", "for"], ["own", "of its phase", "phase", "nodes", "code"])
    is_mixed = len({each.kind for each in profile.attribution.units}) > 1
    for pattern in patterns:
        each = pattern.unit
        count = f" x{pattern.units}" if pattern.units > 1 else ""
        kind = f"{each.kind.replace('_', ' ')} " if is_mixed else ""
        share, phase = _percent(share_of_phase(profile, each)), str(each.phase or "")
        name = f"{kind}{shorten(each.name, 36)}{count}{' (from the cache)' if each.from_cache else ''}"
        names = (name, shorten(each.op, 32), _sources(each))
        table.add_row(
            *(("\n  ".join(filter(None, names)),) if is_narrow else names),
            format_seconds(each.own_seconds),
            *((f"{share} {phase}",) if is_narrow else (share, phase)),
            f"{each.nodes:,}" if each.nodes else "",
            "" if each.code_bytes is None else format_bytes(each.code_bytes),
        )
    return table


def _sources(unit: Unit) -> str:
    told = ", ".join(shorten(name, _LONGEST_SOURCE) for name in unit.sources[:_SOURCES])
    more = len(unit.sources) - _SOURCES
    return f"{told} and {more} more" if more > 0 else told


def _imports(profile: Profile, top: int) -> Table:
    table = _make_table(["package"], ["own", "with what it imports", "of import"])
    phase = profile.record.phase(Phase.IMPORT)
    for each in sorted(profile.attribution.imports, key=lambda each: -each.own_seconds)[:top]:
        share = each.own_seconds / phase.wall_seconds if phase and phase.wall_seconds else None
        own, whole = format_seconds(each.own_seconds), format_seconds(each.wall_seconds)
        table.add_row(shorten(each.name), own, whole, _percent(share))
    return table


def _sites(profile: Profile, top: int) -> Table:
    table = _make_table(["function", "file", "native function below it"], ["alive", "allocations"])
    for each in sorted(profile.allocations, key=lambda each: -each.size_bytes)[:top]:
        place = f"{each.file}:{each.line}" if each.line else each.file
        names = (shorten(each.function), shorten(place), shorten(each.native))
        table.add_row(*names, format_bytes(each.size_bytes), f"{each.allocations:,}")
    return table


def _lines(profile: Profile, top: int) -> Iterable[str]:
    for each in find_unit_shares(profile, top):
        what = format_count(each.units, each.kind.replace("_", " "))
        cached = f" ({each.from_cache:,} from the cache)" if each.from_cache else ""
        verb = "explains" if each.units == 1 else "explain"
        dearest = f"; the {each.dearest} dearest {each.dearest_share:.0%}" if each.units > each.dearest else ""
        yield f"{what}{cached} {verb} {each.share:.0%} of {each.phase}{dearest}"
    missed = Counter[str]()
    for miss in profile.attribution.cache_misses:
        missed[miss.reason] += miss.units
    for reason, count in missed.most_common():
        yield f"caches: {format_count(count, 'unit')} not taken from them, or not kept: {reason}"


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiox' else 'a'} {noun}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
