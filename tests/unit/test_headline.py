"""The headline: what is measured, in which order, and what its tables say of planted samples."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.headline.run import Kept, plan
from benchmarks.headline.sides import GOALS, TURNS, Quantity, Size, Turn, Way
from benchmarks.headline.table import Called, collect, describe, markdown, read_called, summary, turn_of, write_called
from benchmarks.limit.variants import Measured, Stage
from builders import make_environment, make_record, memory
from firstgrad.case import BackendName, Sampler, Scenario, Target
from firstgrad.record import CacheUse, Check, Status, Verdict

SMALL, LARGE = Size(directions=5, states=0), Size(directions=20, states=2)


def turn(way, target=Target.LOGP_DLOGP):
    return next(one for one in TURNS if one.way is way and one.target is target and not one.is_called)


def record(of, size, seconds, *, number=0, scenario=Scenario.COLD, **fields):
    proven = CacheUse(entries_before=0, entries_read=0, entries_written=1, bytes_written=1)
    is_draw = of.target is Target.FIRST_DRAW
    known = {
        "case": of.case(size, scenario),
        "environment": make_environment(label=f"headline {number}", versions=(("pymc", "6.4.0"),)),
        "caches": proven,
        "memory": memory(400),
        "check": Check(verdict=Verdict.AGREES),
        f"time_to_first_{'draw' if is_draw else 'gradient'}_seconds": seconds,
        f"time_to_first_{'draw' if is_draw else 'gradient'}_cpu_seconds": 2 * seconds,
    }
    return make_record(**known | fields)


def called(way, size, seconds, call, *, number=0, quantity=Quantity.FIRST_GRADIENT):
    stages = (
        Stage(name="import", wall_seconds=9.0, cpu_seconds=9.0),
        Stage(name="compile", wall_seconds=seconds, cpu_seconds=2 * seconds),
    )
    measured = Measured(
        stages=stages,
        evaluation_seconds=call,
        peak_rss_bytes=100,
        executable_bytes=None,
        program_characters=0,
        compiled_characters=0,
        flops=None,
        temporary_bytes=None,
        cache_hits=0,
    )
    return Called(
        way=way, size=size, quantity=quantity, round=number, started_at="2026-11-27T00:00:00", measured=measured
    )


def test_each_case_is_of_one_turn_and_all_ways_are_measured():
    for size in (SMALL, LARGE):
        for one in TURNS:
            if not (one.variant or one.is_called):
                for scenario in (Scenario.COLD, Scenario.WARM):
                    assert turn_of(record(one, size, 1.0, scenario=scenario)) == (one, size)
    assert {one.way for one in TURNS} == set(Way)
    with pytest.raises(ValueError, match="no turn"):
        turn_of(make_record())
    own = next(one for one in TURNS if one.sampler is Sampler.FIRSTGRAD)
    assert own.case(SMALL, Scenario.COLD).backend is BackendName.JAX_DIRECT


def test_a_plan_leaves_out_what_is_there_and_has_what_is_measured_once_in_the_end():
    dear, cheap = Turn(way=Way.DEFAULT, is_dear=True), Turn(way=Way.FIRSTGRAD)
    once = Turn(way=Way.DEFAULT_BOTH, is_once=True)
    steps = list(plan([dear, cheap, once], [SMALL, LARGE], range(2), {(0, SMALL, cheap)}))
    assert steps == [
        (0, SMALL, dear),
        (0, LARGE, cheap),
        (1, LARGE, cheap),
        (1, SMALL, cheap),
        (1, SMALL, dear),
        (0, SMALL, once),
        (0, LARGE, dear),
        (0, LARGE, once),
    ]
    assert list(plan([dear, once], [LARGE], range(2), {(0, LARGE, dear)})) == [(0, LARGE, once)]


def test_what_was_kept_is_read_and_done(tmp_path):
    kept = Kept(tmp_path / "headline")
    kept.add([record(turn(Way.FIRSTGRAD), SMALL, 1.0, number=1)], [])
    kept.add([], [called(Way.LOOPS, LARGE, 3.0, 1e-4, number=2)])
    kept.add([], [called(Way.FIRSTGRAD, SMALL, 1.0, 1e-4, quantity=Quantity.EVALUATION)])
    again = Kept(tmp_path / "headline")
    again.read()
    assert (again.records, again.called) == (kept.records, kept.called)
    bare = next(one for one in TURNS if one.way is Way.FIRSTGRAD and one.is_called)
    wanted = {(1, SMALL, turn(Way.FIRSTGRAD)), (2, LARGE, turn(Way.LOOPS)), (0, SMALL, bare)}
    assert again.done == wanted
    assert read_called(tmp_path / "nothing.jsonl") == []
    path = tmp_path / "called.jsonl"
    path.write_text(write_called(kept.called))
    assert read_called(path) == kept.called


def test_ratios_are_paired_by_round_and_a_number_from_one_sample_says_so():
    ours, default = turn(Way.FIRSTGRAD), turn(Way.DEFAULT, Target.DLOGP)
    records = [
        record(which, size, seconds, number=number)
        for number, noise in enumerate((1.0, 1.5, 2.0))
        for which, size, seconds in ((ours, SMALL, 2.0 * noise), (default, SMALL, 80.0 * noise), (ours, LARGE, 4.0))
    ]
    records.append(record(default, LARGE, 200.0))
    by_hand = [
        called(Way.BY_HAND, SMALL, 1.0 * noise, 1e-4, number=number) for number, noise in enumerate((1.0, 1.5, 2.0))
    ]
    samples, failures = collect(records, by_hand)
    text = markdown(samples, failures, "where")
    assert failures == []
    assert "| first gradient: firstgrad over JAX, by hand | 2 [2, 2] | 2 [2, 2] | 3 / 3 | at most 1.5 |" in text
    assert f"{Way.DEFAULT} over firstgrad | 40 [40, 40] | 40 [40, 40] | 3 / 3 | at least 45 |" in text
    assert f"{Way.DEFAULT} over firstgrad | 50 | 50 | 1 / 3 |  |" in text
    assert "| JAX, by hand | 1.50 s [1.00 s, 2.00 s] |" in text
    assert "200 s (once)" in text
    assert "PyMC 6.4.0" in describe(records)
    told = summary(samples)
    assert told.startswith(
        "| T=100, K=5, no HMM | PyMC's default | firstgrad | JAX, by hand | default over firstgrad |"
    )
    assert "| first gradient | 120 s | 3.00 s | 1.50 s | 40 [40, 40] |" in told
    assert "evaluation" not in told


def test_what_is_wrong_counts_for_nothing_and_is_told():
    ours = turn(Way.FIRSTGRAD)
    good = record(ours, SMALL, 1.0)
    wrong = record(ours, SMALL, 0.1, status=Status.MISMATCH, check=Check(verdict=Verdict.DISAGREES))
    unproven = record(
        ours,
        SMALL,
        0.1,
        scenario=Scenario.WARM,
        caches=replace(good.caches, contradiction="warm, but nothing was read"),
    )
    samples, failures = collect([good, wrong, unproven], [])
    assert [one.wall for one in samples] == [1.0]
    assert len(failures) == 2
    assert "firstgrad: first gradient: mismatch" in failures[0]
    assert "warm, but nothing was read" in failures[1]
    assert "Not counted:" in markdown(samples, failures, "where")


def test_evaluations_are_of_the_bare_function_and_goals_name_what_is_measured():
    ours = [called(Way.FIRSTGRAD, SMALL, 1.0, 2e-4, quantity=Quantity.EVALUATION)]
    loops = [called(Way.LOOPS, SMALL, 3.0, 1e-4)]
    text = markdown(*collect([], [*ours, *loops]), "where")
    assert "| evaluation: firstgrad over Numba, loops by hand | 2 |  | 1 / 1 | at most 1.6 |" in text
    measured = {(one.way, one.quantity(scenario)) for one in TURNS for scenario in (Scenario.COLD, Scenario.WARM)}
    for goal in GOALS:
        if goal.quantity is not Quantity.EVALUATION:
            assert {(goal.of, goal.quantity), (goal.over, goal.quantity)} <= measured
