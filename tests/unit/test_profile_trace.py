"""Traces of a profile: spans nest whatever the clocks say, and viewers get what their formats ask for."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.observe.events import Attribution, SpanKind, TimeSpan
from firstgrad.profiling import Profile
from firstgrad.profiling.trace import SCHEMA, TraceFormat, nest_spans, spans_of, walk_nested, write_trace
from planted_profile import failed_profile, planted_profile, planted_record


def span(name, began, ended, kind=SpanKind.STEP):
    return TimeSpan(kind=kind, name=name, began_seconds=began, wall_seconds=ended - began)


def outline(spans):
    """Nests as tuples: name, begin, end, inner."""

    def told(nests):
        return [(nest.span.name, nest.began_seconds, nest.ended_seconds, told(nest.inner)) for nest in nests]

    return told(nest_spans(spans))


def in_speedscope(profile):
    return write_trace(profile, TraceFormat.SPEEDSCOPE)


def in_chrome(profile):
    return write_trace(profile, TraceFormat.CHROME)


def with_spans(*spans):
    return Profile(record=planted_record(), attribution=Attribution(spans=spans))


seconds = st.one_of(st.floats(-1.0, 10.0), st.integers(0, 10).map(float))  # whole ones, so that ends meet
some_spans = st.lists(
    st.builds(
        TimeSpan, kind=st.sampled_from(SpanKind), name=st.text(max_size=3), began_seconds=seconds, wall_seconds=seconds
    ),
    max_size=30,
)


NESTS = {
    "spans that nest stay as they are": (
        [span("a", 0, 10), span("b", 1, 4), span("c", 2, 3), span("d", 4, 9), span("e", 12, 13)],
        [("a", 0, 10, [("b", 1, 4, [("c", 2, 3, [])]), ("d", 4, 9, [])]), ("e", 12, 13, [])],
    ),
    "a child that ends after its parent is cut": (
        [span("a", 0, 10), span("b", 6, 10.5)],
        [("a", 0, 10, [("b", 6, 10, [])])],
    ),
    # By a rounding the child begins first.
    "a short span never cuts a long one": (
        [span("short", 0.999, 2.0), span("long", 1.0, 9.0)],
        [("long", 1.0, 9.0, [("short", 1.0, 2.0, [])])],
    ),
    "a phase is cut by nothing but a phase": (
        [span("a", 0, 5, SpanKind.PHASE), span("b", 5, 6, SpanKind.PHASE), span("over both", 1, 6)],
        [("a", 0, 5, [("over both", 1, 5, [])]), ("b", 5, 6, [])],
    ),
    "of equal spans the phase is the outer one and the unit the inner": (
        [span("u", 0, 1, SpanKind.UNIT), span("p", 0, 1, SpanKind.PASS), span("f", 0, 1, SpanKind.PHASE)],
        [("f", 0, 1, [("p", 0, 1, [("u", 0, 1, [])])])],
    ),
    "times that are none are left out": (
        [span("a", math.nan, 1), span("b", 0, math.inf), span("c", 3, 2), span("d", -1, 1)],
        [("d", 0, 1, []), ("c", 3, 3, [])],
    ),
}


@pytest.mark.parametrize(("spans", "nests"), NESTS.values(), ids=NESTS)
def test_spans_nest_in_whatever_order_they_come(spans, nests):
    assert outline(spans) == outline(reversed(spans)) == nests


@given(some_spans)
def test_events_are_balanced_and_in_order_of_time(spans):
    now, opened = 0.0, []
    for opens, nest in walk_nested(nest_spans(spans)):
        at = nest.began_seconds if opens else nest.ended_seconds
        assert at >= now
        now = at
        if opens:
            opened.append(nest)
        else:
            assert opened.pop() is nest
    assert not opened


@given(some_spans)
def test_every_span_is_there_once_and_is_never_made_longer(spans):
    found = [nest for opens, nest in walk_nested(nest_spans(spans)) if opens]
    assert sorted(nest.span.name for nest in found) == sorted(each.name for each in spans)
    for nest in found:
        assert nest.ended_seconds - nest.began_seconds <= nest.span.wall_seconds + 1e-9


def test_nests_of_any_depth_are_walked():
    depth = 1500  # beyond what a recursion would bear
    found = nest_spans([span(f"{number}", number, 2 * depth - number) for number in range(depth)])
    assert sum(1 for _ in walk_nested(found)) == 2 * depth


def check_tracks(text):
    """Check what speedscope's file format asks of evented profiles (file-format-schema.json)."""
    document = json.loads(text)
    assert document["$schema"] == SCHEMA
    assert document["exporter"] == "firstgrad"
    assert set(document) <= {"$schema", "exporter", "name", "activeProfileIndex", "shared", "profiles"}
    frames = document["shared"]["frames"]
    assert all(set(frame) == {"name"} and isinstance(frame["name"], str) for frame in frames)
    assert len({frame["name"] for frame in frames}) == len(frames)
    for profile in document["profiles"]:
        assert set(profile) == {"type", "name", "unit", "startValue", "endValue", "events"}
        assert (profile["type"], profile["unit"]) == ("evented", "seconds")
        now, opened = profile["startValue"], []
        for event in profile["events"]:
            assert set(event) == {"type", "frame", "at"}
            assert 0 <= event["frame"] < len(frames)
            assert event["at"] >= now
            now = event["at"]
            if event["type"] == "O":
                opened.append(event["frame"])
            else:
                assert (event["type"], opened.pop()) == ("C", event["frame"])
        assert not opened
        assert now <= profile["endValue"]
    return document


def check_schema(text):
    document = check_tracks(text)
    assert len(document["profiles"]) == 1
    return document


def test_a_planted_profile_is_what_speedscope_asks_for():
    document = check_schema(in_speedscope(planted_profile()))
    (profile,) = document["profiles"]
    names = [frame["name"] for frame in document["shared"]["frames"]]
    events = [(event["type"], names[event["frame"]], event["at"]) for event in profile["events"]]
    assert profile["startValue"] == 0.0
    assert profile["endValue"] == pytest.approx(12.1)
    first = events.index(("O", "first_call", 7.0))
    assert events[first : first + 6] == [
        ("O", "first_call", 7.0),
        ("O", "kernel_0 [unit] Elemwise", 7.0),
        ("O", "kernel_1 [unit] Dot", 8.0),
        ("C", "kernel_1 [unit] Dot", 9.0),
        ("C", "kernel_0 [unit] Elemwise", 11.0),
        ("C", "first_call", 12.0),
    ]
    assert "fusion [pass]" in names


@given(some_spans)
def test_any_spans_are_what_speedscope_asks_for(spans):
    check_schema(in_speedscope(with_spans(*spans)))


def test_phases_come_from_the_record_where_no_span_tells():
    found = spans_of(failed_profile())
    assert [(each.kind, each.name) for each in found] == [(SpanKind.PHASE, "import"), (SpanKind.PHASE, "build")]
    check_schema(in_speedscope(failed_profile()))


def test_a_profile_without_anything_is_a_file_still():
    profile = Profile(record=planted_record(phases={}))
    (empty,) = check_schema(in_speedscope(profile))["profiles"]
    assert empty["events"] == []


def test_chromes_events_are_in_microseconds_with_memory_beside_them():
    document = json.loads(in_chrome(planted_profile()))
    events = {(each["ph"], each["name"]): each for each in document["traceEvents"]}
    fusion = events["X", "fusion [pass]"]
    assert (fusion["ts"], fusion["dur"], fusion["cat"]) == (3_100_000, 2_000_000, "pass")
    assert events["M", "process_name"]["args"] == {"name": "some/file.py:build, fake, dlogp, cold"}
    counters = [each for each in document["traceEvents"] if each["ph"] == "C"]
    assert len(counters) == 11
    assert counters[10]["args"] == {"process": 500 * 2**20, "children": 0}


@given(some_spans)
def test_chromes_events_nest(spans):
    events = [each for each in json.loads(in_chrome(with_spans(*spans)))["traceEvents"] if each["ph"] == "X"]
    ends = []
    for event in events:
        while ends and ends[-1] <= event["ts"]:
            ends.pop()
        assert not ends or event["ts"] + event["dur"] <= ends[-1]
        ends.append(event["ts"] + event["dur"])
