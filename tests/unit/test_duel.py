"""Rounds of two sides: both in each round, in a random order, until all are measured, it is decided, or time is up."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import batched

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.case import Scenario
from firstgrad.errors import SpecError
from firstgrad.record import Doubt, Status
from firstgrad.sweep.rounds import Duel, DuelSide, Ending, Pair, SampleEnded, SampleSkipped, SidesExecutor, run_duel
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


def pair_of(case=CASE, done=(0, 0)):
    base, head = (DuelSide(label=label, case=case, done=each) for label, each in zip("ab", done, strict=True))
    return Pair(base=base, head=head)


def make_duel(*, done=(0, 0), **fields):
    return Duel(**{"pairs": (pair_of(done=done),), "rounds": 4} | fields)


def run(duel, executor, **plugs):
    kept = []
    summary = run_duel(duel, executor, **{"keep": kept.append, "tell": lambda _: None} | plugs)
    return summary, kept


def ends(summary):
    """Say of one pair how it ended, after how many rounds, and how many samples were measured."""
    (pair,) = summary.pairs
    return pair.ending, pair.rounds, summary.measured


@given(rounds=st.integers(1, 12), seed=st.integers(0, 1000))
def test_every_round_has_both_sides_once_and_rounds_follow_each_other(rounds, seed):
    executor = FakeExecutor()
    summary, kept = run(make_duel(rounds=rounds, seed=seed), executor)
    assert ends(summary) == (Ending.ALL_ROUNDS, rounds, 2 * rounds)
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

    def find_decided():
        seen.append(len(executor.asked))
        return [0] if len(seen) == 2 else []

    summary, kept = run(make_duel(rounds=9, looks=(2, 5, 7)), executor, find_decided=find_decided)
    assert seen == [4, 10]
    assert ends(summary) == (Ending.DECIDED, 5, len(kept)) == (Ending.DECIDED, 5, 10)


def test_nobody_looks_where_no_looks_are_asked_for():
    summary, _ = run(make_duel(), FakeExecutor(), find_decided=lambda: pytest.fail("looked"))
    assert ends(summary) == (Ending.ALL_ROUNDS, 4, 8)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_sample_that_stood_still_is_measured_again_at_once_and_ends_nothing(times):
    executor = FakeExecutor(suspended=[("a", 2)] * times)
    summary, kept = run(make_duel(), executor)
    assert ends(summary) == (Ending.ALL_ROUNDS, 4, 8 + min(times, 2))
    assert len(kept) == summary.measured
    assert executor.asked.count(("a", 2)) == 1 + min(times, 2)
    first = executor.asked.index(("a", 2))
    assert executor.asked[first : first + 1 + min(times, 2)] == [("a", 2)] * (1 + min(times, 2))


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_side_without_numbers_ends_it_with_the_round(side):
    events = []
    summary, kept = run(make_duel(), FakeExecutor(bad={(side, 2)}), tell=events.append)
    assert ends(summary)[:2] == (Ending.FAILED, 2)
    assert Counter(record.environment.label for record in kept) == {"a": 2, "b": 2}
    assert [record.status for record in kept].count(Status.TIMEOUT) == 1
    assert sum(isinstance(event, SampleEnded) for event in events) == 4


@pytest.mark.parametrize(("budget_seconds", "rounds"), [(1.0, 1), (19.0, 1), (20.0, 2), (30.0, 3), (1000.0, 4)])
def test_no_round_begins_that_would_end_too_late_but_the_first(budget_seconds, rounds):
    clock = FakeClock()
    executor = FakeExecutor(clock=clock, seconds=5.0)
    summary, kept = run(make_duel(budget_seconds=budget_seconds), executor, clock=clock)
    assert len(kept) == 2 * rounds
    assert ends(summary)[:2] == (Ending.ALL_ROUNDS if rounds == 4 else Ending.OUT_OF_TIME, rounds)


def test_taken_up_again_only_what_is_missing_is_measured_in_the_same_order():
    whole = make_duel().jobs()
    again = make_duel(done=(2, 1)).jobs()
    assert again == tuple(job for job in whole if job.number > 2 or (job.number == 2 and job.side == "b"))
    summary, _ = run(make_duel(done=(2, 1)), FakeExecutor())
    assert ends(summary) == (Ending.ALL_ROUNDS, 4, 5)


def test_sides_with_one_label_are_refused():
    both = DuelSide(label="a", case=CASE)
    with pytest.raises(SpecError, match="told apart"):
        Pair(base=both, head=both)


# --- several models -----------------------------------------------------------------------------------------------

SEVERAL = tuple(make_case(f"m{number}.py:build") for number in range(4))


class Timed(FakeExecutor):
    """Takes its own time for each model's samples; those of `failing` models give no numbers."""

    def __init__(self, clock, seconds, failing=()):
        super().__init__(clock=clock)
        self.by_case, self.failing = dict(zip(SEVERAL, seconds, strict=True)), failing

    def run(self, jobs, tell):
        for job in jobs:
            self.seconds = self.by_case[job.case]
            self.bad = {(job.side, job.number)} if SEVERAL.index(job.case) in self.failing else ()
            ((_, record),) = super().run(iter([job]), tell)
            yield job, record


def run_several(*, seconds=(1.0,) * 4, failing=(), events=None, **fields):
    clock = FakeClock()
    executor = Timed(clock, seconds, failing)
    plugs = {name: fields.pop(name) for name in ("find_decided",) if name in fields}
    duel = Duel(**{"pairs": tuple(map(pair_of, SEVERAL)), "rounds": 4} | fields)
    tell = (lambda _: None) if events is None else events.append
    summary, kept = run(duel, executor, clock=clock, tell=tell, **plugs)
    return [(pair.ending, pair.rounds) for pair in summary.pairs], [SEVERAL.index(one.case) for one in kept]


def test_all_models_have_a_round_before_any_has_the_next_in_an_order_that_changes():
    ended, order = run_several()
    assert ended == [(Ending.ALL_ROUNDS, 4)] * 4
    rounds = [[place for place, _ in batched(part, 2, strict=True)] for part in batched(order, 8, strict=True)]
    assert all(sorted(one) == [0, 1, 2, 3] for one in rounds)
    assert len(set(map(tuple, rounds))) > 1
    assert all(one == other for one, other in batched(order, 2, strict=True))  # its sides follow each other


def test_a_model_that_fails_ends_alone():
    events = []
    ended, order = run_several(failing=(2,), events=events)
    assert ended == [(Ending.ALL_ROUNDS, 4)] * 2 + [(Ending.FAILED, 1), (Ending.ALL_ROUNDS, 4)]
    assert Counter(order) == {0: 8, 1: 8, 2: 2, 3: 8}
    skipped = [event.job for event in events if isinstance(event, SampleSkipped)]
    assert len(skipped) == 6
    assert {job.case for job in skipped} == {SEVERAL[2]}


def test_a_slow_model_starves_no_other_of_its_rounds_within_a_budget():
    ended, order = run_several(seconds=(1.0, 100.0, 1.0, 1.0), budget_seconds=230.0)
    assert ended[1] == (Ending.OUT_OF_TIME, 1)
    assert [ended[place] for place in (0, 2, 3)] == [(Ending.ALL_ROUNDS, 4)] * 3
    assert order.count(1) == 2


def test_within_a_budget_each_model_has_its_first_round_and_then_who_fits():
    ended, _ = run_several(seconds=(50.0, 50.0, 50.0, 1.0), budget_seconds=60.0)
    assert [rounds for _, rounds in ended] == [1, 1, 1, 1]
    ended, _ = run_several(seconds=(5.0, 50.0, 1.0, 1.0), budget_seconds=140.0)
    # 114 s for the first round of all; the cheap ones first, then one more of the next.
    assert ended == [(Ending.OUT_OF_TIME, 2), (Ending.OUT_OF_TIME, 1)] + [(Ending.ALL_ROUNDS, 4)] * 2


def test_a_decided_model_rests_and_goes_on_only_where_the_others_undecide_it():
    asked = []

    def find_decided():
        asked.append(1)
        return {0} if len(asked) < 4 else {2}

    ended, order = run_several(rounds=4, looks=(2,), find_decided=find_decided)
    # Decided at its look, then the others bring more, and it is none any more.
    assert ended == [(Ending.ALL_ROUNDS, 4)] * 4 or ended[2] == (Ending.DECIDED, 2)
    assert order.count(0) == 8
    ended, order = run_several(rounds=4, looks=(2,), find_decided=lambda: {1, 3})
    assert [rounds for _, rounds in ended] == [4, 2, 4, 2]
    assert [ending for ending, _ in ended] == [Ending.ALL_ROUNDS, Ending.DECIDED] * 2


def test_warm_caches_of_all_models_are_kept_as_long_as_they_are_needed():
    warm = tuple(make_case(f"m{number}.py:build", scenario=Scenario.WARM) for number in range(3))
    duel = Duel(pairs=tuple(map(pair_of, warm)), rounds=2)
    assert all(len(job.needed) == 3 and job.filled_cache in job.needed for job in duel.jobs())
    assert not any(job.needed for job in make_duel().jobs())


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
