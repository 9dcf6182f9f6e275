"""Records as tables for a terminal."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from firstgrad.analysis.estimates import estimate_median
from firstgrad.doubts import ADVICE
from firstgrad.record import FIRST_GRADIENT_PHASES, Phase, Status, Verdict
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from firstgrad.record import Failure, Record, Slope

_PASSES_SHOWN = 3
_MISMATCHES_SHOWN = 8
_NAMES_SHOWN = 8


def show_record(console: Console, record: Record) -> None:
    """Print one record: phases, memory, evaluation, caches, verdict, doubts."""
    console.print(Text(str(record.case), style="bold"))
    if record.phases:
        console.print(_phase_table(record))
    for name, value in _facts(record):
        console.print(Text.assemble((f"{name:<24}", "bold"), value), soft_wrap=True)
    if record.failure is not None:
        show_failure(console, record)
    for doubt in record.doubts:
        console.print(Text(f"doubt: {ADVICE[doubt]}", style="yellow"), soft_wrap=True)
    console.print()


def show_failure(console: Console, record: Record) -> None:
    """Print why a sample failed, with the last lines of its standard error."""
    if record.failure is not None:
        show_why(console, str(record.status), record.failure)


def show_why(console: Console, how: str, failure: Failure) -> None:
    """Print how something ended and why, with the last lines of its standard error."""
    console.print(Text(f"{how}: {failure.kind}: {failure.message}", style="bold red"), soft_wrap=True)
    for line in failure.stderr_tail[-15:]:
        console.print(Text(f"  | {line}", style="dim"), soft_wrap=True)


def show_samples(console: Console, records: Sequence[Record]) -> None:
    """Print the medians over several samples of one case, with their intervals."""
    table = Table(title=f"{len(records)} samples: median [interval]", title_justify="left")
    table.add_column("metric")
    table.add_column("median", justify="right")
    table.add_column("interval", justify="right")
    for name, unit, values in _metrics(records):
        if values:
            estimate = estimate_median(values)
            write = format_bytes if unit == "bytes" else format_seconds
            interval = f"{write(estimate.low)} to {write(estimate.high)} ({estimate.confidence:.0%})"
            table.add_row(name, write(estimate.value), interval)
    console.print(table)


def _metrics(records: Sequence[Record]) -> Iterable[tuple[str, str, list[float]]]:
    good = [each for each in records if each.status in (Status.OK, Status.MISMATCH)]
    yield (
        "time to first gradient",
        "seconds",
        [each.time_to_first_gradient_seconds for each in good if each.time_to_first_gradient_seconds is not None],
    )
    for phase in Phase:
        if phase is not Phase.EVALUATE:
            found = [each.phase(phase) for each in good]
            yield str(phase), "seconds", [one.wall_seconds for one in found if one is not None]
    # One number a sample: the calls of one process are no independent samples of the case.
    calls = [each.evaluation_seconds for each in good if each.evaluation_seconds]
    yield "evaluation", "seconds", [statistics.median(seconds) for seconds in calls]
    yield "peak memory", "bytes", [float(each.memory.peak_rss_bytes) for each in good if each.memory]


def _phase_table(record: Record) -> Table:
    table = Table()
    table.add_column("phase")
    for name in ("wall", "share", "CPU", "peak memory"):
        table.add_column(name, justify="right")
    whole = record.time_to_first_gradient_seconds
    for phase in record.phases:
        counts = phase.phase in FIRST_GRADIENT_PHASES and whole
        table.add_row(
            str(phase.phase),
            format_seconds(phase.wall_seconds),
            f"{phase.wall_seconds / whole:.1%}" if counts and whole else "",
            format_seconds(phase.cpu_seconds),
            format_bytes(phase.peak_rss_bytes) if phase.peak_rss_bytes is not None else "",
            style="bold" if counts and whole and phase.wall_seconds > whole / 2 else None,
            end_section=phase.phase in (Phase.IMPORT, Phase.FIRST_CALL),
        )
    if whole is not None:
        cpu = record.time_to_first_gradient_cpu_seconds or 0.0
        unaccounted = record.unaccounted_seconds or 0.0
        table.add_row("unaccounted", format_seconds(unaccounted), f"{unaccounted / whole:.1%}", "", "")
        peak = format_bytes(record.memory.peak_rss_bytes) if record.memory else ""
        table.add_row("time to first gradient", format_seconds(whole), "100%", format_seconds(cpu), peak, style="bold")
    return table


def _facts(record: Record) -> Iterable[tuple[str, str]]:
    if record.evaluation_seconds:
        one = estimate_median(record.evaluation_seconds)
        interval = f"[{format_seconds(one.low)}, {format_seconds(one.high)}]"
        yield "evaluation", f"{format_seconds(one.value)} a call {interval}, {one.samples} calls"
    if record.memory is not None and record.memory.peak_rss_bytes:
        memory = record.memory
        children = f", of it child processes (compilers) up to {format_bytes(memory.children_peak_rss_bytes)}"
        retained = f"; retained {format_bytes(memory.retained_bytes)}" if memory.retained_bytes is not None else ""
        peak = format_bytes(memory.peak_rss_bytes)
        yield "memory", f"peak {peak}{children if memory.children_peak_rss_bytes else ''}{retained}"
    if record.initial_point_seconds:
        yield "start point", f"{format_seconds(record.initial_point_seconds)}, not part of the above"
    if record.counts is not None:
        counts = record.counts
        yield (
            "counts",
            f"{counts.groups} groups, {counts.values} values, {counts.nodes_before} nodes before rewriting, "
            f"{counts.nodes_after} after, {counts.compiled_units} compiled units",
        )
    if record.instructions is not None:
        yield "instructions", f"{record.instructions:,} in user mode, to the first gradient"
    passes = sorted(record.rewrite_passes, key=lambda each: -each.wall_seconds)[:_PASSES_SHOWN]
    if passes:
        yield (
            "dearest rewrite passes",
            ", ".join(f"{one.name} {format_seconds(one.wall_seconds)}" for one in passes),
        )
    if record.caches is not None:
        yield "scenario", f"{record.case.scenario}, {_proof(record)}"
    if record.check.verdict is not Verdict.UNCHECKED:
        yield "verdict", verdict_text(record)


def _proof(record: Record) -> str:
    caches = record.caches
    if caches is None:  # pragma: no cover - asked only where there are caches
        return ""
    counts = (
        f"{caches.entries_before} cache entries before, {caches.entries_read} read, "
        f"{caches.entries_written} written ({format_bytes(caches.bytes_written)})"
    )
    return f"proven: {counts}" if caches.is_proven else f"NOT proven ({caches.contradiction}): {counts}"


def verdict_text(record: Record) -> str:
    """Say what the check found, in a line or more."""
    check = record.check
    text = {
        Verdict.AGREES: f"agrees: log-density and gradient equal the oracle's at {check.points} points",
        Verdict.DISAGREES: "DISAGREES with the oracle",
        Verdict.NO_ORACLE: "no oracle for this model; finiteness was checked",
        Verdict.UNCHECKED: "",
    }[check.verdict]
    lines = [text]
    lines += [
        f"  {each.group}{list(each.index)}: expected {each.expected:.12g}, got {each.got:.12g} "
        f"({each.n_different} values differ)"
        for each in check.mismatches[:_MISMATCHES_SHOWN]
    ]
    if len(check.mismatches) > _MISMATCHES_SHOWN:
        lines.append(f"  and {len(check.mismatches) - _MISMATCHES_SHOWN} more groups")
    values = sum(group.values for group in check.finiteness)
    bad = [group.group for group in check.finiteness if group.nan + group.infinite]
    if bad:
        lines.append(
            f"  {check.n_not_finite} of {values} gradient values are not finite, in {len(bad)} groups: {_listed(bad)}"
        )
    elif values:
        lines[0] += f"; all {values} gradient values are finite"
    if check.logp_not_finite:
        lines.append(f"  terms of the log-density that are not finite: {_listed(check.logp_not_finite)}")
    if check.slope is not None:
        lines.append(f"  {_slope_text(check.slope)}")
    if check.held:
        lines.append(f"  discrete, held at their start values: {_listed(check.held)}")
    return "\n".join(lines)


def _listed(names: Sequence[str]) -> str:
    others = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {others} more" if others > 0 else "")


def _slope_text(slope: Slope) -> str:
    if slope.skipped:
        return f"gradient not compared with finite differences: {slope.skipped}"
    numbers = f"slope along a random direction {slope.got:.9g}, by finite differences {slope.expected:.9g}"
    verdict = "DIFFERS from" if slope.differs else "agrees with"
    return f"gradient {verdict} finite differences of the log-density ({numbers}, allowed {slope.allowed:.1g})"
