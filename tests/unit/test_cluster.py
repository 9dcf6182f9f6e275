"""What decides on a Dask cluster, with planted workers: who is fit, who is lost, what becomes a record."""

from __future__ import annotations

import sys
from collections import deque

import pytest

from firstgrad.codec import from_json, to_json
from firstgrad.errors import FirstgradError, SpecError
from firstgrad.measuring.environment import installed_version
from firstgrad.phase import Phase
from firstgrad.record import SCHEMA_VERSION, Status
from firstgrad.sweep import cluster, remote
from firstgrad.sweep.cluster import Attempt, Certificates, DaskExecutor, Dispatch
from firstgrad.sweep.plan import Job
from firstgrad.sweep.rounds import SampleBegan, SampleLost
from firstgrad.sweep.workers import ClusterWorker, Workers, why_failed, why_unfit
from helpers import make_case, make_environment, make_record

HERE = installed_version("firstgrad")


def make_info(**fields):
    known = {
        "firstgrad": HERE,
        "schema_version": SCHEMA_VERSION,
        "process": "p",
        "machine": "node07",
        "cores": 4,
        "environment": to_json(make_environment(label="a label")),
    }
    return remote.WorkerInfo(**known | fields)


def make_worker(address="tcp://a:1", **fields):
    worker = ClusterWorker(address=address)
    worker.take_info(to_json(make_info(**fields)))
    return worker


def test_a_worker_with_the_same_versions_is_fit():
    worker = make_worker()
    assert why_unfit(make_info()) == ""
    assert worker.is_fit
    assert worker.environment == make_environment(label="a label")
    assert worker.name == "node07 (tcp://a:1)"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"firstgrad": "0.0.7"}, f"has firstgrad 0.0.7, and here is {HERE}"),
        ({"firstgrad": ""}, f"has firstgrad of no version, and here is {HERE}"),
        ({"schema_version": 99}, f"writes records of schema 99, and here is {SCHEMA_VERSION}"),
    ],
)
def test_a_worker_with_another_version_is_refused_and_both_are_named(fields, expected):
    # What another version calls an environment can't be read, and isn't.
    worker = make_worker(**fields, environment='{"of": "another kind"}')
    assert worker.refused.startswith(expected)
    assert not worker.is_fit


@pytest.mark.parametrize("text", ["", "{}", '{"firstgrad": "9"}', to_json(make_info(environment="{}"))])
def test_a_worker_that_cannot_be_understood_is_refused(text):
    worker = ClusterWorker(address="tcp://a:1")
    worker.take_info(text)
    assert "can't be understood" in worker.refused


def test_why_a_worker_failed_is_one_line():
    missing = ModuleNotFoundError("No module named 'firstgrad'")
    assert why_failed(missing).endswith(f"No module named 'firstgrad'): install firstgrad {HERE} there")
    graph = RuntimeError("Error during deserialization of the task graph. This frequently\noccurs if")
    assert "the scheduler has no such firstgrad" in why_failed(graph)
    assert why_failed(OSError("no space left\nat all")) == "can't measure (OSError: no space left)"


def workers_of(*planted):
    workers = Workers()
    joined, _ = workers.update([worker.address for worker in planted])
    for there, known in zip(joined, planted, strict=True):
        there.info, there.environment, there.refused = known.info, known.environment, known.refused
    return workers


def test_it_is_told_who_joined_and_who_left():
    workers = Workers()
    joined, left = workers.update(["a", "b"])
    assert ([worker.address for worker in joined], left) == (["a", "b"], [])
    joined, left = workers.update(["b", "c"])
    assert ([worker.address for worker in joined], [worker.address for worker in left]) == (["c"], ["a"])


def test_a_removed_worker_that_is_still_there_joins_anew():
    workers = workers_of(make_worker("a"))
    (first,) = workers
    workers.remove(first)
    ((second,), left) = workers.update(["a"])
    assert left == []
    assert second is not first
    workers.remove(first)  # the old one again: no harm to the new one
    assert list(workers) == [second]


def test_only_fit_workers_without_work_are_free():
    workers = workers_of(
        make_worker("a"), make_worker("b"), make_worker("c", firstgrad="0"), ClusterWorker(address="d")
    )
    a, b, *_ = workers
    b.is_busy = True
    assert workers.free == [a]


def test_workers_are_hopeless_only_where_no_fit_worker_may_come_back():
    assert not Workers().is_hopeless
    assert not workers_of(ClusterWorker(address="a")).is_hopeless
    assert workers_of(make_worker("a", firstgrad="0")).is_hopeless
    workers = workers_of(make_worker("a", firstgrad="0"), make_worker("b"))
    assert not workers.is_hopeless
    workers.update(["a"])
    assert not workers.is_hopeless


def test_crowded_machines_are_told_once_each():
    workers = workers_of(*(make_worker(name) for name in "abc"), make_worker("d", machine="other"))
    assert workers.newly_crowded(threads=1) == []
    (line,) = workers.newly_crowded(threads=2)
    assert line.startswith("3 workers with 2 threads each are on node07, which has 4 cores")
    assert workers.newly_crowded(threads=2) == []
    assert len(workers.newly_crowded(threads=5)) == 1


def test_a_sample_that_is_given_up_has_a_whole_record():
    job = Job(case=make_case(), number=2)
    attempt = Attempt(None, make_worker(), job, began_at="2025-01-01T00:00:00.000+00:00", phase=Phase.LINK)
    record = attempt.to_record(["x, it left", "y, it left", "z, it left"])
    assert (record.case, record.status, record.failure.phase) == (make_case(), Status.CRASHED, Phase.LINK)
    assert record.environment.label == "a label"
    assert record.started_at == attempt.began_at
    assert "3 times, at last in phase link: x, it left; y, it left; z, it left" in record.failure.message
    assert "--memory-limit" in record.failure.message
    assert from_json(to_json(record), type(record)) == record
    with pytest.raises(ValueError, match="nothing was measured"):
        Attempt(None, make_worker()).to_record([])


class FakeFuture:
    """A Dask future that is over at once."""

    def __init__(self, found, key=""):
        self._found, self.key = found, key
        self.status = "error" if isinstance(found, Exception) else "finished"

    def add_done_callback(self, call):
        call(self)

    def exception(self):
        return self._found

    def result(self, timeout):  # noqa: ARG002 - Dask's
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


class CancelledFuture(FakeFuture):
    def __init__(self, key):
        super().__init__(RuntimeError("cancelled"), key)
        self.status = "cancelled"


class FakeClient:
    """A cluster whose workers answer at once; `measure` says what each gives for an order."""

    status = "running"

    def __init__(self, measure, *, looks=None, infos=None):
        self._measure, self._looks, self._infos = measure, deque(looks or [["a", "b"]]), infos or {}
        self.requests, self.cancelled = [], []

    def subscribe_topic(self, topic, handler):
        self.topic, self.handler = topic, handler

    def nthreads(self, callback_timeout):  # noqa: ARG002 - Dask's
        seen = self._looks[0] if len(self._looks) == 1 else self._looks.popleft()
        if isinstance(seen, Exception):
            raise seen
        return dict.fromkeys(seen, 8)

    def cancel(self, futures):
        self.cancelled += futures

    def submit(self, function, *given, key, workers, **settings):
        assert settings == {"allow_other_workers": False, "pure": False, "retries": 0}
        (address,) = workers
        if function is remote.measure_sample:
            request = from_json(given[0], remote.MeasureRequest)
            self.requests.append(address)
            found = self._measure(address, request, key)
            return found if isinstance(found, FakeFuture) else FakeFuture(found, key)
        if function is remote.describe_worker:
            return FakeFuture(to_json(self._infos.get(address, make_info())), key)
        return FakeFuture(None if function is remote.forget else "p", key)


def good(_address, request, _key):
    return to_json(make_record(case=request.case))


@pytest.fixture
def sweep(monkeypatch):
    """Runs jobs on a fake client, and looks for workers without pause."""
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.0)

    def run(client, count=2, jobs=None):
        events, warnings = [], []
        jobs = jobs or iter([Job(case=make_case(evaluations=n), number=1) for n in range(count)])
        executor = DaskExecutor("", warn=warnings.append)
        dispatch = Dispatch(executor, client, jobs, events.append)
        return [(job, record.status) for job, record in dispatch.run()], events, warnings

    return run


def test_each_job_comes_back_once(sweep):
    client = FakeClient(good)
    done, events, warnings = sweep(client, 5)
    assert sorted(job.case.evaluations for job, _ in done) == [0, 1, 2, 3, 4]
    assert [type(event) for event in events] == [SampleBegan] * 5
    assert set(client.requests) == {"a", "b"}
    assert warnings == []


def test_a_job_is_asked_for_only_when_a_worker_is_free_or_nothing_runs(sweep):
    asked = []

    def jobs():
        for n in range(4):
            asked.append(n)
            yield Job(case=make_case(evaluations=n), number=1)

    def measure(address, request, key):
        # One free worker: what it measures is the only job that was asked for and isn't over.
        assert len(asked) == request.case.evaluations + 1
        return good(address, request, key)

    done, _, _ = sweep(FakeClient(measure, looks=[["a"]]), jobs=jobs())
    assert len(done) == 4


def test_a_worker_that_fails_twice_in_a_row_is_refused_and_the_other_measures_all(sweep):
    def measure(address, request, key):
        return OSError("no space left") if address == "a" else good(address, request, key)

    client = FakeClient(measure)
    done, events, warnings = sweep(client, 6)
    assert [status for _, status in done] == [Status.OK] * 6
    assert client.requests.count("a") == 2
    assert sum(isinstance(event, SampleLost) for event in events) == 2
    assert warnings == [
        "the Dask worker node07 (a) gets no work: it can't measure (OSError: no space left)",
    ]


def test_the_sweep_ends_where_no_worker_can_measure_or_all_are_of_another_version(sweep):
    client = FakeClient(lambda *_: OSError("no space left"), looks=[["a"]])
    with pytest.raises(FirstgradError, match=r"no worker of the Dask cluster is fit: node07 \(a\) can't measure"):
        sweep(client)
    client = FakeClient(good, infos={"a": make_info(firstgrad="7"), "b": make_info(schema_version=99)})
    with pytest.raises(FirstgradError, match=r"node07 \(a\) has firstgrad 7.*; node07 \(b\) writes records of schema"):
        sweep(client)
    assert client.requests == []


def test_an_order_that_came_to_another_process_is_given_again_after_asking_who_is_there(sweep):
    infos = {"a": make_info(process="first")}

    def measure(address, request, key):
        if request.process == "first":
            infos["a"] = make_info(process="second")
            return remote.OtherProcessError("first")
        return good(address, request, key)

    done, events, _ = sweep(FakeClient(measure, looks=[["a"]], infos=infos), 1)
    assert [status for _, status in done] == [Status.OK]
    assert [type(event) for event in events] == [SampleBegan, SampleLost, SampleBegan]


def test_what_was_cancelled_with_the_scheduler_does_not_count_as_a_lost_worker(sweep):
    answers = deque([CancelledFuture] * 5)

    def measure(address, request, key):
        return answers.popleft()(key) if answers else good(address, request, key)

    done, _, _ = sweep(FakeClient(measure, looks=[["a"]]), 1)
    assert [status for _, status in done] == [Status.OK]


def test_a_sample_is_given_up_after_three_lost_workers_and_the_others_are_measured(sweep):
    def measure(address, request, key):
        return remote.NotWantedError() if request.case.evaluations == 0 else good(address, request, key)

    client = FakeClient(measure)
    done, events, _ = sweep(client, 3)
    assert sorted((job.case.evaluations, status) for job, status in done) == [
        (0, Status.CRASHED),
        (1, Status.OK),
        (2, Status.OK),
    ]
    assert sum(isinstance(event, SampleLost) for event in events) == 3


def test_waiting_for_workers_is_told_once_a_time(sweep):
    client = FakeClient(good, looks=[[], [], [], ["a"]])
    done, _, warnings = sweep(client, 1)
    assert len(done) == 1
    assert warnings == ["no worker is there to measure on; waiting for one"]


def test_a_scheduler_that_is_silent_for_a_while_is_told_and_waited_for(sweep):
    done, _, warnings = sweep(FakeClient(good, looks=[["a"], TimeoutError(), OSError("lost"), ["a"]]), 3)
    assert len(done) == 3
    assert [warning.partition(" for ")[0] for warning in warnings] == ["the Dask scheduler has not answered"]


def test_events_of_a_given_up_attempt_are_not_told(sweep):
    keys = []

    def measure(address, request, key):
        keys.append(key)
        began = '{"at_seconds":0.5,"phase":"link"}'
        client.handler((0.0, (keys[0], "PhaseBegan", began)))
        return remote.NotWantedError() if len(keys) == 1 else good(address, request, key)

    client = FakeClient(measure, looks=[["a"]])
    _, events, _ = sweep(client, 1)
    # The first time it is heard before the attempt is over; the second time of an attempt that was given up.
    assert len(keys) == 2
    assert sum(type(event).__name__ == "SampleProgress" for event in events) == 1


def test_missing_distributed_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    running = DaskExecutor("tcp://127.0.0.1:1").run(iter([Job(case=make_case(), number=1)]), lambda _: None)
    with pytest.raises(FirstgradError, match=r"pip install 'firstgrad\[dask\]'"):
        next(running)


def test_certificates_are_given_all_or_none(tmp_path):
    file = tmp_path / "file.pem"
    file.touch()
    assert Certificates.of_options(ca_file=None, certificate=None, key=None) is None
    whole = Certificates.of_options(ca_file=str(file), certificate=str(file), key=str(file))
    assert whole == Certificates(ca_file=file, certificate=file, key=file)
    with pytest.raises(SpecError, match=r"--tls-key: .* belong together"):
        Certificates.of_options(ca_file=str(file), certificate=str(file), key=None)
    with pytest.raises(SpecError, match=r"--tls-cert: .*absent: no such file"):
        Certificates.of_options(ca_file=str(file), certificate=str(tmp_path / "absent"), key=str(file))
