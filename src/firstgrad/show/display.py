"""Live progress of one measurement, and of many: what runs, since when, and how long it is still going to take.

The text is made from the events and a clock; who draws it (a terminal's live line, or a line now and then in a
log) is apart from that. Elapsed time lives here in the parent, so no compile can stop it.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from firstgrad.doubts import why_unusable
from firstgrad.measuring.events import MemoryNow, PassBegan, PhaseBegan, PhaseEnded, Started, UnitsNow
from firstgrad.phase import FIRST_DRAW_PHASES, Phase
from firstgrad.progress.displays import CellOutput, is_notebook
from firstgrad.show.result import make_console
from firstgrad.sweep.rounds import Notice, SampleBegan, SampleEnded, SampleLost, SampleProgress, SampleSkipped
from firstgrad.units import clean_line, format_bytes, format_count, format_seconds, shorten_middle, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from rich.console import Console

    from firstgrad.case import Case
    from firstgrad.measuring.events import Event
    from firstgrad.record import Record
    from firstgrad.sweep.grid import Grid
    from firstgrad.sweep.plan import Durations, Job, Plan
    from firstgrad.sweep.rounds import SweepEvent

REFRESH_PER_SECOND = 8
LOG_SECONDS = 10.0
CELL_SECONDS = 0.3
_BAR_CELLS = 30
_LONGEST_TITLE = 300
_CALLED = (Phase.FIRST_CALL, Phase.FIRST_DRAW, Phase.EVALUATE)
_COMPILING = (*FIRST_DRAW_PHASES, Phase.LINK, Phase.FIRST_CALL)


type Display = Callable[[Event], None]


class Progress:
    """The state that a display shows.

    `expected_seconds` are those of each process in turn, from former samples; the last one holds for all that follow.
    None: not known.
    """

    def __init__(
        self,
        title: str,
        clock: Callable[[], float] = time.monotonic,
        expected_seconds: Sequence[float | None] = (),
    ) -> None:
        self._title, self._clock = shorten_middle(title, _LONGEST_TITLE), clock
        self._to_come = list(expected_seconds)
        self._expected_seconds: float | None = None
        self._began = clock()
        self._phase_began = self._began
        self.phase: Phase | None = None
        self._detail = ""
        self._units = 0
        self._rss_bytes = 0
        self._processes = 1
        self._done: dict[Phase, float] = {}
        self._is_called = False
        self._spinner = Spinner("dots")

    def apply(self, event: Event) -> None:
        """Take an event."""
        match event:
            case Started():
                self.phase, self._done, self._detail, self._is_called = None, {}, "", False
                self._units = 0
                if self._to_come:
                    self._expected_seconds = self._to_come.pop(0) if len(self._to_come) > 1 else self._to_come[0]
                self._began = self._phase_began = self._clock()
            case PhaseBegan(phase=phase):
                self.phase, self._detail, self._phase_began = phase, "", self._clock()
            case PhaseEnded(record=record):
                self._is_called = self._is_called or record.phase in _CALLED
                self._done[record.phase] = self._done.get(record.phase, 0.0) + record.wall_seconds
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
        if self._units and self.phase in _COMPILING:
            parts.append(f"{format_count(self._units, 'unit')} compiled")
        parts += [f"{now - self._began:.1f} s in all", *self._left(now), format_bytes(self._rss_bytes)]
        if self._processes > 1:
            parts.append(f"{self._processes} processes")
        return clean_line(f"{self._title}: {' · '.join(parts)}")

    def _left(self, now: float) -> list[str]:
        if self._expected_seconds is None or self._is_called:
            return []
        left = self._expected_seconds - (now - self._began)
        return [f"some {format_seconds(left)} left" if left > 0 else "longer than former samples"]

    def __rich__(self) -> Spinner:
        """Draw it; Rich asks for that `REFRESH_PER_SECOND` times a second."""
        text = Text(self.line())
        if done := self.done():
            text.append(f"\n  {done}", style="dim")
        self._spinner.update(text=text)
        return self._spinner

    def done(self) -> str:
        """List the phases that ended, with their times."""
        return ", ".join(f"{phase} {format_seconds(seconds)}" for phase, seconds in self._done.items())


class LoggedState(Protocol):
    """What a log is written of."""

    @property
    def phase(self) -> object | None:
        """What runs now."""

    def apply(self, event: Any) -> None:
        """Take an event."""

    def line(self) -> str:
        """Say where it is now."""


class ProgressLog:
    """Writes a line when a phase begins that had not been before, and every `LOG_SECONDS`."""

    def __init__(self, state: LoggedState, console: Console, clock: Callable[[], float]) -> None:
        self._state, self._console, self._clock = state, console, clock
        self._phases: set[object] = set()
        self._wrote = clock()

    def __call__(self, event: Any) -> None:
        """Take an event."""
        self._state.apply(event)
        now, phase = self._clock(), self._state.phase
        if isinstance(event, Started):
            self._phases.clear()
        if (phase is not None and phase not in self._phases) or now - self._wrote >= LOG_SECONDS:
            self._phases.add(phase)
            self._wrote = now
            self._console.file.write(f"{self._state.line()}\n")


@contextmanager
def show_progress(
    title: str,
    *,
    console: Console | None = None,
    clock: Callable[[], float] = time.monotonic,
    expected_seconds: Sequence[float | None] = (),
) -> Iterator[Display]:
    """Show a measurement's progress on standard error while the block runs.

    It is drawn on standard error where no console is given; `expected_seconds` as in `Progress`. Yields what is to be
    given each event.
    """
    progress = Progress(title, clock, expected_seconds)
    if console is None and is_notebook():
        with _in_cell(progress.apply, lambda: f"{progress.line()}\n  {progress.done()}", clock) as draw:
            yield draw
        return
    console = console or make_console(stderr=True)
    if not console.is_terminal:
        yield ProgressLog(progress, console, clock)
        return
    with Live(progress, console=console, refresh_per_second=REFRESH_PER_SECOND, transient=True):
        yield progress.apply


@contextmanager
def _in_cell(
    apply: Callable[[Any], object], text: Callable[[], str], clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Any], None]]:
    """Show a text in a notebook's cell, anew after an event but not too often, and nothing after the block."""
    output, drawn = CellOutput(), clock() - CELL_SECONDS

    def draw(event: Any) -> None:
        nonlocal drawn
        apply(event)
        if clock() - drawn >= CELL_SECONDS:  # each is a message to the browser
            drawn = clock()
            output.update(text())

    try:
        yield draw
    finally:
        output.update("")


class SweepState:
    """Samples of a sweep or a duel as a display shows them; it teaches `durations` with every sample that ends."""

    def __init__(
        self,
        plan: Plan,
        durations: Durations,
        *,
        at_once: int = 1,
        budget_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget_seconds = budget_seconds  # in which it is going to end in any case
        self._clock, self._durations, self._at_once = clock, durations, at_once
        self._began = clock()
        self._left = dict.fromkeys(plan.jobs)
        self._started: dict[Job, float] = {}
        self.total = len(plan.jobs)
        self.running: dict[Job, Progress] = {}
        self.measured = self.failed = self.skipped = 0
        self.notice = ""

    def apply(self, event: SweepEvent) -> str:
        """Take an event; returns a line for a log, '' where the event is none for it."""
        return clean_line(self._apply(event))

    def _apply(self, event: SweepEvent) -> str:
        match event:
            case SampleBegan(job=job, worker=worker):
                side = f"{job.side}: " if job.side else ""
                title = f"{side}{job.case}, sample {job.number}" + (f" on {worker}" if worker else "")
                if job not in self._left:  # it stood still, and is measured again
                    self._left[job] = None
                    self.total += 1
                self.running[job] = Progress(title, self._clock)
                self._started[job] = self._clock()
                self.notice = ""
            case SampleProgress(job=job, event=inner):
                if job in self.running:
                    self.running[job].apply(inner)
            case SampleLost(job=job, worker=worker):
                self.running.pop(job, None)
                return f"lost with {worker}, to be measured again: {job.case}"
            case SampleSkipped(job=job):
                self._left.pop(job, None)
                self.skipped += 1
            case SampleEnded(job=job, record=record):
                return self._end(job, record)
            case Notice(message=message):
                self.notice = clean_line(message)
                return message
        return ""

    def headline(self) -> str:
        """Say how far the sweep is."""
        over = self.measured + self.skipped
        parts = [f"{over} of {self.total} samples", f"{len(self.running)} running", f"{self.failed} without numbers"]
        if self.skipped:
            parts.append(f"{self.skipped} skipped")
        parts += [f"{span(self._clock() - self._began)} in all", self.remaining()]
        return " · ".join(parts)

    def __rich__(self) -> Text:
        full = round(self.fraction() * _BAR_CELLS)
        text = Text.assemble(("━" * full, "green"), ("━" * (_BAR_CELLS - full), "dim"), f" {self.headline()}")
        for progress in tuple(self.running.values()):
            text.append(f"\n  {progress.line()}")
        if self.notice:
            text.append(f"\n  {self.notice}", style="yellow")
        return text

    def text(self) -> str:
        """Say how far the sweep is, and below it where each running sample is."""
        running = (f"  {progress.line()}" for progress in tuple(self.running.values()))
        return "\n".join([self.headline(), *running, *([f"  {self.notice}"] * bool(self.notice))])

    def fraction(self) -> float:
        """Part of the samples that is over, from 0 to 1."""
        return (self.measured + self.skipped) / self.total if self.total else 1.0

    def remaining(self) -> str:
        """Say when it will be over, as far as is known."""
        if self._budget_seconds is not None:
            return f"{span(max(self._budget_seconds - (self._clock() - self._began), 0.0))} of the time budget left"
        seconds, unknown = self._durations.of_all(self._left)
        for job, began in self._started.items():
            seconds -= min(self._clock() - began, self._durations.of(job.case) or 0.0)
        if unknown == len(self._left) and unknown:
            return "time left not known yet"
        seconds = max(seconds, 0.0) / max(len(self.running), self._at_once)
        end = time.strftime("%H:%M", time.localtime(time.time() + seconds))
        more = f" and {unknown} samples of unknown length" if unknown else ""
        return f"about {span(seconds)} left (till {end}){more}"

    def _end(self, job: Job, record: Record) -> str:
        self._left.pop(job, None)
        self.running.pop(job, None)
        began = self._started.pop(job, None)
        self.measured += 1
        reason = why_unusable(record)
        self.failed += bool(reason)
        if began is not None and not reason:
            self._durations.learn(job.case, self._clock() - began)
        count = f"[{self.measured + self.skipped}/{self.total}]"
        what = f"{job.side}, {job.case.model}" if job.side else job.case
        return f"{count} {what}: {describe_sample(record)}; {self.remaining()}"


@contextmanager
def show_sweep(
    state: SweepState, opening_lines: Iterable[str], *, console: Console | None = None
) -> Iterator[Callable[[SweepEvent], None]]:
    """Show what runs on standard error (or a console), after some lines on what is going to happen.

    Yields what is to be given each event, from any thread.
    """
    if console is None and is_notebook():
        with _in_cell(state.apply, state.text) as tell:
            yield tell
        return
    console = console or make_console(stderr=True)
    for line in opening_lines:
        console.print(clean_line(line), soft_wrap=True)
    if not console.is_terminal:

        def log(event: SweepEvent) -> None:
            if line := state.apply(event):
                sys.stderr.write(f"{line}\n") if console.file is sys.stderr else console.print(line, soft_wrap=True)

        yield log
        return
    with Live(state, console=console, refresh_per_second=REFRESH_PER_SECOND, transient=True) as live:

        def draw(event: SweepEvent) -> None:
            if line := state.apply(event):
                live.console.print(line, soft_wrap=True)

        yield draw


def show_race(
    budget_seconds: float | None, ways: Sequence[Case], durations: Durations
) -> AbstractContextManager[Callable[[SweepEvent], None]]:
    """Show ways that are measured to choose from, as `show_sweep` does."""
    from firstgrad.sweep.plan import Job, Plan

    until = "" if budget_seconds is None else f", within {format_seconds(budget_seconds)}"
    opening = f"{format_count(len(ways), 'way')} to choose from, the soonest first{until}"
    plan = Plan(jobs=tuple(Job(case=case, number=1) for case in ways))
    return show_sweep(SweepState(plan, durations, budget_seconds=budget_seconds), [opening])


def describe_plan(grid: Grid, plan: Plan) -> Iterator[str]:
    """Say what a sweep is about to do, a line each."""
    cases = f"{format_count(len(grid.cases), 'case')}, {format_count(len(plan.jobs), 'sample')} to measure"
    yield cases + (f", {plan.stored} are there already" if plan.stored else "")
    if plan.settled:
        failed = f"{format_count(len(plan.settled), 'case')} failed or were stopped by their limit before"
        yield f"{failed}, and no more samples of them are taken (--retry-failed measures them again)"
    for model in grid.omitted:
        yield f"left out: {model.what}: {model.reason}"


def describe_outdated(count: int) -> Iterator[str]:
    """Say that samples don't count since the model's file has changed; nothing where there are none."""
    if count:
        yield f"{format_count(count, 'sample')} of the model's files as they were before: not counted"


def describe_sample(record: Record) -> str:
    """Say in a line what came of a sample."""
    if reason := why_unusable(record):
        return reason
    parts = []
    if record.window_seconds is not None:
        what = "first draw" if record.case.is_draw else "first gradient"
        parts.append(f"{what} {format_seconds(record.window_seconds)}")
    if record.memory is not None:
        parts.append(f"peak {format_bytes(record.memory.peak_rss_bytes)}")
    return ", ".join(parts) or str(record.status)
