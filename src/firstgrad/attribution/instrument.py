"""What each backend's instrument is: told to listen before the window, asked afterwards for what it heard."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from firstgrad.attribution.sources import nearest_sources, unite_sources
from firstgrad.profile import CacheMiss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from firstgrad.attribution.stretches import Stretch, StretchRecorder
    from firstgrad.observe.calls import FunctionEvents
    from firstgrad.profile import Span, Unit
    from firstgrad.record import Phase

MOST_MISSES = 20
"""More units that no cache had are summed up: that is what an empty cache looks like."""
WHOLE_GRAPH = "FunctionGraph"
"""The operation of a unit that computes the whole graph."""
_LONGEST_OP = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What an instrument heard: units dearest first, spans in any order."""

    units: tuple[Unit, ...] = ()
    spans: tuple[Span, ...] = ()
    misses: tuple[CacheMiss, ...] = ()
    unavailable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is known of a compile once it is over.

    Attributes
    ----------
    phase_at : callable
        Which phase a time belongs to.
    groups : mapping
        Names of value variables to those of groups.
    nodes : int
        Of the whole graph, after rewriting.
    """

    phase_at: Callable[[float], Phase | None]
    groups: Mapping[str, str]
    nodes: int = 0

    def sources_of(self, nodes: Iterable[Sequence[Any]]) -> tuple[str, ...]:
        """Unite what nodes are nearest to.

        Parameters
        ----------
        nodes : iterable of sequences of nodes
            Each node, then those of the outer graphs around it. What an inner graph calls its inputs says nothing, so
            only the outermost node's named variables may stand in for the model's.
        """
        return unite_sources(self._nearest(chain) for chain in nodes)

    def _nearest(self, chain: Sequence[Any]) -> tuple[str, ...]:
        groups = set(self.groups.values())
        near: tuple[str, ...] = ()
        for node in chain:
            near = nearest_sources(node, self.groups)
            if groups.intersection(near):
                break
        return near


class Instrument(Protocol):
    """Listens to one backend."""

    def attach(self, events: FunctionEvents, recorder: StretchRecorder) -> None:
        """Begin to listen; modules that are measured are imported already."""

    def detach(self) -> None:
        """Listen no more."""

    def hear(self, roots: tuple[Stretch, ...], setting: Setting) -> Heard:
        """Say what was compiled."""


def describe_op(op: Any) -> str:
    """Write an operation as PyTensor does, a whole graph by its type alone, and nothing longer than a few lines."""
    if hasattr(op, "apply_nodes"):
        return type(op).__name__
    text = str(op)
    return text if len(text) <= _LONGEST_OP else f"{text[: _LONGEST_OP - 1]}…"


def number_names(names: Sequence[str]) -> list[str]:
    """Make names unique: those that occur more than once are numbered from 1, in order."""
    count, seen = Counter(names), Counter[str]()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(f"{name}_{seen[name]}" if count[name] > 1 else name)
    return unique


def order_units(units: Iterable[Unit]) -> tuple[Unit, ...]:
    """Order units by their own seconds, dearest first; a unit isn't within itself."""
    ordered = sorted(units, key=lambda each: -each.own_seconds)
    return tuple(replace(each, within="") if each.within == each.name else each for each in ordered)


def sum_up_misses(names: Sequence[str], reason: str, what: str) -> tuple[CacheMiss, ...]:
    """List units that no cache had, or only say how many where there are more than `MOST_MISSES`."""
    if len(names) > MOST_MISSES:
        return (CacheMiss(name=f"({len(names)} {what})", reason=reason, units=len(names)),)
    return tuple(CacheMiss(name=name, reason=reason) for name in names)
