"""Stretches, recorded as they open and close, and spans: ordered, cut to what they began in, phases put end to end."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import phase
from firstgrad.observe.events import SpanKind, TimeSpan
from firstgrad.observe.spans import StretchRecorder, cut_spans, pass_spans, phase_finder, phase_spans, walk_stretches
from firstgrad.phase import Phase
from firstgrad.record import RewritePass
from helpers import FakeClock


@pytest.fixture
def clock():
    return FakeClock(0.0)


def test_own_seconds_leave_out_what_lies_within(clock):
    recorder = StretchRecorder(clock)
    outer, inner = object(), object()
    recorder.open("compile", outer, "whole")
    clock.tick(1)
    recorder.open("compile", inner, "part")
    clock.tick(10)
    recorder.close(inner)
    clock.tick(2)
    recorder.close(outer)
    (whole,) = recorder.finish()
    assert (whole.wall_seconds, whole.own_seconds) == (13, 3)
    assert [(each.subject, each.own_seconds) for each in whole.inner] == [("part", 10)]


def test_a_stretch_that_an_exception_ended_is_left_out_and_what_was_within_is_kept(clock):
    recorder = StretchRecorder(clock)
    outer, lost, kept = object(), object(), object()
    recorder.open("module", outer)
    recorder.open("module", lost)
    recorder.open("compiler", kept)
    clock.tick(4)
    recorder.close(kept)
    clock.tick(1)
    recorder.close(outer)
    (whole,) = recorder.finish()
    assert [each.kind for each in whole.inner] == ["compiler"]
    assert whole.own_seconds == 1


def test_what_is_never_closed_is_given_up_at_the_end(clock):
    recorder = StretchRecorder(clock)
    lost, kept = object(), object()
    recorder.open("module", lost)
    recorder.open("compiler", kept)
    recorder.close(kept)
    assert [each.kind for each in recorder.finish()] == ["compiler"]


def test_closing_what_was_not_opened_changes_nothing_and_other_threads_are_not_listened_to(clock):
    recorder = StretchRecorder(clock)
    recorder.open("module", "main")
    assert recorder.close(object()) is None
    other = threading.Thread(target=lambda: (recorder.open("module", "other"), recorder.close("main")))
    other.start()
    other.join()
    assert recorder.close("main") is not None
    assert [each.inner for each in recorder.finish()] == [[]]


@given(st.lists(st.tuples(st.booleans(), st.integers(min_value=0, max_value=9)), max_size=40))
def test_own_seconds_add_up_to_the_time_of_the_outermost(steps):
    clock = FakeClock(0.0)
    recorder = StretchRecorder(clock)
    opened = []
    for opens, seconds in steps:
        clock.tick(seconds)
        if opens:
            opened.append(object())
            recorder.open("compile", opened[-1])
        elif opened:
            recorder.close(opened.pop())
    while opened:
        recorder.close(opened.pop())
    roots = recorder.finish()
    own = sum(each.own_seconds for each, _ in walk_stretches(roots))
    assert own == sum(each.wall_seconds for each in roots)
    assert all(each.own_seconds >= 0 for each, _ in walk_stretches(roots))


def span(kind, name, began, wall):
    return TimeSpan(kind=kind, name=name, began_seconds=began, wall_seconds=wall)


PHASES = (phase("rewrite", 2.0, began=1.0), phase("link", 5.0, began=3.0), phase("first_call", 1.0, began=7.0))


def test_linking_that_was_done_early_does_not_reach_into_the_first_call():
    assert [(each.name, each.wall_seconds) for each in phase_spans(PHASES)] == [
        ("rewrite", 2.0),
        ("link", 4.0),
        ("first_call", 1.0),
    ]


def test_a_time_belongs_to_the_phase_around_it():
    find = phase_finder(PHASES)
    assert [find(at) for at in (0.5, 1.5, 4.0, 7.5, 9.0)] == [None, Phase.REWRITE, Phase.LINK, Phase.FIRST_CALL, None]


def test_passes_are_laid_out_in_order_within_rewriting():
    passes = [RewritePass(name="merge", wall_seconds=0.5), RewritePass(name="canonicalize", wall_seconds=1.0)]
    assert [(each.name, each.began_seconds) for each in pass_spans(passes, PHASES)] == [
        ("merge", 1.0),
        ("canonicalize", 1.5),
    ]
    assert pass_spans(passes, PHASES[1:]) == ()


def test_a_span_that_outlasts_the_one_it_began_in_is_cut():
    spans = cut_spans(
        [
            span(SpanKind.UNIT, "kernel", 6.5, 1.0),
            *phase_spans(PHASES),
            span(SpanKind.PASS, "nothing", 1.2, 0.0),
        ]
    )
    assert [(each.name, each.began_seconds, each.wall_seconds) for each in spans] == [
        ("rewrite", 1.0, 2.0),
        ("link", 3.0, 4.0),
        ("kernel", 6.5, 0.5),
        ("first_call", 7.0, 1.0),
    ]


def test_of_two_equal_spans_the_phase_is_the_outer_one():
    spans = cut_spans([span(SpanKind.STEP, "compile", 1.0, 2.0), span(SpanKind.PHASE, "rewrite", 1.0, 2.0)])
    assert [each.name for each in spans] == ["rewrite", "compile"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(SpanKind), st.floats(min_value=0, max_value=100), st.floats(min_value=0, max_value=50)
        ),
        max_size=30,
    )
)
def test_whatever_goes_in_nests(drawn):
    spans = cut_spans([span(kind, "x", began, wall) for kind, began, wall in drawn])
    around = []
    for each in spans:
        assert each.wall_seconds > 0
        while around and around[-1] <= each.began_seconds + 1e-9:
            around.pop()
        assert not around or each.began_seconds + each.wall_seconds <= around[-1] + 1e-9
        around.append(each.began_seconds + each.wall_seconds)
    assert [each.began_seconds for each in spans] == sorted(each.began_seconds for each in spans)
