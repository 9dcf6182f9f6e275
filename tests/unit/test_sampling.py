"""What samplers tell: planted marks and callbacks, and the stages, counts and events that they must give."""

from __future__ import annotations

import threading
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.backends.base import BuiltModel
from firstgrad.backends.draws import nutpie_reason
from firstgrad.errors import ModelError
from firstgrad.measuring.events import Conditions, Imported
from firstgrad.record import Status
from firstgrad.sampling.launch import SamplingTranscript, conclude_sampling
from firstgrad.sampling.plan import (
    DrawCounts,
    DrawsNow,
    SamplingPlan,
    SamplingRun,
    SamplingStage,
    SamplingTask,
    StageBegan,
    StageTime,
    add_up,
)
from firstgrad.sampling.samplers import (
    NutpieProgress,
    _read_nutpie_trace,
    _read_pymc_draw,
    sample_with_nutpie,
)
from firstgrad.sampling.watch import Draw, DrawTally, StageClock
from helpers import FakeClock, make_task

IMPORT, COMPILE, TUNING, DRAWING, SAMPLING, OTHER = (
    SamplingStage(name) for name in ("import", "compile", "tuning", "drawing", "sampling", "other")
)


def run(*stages, told=None):
    """A clock that was in each stage for so many seconds, half of them on the processor."""
    wall, cpu = FakeClock(), FakeClock(7.0)
    clock = StageClock((told if told is not None else []).append, wall=wall, cpu=cpu)
    for stage, seconds in stages:
        clock.begin(stage)
        wall.tick(seconds)
        cpu.tick(seconds / 2)
    clock.end()
    return clock


def spent(*stages):
    return tuple(StageTime(stage=stage, wall_seconds=seconds, cpu_seconds=seconds / 2) for stage, seconds in stages)


STAGES_HAVE_THEIR_SECONDS = {
    "each ends where the next begins": (
        stages := [(IMPORT, 2.0), (COMPILE, 8.0), (TUNING, 4.0), (DRAWING, 1.0), (OTHER, 0.5)],
        0.0,
        stages,
    ),
    "chains in turn add up": (
        [(TUNING, 4.0), (DRAWING, 1.0), (TUNING, 6.0), (DRAWING, 2.0), (OTHER, 0.5)],
        0.0,
        [(TUNING, 10.0), (DRAWING, 3.0), (OTHER, 0.5)],
    ),
    "a border known well enough stays": (
        [(COMPILE, 8.0), (TUNING, 4.0), (DRAWING, 1.0)],
        0.5,
        [(COMPILE, 8.0), (TUNING, 4.0), (DRAWING, 1.0)],
    ),
    "one that is not makes one stage of two": (
        [(COMPILE, 8.0), (TUNING, 4.0), (DRAWING, 1.0), (OTHER, 0.5)],
        0.6,
        [(COMPILE, 8.0), (SAMPLING, 5.0), (OTHER, 0.5)],
    ),
    "no draws, no border to be unsure of": ([(COMPILE, 8.0)], 0.0, [(COMPILE, 8.0)]),
}


@pytest.mark.parametrize(
    ("stages", "unsure_seconds", "times"), STAGES_HAVE_THEIR_SECONDS.values(), ids=STAGES_HAVE_THEIR_SECONDS
)
def test_stages_have_their_seconds(stages, unsure_seconds, times):
    assert run(*stages).times(unsure_seconds=unsure_seconds) == spent(*times)


def test_every_stage_is_told_once_as_it_begins():
    told = []
    run((TUNING, 4.0), (TUNING, 1.0), (DRAWING, 1.0), told=told)
    assert told == [
        StageBegan(stage=TUNING, at_seconds=0.0, cpu_seconds=7.0),
        StageBegan(stage=DRAWING, at_seconds=5.0, cpu_seconds=9.5),
    ]


def test_nothing_begins_after_the_end():
    clock = run((TUNING, 4.0))
    clock.begin(DRAWING)
    assert clock.times() == spent((TUNING, 4.0))


def test_the_present_stage_has_no_time_yet():
    clock = StageClock(lambda _: None, wall=FakeClock(), cpu=FakeClock())
    clock.begin(IMPORT)
    assert clock.stage is IMPORT
    assert clock.times() == ()


@given(st.lists(st.tuples(st.sampled_from(SamplingStage), st.integers(0, 1000)), max_size=20))
def test_no_second_is_lost_or_counted_twice(stretches):
    at, marks = 0.0, []
    for stage, seconds in stretches:
        marks.append(StageBegan(stage=stage, at_seconds=at, cpu_seconds=2 * at))
        at += seconds
    times = add_up([*marks, StageBegan(stage=OTHER, at_seconds=at, cpu_seconds=2 * at)])
    assert sum(time.wall_seconds for time in times) == at
    assert sum(time.cpu_seconds for time in times) == 2 * at
    assert len({time.stage for time in times}) == len(times)


def drawn(place, *, chain=0, diverging=False, evaluations=8, tuning=False):
    return Draw(
        chain=chain,
        tuning=tuning,
        diverging=diverging,
        gradient_evaluations=evaluations,
        tree_depth=3,
        acceptance=0.5 if diverging else 0.9,
        step_size=0.25,
        position=bytes([place]),
    )


def tuned(place, **fields):
    return drawn(place, tuning=True, **fields)


def tally_of(*draws, told=None, clock=None, **plan):
    tally = DrawTally(SamplingPlan(**plan), (told if told is not None else []).append, wall=clock or FakeClock())
    for draw in draws:
        tally.add(draw)
    return tally


def test_tuning_and_drawing_are_counted_apart():
    tally = tally_of(tuned(1, diverging=True, evaluations=2), tuned(2), drawn(3), drawn(4), drawn(4))
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


def test_without_draws_there_are_no_counts_and_chains_at_the_same_place_stand_at_two_places():
    tally = tally_of()
    assert (tally.tuning, tally.drawing, tally.step_size, tally.stuck_chains) == (None, None, None, 0)
    assert tally_of(drawn(1), drawn(1, chain=1), chains=2).drawing.positions == 2


STUCK_CHAINS_ARE_COUNTED = {
    "never moved": ([tuned(1), drawn(1), drawn(1)], {}, 1),
    "moved only while it was tuned": ([tuned(1), drawn(2), drawn(2)], {}, 1),
    "one of two": ([tuned(1), drawn(1), tuned(1, chain=1), drawn(2, chain=1), drawn(3, chain=1)], {"chains": 2}, 1),
    "a single draw shows nothing": ([tuned(1), drawn(2)], {"tune": 1, "draws": 1}, 0),
    "four draws are chance": ([tuned(1), *[drawn(2)] * 4], {"tune": 1, "draws": 4}, 0),
    "five are not": ([tuned(1), *[drawn(2)] * 5], {"tune": 1, "draws": 5}, 1),
    "four with tuning are chance": ([tuned(2), *[drawn(2)] * 3], {"tune": 1, "draws": 3}, 0),
    "five with tuning are not": ([tuned(2), *[drawn(2)] * 4], {"tune": 1, "draws": 4}, 1),
}


@pytest.mark.parametrize(("draws", "plan", "stuck"), STUCK_CHAINS_ARE_COUNTED.values(), ids=STUCK_CHAINS_ARE_COUNTED)
def test_stuck_chains_are_counted(draws, plan, stuck):
    assert tally_of(*draws, **plan).stuck_chains == stuck


def test_draws_are_told_now_and_then_and_the_last_of_each_kind_always():
    told, clock = [], FakeClock()
    tally = tally_of(tuned(1), tuned(2, diverging=True), told=told, clock=clock, tune=4, draws=2)
    clock.tick(0.2)
    for draw in (tuned(3), tuned(4), drawn(5), drawn(6)):
        tally.add(draw)
    assert told == [
        DrawsNow(tuned=1, drawn=0, divergences=0),
        DrawsNow(tuned=3, drawn=0, divergences=1),
        DrawsNow(tuned=4, drawn=0, divergences=1),
        DrawsNow(tuned=4, drawn=2, divergences=1),
    ]


STATS = {"diverging": True, "tree_size": 7.0, "depth": 3, "mean_tree_accept": 0.5, "step_size": 0.25}


def pymc_draw(*stats, tuning=True, **point):
    values = {name: np.array(value) for name, value in point.items()}
    return SimpleNamespace(chain=1, draw_idx=4, tuning=tuning, stats=list(stats), point=values)


def test_a_draw_of_pymc():
    assert _read_pymc_draw(pymc_draw(STATS, a=1.0, b=[2.0, 3.0])) == Draw(
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
    with pytest.raises(ModelError, match=r"no variable to NUTS.* Give it one \(`pullback`"):
        _read_pymc_draw(pymc_draw({"nstep_out": 3, "nstep_in": 1}, x=1.0))


def test_a_discrete_value_that_moves_does_not_hide_a_chain_that_does_not():
    first, second = (_read_pymc_draw(pymc_draw(STATS, {"accept": 1.0}, k=k, x=1.0)) for k in (1, 2))
    assert first.position == second.position == np.array(1.0).tobytes()


def test_nutpie_refuses_discrete_variables_before_it_compiles():
    problem = BuiltModel(SimpleNamespace(discrete_value_vars=[SimpleNamespace(name="change")]), None)
    with pytest.raises(ModelError, match=r"discrete ones \(change\)\. Take --sampler pymc"):
        sample_with_nutpie(None, problem, None)


class Progress:
    """nutpie's progress callback with clocks that are told to go on."""

    def __init__(self, **plan):
        self.told, self.wall = [], FakeClock()
        self.clock = StageClock(self.told.append, wall=self.wall, cpu=self.wall)
        self.clock.begin(TUNING)
        plan = SamplingPlan(**plan)
        tally = DrawTally(plan, self.told.append, wall=self.wall)
        self.looks = NutpieProgress(SimpleNamespace(plan=plan, clock=self.clock, tally=tally), wall=self.wall)

    def after(self, seconds, *finished):
        self.wall.tick(seconds)
        self.looks([SimpleNamespace(finished_draws=draws, divergences=1) for draws in finished])

    def end(self):
        self.looks.end()
        self.wall.tick(0.25)
        self.clock.end()
        times = self.clock.times(unsure_seconds=self.looks.unsure_seconds)
        return {time.stage: pytest.approx(time.wall_seconds) for time in times}


LOOKS = {
    "one chain": ([(1.0, 30), (1.0, 99), (0.01, 101), (1.0, 120)], 0.01, {TUNING: 2.01, DRAWING: 1.0, OTHER: 0.25}),
    "two chains one after the other": (
        [
            *((1.0, 99, 0), (0.01, 100, 0), (0.5, 119, 0), (0.02, 120, 2), (2.0, 120, 98), (0.03, 120, 103)),
            (0.5, 120, 120),
        ],
        0.06,
        {TUNING: 3.04, DRAWING: 1.02, OTHER: 0.25},
    ),
    "where the border is missed it is one stage": ([(10.0, 99), (0.005, 120)], np.inf, {SAMPLING: 10.005, OTHER: 0.25}),
}


@pytest.mark.parametrize(("looks", "unsure_seconds", "times"), LOOKS.values(), ids=LOOKS)
def test_looks_at_chains(looks, unsure_seconds, times):
    chains = len(looks[0]) - 1
    progress = Progress(tune=100, draws=20, chains=chains)
    for seconds, *finished in looks:
        progress.after(seconds, *finished)
    assert progress.looks.unsure_seconds == pytest.approx(unsure_seconds)
    assert progress.end() == times
    if chains == 1:
        assert progress.told[-2] == DrawsNow(tuned=100, drawn=20, divergences=1)


def test_a_late_look_changes_nothing():
    progress = Progress(tune=100, draws=20)
    progress.after(1.0, 50)
    progress.looks.end()
    progress.after(1.0, 110)
    assert progress.end() == {TUNING: 2.25}


def test_the_end_waits_for_a_look_that_has_begun():
    progress, ended = Progress(tune=100, draws=20), threading.Event()

    def end():
        progress.looks.end()
        progress.clock.begin(OTHER)
        ended.set()

    class Slow:
        divergences = 0
        ending = threading.Thread(target=end)

        @property
        def finished_draws(self):
            self.ending.start()
            assert not ended.wait(0.05)
            return 110

    progress.looks([Slow()])
    Slow.ending.join(timeout=10.0)
    assert progress.clock.stage is OTHER


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
    first, second, third = _read_nutpie_trace(trace)
    assert (first.tuning, first.diverging, first.gradient_evaluations) == (True, True, 7)
    assert (second.tuning, second.diverging, second.chain) == (False, False, 0)
    assert third.position == np.array([5.0, 6.0]).tobytes()


def test_the_reason_of_a_refusal_is_one_line_without_addresses():
    error = RuntimeError(
        "All points failed\n\nCaused by:\n    bad gradient\n    \n    Stack backtrace:\n  0: <unknown>\n"
    )
    assert nutpie_reason(error) == "All points failed, caused by: bad gradient"


# What a run that isn't true becomes


@pytest.mark.parametrize(
    ("kind", "stages", "folder"),
    [
        ("", spent((COMPILE, 8.0), (TUNING, 1.0)), "/site-packages/pymc"),
        ("OtherImport", spent((COMPILE, 8.0)), "/clone/pymc"),
        ("ImpossibleNumbers", spent((COMPILE, -8.0)), "/site-packages/pymc"),
        ("ImpossibleNumbers", spent((COMPILE, 8.0), (TUNING, 3.0)), "/site-packages/pymc"),
        ("ImpossibleNumbers", (StageTime(stage=COMPILE, wall_seconds=0.1, cpu_seconds=141.8),), "/site-packages/pymc"),
    ],
)
def test_a_run_of_other_packages_or_of_impossible_seconds_is_a_failure(kind, stages, folder):
    known = make_task(packages=(("pymc", "/site-packages/pymc"),))
    task = SamplingTask(plan=SamplingPlan(), **{field.name: getattr(known, field.name) for field in fields(known)})
    told = SamplingRun(
        run_id="r1",
        started_at="",
        case=task.case,
        plan=task.plan,
        status=Status.OK,
        environment=task.environment,
        stages=stages,
    )
    imported = (Imported(name="pymc", version="6.4.0", folder=folder),)
    heard = SamplingTranscript(
        run=told, conditions=Conditions(device="cpu", bytecode=True, imported=imported), lasted_seconds=10.0
    )
    concluded = conclude_sampling(task, heard)
    assert (concluded.failure.kind if concluded.failure else "") == kind
    assert (concluded.status is Status.OK) == (not kind)
