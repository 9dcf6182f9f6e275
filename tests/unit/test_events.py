from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstgrad.codec import DecodeError, from_json, to_json
from firstgrad.measuring.events import (
    Finished,
    PassBegan,
    PhaseBegan,
    PhaseEnded,
    Started,
    Task,
    read_event,
    write_event,
)
from firstgrad.phase import Phase
from firstgrad.record import PhaseRecord
from helpers import make_task
from strategies import records, same

NAMES = ("Started", "PhaseBegan", "PhaseEnded", "PassBegan", "Finished")
phases = st.sampled_from(Phase)
numbers = st.floats()
whole = st.integers(0, 2**62)
ANY_EVENT = (
    st.builds(Started, monotonic_seconds=numbers)
    | st.builds(PhaseBegan, phase=phases, at_seconds=numbers)
    | st.builds(PhaseEnded, record=st.builds(PhaseRecord, phase=phases, began_seconds=numbers))
    | st.builds(PassBegan, name=st.text(), number=whole, total=whole, nodes=whole)
    | st.builds(Finished, record=records())
)


@given(ANY_EVENT)
@settings(max_examples=150, deadline=None)
def test_every_event_is_one_line_and_comes_back_as_it_was(event):
    line = write_event(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    back = read_event(line[:-1])
    assert type(back) is type(event)
    assert same(back, event)


def test_an_event_is_written_as_documented_and_a_task_comes_back_as_it_was():
    line = b'PhaseBegan {"at_seconds":1.5,"phase":"link"}\n'
    assert write_event(PhaseBegan(phase=Phase.LINK, at_seconds=1.5)) == line
    assert from_json(to_json(make_task()), Task) == make_task()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b"hello",
        b"Started",
        b"Started ",
        b"Started null",
        b"Started []",
        b"Started {}",
        b'Started {"monotonic_seconds": "soon"}',
        b'Started {"monotonic_seconds": true}',
        b'Started {"monotonic_seconds": 1.0, "more": 2}',
        b'started {"monotonic_seconds": 1.0}',
        b'PhaseBegan {"at_seconds": 1.0, "phase": "lunch"}',
        b'MemoryNow {"at_seconds": 1.0, "rss_bytes": 1, "processes": 1}',  # the parent's own, never the worker's
        b'Task {"case": 1}',
        b"Finished {",
        b"Finished " + b"[" * 100_000,
        b"\xff\xfe\x00",
        b"Started \xff\xfe",
        b"Started " + b"9" * 10_000,
    ],
)
def test_garbage_is_refused(line):
    with pytest.raises(DecodeError):
        read_event(line)


@given(
    st.binary(max_size=200)
    | st.tuples(st.sampled_from(NAMES), st.binary(max_size=60)).map(lambda parts: parts[0].encode() + b" " + parts[1])
)
@settings(deadline=None)
def test_bytes_of_any_kind_are_an_event_or_refused(line):
    try:
        event = read_event(line)
    except DecodeError:
        return
    assert type(event).__name__ in NAMES


@given(ANY_EVENT, st.data())
@settings(max_examples=150, deadline=None)
def test_a_line_that_broke_off_is_refused(event, data):
    line = write_event(event)[:-1]
    length = data.draw(st.integers(0, len(line) - 1))
    with pytest.raises(DecodeError):
        read_event(line[:length])
