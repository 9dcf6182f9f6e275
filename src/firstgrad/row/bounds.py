"""What is known of a sample that a limit stopped: numbers of what had ended, lower bounds of what had not."""

from __future__ import annotations

from dataclasses import dataclass, field

from firstgrad.case import Scenario
from firstgrad.record import FIRST_GRADIENT_PHASES, Phase, Record, Status

WHILE_FILLING = "while filling the cache: "
"""Begins the failure's message where a ``warm`` sample was never begun: its phases are those of the filling."""

_FIRST_GRADIENT = "time_to_first_gradient"
_PEAK_MEMORY = "peak_memory"


@dataclass(frozen=True, slots=True)
class Known:
    """Numbers and lower bounds by the metric's name, besides what the record itself has."""

    numbers: dict[str, float] = field(default_factory=dict)
    bounds: dict[str, float] = field(default_factory=dict)


def end_seconds(record: Record) -> float | None:
    """Find when the sample was last seen, in seconds of the worker's clock; none where it never was."""
    ends = []
    if record.memory is not None and record.memory.timeline:
        ends.append(record.memory.timeline[-1].at_seconds)
    if record.phases:
        ends.append(_ended(record, record.phases[-1].phase))
    return max(ends, default=None)


def find_known(record: Record) -> Known:
    """Find what is known of a sample that its time or memory limit stopped.

    Processor seconds have no bounds: nobody asked for them when it was stopped. Wall seconds are true to within what
    lies between two phases, some hundredths of a second.

    Returns
    -------
    Known
        Empty for all other samples.
    """
    failure, end = record.failure, end_seconds(record)
    if record.status not in (Status.TIMEOUT, Status.OUT_OF_MEMORY) or failure is None:
        return Known()
    if failure.message.startswith(WHILE_FILLING):
        return Known()
    known = Known()
    if (bytes_seen := _peak_bytes(record)) is not None:
        known.bounds[_PEAK_MEMORY] = bytes_seen
    if record.time_to_first_gradient_seconds is None:
        seconds = _first_gradient_seconds(record, end)
        is_over = record.phase(Phase.FIRST_CALL) is not None
        _keep_positive(known.numbers if is_over else known.bounds, _FIRST_GRADIENT, seconds)
    if failure.phase not in (None, Phase.EVALUATE) and record.phase(failure.phase) is None:
        _keep_positive(known.bounds, f"phase_{failure.phase}", _present_seconds(record, failure.phase, end))
    return known


def _keep_positive(known: dict[str, float], name: str, seconds: float | None) -> None:
    if seconds is not None and seconds > 0:  # "at least nothing" is not known of anything
        known[name] = seconds


def _first_gradient_seconds(record: Record, end: float | None) -> float | None:
    """Seconds from the start of `build`, without the search for a start point between it and `logp_graph`."""
    build, logp = record.phase(Phase.BUILD), record.phase(Phase.LOGP_GRAPH)
    present = record.failure.phase if record.failure else None
    if build is None:
        return _present_seconds(record, Phase.BUILD, end) if present is Phase.BUILD else None
    if logp is not None:
        last = _ended(record, Phase.FIRST_CALL) if record.phase(Phase.FIRST_CALL) else end
        return build.wall_seconds + max((last or 0.0) - logp.began_seconds, logp.wall_seconds)
    if present is Phase.LOGP_GRAPH:
        return build.wall_seconds + max(_present_seconds(record, present, end) or 0.0, 0.0)
    return build.wall_seconds


def _present_seconds(record: Record, phase: Phase, end: float | None) -> float | None:
    """Seconds of the phase in which it was stopped; none where it is not known when that began."""
    order = (Phase.IMPORT, *FIRST_GRADIENT_PHASES)
    if phase not in order or end is None:
        return None
    if phase is Phase.IMPORT:
        return end
    if phase is Phase.BUILD and record.case.scenario is Scenario.HOT:
        return None  # the first compile lies between import and it
    if phase is Phase.LOGP_GRAPH and record.case.model.pose is None:
        return None  # the search for a start point does
    before = order[order.index(phase) - 1]
    return end - _ended(record, before) if record.phase(before) is not None else None


def _ended(record: Record, phase: Phase) -> float:
    found = next(each for each in record.phases if each.phase is phase)
    return found.began_seconds + found.wall_seconds


def _peak_bytes(record: Record) -> float | None:
    seen = [record.memory.peak_rss_bytes] if record.memory else []
    if record.failure is not None and record.failure.kind == "MemoryLimit" and record.case.memory_limit_bytes:
        seen.append(record.case.memory_limit_bytes)  # it was over that
    return max(seen, default=None)
