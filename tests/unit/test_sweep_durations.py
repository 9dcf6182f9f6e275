import pytest

from firstgrad.case import BackendName, Case, Scenario
from firstgrad.pose.spec import HmmSpec, PoseSpec
from firstgrad.record import Memory, MemoryPoint
from firstgrad.row import make_row
from firstgrad.sweep.plan import Durations, Job
from helpers import make_record


def case(steps=10, *, backend=BackendName.JAX, scenario=Scenario.COLD, hmm=None, **fields):
    return Case(model=PoseSpec(n_timesteps=steps, hmm=hmm, **fields), backend=backend, scenario=scenario)


def row(asked, seconds):
    timeline = (MemoryPoint(at_seconds=seconds, rss_bytes=1),)
    return make_row(make_record(case=asked, memory=Memory(peak_rss_bytes=1, timeline=timeline)))


def test_a_case_takes_as_long_as_it_took():
    known = Durations([row(case(), 4.0), row(case(), 8.0), row(case(), 5.0), row(case(100), 50.0)])
    assert known.of(case()) == 5.0


def test_a_new_size_takes_as_long_as_the_nearest():
    known = Durations([row(case(10), 4.0), row(case(1000), 40.0)])
    assert known.of(case(20)) == 4.0
    assert known.of(case(900)) == 40.0


def test_with_an_hmm_the_nearest_has_one_too():
    hmm = HmmSpec(n_states=2)
    known = Durations([row(case(100), 4.0), row(case(10, hmm=hmm), 9.0)])
    assert known.of(case(100, hmm=HmmSpec(n_states=3))) == 9.0


def test_nothing_like_it_is_not_known():
    known = Durations([row(case(), 4.0)])
    assert known.of(case(backend=BackendName.C)) is None
    assert known.of(case(scenario=Scenario.WARM)) is None


def test_what_is_learnt_on_the_way_counts():
    known = Durations()
    assert known.of(case()) is None
    known.learn(case(), 3.0)
    known.learn(case(), 5.0)
    assert known.of(case()) == 4.0
    assert known.of(case(20)) == 4.0


def test_a_warm_sample_without_a_cold_one_before_it_fills_its_cache_itself():
    warm = case(scenario=Scenario.WARM)
    known = Durations([row(case(), 10.0), row(warm, 1.0)])
    assert known.of_all([Job(case=warm, number=1), Job(case=warm, number=2)]) == (12.0, 0)
    assert known.of_all([Job(case=case(), number=1), Job(case=warm, number=1)]) == (11.0, 0)


@pytest.mark.parametrize("count", [0, 3])
def test_samples_of_unknown_length_are_counted(count):
    jobs = [Job(case=case(backend=BackendName.C), number=number) for number in range(count)]
    assert Durations().of_all(jobs) == (0.0, count)
