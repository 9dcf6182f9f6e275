"""All spans of a sample, put in order and made to nest."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from firstgrad.profile import Span, SpanKind
from firstgrad.record import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from firstgrad.record import PhaseRecord, RewritePass

_RANKS = {kind: rank for rank, kind in enumerate((SpanKind.PHASE, SpanKind.IMPORT, SpanKind.PASS, SpanKind.UNIT))}


def phase_spans(phases: Sequence[PhaseRecord]) -> tuple[Span, ...]:
    """Make a span of each phase, none longer than until the next one begins.

    PyTensor's early part of linking is counted to `link` although it came before `rewrite`: its place stays empty.
    """
    ordered = sorted(phases, key=lambda each: each.began_seconds)
    free = [later.began_seconds - each.began_seconds for each, later in pairwise(ordered)]
    return tuple(
        Span(
            kind=SpanKind.PHASE,
            name=str(each.phase),
            began_seconds=each.began_seconds,
            wall_seconds=min([each.wall_seconds, *free[place : place + 1]]),
        )
        for place, each in enumerate(ordered)
    )


def pass_spans(passes: Iterable[RewritePass], phases: Iterable[PhaseRecord]) -> tuple[Span, ...]:
    """Lay the passes one after the other into the phase `rewrite`: their order is known, and how long each took."""
    rewrite = next((each for each in phases if each.phase is Phase.REWRITE), None)
    if rewrite is None:
        return ()
    spans, began = [], rewrite.began_seconds
    for each in passes:
        spans.append(
            Span(kind=SpanKind.PASS, name=each.name, began_seconds=began, wall_seconds=each.wall_seconds),
        )
        began += each.wall_seconds
    return tuple(spans)


def nest_spans(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Order spans by their beginnings and cut each that outlasts the one it began in.

    Returns
    -------
    tuple of Span
        An outer one comes before those within; spans without length are left out.
    """
    nested: list[Span] = []
    ends: list[float] = []
    ordered = sorted(spans, key=lambda each: (each.began_seconds, -each.wall_seconds, _RANKS.get(each.kind, 4)))
    for each in ordered:
        while ends and ends[-1] <= each.began_seconds:
            ends.pop()
        ended = min([each.began_seconds + each.wall_seconds, *ends[-1:]])
        if ended <= each.began_seconds:
            continue
        ends.append(ended)
        nested.append(
            Span(
                kind=each.kind,
                name=each.name,
                began_seconds=each.began_seconds,
                wall_seconds=ended - each.began_seconds,
            )
        )
    return tuple(nested)


def phase_finder(phases: Sequence[PhaseRecord]) -> Callable[[float], Phase | None]:
    """Make the function that tells which phase a time belongs to: none before the first and after the last."""
    spans = [(Phase(each.name), each.began_seconds, each.wall_seconds) for each in phase_spans(phases)]

    def find(at_seconds: float) -> Phase | None:
        return next((phase for phase, began, wall in spans if began <= at_seconds <= began + wall), None)

    return find
