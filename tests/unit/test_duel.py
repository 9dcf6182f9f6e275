"""Rounds of two sides: both in each round, in a random order, until all are measured, it is decided, or time is up."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import batched

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.errors import SpecError
from firstgrad.record import Doubt, Status
from firstgrad.sweep.rounds import Duel, DuelSide, Ending, SampleEnded, SidesExecutor, run_duel
from helpers import FakeClock, make_case, make_environment, make_record

CASE = make_case()


class FakeExecutor:
    """Gives records at once; the samples named in `bad` time out, and each sample takes `seconds`.

    Those named in `suspended` stand still as often as they are named.
    """

    def __init__(self, bad=(), clock=None, seconds=0.0, suspended=()):
        self.bad, self.clock, self.seconds = bad, clock, seconds
        self.suspended = list(suspended)
        self.asked = []

    def run(self, jobs, tell):  # noqa: ARG002 - an executor's signature
        for job in jobs:
            self.asked.append((job.side, job.number))
            if self.clock:
                self.clock.tick(self.seconds)
            status = Status.TIMEOUT if (job.side, job.number) in self.bad else Status.OK
            record = make_record(
                record_id=f"{len(self.asked)}",
                case=job.case,
                status=status,
                environment=make_environment(label=job.side),
            )
            if (job.side, job.number) in self.suspended:
                self.suspended.remove((job.side, job.number))
                record = replace(record, suspended_seconds=8.0, doubts=(Doubt.SUSPENDED,))
            yield job, record


def make_duel(*, done=(0, 0), **fields):
    base, head = (DuelSide(label=label, case=CASE, done=each) for label, each in zip("ab", done, strict=True))
    return Duel(**{"base": base, "head": head, "rounds": 4} | fields)


def run(duel, executor, **plugs):
    kept = []
    summary = run_duel(duel, executor, **{"keep": kept.append, "tell": lambda _: None} | plugs)
    return summary, kept


@given(rounds=st.integers(1, 12), seed=st.integers(0, 1000))
def test_every_round_has_both_sides_once_and_rounds_follow_each_other(rounds, seed):
    executor = FakeExecutor()
    summary, kept = run(make_duel(rounds=rounds, seed=seed), executor)
    assert (summary.ending, summary.rounds, summary.measured) == (Ending.ALL_ROUNDS, rounds, 2 * rounds)
    for number, pair in enumerate(batched(executor.asked, 2, strict=True), 1):
        assert set(pair) == {("a", number), ("b", number)}
    assert Counter(record.environment.label for record in kept) == {"a": rounds, "b": rounds}


def test_who_begins_a_round_is_random_and_follows_from_the_seed():
    first = [pair[0].side for pair in (make_duel(rounds=200).round(number) for number in range(1, 201))]
    assert 70 < first.count("a") < 130  # 200 fair coins: outside of this once in 50,000 seeds
    assert [make_duel().round(number) for number in range(9)] == [make_duel().round(number) for number in range(9)]
    assert len({tuple(make_duel(seed=seed).jobs()) for seed in range(20)}) > 5


def test_a_record_is_kept_before_the_next_sample_begins():
    executor, kept = FakeExecutor(), []

    def keep(record):
        assert len(executor.asked) == len(kept) + 1
        kept.append(record)

    run(make_duel(), executor, keep=keep)
    assert len(kept) == 8


def test_it_ends_with_the_look_that_decides():
    seen = []
    executor = FakeExecutor()

    def is_decided():
        seen.append(len(executor.asked))
        return len(seen) == 2

    summary, kept = run(make_duel(rounds=9, looks=(2, 5, 7)), executor, is_decided=is_decided)
    assert seen == [4, 10]
    assert (summary.ending, summary.rounds, len(kept)) == (Ending.DECIDED, 5, 10)


def test_nobody_looks_where_no_looks_are_asked_for():
    summary, _ = run(make_duel(), FakeExecutor(), is_decided=lambda: pytest.fail("looked"))
    assert summary.ending is Ending.ALL_ROUNDS


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_sample_that_stood_still_is_measured_again_at_once_and_ends_nothing(times):
    executor = FakeExecutor(suspended=[("a", 2)] * times)
    summary, kept = run(make_duel(), executor)
    assert (summary.ending, summary.rounds, summary.measured) == (Ending.ALL_ROUNDS, 4, 8 + min(times, 2))
    assert len(kept) == summary.measured
    assert executor.asked.count(("a", 2)) == 1 + min(times, 2)
    first = executor.asked.index(("a", 2))
    assert executor.asked[first : first + 1 + min(times, 2)] == [("a", 2)] * (1 + min(times, 2))


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_side_without_numbers_ends_it_with_the_round(side):
    events = []
    summary, kept = run(make_duel(), FakeExecutor(bad={(side, 2)}), tell=events.append)
    assert (summary.ending, summary.rounds) == (Ending.FAILED, 2)
    assert Counter(record.environment.label for record in kept) == {"a": 2, "b": 2}
    assert [record.status for record in kept].count(Status.TIMEOUT) == 1
    assert sum(isinstance(event, SampleEnded) for event in events) == 4


@pytest.mark.parametrize(("budget_seconds", "rounds"), [(1.0, 1), (19.0, 1), (20.0, 2), (30.0, 3), (1000.0, 4)])
def test_no_round_begins_that_would_end_too_late_but_the_first(budget_seconds, rounds):
    clock = FakeClock()
    executor = FakeExecutor(clock=clock, seconds=5.0)
    summary, kept = run(make_duel(budget_seconds=budget_seconds), executor, clock=clock)
    assert len(kept) == 2 * rounds
    assert summary.rounds == rounds
    assert summary.ending is (Ending.ALL_ROUNDS if rounds == 4 else Ending.OUT_OF_TIME)


def test_taken_up_again_only_what_is_missing_is_measured_in_the_same_order():
    whole = make_duel().jobs()
    again = make_duel(done=(2, 1)).jobs()
    assert again == tuple(job for job in whole if job.number > 2 or (job.number == 2 and job.side == "b"))
    summary, _ = run(make_duel(done=(2, 1)), FakeExecutor())
    assert (summary.rounds, summary.measured) == (4, 5)


def test_sides_with_one_label_are_refused():
    both = DuelSide(label="a", case=CASE)
    with pytest.raises(SpecError, match="told apart"):
        Duel(base=both, head=both, rounds=1)


class Living(FakeExecutor):
    """Counts how often it was started and closed."""

    def __init__(self, bad=()):
        super().__init__(bad)
        self.started = self.closed = 0

    def run(self, jobs, tell):
        self.started += 1
        try:
            yield from super().run(jobs, tell)
        finally:
            self.closed += 1


def test_each_side_has_one_executor_from_the_first_round_to_the_last():
    sides = {"a": Living(), "b": Living()}
    summary, _ = run(make_duel(rounds=3), SidesExecutor(sides))
    assert summary.measured == 6
    for label, each in sides.items():
        assert each.asked == [(label, 1), (label, 2), (label, 3)]
        assert (each.started, each.closed) == (1, 1)


def test_executors_are_closed_when_a_record_cannot_be_kept():
    sides = {"a": Living(), "b": Living()}

    def keep(_):
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        run(make_duel(), SidesExecutor(sides), keep=keep)
    assert sum(side.started for side in sides.values()) == 1
    assert all(side.closed == side.started for side in sides.values())
