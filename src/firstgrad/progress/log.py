"""Progress in a log: a line when the stage changes, and one now and then in a long stage."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from firstgrad.observe.events import Stage
from firstgrad.progress.display import LOG_SECONDS
from firstgrad.progress.render import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firstgrad.progress.snapshot import Snapshot

_LEAST_SECONDS = 1.0


class Log:
    """Writes lines. A stage that is over within a second may go without one.

    Parameters
    ----------
    write : callable
        Takes text.
    every_seconds : float
        At least so often a line is written.
    clock : callable
        In seconds.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        every_seconds: float = LOG_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._every, self._clock = write, every_seconds, clock
        self._wrote: dict[tuple[int, str], tuple[Stage, float]] = {}

    def draw(self, snapshots: Sequence[Snapshot]) -> None:
        """Write a line of those that changed stage or were silent for long."""
        now = self._clock()
        for each in snapshots:
            who = each.thread_id, each.title
            stage, wrote = self._wrote.get(who, (Stage.OTHER, now - _LEAST_SECONDS))
            since = now - wrote
            changed = each.look.stage not in {stage, Stage.OTHER} and since >= _LEAST_SECONDS
            self._wrote.setdefault(who, (Stage.OTHER, wrote))
            if changed or since >= self._every:
                self._wrote[who] = each.look.stage, now
                self._write(f"{one_line(each)}\n")

    def close(self, conclusion: str) -> None:
        """Write how it went."""
        if conclusion:
            self._write(f"{conclusion}\n")
