import io

from rich.console import Console

from firstgrad.case import BackendName, Case
from firstgrad.cli.display import SweepState, describe_plan, show_sweep, span
from firstgrad.measure.events import PhaseBegan
from firstgrad.pose.spec import PoseSpec
from firstgrad.record import Failure, Phase, Status
from firstgrad.sweep.grid import Grid, OmittedModel
from firstgrad.sweep.plan import Durations, Plan, plan_sweep
from firstgrad.sweep.rounds import Notice, SampleBegan, SampleEnded, SampleLost, SampleProgress, SampleSkipped
from helpers import FakeClock, make_record

CASES = tuple(Case(model=PoseSpec(n_timesteps=steps), backend=BackendName.JAX) for steps in (10, 20, 30, 40))


def started(**fields):
    clock = FakeClock()
    plan = plan_sweep(CASES, samples=1, done={})
    return SweepState(plan, Durations(), clock=clock, **fields), plan.jobs, clock


def ended(job, **fields):
    return SampleEnded(job=job, record=make_record(case=job.case, **fields))


def test_the_time_left_follows_from_the_samples_that_ended():
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
    line = state.apply(ended(jobs[0], status=Status.FAILED, failure=failure))
    assert "no data today" in line
    state.apply(SampleSkipped(job=jobs[1]))
    state.apply(SampleBegan(job=jobs[2], worker="node7"))
    state.apply(SampleProgress(job=jobs[2], event=PhaseBegan(phase=Phase.LINK, at_seconds=1.0)))
    clock.tick(7)
    headline = state.headline()
    for text in ("2 of 4 samples", "1 running", "1 without numbers", "1 skipped", "7 s in all"):
        assert text in headline
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
    plan = plan_sweep(CASES[:1], samples=1, done={})
    grid = Grid(cases=CASES[:1], omitted=(OmittedModel(what="T=300 unrolled", reason="too long"),))
    console = Console(file=out, width=200, force_terminal=False)
    state = SweepState(plan, Durations(), clock=FakeClock())
    with show_sweep(state, describe_plan(grid, plan), console=console) as display:
        display(SampleBegan(job=plan.jobs[0]))
        display(ended(plan.jobs[0]))
        display(Notice(message="the server is away"))
    lines = out.getvalue().splitlines()
    assert lines[0] == "1 case, 1 sample to measure"
    assert lines[1] == "left out: T=300 unrolled: too long"
    assert lines[2].startswith("[1/1] pose T=10")
    assert lines[3] == "the server is away"


def test_a_terminal_gets_a_live_display():
    out = io.StringIO()
    plan = plan_sweep(CASES, samples=1, done={})
    console = Console(file=out, width=200, force_terminal=True)
    clock = FakeClock()
    with show_sweep(SweepState(plan, Durations(), clock=clock), (), console=console) as display:
        display(SampleBegan(job=plan.jobs[0]))
        clock.tick(3)
        display(SampleProgress(job=plan.jobs[0], event=PhaseBegan(phase=Phase.REWRITE, at_seconds=1.0)))
        display(ended(plan.jobs[0]))
    assert "━" in out.getvalue()
    assert "1 of 4 samples" in out.getvalue()


def test_an_empty_plan_is_whole():
    assert SweepState(Plan(jobs=()), Durations(), clock=FakeClock()).fraction() == 1.0


def test_spans_are_as_rough_as_they_are_known():
    assert [span(seconds) for seconds in (5, 90, 7260, 200000)] == ["5 s", "2 min", "2 h 01 min", "2.3 days"]
