"""Local events: chosen functions are heard, others not, and the tool's id is given back whatever happens."""

import sys

import pytest

from firstgrad.observe import calls
from firstgrad.observe.calls import CallCounter, FunctionEvents, on_first_return

IDS = range(6)


@pytest.fixture(autouse=True)
def _ids_are_given_back():
    before = [sys.monitoring.get_tool(each) for each in IDS]
    yield
    assert [sys.monitoring.get_tool(each) for each in IDS] == before


def double(number):
    return number * 2


def fail():
    raise ValueError("as planned")


def quiet():
    return double(1)


def test_starts_and_returns_are_told_with_frame_and_value():
    heard = []
    events = FunctionEvents()
    events.watch(
        double,
        lambda frame: heard.append(("start", frame.f_locals["number"])),
        lambda frame, value: heard.append(("return", frame.f_code.co_name, value)),
    )
    double(1)
    with events:
        double(21)
    double(3)
    assert heard == [("start", 21), ("return", "double", 42)]


def test_a_function_that_raises_starts_but_never_returns():
    heard = []
    events = FunctionEvents()
    events.watch(fail, lambda _: heard.append("start"), lambda *_: heard.append("return"))
    with events, pytest.raises(ValueError, match="as planned"):
        fail()
    assert heard == ["start"]


def test_a_listener_that_fails_never_reaches_the_measured_code():
    events = FunctionEvents()
    events.watch(double, lambda frame: frame.f_locals["missing"])
    with events:
        assert double(2) == double(2) == 4
    (problem,) = events.problems
    assert problem.startswith("double: KeyError: ")
    with pytest.raises(AttributeError):  # a function without Python code
        FunctionEvents().watch(len)


def test_two_of_them_work_at_once():
    heard = []
    outer, inner = FunctionEvents(), FunctionEvents()
    outer.watch(double, lambda _: heard.append("outer"))
    inner.watch(double, lambda _: heard.append("inner"))
    with outer:
        with inner:
            double(1)
        double(1)
    assert sorted(heard) == ["inner", "outer", "outer"]


def test_where_other_tools_hold_every_id_it_says_so_and_the_code_runs(monkeypatch):
    # A backend that was loaded in this process listens on, and whoever comes later shares its number.
    monkeypatch.setattr(calls, "_MONITOR", calls._Monitor())
    taken = [each for each in IDS if sys.monitoring.get_tool(each) is None]
    for each in taken:
        sys.monitoring.use_tool_id(each, "another")
    try:
        events = FunctionEvents()
        events.watch(double, lambda _: None)
        with events:
            assert quiet() == 2
        assert "no free tool id" in events.problems[0]
    finally:
        for each in taken:
            sys.monitoring.free_tool_id(each)


def test_the_first_return_is_told_once_and_again_in_a_later_context():
    heard = []
    for _ in range(2):
        with on_first_return(double, heard.append) as events:
            assert [double(number) for number in range(3)] == [0, 2, 4]
        assert events.problems == []
        double(5)
    assert heard == [0, 0]


def test_an_exception_that_leaves_is_told_and_others_are_not():
    heard = []
    events = FunctionEvents()
    events.watch(fail, unwound=lambda frame, error: heard.append((frame.f_code.co_name, str(error))))
    with events:
        for function in (fail, {}.popitem):
            with pytest.raises((ValueError, KeyError)):
                function()
    with pytest.raises(ValueError, match="as planned"):
        fail()
    assert heard == [("fail", "as planned")]


class Called:
    class Part:
        pass

    def __init__(self):
        self.part = self.Part()

    def __call__(self, number):
        if number < 0:
            raise ValueError("as planned")
        return number * 2


def test_calls_are_counted_by_object_and_the_first_is_told():
    told = []

    def began(key, frame):
        told.append(("began", key, frame.f_locals["number"]))
        return f"{key}!"

    counter = CallCounter(Called.__call__, began, lambda key: told.append(("ended", key)))
    known, other, never = Called(), Called(), Called()
    counter.add(known, known.part, "known")
    counter.add(never, never.part, "never")
    counter.attach()
    try:
        assert [known(number) for number in range(1000)] == [2 * number for number in range(1000)]
        other(1)
        (counted,) = counter.counts()
        assert (counted.key, counted.calls) == ("known", 999)
        assert counted.timed == 100 + 32  # the first ones, then 512 to 543
        assert (
            sys.monitoring.get_local_events(counter._tool, Called.__call__.__code__) == sys.monitoring.events.PY_START
        )
        assert counted.seconds > counted.timed_seconds > 0
        assert told == [("began", "known", 0), ("ended", "known!")]
        del known, counted
        assert [gone.calls for gone in counter.counts()] == [999]
        counter.restart()
        never(1)
        assert told[2:] == [("began", "never", 1), ("ended", "never!")]
        assert counter.counts() == []
    finally:
        counter.detach()
