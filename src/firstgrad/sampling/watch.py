"""What the worker notes of a run: stages by one clock, draws counted one by one, the first evaluation."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firstgrad.doubts import ENOUGH_DRAWS
from firstgrad.grouping import grouped
from firstgrad.measuring.phases import tree_cpu_seconds
from firstgrad.sampling.plan import DrawCounts, DrawsNow, SamplingPlan, SamplingStage, StageBegan, StageTime, add_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from firstgrad.sampling.plan import SamplingEvent, StartGradient

TELL_SECONDS = 0.1  # draws are told to the parent at most this often

_TOLD_APART = 0.1  # tuning and drawing are told apart where their border is known to this share of the two


class SamplerWatch:
    """What a sampler tells of one run goes here: `clock`, `tally` and `start`."""

    def __init__(self, plan: SamplingPlan, emit: Callable[[SamplingEvent], None]) -> None:
        self.plan, self.emit = plan, emit
        self.clock = StageClock(emit)
        self.tally = DrawTally(plan, emit)
        self.start: StartGradient | None = None


class StageClock:
    """Marks where stages begin, by two clocks in seconds; `emit` takes each mark as it is made."""

    def __init__(
        self,
        emit: Callable[[StageBegan], None],
        *,
        wall: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = tree_cpu_seconds,
    ) -> None:
        self._emit, self._wall, self._cpu = emit, wall, cpu
        self.zero = wall()
        self._marks: list[StageBegan] = []
        self._ended: StageBegan | None = None

    @property
    def stage(self) -> SamplingStage | None:
        """The present stage; none before the first."""
        return self._marks[-1].stage if self._marks else None

    def begin(self, stage: SamplingStage) -> None:
        """Begin a stage, which ends the one before; nothing where it is the present one."""
        if self._ended is None and stage is not self.stage:
            self._marks.append(self._mark(stage))
            self._emit(self._marks[-1])

    def end(self) -> None:
        """End the last stage."""
        self._ended = self._mark(SamplingStage.OTHER)

    def times(self, *, unsure_seconds: float = 0.0) -> tuple[StageTime, ...]:
        """Add up the stages that ended.

        By `unsure_seconds` the borders between tuning and drawing may be off, all together. Where that is too much, the
        two are one stage, `sampling`.
        """
        times = add_up([*self._marks, *([self._ended] if self._ended else [])])
        both = [spent for spent in times if spent.stage in (SamplingStage.TUNING, SamplingStage.DRAWING)]
        if unsure_seconds <= _TOLD_APART * sum(spent.wall_seconds for spent in both):
            return times
        first, *_ = both
        merged = StageTime(
            stage=SamplingStage.SAMPLING,
            wall_seconds=sum(spent.wall_seconds for spent in both),
            cpu_seconds=sum(spent.cpu_seconds for spent in both),
        )
        return tuple(merged if spent is first else spent for spent in times if spent is first or spent not in both)

    def _mark(self, stage: SamplingStage) -> StageBegan:
        # Processor time is asked for within: a mark's two readings belong together to some microseconds.
        return StageBegan(stage=stage, at_seconds=self._wall() - self.zero, cpu_seconds=self._cpu())


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One draw."""

    chain: int
    tuning: bool
    diverging: bool
    gradient_evaluations: int
    tree_depth: int
    acceptance: float  # mean over its tree
    step_size: float  # with which it was made
    position: bytes  # where the chain stands after it


class DrawTally:
    """Counts the draws of a plan; `emit` takes the numbers now and then, by a clock in seconds."""

    def __init__(
        self,
        plan: SamplingPlan,
        emit: Callable[[DrawsNow], None],
        *,
        wall: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan, self._emit, self._wall = plan, emit, wall
        self._tuning: list[Draw] = []
        self._drawing: list[Draw] = []
        self._divergences = 0
        self._emitted: float | None = None
        self.step_size: float | None = None

    @property
    def tuning(self) -> DrawCounts | None:
        """The draws of tuning; none before the first."""
        return _count(self._tuning)

    @property
    def drawing(self) -> DrawCounts | None:
        """The draws after tuning; none before the first."""
        return _count(self._drawing)

    @property
    def stuck_chains(self) -> int:
        """Chains that stood at one place in all their draws, or in all after tuning; fewer than five show nothing."""
        tuned, drawn = _places(self._tuning), _places(self._drawing)
        plan, stuck = self._plan, 0
        for chain, places in tuned.items():
            after = drawn.get(chain, set())
            never = len(places | after) == 1 and plan.tune + plan.draws >= ENOUGH_DRAWS
            stuck += never or (len(after) == 1 and plan.draws >= ENOUGH_DRAWS)
        return stuck

    def count(self, draw: Draw) -> None:
        """Count a draw."""
        digest = hashlib.blake2b(draw.position, digest_size=16).digest()
        (self._tuning if draw.tuning else self._drawing).append(replace(draw, position=digest))
        self._divergences += draw.diverging
        self.step_size = draw.step_size

    def add(self, draw: Draw) -> None:
        """Count a draw that was made just now, and tell how many there are."""
        self.count(draw)
        self.tell(len(self._tuning), len(self._drawing), self._divergences)

    def tell(self, tuned: int, drawn: int, divergences: int) -> None:
        """Tell how far it is, unless that was told a moment ago; the last draw of either kind is always told."""
        plan, now = self._plan, self._wall()
        is_last = drawn == plan.draws * plan.chains or (drawn == 0 and tuned == plan.tune)
        if is_last or self._emitted is None or now - self._emitted >= TELL_SECONDS:
            self._emitted = now
            self._emit(DrawsNow(tuned=tuned, drawn=drawn, divergences=divergences))


def _places(draws: Iterable[Draw]) -> dict[int, set[bytes]]:
    """Collect the places where each chain stood."""
    return {chain: set(places) for chain, places in grouped((one.chain, one.position) for one in draws).items()}


def _count(draws: list[Draw]) -> DrawCounts | None:
    if not draws:
        return None
    return DrawCounts(
        draws=len(draws),
        divergences=sum(draw.diverging for draw in draws),
        gradient_evaluations=sum(draw.gradient_evaluations for draw in draws),
        positions=sum(len(places) for places in _places(draws).values()),
        mean_tree_depth=sum(draw.tree_depth for draw in draws) / len(draws),
        mean_acceptance=sum(draw.acceptance for draw in draws) / len(draws),
    )
