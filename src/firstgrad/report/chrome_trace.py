"""A profile as Chrome's trace events, which Perfetto and chrome://tracing read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from firstgrad.report.span_tree import nest_spans, spans_of, walk
from firstgrad.report.trace_names import make_namer

if TYPE_CHECKING:
    from firstgrad.profile import Profile

_PLACE = {"pid": 1, "tid": 1}


def to_chrome_trace(profile: Profile) -> str:
    """Write a profile's spans, and its memory over time, as trace events.

    Returns
    -------
    str
        JSON in the object format: complete events ("X") in microseconds since the start of the worker's clock, and a
        counter ("C") of the resident bytes of the process and of its children.
    """
    name = make_namer(profile)
    events: list[dict[str, object]] = [
        {"ph": "M", "name": "process_name", "args": {"name": str(profile.record.case)}, **_PLACE},
        {"ph": "M", "name": "thread_name", "args": {"name": "compile"}, **_PLACE},
    ]
    events += [
        {
            "ph": "X",
            "name": name(nest.span),
            "cat": str(nest.span.kind),
            "ts": _microseconds(nest.began_seconds),
            "dur": _microseconds(nest.ended_seconds) - _microseconds(nest.began_seconds),
            **_PLACE,
        }
        for opens, nest in walk(nest_spans(spans_of(profile)))
        if opens
    ]
    if profile.record.memory is not None:
        events += [
            {
                "ph": "C",
                "name": "resident memory [bytes]",
                "ts": _microseconds(point.at_seconds),
                "args": {
                    "process": max(point.rss_bytes - point.children_rss_bytes, 0),
                    "children": point.children_rss_bytes,
                },
                **_PLACE,
            }
            for point in profile.record.memory.timeline
            if point.at_seconds >= 0  # the watcher looks before the worker's clock starts; viewers begin at zero
        ]
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}, allow_nan=False)


def _microseconds(seconds: float) -> int:
    """Whole ones: rounded ends stay in order, so what nests goes on nesting."""
    return round(seconds * 1e6)
