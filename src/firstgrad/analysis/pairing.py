"""Rounds: which samples of two sides were taken together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from firstgrad.usability import why_unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.record import Record

LEAST_ROUNDS = 5
"""With fewer, pairs have half the degrees of freedom of two sides, which costs more than drift does."""
_WHOLE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """Samples of two sides, put together.

    Attributes
    ----------
    pairs : tuple of (Record, Record)
        BASE and HEAD of each round, in the order of time; only usable ones.
    is_interleaved : bool
        Whether the sides were measured in turn, on one host: only then do rounds mean anything.
    """

    pairs: tuple[tuple[Record, Record], ...]
    is_interleaved: bool

    @property
    def is_paired(self) -> bool:
        """Whether there are rounds enough to compare within them."""
        return self.is_interleaved and len(self.pairs) >= LEAST_ROUNDS


def find_rounds(before: Sequence[Record], after: Sequence[Record]) -> Rounds:
    """Pair the samples of two sides of one case by the time they were started.

    In the order of time, a sample and the next one make a round where they are of different sides; so a sample that
    failed and has none beside it takes no other's partner. Where each side was taken in turn, that pairs the k-th of
    one with the k-th of the other. The sides are interleaved where four in five of all usable samples have a partner.

    Parameters
    ----------
    before, after : sequence of Record
        What BASE and HEAD have of one case.

    Returns
    -------
    Rounds
        Without pairs where the order is unknown: times that are missing or equal, one sample on both sides.
    """
    ours, theirs = ([each for each in side if not why_unusable(each)] for side in (before, after))
    timed = [(_seconds(each), side, each) for side, samples in enumerate((ours, theirs)) for each in samples]
    known = [at for at, _, _ in timed if at is not None]
    if len(set(known)) < len(timed) or len({each.environment.host for _, _, each in timed}) > 1:
        return Rounds(pairs=(), is_interleaved=False)
    ordered = [(side, each) for _, side, each in sorted(timed, key=lambda one: one[0] or 0.0)]
    pairs = _pair(ordered)
    return Rounds(pairs=pairs, is_interleaved=len(pairs) > 1 and 2 * len(pairs) >= _WHOLE * len(ordered))


def _pair(ordered: Sequence[tuple[int, Record]]) -> tuple[tuple[Record, Record], ...]:
    pairs, place = [], 0
    while place + 1 < len(ordered):
        (side, one), (other_side, other) = ordered[place], ordered[place + 1]
        if side == other_side:
            place += 1
            continue
        pairs.append((other, one) if side else (one, other))
        place += 2
    return tuple(pairs)


def _seconds(record: Record) -> float | None:
    try:
        return datetime.fromisoformat(record.started_at).timestamp()
    except ValueError:
        return None
