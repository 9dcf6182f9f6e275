"""Sweeps without measuring: the grid, what is left to do and how long it takes, the run, and its display."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from builders import make_case, make_record, memory, pose
from firstgrad.case import BackendName, Case, Scenario
from firstgrad.columns import cells_of
from firstgrad.errors import SpecError
from firstgrad.measuring.events import PhaseBegan
from firstgrad.model import make_model
from firstgrad.phase import Phase
from firstgrad.record import Doubt, Failure, Status
from firstgrad.show.display import SweepState, describe_plan, show_sweep
from firstgrad.sweep.grid import Grid, OmittedModel, make_grid, models_of
from firstgrad.sweep.local import check_cores
from firstgrad.sweep.plan import Done, Durations, Job, Plan, count_done, plan_sweep
from firstgrad.sweep.rounds import (
    Notice,
    SampleBegan,
    SampleEnded,
    SampleLost,
    SampleProgress,
    SampleSkipped,
    run_sweep,
)
from firstgrad.units import span
from helpers import FakeClock

SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=4, unique=True).map(tuple)


def pose_case(timesteps=10, *, backend=BackendName.JAX, scenario=Scenario.COLD, states=0, **fields):
    return Case(model=pose(timesteps, states=states), backend=backend, scenario=scenario, **fields)


def pose_cases(count, *, scenarios=(Scenario.COLD,), **fields):
    return [
        pose_case(timesteps, scenario=scenario, **fields) for timesteps in range(1, count + 1) for scenario in scenarios
    ]


# The grid


def test_the_default_axes_are_the_default_pose_model():
    assert models_of("pose", {}) == ((make_model("pose"),), ())


def test_states_and_algorithms_multiply_only_where_there_is_an_hmm():
    axes = {"hmm": (False, True), "states": (2, 4, 8), "hmm_algorithm": ("scan", "tree")}
    models, _ = models_of("pose", axes)
    assert len(models) == 1 + 3 * 2
    assert sum(model.pose.hmm is None for model in models) == 1


@given(timesteps=SIZES, directions=SIZES, formulations=st.sampled_from([("per_joint", "vectorised"), ("per_joint",)]))
def test_the_whole_grid_has_every_combination_once(timesteps, directions, formulations):
    axes = {"timesteps": timesteps, "directions": directions, "formulation": formulations}
    models, _ = models_of("pose", axes)
    assert len(models) == len(set(models)) == len(timesteps) * len(directions) * len(formulations)


@given(timesteps=SIZES, directions=SIZES)
def test_one_at_a_time_moves_one_size_from_the_base(timesteps, directions):
    models, _ = models_of("pose", {"timesteps": timesteps, "directions": directions}, one_at_a_time=True)
    assert len(models) == len(timesteps) + len(directions) - 1
    for model in models:
        assert model.pose.n_timesteps == timesteps[0] or model.pose.n_directions == directions[0]


def test_one_at_a_time_crosses_what_is_no_size():
    axes = {"timesteps": (10, 30), "states": (2, 3), "hmm": (False, True), "formulation": ("per_joint", "vectorised")}
    models, _ = models_of("pose", axes, one_at_a_time=True)
    # Each formulation: without an HMM T=10 and 30; with it T=10 and 30 at S=2, and T=10 at S=3.
    assert len(models) == 2 * (2 + 3)


def test_an_impossible_combination_is_left_out_and_named():
    axes = {"timesteps": (10, 300), "hmm": (True,), "hmm_algorithm": ("unrolled",)}
    models, (omitted,) = models_of("pose", axes)
    assert [model.pose.n_timesteps for model in models] == [10]
    assert "timesteps=300" in omitted.what
    assert "200" in omitted.reason


def test_parameters_of_a_users_model_are_axes():
    models, _ = models_of("mine.py:build", {"n": (1, 2, 3), "kind": ("a", "b")})
    assert len(set(models)) == 6
    assert models[0].parameters == (("kind", "a"), ("n", 1))


def test_a_grid_crosses_models_with_backends_and_scenarios():
    models, _ = models_of("pose", {"timesteps": (3, 4)})
    grid = make_grid(models, backends=(BackendName.C, BackendName.JAX), scenarios=tuple(Scenario))
    assert len({case.id for case in grid.cases}) == len(grid.cases) == 2 * 2 * 3
    with pytest.raises(SpecError, match="every combination was left out"):
        make_grid((), backends=(BackendName.C,))


# The plan


@given(count=st.integers(1, 8), samples=st.integers(1, 3), cut=st.integers(0, 30), seed=st.integers(0, 99))
def test_every_sample_is_planned_once_in_rounds_and_a_resumed_plan_goes_on(count, samples, cut, seed):
    whole = plan_sweep(pose_cases(count), samples=samples, done={}, seed=seed).jobs
    assert len(set(whole)) == len(whole) == count * samples
    assert [job.number for job in whole] == sorted(job.number for job in whole)
    done = {}
    for job in whole[:cut]:
        done[job.case.question] = Done(samples=done.get(job.case.question, Done()).samples + 1)
    resumed = plan_sweep(pose_cases(count), samples=samples, done=done, seed=seed)
    assert resumed.jobs == whole[cut:]
    assert resumed.stored == len(whole[:cut])


def test_the_seed_decides_the_order():
    orders = {plan_sweep(pose_cases(8), samples=1, done={}, seed=seed).jobs for seed in range(10)}
    assert len(orders) == 10
    assert plan_sweep(pose_cases(8), samples=1, done={}, seed=3).jobs in orders


def test_scenarios_of_one_model_follow_each_other_cold_first():
    cases = pose_cases(5, scenarios=(Scenario.HOT, Scenario.WARM, Scenario.COLD))
    jobs = plan_sweep(cases, samples=1, done={}).jobs
    for number in range(0, len(jobs), 3):
        trio = [job.case for job in jobs[number : number + 3]]
        assert [case.scenario for case in trio] == ["cold", "warm", "hot"]
        assert len({case.model for case in trio}) == 1


def test_other_limits_and_evaluations_ask_the_same_question():
    before = pose_case(time_limit_seconds=60.0, evaluations=5)
    now = pose_case(time_limit_seconds=None, evaluations=200)
    assert not plan_sweep([now], samples=1, done={before.question: Done(samples=1)}).jobs
    assert plan_sweep([now], samples=1, done={}).jobs == (Job(case=now, number=1),)


def test_a_case_that_failed_gets_no_more_samples_unless_asked():
    case = pose_case()
    done = {case.question: Done(samples=1, without_numbers=1)}
    plan = plan_sweep([case], samples=3, done=done)
    assert not plan.jobs
    assert plan.settled == (case,)
    again = plan_sweep([case], samples=3, done=done, retry_failed=True)
    assert [job.number for job in again.jobs] == [1, 2, 3]


def test_a_censored_case_is_measured_again_under_a_higher_limit_only():
    case = pose_case(time_limit_seconds=100.0)
    done = {case.question: Done(samples=1, without_numbers=1, seconds_waited=100.0)}
    assert not plan_sweep([case], samples=2, done=done).jobs
    patient = replace(case, time_limit_seconds=200.0)
    assert [job.number for job in plan_sweep([patient], samples=2, done=done).jobs] == [1, 2]
    unlimited = replace(case, time_limit_seconds=None)
    assert len(plan_sweep([unlimited], samples=1, done=done).jobs) == 1


def test_what_is_done_is_counted_by_question():
    case = pose_case()
    samples = [
        cells_of(make_record(record_id=f"{number}", case=case, status=status))
        for number, status in enumerate([Status.OK, Status.TIMEOUT])
    ]
    samples += [
        cells_of(make_record(record_id="3", case=case, status=status, doubts=(Doubt.SUSPENDED,)))
        for status in (Status.OK, Status.FAILED)
    ]
    assert count_done(samples) == {
        case.question: Done(samples=2, without_numbers=1, seconds_waited=case.time_limit_seconds, bytes_allowed=0)
    }


# How long it takes


def durations_of(*known):
    """Durations of cases that took so many seconds."""
    return Durations(
        cells_of(make_record(case=case, memory=memory(timeline=[(seconds, 1)]))) for case, seconds in known
    )


def test_a_case_takes_as_long_as_it_took_and_a_new_size_as_the_nearest_that_has_an_hmm_too():
    case = pose_case()
    assert durations_of((case, 4.0), (case, 8.0), (case, 5.0), (pose_case(100), 50.0)).of(case) == 5.0
    known = durations_of((case, 4.0), (pose_case(1000), 40.0), (pose_case(10, states=2), 9.0))
    assert known.of(pose_case(20)) == 4.0
    assert known.of(pose_case(900)) == 40.0
    assert known.of(pose_case(1000, states=3)) == 9.0
    assert known.of(pose_case(backend=BackendName.C)) is None
    assert known.of(pose_case(scenario=Scenario.WARM)) is None


def test_what_is_learnt_on_the_way_counts_and_samples_of_unknown_length_are_counted():
    known = Durations()
    assert known.of(pose_case()) is None
    known.learn(pose_case(), 3.0)
    known.learn(pose_case(), 5.0)
    assert known.of(pose_case()) == 4.0
    assert known.of(pose_case(20)) == 4.0
    for count in (0, 3):
        assert Durations().of_all([Job(case=pose_case(), number=number) for number in range(count)]) == (0.0, count)


def test_a_warm_sample_without_a_cold_one_before_it_fills_its_cache_itself():
    cold, warm = pose_case(), pose_case(scenario=Scenario.WARM)
    known = durations_of((cold, 10.0), (warm, 1.0))
    assert known.of_all([Job(case=warm, number=1), Job(case=warm, number=2)]) == (12.0, 0)
    assert known.of_all([Job(case=cold, number=1), Job(case=warm, number=1)]) == (11.0, 0)


# The run


class FakeExecutor:
    """Gives records at once; `bad` cases give that status, and samples in `suspended` stand still."""

    def __init__(self, bad=None, suspended=()):
        self.bad, self.suspended = bad or {}, list(suspended)
        self.asked = []

    def run(self, jobs, tell):
        for job in jobs:
            self.asked.append(job)
            tell(SampleBegan(job=job))
            record = make_record(
                record_id=f"{len(self.asked)}", case=job.case, status=self.bad.get(job.case, Status.OK)
            )
            if job in self.suspended:
                self.suspended.remove(job)
                record = replace(record, status=Status.FAILED, suspended_seconds=8.0, doubts=(Doubt.SUSPENDED,))
            yield job, record


def test_every_record_is_kept_before_the_next_job_is_taken_and_one_that_cannot_be_ends_the_sweep():
    executor, kept = FakeExecutor(), []
    plan = plan_sweep(pose_cases(3), samples=2, done={})

    def keep(record):
        assert len(kept) == len(executor.asked) - 1
        kept.append(record)

    summary = run_sweep(plan, executor, keep=keep, tell=lambda _: None)
    assert len(kept) == 6
    assert summary.statuses == {Status.OK: 6}

    def full(_):
        raise OSError("the disk is full")

    executor = FakeExecutor()
    with pytest.raises(OSError, match="full"):
        run_sweep(plan, executor, keep=full, tell=lambda _: None)
    assert len(executor.asked) == 1


@pytest.mark.parametrize(("times", "measured", "failed"), [(1, 7, 0), (2, 8, 0), (3, 8, 1), (9, 8, 1)])
def test_a_sample_that_stood_still_is_measured_again_at_the_end_and_skips_no_other(times, measured, failed):
    plan, kept = plan_sweep(pose_cases(3), samples=2, done={}), []
    state, executor = SweepState(plan, Durations()), FakeExecutor(suspended=[plan.jobs[1]] * times)
    summary = run_sweep(plan, executor, keep=kept.append, tell=state.apply)
    assert (len(kept), summary.skipped, executor.asked.count(plan.jobs[1])) == (measured, 0, measured - 5)
    assert executor.asked[:6] == list(plan.jobs)
    assert (summary.statuses[Status.OK], summary.statuses[Status.FAILED]) == (6 - failed, failed)
    assert state.fraction() == 1.0


def test_a_case_that_failed_is_skipped_from_then_on_and_told():
    cases, events = pose_cases(3), []
    executor = FakeExecutor({cases[1]: Status.TIMEOUT})
    plan = plan_sweep(cases, samples=3, done={})
    summary = run_sweep(plan, executor, keep=lambda _: None, tell=events.append)
    assert summary.skipped == 2
    assert summary.statuses == {Status.OK: 6, Status.TIMEOUT: 1}
    assert {event.job.case for event in events if isinstance(event, SampleSkipped)} == {cases[1]}
    assert sum(isinstance(event, SampleEnded) for event in events) == 7


@pytest.mark.parametrize(
    ("at_once", "threads", "is_refused"), [(1, 2, False), (2, 1, False), (2, 2, True), (3, 1, True)]
)
def test_more_samples_than_cores_are_refused_unless_allowed(at_once, threads, is_refused):
    check_cores(at_once=at_once, threads=threads, cores=2, allowed=True)
    if is_refused:
        with pytest.raises(SpecError, match="2"):
            check_cores(at_once=at_once, threads=threads, cores=2, allowed=False)
    else:
        check_cores(at_once=at_once, threads=threads, cores=2, allowed=False)


# The display


def started(**fields):
    clock = FakeClock()
    plan = plan_sweep(pose_cases(4), samples=1, done={})
    return SweepState(plan, Durations(), clock=clock, **fields), plan.jobs, clock


def ended(job, **fields):
    return SampleEnded(job=job, record=make_record(case=job.case, **fields))


def test_the_time_left_follows_from_the_samples_that_ended():
    assert SweepState(Plan(jobs=()), Durations(), clock=FakeClock()).fraction() == 1.0
    state, jobs, clock = started()
    assert state.remaining() == "time left not known yet"
    state.apply(SampleBegan(job=jobs[0]))
    clock.tick(100)
    line = state.apply(ended(jobs[0], time_to_first_gradient_seconds=90.0))
    assert line.startswith(f"[1/4] {jobs[0].case}: first gradient 90.0 s")
    assert "about 5 min left" in line  # three samples of 100 s
    state.apply(SampleBegan(job=jobs[1]))
    clock.tick(60)
    assert "about 4 min left" in state.remaining()  # of the running one, 40 s are left
    assert state.fraction() == 0.25


def test_side_by_side_it_takes_less_time():
    state, jobs, clock = started(at_once=2)
    state.apply(SampleBegan(job=jobs[0]))
    clock.tick(120)
    state.apply(ended(jobs[0]))
    assert "about 3 min left" in state.remaining()


def test_done_running_failed_and_skipped_are_told():
    state, jobs, clock = started()
    failure = Failure(kind="ValueError", message="no data today")
    state.apply(SampleBegan(job=jobs[0]))
    assert "no data today" in state.apply(ended(jobs[0], status=Status.FAILED, failure=failure))
    state.apply(SampleSkipped(job=jobs[1]))
    state.apply(SampleBegan(job=jobs[2], worker="node7"))
    state.apply(SampleProgress(job=jobs[2], event=PhaseBegan(phase=Phase.LINK, at_seconds=1.0)))
    clock.tick(7)
    for text in ("2 of 4 samples", "1 running", "1 without numbers", "1 skipped", "7 s in all"):
        assert text in state.headline()
    (progress,) = state.running.values()
    assert "on node7: link 7.0 s" in progress.line()


def test_a_lost_sample_is_told_and_still_to_be_done():
    state, jobs, _ = started()
    state.apply(SampleBegan(job=jobs[0], worker="node7"))
    assert "lost with node7" in state.apply(SampleLost(job=jobs[0], worker="node7"))
    assert not state.running
    assert "0 of 4 samples" in state.headline()


def test_a_log_has_a_line_a_sample_and_says_what_was_left_out():
    out = io.StringIO()
    case = make_case()
    plan = plan_sweep([case], samples=1, done={})
    grid = Grid(cases=(case,), omitted=(OmittedModel(what="T=300 unrolled", reason="too long"),))
    state = SweepState(plan, Durations(), clock=FakeClock())
    console = Console(file=out, width=200, force_terminal=False)
    with show_sweep(state, describe_plan(grid, plan), console=console) as display:
        display(SampleBegan(job=plan.jobs[0]))
        display(ended(plan.jobs[0]))
        display(Notice(message="the server is away"))
    lines = out.getvalue().splitlines()
    assert lines[:2] == ["1 case, 1 sample to measure", "left out: T=300 unrolled: too long"]
    assert lines[2].startswith(f"[1/1] {case}")
    assert lines[3] == "the server is away"


def test_a_terminal_gets_a_live_display():
    out = io.StringIO()
    state, jobs, clock = started()
    with show_sweep(state, (), console=Console(file=out, width=200, force_terminal=True)) as display:
        display(SampleBegan(job=jobs[0]))
        clock.tick(3)
        display(SampleProgress(job=jobs[0], event=PhaseBegan(phase=Phase.REWRITE, at_seconds=1.0)))
        display(ended(jobs[0]))
    assert "━" in out.getvalue()
    assert "1 of 4 samples" in out.getvalue()


def test_spans_are_as_rough_as_they_are_known():
    assert [span(seconds) for seconds in (5, 90, 7260, 200000)] == ["5 s", "2 min", "2 h 01 min", "2.3 days"]
