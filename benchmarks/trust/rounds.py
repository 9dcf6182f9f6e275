"""Rounds of measured samples, and the comparisons that can be made of them: real ones, resampled ones, planted ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firstgrad.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np

A, B, SLOWER = "trust-a", "trust-b", "trust-slower"
"""Labels of the sides: A and B are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What was measured in one round.

    Attributes
    ----------
    a, b : Record
        Of the same case.
    slower : Record, optional
        Of a case that does more work.
    """

    a: Record
    b: Record
    slower: Record | None = None

    def records(self) -> list[Record]:
        """List the records, that of side A first: so a file of them can be read again."""
        return [each for each in (self.a, self.b, self.slower) if each is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A round as a comparison sees it."""

    base: Record
    head: Record


def read_rounds(records: Iterable[Record]) -> list[Round]:
    """Put records together again: a round begins with each record of side A. One that isn't whole is left out."""
    found: list[dict[str, Record]] = []
    for record in records:
        label = record.environment.label
        if label == A:
            found.append({})
        if found:
            found[-1][label] = record
    return [Round(a=each[A], b=each[B], slower=each.get(SLOWER)) for each in found if B in each]


def windows(rounds: Sequence[Round], length: int, *, step: int = 1) -> Iterator[Sequence[Round]]:
    """Take consecutive rounds, beginning at every `step`-th; windows of a step as long as they are don't overlap.

    Yields
    ------
    sequence of Round
        Of that length.
    """
    for start in range(0, len(rounds) - length + 1, step):
        yield rounds[start : start + length]


def resample(rounds: Sequence[Round], length: int, chance: np.random.Generator, *, block: int) -> list[Round]:
    """Draw rounds in blocks of neighbours (circular block bootstrap), so that drift and bursts stay what they were.

    Politis and Romano, A circular block-resampling procedure for stationary data, 1992.
    """
    starts = chance.integers(len(rounds), size=-(-length // block))
    drawn = (int(start + offset) % len(rounds) for start in starts for offset in range(block))
    return [rounds[number] for number, _ in zip(drawn, range(length), strict=False)]


def as_unchanged(rounds: Iterable[Round], chance: np.random.Generator) -> list[Pair]:
    """Call one sample of each round BASE and the other HEAD, by chance: nothing can have changed between them."""
    return [
        Pair(base=each.b, head=each.a) if chance.random() < 0.5 else Pair(base=each.a, head=each.b)  # noqa: PLR2004
        for each in rounds
    ]


def as_slower(rounds: Iterable[Round], chance: np.random.Generator) -> list[Pair]:
    """Compare one of both equal samples, by chance, with the really slower one; rounds without one are left out."""
    return [
        Pair(base=each.a if chance.random() < 0.5 else each.b, head=each.slower)  # noqa: PLR2004
        for each in rounds
        if each.slower is not None
    ]


def plant(pairs: Iterable[Pair], factor: float) -> list[Pair]:
    """Multiply all measured seconds of HEAD up to the first gradient."""
    return [replace(pair, head=slow_down(pair.head, factor)) for pair in pairs]


def slow_down(record: Record, factor: float) -> Record:
    """Multiply the seconds of a record up to the first gradient, of each phase and of the whole, wall and CPU."""
    whole, spent = record.time_to_first_gradient_seconds, record.time_to_first_gradient_cpu_seconds
    return replace(
        record,
        time_to_first_gradient_seconds=None if whole is None else whole * factor,
        time_to_first_gradient_cpu_seconds=None if spent is None else spent * factor,
        phases=tuple(
            replace(each, wall_seconds=each.wall_seconds * factor, cpu_seconds=each.cpu_seconds * factor)
            for each in record.phases
        ),
    )
