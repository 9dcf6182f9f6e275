from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from firstgrad.case import BackendName, Case, Scenario
from firstgrad.pose.spec import PoseSpec
from firstgrad.record import Status
from firstgrad.row import make_row
from firstgrad.sweep.plan import Done, Job, count_done, plan_sweep
from helpers import make_record


def cases(count, *, scenarios=(Scenario.COLD,), **fields):
    return [
        Case(model=PoseSpec(n_timesteps=steps), backend=BackendName.FAKE, scenario=scenario, **fields)
        for steps in range(1, count + 1)
        for scenario in scenarios
    ]


@given(count=st.integers(1, 8), samples=st.integers(1, 4), seed=st.integers(0, 99))
def test_every_sample_is_planned_once_and_rounds_follow_each_other(count, samples, seed):
    plan = plan_sweep(cases(count), samples=samples, done={}, seed=seed)
    assert len(set(plan.jobs)) == len(plan.jobs) == count * samples
    assert [job.number for job in plan.jobs] == sorted(job.number for job in plan.jobs)


@given(count=st.integers(1, 8), samples=st.integers(1, 3), cut=st.integers(0, 30), seed=st.integers(0, 9))
def test_a_resumed_plan_goes_on_where_the_first_one_stopped(count, samples, cut, seed):
    whole = plan_sweep(cases(count), samples=samples, done={}, seed=seed).jobs
    done = {}
    for job in whole[:cut]:
        done[job.case.question] = Done(samples=done.get(job.case.question, Done()).samples + 1)
    resumed = plan_sweep(cases(count), samples=samples, done=done, seed=seed)
    assert resumed.jobs == whole[cut:]
    assert resumed.stored == len(whole[:cut])


def test_the_seed_decides_the_order():
    orders = {plan_sweep(cases(8), samples=1, done={}, seed=seed).jobs for seed in range(10)}
    assert len(orders) == 10
    assert plan_sweep(cases(8), samples=1, done={}, seed=3).jobs in orders


def test_scenarios_of_one_model_follow_each_other_cold_first():
    jobs = plan_sweep(cases(5, scenarios=(Scenario.HOT, Scenario.WARM, Scenario.COLD)), samples=1, done={}).jobs
    for number in range(0, len(jobs), 3):
        trio = [job.case for job in jobs[number : number + 3]]
        assert [case.scenario for case in trio] == ["cold", "warm", "hot"]
        assert len({case.model for case in trio}) == 1


def test_other_limits_and_evaluations_ask_the_same_question():
    (before,) = cases(1, time_limit_seconds=60.0, evaluations=5)
    (now,) = cases(1, time_limit_seconds=None, evaluations=200)
    assert not plan_sweep([now], samples=1, done={before.question: Done(samples=1)}).jobs


def test_a_case_that_failed_gets_no_more_samples_unless_asked():
    (case,) = cases(1)
    done = {case.question: Done(samples=1, without_numbers=1)}
    plan = plan_sweep([case], samples=3, done=done)
    assert not plan.jobs
    assert plan.settled == (case,)
    again = plan_sweep([case], samples=3, done=done, retry_failed=True)
    assert [job.number for job in again.jobs] == [1, 2, 3]


def test_a_censored_case_is_measured_again_under_a_higher_limit_only():
    (case,) = cases(1, time_limit_seconds=100.0)
    done = {case.question: Done(samples=1, without_numbers=1, seconds_waited=100.0)}
    assert not plan_sweep([case], samples=2, done=done).jobs
    patient = replace(case, time_limit_seconds=200.0)
    assert [job.number for job in plan_sweep([patient], samples=2, done=done).jobs] == [1, 2]
    unlimited = replace(case, time_limit_seconds=None)
    assert len(plan_sweep([unlimited], samples=1, done=done).jobs) == 1


def test_what_is_done_is_counted_by_question():
    (case,) = cases(1)
    rows = [
        make_row(make_record(record_id=f"{number}", case=case, status=status))
        for number, status in enumerate([Status.OK, Status.TIMEOUT])
    ]
    assert count_done(rows) == {
        case.question: Done(samples=2, without_numbers=1, seconds_waited=case.time_limit_seconds, bytes_allowed=0)
    }


def test_a_job_names_its_case_and_number():
    (case,) = cases(1)
    assert plan_sweep([case], samples=1, done={}).jobs == (Job(case=case, number=1),)
