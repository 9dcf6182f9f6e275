"""The stages of a sampling run by one clock: marks where each begins, added up by stage afterwards."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING

from firstgrad.measure.events import StageBegan
from firstgrad.measure.phases import tree_cpu_seconds
from firstgrad.sampling import SamplingStage, StageTime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firstgrad.measure.events import WorkerEvent

_TOLD_APART = 0.1
"""Tuning and drawing are told apart where their border is known to this share of the two."""


class StageClock:
    """Marks where stages begin.

    Parameters
    ----------
    emit : callable
        Takes each event as it happens.
    wall, cpu : callable
        Clocks, in seconds.
    """

    def __init__(
        self,
        emit: Callable[[WorkerEvent], None],
        *,
        wall: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = tree_cpu_seconds,
    ) -> None:
        self._emit, self._wall, self._cpu = emit, wall, cpu
        self.zero = wall()
        self.marks: list[StageBegan] = []
        self._ended: StageBegan | None = None

    @property
    def stage(self) -> SamplingStage | None:
        """The present stage; none before the first."""
        return self.marks[-1].stage if self.marks else None

    def begin(self, stage: SamplingStage) -> None:
        """Begin a stage, which ends the one before; nothing where it is the present one."""
        if self._ended is None and stage is not self.stage:
            self.marks.append(self._mark(stage))
            self._emit(self.marks[-1])

    def end(self) -> None:
        """End the last stage."""
        self._ended = self._mark(SamplingStage.OTHER)

    def times(self, *, unsure_seconds: float = 0.0) -> tuple[StageTime, ...]:
        """Add up the stages.

        Parameters
        ----------
        unsure_seconds : float
            How far the borders between tuning and drawing may be off, all together.

        Returns
        -------
        tuple of StageTime
            Without the present stage, if `end` was not called. Tuning and drawing are one, `sampling`, where their
            border is not known well enough.
        """
        times = add_up([*self.marks, *([self._ended] if self._ended else [])])
        both = [each for each in times if each.stage in (SamplingStage.TUNING, SamplingStage.DRAWING)]
        if unsure_seconds <= _TOLD_APART * sum(each.wall_seconds for each in both):
            return times
        merged = StageTime(
            stage=SamplingStage.SAMPLING,
            wall_seconds=sum(each.wall_seconds for each in both),
            cpu_seconds=sum(each.cpu_seconds for each in both),
        )
        first, *_ = both
        return tuple(merged if each is first else each for each in times if each is first or each not in both)

    def _mark(self, stage: SamplingStage) -> StageBegan:
        # Processor time is asked for within: a mark's two readings belong together to some microseconds.
        return StageBegan(stage=stage, at_seconds=self._wall() - self.zero, cpu_seconds=self._cpu())


def add_up(marks: Sequence[StageBegan]) -> tuple[StageTime, ...]:
    """Add up the time between marks by stage; chains that follow each other go through two stages in turn.

    Returns
    -------
    tuple of StageTime
        In the order in which stages began; the last mark only ends the one before.
    """
    wall: dict[SamplingStage, float] = {}
    cpu: dict[SamplingStage, float] = {}
    for began, ended in pairwise(marks):
        wall[began.stage] = wall.get(began.stage, 0.0) + ended.at_seconds - began.at_seconds
        cpu[began.stage] = cpu.get(began.stage, 0.0) + ended.cpu_seconds - began.cpu_seconds
    return tuple(StageTime(stage=stage, wall_seconds=wall[stage], cpu_seconds=cpu[stage]) for stage in wall)
