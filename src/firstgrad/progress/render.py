"""A snapshot in words; terminal, notebook and log share them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.observe.events import Stage, UnitKind
from firstgrad.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from firstgrad.progress.history import ExpectedTime
    from firstgrad.progress.snapshot import Look, Snapshot, Summary, Units

STAGES = {
    Stage.IMPORT: "import",
    Stage.BUILD: "build the model",
    Stage.INITIAL_POINT: "initial point",
    Stage.LOGP_GRAPH: "logp graph",
    Stage.GRAD_GRAPH: "gradient graph",
    Stage.REWRITE: "rewrite",
    Stage.LINK: "link and compile",
    Stage.FIRST_CALL: "first call",
    Stage.CALL: "call",
    Stage.SAMPLE: "sampling",
    Stage.OTHER: "working",
}
"""Stages, as people read them."""

_KINDS = {
    UnitKind.C_MODULE: "C module",
    UnitKind.JITTED_FUNCTION: "jitted function",
    UnitKind.XLA_MODULE: "XLA module",
}
_APART = 3.0
_NAME_LENGTH = 48


def activity(snapshot: Snapshot) -> str:
    """Say what is going on: stage, pass, node, unit."""
    look = snapshot.look
    parts = [f"{STAGES[look.stage]} {snapshot.stage_seconds:.1f} s"]
    if look.pass_total and not look.node_total:
        parts.append(f"pass {look.pass_number} of {look.pass_total}, {look.pass_name}, {look.nodes} nodes")
    if look.node_total:
        parts.append(f"node {look.node_number} of {look.node_total}")
    if look.package and look.unit_kind is None:
        parts.append(f"importing {look.package}")
    if doing := _doing(look):
        parts.append(doing)
    title = f"{snapshot.title}: " if snapshot.title else ""
    return f"{title}{' · '.join(parts)}"


def account(snapshot: Snapshot) -> str:
    """Say what was done so far, at what price, and how long it still takes."""
    parts = [counted for each in snapshot.units if (counted := count_units(each))]
    if snapshot.is_cache_seen and not any(each.from_cache for each in snapshot.units):
        parts.append("some from cache")
    parts.append(f"{snapshot.elapsed_seconds:.1f} s in all")
    if snapshot.rss_bytes is not None:
        parts.append(format_bytes(snapshot.rss_bytes))
    if snapshot.processes > 1:
        parts.append(f"{snapshot.processes} processes")
    if snapshot.expected is not None:
        parts.append(_left(snapshot.expected))
    return " · ".join(parts)


def one_line(snapshot: Snapshot) -> str:
    """Say all of it in one line."""
    return f"{activity(snapshot)} · {account(snapshot)}"


def count_units(units: Units) -> str:
    """Say how many units were compiled and how many not; '' where there was nothing."""
    parts = []
    if units.compiled:
        parts.append(f"{format_count(units.compiled, _KINDS[units.kind])} compiled")
    if units.from_cache:
        what = "" if units.compiled else f" {_KINDS[units.kind]}{'s' if units.from_cache > 1 else ''}"
        parts.append(f"{units.from_cache:,}{what} from cache")
    return ", ".join(parts)


def conclude(summary: Summary, title: str = "") -> str:
    """Say in one line how it went."""
    parts = [
        f"{STAGES[stage]} {format_seconds(seconds)}"
        for stage, seconds in summary.stage_seconds
        if stage.is_compile and seconds
    ]
    parts += [counted for each in summary.units if (counted := count_units(each))]
    if summary.peak_rss_bytes is not None:
        parts.append(f"up to {format_bytes(summary.peak_rss_bytes)}")
    head = f"{title}: " if title else ""
    return " · ".join([f"{head}done in {format_seconds(summary.seconds)}", *parts])


def _doing(look: Look) -> str:
    name = look.unit if len(look.unit) <= _NAME_LENGTH else f"{look.unit[: _NAME_LENGTH - 1]}…"
    if look.reads_cache:
        return f"loading {name} from cache".replace("  ", " ")
    if look.unit_kind is not None:
        return f"compiling {name or _KINDS[look.unit_kind]}"
    return name


def _left(expected: ExpectedTime) -> str:
    runs = format_count(expected.runs, "former run")
    if expected.high_seconds > _APART * max(expected.low_seconds, 1.0):
        return f"{_rough(expected.low_seconds)} to {_rough(expected.high_seconds)} s left ({runs})"
    return f"about {_rough(expected.seconds)} s left ({runs})"


def _rough(seconds: float) -> str:
    """Round so that the number does not claim more than it knows: to seconds, above a minute to tens."""
    return f"{max(seconds, 1):.0f}" if seconds < 60 else f"{round(seconds, -1):.0f}"  # noqa: PLR2004 - a minute
