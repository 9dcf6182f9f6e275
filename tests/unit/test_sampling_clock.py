"""The stages of a sampling run: planted marks, and the seconds they must give."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from firstgrad.measure.events import StageBegan
from firstgrad.measure.stage_clock import StageClock, add_up
from firstgrad.sampling import SamplingStage, StageTime
from helpers import FakeClock

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


def spent(stage, seconds):
    return StageTime(stage=stage, wall_seconds=seconds, cpu_seconds=seconds / 2)


def test_each_stage_ends_where_the_next_begins():
    clock = run((IMPORT, 2.0), (COMPILE, 8.0), (TUNING, 4.0), (DRAWING, 1.0), (OTHER, 0.5))
    assert clock.times() == (
        spent(IMPORT, 2.0),
        spent(COMPILE, 8.0),
        spent(TUNING, 4.0),
        spent(DRAWING, 1.0),
        spent(OTHER, 0.5),
    )


def test_chains_in_turn_add_up_by_stage():
    clock = run((TUNING, 4.0), (DRAWING, 1.0), (TUNING, 6.0), (DRAWING, 2.0), (OTHER, 0.5))
    assert clock.times() == (spent(TUNING, 10.0), spent(DRAWING, 3.0), spent(OTHER, 0.5))


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
    assert clock.times() == (spent(TUNING, 4.0),)


def test_the_present_stage_has_no_time_yet():
    clock = StageClock(lambda _: None, wall=FakeClock(), cpu=FakeClock())
    clock.begin(IMPORT)
    assert clock.stage is IMPORT
    assert clock.times() == ()


def test_a_border_that_is_known_well_enough_stays():
    clock = run((COMPILE, 8.0), (TUNING, 4.0), (DRAWING, 1.0))
    assert clock.times(unsure_seconds=0.5) == (spent(COMPILE, 8.0), spent(TUNING, 4.0), spent(DRAWING, 1.0))


def test_a_border_that_is_not_makes_one_stage_of_two():
    clock = run((COMPILE, 8.0), (TUNING, 4.0), (DRAWING, 1.0), (OTHER, 0.5))
    assert clock.times(unsure_seconds=0.6) == (spent(COMPILE, 8.0), spent(SAMPLING, 5.0), spent(OTHER, 0.5))


def test_a_run_without_draws_has_no_border_to_be_unsure_of():
    assert run((COMPILE, 8.0)).times() == (spent(COMPILE, 8.0),)


@given(st.lists(st.tuples(st.sampled_from(SamplingStage), st.integers(0, 1000)), max_size=20))
def test_no_second_is_lost_or_counted_twice(stretches):
    at, marks = 0.0, []
    for stage, seconds in stretches:
        marks.append(StageBegan(stage=stage, at_seconds=at, cpu_seconds=2 * at))
        at += seconds
    marks.append(StageBegan(stage=OTHER, at_seconds=at, cpu_seconds=2 * at))
    times = add_up(marks)
    assert sum(each.wall_seconds for each in times) == at
    assert sum(each.cpu_seconds for each in times) == 2 * at
    assert len({each.stage for each in times}) == len(times)
