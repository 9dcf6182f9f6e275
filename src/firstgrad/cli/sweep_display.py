"""A sweep as it runs: what is done, running and failed, and when it will be over."""

from __future__ import annotations

import sys
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table
from rich.text import Text

from firstgrad.cli.console import make_console
from firstgrad.cli.display import REFRESH_PER_SECOND, Progress
from firstgrad.sweep.rounds import Notice, SampleBegan, SampleEnded, SampleLost, SampleProgress, SampleSkipped
from firstgrad.units import format_bytes, format_count, format_seconds
from firstgrad.usability import why_unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import Console

    from firstgrad.record import Record
    from firstgrad.sweep.grid import Grid
    from firstgrad.sweep.plan import Durations, Job, Plan
    from firstgrad.sweep.rounds import SweepEvent, SweepSummary

_BAR_CELLS = 30
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0


class SweepState:
    """What a display of a sweep shows; it teaches `durations` with every sample that ends."""

    def __init__(
        self, plan: Plan, durations: Durations, *, at_once: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
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
        match event:
            case SampleBegan(job=job, worker=worker):
                side = f"{job.side}: " if job.side else ""
                title = f"{side}{job.case}, sample {job.number}" + (f" on {worker}" if worker else "")
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
                self.notice = message
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

    def fraction(self) -> float:
        """Part of the samples that is over, from 0 to 1."""
        return (self.measured + self.skipped) / self.total if self.total else 1.0

    def remaining(self) -> str:
        """Say when it will be over, as far as is known."""
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
        return f"{count} {job.side or job.case}: {_result(record, reason)}; {self.remaining()}"


class _SweepScreen:
    """Draws the present state whenever Rich asks for it."""

    def __init__(self, state: SweepState) -> None:
        self._state = state

    def __rich__(self) -> Text:
        state = self._state
        full = round(state.fraction() * _BAR_CELLS)
        text = Text.assemble(("━" * full, "green"), ("━" * (_BAR_CELLS - full), "dim"), f" {state.headline()}")
        for progress in tuple(state.running.values()):
            text.append(f"\n  {progress.line()}")
        if state.notice:
            text.append(f"\n  {state.notice}", style="yellow")
        return text


@contextmanager
def show_sweep(
    grid: Grid,
    plan: Plan,
    durations: Durations,
    *,
    at_once: int = 1,
    console: Console | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Callable[[SweepEvent], None]]:
    """Show a sweep while the block runs; yields what is to be given each event, from any thread.

    It is drawn on standard error where no console is given.
    """
    state = SweepState(plan, durations, at_once=at_once, clock=clock)
    with show_state(state, opening(grid, plan), console=console) as display:
        yield display


@contextmanager
def show_state(
    state: SweepState, opening_lines: Iterable[str], *, console: Console | None = None
) -> Iterator[Callable[[SweepEvent], None]]:
    """Show a state while the block runs, after some lines on what is going to happen; see `show_sweep`."""
    console = console or make_console(stderr=True)
    for line in opening_lines:
        console.print(line, soft_wrap=True)
    if not console.is_terminal:

        def log(event: SweepEvent) -> None:
            if line := state.apply(event):
                sys.stderr.write(f"{line}\n") if console.file is sys.stderr else console.print(line, soft_wrap=True)

        yield log
        return
    with Live(_SweepScreen(state), console=console, refresh_per_second=REFRESH_PER_SECOND, transient=True) as live:

        def draw(event: SweepEvent) -> None:
            if line := state.apply(event):
                live.console.print(line, soft_wrap=True)

        yield draw


def opening(grid: Grid, plan: Plan) -> Iterator[str]:
    """Say what a sweep is about to do, a line each."""
    cases = f"{format_count(len(grid.cases), 'case')}, {format_count(len(plan.jobs), 'sample')} to measure"
    yield cases + (f", {plan.stored} are there already" if plan.stored else "")
    if plan.settled:
        failed = f"{format_count(len(plan.settled), 'case')} failed or were stopped by their limit before"
        yield f"{failed}, and no more samples of them are taken (--retry-failed measures them again)"
    for model in grid.omitted:
        yield f"left out: {model.what}: {model.reason}"


def show_plan(grid: Grid, plan: Plan, durations: Durations, *, at_once: int = 1) -> None:
    """Print what would be measured, and how long it is going to take."""
    console = make_console()
    for line in opening(grid, plan):
        console.print(line, soft_wrap=True)
    table = Table()
    table.add_column("case")
    table.add_column("samples", justify="right")
    table.add_column("a sample", justify="right")
    counts = Counter(job.case for job in plan.jobs)
    for case, count in counts.items():
        seconds = durations.of(case)
        table.add_row(str(case), str(count), "not known" if seconds is None else f"about {span(seconds)}")
    console.print(table)
    seconds, unknown = durations.of_all(plan.jobs)
    more = f", and {unknown} samples of which nothing like it is stored" if unknown else ""
    console.print(f"In all about {span(seconds / at_once)}{more}.", soft_wrap=True)


def show_summary(plan: Plan, summary: SweepSummary, *, place: str) -> None:
    """Print how a sweep ended, and what to do with it."""
    console = make_console(stderr=True)
    ended = ", ".join(f"{count} {status}" for status, count in summary.statuses.items()) or "nothing to measure"
    skipped = f", {summary.skipped} skipped after a failure" if summary.skipped else ""
    console.print(f"{ended}{skipped}; {plan.stored} were there already. Records: {place}", soft_wrap=True)
    console.print("Next: firstgrad scaling (growth laws), firstgrad report (one page)", soft_wrap=True)


def span(seconds: float) -> str:
    """Write how long something takes, as roughly as it is known."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR / _MINUTE:02.0f} min"
    return f"{seconds / _DAY:.1f} days"


def _result(record: Record, reason: str) -> str:
    if reason:
        return reason
    parts = []
    if record.time_to_first_gradient_seconds is not None:
        parts.append(f"first gradient {format_seconds(record.time_to_first_gradient_seconds)}")
    if record.memory is not None:
        parts.append(f"peak {format_bytes(record.memory.peak_rss_bytes)}")
    return ", ".join(parts) or str(record.status)
