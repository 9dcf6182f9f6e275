"""Clocks of one measurement: phases that follow each other, processor time, exact memory peaks, instructions."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.measuring.events import PhaseBegan, PhaseEnded
from firstgrad.record import PhaseRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firstgrad.measuring.events import WorkerEvent
    from firstgrad.phase import Phase


def tree_cpu_seconds(
    tree: Callable[[], os.times_result] = os.times, own: Callable[[], float] = time.process_time
) -> float:
    """Processor time of this process and of its children that have ended, user and system.

    Its clocks, as all of a worker's, are arguments with defaults: taken before a model's code can put others there.
    """
    times = tree()
    # os.times counts in ticks of 10 ms; for this process there is a finer clock.
    return own() + times.children_user + times.children_system


class HighWaterMark:
    """The kernel's own high-water mark of this process's resident memory, reset at will.

    Writing ``5`` to ``/proc/self/clear_refs`` resets it (Linux, see proc(5)); elsewhere nothing is known.
    """

    def __init__(self, proc: Path = Path("/proc/self")) -> None:
        self._status = proc / "status"
        self._clear = proc / "clear_refs"

    def reset(self) -> None:
        """Start a new mark at the present size."""
        try:
            self._clear.write_text("5")
        except OSError:
            return

    def read_bytes(self) -> int | None:
        """Highest resident size since the last reset; none where the system doesn't tell."""
        try:
            for line in self._status.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        except OSError:
            pass
        return None


class PhaseTimer:
    """Times phases that follow each other.

    Parameters
    ----------
    emit : callable
        Takes each event as it happens.
    wall, cpu : callable
        Clocks, in seconds.
    instructions : callable
        Counter of instructions; gives None where there is none.
    high_water : HighWaterMark
        Memory of this process.
    """

    def __init__(
        self,
        emit: Callable[[WorkerEvent], None],
        *,
        wall: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = tree_cpu_seconds,
        instructions: Callable[[], int | None] = lambda: None,
        high_water: HighWaterMark | None = None,
    ) -> None:
        self._emit, self._wall, self._cpu, self._instructions = emit, wall, cpu, instructions
        self._high_water = high_water or HighWaterMark()
        self.zero = wall()
        self.records: list[PhaseRecord] = []
        self.current: Phase | None = None
        self.turn: Callable[[Phase | None], None] = lambda _: None
        """Told last that a phase begins, and first, by None, that it ends."""
        self._began = self._began_cpu = 0.0

    def now(self) -> float:
        """Seconds since the start of this clock."""
        return self._wall() - self.zero

    def read(self) -> Reading:
        """Read all clocks at once."""
        return Reading(self.now(), self._cpu(), self._instructions())

    def begin(self, phase: Phase, at: Reading | None = None) -> None:
        """Begin a phase, now or as of a moment; the former one must have ended."""
        if self.current is not None:
            raise RuntimeError(f"phase {self.current} has not ended")
        self.current = phase
        self._emit(PhaseBegan(phase=phase, at_seconds=self.now() if at is None else at.wall_seconds))
        self._high_water.reset()
        self._began_cpu, self._began = (self._cpu(), self.now()) if at is None else (at.cpu_seconds, at.wall_seconds)
        self.turn(phase)

    def switch(self, phase: Phase) -> None:
        """End the present phase and begin another one at the same moment; nothing where it is the present one."""
        if phase is not self.current:
            at = self.read()
            self.end(at)
            self.begin(phase, at)

    def end(self, at: Reading | None = None) -> None:
        """End the present phase, now or as of a moment that another thread has read; keep it in `records`."""
        self.turn(None)
        ended, ended_cpu = (self.now(), self._cpu()) if at is None else (at.wall_seconds, at.cpu_seconds)
        if self.current is None:
            raise RuntimeError("no phase has begun")
        record = PhaseRecord(
            phase=self.current,
            began_seconds=self._began,
            wall_seconds=ended - self._began,
            cpu_seconds=ended_cpu - self._began_cpu,
            self_peak_rss_bytes=self._high_water.read_bytes(),
        )
        self.current = None
        self.records.append(record)
        self._emit(PhaseEnded(record=record))

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Time a block. Where it raises, the phase stays current: that is where the failure was."""
        self.begin(phase)
        yield
        self.end()


@dataclass(frozen=True, slots=True)
class Reading:
    """Clocks and the counter of instructions, read at one moment; or the difference of two such moments."""

    wall_seconds: float
    cpu_seconds: float
    instructions: int | None = None

    def __sub__(self, before: Reading) -> Reading:
        """Take what passed between two readings; a count that is unknown in one of them stays unknown."""
        known = self.instructions is not None and before.instructions is not None
        return Reading(
            self.wall_seconds - before.wall_seconds,
            self.cpu_seconds - before.cpu_seconds,
            self.instructions - before.instructions if known else None,  # type: ignore[operator]  # known says so
        )
