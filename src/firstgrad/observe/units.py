"""What listeners of the three kinds of compiled units share: their face, names of operations, sources in the model."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from firstgrad.observe.events import CacheMiss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from firstgrad.observe.calls import FunctionEvents
    from firstgrad.observe.events import Attribution, CompiledUnit, LineShares
    from firstgrad.observe.spans import Stretch, StretchRecorder
    from firstgrad.phase import Phase

MOST_MISSES = 20  # more units that no cache had are summed up: that is what an empty cache looks like
NO_ENTRY = "the cache had no entry; the next process finds one"  # why a unit was missed that is kept from then on
MOST_SOURCES = 3
_LONGEST_OP = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileFacts:
    """What is known of a compile once it is over."""

    phase_at: Callable[[float], Phase | None]  # which phase a time belongs to
    groups: Mapping[str, str]  # names of value variables to those of groups
    nodes: int = 0  # of the whole graph, after rewriting
    lines_of: Callable[[Iterable[Sequence[Any]]], LineShares] = lambda _: ()  # nodes, each with those around it

    def sources_of(self, nodes: Iterable[Sequence[Any]]) -> tuple[str, ...]:
        """Unite what nodes are nearest to, each given with those of the outer graphs around it.

        What an inner graph calls its inputs says nothing, so only the outermost node's named variables may stand in for
        the model's.
        """
        groups = set(self.groups.values())
        sources = []
        for chain in nodes:
            near: tuple[str, ...] = ()
            for node in chain:
                near = nearest_sources(node, self.groups)
                if groups.intersection(near):
                    break
            sources.append(near)
        return unite_sources(sources)


class UnitListener(Protocol):
    """Listens to one backend's compiles."""

    def attach(self, events: FunctionEvents, recorder: StretchRecorder) -> None:
        """Begin to listen; modules that are measured are imported already."""

    def detach(self) -> None:
        """Listen no more."""

    def report(self, roots: tuple[Stretch, ...], facts: CompileFacts) -> Attribution:
        """Say what was compiled: units slowest first, spans in any order, what no cache had."""


def describe_op(op: Any) -> str:
    """Write an operation as PyTensor does, a whole graph by its type alone, and nothing longer than a few lines."""
    if hasattr(op, "apply_nodes"):
        return type(op).__name__
    text = str(op)
    return text if len(text) <= _LONGEST_OP else f"{text[: _LONGEST_OP - 1]}…"


def number_names(names: Sequence[str]) -> list[str]:
    """Make names unique: those that occur more than once are numbered from 1, in order."""
    count = Counter(names)
    number = {name: itertools.count(1) for name in count}
    return [f"{name}_{next(number[name])}" if count[name] > 1 else name for name in names]


def order_units(units: Iterable[CompiledUnit]) -> tuple[CompiledUnit, ...]:
    """Order units by their own seconds, slowest first; a unit isn't within itself."""
    ordered = sorted(units, key=lambda unit: -unit.own_seconds)
    return tuple(replace(unit, within="") if unit.within == unit.name else unit for unit in ordered)


def sum_up_misses(names: Sequence[str], reason: str, what: str) -> tuple[CacheMiss, ...]:
    """List units that no cache had, or only say how many where there are more than `MOST_MISSES`."""
    if len(names) > MOST_MISSES:
        return (CacheMiss(name=f"({len(names)} {what})", reason=reason, units=len(names)),)
    return tuple(CacheMiss(name=name, reason=reason) for name in names)


def value_names(model: Any) -> dict[str, str]:
    """Map the names of a PyMC model's value variables (``sigma_log__``) to those of its groups (``sigma``)."""
    return {model.rvs_to_values[rv].name: rv.name for rv in model.free_RVs}


def nearest_sources(
    node: Any, groups: Mapping[str, str], *, most: int = MOST_SOURCES, most_looked_at: int = 2000
) -> tuple[str, ...]:
    """Search from a node's inputs through what computes them, breadth first, for groups (`groups`: by value variable).

    Nearest first; where there are none, as for observed data: other named variables that are no constants.
    """
    near: dict[str, None] = {}
    others: dict[str, None] = {}
    waiting, seen = deque(node.inputs), {id(variable) for variable in node.inputs}
    while waiting and len(near) < most:
        variable = waiting.popleft()
        name = str(getattr(variable, "name", None) or "")
        if name in groups:
            near[groups[name]] = None
            continue
        if name and not hasattr(variable, "data"):
            others[name] = None
        owner = getattr(variable, "owner", None)
        for further in owner.inputs if owner is not None else ():
            if id(further) not in seen and len(seen) < most_looked_at:
                seen.add(id(further))
                waiting.append(further)
    return tuple(near or others)[:most]


def unite_sources(sources: Iterable[Sequence[str]], *, most: int = MOST_SOURCES) -> tuple[str, ...]:
    """Unite what several nodes of one unit are nearest to: the most frequent first, of equals the nearer."""
    count: Counter[str] = Counter()
    places: dict[str, int] = {}
    for names in sources:
        for place, name in enumerate(names):
            count[name] += 1
            places[name] = min(place, places.get(name, place))
    return tuple(sorted(count, key=lambda name: (-count[name], places[name])))[:most]
