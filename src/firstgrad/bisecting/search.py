"""Where to look next: a search for the largest change of a number along a line of revisions, or for the first one."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

MOST_SKIPPED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Two measured revisions with none between them that was measured, by their places."""

    low: int
    high: int
    gain: float  # by how much the number moves towards that of BAD


@dataclass(slots=True, kw_only=True)
class Search:
    """A search along places 0 (GOOD) to `last` (BAD), whose numbers are known.

    The interval over which the number changes most, towards that of BAD, is halved again and again, until it can't be:
    no other one can then hold a larger change, but for what is undone between two measured places. One step is so
    found as any bisection finds it. With `is_first` it is the earliest interval that holds a change beyond
    `least`, a part of the whole change.

    A revision that can't be measured is skipped, and another one of the same interval tried, ever farther from its
    middle; after `most_skipped` of them in one interval it is given up.
    """

    last: int
    good: float
    bad: float
    is_first: bool = False
    least: float = 0.1
    most_skipped: int = MOST_SKIPPED
    numbers: dict[int, float] = field(init=False)
    skipped: set[int] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.numbers = {0: self.good, self.last: self.bad}

    def intervals(self) -> list[Neighbours]:
        """List what lies between measured places, from GOOD to BAD."""
        places, whole = sorted(self.numbers), self.bad - self.good
        sign = math.copysign(1.0, whole)
        return [
            Neighbours(low=low, high=high, gain=sign * (self.numbers[high] - self.numbers[low]))
            for low, high in itertools.pairwise(places)
        ]

    def best(self) -> Neighbours:
        """Return where the change is, as far as is known."""
        intervals = self.intervals()
        if self.is_first:
            beyond = self.least * abs(self.bad - self.good)
            return next((one for one in intervals if one.gain > beyond), intervals[-1])
        return max(intervals, key=lambda one: (one.gain, one.low - one.high))

    def open_places(self, interval: Neighbours) -> list[int]:
        """List the places within an interval that may still be measured."""
        within = range(interval.low + 1, interval.high)
        left = [place for place in within if place not in self.skipped]
        return left if len(within) - len(left) < self.most_skipped else []

    def next_place(self) -> int | None:
        """Choose the place to measure next; none where the search is at its end."""
        interval = self.best()
        left = self.open_places(interval)
        if not left:
            return None
        middle, skipped = (interval.low + interval.high) // 2, interval.high - interval.low - 1 - len(left)
        # Twice as far from the middle after each one, on either side: those that can't be measured stand together.
        away = (1 - 2 * (skipped % 2)) * 2 ** (skipped - 1) if skipped else 0
        return min(left, key=lambda place: abs(place - middle - away))

    def add(self, place: int, number: float | None) -> None:
        """Take a place's number; none where it couldn't be measured."""
        if number is None:
            self.skipped.add(place)
        else:
            self.numbers[place] = number

    def left(self) -> tuple[int, int]:
        """Say how many revisions are left where the change is, and about how many steps that takes."""
        count = len(self.open_places(self.best()))
        return count, math.ceil(math.log2(count + 1))
