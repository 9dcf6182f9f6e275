"""What the draws of a sampling run were like, counted one by one, and told now and then."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from firstgrad.measure.events import DrawsNow
from firstgrad.sampling import DrawCounts, SamplingPlan

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.measure.events import WorkerEvent

TELL_SECONDS = 0.1
"""Draws are told to the parent at most this often."""

_ENOUGH_DRAWS = 5
"""NUTS that is well may choose the place where it stands again, but hardly so many times in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One draw.

    Attributes
    ----------
    chain : int
        Of which chain.
    tuning, diverging : bool
        What kind of draw.
    gradient_evaluations, tree_depth : int
        What it took.
    acceptance : float
        Mean over its tree.
    step_size : float
        With which it was made.
    position : bytes
        Where the chain stands after it.
    """

    chain: int
    tuning: bool
    diverging: bool
    gradient_evaluations: int
    tree_depth: int
    acceptance: float
    step_size: float
    position: bytes


@dataclass(slots=True)
class _Sums:
    draws: int = 0
    divergences: int = 0
    evaluations: int = 0
    depth: int = 0
    acceptance: float = 0.0
    positions: dict[int, set[bytes]] = field(default_factory=dict)

    def add(self, drawn: Drawn) -> None:
        self.draws += 1
        self.divergences += drawn.diverging
        self.evaluations += drawn.gradient_evaluations
        self.depth += drawn.tree_depth
        self.acceptance += drawn.acceptance
        place = hashlib.blake2b(drawn.position, digest_size=16).digest()
        self.positions.setdefault(drawn.chain, set()).add(place)

    def counts(self) -> DrawCounts | None:
        if not self.draws:
            return None
        return DrawCounts(
            draws=self.draws,
            divergences=self.divergences,
            gradient_evaluations=self.evaluations,
            positions=sum(len(places) for places in self.positions.values()),
            mean_tree_depth=self.depth / self.draws,
            mean_acceptance=self.acceptance / self.draws,
        )


class DrawTally:
    """Counts draws.

    Parameters
    ----------
    plan : SamplingPlan
        How many there will be.
    emit : callable
        Takes each event as it happens.
    wall : callable
        A clock, in seconds.
    """

    def __init__(
        self,
        plan: SamplingPlan,
        emit: Callable[[WorkerEvent], None],
        *,
        wall: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan, self._emit, self._wall = plan, emit, wall
        self._tuning, self._drawing = _Sums(), _Sums()
        self._told: float | None = None
        self.step_size: float | None = None

    @property
    def tuning(self) -> DrawCounts | None:
        """The draws of tuning; none before the first."""
        return self._tuning.counts()

    @property
    def drawing(self) -> DrawCounts | None:
        """The draws after tuning; none before the first."""
        return self._drawing.counts()

    @property
    def stuck_chains(self) -> int:
        """Chains that stood at one place in all their draws, or in all those after tuning.

        Fewer than five cannot show it.
        """
        stuck = 0
        for chain, tuned in self._tuning.positions.items():
            drawn = self._drawing.positions.get(chain, set())
            never = len(tuned | drawn) == 1 and self._plan.tune + self._plan.draws >= _ENOUGH_DRAWS
            stuck += never or (len(drawn) == 1 and self._plan.draws >= _ENOUGH_DRAWS)
        return stuck

    def count(self, drawn: Drawn) -> None:
        """Count a draw."""
        (self._tuning if drawn.tuning else self._drawing).add(drawn)
        self.step_size = drawn.step_size

    def add(self, drawn: Drawn) -> None:
        """Count a draw that was made just now, and tell how many there are."""
        self.count(drawn)
        self.tell(self._tuning.draws, self._drawing.draws, self._tuning.divergences + self._drawing.divergences)

    def tell(self, tuned: int, drawn: int, divergences: int) -> None:
        """Tell how far it is, unless that was told a moment ago; the last draw of either kind is always told."""
        plan, now = self._plan, self._wall()
        is_last = drawn == plan.draws * plan.chains or (drawn == 0 and tuned == plan.tune)
        if is_last or self._told is None or now - self._told >= TELL_SECONDS:
            self._told = now
            self._emit(DrawsNow(tuned=tuned, drawn=drawn, divergences=divergences))
