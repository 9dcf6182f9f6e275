"""A sampling run as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from firstgrad.sampling import SamplingStage
from firstgrad.show.records import not_finite_parts, why_parts
from firstgrad.show.result import print_parts
from firstgrad.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from firstgrad.sampling import DrawCounts, SamplingRun


def show_sampling_run(console: Console, run: SamplingRun) -> None:
    """Print one run: its stages, its draws, and what is wrong with it."""
    console.print(Text(describe_run(run), style="bold"))
    if run.stages:
        console.print(_stage_table(run))
    if run.tuning is not None or run.drawing is not None:
        console.print(_draw_table(run))
    for name, value in _facts(run):
        console.print(Text.assemble((f"{name:<24}", "bold"), value), soft_wrap=True)
    if run.start is not None:
        print_parts(console, not_finite_parts(run.start.finiteness))
    if run.stuck_chains:
        chains = f"{run.stuck_chains} of {format_count(run.plan.chains, 'chain')}"
        console.print(Text(f"{chains} never moved: every draw is the same place", style="bold red"))
    if run.failure is not None:
        where = f" in stage {run.failed_stage}" if run.failed_stage else ""
        print_parts(console, why_parts(f"{run.status}{where}", run.failure))
    console.print()


def describe_run(run: SamplingRun) -> str:
    """Name a run in one line."""
    from firstgrad.case import describe_model

    plan = run.plan
    return (
        f"{describe_model(run.case.model)}, {plan.sampler} on {run.case.backend}, {run.case.scenario}, "
        f"{format_count(plan.chains, 'chain')} of {plan.tune} + {plan.draws} draws"
    )


def _stage_table(run: SamplingRun) -> Table:
    table = Table()
    table.add_column("stage")
    for name in ("wall", "share", "CPU"):
        table.add_column(name, justify="right")
    whole = sum(each.wall_seconds for each in run.stages)
    for each in run.stages:
        share = each.wall_seconds / whole if whole else 0.0
        table.add_row(
            str(each.stage),
            format_seconds(each.wall_seconds),
            f"{share:.1%}",
            format_seconds(each.cpu_seconds),
            style="bold" if share > 1 / 2 else None,
        )
    table.add_section()
    cpu = sum(each.cpu_seconds for each in run.stages)
    table.add_row("in all", format_seconds(whole), "100%", format_seconds(cpu), style="bold")
    return table


def _draw_table(run: SamplingRun) -> Table:
    table = Table()
    table.add_column("draws of")
    for name in ("draws", "divergences", "places", "gradient evaluations", "a draw", "tree depth", "acceptance"):
        table.add_column(name, justify="right")
    for name, counts in (("tuning", run.tuning), ("drawing", run.drawing)):
        if counts is not None:
            table.add_row(name, *_cells(counts))
    return table


def _cells(counts: DrawCounts) -> tuple[str, ...]:
    return (
        str(counts.draws),
        str(counts.divergences),
        str(counts.positions),
        str(counts.gradient_evaluations),
        f"{counts.gradient_evaluations / counts.draws:.1f}",
        f"{counts.mean_tree_depth:.1f}",
        f"{counts.mean_acceptance:.2f}",
    )


def _facts(run: SamplingRun) -> Iterable[tuple[str, str]]:
    if run.seconds_per_evaluation is not None:
        yield "a gradient evaluation", f"{format_seconds(run.seconds_per_evaluation)}, with the sampler's own work"
    if run.step_size is not None:
        yield "step size", f"{run.step_size:.3g} at the end"
    if any(each.stage is SamplingStage.SAMPLING for each in run.stages):
        yield "sampling", "tuning and drawing together: the run is too short to tell them apart"
    if run.memory is not None and run.memory.peak_rss_bytes:
        yield "memory", f"peak {format_bytes(run.memory.peak_rss_bytes)}"
    if run.caches is not None and run.caches.contradiction is not None:
        yield "scenario", f"NOT proven ({run.caches.contradiction})"
    start = run.start
    if start is not None:
        values = sum(group.values for group in start.finiteness)
        finite = f"all {values} gradient values are finite"
        bad = f"{start.n_not_finite} of {values} gradient values are not finite"
        logp = f"log-density {start.logp!r}, " if start.logp is not None else ""
        yield "first evaluation", f"{logp}{bad if start.n_not_finite else finite}"
