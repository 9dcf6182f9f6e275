"""A profile as a file for speedscope, a flame chart in the browser (https://www.speedscope.app)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from firstgrad.report.span_tree import nest_spans, spans_of, walk
from firstgrad.report.trace_names import make_namer

if TYPE_CHECKING:
    from firstgrad.profile import Profile

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
EXPORTER = "firstgrad"


def to_speedscope(profile: Profile) -> str:
    """Write a profile's spans in speedscope's file format.

    Returns
    -------
    str
        JSON: one profile of the type "evented" in seconds since the start of the worker's clock; each frame once,
        events balanced and in order of time.
    """
    nests = nest_spans(spans_of(profile))
    name = make_namer(profile)
    frames: dict[str, int] = {}
    events = [
        {
            "type": "O" if opens else "C",
            "frame": frames.setdefault(name(nest.span), len(frames)),
            "at": nest.began_seconds if opens else nest.ended_seconds,
        }
        for opens, nest in walk(nests)
    ]
    title = f"{profile.record.case} ({profile.record.record_id[:8]})"
    document = {
        "$schema": SCHEMA,
        "exporter": EXPORTER,
        "name": title,
        "activeProfileIndex": 0,
        "shared": {"frames": [{"name": each} for each in frames]},
        "profiles": [
            {
                "type": "evented",
                "name": title,
                "unit": "seconds",
                "startValue": min((nest.began_seconds for nest in nests), default=0.0),
                "endValue": max((nest.ended_seconds for nest in nests), default=0.0),
                "events": events,
            }
        ],
    }
    return json.dumps(document, allow_nan=False)
