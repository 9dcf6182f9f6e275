"""What stands behind a row of the report: its samples, each with a bar of its phases, and what to type to see more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firstgrad.phase import Phase
from firstgrad.show.page import Markup, PageOnly
from firstgrad.show.result import Facts, Fold, Span, Text, parts_html
from firstgrad.show.style import PHASE_COLOURS
from firstgrad.show.words import shown
from firstgrad.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.show.result import Part

_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPhase:
    """A phase of a sample: its CPU seconds and memory are known where the whole record was read."""

    name: str
    wall_seconds: float
    cpu_seconds: float | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSample:
    """One sample behind a row's numbers."""

    id: str
    started: str  # UTC, ISO 8601
    label: str
    commit: str
    status: str
    reason: str  # why its numbers don't count; '' where they do
    window_seconds: float | None  # to the first gradient, or the first draw
    window_at_least: float | None  # a limit stopped it after so long
    cpu_seconds: float | None  # of the same window
    evaluation_seconds: float | None
    peak_bytes: float | None
    phases: tuple[ShownPhase, ...]
    counts: tuple[tuple[str, float], ...]  # what was counted, and how much
    caches: str  # the scenario and its proof, in words
    verdict: str
    doubts: tuple[str, ...]
    command: str  # that shows the whole of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Details(PageOnly):
    """What opens below a row of a page's table."""

    title: str
    samples: tuple[ShownSample, ...]  # the newest first
    left_out: int = 0  # older ones, which are not among these
    commands: tuple[tuple[str, str], ...] = ()  # what for, and what to type
    profile: Sequence[Part] = ()  # the newest kept one of this case

    def to_html(self) -> str:
        """Return the samples as a table, the commands, and the profile."""
        longest = max((_length(sample) for sample in self.samples), default=0.0) or 1.0
        rows = [_values(sample, longest) for sample in self.samples]
        left_out = f"{format_count(self.left_out, 'older sample')} left out." if self.left_out else ""
        parts: list[Part] = [
            Text(Span(self.title)),
            Markup("samples.html", {"rows": rows, "title": self.title}),
            Text(left_out),
            Facts([(purpose, Span(command, is_verbatim=True)) for purpose, command in self.commands]),
        ]
        parts += [Fold("Its newest profile", self.profile)] if self.profile else []
        return parts_html(parts)


def _length(sample: ShownSample) -> float:
    known = sample.window_seconds or sample.window_at_least or 0.0
    return max(known, sum(phase.wall_seconds for phase in sample.phases))


def _values(sample: ShownSample, longest: float) -> dict[str, Any]:
    """Say what the template needs of a sample."""
    at_least = sample.window_at_least
    over = "" if at_least is None else f"over {format_seconds(at_least)}"
    return {
        "sample": sample,
        "when": shown(sample.started[:19].replace("T", " ")),
        "window": over if sample.window_seconds is None else format_seconds(sample.window_seconds),
        "cpu": _seconds(sample.cpu_seconds),
        "evaluation": _seconds(sample.evaluation_seconds),
        "peak": _bytes(sample.peak_bytes),
        "phases": [_phase_values(phase, longest) for phase in sample.phases if phase.wall_seconds > 0],
        "counts": ", ".join(f"{name} {number:,.10g}" for name, number in sample.counts),
        "reason": shown(sample.reason, _LONGEST_REASON),
        "verdict": sample.verdict.replace("_", " "),
    }


def _phase_values(phase: ShownPhase, longest: float) -> dict[str, str]:
    known = {"CPU": _seconds(phase.cpu_seconds), "memory up to": _bytes(phase.peak_bytes)}
    return {
        "text": f"{phase.name.replace('_', ' ')} {format_seconds(phase.wall_seconds)}",
        "more": ", ".join(f"{name} {number}" for name, number in known.items() if number),
        "colour": PHASE_COLOURS[Phase(phase.name)] if phase.name in Phase else "#888888",
        "width": f"{100 * phase.wall_seconds / longest:.2f}",
    }


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else format_seconds(seconds)


def _bytes(size: float | None) -> str:
    return "" if size is None else format_bytes(size)
