"""Live progress: the present phase, elapsed time and resident memory, through a silent compile too.

The text is made from the events and a clock; who draws it (a terminal's live line, or a line now and then in a
log) is apart from that. Elapsed time lives here in the parent, so no compile can stop it.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from firstgrad.cli.console import make_console
from firstgrad.measure.events import MemoryNow, PassBegan, PhaseBegan, PhaseEnded, Started, UnitsNow
from firstgrad.record import Phase
from firstgrad.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

    from firstgrad.measure.events import Event

REFRESH_PER_SECOND = 8
LOG_SECONDS = 10.0


class Display(Protocol):
    """What takes the events of a measurement."""

    def __call__(self, event: Event) -> None:
        """Take an event."""


class Progress:
    """The state that a display shows.

    Parameters
    ----------
    title : str
        What is measured.
    clock : callable
        In seconds.
    expected_seconds : sequence of float or None
        Of each process in turn, from former samples; the last one holds for all that follow. None: not known.
    """

    def __init__(
        self,
        title: str,
        clock: Callable[[], float] = time.monotonic,
        expected_seconds: Sequence[float | None] = (),
    ) -> None:
        self._title, self._clock = title, clock
        self._to_come = list(expected_seconds)
        self._expected_seconds: float | None = None
        self._began = clock()
        self._phase_began = self._began
        self.phase: Phase | None = None
        self._detail = ""
        self._units = 0
        self._rss_bytes = 0
        self._processes = 1
        self._done: list[str] = []
        self._is_called = False

    def apply(self, event: Event) -> None:
        """Take an event."""
        match event:
            case Started():
                self.phase, self._done, self._detail, self._is_called = None, [], "", False
                self._units = 0
                if self._to_come:
                    self._expected_seconds = self._to_come.pop(0) if len(self._to_come) > 1 else self._to_come[0]
                self._began = self._phase_began = self._clock()
            case PhaseBegan(phase=phase):
                self.phase, self._detail, self._phase_began = phase, "", self._clock()
            case PhaseEnded(record=record):
                self._is_called = self._is_called or record.phase in (Phase.FIRST_CALL, Phase.EVALUATE)
                self._done.append(f"{record.phase} {format_seconds(record.wall_seconds)}")
                self.phase, self._detail, self._phase_began = None, "", self._clock()
            case PassBegan(name=name, number=number, total=total, nodes=nodes):
                self._detail = f"pass {number} of {total}, {name}, {nodes} nodes"
            case UnitsNow(compiled=compiled):
                self._units = compiled
            case MemoryNow(rss_bytes=rss_bytes, processes=processes):
                self._rss_bytes, self._processes = rss_bytes, processes
            case _:
                pass

    def line(self) -> str:
        """Say where the measurement is now."""
        now = self._clock()
        between = "starting" if not self._done else "checking" if self._is_called else "preparing"
        phase = str(self.phase) if self.phase else between
        parts = [f"{phase} {now - self._phase_began:.1f} s"]
        if self._detail:
            parts.append(self._detail)
        if self._units and self.phase in (Phase.LINK, Phase.FIRST_CALL):
            parts.append(f"{format_count(self._units, 'unit')} compiled")
        parts += [f"{now - self._began:.1f} s in all", *self._left(now), format_bytes(self._rss_bytes)]
        if self._processes > 1:
            parts.append(f"{self._processes} processes")
        return f"{self._title}: {' · '.join(parts)}"

    def _left(self, now: float) -> list[str]:
        if self._expected_seconds is None or self._is_called:
            return []
        left = self._expected_seconds - (now - self._began)
        return [f"some {format_seconds(left)} left" if left > 0 else "longer than former samples"]

    def done(self) -> str:
        """List the phases that ended, with their times."""
        return ", ".join(self._done)


class _Screen:
    """Draws the present text whenever it is asked to; Rich asks `REFRESH_PER_SECOND` times a second."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._spinner = Spinner("dots")

    def __rich__(self) -> Spinner:
        text = Text(self._progress.line())
        if done := self._progress.done():
            text.append(f"\n  {done}", style="dim")
        self._spinner.update(text=text)
        return self._spinner


class _Log:
    """Writes a line when the phase changes, and every `LOG_SECONDS` in a long one."""

    def __init__(self, progress: Progress, write: Callable[[str], object], clock: Callable[[], float]) -> None:
        self._progress, self._write, self._clock = progress, write, clock
        self._phase: Phase | None = None
        self._wrote = clock()

    def __call__(self, event: Event) -> None:
        self._progress.apply(event)
        now = self._clock()
        changed = self._progress.phase is not None and self._progress.phase is not self._phase
        if changed or now - self._wrote >= LOG_SECONDS:
            self._phase, self._wrote = self._progress.phase, now
            self._write(f"{self._progress.line()}\n")


@contextmanager
def show_progress(
    title: str,
    *,
    console: Console | None = None,
    clock: Callable[[], float] = time.monotonic,
    expected_seconds: Sequence[float | None] = (),
) -> Iterator[Display]:
    """Show a measurement's progress on standard error while the block runs.

    Parameters
    ----------
    title : str
        What is measured.
    console : rich.console.Console, optional
        Where to draw; standard error where left out.
    clock : callable
        In seconds.
    expected_seconds : sequence of float or None
        As in `Progress`.

    Yields
    ------
    Display
        To be given each event.
    """
    console = console or make_console(stderr=True)
    progress = Progress(title, clock, expected_seconds)
    if not console.is_terminal:
        yield _Log(progress, console.file.write if console.file is not sys.stderr else sys.stderr.write, clock)
        return
    with Live(_Screen(progress), console=console, refresh_per_second=REFRESH_PER_SECOND, transient=True):
        yield progress.apply
