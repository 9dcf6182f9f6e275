"""Seconds by line: the time to the first gradient, split between the user's lines. All of it, so it adds up.

What wrote a graph is split by the nodes that it wrote; rewriting by the nodes that each rewriter replaced, where it
replaced any, and else by nodes; a compiled unit by the nodes that use it, that of the whole graph by operations, as
are modules of XLA that no single node asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.observe.events import UnitKind
from firstgrad.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from firstgrad.observe.events import Attribution, CodeLine, CompiledUnit, LineShares
    from firstgrad.profiling import Profile
    from firstgrad.record import PhaseRecord

NO_LINE = 0
"""The place of what is of no line in `Attribution.lines`."""
_ALL_NO_LINE: LineShares = ((NO_LINE, 1.0),)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCost:
    """What one line costs."""

    line: CodeLine | None  # none: of no line
    seconds: float
    share: float  # of the time to the first gradient
    phases: Mapping[Phase, float]  # its seconds in each
    nodes_before: float  # of the graph that is compiled; a node of several lines is split between them
    nodes_after: float
    units: int  # compiled units with nodes of it; that of the whole graph isn't counted


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCosts:
    """What all lines cost, the slowest first; the one of no line last."""

    costs: tuple[LineCost, ...]
    replaced_seconds: float  # of rewriting, split by what the rewriters replaced
    rewriting_seconds: float

    @property
    def lines(self) -> tuple[LineCost, ...]:
        """Those that are of a line."""
        return tuple(cost for cost in self.costs if cost.line is not None)


def find_line_costs(profile: Profile) -> LineCosts | None:
    """Split a profile's time to the first gradient between lines; None where no lines were seen."""
    record, seen = profile.record, profile.attribution
    whole = record.window_seconds
    if not seen.lines or not whole or record.case.is_draw:
        return None
    seconds: dict[int, dict[Phase, float]] = defaultdict(lambda: defaultdict(float))
    replaced = 0.0
    for phase in record.whole_phases:
        if phase.phase in record.window_phases:
            for spent, shares, is_replaced in _split_phase(phase, seen):
                replaced += spent * is_replaced
                rest = spent
                for place, share in shares:
                    seconds[place][phase.phase] += spent * share
                    rest -= spent * share
                seconds[NO_LINE][phase.phase] += rest
    seconds[NO_LINE][Phase.BUILD] += whole - sum(sum(spent.values()) for spent in seconds.values())
    of_lines = (unit.lines or (() if unit.is_whole_graph else _ALL_NO_LINE) for unit in seen.units)
    units = Counter(place for lines in of_lines for place, _ in lines)
    costs = [
        LineCost(
            line=nodes.line,
            seconds=sum(seconds[place].values()),
            share=sum(seconds[place].values()) / whole,
            phases=dict(seconds[place]),
            nodes_before=nodes.before,
            nodes_after=nodes.after,
            units=units[place],
        )
        for place, nodes in enumerate(seen.lines)
    ]
    rewrite = record.phase(Phase.REWRITE)
    return LineCosts(
        costs=(*sorted(costs[1:], key=lambda cost: -cost.seconds), costs[NO_LINE]),
        replaced_seconds=replaced,
        rewriting_seconds=rewrite.wall_seconds if rewrite is not None else 0.0,
    )


def _split_phase(phase: PhaseRecord, seen: Attribution) -> Iterator[tuple[float, LineShares, bool]]:
    """Yield seconds of a phase with the lines that they are of, and whether what was replaced tells that."""
    wall = phase.wall_seconds
    match phase.phase:
        case Phase.LOGP_GRAPH:
            yield wall, _by([nodes.density for nodes in seen.lines]), False
        case Phase.GRAD_GRAPH:
            yield wall, _by([nodes.before for nodes in seen.lines]), False
        case Phase.REWRITE:
            known = [(one.wall_seconds, one.lines) for one in seen.rewriters if one.lines]
            scale = _scale(wall, [spent for spent, _ in known])
            yield from ((spent * scale, lines, True) for spent, lines in known)
            yield wall - sum(spent for spent, _ in known) * scale, _by([nodes.before for nodes in seen.lines]), False
        case Phase.LINK | Phase.FIRST_CALL:
            by_name = {unit.name: unit for unit in seen.units}
            units = [unit for unit in seen.units if unit.phase is phase.phase]
            scale = _scale(wall, [unit.own_seconds for unit in units])  # they may be compiled side by side
            yield from ((unit.own_seconds * scale, _lines_of(unit, by_name, seen), False) for unit in units)
            rest = wall - sum(unit.own_seconds for unit in units) * scale
            # Beside its units, linking writes code for each node; the first call computes.
            yield rest, _by([nodes.after for nodes in seen.lines]) if phase.phase is Phase.LINK else (), False
        case _:
            yield wall, (), False


def _lines_of(unit: CompiledUnit, by_name: Mapping[str, CompiledUnit], seen: Attribution) -> LineShares:
    """Say of which lines a unit is: those of its nodes, else those of what pulled it in."""
    for _ in by_name:
        if unit.lines or unit.is_whole_graph or unit.within not in by_name:
            break
        unit = by_name[unit.within]
    if not (unit.lines or unit.is_whole_graph or unit.kind is UnitKind.XLA_MODULE):
        return ()
    return unit.lines or _by([nodes.operations for nodes in seen.lines])


def _by(numbers: Sequence[float]) -> LineShares:
    whole = sum(numbers)
    return tuple((place, number / whole) for place, number in enumerate(numbers) if number) if whole else ()


def _scale(wall: float, spent: Sequence[float]) -> float:
    return min(1.0, wall / max(sum(spent), 1e-12))
