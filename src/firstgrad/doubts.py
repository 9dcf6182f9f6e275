"""What a record is worth: whether its numbers count, and the closed catalogue of doubts, each with what to do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from firstgrad.case import Counting
from firstgrad.phase import Phase
from firstgrad.record import Doubt, Status
from firstgrad.units import MOST, clean_line, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from firstgrad.record import Mismatch, Record

UNACCOUNTED_FRACTION = 0.03
"""More of the time to first gradient than this without a phase is a doubt."""
UNACCOUNTED_SECONDS = 0.05
"""Less than this is no doubt, whatever its share: tiny cases last no longer themselves."""
CLOCKS_DIFFER_SECONDS, CLOCKS_DIFFER_FRACTION = 0.1, 0.05
"""Honest clocks contradict each other by less: a child's processor time comes in ticks of 10 ms, and a process may wait
between two readings."""
MOST_SECONDS = 1e9
"""No sample lasts 30 years."""
LOAD_PER_CORE = 0.75
FEW_EVALUATIONS = 20
ENOUGH_DRAWS = 5
"""A chain that is well may choose the place where it stands again, but hardly so many times in turn."""
NEVER_CONTINUED = "NeverContinued"
"""Kind of failure of a sample that stood still until it was ended: another one may do the same."""
SUSPENDED_SECONDS = 0.05
"""Less than this is no doubt: some looks of the watcher's, as while a profiler attaches."""

ADVICE = {
    Doubt.SCENARIO_CONTRADICTED: "the cache counters contradict the scenario, so the numbers are not of this scenario",
    Doubt.UNACCOUNTED_TIME: "more than 3% of the measured window belongs to no phase; please report it",
    Doubt.HIGH_LOAD: "the machine was busy before the sample; compare processor seconds, or measure again",
    Doubt.NO_BYTECODE: (
        "PyMC was imported without compiled bytecode, which makes importing slow. Unset "
        "PYTHONDONTWRITEBYTECODE and run: python -m compileall -q on its environment"
    ),
    Doubt.NOT_FINITE: (
        "gradient or log-density have NaN or infinite values; `firstgrad check` names the groups and the terms"
    ),
    Doubt.FEW_EVALUATIONS: "few evaluations were timed, so their interval is wide; raise --evaluations",
    Doubt.SUSPENDED: (
        "the sample's processes stood still for a while (stopped by Ctrl-Z or a signal, or the machine slept or was "
        "paused), so its times are not the model's; measure again, and let it run"
    ),
    Doubt.DISCRETE_FIXED: (
        "the model has discrete variables. They were held at their start values: the gradient is that of the "
        "continuous ones, and what a sampler does for the others is not in these numbers"
    ),
    Doubt.GRADIENT_SUSPECT: (
        "the gradient differs from finite differences of the log-density; look at the gradients of the model's own "
        "Ops, and compare backends"
    ),
    Doubt.STUCK_CHAIN: (
        "a chain stood at one place in all of its draws, the first one and those after it: `firstgrad sample` shows "
        "whether it ever moves"
    ),
    Doubt.COUNTED: (
        "what was counted here slows a compile down: its seconds and memory are none of the model's, and no table has "
        "them; measure without --counting for those"
    ),
}
"""What each doubt means and what to do."""


def find_doubts(record: Record) -> tuple[Doubt, ...]:
    """Find what may spoil a record, in the order of the catalogue."""
    environment = record.environment
    unaccounted, whole, draws = record.unaccounted_seconds, record.window_seconds, record.check.draws
    evaluated = record.phase(Phase.EVALUATE) is not None and not record.case.is_draw
    found = {
        Doubt.SCENARIO_CONTRADICTED: record.caches is not None and not record.caches.is_proven,
        Doubt.UNACCOUNTED_TIME: (unaccounted or 0.0) > max(UNACCOUNTED_FRACTION * (whole or 0.0), UNACCOUNTED_SECONDS),
        Doubt.HIGH_LOAD: environment.load_before > LOAD_PER_CORE * environment.host.cores,
        Doubt.NO_BYTECODE: environment.bytecode is False,
        Doubt.NOT_FINITE: (
            record.check.n_not_finite > 0 or bool(record.check.logp_not_finite) or bool(draws and draws.not_finite)
        ),
        Doubt.FEW_EVALUATIONS: evaluated and len(record.evaluation_seconds) < FEW_EVALUATIONS,
        Doubt.SUSPENDED: record.suspended_seconds >= SUSPENDED_SECONDS,
        Doubt.DISCRETE_FIXED: bool(record.check.held),
        Doubt.STUCK_CHAIN: bool(
            draws and draws.moved is not None and draws.draws >= ENOUGH_DRAWS and draws.moved < record.case.chains
        ),
        Doubt.COUNTED: record.case.counting is not Counting.PLAIN,
        Doubt.GRADIENT_SUSPECT: record.check.slope is not None and record.check.slope.differs,
    }
    return tuple(doubt for doubt in Doubt if found[doubt])


def why_impossible(record: Record, *, lasted_seconds: float = math.inf) -> str:
    """Say which of a record's numbers nothing can have shown.

    Processor seconds are held against all that the cores had to give up to then: those of a child count when it ends.

    Parameters
    ----------
    record : Record
        One whose numbers count; of one that failed or crashed they don't, so only what no table can hold is said.
    lasted_seconds : float
        How long the sample lasted at most, by its parent's clock.

    Returns
    -------
    str
        A few words; '' where all of it is possible.
    """
    counts = record.status not in (Status.FAILED, Status.CRASHED)
    impossible = next(_impossible(record, lasted_seconds), "") if counts else ""
    return impossible or next(_beyond(record), "")


def _beyond(record: Record) -> Iterator[str]:
    """Yield numbers that are beyond all that a computer can have shown, or are none."""
    memory, counts = record.memory, record.counts
    points = memory.timeline if memory else ()
    seconds: list[float | None] = [
        *(each for phase in record.phases for each in (phase.began_seconds, phase.wall_seconds, phase.cpu_seconds)),
        *(record.time_to_first_gradient_seconds, record.time_to_first_gradient_cpu_seconds, record.gc_seconds),
        *(record.time_to_first_draw_seconds, record.time_to_first_draw_cpu_seconds),
        *(record.initial_point_seconds, *record.evaluation_seconds, *(point.at_seconds for point in points)),
    ]
    sizes = [phase.peak_rss_bytes for phase in record.phases] + [phase.self_peak_rss_bytes for phase in record.phases]
    sizes += [point.rss_bytes for point in points] + [point.children_rss_bytes for point in points]
    if memory is not None:
        sizes += [memory.peak_rss_bytes, memory.self_peak_rss_bytes, memory.children_peak_rss_bytes]
        sizes += [memory.retained_bytes]
    things = [number for _, number in record.work.counts] if record.work else []
    things += (counts.nodes_before, counts.nodes_after, counts.compiled_units, counts.values) if counts else ()
    for numbers, unit, most in ((seconds, "s", MOST_SECONDS), (sizes, "bytes", MOST), (things, "things", MOST)):
        for number in numbers:
            if number is not None and abs(number) > most:
                yield f"it has {number:.3g} {unit}"


def _impossible(record: Record, lasted_seconds: float) -> Iterator[str]:
    whole, cores = record.window_seconds, record.environment.host.cores
    name = "the time to first draw" if record.case.is_draw else "the time to first gradient"
    durations = (
        (name, (whole or 0.0, record.window_cpu_seconds or 0.0)),
        ("what was timed", (record.gc_seconds, record.initial_point_seconds, *record.evaluation_seconds)),
    )
    for what, values in durations:
        # NaN is neither.
        yield from (f"{what} has {one:.3f} s" for one in values if not -CLOCKS_DIFFER_SECONDS <= one < math.inf)
    spans = []
    for phase in record.phases:
        end = phase.began_seconds + phase.wall_seconds
        if not -CLOCKS_DIFFER_SECONDS <= phase.began_seconds <= lasted_seconds + CLOCKS_DIFFER_SECONDS:
            yield f"phase {phase.phase} lies outside of the sample: from {phase.began_seconds:.3f} to {end:.3f} s"
        # Of `link` a part may have passed before `rewrite`, so its end is no border, but all phases need their time.
        spans.append((str(phase.phase), phase.wall_seconds, phase.cpu_seconds, min(end, lasted_seconds)))
    yield from impossible_spans(spans, cores)
    if (record.unaccounted_seconds or 0.0) < -CLOCKS_DIFFER_SECONDS:
        yield f"{name} is {whole:.3f} s, and its phases took longer"
    evaluate, evaluations = record.phase(Phase.EVALUATE), sum(record.evaluation_seconds)
    if evaluate is not None and evaluations > evaluate.wall_seconds + CLOCKS_DIFFER_SECONDS:
        yield f"evaluations took {evaluations:.3f} s of the {evaluate.wall_seconds:.3f} s of their phase"


def impossible_spans(spans: Iterable[tuple[str, float, float, float]], cores: int) -> Iterator[str]:
    """Yield what is impossible in stages that follow each other: names, wall and processor seconds, latest ends."""
    wall_seconds = cpu_seconds = 0.0
    for name, wall, cpu, latest in spans:
        if not all(-CLOCKS_DIFFER_SECONDS <= seconds < math.inf for seconds in (wall, cpu)):
            yield f"{name} has {wall:.3f} s, {cpu:.3f} s of them on the processor"
        wall_seconds, cpu_seconds = wall_seconds + wall, cpu_seconds + cpu
        if wall_seconds > latest + CLOCKS_DIFFER_SECONDS:
            yield f"{name} lies outside of the sample: up to its end {wall_seconds:.3f} s passed of {latest:.3f} s"
        if cpu_seconds > cores * (latest + CLOCKS_DIFFER_SECONDS) * (1 + CLOCKS_DIFFER_FRACTION):
            yield f"up to {name} it took {cpu_seconds:.3f} s of {cores} processor cores in {latest:.3f} s"


def is_to_be_repeated(record: Record) -> bool:
    """Whether a sample says nothing about its case, good or bad: it stood still for a while, and went on."""
    is_alike = record.failure is not None and record.failure.kind == NEVER_CONTINUED
    return Doubt.SUSPENDED in record.doubts and not is_alike


def why_unusable(record: Record) -> str:
    """Say in a line why a sample's numbers don't count; '' where they do."""
    return clean_line(" ".join(_why(record).split()))


def describe_mismatch(mismatch: Mismatch) -> str:
    """Say in one line where and how a group differs from the oracle."""
    place = f"{mismatch.group}{list(mismatch.index) if mismatch.index else ''}"
    others = f" ({mismatch.n_different} values differ)" if mismatch.n_different > 1 else ""
    # Whole numbers: the two may differ in their last digits only.
    return f"the oracle expected {mismatch.expected!r} for {place}, and it is {mismatch.got!r}{others}"


def _why(record: Record) -> str:
    failure, caches = record.failure, record.caches
    if failure is not None:
        where = f" in {failure.phase}" if failure.phase else ""
        return f"{record.status}{where}: {failure.kind}: {failure.message.strip().partition('\n')[0]}"
    if record.status is Status.MISMATCH and record.check.mismatches:
        return f"mismatch: {describe_mismatch(record.check.mismatches[0])}"
    if record.status is not Status.OK:
        return str(record.status)
    if Doubt.SUSPENDED in record.doubts:
        return f"it stood still for {format_seconds(record.suspended_seconds)} (stopped, or the machine slept)"
    contradiction = caches.contradiction if caches else None
    if contradiction is not None or Doubt.SCENARIO_CONTRADICTED in record.doubts:
        return f"this was no {record.case.scenario} compile" + (f": {contradiction}" if contradiction else "")
    return ""
