"""Stretches of time: recorded as they open and close within each other, and told as spans."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from firstgrad.observe.events import SpanKind, TimeSpan
from firstgrad.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from firstgrad.record import PhaseRecord, RewritePass

# Which is the outer one of two equal spans.
RANK_OF = (SpanKind.PHASE, SpanKind.IMPORT, SpanKind.PASS, SpanKind.UNIT, SpanKind.STEP).index


@dataclass(slots=True, eq=False)
class Stretch:
    """What was done (`kind`), with what (`subject`), from when to when by the recorder's clock."""

    kind: str
    subject: Any
    began_seconds: float
    ended_seconds: float = 0.0
    inner: list[Stretch] = field(default_factory=list)
    note: Any = None  # what whoever closed it had to add

    @property
    def wall_seconds(self) -> float:
        """From its beginning to its end."""
        return self.ended_seconds - self.began_seconds

    @property
    def own_seconds(self) -> float:
        """Without those within; over a whole tree these add up to the root's wall seconds."""
        return self.wall_seconds - sum(stretch.wall_seconds for stretch in self.inner)

    def as_span(self, kind: SpanKind, name: str) -> TimeSpan:
        """Make a span of it."""
        return TimeSpan(kind=kind, name=name, began_seconds=self.began_seconds, wall_seconds=self.wall_seconds)


class StretchRecorder:
    """Makes stretches of what is opened and closed, in one thread; other threads are not listened to.

    A stretch that an exception ended is never closed. It is noticed when an outer one closes, or at the end, and left
    out; what was within belongs to the next outer one.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._thread = threading.get_ident()
        self._roots: list[Stretch] = []
        self._open: list[tuple[object, Stretch]] = []

    @property
    def innermost(self) -> Stretch | None:
        """The one opened last among those still open."""
        return self._open[-1][1] if self._open and self._is_heard() else None

    def open(self, kind: str, token: object, subject: Any = None) -> Stretch | None:
        """Open a stretch within the innermost open one; the token's identity says later which is to be closed."""
        if not self._is_heard():
            return None
        stretch = Stretch(kind, subject, self._now())
        self._open.append((token, stretch))
        return stretch

    def close(self, token: object) -> Stretch | None:
        """Close the stretch opened with this token, and give up those opened within; None where there is none such."""
        now = self._now()
        if not self._is_heard() or not any(token is known for known, _ in self._open):
            return None
        while self._open[-1][0] is not token:
            self._give_up()
        _, stretch = self._open.pop()
        stretch.ended_seconds = now
        self._home.append(stretch)
        return stretch

    def finish(self) -> tuple[Stretch, ...]:
        """Give up what is still open; return the outermost stretches, in order."""
        while self._open:
            self._give_up()
        return tuple(self._roots)

    @property
    def _home(self) -> list[Stretch]:
        return self._open[-1][1].inner if self._open else self._roots

    def _give_up(self) -> None:
        _, stretch = self._open.pop()
        self._home.extend(stretch.inner)

    def _is_heard(self) -> bool:
        return threading.get_ident() == self._thread


def walk_stretches(roots: Sequence[Stretch]) -> Iterator[tuple[Stretch, Stretch | None]]:
    """Go through stretches from the outside in, in order of time: each with the one around it."""
    waiting: list[tuple[Stretch, Stretch | None]] = [(root, None) for root in reversed(roots)]
    while waiting:
        stretch, outer = waiting.pop()
        yield stretch, outer
        waiting += [(inner, stretch) for inner in reversed(stretch.inner)]


def phase_spans(phases: Sequence[PhaseRecord]) -> tuple[TimeSpan, ...]:
    """Make a span of each phase, none longer than until the next one begins.

    PyTensor's early part of linking is counted to `link` although it came before `rewrite`: its place stays empty.
    """
    ordered = sorted(phases, key=lambda phase: phase.began_seconds)
    free = [later.began_seconds - phase.began_seconds for phase, later in pairwise(ordered)]
    return tuple(
        TimeSpan(
            kind=SpanKind.PHASE,
            name=str(phase.phase),
            began_seconds=phase.began_seconds,
            wall_seconds=min([phase.wall_seconds, *free[place : place + 1]]),
        )
        for place, phase in enumerate(ordered)
    )


def phase_finder(phases: Sequence[PhaseRecord]) -> Callable[[float], Phase | None]:
    """Make the function that tells which phase a time belongs to: none before the first and after the last."""
    spans = [(Phase(span.name), span.began_seconds, span.wall_seconds) for span in phase_spans(phases)]
    return lambda at: next((phase for phase, began, wall in spans if began <= at <= began + wall), None)


def pass_spans(passes: Iterable[RewritePass], phases: Iterable[PhaseRecord]) -> tuple[TimeSpan, ...]:
    """Lay the passes one after the other into the phase `rewrite`: their order is known, and how long each took."""
    rewrite = next((phase for phase in phases if phase.phase is Phase.REWRITE), None)
    if rewrite is None:
        return ()
    took = [(one.name, one.wall_seconds) for one in passes]
    begins = accumulate((seconds for _, seconds in took), initial=rewrite.began_seconds)
    return tuple(
        TimeSpan(kind=SpanKind.PASS, name=name, began_seconds=began, wall_seconds=seconds)
        for (name, seconds), began in zip(took, begins, strict=False)
    )


def cut_spans(spans: Iterable[TimeSpan]) -> tuple[TimeSpan, ...]:
    """Order spans by their beginnings, outer ones first; cut each that outlasts the one it began in."""
    cut: list[TimeSpan] = []
    ends: list[float] = []
    for span in sorted(spans, key=lambda one: (one.began_seconds, -one.wall_seconds, RANK_OF(one.kind))):
        while ends and ends[-1] <= span.began_seconds:
            ends.pop()
        ended = min([span.began_seconds + span.wall_seconds, *ends[-1:]])
        if ended > span.began_seconds:
            ends.append(ended)
            cut.append(replace(span, wall_seconds=ended - span.began_seconds))
    return tuple(cut)
