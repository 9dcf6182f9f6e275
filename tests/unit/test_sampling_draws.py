"""Draws as samplers tell them: planted callbacks, and the counts, stages and events that they must give."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from firstgrad.backends.base import Problem
from firstgrad.errors import ModelError
from firstgrad.measure.draw_tally import Drawn, DrawTally
from firstgrad.measure.events import DrawsNow
from firstgrad.measure.sample_nutpie import _Looks, _read_trace, _reason, sample_with_nutpie
from firstgrad.measure.sample_pymc import _read_draw
from firstgrad.measure.stage_clock import StageClock
from firstgrad.sampling import DrawCounts, SamplingPlan, SamplingStage
from helpers import FakeClock


def drawn(place, *, chain=0, tuning=False, diverging=False, evaluations=8):
    return Drawn(
        chain=chain,
        tuning=tuning,
        diverging=diverging,
        gradient_evaluations=evaluations,
        tree_depth=3,
        acceptance=0.5 if diverging else 0.9,
        step_size=0.25,
        position=bytes([place]),
    )


def tally_of(*draws, told=None, clock=None, **plan):
    tally = DrawTally(SamplingPlan(**plan), (told if told is not None else []).append, wall=clock or FakeClock())
    for each in draws:
        tally.add(each)
    return tally


def test_tuning_and_drawing_are_counted_apart():
    tally = tally_of(
        drawn(1, tuning=True, diverging=True, evaluations=2), drawn(2, tuning=True), drawn(3), drawn(4), drawn(4)
    )
    assert tally.tuning == DrawCounts(
        draws=2,
        divergences=1,
        gradient_evaluations=10,
        positions=2,
        mean_tree_depth=3.0,
        mean_acceptance=pytest.approx(0.7),
    )
    assert (tally.drawing.draws, tally.drawing.divergences, tally.drawing.positions) == (3, 0, 2)
    assert (tally.step_size, tally.stuck_chains) == (0.25, 0)


def test_without_draws_there_are_no_counts():
    tally = tally_of()
    assert (tally.tuning, tally.drawing, tally.step_size, tally.stuck_chains) == (None, None, None, 0)


def test_chains_at_the_same_place_stand_at_two_places():
    assert tally_of(drawn(1), drawn(1, chain=1), chains=2).drawing.positions == 2


def test_a_chain_that_never_moved_is_stuck():
    assert tally_of(drawn(1, tuning=True), drawn(1), drawn(1)).stuck_chains == 1


def test_a_chain_that_moved_only_while_it_was_tuned_is_stuck():
    assert tally_of(drawn(1, tuning=True), drawn(2), drawn(2)).stuck_chains == 1


def test_only_the_stuck_chain_is_counted():
    draws = [drawn(1, chain=0, tuning=True), drawn(1, chain=0), drawn(1, chain=1, tuning=True)]
    assert tally_of(*draws, drawn(2, chain=1), drawn(3, chain=1), chains=2).stuck_chains == 1


def test_a_single_draw_cannot_show_that_a_chain_is_stuck():
    assert tally_of(drawn(1, tuning=True), drawn(2), tune=1, draws=1).stuck_chains == 0


@pytest.mark.parametrize(("draws", "stuck"), [(4, 0), (5, 1)])
def test_a_few_draws_at_one_place_are_chance(draws, stuck):
    same = [drawn(2)] * draws
    assert tally_of(drawn(1, tuning=True), *same, tune=1, draws=draws).stuck_chains == stuck
    assert tally_of(drawn(2, tuning=True), *same[1:], tune=1, draws=draws - 1).stuck_chains == stuck


def test_draws_are_told_now_and_then_and_the_last_of_each_kind_always():
    told, clock = [], FakeClock()
    tally = tally_of(told=told, clock=clock, tune=4, draws=2)
    for each in (drawn(1, tuning=True), drawn(2, tuning=True, diverging=True)):
        tally.add(each)
    clock.tick(0.2)
    for each in (drawn(3, tuning=True), drawn(4, tuning=True), drawn(5), drawn(6)):
        tally.add(each)
    assert told == [
        DrawsNow(tuned=1, drawn=0, divergences=0),
        DrawsNow(tuned=3, drawn=0, divergences=1),
        DrawsNow(tuned=4, drawn=0, divergences=1),
        DrawsNow(tuned=4, drawn=2, divergences=1),
    ]


def test_a_draw_of_pymc():
    stats = {"diverging": True, "tree_size": 7.0, "depth": 3, "mean_tree_accept": 0.5, "step_size": 0.25}
    draw = SimpleNamespace(
        chain=1, draw_idx=4, tuning=True, stats=[stats], point={"a": np.array(1.0), "b": np.array([2.0, 3.0])}
    )
    assert _read_draw(draw) == Drawn(
        chain=1,
        tuning=True,
        diverging=True,
        gradient_evaluations=8,
        tree_depth=3,
        acceptance=0.5,
        step_size=0.25,
        position=np.array([1.0, 2.0, 3.0]).tobytes(),
    )


def test_a_model_that_pymc_does_not_sample_with_nuts_says_why():
    draw = SimpleNamespace(chain=0, tuning=True, stats=[{"nstep_out": 3, "nstep_in": 1}], point={"x": np.array(1.0)})
    with pytest.raises(ModelError, match=r"no variable to NUTS.* Give it one \(`pullback`"):
        _read_draw(draw)


def test_a_discrete_value_that_moves_does_not_hide_a_chain_that_does_not():
    stats = {"diverging": True, "tree_size": 1.0, "depth": 1, "mean_tree_accept": 0.0, "step_size": 0.25}
    first, second = (
        _read_draw(
            SimpleNamespace(
                chain=0, tuning=False, stats=[stats, {"accept": 1.0}], point={"k": np.array(k), "x": np.array(1.0)}
            )
        )
        for k in (1, 2)
    )
    assert first.position == second.position == np.array(1.0).tobytes()


def test_nutpie_refuses_discrete_variables_before_it_compiles():
    problem = Problem(SimpleNamespace(discrete_value_vars=[SimpleNamespace(name="change")]), None)
    with pytest.raises(ModelError, match=r"discrete ones \(change\)\. Take --sampler pymc"):
        sample_with_nutpie(None, problem, SamplingPlan(), None, None, None)


class Looks:
    """nutpie's progress callback with clocks that are told to go on."""

    def __init__(self, **plan):
        self.told, self.wall = [], FakeClock()
        self.clock = StageClock(self.told.append, wall=self.wall, cpu=self.wall)
        plan = SamplingPlan(**plan)
        self.clock.begin(SamplingStage.TUNING)
        tally = DrawTally(plan, self.told.append, wall=self.wall)
        self.looks = _Looks(plan, self.clock, tally, wall=self.wall)

    def after(self, seconds, *finished):
        self.wall.tick(seconds)
        self.looks([SimpleNamespace(finished_draws=draws, divergences=1) for draws in finished])

    def end(self):
        self.looks.end()
        self.wall.tick(0.25)
        self.clock.end()
        times = self.clock.times(unsure_seconds=self.looks.unsure_seconds)
        return {each.stage: pytest.approx(each.wall_seconds) for each in times}


def test_looks_at_one_chain():
    run = Looks(tune=100, draws=20)
    for seconds, finished in ((1.0, 30), (1.0, 99), (0.01, 101), (1.0, 120)):
        run.after(seconds, finished)
    assert run.looks.unsure_seconds == pytest.approx(0.01)
    assert run.end() == {SamplingStage.TUNING: 2.01, SamplingStage.DRAWING: 1.0, SamplingStage.OTHER: 0.25}
    assert run.told[-2] == DrawsNow(tuned=100, drawn=20, divergences=1)


def test_looks_at_two_chains_one_after_the_other():
    run = Looks(tune=100, draws=20, chains=2)
    for seconds, *finished in (
        (1.0, 99, 0),
        (0.01, 100, 0),
        (0.5, 119, 0),
        (0.02, 120, 2),
        (2.0, 120, 98),
        (0.03, 120, 103),
        (0.5, 120, 120),
    ):
        run.after(seconds, *finished)
    assert run.looks.unsure_seconds == pytest.approx(0.06)
    assert run.end() == {SamplingStage.TUNING: 3.04, SamplingStage.DRAWING: 1.02, SamplingStage.OTHER: 0.25}


def test_looks_that_miss_the_border_tell_one_stage():
    run = Looks(tune=100, draws=20)
    run.after(10.0, 99)
    run.after(0.005, 120)
    assert run.end() == {SamplingStage.SAMPLING: 10.005, SamplingStage.OTHER: 0.25}


def test_a_late_look_changes_nothing():
    run = Looks(tune=100, draws=20)
    run.after(1.0, 50)
    run.looks.end()
    run.after(1.0, 110)
    assert run.end() == {SamplingStage.TUNING: 2.25}


def test_the_end_waits_for_a_look_that_has_begun():
    run, ended = Looks(tune=100, draws=20), threading.Event()

    def end():
        run.looks.end()
        run.clock.begin(SamplingStage.OTHER)
        ended.set()

    class Slow:
        divergences = 0
        ending = threading.Thread(target=end)

        @property
        def finished_draws(self):
            self.ending.start()
            assert not ended.wait(0.05)
            return 110

    chain = Slow()
    run.looks([chain])
    chain.ending.join()
    assert run.clock.stage is SamplingStage.OTHER


class Dataset(dict):
    """As much of an xarray as is read."""

    @property
    def data_vars(self):
        return list(self)


def test_a_trace_of_nutpie():
    def stats(diverging):
        shape = np.shape(diverging)
        numbers = {"n_steps": 7, "depth": 3, "mean_tree_accept": 0.5, "step_size": 0.25}
        return {name: np.full(shape, number) for name, number in numbers.items()} | {"diverging": np.array(diverging)}

    trace = {
        "warmup_posterior": Dataset(x=np.array([[[1.0, 2.0]]])),
        "warmup_sample_stats": stats([[True]]),
        "posterior": Dataset(x=np.array([[[3.0, 4.0], [5.0, 6.0]]])),
        "sample_stats": stats([[False, False]]),
    }
    first, second, third = _read_trace(trace)
    assert (first.tuning, first.diverging, first.gradient_evaluations) == (True, True, 7)
    assert (second.tuning, second.diverging, second.chain) == (False, False, 0)
    assert third.position == np.array([5.0, 6.0]).tobytes()


def test_the_reason_of_a_refusal_is_one_line_without_addresses():
    error = RuntimeError(
        "All points failed\n\nCaused by:\n    bad gradient\n    \n    Stack backtrace:\n  0: <unknown>\n"
    )
    assert _reason(error) == "All points failed, caused by: bad gradient"
