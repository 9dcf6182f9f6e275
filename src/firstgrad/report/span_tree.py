"""Spans made to nest: what a trace viewer asks for, whatever the clocks of the instruments say."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from firstgrad.profile import Span, SpanKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from firstgrad.profile import Profile

_RANKS = {
    kind: rank
    for rank, kind in enumerate((SpanKind.PHASE, SpanKind.IMPORT, SpanKind.PASS, SpanKind.STEP, SpanKind.UNIT))
}
"""Which is the outer one of two equal spans."""


@dataclass(slots=True, eq=False)
class Nest:
    """A span and those within it, in order and apart from each other."""

    span: Span
    began_seconds: float
    ended_seconds: float
    inner: list[Nest] = field(default_factory=list)


def spans_of(profile: Profile) -> tuple[Span, ...]:
    """Take a profile's spans; its record tells the phases where they are not among them."""
    spans = profile.attribution.spans
    if any(span.kind is SpanKind.PHASE for span in spans):
        return spans
    phases = tuple(
        Span(
            kind=SpanKind.PHASE,
            name=str(each.phase),
            began_seconds=each.began_seconds,
            wall_seconds=each.wall_seconds,
        )
        for each in profile.record.phases
    )
    return (*phases, *spans)


def nest_spans(spans: Iterable[Span]) -> tuple[Nest, ...]:
    """Nest spans.

    Phases are laid down first, then the rest, the longest first; each is cut to what is free around its middle. So a
    span that two clocks put a little over its parent's end loses that little, and a short one never cuts a long one.

    Parameters
    ----------
    spans : iterable of Span
        In any order. Those whose times are not finite are left out; negative lengths are zero.

    Returns
    -------
    tuple of Nest
        In order of time, each within its outer one, neighbours apart.
    """
    whole = Nest(Span(kind=SpanKind.STEP, name="", began_seconds=0.0, wall_seconds=0.0), 0.0, math.inf)
    for span in sorted(map(_clean, filter(_is_finite, spans)), key=_order):
        _lay(whole, span)
    return tuple(whole.inner)


def walk(nests: Sequence[Nest]) -> Iterator[tuple[bool, Nest]]:
    """Go through nests in order of time: each comes twice, as it opens (true) and as it closes (false)."""
    waiting = [(True, nest) for nest in reversed(nests)]
    while waiting:
        opens, nest = waiting.pop()
        yield opens, nest
        if opens:
            waiting.append((False, nest))
            waiting += [(True, inner) for inner in reversed(nest.inner)]


def _is_finite(span: Span) -> bool:
    return math.isfinite(span.began_seconds) and math.isfinite(span.wall_seconds)


def _clean(span: Span) -> Span:
    """Begin at zero or later: the worker's clock starts there."""
    began = max(span.began_seconds, 0.0)
    ended = max(span.began_seconds + span.wall_seconds, began)
    return replace(span, began_seconds=began, wall_seconds=ended - began)


def _order(span: Span) -> tuple[bool, float, int, float]:
    return span.kind is not SpanKind.PHASE, -span.wall_seconds, _RANKS[span.kind], span.began_seconds


def _lay(outer: Nest, span: Span) -> None:
    middle = span.began_seconds + span.wall_seconds / 2
    place = _place(outer.inner, middle)
    while place and middle < outer.inner[place - 1].ended_seconds:
        outer = outer.inner[place - 1]
        place = _place(outer.inner, middle)
    low = outer.inner[place - 1].ended_seconds if place else outer.began_seconds
    high = outer.inner[place].began_seconds if place < len(outer.inner) else outer.ended_seconds
    began = min(max(span.began_seconds, low), high)
    ended = max(min(span.began_seconds + span.wall_seconds, high), began)
    outer.inner.insert(place, Nest(span, began, ended))


def _place(ordered: Sequence[Nest], at_seconds: float) -> int:
    """How many begin at this time or before."""
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        if ordered[middle].began_seconds <= at_seconds:
            low = middle + 1
        else:
            high = middle
    return low
