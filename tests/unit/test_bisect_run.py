"""What a bisection concludes of planted samples: by counts, by state, by seconds; nothing to find; what isn't sure."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from builders import make_case, make_environment, make_record, phases
from firstgrad.bisecting.history import Revision
from firstgrad.bisecting.run import LOOKS, NOT_BUILT, Bisecting, Outcome, check_predicate, find_parts
from firstgrad.case import Counting
from firstgrad.codec import to_json
from firstgrad.columns import metric_named
from firstgrad.errors import SpecError
from firstgrad.record import Counts, Doubt, Failure, Status, Work, WorkParts
from firstgrad.show.bisection import bisection_parts
from firstgrad.show.result import Form, Result, render
from helpers import FakeClock

CASE = make_case()
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def revisions(size):
    return tuple(
        Revision(name=f"{place:010x}".ljust(40, "0"), subject=f"change {place}", author="Somebody", date="2026-01-02")
        for place in range(size)
    )


class PlantedBench:
    """Gives samples whose nodes, seconds and fields are functions of the revision's place."""

    def __init__(self, line, *, nodes=lambda _: 100, seconds=lambda _: 1.0, fields=lambda _: {}, clock=None):
        self.places = {revision.name: place for place, revision in enumerate(line)}
        self.nodes, self.seconds, self.fields, self.clock = nodes, seconds, fields, clock
        self.kept = {}
        self.measured = []

    def sample(self, revision, case, number, beside=""):
        key = revision.name, case, number, beside
        if key not in self.kept:
            place = self.places[revision.name]
            self.measured.append(place)
            if self.clock:
                self.clock.tick(5.0)
            noise = random.Random(f"{key}").gauss(0, 0.02)  # noqa: S311 - planted noise
            seconds = self.seconds(place) * (1 + noise)
            known = {
                "record_id": f"r{len(self.kept)}",
                "started_at": (BEGIN + timedelta(seconds=len(self.kept))).isoformat(timespec="milliseconds"),
                "case": case,
                "counts": Counts(groups=1, values=1, nodes_before=50, nodes_after=self.nodes(place)),
                "phases": phases({"link": seconds}),
                "time_to_first_gradient_seconds": seconds,
                "time_to_first_gradient_cpu_seconds": seconds,
                "environment": make_environment(label=f"{revision.short}.{beside}@x"),
            }
            self.kept[key] = make_record(**known | self.fields(place))
        return self.kept[key]


def failed(kind="NotImplementedError", message="no such thing", status=Status.FAILED):
    return {"status": status, "failure": Failure(kind=kind, message=message)}


def unbuilt():
    return failed(NOT_BUILT, "no compiler")


def bisected(size=30, *, bench=None, told=None, **how):
    line = how.pop("line", revisions(size))
    planted = how.pop("planted", {})
    bench = bench or PlantedBench(line, **planted)
    tell = told.append if told is not None else lambda _: None
    return Bisecting(revisions=line, bench=bench, case=CASE, tell=tell, **how).run(), bench


def shown(bisection):
    return render(Result(parts=tuple(bisection_parts(bisection, "firstgrad bisect a b"))), Form.TERMINAL)


# --- counts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("culprit", range(1, 30))
def test_a_count_that_changes_is_found_at_every_place_by_one_sample_a_step(culprit):
    bisection, bench = bisected(planted={"nodes": lambda place: 100 if place < culprit else 101})
    assert bisection.outcome is Outcome.FOUND
    assert bisection.found.subject == f"change {culprit}"
    assert (bisection.by, bisection.number_before, bisection.number_after) == ("nodes", 100, 101)
    assert bisection.share == 1
    assert bisection.others == ()
    assert len(bench.measured) == len(set(bench.measured)) <= 2 + 5
    assert {case.counting for _, case, _, _ in bench.kept} == {Counting.INSTRUMENTED}


def test_growth_is_looked_for_before_shrinkage_and_a_metric_that_is_asked_for_before_both():
    def fields(place):
        counts = Counts(
            groups=1,
            values=1,
            nodes_before=200 if place < 5 else 20,
            nodes_after=100 if place < 9 else 102,
            compiled_units=7 if place < 3 else 8,
        )
        return {"counts": counts}

    bisection, _ = bisected(planted={"fields": fields})
    assert (bisection.by, bisection.found.subject) == ("compiled_units", "change 3")
    assert {one.metric for one in bisection.ends} == {"nodes_before", "nodes", "compiled_units"}
    bisection, _ = bisected(planted={"fields": fields}, metric=metric_named("nodes_before"))
    assert (bisection.by, bisection.found.subject) == ("nodes_before", "change 5")
    assert "it is one of" not in shown(bisection)


def test_where_it_changes_several_times_the_largest_is_told_and_the_others_beside_it():
    def nodes(place):
        return 100 + 10 * (place >= 4) + 40 * (place >= 17) + 20 * (place >= 25)

    bisection, _ = bisected(planted={"nodes": nodes})
    assert bisection.found.subject == "change 17"
    assert bisection.share == pytest.approx(40 / 70)
    text = shown(bisection)
    assert "57% of the whole change" in text
    assert "one of 3 changes that were seen" in text
    bisection, _ = bisected(planted={"nodes": nodes}, is_first=True)
    assert bisection.found.subject == "change 4"


def test_what_cannot_be_built_or_measured_is_skipped_and_said():
    broken = {14: unbuilt(), 13: failed(), 15: failed(status=Status.TIMEOUT)}
    told = []
    bisection, _ = bisected(
        told=told, planted={"nodes": lambda place: 100 + (place >= 14), "fields": lambda place: broken.get(place, {})}
    )
    assert bisection.outcome is Outcome.RANGE
    assert (bisection.before.subject, bisection.found.subject) == ("change 12", "change 16")
    assert [one.subject for one in bisection.between] == ["change 13", "change 14", "change 15"]
    assert any("skipped" in line and "no compiler" in line for line in told)
    text = shown(bisection)
    assert "one of 4 commits up to" in text
    assert "may be any of them" in text


def test_the_progress_says_how_many_are_left_and_for_how_long():
    told, clock, line = [], FakeClock(), revisions(60)
    bench = PlantedBench(line, nodes=lambda place: 100 + (place >= 33), clock=clock)
    bisected(line=line, bench=bench, told=told, clock=clock)
    lines = [text for text in told if " left, about " in text]
    assert lines[0].startswith("58 commits left, about 6 steps, about 30 s: ")
    assert ", about 25 s: " in lines[1]
    assert "about 1 step" in lines[-1]


def test_a_second_run_measures_nothing():
    first, bench = bisected(planted={"nodes": lambda place: 100 + (place >= 20)})
    count = len(bench.measured)
    second, _ = bisected(bench=bench)
    assert second == first
    assert len(bench.measured) == count


def test_an_end_that_cannot_be_measured_is_told_with_the_reason():
    bisection, _ = bisected(planted={"fields": lambda place: failed("ImportError", "gone") if place == 0 else {}})
    assert bisection.outcome is Outcome.NOT_MEASURED
    assert "GOOD" in bisection.reason
    assert "ImportError: gone" in shown(bisection)
    bisection, _ = bisected(planted={"fields": lambda place: unbuilt() if place == 29 else {}})
    assert bisection.outcome is Outcome.NOT_MEASURED


def test_parts_are_told_by_rewriter_operation_and_unit():
    def record(applied, add):
        named = ("local_add", applied), ("other", 5), ("(itself)", 1000 * applied)
        split = WorkParts(count="rewriters_applied", by="rewriter", parts=named)
        counts = Counts(groups=1, values=1, nodes_by_type=(("Add", add), ("Mul", 2)))
        return make_record(work=Work(counts=(("rewriters_applied", applied + 5),), parts=(split,)), counts=counts)

    parts = find_parts(record(10, 3), record(400, 4))
    assert parts[0].name == "(itself)"
    bisection, _ = bisected(8, planted={"nodes": lambda place: 100 + place})
    pasted = shown(replace(bisection, parts=parts)).partition("to paste")[2]
    assert "local_add" in pasted
    assert "(itself)" not in pasted
    assert [(part.count, part.by, part.name, part.before, part.after) for part in parts[1:]] == [
        ("rewriters_applied", "rewriter", "local_add", 10, 400),
        ("nodes", "operation", "Add", 3, 4),
    ]


# --- states -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("predicate", "fields"),
    [
        ("failed", failed()),
        ("crashed", failed(status=Status.CRASHED)),
        ("timeout", failed("TimeLimit", status=Status.TIMEOUT)),
        ("mismatch", {"status": Status.MISMATCH}),
        ("not_finite", {"doubts": (Doubt.NOT_FINITE,)}),
    ],
)
def test_a_state_is_found_at_its_place_whatever_counts_do(predicate, fields):
    planted = {"nodes": lambda place: 100 + place, "fields": lambda place: fields if place >= 19 else {}}
    bisection, _ = bisected(planted=planted, predicate=check_predicate(predicate))
    assert (bisection.by, bisection.found.subject) == (predicate, "change 19")
    assert f"not {predicate} to {predicate}" in shown(bisection)


def test_where_only_bad_fails_that_is_looked_for_and_other_failures_are_skipped():
    def fields(place):
        return failed("ImportError") if place in (15, 16) else failed() if place >= 19 else {}

    bisection, _ = bisected(planted={"fields": fields})
    assert (bisection.by, bisection.found.subject) == ("failed", "change 19")
    assert "NotImplementedError" in bisection.failure
    assert {one.revision.subject for one in bisection.tested if one.reason} <= {"change 15", "change 16"}


def test_a_state_that_both_or_none_are_in_is_told():
    bisection, _ = bisected(predicate="not_finite")
    assert bisection.outcome is Outcome.SAME
    assert "neither is not_finite" in bisection.reason
    with pytest.raises(SpecError, match="there is no 'slow'"):
        check_predicate("slow")


# --- seconds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("culprit", [1, 7, 15, 28])
def test_where_counts_are_equal_seconds_decide_in_rounds_with_good(culprit):
    bisection, bench = bisected(
        16 if culprit < 15 else 30, planted={"seconds": lambda place: 1.0 + 0.3 * (place >= culprit)}
    )
    assert bisection.outcome is Outcome.FOUND
    assert bisection.found.subject == f"change {culprit}"
    assert bisection.by.startswith("time_to_first_gradient")
    ratio = bisection.check.cases[0].metrics[0].ratio
    assert ratio.low < 1.3 < ratio.high or ratio.value == pytest.approx(1.3, rel=0.05)
    rounds = {number for _, _, number, beside in bench.kept if beside}
    assert max(rounds) <= LOOKS[3]  # a difference by 30% takes few
    assert "1.3" in shown(bisection).partition("to paste")[2]


def test_nothing_differs():
    bisection, bench = bisected(rounds=16)
    assert bisection.outcome is Outcome.SAME
    assert bisection.found is None
    assert "GOOD and BAD don't differ" in shown(bisection)
    assert set(bench.measured) == {0, 29}


def test_what_rounds_do_not_decide_is_skipped():
    planted = {"seconds": lambda place: 1.0 + 0.3 * (place >= 8) - 0.15 * (place == 8)}
    bisection, _ = bisected(16, planted=planted, rounds=3)
    assert bisection.outcome is Outcome.RANGE
    assert "change 8" in {one.subject for one in (*bisection.between, bisection.found)}
    assert {one.reason for one in bisection.tested if one.reason} == {"undecided after 3 rounds"}


def test_seconds_of_a_metric_that_is_asked_for():
    planted = {"nodes": lambda place: 100 + place, "seconds": lambda place: 1.0 + 0.5 * (place >= 3)}
    bisection, bench = bisected(8, planted=planted, metric=metric_named("time_to_first_gradient"))
    assert (bisection.by, bisection.found.subject) == ("time_to_first_gradient", "change 3")
    assert {case.counting for _, case, _, _ in bench.kept} == {Counting.PLAIN}


def test_rounds_that_do_not_decide_say_how_many_there_may_be_yet():
    told = []
    planted = {"seconds": lambda place: 1.0 + 0.02 * place}
    bisected(4, planted=planted, rounds=6, told=told, metric=metric_named("time_to_first_gradient"))
    assert "undecided after 3 rounds; there are 6 at most" in told


# --- words --------------------------------------------------------------------------------------------------------


def test_what_is_pasted_names_the_commit_its_author_the_change_and_a_merges_own_commits():
    line = revisions(4)
    line = (*line[:2], replace(line[2], parents=("a" * 40, "b" * 40)), line[3])
    bisection, _ = bisected(line=line, planted={"nodes": lambda place: 100 + 50 * (place >= 2)})
    pasted = render(Result(parts=tuple(bisection_parts(bisection))), Form.MARKDOWN)
    assert json.loads(to_json(bisection))["found"]["subject"] == "change 2"
    assert f"`{line[2].name}` (`change 2`, Somebody, 2026-01-02)" in pasted
    assert "100 to 150 (+50.0%)" in pasted
    assert "git merge-base aaaaaaaaaa bbbbbbbbbb" in pasted
