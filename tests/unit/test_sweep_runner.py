import pytest

from firstgrad.case import BackendName, Case
from firstgrad.errors import SpecError
from firstgrad.pose.spec import PoseSpec
from firstgrad.record import Status
from firstgrad.sweep.local import check_cores
from firstgrad.sweep.plan import plan_sweep
from firstgrad.sweep.rounds import SampleEnded, SampleSkipped, run_sweep
from helpers import make_record

CASES = [Case(model=PoseSpec(n_timesteps=steps), backend=BackendName.FAKE) for steps in (1, 2, 3)]


class FakeExecutor:
    """Gives records at once; `bad` cases give that status."""

    def __init__(self, bad=None):
        self.bad = bad or {}
        self.asked = []

    def run(self, jobs, tell):  # noqa: ARG002 - an executor's signature
        for job in jobs:
            self.asked.append(job)
            status = self.bad.get(job.case, Status.OK)
            yield job, make_record(record_id=f"{len(self.asked)}", case=job.case, status=status)


def test_every_record_is_kept_before_the_next_job_is_taken():
    executor, kept = FakeExecutor(), []

    def keep(record):
        assert len(kept) == len(executor.asked) - 1
        kept.append(record)

    summary = run_sweep(plan_sweep(CASES, samples=2, done={}), executor, keep=keep, tell=lambda _: None)
    assert len(kept) == 6
    assert summary.statuses == {Status.OK: 6}


def test_a_case_that_failed_is_skipped_from_then_on_and_told():
    executor, events = FakeExecutor({CASES[1]: Status.TIMEOUT}), []
    plan = plan_sweep(CASES, samples=3, done={})
    summary = run_sweep(plan, executor, keep=lambda _: None, tell=events.append)
    assert summary.skipped == 2
    assert summary.statuses == {Status.OK: 6, Status.TIMEOUT: 1}
    assert {event.job.case for event in events if isinstance(event, SampleSkipped)} == {CASES[1]}
    assert sum(isinstance(event, SampleEnded) for event in events) == 7


def test_a_record_that_cannot_be_kept_ends_the_sweep():
    def keep(_):
        raise OSError("the disk is full")

    executor = FakeExecutor()
    with pytest.raises(OSError, match="full"):
        run_sweep(plan_sweep(CASES, samples=1, done={}), executor, keep=keep, tell=lambda _: None)
    assert len(executor.asked) == 1


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
