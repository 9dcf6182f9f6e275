"""Jitted functions that PyTensor wrote by the same pattern, one for each shape of use, as one line: ``split_#``."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firstgrad.analysis.unit_groups import normalise_name
from firstgrad.observe.events import UnitKind
from firstgrad.profile import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_SOURCES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPattern:
    """Units of one pattern, together.

    Attributes
    ----------
    unit : Unit
        Their sum: a name with ``#`` for the number, the operation without its parameters, own seconds, nodes and code
        of all; a unit that stands alone as it is.
    units : int
        How many they are.
    """

    unit: Unit
    units: int


def merge_patterns(units: Iterable[Unit]) -> tuple[UnitPattern, ...]:
    """Put jitted functions together whose names differ by a number only; the dearest first.

    Modules of C and XLA stay alone: their names are digests and counters and say nothing of what they have in common.
    What is loaded from a cache is kept apart from what is compiled, and one phase from another.
    """
    found: dict[tuple[Any, ...], list[Unit]] = {}
    for number, unit in enumerate(units):
        is_numbered = unit.kind is UnitKind.JITTED_FUNCTION
        key = (normalise_name(unit.name), unit.phase, unit.from_cache) if is_numbered else (number,)
        found.setdefault(key, []).append(unit)
    merged = (_merge(members) for members in found.values())
    return tuple(sorted(merged, key=lambda each: -each.unit.own_seconds))


def _merge(members: list[Unit]) -> UnitPattern:
    if len(members) == 1:
        return UnitPattern(unit=members[0], units=1)
    ops = {each.op.partition("{")[0] for each in members}
    within = {each.within for each in members}
    sizes = [each.code_bytes for each in members if each.code_bytes is not None]
    weights: dict[str, float] = defaultdict(float)
    for each in members:
        for name in each.sources:
            weights[name] += each.own_seconds
    whole = replace(
        members[0],
        name=normalise_name(members[0].name),
        own_seconds=sum(each.own_seconds for each in members),
        wall_seconds=sum(each.wall_seconds for each in members),
        compiler_seconds=sum(each.compiler_seconds for each in members),
        op=ops.pop() if len(ops) == 1 else "",
        nodes=sum(each.nodes for each in members),
        sources=tuple(sorted(weights, key=lambda name: -weights[name])[:_SOURCES]),
        within=within.pop() if len(within) == 1 else "",
        code_bytes=sum(sizes) if len(sizes) == len(members) else None,
    )
    return UnitPattern(unit=whole, units=len(members))
