"""The order of units: by their types, each once, ahead where nothing else is to be done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.precompiling.schedule import PlannedUnit, Schedule

CHAIN = (
    PlannedUnit(name="exp", key="e", takes=("x",), gives=("a",)),
    PlannedUnit(name="log", key="l", takes=("a",), gives=("b",)),
    PlannedUnit(name="the whole", key="w", takes=("x",), closes=True),
)


def test_a_unit_waits_for_the_types_that_it_takes():
    schedule = Schedule(CHAIN, {"x": "vector"}, {})
    assert schedule.next(0) == (0, ("vector",))
    assert schedule.next(1) is None, "log's type isn't known"
    schedule.made(0, ("vector",), ("row",))
    assert schedule.next(1) == (1, ("row",))
    schedule.made(1, ("row",), ("row",))
    assert schedule.left == ()
    assert schedule.takes(2) == ("vector",)


def test_two_nodes_with_one_key_and_one_type_are_one_unit():
    units = [PlannedUnit(name=f"exp_{n}", key="e", takes=("x",), gives=(f"y{n}",)) for n in range(3)]
    last = PlannedUnit(name="add", key="a", takes=("y0", "y1", "y2"), gives=("z",))
    schedule = Schedule([*units, last], {"x": "vector"}, {})
    assert schedule.next(0) == (0, ("vector",))
    assert schedule.next(1) is None
    schedule.made(0, ("vector",), ("row",))
    assert schedule.next(1) == (3, ("row", "row", "row"))


def test_what_no_cache_keeps_is_compiled_for_each_node():
    units = [PlannedUnit(name="own", key="", takes=("x",), gives=(f"y{n}",)) for n in range(2)]
    schedule = Schedule(units, {"x": "vector"}, {})
    assert [schedule.next(0), schedule.next(1)] == [(0, ("vector",)), (1, ("vector",))]


@pytest.mark.parametrize("is_right", [True, False])
def test_who_would_be_idle_compiles_ahead_and_a_wrong_guess_costs_only_itself(is_right):
    schedule = Schedule(CHAIN, {"x": "vector"}, {"a": "row"})
    assert schedule.next(0) == (0, ("vector",))
    assert schedule.next(1) == (1, ("row",))
    schedule.made(1, ("row",), ("out",))
    assert schedule.left == (0, 1), "whether it was right isn't known yet"
    schedule.made(0, ("vector",), ("row" if is_right else "column",))
    assert schedule.next(1) == (None if is_right else (1, ("column",)))
    assert schedule.left == (() if is_right else (1,))


def test_a_guess_that_cannot_be_compiled_is_no_failure_and_is_not_tried_again():
    schedule = Schedule(CHAIN, {"x": "vector"}, {"a": "row"})
    schedule.next(0), schedule.next(1)
    assert not schedule.failed(1, ("row",))
    assert schedule.next(1) is None
    schedule.made(0, ("vector",), ("row",))
    assert schedule.next(1) == (1, ("row",)), "now it is what it is called with"
    assert schedule.failed(1, ("row",))
    assert schedule.left == (1,)


def test_a_kind_stays_with_who_began_it_as_long_as_there_is_other_work():
    names = ["split", "split_1", "dot"]
    units = [PlannedUnit(name=name, key=name, takes=("x",), gives=(f"y{name}",)) for name in names]
    schedule = Schedule(units, {"x": "vector"}, {})
    assert [schedule.next(doer)[0] for doer in (0, 1, 1)] == [0, 2, 1]


@given(st.data())
def test_every_unit_of_a_random_graph_is_made_once_whoever_asks_in_whatever_order(data):
    count = data.draw(st.integers(1, 12))
    units, names = [], ["x"]
    for number in range(count):
        takes = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))
        names.append(f"v{number}")
        units.append(
            PlannedUnit(name="u", key=data.draw(st.sampled_from("abc")), takes=tuple(takes), gives=(f"v{number}",))
        )
    likely = {name: data.draw(st.sampled_from(["t", "wrong"])) for name in names[1:]}
    schedule = Schedule(units, {"x": "t"}, likely)
    working, made = {}, []
    while schedule.left:
        doer = data.draw(st.integers(0, 2))
        if doer not in working and (found := schedule.next(doer)) is not None:
            working[doer] = found
        elif working:
            doer = data.draw(st.sampled_from(sorted(working)))
            number, takes = working.pop(doer)
            made.append((units[number].key, takes))
            schedule.made(number, takes, ("t",))
        elif schedule.left:
            working[doer] = schedule.next(doer) or pytest.fail("nothing is begun, and something is left")
    assert len(made) == len(set(made))
