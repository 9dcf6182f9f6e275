"""One watched thread: what the looks at its stack add up to."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from firstgrad.observe.events import Stage
from firstgrad.progress.history import expect
from firstgrad.progress.snapshot import Look, Snapshot, Summary, Units

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from firstgrad.progress.history import FormerRun

_ASKED_OFTEN = 5


class Session:
    """A thread from its entry into the block to its exit.

    Parameters
    ----------
    title : str
        What the user calls it.
    until : frame, optional
        The frame that holds the block; what lies outside is not looked at.
    runs : sequence of FormerRun
        Former runs of the same.
    clock : callable
        In seconds.
    """

    def __init__(
        self, title: str, until: FrameType | None, runs: Sequence[FormerRun], clock: Callable[[], float]
    ) -> None:
        self.title, self.until, self.thread_id = title, until, threading.get_ident()
        self._runs, self._clock = runs, clock
        self._began = self._looked = self._stage_began = clock()
        self._look = Look()
        self._looks: Counter[Stage] = Counter()
        self._seconds: dict[Stage, float] = {}
        self._read: set[str] = set()
        self._misses: Counter[str] = Counter()
        self._at_start: dict[str, Units] = {}
        self._units: tuple[Units, ...] = ()
        self._rss: tuple[int, int] | None = None
        self._peak: int | None = None
        self._gap = 0.0
        self._compiled_until: float | None = None
        self.backend = ""
        self.is_cache_seen = False
        self.is_cache_first: bool | None = None
        self.cpu_seconds = 0.0

    def count_from(self, units: Sequence[Units]) -> None:
        """Take what was compiled before as the zero."""
        self._at_start = {each.kind: each for each in units}

    def take(self, look: Look) -> None:
        """Take a look into account."""
        now = self._clock()
        self._gap = max(self._gap, now - self._looked)
        if look.stage is not self._look.stage:
            self._stage_began = self._looked
        self._seconds[look.stage] = self._seconds.get(look.stage, 0.0) + now - self._looked
        self._looks[look.stage] += 1
        self._look, self._looked = look, now
        for reader, found in look.read:
            if found:
                self._read.add(reader)
            else:
                self._misses[reader] += 1
        if look.backend and not (look.backend == "c" and self.backend):
            self.backend = look.backend
        self.is_cache_seen = self.is_cache_seen or look.reads_cache
        if look.stage is Stage.SAMPLE and self._compiled_until is None:
            self._compiled_until = now

    def count(self, units: Sequence[Units]) -> None:
        """Take the counts of this process into account."""
        self._units = tuple(_less(each, self._at_start.get(each.kind)) for each in units)
        self.is_cache_seen = self.is_cache_seen or any(each.from_cache for each in self._units)
        if self.is_cache_first is None and (self.compiled or self.is_cache_seen):
            self.is_cache_first = not self.compiled

    def weigh(self, rss: tuple[int, int] | None) -> None:
        """Take a look at the memory into account."""
        self._rss = rss
        if rss is not None:
            self._peak = max(self._peak or 0, rss[0])

    @property
    def is_visible(self) -> bool:
        """Whether there is something to show: samplers have displays of their own."""
        if self._look.stage is Stage.SAMPLE:
            return self._look.unit_kind is not None
        return self._compiled_until is None or self._look.stage.is_compile

    @property
    def is_compile_seen(self) -> bool:
        """Whether anything was compiled at all."""
        return any(stage.is_compile for stage in tuple(self._looks))  # the watching thread may add one meanwhile

    @property
    def compiled(self) -> int | None:
        """How many units were compiled; none where nobody counted."""
        return sum(each.compiled for each in self._units) if self._units else None

    @property
    def unread(self) -> tuple[str, ...]:
        """Readers that were asked often and never found what they read."""
        never = (reader for reader, misses in tuple(self._misses.items()) if misses >= _ASKED_OFTEN)
        return tuple(reader for reader in never if reader not in self._read)

    def snapshot(self) -> Snapshot:
        """Say what is known now."""
        now = self._clock()
        elapsed = now - self._began
        expected = None
        if self._compiled_until is None:
            expected = expect(
                self._runs,
                elapsed_seconds=elapsed,
                backend=self.backend,
                compiled=self.compiled or 0,
                is_cache_first=self.is_cache_first,
            )
        rss, processes = self._rss or (None, 1)
        return Snapshot(
            title=self.title,
            thread_id=self.thread_id,
            look=self._look,
            stage_seconds=now - self._stage_began,
            elapsed_seconds=elapsed,
            units=self._units,
            is_cache_seen=self.is_cache_seen,
            rss_bytes=rss,
            processes=processes,
            expected=expected,
        )

    def summary(self) -> Summary:
        """Say how it went."""
        until = self._compiled_until if self._compiled_until is not None else self._clock()
        return Summary(
            seconds=until - self._began,
            stage_seconds=tuple(self._seconds.items()),
            looks=tuple(self._looks.items()),
            units=self._units,
            peak_rss_bytes=self._peak,
            longest_gap_seconds=self._gap,
            cpu_seconds=self.cpu_seconds,
        )


def _less(units: Units, before: Units | None) -> Units:
    if before is None:
        return units
    cached = None if units.from_cache is None else units.from_cache - (before.from_cache or 0)
    return Units(kind=units.kind, compiled=units.compiled - before.compiled, from_cache=cached)
