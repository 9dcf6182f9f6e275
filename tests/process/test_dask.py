"""Sweeps on real Dask clusters: workers are killed, join late, lack firstgrad; nothing is lost, nothing left behind."""

from __future__ import annotations

import datetime as dt
import gc
import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import replace

import pytest

from builders import FIRSTGRAD, git
from firstgrad.case import Scenario
from firstgrad.errors import FirstgradError
from firstgrad.model import Model
from firstgrad.phase import Phase
from firstgrad.record import Status
from firstgrad.store import Store
from firstgrad.sweep import cluster as cluster_module
from firstgrad.sweep.cluster import Certificates, DaskExecutor
from firstgrad.sweep.plan import Job, Plan
from firstgrad.sweep.rounds import SampleBegan, SampleLost, SampleProgress, run_sweep
from helpers import is_alive, linux_only, make_case, numbers_in, wait_for, write_model

pytest.importorskip("distributed")
pytestmark = [linux_only, pytest.mark.timeout(200)]

START_SECONDS = 60.0
STOP_SECONDS = 10.0
WITHOUT_FIRSTGRAD = "import sys; sys.modules['firstgrad'] = None"

STUCK = """
other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
with open(pids, "a") as file:
    file.write(f"{os.getpid()}\\n{other.pid}\\n")
time.sleep(1000)
"""

CLIENT = """
import sys
from firstgrad.case import BackendName, Case
from firstgrad.model import Model
from firstgrad.sweep.cluster import DaskExecutor
from firstgrad.sweep.plan import Job

model = Model(reference=sys.argv[2], parameters=(("pids", sys.argv[3]),))
jobs = [Job(case=Case(model=model, backend=BackendName.FAKE), number=number) for number in (1, 2)]
list(DaskExecutor(sys.argv[1]).run(iter(jobs), lambda event: None))
"""


class Cluster:
    """A scheduler and its workers, each a process on this machine, all of them stopped at the end."""

    def __init__(self, folder, *, certificates=None):
        self.folder, self.processes = folder, []
        self._options = [
            "--host", "127.0.0.1", "--no-dashboard",
            *([] if certificates is None else [
                "--tls-ca-file", certificates.ca_file, "--tls-cert", certificates.certificate,
                "--tls-key", certificates.key,
            ]),
        ]  # fmt: skip
        self._file = folder / "scheduler.json"
        protocol = [] if certificates is None else ["--protocol", "tls"]
        self.scheduler = self._start("dask_scheduler", "--port", "0", "--scheduler-file", self._file, *protocol)

    @property
    def address(self):
        return json.loads(self._file.read_text())["address"]

    def start_worker(self, *options):
        folder = self.folder / f"worker-{len(self.processes)}"
        return self._start("dask_worker", "--scheduler-file", self._file, "--local-directory", folder, *options)

    def await_workers(self, count):
        """Wait until so many have registered, however many have left since."""
        wait_for(
            lambda: self._log.read_text().count("Register worker") >= count,
            seconds=START_SECONDS,
            what=f"the start of {count} workers",
        )

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, module, *options):
        log = self.folder / f"log-{len(self.processes)}"
        if not self.processes:
            self._log = log
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *self._options, *map(str, options)],
                cwd=self.folder,
                env=os.environ | {"TMPDIR": str(temporary)},
                stdout=file,
                stderr=file,
                process_group=0,  # Linux may end an orphaned group by SIGHUP where one of it is stopped
            )
        self.processes.append(process)
        return process


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Three workers of several threads each, and one that has no firstgrad."""
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        for _ in range(3):
            started.start_worker("--no-nanny", "--nthreads", "3")
        started.start_worker("--no-nanny", "--preload", WITHOUT_FIRSTGRAD)
        started.await_workers(4)
        yield started
    finally:
        started.stop()


def jobs_of(reference, count, **parameters):
    """Jobs that differ in their parameter `n`, or in nothing where there is none."""
    given = [tuple(sorted({"n": n, **parameters}.items())) for n in range(count)]
    return [Job(case=make_case(model=Model(reference=reference, parameters=those)), number=1) for those in given]


MEASURING = 'measuring = int((Path(os.environ["TMPDIR"]).parent / "owner").read_text().split()[0])'
"""The process that owns a worker's private folder, in the words of a model: on a cluster the Dask worker."""


class Swept:
    """Twelve cases on three workers; one is killed in its first case, and another joins."""

    MODEL = (
        MEASURING
        + """
with open(f"{folder}/log", "a") as file:
    file.write(f"{measuring} {n}\\n")
if n == 0 and not os.path.exists(f"{folder}/pids"):
    other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    with open(f"{folder}/pids", "a") as file:
        file.write(f"{os.getpid()}\\n{other.pid}\\n{measuring}\\n")
    time.sleep(1000)
while n in (1, 2) and not os.path.exists(f"{folder}/joined"):
    time.sleep(0.02)
return Model()
"""
    )

    def __init__(self, cluster, folder):
        self.events, self.records, self.warnings = [], [], []
        self._folder, self._cluster = folder, cluster
        reference = write_model(folder, self.MODEL, parameters="n, folder")
        self.jobs = jobs_of(reference, 12, folder=str(folder))
        executor = DaskExecutor(cluster.address, label="a label", threads=1, warn=self.warnings.append)
        killer = threading.Thread(target=self._kill)
        killer.start()
        self.summary = run_sweep(Plan(jobs=tuple(self.jobs)), executor, keep=self.records.append, tell=self._tell)
        killer.join()
        self.begun = [tuple(map(int, line.split())) for line in (folder / "log").read_text().splitlines()]

    def _kill(self):
        pids = self._folder / "pids"
        *self.tree, self.killed = wait_for(
            lambda: numbers_in(pids) if len(numbers_in(pids)) == 3 else [], seconds=START_SECONDS
        )
        os.kill(self.killed, signal.SIGKILL)
        self.joined = self._cluster.start_worker("--no-nanny", "--nthreads", "3").pid

    def _tell(self, event):
        self.events.append(event)
        workers = {begun.worker for begun in self.events if isinstance(begun, SampleBegan)}
        if len(workers) == 4:  # the two that are left hold what waits for this
            (self._folder / "joined").touch()


@pytest.fixture(scope="module")
def swept(cluster, tmp_path_factory):
    return Swept(cluster, tmp_path_factory.mktemp("swept"))


def test_each_sample_has_one_record_although_a_worker_was_killed(swept):
    assert Counter(record.case for record in swept.records) == Counter(job.case for job in swept.jobs)
    assert len({record.record_id for record in swept.records}) == 12
    assert swept.summary.statuses == {Status.OK: 12}
    assert {record.environment.label for record in swept.records} == {"a label"}


def test_what_the_killed_worker_measured_is_measured_again_elsewhere(swept):
    (lost,) = [event for event in swept.events if isinstance(event, SampleLost)]
    assert lost.job == swept.jobs[0]
    first, second = [event for event in swept.events if isinstance(event, SampleBegan) and event.job == lost.job]
    assert first.worker == lost.worker
    assert second.worker != lost.worker
    killed, other = [pid for pid, n in swept.begun if n == 0]
    assert killed == swept.killed != other
    assert len(swept.begun) == 13


def test_nothing_of_the_killed_worker_lives(swept):
    wait_for(lambda: not any(map(is_alive, swept.tree)), seconds=STOP_SECONDS, what="the end of the sample's tree")


def test_a_worker_that_joins_later_gets_work(swept):
    assert swept.joined in {pid for pid, _ in swept.begun}


def test_a_worker_measures_one_sample_at_a_time(swept):
    running = {}
    for event in swept.events:
        if isinstance(event, SampleBegan):
            assert event.worker not in running.values()
            running[event.job] = event.worker
        elif not isinstance(event, SampleProgress):
            running.pop(event.job)
    assert not running


def test_phases_are_passed_on_as_they_begin(swept):
    events = [event.event for event in swept.events if isinstance(event, SampleProgress) and event.job == swept.jobs[3]]
    phases = [event.phase for event in events if type(event).__name__ == "PhaseBegan"]
    assert phases[:3] == [Phase.IMPORT, Phase.BUILD, Phase.LOGP_GRAPH]


def test_a_worker_without_firstgrad_gets_no_work_and_the_others_go_on(swept):
    (line,) = [line for line in swept.warnings if "gets no work" in line]
    assert "firstgrad" in line
    assert "tcp://127.0.0.1" in line


def test_too_many_workers_on_one_machine_are_named_once(swept):
    assert sum("measure each other" in line for line in swept.warnings) == (os.cpu_count() < 3)


def test_a_closed_generator_stops_all_samples(cluster, swept, tmp_path):  # noqa: ARG001 - three workers are left
    pids = tmp_path / "pids"
    reference = write_model(tmp_path, f"if n == 0:\n    return Model()\n{STUCK}", parameters="n, pids")
    running = DaskExecutor(cluster.address).run(iter(jobs_of(reference, 5, pids=str(pids))), lambda _: None)
    _, record = next(running)
    assert record.status is Status.OK
    # The one that measured the first gets no other before its record is taken.
    stuck = wait_for(
        lambda: numbers_in(pids) if len(numbers_in(pids)) == 4 else [], seconds=START_SECONDS, what="the others"
    )
    assert all(map(is_alive, stuck))
    running.close()
    wait_for(lambda: not any(map(is_alive, stuck)), seconds=STOP_SECONDS, what="the end of all samples")


def test_samples_stop_when_the_client_is_killed(cluster, swept, tmp_path):  # noqa: ARG001 - three workers are left
    pids = tmp_path / "pids"
    reference = write_model(tmp_path, STUCK, parameters="pids")
    client = subprocess.Popen([sys.executable, "-c", CLIENT, cluster.address, reference, str(pids)])
    try:
        stuck = wait_for(
            lambda: numbers_in(pids) if len(numbers_in(pids)) == 4 else [], seconds=START_SECONDS, what="both samples"
        )
    finally:
        client.kill()
        client.wait()
    wait_for(lambda: not any(map(is_alive, stuck)), seconds=STOP_SECONDS, what="the end of both samples")


def test_a_sample_that_kills_three_workers_becomes_a_crashed_record(cluster, swept, tmp_path):  # noqa: ARG001 - last
    body = f"{MEASURING}\nassert measuring != {os.getpid()}\ntime.sleep(0.5)\nos.kill(measuring, signal.SIGKILL)"
    (job,) = jobs_of(write_model(tmp_path, f"{body}\ntime.sleep(1000)", parameters="n"), 1)
    events, warnings = [], []
    executor = DaskExecutor(cluster.address, label="a label", warn=warnings.append)
    ((measured, record),) = executor.run(iter([job]), events.append)
    assert measured == job
    assert (record.case, record.status, record.failure.kind) == (job.case, Status.CRASHED, "DaskWorkerLost")
    assert "3 times" in record.failure.message
    assert record.failure.phase is Phase.BUILD
    assert record.environment.host.cores > 0
    assert record.environment.label == "a label"
    assert sum(isinstance(event, SampleLost) for event in events) == 3
    assert len({event.worker for event in events if isinstance(event, SampleBegan)}) == 3


def make_certificates(folder):
    """A self-signed certificate that trusts itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "firstgrad test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Certificates(ca_file=folder / "cert.pem", certificate=folder / "cert.pem", key=folder / "key.pem")


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """A cluster that speaks TLS only; one worker, below a nanny, within a git repository."""
    folder = tmp_path_factory.mktemp("encrypted")
    certificates = make_certificates(folder)
    git(folder, "init", "--quiet")
    started = Cluster(folder, certificates=certificates)
    try:
        started.certificates = certificates
        started.start_worker("--nthreads", "1")
        started.await_workers(1)
        yield started
    finally:
        started.stop()


def sweep_encrypted(cluster, cases):
    executor = DaskExecutor(cluster.address, certificates=cluster.certificates)
    jobs, records = tuple(Job(case=case, number=number) for number, case in enumerate(cases)), []
    run_sweep(Plan(jobs=jobs), executor, keep=records.append, tell=lambda _: None)
    return records


def test_tls_passes_through_and_each_record_has_the_commit_of_its_time(encrypted, tmp_path):
    assert encrypted.address.startswith("tls://")
    commits = []
    for message in ("one", "two"):
        git(encrypted.folder, "commit", "--quiet", "--allow-empty", "-m", message)
        (record,) = sweep_encrypted(encrypted, [make_case(write_model(tmp_path, "return Model()"))])
        assert record.status is Status.OK
        commits.append((record.environment.git_commit, git(encrypted.folder, "rev-parse", "HEAD")))
    assert commits[0] != commits[1]
    assert all(recorded == expected for recorded, expected in commits)


def test_the_command_line_measures_on_a_cluster_and_goes_on_where_it_stopped(encrypted, tmp_path):
    reference, files = write_model(tmp_path, "return Model()", parameters="n"), encrypted.certificates

    def sweep(values, scheduler=encrypted.address):
        options = ["--backend", "fake", "--evaluations", "3", "--param", f"n={values}", "--label", "cluster"]
        tls = ["--tls-ca-file", files.ca_file, "--tls-cert", files.certificate, "--tls-key", files.key]
        command = [FIRSTGRAD, "sweep", reference, *options, "--scheduler", scheduler, *map(str, tls)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)

    first = sweep("1,2")
    assert first.returncode == 0, first.stderr
    second = sweep("1,2,3")
    assert "1 sample to measure, 2 are there already" in second.stderr
    with Store.open(tmp_path / ".firstgrad" / "results.sqlite") as store:
        assert sorted(store.samples(label="cluster").n) == [1, 2, 3]
    wrong = sweep("1", "tcp://127.0.0.1:1")
    assert wrong.returncode == 0  # nothing is left to measure, so nobody is asked
    unreachable = sweep("9", "tcp://127.0.0.1:1")
    assert unreachable.returncode == 2
    assert "no Dask scheduler can be reached there" in unreachable.stderr


def test_a_filled_cache_is_kept_for_the_sweep_and_no_longer(encrypted, tmp_path):
    log, temporary = tmp_path / "log", encrypted.folder / "tmp"
    body = f"print(os.environ.get('MALLOC_TRIM_THRESHOLD_'), file=open({str(log)!r}, 'a'))\nreturn Model()"
    cold = make_case(write_model(tmp_path, body))
    warm = replace(cold, scenario=Scenario.WARM)
    records = sweep_encrypted(encrypted, [cold, warm, warm])
    assert [record.status for record in records] == [Status.OK] * 3
    assert all(record.caches.is_proven for record in records)
    # Three and not five: no warm one had to fill a cache. None: Dask's own setting isn't passed on.
    assert log.read_text().split() == ["None"] * 3
    assert list(temporary.glob("firstgrad-*")) == []


def test_a_scheduler_that_speaks_tls_is_not_reached_without(encrypted):
    executor = DaskExecutor(encrypted.address.replace("tls://", "tcp://"), connect_seconds=1.0)
    with pytest.raises(FirstgradError, match=r"no Dask scheduler can be reached there .* TLS"):
        list(executor.run(iter(jobs_of("a.py:b", 1)), lambda _: None))


def test_a_scheduler_that_is_stopped_is_not_waited_for_without_end(encrypted, tmp_path, monkeypatch):
    for name, seconds in (("_ANSWER_SECONDS", 0.5), ("_SILENT_SECONDS", 1.0), ("_STOP_SECONDS", 0.5)):
        monkeypatch.setattr(cluster_module, name, seconds)
    reference = write_model(tmp_path, "time.sleep(1000)")
    executor = DaskExecutor(encrypted.address, certificates=encrypted.certificates)
    scheduler = encrypted.scheduler

    def tell(event):
        if isinstance(event, SampleBegan):
            scheduler.send_signal(signal.SIGSTOP)

    try:
        with pytest.raises(FirstgradError, match="the Dask scheduler has not answered for"):
            next(executor.run(iter(jobs_of(reference, 1)), tell))
    finally:
        scheduler.send_signal(signal.SIGCONT)


def test_the_sweep_ends_with_an_error_when_the_scheduler_does(encrypted, tmp_path):
    pids = tmp_path / "pids"
    jobs = iter(jobs_of(write_model(tmp_path, STUCK, parameters="n, pids"), 1, pids=str(pids)))
    executor = DaskExecutor(encrypted.address, certificates=encrypted.certificates, connect_seconds=3.0)
    killer = threading.Thread(target=lambda: (wait_for(lambda: numbers_in(pids)), encrypted.scheduler.kill()))
    killer.start()
    with pytest.raises(FirstgradError, match="the Dask scheduler is gone"):
        list(executor.run(jobs, lambda _: None))
    killer.join()
    wait_for(lambda: not any(map(is_alive, numbers_in(pids))), seconds=STOP_SECONDS, what="the end of the sample")


def test_a_scheduler_that_is_not_there_is_named():
    executor = DaskExecutor("tcp://127.0.0.1:1", connect_seconds=1.0)
    with pytest.raises(FirstgradError, match=r"tcp://127\.0\.0\.1:1: no Dask scheduler can be reached there"):
        list(executor.run(iter(jobs_of("a.py:b", 1)), lambda _: None))


@pytest.fixture
def stranger():
    """Something else that listens, and sends its one answer to whoever connects: a function of that answer."""
    with ExitStack() as stack:

        def listen(answer: bytes) -> str:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve() -> None:
                with suppress(OSError), server.accept()[0] as connection:
                    connection.sendall(answer)
                    connection.settimeout(20)
                    while connection.recv(4096):
                        pass

            threading.Thread(target=serve, daemon=True).start()
            return f"tcp://127.0.0.1:{server.getsockname()[1]}"

        yield listen


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "isn't Dask"),
        (bytes(range(256)) * 100, "isn't Dask"),
        (b"", r"no answer within 0\.5 s"),
    ],
)
def test_a_stranger_at_the_schedulers_address_is_told_at_once(stranger, answer, why):
    began = time.monotonic()
    executor = DaskExecutor(stranger(answer), connect_seconds=0.5 if not answer else 20.0)
    with pytest.raises(FirstgradError, match=f"no Dask scheduler can be reached there .*{why}"):
        next(executor.run(iter(jobs_of("some.py:build", 1)), print))
    gc.collect()  # a client of Dask's that failed to connect would take its half minute now
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("address", ["nonsense", "tcp://[::1", "zzz://host:1", "", "tcp://127.0.0.1:99999999999"])
def test_an_address_that_is_none_is_told_at_once(address):
    began = time.monotonic()
    with pytest.raises(FirstgradError, match="no Dask scheduler can be reached there"):
        next(DaskExecutor(address, connect_seconds=3.0).run(iter(jobs_of("some.py:build", 1)), print))
    gc.collect()
    assert time.monotonic() - began < 15


def test_no_cluster_is_needed_where_there_is_nothing_to_measure():
    assert list(DaskExecutor("tcp://127.0.0.1:1").run(iter([]), lambda _: None)) == []
