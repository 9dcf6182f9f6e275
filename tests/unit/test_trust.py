"""The arithmetic that ``firstgrad compare`` is judged by, on noise whose answers are known."""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.markers import replace_between_markers, write_between_markers
from benchmarks.trust import counts
from benchmarks.trust import judge as script
from benchmarks.trust.collect import Plan, case_of, collect, order
from benchmarks.trust.judges import Firstgrad, FirstgradUntilDecided, Measured
from benchmarks.trust.proportion import Proportion
from benchmarks.trust.report import to_markdown, to_text
from benchmarks.trust.rounds import (
    SLOWER,
    A,
    B,
    Round,
    as_slower,
    as_unchanged,
    plant,
    read_rounds,
    resample,
    windows,
)
from benchmarks.trust.trials import Alarms, real_planted, real_unchanged, really_slower, simulated
from benchmarks.trust.yardsticks import Yardstick, asv_alarms, pytest_benchmark_alarms, yardsticks
from builders import make_environment, make_record, memory
from firstgrad.case import BackendName
from firstgrad.record import Counts, Failure, Status, Work
from firstgrad.store import export_jsonl
from helpers import FakeClock


def sample(label, seconds, number=0, work=0):
    return make_record(
        record_id=f"{label}-{number}",
        case=case_of(work),
        environment=make_environment(label=label),
        time_to_first_gradient_seconds=1.2 * seconds,
        time_to_first_gradient_cpu_seconds=seconds,
        memory=memory(400),
        counts=Counts(groups=1, values=1, nodes_after=100, compiled_units=3),
    )


def make_rounds(count, *, noise=0.05, slower=1.1, seed=0):
    chance = np.random.default_rng(seed)
    draw = lambda: 2 * float(np.exp(noise * chance.normal()))  # noqa: E731
    return [
        Round(a=sample(A, draw(), n), b=sample(B, draw(), n), slower=sample(SLOWER, slower * draw(), n, work=9))
        for n in range(count)
    ]


def cpu(records):
    return [each.time_to_first_gradient_cpu_seconds for each in records]


def always(pairs):
    return Alarms(time=True, any_metric=True, rounds=len(pairs))


def never(pairs):
    return Alarms(time=False, any_metric=False, rounds=len(pairs))


def beyond(limit):
    """A judge by the ratio of medians."""

    def judge(pairs):
        ratio = np.median(cpu(each.head for each in pairs)) / np.median(cpu(each.base for each in pairs))
        return Alarms(time=ratio > limit, any_metric=ratio > limit, rounds=len(pairs))

    return judge


def test_a_judge_that_always_alarms_has_every_false_alarm_and_all_power():
    rounds = make_rounds(30)
    for found in (
        real_unchanged(always, rounds, 10),
        simulated(always, rounds, 10, trials=50),
        real_planted(always, rounds, 10, 1.1),
        really_slower(always, rounds, 10, trials=20),
    ):
        assert found.time.value == found.any_metric.value == 1.0
        assert found.rounds_median == found.rounds_90 == 10


def test_a_judge_that_never_alarms_has_none_and_a_coin_half_of_the_false_alarms():
    found = simulated(never, make_rounds(30), 10, trials=50)
    assert found.time == Proportion(hits=0, trials=50)
    assert found.rounds_median is None
    found = simulated(beyond(1.0), make_rounds(100), 9, trials=2000)
    assert found.time.value == pytest.approx(0.5, abs=0.04)


def test_a_planted_factor_is_the_one_that_is_judged():
    rounds = make_rounds(200, noise=1e-6)
    assert simulated(beyond(1.0999), rounds, 5, trials=50, factor=1.1).time.value == 1.0
    assert simulated(beyond(1.1001), rounds, 5, trials=50, factor=1.1).time.value == 0.0
    assert real_planted(beyond(1.0499), rounds, 5, 1.05).time.value == 1.0
    assert really_slower(beyond(1.0999), rounds, 5, trials=50).time.value == 1.0
    assert real_unchanged(beyond(1.0001), rounds, 5).time.value == 0.0


def test_planting_changes_the_head_alone_and_every_second_of_it():
    (pair,) = as_unchanged(make_rounds(1), np.random.default_rng(0))
    (planted,) = plant([pair], 1.25)
    assert planted.base is pair.base
    assert planted.head.time_to_first_gradient_cpu_seconds == pytest.approx(
        1.25 * pair.head.time_to_first_gradient_cpu_seconds
    )
    assert planted.head.time_to_first_gradient_seconds == pytest.approx(1.25 * pair.head.time_to_first_gradient_seconds)
    assert planted.head.memory is pair.head.memory


def test_sides_are_exchanged_by_chance_and_rounds_stay_together():
    rounds = make_rounds(400)
    pairs = as_unchanged(rounds, np.random.default_rng(1))
    exchanged = sum(pair.base is each.b for pair, each in zip(pairs, rounds, strict=True))
    assert 160 < exchanged < 240
    assert all(
        {id(pair.base), id(pair.head)} == {id(one.a), id(one.b)} for pair, one in zip(pairs, rounds, strict=True)
    )


@given(count=st.integers(0, 60), length=st.integers(1, 20))
def test_windows_of_their_own_length_share_nothing_and_all_others_are_counted(count, length):
    rounds = list(range(count))
    disjoint = list(windows(rounds, length, step=length))
    assert len(disjoint) == count // length
    assert len(set(itertools.chain(*disjoint))) == length * len(disjoint)
    assert len(list(windows(rounds, length))) == max(count - length + 1, 0)
    assert all(window == list(range(window[0], window[0] + length)) for window in windows(rounds, length))


def test_drawn_again_rounds_stay_in_blocks_of_neighbours():
    chance = np.random.default_rng(0)
    drawn = resample(list(range(50)), 23, chance, block=5)
    assert len(drawn) == 23
    for start in range(0, 20, 5):
        block = drawn[start : start + 5]
        assert block == [(block[0] + step) % 50 for step in range(5)]
    counts = np.bincount([each for _ in range(2000) for each in resample(list(range(50)), 10, chance, block=5)])
    assert counts.min() > 300  # of 400 expected: no place is drawn less often than others


def test_files_are_read_back_in_rounds_and_half_a_round_is_left_out():
    rounds = make_rounds(3)
    rounds[1] = replace(rounds[1], slower=None)
    records = [record for each in rounds for record in each.records()]
    assert read_rounds(records) == rounds
    assert read_rounds([*records, sample(A, 1.0, 9)]) == rounds


def test_intervals_of_shares_are_clopper_and_pearsons():
    assert Proportion(hits=0, trials=200).interval() == pytest.approx((0, 0.018275), abs=1e-5)
    assert Proportion(hits=5, trials=100).interval() == pytest.approx((0.016432, 0.112835), abs=1e-5)
    assert Proportion(hits=200, trials=200).interval() == pytest.approx((0.981725, 1), abs=1e-5)
    assert str(Proportion(hits=0, trials=200)) == "0% [0%, 1.8%]"
    assert str(Proportion(hits=1, trials=10_000)).startswith("0.01%")
    with pytest.raises(ValueError, match="no more hits"):
        Proportion(hits=0, trials=0)


BASE = [1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.01, 0.99]


def test_yardsticks_find_a_large_change_and_none_where_there_is_none():
    for each in yardsticks():
        assert each.alarms(BASE, [2 * number for number in BASE]), each.name
        assert not each.alarms(BASE, BASE[::-1]), each.name
        assert not each.alarms([2 * number for number in BASE], BASE), each.name


def test_yardsticks_go_by_their_own_factors():
    assert not asv_alarms(BASE, [1.09 * number for number in BASE])
    assert asv_alarms(BASE, [1.11 * number for number in BASE])
    assert asv_alarms(BASE, [1.09 * number for number in BASE], 1.05)
    assert not pytest_benchmark_alarms(BASE, [1.09 * number for number in BASE], "median:10%")
    assert pytest_benchmark_alarms(BASE, [1.11 * number for number in BASE], "median:10%")
    # asv's test wants more than a factor.
    noisy = [1.0, 2.0, 1.0, 2.0, 0.9, 2.1, 1.1, 1.9]
    shifted = [1.2 * number for number in noisy]
    assert asv_alarms(noisy, shifted, use_stats=False)
    assert not asv_alarms(noisy, shifted)
    assert not asv_alarms(noisy, shifted, has_samples=False)


class Machine:
    """Measures in no time: a case without work costs 2 s, a turn of work 1 ms; every sample takes 5 s on the clock."""

    def __init__(self):
        self.clock = FakeClock()
        self.taken = []
        self.kept = []
        self.fails_at = None

    def take(self, case, label):
        self.clock.tick(5.0)
        work = dict(case.model.parameters)["work"]
        record = replace(sample(label, 2 + 0.001 * work, len(self.taken), work), case=case)
        self.taken.append(label)
        if len(self.taken) == self.fails_at:
            return replace(record, status=Status.FAILED, failure=Failure(kind="ValueError", message="planted"))
        return record

    def collect(self, done=(), **plan):
        known = {"rounds": 8, "slower_rounds": 2, "budget_seconds": 1e6}
        return collect(
            done,
            Plan(**known | plan),
            self.take,
            keep=lambda rounds: self.kept.append(len(rounds)),
            seconds_of_a_turn=lambda: 0.001,
            clock=self.clock,
        )


def test_a_plan_is_measured_whole_and_kept_round_by_round():
    machine = Machine()
    rounds = machine.collect()
    assert machine.kept == list(range(1, 9))
    assert [each.slower is not None for each in rounds] == [False] * 3 + [True] * 2 + [False] * 3
    assert sorted(machine.taken) == sorted([A, B] * 8 + [SLOWER] * 2)
    slower = next(each.slower for each in rounds if each.slower)
    assert slower.time_to_first_gradient_cpu_seconds == pytest.approx(2.2)  # the planted tenth


def test_a_second_call_goes_on_with_the_same_work():
    first = Machine().collect(rounds=4)
    machine = Machine()
    rounds = machine.collect(first)
    assert rounds[:4] == first
    assert len(machine.taken) == 4 * 2 + 1
    works = {dict(each.slower.case.model.parameters)["work"] for each in rounds if each.slower}
    assert works == {200}
    assert not Machine().collect(rounds, rounds=8)[8:]


def test_no_round_is_begun_that_would_end_too_late():
    machine = Machine()
    rounds = machine.collect(slower_rounds=0, budget_seconds=34.0)
    assert len(rounds) == 3
    assert machine.clock() <= 134


def test_a_failed_sample_ends_it_and_its_round_is_not_kept():
    machine = Machine()
    machine.fails_at = 4
    with pytest.raises(SystemExit, match="a sample failed"):
        machine.collect()
    assert machine.kept == [1]


def test_the_order_within_rounds_is_random_and_repeatable():
    orders = [tuple(order(number, (A, B), 0)) for number in range(200)]
    assert orders == [tuple(order(number, (A, B), 0)) for number in range(200)]
    assert 70 < orders.count((A, B)) < 130


# The judges


def pairs_of(count, *, noise=0.01, seed=0):
    return as_unchanged(make_rounds(count, noise=noise, seed=seed), np.random.default_rng(seed))


def test_firstgrad_alarms_where_it_should_and_not_where_it_shouldnt():
    pairs = pairs_of(10)
    alarms = Firstgrad()(plant(pairs, 1.1))
    assert (alarms.time, alarms.any_metric, alarms.rounds) == (True, True, 10)
    for unchanged in (pairs, plant(pairs, 0.8)):
        alarms = Firstgrad()(unchanged)
        assert (alarms.time, alarms.any_metric) == (False, False)
    # The really slower side is seen although it is another case.
    assert Firstgrad()(as_slower(make_rounds(10, noise=0.01), np.random.default_rng(0))).time


def test_firstgrad_gates_on_more_than_the_time():
    grown = [
        replace(pair, head=replace(pair.head, counts=replace(pair.head.counts, nodes_after=200)))
        for pair in pairs_of(10)
    ]
    alarms = Firstgrad()(grown)
    assert (alarms.time, alarms.any_metric) == (False, True)


def test_pairs_hold_drift_at_bay_as_they_are_measured_in_turn():
    drifting = [
        replace(one, a=scaled(one.a, 1 + 0.2 * number), b=scaled(one.b, 1 + 0.2 * number))
        for number, one in enumerate(make_rounds(10, noise=0.005))
    ]
    pairs = as_unchanged(drifting, np.random.default_rng(0))
    assert not Firstgrad()(pairs).time
    assert Firstgrad()(plant(pairs, 1.05)).time


def scaled(record, factor):
    return replace(
        record,
        time_to_first_gradient_seconds=record.time_to_first_gradient_seconds * factor,
        time_to_first_gradient_cpu_seconds=record.time_to_first_gradient_cpu_seconds * factor,
    )


def test_until_decided_takes_few_rounds_for_much_and_more_for_little():
    pairs = pairs_of(110, noise=0.04)
    judge = FirstgradUntilDecided()
    much, little = (judge(plant(pairs, factor)) for factor in (1.5, 1.05))
    assert much.time
    assert much.rounds == judge.looks[0]
    assert little.rounds in judge.looks[1:]
    with pytest.raises(ValueError, match="110 rounds are needed"):
        judge(pairs[:50])


def test_a_yardstick_looks_at_the_cpu_time_and_at_what_else_it_is_told():
    def grown(base, head):
        return sum(head) > 1.5 * sum(base)

    pairs = [
        replace(pair, head=replace(pair.head, memory=replace(pair.head.memory, peak_rss_bytes=2**40)))
        for pair in pairs_of(5)
    ]
    yardstick = Yardstick(name="by sums", alarms=grown)
    (only,) = (metric for metric in script.GATING if metric.name == "peak_memory")
    assert Measured(yardstick=yardstick)(pairs).any_metric is False
    told = Measured(yardstick=yardstick, metrics=(only,))(pairs)
    assert (told.time, told.any_metric) == (False, True)
    assert Measured(yardstick=yardstick)(plant(pairs, 2.0)).time


@pytest.fixture(scope="module")
def report():
    return script.judge_all(make_rounds(40, noise=0.02, seed=1), 20)


def test_the_report_has_every_tool_and_the_planted_factors(report):
    assert [tool.name.split(",")[0] for tool in report.tools] == [
        "firstgrad compare", *["asv"] * 3, *["pytest-benchmark"] * 3
    ]  # fmt: skip
    own = report.tools[0]
    assert own.windows.time.trials == script.LABELLINGS * 31
    assert own.disjoint.time.trials == 4
    assert own.drawn.time.hits == 0
    assert own.slower_10.time.value == 1.0
    assert report.noise == pytest.approx(0.02, rel=0.3)
    assert report.paired_noise == pytest.approx(0.02 * 2**0.5, rel=0.4)
    assert abs(report.drift) < 0.4
    value, low, high = report.real_factor
    assert low < value < high
    assert pytest.approx(value, rel=0.02) == 1.1
    assert {point.rounds for point in report.curve} == set(script.LENGTHS)


def test_markdown_and_text_have_the_same_tables(report):
    markdown, text = to_markdown(report), to_text(report)
    for words in (
        "firstgrad compare",
        "asv, factor 1.1, --no-stats",
        "compare-fail=median:10%",
        "A against A, drawn (20)",
    ):
        assert words in markdown
        assert words in text
    tables = [block for block in markdown.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_missed_promises_are_told(report):
    assert not [each for each in script.misses(report) if "drawn" in each]
    own = replace(report.tools[0], drawn=simulated(always, make_rounds(20), 10, trials=10))
    spoilt = replace(report, tools=(own, *report.tools[1:]))
    assert "false alarms, drawn: 100.0%, and at most 2% is promised" in script.misses(spoilt)


def test_the_script_prints_and_writes_the_data(tmp_path, monkeypatch, capsys):
    samples, data = tmp_path / "trust.jsonl", tmp_path / "report.json"
    export_jsonl((record for each in make_rounds(24, noise=0.02) for record in each.records()), samples)
    monkeypatch.setattr(sys, "argv", ["judge", str(samples), "--trials", "8", "--data", str(data)])
    with pytest.raises(SystemExit):
        script.main()
    assert "firstgrad compare --until-decided" in capsys.readouterr().out
    document = json.loads(data.read_text())
    assert document["tools"][0]["drawn"]["time"]["trials"] == 8


def test_too_few_rounds_are_refused(tmp_path, monkeypatch, capsys):
    samples = tmp_path / "trust.jsonl"
    export_jsonl((record for each in make_rounds(5) for record in each.records()), samples)
    monkeypatch.setattr(sys, "argv", ["judge", str(samples)])
    with pytest.raises(SystemExit):
        script.main()
    assert "has 5 rounds, and it takes 20" in capsys.readouterr().err


# --- exact counts -------------------------------------------------------------------------------------------------


class CountingMachine:
    """Measures in no time; what is planted comes on top, as it is counted, and nothing else moves."""

    def __init__(self):
        self.clock, self.taken, self.kept = FakeClock(), [], []

    def take(self, case, label):
        self.clock.tick(5.0)
        self.taken.append(label)
        planted = dict(case.model.parameters)
        calls = {
            "calls_rewrite": 1000 + planted.get("rewriting", 0),
            "calls_grad_graph": 500 + planted.get("gradient", 0),
        }
        compiled = dict.fromkeys(("hlo_operations", "llvm_instructions"), 10 * planted["lines"] + 100)
        return make_record(
            record_id=f"{label}-{len(self.taken)}",
            case=case,
            environment=make_environment(label=label),
            work=Work(counts=tuple((calls | compiled).items())),
        )

    def collect(self, records, *, planted=2, budget_seconds=1e6):
        collector = counts.Collector(
            records=records, take=self.take, keep=self.kept.append, budget_seconds=budget_seconds, clock=self.clock
        )
        collector.collect({BackendName.JAX: 4, BackendName.NUMBA: 3}, planted)
        return records


def test_counts_are_planted_as_a_share_and_each_is_found_by_one_sample_a_side():
    machine = CountingMachine()
    records = machine.collect([])
    usual = {"counts-jax": 4, "counts-numba": 3, "probe-jax": 1, "probe-numba": 1}
    assert Counter(machine.taken) == usual | {plant.label: 2 for plant in counts.PLANTS}
    planted = {one.environment.label: dict(one.case.model.parameters) for one in records}
    assert planted["counts-rewriting"] == {"lines": 40, "rewriting": 50}
    assert planted["counts-what XLA compiles"] == {"lines": 42}  # 20 of 500, as the probe's four lines were 40
    found = counts.judge(records)
    assert [(one.name, one.alarms.hits, one.alarms.trials) for one in found] == [
        ("nothing", 0, 6), ("nothing", 0, 3), ("rewriting", 8, 8), ("the gradient", 8, 8), ("what XLA compiles", 8, 8),
        ("what Numba compiles", 6, 6),
    ]  # fmt: skip
    assert found[2].by == (("calls_rewrite", 8),)
    assert [one.factor for one in found[2:]] == [1.05, 1.05, 1.04, 1.04]
    assert counts.is_good(found)
    assert "| rewriting | jax | 4 and 2 | 8 | 100% [63.1%, 100%] | 5.0% | calls_rewrite (8) |" in counts.to_markdown(
        found, records
    )


def test_a_second_call_takes_what_is_missing_and_an_alarm_of_an_unchanged_pair_is_told():
    machine = CountingMachine()
    records = machine.collect([], budget_seconds=30.0)
    assert len(records) == 8  # six of JAX, and of Numba what tells how much is planted
    again = CountingMachine()
    assert again.collect(records) is records
    assert len(records) == 4 + 3 + 2 + 8
    moved = replace(records[0], work=Work(counts=tuple((name, 1.02 * n) for name, n in records[0].work.counts)))
    found = counts.judge([moved, *records[1:]])
    assert (found[0].alarms.hits, found[1].alarms.hits) == (3, 0)
    assert not counts.is_good(found)


PAGE = "a\n<!-- x: begin (how) -->\nold\n<!-- x: end -->\nb\n"


def test_a_text_goes_between_its_markers_and_nowhere_else(tmp_path):
    expected = "a\n<!-- x: begin (how) -->\n\nnew\n\n<!-- x: end -->\nb\n"
    assert replace_between_markers(PAGE, "x", "new") == expected
    assert replace_between_markers(expected, "x", "new") == expected
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    write_between_markers(path, "x", "new")
    assert path.read_text() == expected


@pytest.mark.parametrize(
    "page", ["nothing", PAGE.replace("<!-- x: end -->", ""), PAGE + PAGE, "<!-- x: end -->\n<!-- x: begin -->\n"]
)
def test_missing_or_repeated_markers_are_refused(page):
    with pytest.raises(SystemExit, match="x: begin"):
        replace_between_markers(page, "x", "new")
