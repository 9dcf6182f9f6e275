"""``firstgrad sample``: a short ``pm.sample``, live, its time split, its divergences counted."""

from __future__ import annotations

import functools
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from firstgrad.case import BackendName, Case, Sampler, Scenario, Target
from firstgrad.cli.console import ExitCode, OutputOptions, finish, say, shown
from firstgrad.cli.options import ModelOptions, declare, memory_limit_bytes, spread
from firstgrad.doubts import SUSPENDED_SECONDS
from firstgrad.measuring.events import MemoryNow, Started
from firstgrad.sampling.plan import DrawsNow, SamplingPlan, SamplingStage, StageBegan
from firstgrad.units import clean_line, format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from firstgrad.sampling.plan import SamplingEvent, SamplingRun
    from firstgrad.show.result import Part, Result, Table

EPILOG = """\b
Examples:
  firstgrad sample pose --timesteps 20 --directions 2 --backend jax
      20 draws after 100 of tuning: compile, tuning, drawing
  firstgrad sample pose --timesteps 20 --directions 2 --backend jax --missing naive
      what NaN gradients do to a sampler
  firstgrad sample mymodel.py:build --sampler nutpie --chains 2
      your own, with nutpie

Nothing is stored: --json writes the run to standard output.

\b
Exit codes: 0 good; 1 the first evaluation is not finite, or a chain never moved (in five draws or more); 2 wrong use;
3 the run failed; 4 broke off.
"""

_option = functools.partial(declare, panel="The sampling")


@spread
def sample(
    model: ModelOptions,
    sampler: Annotated[Sampler, _option("--sampler", "PyMC's own NUTS, or nutpie's.")] = Sampler.PYMC,
    backend: Annotated[BackendName, _option("--backend", "What the graph is compiled to.")] = BackendName.NUMBA,
    draws: Annotated[int, _option("--draws", "Draws of each chain after tuning.", min=1)] = 20,
    tune: Annotated[int, _option("--tune", "Tuning draws of each chain.", min=1)] = 100,
    chains: Annotated[int, _option("--chains", "Chains, one after the other.", min=1)] = 1,
    scenario: Annotated[Scenario, _option("--scenario", "cold: empty caches; warm: filled.")] = Scenario.COLD,
    target_accept: Annotated[float | None, _option("--target-accept", "Acceptance rate, such as 0.9.")] = None,
    sampler_seed: Annotated[
        int, _option("--sampler-seed", "Seed of the sampler; --seed is that of the data.", min=0)
    ] = 0,
    time_limit: Annotated[float, _option("--time-limit", "Seconds.")] = 3600.0,
    memory_limit: Annotated[
        str | None, _option("--memory-limit", "Memory limit of the process tree, such as 4GiB.")
    ] = None,
    label: Annotated[str, _option("--label", "Your name for this run.")] = "",
    *,
    output: OutputOptions,
) -> None:
    """Run a short pm.sample: seconds of compile, tuning and drawing, gradient evaluations, divergences."""
    from firstgrad.sampling.launch import sample_case
    from firstgrad.sources import check_reference

    output.refuse_both()
    case = Case(
        model=model.to_model(),
        backend=backend,
        target=Target.LOGP_DLOGP,
        scenario=scenario,
        evaluations=0,
        time_limit_seconds=time_limit,
        memory_limit_bytes=memory_limit_bytes(memory_limit),
    )
    plan = SamplingPlan(
        sampler=sampler, draws=draws, tune=tune, chains=chains, seed=sampler_seed, target_accept=target_accept
    )
    check_reference(case.model.reference)
    try:
        with shown(show_sampling(case, plan)) as display:
            run = sample_case(case, plan, label=label, on_event=display)
    except KeyboardInterrupt:
        say("firstgrad: interrupted, nothing is kept")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finish(make_result(run), output)


def make_result(run: SamplingRun) -> Result:
    """Make what is shown of a run: its stages, its draws, and what is wrong with it."""
    from firstgrad.show.result import Result

    code = ExitCode.GOOD if run.is_sound else ExitCode.DIFFERENT
    return Result(
        parts=tuple(_parts(run)),
        document=run,
        exit_code=code if run.failure is None else ExitCode.CASE_FAILED,
    )


def _parts(run: SamplingRun) -> Iterator[Part]:
    from firstgrad.show.records import not_finite_parts, why_parts
    from firstgrad.show.result import BLANK, Facts, Heading, Style, Text

    plan = run.plan
    yield Heading(
        f"{_title(run.case, plan)}, {run.case.scenario}, "
        f"{format_count(plan.chains, 'chain')} of {plan.tune} + {plan.draws} draws"
    )
    yield from [Text(run.model_note)] * bool(run.model_note)
    if run.stages:
        yield _stage_table(run)
    if run.tuning is not None or run.drawing is not None:
        yield _draw_table(run)
    yield Facts(tuple(_facts(run)))
    if run.start is not None:
        yield from not_finite_parts(run.start.finiteness)
        if run.start.n_not_finite:
            yield Text("`firstgrad check` says where these are made, and in which line.")
    if run.stuck_chains:
        chains = f"{run.stuck_chains} of {format_count(plan.chains, 'chain')}"
        yield Text(f"{chains} never moved: every draw is the same place", Style.BAD)
    if run.failure is not None:
        where = f" in stage {run.failed_stage}" if run.failed_stage else ""
        yield from why_parts(f"{run.status}{where}", run.failure)
    yield BLANK


def _title(case: Case, plan: SamplingPlan) -> str:
    return f"{case.model!s}, {plan.sampler} on {case.backend}"


def _stage_table(run: SamplingRun) -> Table:
    from firstgrad.show.result import Style, Table, TableRow, left, right

    whole, cpu = (sum(getattr(spent, name) for spent in run.stages) for name in ("wall_seconds", "cpu_seconds"))
    rows = []
    for spent in run.stages:
        share = spent.wall_seconds / whole if whole else 0.0
        cells = (
            str(spent.stage),
            format_seconds(spent.wall_seconds),
            f"{share:.1%}",
            format_seconds(spent.cpu_seconds),
        )
        style = Style.BOLD if share > 1 / 2 else Style.PLAIN
        rows.append(TableRow(cells, style, ends_section=spent is run.stages[-1]))
    rows.append(TableRow(("in all", format_seconds(whole), "100%", format_seconds(cpu)), Style.BOLD))
    return Table(columns=(*left("stage"), *right("wall", "share", "CPU")), rows=rows)


def _draw_table(run: SamplingRun) -> Table:
    from firstgrad.show.result import Table, left, right

    names = ("draws", "divergences", "places", "gradient evaluations", "a draw", "tree depth", "acceptance")
    rows = [
        (
            name,
            str(counts.draws),
            str(counts.divergences),
            str(counts.positions),
            str(counts.gradient_evaluations),
            f"{counts.gradient_evaluations / counts.draws:.1f}",
            f"{counts.mean_tree_depth:.1f}",
            f"{counts.mean_acceptance:.2f}",
        )
        for name, counts in (("tuning", run.tuning), ("drawing", run.drawing))
        if counts is not None
    ]
    return Table(columns=(*left("draws of"), *right(*names)), rows=rows)


def _facts(run: SamplingRun) -> Iterator[tuple[str, str]]:
    if run.seconds_per_evaluation is not None:
        yield "a gradient evaluation", f"{format_seconds(run.seconds_per_evaluation)}, with the sampler's own work"
    if run.step_size is not None:
        yield "step size", f"{run.step_size:.3g} at the end"
    if any(spent.stage is SamplingStage.SAMPLING for spent in run.stages):
        yield "sampling", "tuning and drawing together: the run is too short to separate them"
    if run.memory is not None and run.memory.peak_rss_bytes:
        yield "memory", f"peak {format_bytes(run.memory.peak_rss_bytes)}"
    if run.suspended_seconds >= SUSPENDED_SECONDS:
        yield "suspended", f"{format_seconds(run.suspended_seconds)}: its times are not the sampler's, so run it again"
    if run.environment.device not in ("", "cpu"):
        yield "device", run.environment.device
    if run.caches is not None and run.caches.contradiction is not None:
        yield "scenario", f"NOT proven ({run.caches.contradiction})"
    start = run.start
    if start is not None:
        values = sum(group.values for group in start.finiteness)
        finite = f"all {values} gradient values are finite"
        bad = f"{start.n_not_finite} of {values} gradient values are not finite"
        logp = f"log-density {start.logp!r}, " if start.logp is not None else ""
        yield "first evaluation", f"{logp}{bad if start.n_not_finite else finite}"


@contextmanager
def show_sampling(
    case: Case,
    plan: SamplingPlan,
    *,
    console: Console | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Callable[[SamplingEvent], None]]:
    """Show a run's progress while the block runs, bars in a terminal, else lines; yield what takes each event."""
    from firstgrad.show.display import ProgressLog
    from firstgrad.show.result import make_console

    console = console or make_console(stderr=True)
    state = SamplingState(_title(case, plan), plan, clock)
    if not console.is_terminal:
        yield ProgressLog(state, console, clock)
        return
    bars = _SamplingBars(state, console)
    with bars.progress:
        yield bars


class SamplingState:
    """What a display shows: the stage, the draws so far, memory; by a clock in seconds."""

    def __init__(self, title: str, plan: SamplingPlan, clock: Callable[[], float]) -> None:
        self.title, self._clock = title, clock
        self.to_tune, self.to_draw = plan.tune * plan.chains, plan.draws * plan.chains
        self._forget()

    def _forget(self) -> None:
        self.stage: SamplingStage | None = None
        self.phase: SamplingStage | None = None
        """The last stage that had not been before: chains that follow each other go back and forth between two."""
        self._seen: set[SamplingStage] = set()
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
                if stage not in self._seen:
                    self.phase = stage
                    self._seen.add(stage)
            case DrawsNow():
                self.draws = event
            case MemoryNow(rss_bytes=rss_bytes):
                self.rss_bytes = rss_bytes

    def where(self) -> str:
        """Name the run and its stage."""
        return clean_line(f"{self.title}: {self.stage or 'starting'}")

    def line(self) -> str:
        """Say where the run is now."""
        now = self._clock()
        parts = [f"{self.where()} {now - self._stage_began:.1f} s"]
        if self.draws.tuned:
            parts.append(f"tuning {self.draws.tuned} of {self.to_tune}")
        if self.draws.drawn:
            parts.append(f"drawing {self.draws.drawn} of {self.to_draw}")
        parts += [self.divergences(), f"{now - self._began:.1f} s in all", format_bytes(self.rss_bytes)]
        return " · ".join(filter(None, parts))

    def divergences(self) -> str:
        """Say how many draws diverged so far; '' for none."""
        return f"{self.draws.divergences} diverging" if self.draws.divergences else ""


class _SamplingBars:
    """Three rows in a terminal: what comes before the first draw, tuning, drawing."""

    def __init__(self, state: SamplingState, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        from firstgrad.show.display import REFRESH_PER_SECOND

        self._state = state
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
        self._stage = self.progress.add_task(state.where(), total=None, text="")
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
        progress.update(self._stage, description=state.where(), text=format_bytes(state.rss_bytes))
        progress.update(self._tuning, completed=state.draws.tuned, text=state.divergences())
        progress.update(self._drawing, completed=state.draws.drawn)
