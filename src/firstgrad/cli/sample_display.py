"""Live progress of a sampling run: bars in a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from firstgrad.case import describe_model
from firstgrad.cli.console import make_console
from firstgrad.cli.display import LOG_SECONDS, REFRESH_PER_SECOND
from firstgrad.measure.events import MemoryNow, Started
from firstgrad.sampling.plan import DrawsNow, SamplingStage, StageBegan
from firstgrad.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from firstgrad.case import Case
    from firstgrad.sampling.plan import SamplingEvent, SamplingPlan


class SamplingState:
    """What a display shows: the stage, the draws so far, memory.

    Parameters
    ----------
    plan : SamplingPlan
        How many draws there will be.
    clock : callable
        In seconds.
    """

    def __init__(self, plan: SamplingPlan, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.to_tune, self.to_draw = plan.tune * plan.chains, plan.draws * plan.chains
        self._forget()

    def _forget(self) -> None:
        self.stage: SamplingStage | None = None
        self.draws = DrawsNow(tuned=0, drawn=0, divergences=0)
        self.rss_bytes = 0
        self._began = self._stage_began = self._clock()

    def apply(self, event: SamplingEvent) -> None:
        """Take an event; a new process begins at nothing."""
        match event:
            case Started():
                self._forget()
            case StageBegan(stage=stage):
                self.stage, self._stage_began = stage, self._clock()
            case DrawsNow():
                self.draws = event
            case MemoryNow(rss_bytes=rss_bytes):
                self.rss_bytes = rss_bytes
            case _:
                pass

    def line(self) -> str:
        """Say where the run is now."""
        now = self._clock()
        parts = [f"{self.stage or 'starting'} {now - self._stage_began:.1f} s"]
        if self.draws.tuned:
            parts.append(f"tuning {self.draws.tuned} of {self.to_tune}")
        if self.draws.drawn:
            parts.append(f"drawing {self.draws.drawn} of {self.to_draw}")
        if self.draws.divergences:
            parts.append(self.divergences())
        return " · ".join([*parts, f"{now - self._began:.1f} s in all", format_bytes(self.rss_bytes)])

    def divergences(self) -> str:
        """Say how many draws diverged so far."""
        return f"{self.draws.divergences} diverging"


class _Bars:
    """Three rows in a terminal: what comes before the first draw, tuning, drawing."""

    def __init__(self, title: str, state: SamplingState, console: Console) -> None:
        self._title, self._state = title, state
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            refresh_per_second=REFRESH_PER_SECOND,
            transient=True,
        )
        self._stage = self.progress.add_task(title, total=None, text="")
        self._tuning = self.progress.add_task("tuning", total=state.to_tune, start=False, text="")
        self._drawing = self.progress.add_task("drawing", total=state.to_draw, start=False, text="")

    def __call__(self, event: SamplingEvent) -> None:
        state, progress = self._state, self.progress
        state.apply(event)
        match event:
            case Started():
                for task in (self._tuning, self._drawing):
                    progress.reset(task, start=False)
            case StageBegan(stage=SamplingStage.TUNING):
                progress.start_task(self._tuning)
            case StageBegan(stage=SamplingStage.DRAWING):
                progress.start_task(self._drawing)
            case _:
                pass
        stage = f"{self._title}: {state.stage or 'starting'}"
        progress.update(self._stage, description=stage, text=format_bytes(state.rss_bytes))
        told = state.divergences() if state.draws.divergences else ""
        progress.update(self._tuning, completed=state.draws.tuned, text=told)
        progress.update(self._drawing, completed=state.draws.drawn)


class _Log:
    """Writes a line when a stage begins that was not there before, and every `LOG_SECONDS` in a long one."""

    def __init__(
        self, title: str, state: SamplingState, write: Callable[[str], object], clock: Callable[[], float]
    ) -> None:
        self._title, self._state, self._write, self._clock = title, state, write, clock
        self._seen: set[SamplingStage] = set()
        self._wrote = clock()

    def __call__(self, event: SamplingEvent) -> None:
        self._state.apply(event)
        now = self._clock()
        if isinstance(event, Started):
            self._seen.clear()
        # Chains that follow each other go back and forth between two stages.
        is_new = isinstance(event, StageBegan) and event.stage not in self._seen
        if isinstance(event, StageBegan):
            self._seen.add(event.stage)
        if is_new or now - self._wrote >= LOG_SECONDS:
            self._wrote = now
            self._write(f"{self._title}: {self._state.line()}\n")


@contextmanager
def show_sampling(
    case: Case,
    plan: SamplingPlan,
    *,
    console: Console | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Callable[[SamplingEvent], None]]:
    """Show a sampling run's progress on standard error while the block runs.

    Parameters
    ----------
    case, plan
        What is sampled, and how.
    console : rich.console.Console, optional
        Where to draw; standard error where left out.
    clock : callable
        In seconds.

    Yields
    ------
    callable
        To be given each event.
    """
    console = console or make_console(stderr=True)
    title, state = f"{describe_model(case.model)}, {plan.sampler} on {case.backend}", SamplingState(plan, clock)
    if not console.is_terminal:
        yield _Log(title, state, console.file.write if console.file is not sys.stderr else sys.stderr.write, clock)
        return
    bars = _Bars(title, state, console)
    with bars.progress:
        yield bars
