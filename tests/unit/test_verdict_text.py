"""What is said of a check's result, in words."""

from __future__ import annotations

from firstgrad.record import Check, GroupFiniteness, Slope, Verdict
from firstgrad.show.records import verdict_text
from helpers import make_record


def told(**fields):
    return verdict_text(make_record(check=Check(verdict=Verdict.NO_ORACLE, **fields))).splitlines()


def group(name, nan=0, infinite=0):
    return GroupFiniteness(group=name, values=4, nan=nan, infinite=infinite)


def test_groups_that_are_not_finite_are_named_and_of_many_the_first():
    assert told(finiteness=(group("a"),)) == [
        "no oracle for this model; finiteness was checked; all 4 gradient values are finite"
    ]
    lines = told(finiteness=(group("a", nan=1), group("b"), group("c", nan=1, infinite=2)))
    assert lines[1] == "  4 of 12 gradient values are not finite, in 2 groups: a, c"
    lines = told(finiteness=tuple(group(f"g{number}", nan=1) for number in range(11)))
    assert lines[1].endswith("in 11 groups: g0, g1, g2, g3, g4, g5, g6, g7 and 3 more")
    assert told(logp_not_finite=("y", "p"), held=("k",))[1:] == [
        "  terms of the log-density that are not finite: y, p",
        "  discrete, held at their start values: k",
    ]


def test_the_slope_is_told_with_its_numbers_or_with_why_there_are_none():
    assert told(slope=Slope(expected=2.0, got=2.5, allowed=0.25))[1] == (
        "  gradient DIFFERS from finite differences of the log-density (slope along a random direction 2.5, "
        "by finite differences 2, allowed 0.2)"
    )
    assert told(slope=Slope(expected=2.0, got=2.1, allowed=0.25))[1].startswith("  gradient agrees with finite diff")
    assert told(slope=Slope(skipped="why"))[1] == "  gradient not compared with finite differences: why"
