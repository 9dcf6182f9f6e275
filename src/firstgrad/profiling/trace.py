"""Spans as a file for a trace viewer: speedscope, or Chrome's trace events, which Perfetto reads."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from firstgrad.observe.events import SpanKind, TimeSpan
from firstgrad.observe.spans import RANK_OF

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from firstgrad.profiling import Profile
    from firstgrad.record import MemoryPoint

SCHEMA = "https://www.speedscope.app/file-format-schema.json"


class TraceFormat(StrEnum):
    """``speedscope``: for speedscope.app. ``chrome``: for Perfetto and Chrome's own tracing, with memory."""

    SPEEDSCOPE = "speedscope"
    CHROME = "chrome"

    @property
    def file_name(self) -> str:
        """What a trace of this format is called in a profile's folder."""
        return f"trace.{self}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """The spans of one thread, as a viewer shows them."""

    name: str  # of the thread
    process_name: str
    spans: Sequence[TimeSpan]
    name_span: Callable[[TimeSpan], str]
    process: int = 1
    thread: int = 1
    memory: Sequence[MemoryPoint] = ()


def write_trace(profile: Profile, trace_format: TraceFormat) -> str:
    """Write a profile's spans, seconds counted from the start of the worker's clock, as JSON."""
    title = f"{profile.record.case} ({profile.record.record_id[:8]})"
    track = Track(
        name="compile" if trace_format is TraceFormat.CHROME else title,
        process_name=str(profile.record.case),
        spans=spans_of(profile),
        name_span=_make_namer(profile),
        memory=() if profile.record.memory is None else profile.record.memory.timeline,
    )
    return write_tracks(title, (track,), trace_format)


def write_tracks(title: str, tracks: Sequence[Track], trace_format: TraceFormat) -> str:
    """Write the spans of threads as JSON."""
    is_speedscope = trace_format is TraceFormat.SPEEDSCOPE
    return json.dumps(_speedscope(title, tracks) if is_speedscope else _chrome(tracks), allow_nan=False)


def _speedscope(title: str, tracks: Sequence[Track]) -> dict[str, object]:
    """Make a document of speedscope's (https://www.speedscope.app): a profile of the type "evented" for each track."""
    frames: dict[str, int] = {}
    profiles = []
    for track in tracks:
        nested = nest_spans(track.spans)
        events = [
            {
                "type": "O" if opens else "C",
                "frame": frames.setdefault(track.name_span(one.span), len(frames)),
                "at": one.began_seconds if opens else one.ended_seconds,
            }
            for opens, one in walk_nested(nested)
        ]
        profiles.append(
            {
                "type": "evented",
                "name": track.name,
                "unit": "seconds",
                "startValue": min((one.began_seconds for one in nested), default=0.0),
                "endValue": max((one.ended_seconds for one in nested), default=0.0),
                "events": events,
            }
        )
    return {
        "$schema": SCHEMA,
        "exporter": "firstgrad",
        "name": title,
        "activeProfileIndex": 0,
        "shared": {"frames": [{"name": frame} for frame in frames]},
        "profiles": profiles,
    }


def _chrome(tracks: Sequence[Track]) -> dict[str, object]:
    """Make complete events ("X") in microseconds, and a counter ("C") of resident bytes with the children's."""
    events: list[dict[str, object]] = []
    for track in tracks:
        place = {"pid": track.process, "tid": track.thread}
        events += [
            {"ph": "M", "name": "process_name", "args": {"name": track.process_name}, **place},
            {"ph": "M", "name": "thread_name", "args": {"name": track.name}, **place},
        ]
        events += [
            {
                "ph": "X",
                "name": track.name_span(one.span),
                "cat": str(one.span.kind),
                "ts": _microseconds(one.began_seconds),
                "dur": _microseconds(one.ended_seconds) - _microseconds(one.began_seconds),
                **place,
            }
            for opens, one in walk_nested(nest_spans(track.spans))
            if opens
        ]
        events += [
            {
                "ph": "C",
                "name": "resident memory [bytes]",
                "ts": _microseconds(point.at_seconds),
                "args": {
                    "process": max(point.rss_bytes - point.children_rss_bytes, 0),
                    "children": point.children_rss_bytes,
                },
                **place,
            }
            for point in track.memory
            if point.at_seconds >= 0  # the watcher looks before the worker's clock starts; viewers begin at zero
        ]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def spans_of(profile: Profile) -> tuple[TimeSpan, ...]:
    """Take a profile's spans; its record tells the phases where they are not among them."""
    spans = profile.attribution.spans
    if any(span.kind is SpanKind.PHASE for span in spans):
        return spans
    phases = ((str(one.phase), one.began_seconds, one.wall_seconds) for one in profile.record.phases)
    return (
        *(TimeSpan(kind=SpanKind.PHASE, name=name, began_seconds=at, wall_seconds=wall) for name, at, wall in phases),
        *spans,
    )


def _make_namer(profile: Profile) -> Callable[[TimeSpan], str]:
    """Make the function that names spans: phases plainly, ``fusion [pass]``, and units with their operation."""
    operations = {unit.name: unit.op for unit in profile.attribution.units if unit.op}

    def name(span: TimeSpan) -> str:
        operation = operations.get(span.name, "") if span.kind is SpanKind.UNIT else ""
        return span.name if span.kind is SpanKind.PHASE else f"{span.name} [{span.kind}] {operation}".rstrip()

    return name


def _microseconds(seconds: float) -> int:
    """Whole ones: rounded ends stay in order, so what nests goes on nesting."""
    return round(seconds * 1e6)


@dataclass(slots=True, eq=False)
class NestedSpan:
    """A span and those within it, in order and apart from each other."""

    span: TimeSpan
    began_seconds: float
    ended_seconds: float
    inner: list[NestedSpan] = field(default_factory=list)


def nest_spans(spans: Iterable[TimeSpan]) -> tuple[NestedSpan, ...]:
    """Nest spans, whatever the clocks of the instruments say: in order of time, neighbours apart.

    Phases are laid down first, then the rest, the longest first; each is cut to what is free around its middle. So a
    span that two clocks put a little over its parent's end loses that little, and a short one never cuts a long one.
    Those whose times are not finite are left out; negative lengths are zero.
    """
    whole = NestedSpan(TimeSpan(kind=SpanKind.STEP, name="", began_seconds=0.0, wall_seconds=0.0), 0.0, math.inf)
    finite = (span for span in spans if math.isfinite(span.began_seconds) and math.isfinite(span.wall_seconds))
    for span in sorted(map(_clean, finite), key=_order):
        _lay(whole, span)
    return tuple(whole.inner)


def walk_nested(nested: Sequence[NestedSpan]) -> Iterator[tuple[bool, NestedSpan]]:
    """Go through nested spans in order of time: each comes twice, as it opens (true) and as it closes (false)."""
    waiting = [(True, one) for one in reversed(nested)]
    while waiting:
        opens, one = waiting.pop()
        yield opens, one
        if opens:
            waiting.append((False, one))
            waiting += [(True, inner) for inner in reversed(one.inner)]


def _clean(span: TimeSpan) -> TimeSpan:
    """Begin at zero or later: the worker's clock starts there."""
    began = max(span.began_seconds, 0.0)
    ended = max(span.began_seconds + span.wall_seconds, began)
    return replace(span, began_seconds=began, wall_seconds=ended - began)


def _order(span: TimeSpan) -> tuple[bool, float, int, float]:
    return span.kind is not SpanKind.PHASE, -span.wall_seconds, RANK_OF(span.kind), span.began_seconds


def _lay(outer: NestedSpan, span: TimeSpan) -> None:
    middle = span.began_seconds + span.wall_seconds / 2
    while True:
        place = bisect_right(outer.inner, middle, key=lambda one: one.began_seconds)
        if not place or middle >= outer.inner[place - 1].ended_seconds:
            break
        outer = outer.inner[place - 1]
    low = outer.inner[place - 1].ended_seconds if place else outer.began_seconds
    high = outer.inner[place].began_seconds if place < len(outer.inner) else outer.ended_seconds
    began = min(max(span.began_seconds, low), high)
    ended = max(min(span.began_seconds + span.wall_seconds, high), began)
    outer.inner.insert(place, NestedSpan(span, began, ended))
