"""Stretches: nested as they were opened, own seconds without those within, exceptions survived."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.attribution.stretches import StretchRecorder, walk
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


def test_closing_what_was_not_opened_changes_nothing(clock):
    recorder = StretchRecorder(clock)
    token = object()
    recorder.open("module", token)
    assert recorder.close(object()) is None
    assert recorder.close(token) is not None


def test_other_threads_are_not_listened_to(clock):
    recorder = StretchRecorder(clock)
    recorder.open("module", "main")
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
    own = sum(each.own_seconds for each, _ in walk(roots))
    assert own == sum(each.wall_seconds for each in roots)
    assert all(each.own_seconds >= 0 for each, _ in walk(roots))
