"""Advice with planted crossings, and the sentences that tell it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstgrad.advising.advice import Trouble, Workload, find_offers, make_advice
from firstgrad.case import BackendName, Scenario
from firstgrad.errors import SpecError
from firstgrad.record import Doubt, Failure, Status, Verdict
from firstgrad.show.advice import advice_sentences, alarm_sentences, lead_sentence, left_out_sentences
from planted_advice import CROSSING, asked, planted_sample, planted_samples


def advise(records, evaluations=20_000, workload=None):
    workload = workload or Workload(evaluations=evaluations)
    return make_advice(find_offers(records, asked(records), workload), workload)


def told(advice):
    return " ".join(advice_sentences(advice))


def test_the_planted_crossing_comes_back_in_the_sentence():
    exact = planted_samples(noise=(1.0, 1.0, 1.0))
    warm = advise(exact).of_scenario(Scenario.WARM)
    (crossing,) = warm.breakeven.crossings
    assert crossing.evaluations.value == pytest.approx(CROSSING)
    assert lead_sentence(warm) == "If your cache is warm: jax is ahead up to 40,000 evaluations, then numba."


def test_with_scatter_the_sentence_has_the_interval():
    sentence = lead_sentence(advise(planted_samples()).of_scenario(Scenario.COLD))
    assert sentence.startswith("If your cache is empty (cold): jax is ahead up to 40,000 [")
    crossing = advise(planted_samples()).of_scenario(Scenario.COLD).breakeven.crossings[0].evaluations
    assert crossing.low < CROSSING < crossing.high


@pytest.mark.parametrize(("evaluations", "leader"), [(1000, "jax"), (400_000, "numba")])
def test_far_from_the_crossing_it_is_decided(evaluations, leader):
    cold = advise(planted_samples(), evaluations).of_scenario(Scenario.COLD)
    assert cold.leader.choice.name == leader
    assert cold.is_decided
    assert f"At {evaluations:,} evaluations {leader} takes" in told(advise(planted_samples(), evaluations))
    assert "certain to be the least" in told(advise(planted_samples(), evaluations))


def test_near_the_crossing_nothing_is_decided_and_more_samples_are_asked_for():
    advice = advise(planted_samples(), 39_000)
    cold = advice.of_scenario(Scenario.COLD)
    assert not cold.is_decided
    assert cold.open_rivals[0].more_samples > 0
    assert "do not allow a decision between jax" in told(advice)
    assert "more samples of each might" in told(advice)


def test_one_sample_decides_nothing_however_far_apart():
    advice = advise(planted_samples(noise=(1.0,)), 1000)
    assert not advice.of_scenario(Scenario.COLD).is_decided
    assert "One sample says nothing about scatter" in told(advice)


def test_with_one_sample_each_only_those_that_are_near_are_undecided():
    far = told(advise(planted_samples({"jax": (10.0, 1e-6), "numba": (40.0, 1e-6)}, noise=(1.0,)), 10))
    assert "At 10 evaluations jax takes 10.0 s, 1 sample; the next, numba, 40.0 s (0.25 [0.00, ?] times)." in far
    near = {"jax": (10.0, 1e-6), "numba": (12.0, 1e-6), "c": (40.0, 1e-6)}
    sentence = told(advise(planted_samples(near, noise=(1.0,), scenarios=[Scenario.COLD]), 10))
    assert "do not allow a decision between jax (10.0 s, 1 sample) and numba (12.0 s, 1 sample)." in sentence


def test_equal_choices_are_not_told_apart_by_hundreds_of_samples():
    advice = advise(planted_samples({"jax": (10.0, 1e-3), "numba": (10.0, 1e-3)}))
    assert not advice.of_scenario(Scenario.COLD).is_decided
    assert "take any of them" in told(advice)


def test_among_equals_a_leader_is_rarely_declared():
    chance = random.Random(5)  # noqa: S311 - reproducible, not secret
    decided = 0
    for _ in range(200):
        records = [
            planted_sample(10 * chance.lognormvariate(0, 0.1), 1e-6, number=number, backend=backend)
            for backend in ("jax", "numba", "c")
            for number in range(3)
        ]
        decided += advise(records, 1).scenarios[0].is_decided
    assert decided <= 0.05 * 200


def test_a_choice_that_is_never_ahead_is_named():
    sentence = lead_sentence(advise(planted_samples({"jax": (10.0, 1e-3), "c": (50.0, 2e-3)})).scenarios[0])
    assert "jax is ahead all the way" in sentence
    assert "never ahead: c" in sentence


def test_a_mismatch_is_said_first_and_the_choice_is_not_offered():
    records = planted_samples()
    wrong = replace(records[0], status=Status.MISMATCH, check=replace(records[0].check, verdict=Verdict.DISAGREES))
    advice = advise([wrong, *records[1:]])
    assert [each.choice.name for each in advice.of_scenario(Scenario.COLD).offers] == ["numba"]
    (alarm,) = alarm_sentences(advice)
    assert alarm.startswith("WARNING: jax, cold, gives WRONG numbers, and is not offered")


@pytest.mark.parametrize(
    ("doubt", "trouble"), [(Doubt.NOT_FINITE, Trouble.NOT_FINITE), (Doubt.GRADIENT_SUSPECT, Trouble.WRONG)]
)
def test_one_suspect_sample_is_enough(doubt, trouble):
    records = planted_samples()
    advice = advise([replace(records[0], doubts=(doubt,)), *records[1:]])
    assert [(each.choice.name, each.trouble) for each in advice.alarms] == [("jax", trouble)]


def test_what_failed_or_was_not_checked_has_no_numbers():
    records = planted_samples()
    failure = Failure(kind="MemoryError", message="no room")
    failed = [replace(each, status=Status.FAILED, failure=failure) for each in records[:3]]
    unchecked = [replace(each, check=replace(each.check, verdict=Verdict.UNCHECKED)) for each in records[3:6]]
    advice = advise([*failed, *unchecked])
    assert advice.scenarios == ()
    assert {each.trouble for each in advice.left_out} == {Trouble.NO_NUMBERS}
    assert "MemoryError: no room" in advice.left_out[0].reason
    assert told(advice).startswith("There is nothing to advise")


def test_what_was_not_measured_is_told():
    records = planted_samples()
    wanted = [*asked(records), replace(records[0].case, backend=BackendName.C)]
    workload = Workload(evaluations=1000)
    advice = make_advice(find_offers(records, wanted, workload), workload)
    assert list(left_out_sentences(advice)) == ["Not tried, since no samples: c, cold"]


def test_an_import_that_turns_the_order_is_told():
    quick = [planted_sample(part * 10.0, 1e-6, number=part, import_seconds=9.0) for part in (0.99, 1.0, 1.01)]
    other = [planted_sample(part * 12.0, 1e-6, number=part, backend="c") for part in (0.99, 1.0, 1.01)]
    assert "With the imports counted (9.00 s and 1.00 s), c is ahead of jax instead." in told(
        advise([*quick, *other], 1)
    )


def test_samples_of_a_busy_machine_are_counted():
    records = planted_samples()
    busy = [replace(each, doubts=(Doubt.HIGH_LOAD,)) for each in records[:2]]
    assert "2 of 12 samples have the doubt high_load" in told(advise([*busy, *records[2:]]))
    assert "high_load" not in told(advise(records))


def test_chains_that_run_side_by_side_wait_for_fewer_evaluations():
    one, four, three = (
        Workload.of_sampling(here=1, chains=4, tune=100, draws=100, leapfrog=10, cores=cores).in_evaluations()
        for cores in (1, 4, 3)
    )
    assert (one.evaluations, one.in_a_row, four.in_a_row, three.in_a_row) == (8000, 8000, 2000, 4000)
    assert [four.compiles(each) for each in (BackendName.C, BackendName.NUMBA, BackendName.JAX)] == [1, 1, 2]
    assert one.compiles(BackendName.JAX) == 1
    cold = advise(planted_samples(), workload=four).of_scenario(Scenario.COLD)
    assert next(o for o in cold.offers if o.choice.name == "jax").option.first_gradient.value == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("fields", "named"), [({"tune": 0, "draws": 0}, "--tune"), ({"leapfrog": 0.0}, "--leapfrog"), ({"chains": 0}, "--")]
)
def test_no_work_is_refused(fields, named):
    with pytest.raises(SpecError, match=named):
        Workload.of_sampling(here=1, **fields)


costs = st.tuples(st.floats(0.01, 1e4), st.floats(1e-7, 10.0))


@settings(deadline=None, max_examples=40)
@given(jax=costs, numba=costs, fewer=st.integers(1, 10**7), more=st.integers(1, 10**7))
def test_the_least_total_never_falls_with_more_evaluations(jax, numba, fewer, more):
    fewer, more = sorted((fewer, more))
    records = planted_samples({"jax": jax, "numba": numba}, scenarios=(Scenario.COLD,))
    few, many = (advise(records, number).scenarios[0] for number in (fewer, more))
    assert few.leader.total.value <= many.leader.total.value
    assert all(few.leader.total.value <= each.total.value for each in few.offers)
    # Who leads at the planned number is who the break-even says.
    assert few.leader.option.total_seconds(fewer).value <= min(
        each.total_seconds(fewer).value for each in few.breakeven.options
    ) * (1 + 1e-9)
