"""Compiled units together: those of one pattern as one line (``split_#``), and how much of a phase they explain."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firstgrad.grouping import grouped, summed
from firstgrad.observe.events import UnitKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firstgrad.observe.events import CompiledUnit
    from firstgrad.phase import Phase
    from firstgrad.profiling import Profile

PLACEHOLDER = "#"
"""What stands for a digest or a counter in a normalised name."""
_DIGEST = re.compile(r"(?=[0-9a-f]*[0-9])[0-9a-f]{8,}")
_COUNTER = re.compile(r"(?<=[_$.\-\[(])\d+(?![0-9A-Za-z])")
_REPEATS = re.compile(r"#(?:[_$.\-]?#)+")
_SOURCES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPattern:
    """Units of one pattern, together."""

    unit: CompiledUnit
    """Their sum: a name with ``#`` for the number, the operation without its parameters, own seconds, nodes and code of
    all; a unit that stands alone as it is."""
    units: int  # how many they are


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitShare:
    """The units of one kind that were compiled, or loaded, in one phase."""

    phase: Phase
    kind: UnitKind
    units: int
    from_cache: int  # how many of them were taken from a cache
    own_seconds: float  # of all, none counted twice
    share: float  # of the phase's wall seconds; above 1 where units are compiled side by side
    slowest: int  # how many lines `slowest_share` is of, functions of one pattern being one line
    slowest_share: float  # the same share, of the slowest alone


def normalise_name(name: str) -> str:
    """Replace what differs between processes, digests and counters, by ``#``: ``kernel_12`` is ``kernel_#``."""
    return _REPEATS.sub(PLACEHOLDER, _COUNTER.sub(PLACEHOLDER, _DIGEST.sub(PLACEHOLDER, name)))


def code_bytes_of(units: Iterable[CompiledUnit]) -> int | None:
    """Add up the code of units; None where not every one of them tells."""
    sizes = [unit.code_bytes for unit in units]
    return None if None in sizes else sum(size or 0 for size in sizes)


def merge_patterns(units: Iterable[CompiledUnit]) -> tuple[UnitPattern, ...]:
    """Put jitted functions together whose names differ by a number only; the slowest first.

    Modules of C and XLA stay alone: their names are digests and counters and say nothing of what they have in common.
    What is loaded from a cache is kept apart from what is compiled, and one phase from another.
    """
    members = grouped((_pattern(unit) or number, unit) for number, unit in enumerate(units))
    return tuple(sorted(map(_merge, members.values()), key=lambda pattern: -pattern.unit.own_seconds))


def _pattern(unit: CompiledUnit) -> tuple[object, ...]:
    is_numbered = unit.kind is UnitKind.JITTED_FUNCTION
    return (normalise_name(unit.name), unit.phase, unit.from_cache) if is_numbered else ()


def _merge(members: list[CompiledUnit]) -> UnitPattern:
    if len(members) == 1:
        return UnitPattern(unit=members[0], units=1)
    ops = {unit.op.partition("{")[0] for unit in members}
    within = {unit.within for unit in members}
    weights = summed((name, unit.own_seconds) for unit in members for name in unit.sources)
    whole = replace(
        members[0],
        name=normalise_name(members[0].name),
        own_seconds=sum(unit.own_seconds for unit in members),
        wall_seconds=sum(unit.wall_seconds for unit in members),
        compiler_seconds=sum(unit.compiler_seconds for unit in members),
        op=ops.pop() if len(ops) == 1 else "",
        nodes=sum(unit.nodes for unit in members),
        sources=tuple(sorted(weights, key=lambda name: -weights[name])[:_SOURCES]),
        within=within.pop() if len(within) == 1 else "",
        code_bytes=code_bytes_of(members),
    )
    return UnitPattern(unit=whole, units=len(members))


def find_unit_shares(profile: Profile, slowest: int = 10) -> tuple[UnitShare, ...]:
    """Put a profile's units against the phases, ended ones, that they belong to; the largest share of time first."""
    shares = []
    known = (((unit.phase, unit.kind), unit) for unit in profile.attribution.units if unit.phase is not None)
    for (phase, kind), units in grouped(known).items():
        record = profile.record.phase(phase)
        if record is None or record.wall_seconds <= 0:
            continue
        seconds = [pattern.unit.own_seconds for pattern in merge_patterns(units)]
        shares.append(
            UnitShare(
                phase=phase,
                kind=kind,
                units=len(units),
                from_cache=sum(unit.from_cache for unit in units),
                own_seconds=sum(seconds),
                share=sum(seconds) / record.wall_seconds,
                slowest=min(slowest, len(seconds)),
                slowest_share=sum(seconds[:slowest]) / record.wall_seconds,
            )
        )
    return tuple(sorted(shares, key=lambda share: -share.own_seconds))


def share_of_phase(profile: Profile, unit: CompiledUnit) -> float | None:
    """Part of its phase's wall seconds that a unit's own are; none where that phase is not known."""
    record = None if unit.phase is None else profile.record.phase(unit.phase)
    return None if record is None or record.wall_seconds <= 0 else unit.own_seconds / record.wall_seconds
