"""Measures on the workers of a Dask cluster, one sample a worker; what a lost worker had is handed out again."""

from __future__ import annotations

import asyncio
import itertools
import logging
import pkgutil
import queue
import time
import uuid
from collections import defaultdict, deque
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.codec import DecodeError, from_json, to_json
from firstgrad.doubts import find_doubts
from firstgrad.errors import FirstgradError, SpecError
from firstgrad.measuring.events import MemoryNow, PhaseBegan, read_event
from firstgrad.record import Failure, Record, Status
from firstgrad.sweep import remote
from firstgrad.sweep.rounds import SampleBegan, SampleLost, SampleProgress
from firstgrad.sweep.workers import Workers, why_failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firstgrad.measuring.events import Event
    from firstgrad.phase import Phase
    from firstgrad.sweep.plan import Job
    from firstgrad.sweep.rounds import SweepEvent
    from firstgrad.sweep.workers import ClusterWorker

MOST_LOSSES = 3  # a sample that lost so many workers gets a record that says so, and is not tried again
_MOST_FAILURES = 2
_CONNECT_SECONDS = 15.0
_LOOK_SECONDS = 1.0
_ANSWER_SECONDS = 15.0
_SILENT_SECONDS = 300.0
_RESULT_SECONDS = 30.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Files for TLS: who may be trusted, and who this side is. None of them, or all."""

    ca_file: Path
    certificate: Path
    key: Path

    @classmethod
    def of_options(cls, *, ca_file: str | None, certificate: str | None, key: str | None) -> Certificates | None:
        """Check what was given; none where nothing was: Dask's own configuration then decides.

        Raises SpecError where one is missing, or is no file.
        """
        given = {"--tls-ca-file": ca_file, "--tls-cert": certificate, "--tls-key": key}
        if not any(given.values()):
            return None
        paths = []
        for name, path in given.items():
            if path is None:
                raise SpecError(name, "--tls-ca-file, --tls-cert and --tls-key belong together: give all three")
            if not Path(path).is_file():
                raise SpecError(name, f"{path}: no such file")
            paths.append(Path(path))
        return cls(ca_file=paths[0], certificate=paths[1], key=paths[2])


@dataclass(slots=True)
class Attempt:
    """What was asked of a worker: to measure a sample, or where there is no job, to say what it is."""

    future: Any
    worker: ClusterWorker
    job: Job | None = None
    began_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    phase: Phase | None = None  # the last one that was heard of

    def to_record(self, losses: list[str]) -> Record:
        """Make the record of a sample that is not tried again, since it was lost too often: each time where and why."""
        if self.job is None or self.worker.environment is None:
            raise ValueError("nothing was measured")
        where = f", at last in phase {self.phase}" if self.phase else ""
        record = Record(
            record_id=uuid.uuid4().hex,
            started_at=self.began_at,
            case=self.job.case,
            status=Status.CRASHED,
            environment=self.worker.environment,
            failure=Failure(
                kind="DaskWorkerLost",
                message=f"lost with its Dask worker {len(losses)} times{where}: {'; '.join(losses)}. Does it take all "
                "the memory of the machine, or of the batch job? Then set --memory-limit below that",
                phase=self.phase,
            ),
        )
        return replace(record, doubts=find_doubts(record))


@dataclass(slots=True)
class DaskExecutor:
    """Measures samples on the workers of any Dask cluster that is there already.

    Each worker measures one sample at a time, however many threads it has. Workers may come and go: a sample whose
    worker is lost is measured again on another. Nothing is lost of what was measured.

    `address` is the scheduler's: ``tcp://HOST:PORT``, ``tls://HOST:PORT``, or ``HOST:PORT``; without `certificates` TLS
    is left to Dask's configuration. `warn` takes a line about the cluster that people should read; Python's log where
    left out. The others are as for `firstgrad.sweep.local.LocalExecutor`.
    """

    address: str
    _: KW_ONLY
    label: str = ""
    threads: int = 1
    certificates: Certificates | None = None
    warn: Callable[[str], None] = logging.getLogger(__name__).warning
    connect_seconds: float = _CONNECT_SECONDS

    def run(self, jobs: Iterator[Job], tell: Callable[[SweepEvent], None]) -> Iterator[tuple[Job, Record]]:
        """Measure jobs; see `firstgrad.sweep.rounds.Executor`.

        Raises FirstgradError where the scheduler can't be reached or has ended, or none of its workers is fit.
        """
        first = next(jobs, None)
        if first is None:  # nothing to measure: then no cluster is needed
            return
        with self._connect() as client:
            yield from Dispatch(self, client, itertools.chain([first], jobs), tell).run()

    @contextmanager
    def _connect(self) -> Iterator[Any]:
        """Connect a `distributed.Client` while the block runs, with errors that say what to do."""
        try:
            from distributed import Client, Security
        except ImportError as error:
            raise FirstgradError(
                f"sweeps on many machines need {error.name!r}, which is not here. Install it: "
                "pip install 'firstgrad[dask]'"
            ) from error
        address, security = self.address, None
        if (files := self.certificates) is not None:
            address = address if "://" in address else f"tls://{address}"
            security = Security(
                tls_ca_file=str(files.ca_file),
                tls_client_cert=str(files.certificate),
                tls_client_key=str(files.key),
                require_encryption=True,
            )
        try:
            asyncio.run(self._ask(address, security or Security()))
            client = Client(
                address, security=security, timeout=self.connect_seconds, set_as_default=False, name="firstgrad-sweep"
            )
        except Exception as error:
            why = str(error).strip().partition("\n")[0] or f"no answer within {self.connect_seconds:g} s"
            if isinstance(error, MemoryError):  # other bytes, taken for the length of a message
                why = "what answers there isn't Dask"
            raise FirstgradError(
                f"{address}: no Dask scheduler can be reached there ({why}). Is it running "
                "(dask scheduler), can this machine reach it, and do both sides use TLS, or neither?"
            ) from error
        try:
            yield client
        finally:
            client.close()

    async def _ask(self, address: str, security: Any) -> None:
        """Ask who is there before a client is made: one that fails takes half a minute more, in Dask's own clearing up.

        Whatever speaks there (a web server, a Dask worker) may answer anything, or nothing.
        """
        import dask
        from distributed import rpc

        if dask.config.get("distributed.client.security-loader", None):
            return  # only Dask's client knows what certificates that gives
        arguments = security.get_connection_args("client")
        async with asyncio.timeout(self.connect_seconds), rpc(address, connection_args=arguments) as peer:
            identity = await peer.identity()
        if "workers" not in identity:
            raise ValueError(f"a {str(identity.get('type', 'stranger')).lower()} is there, no scheduler")


class Dispatch:
    """One sweep on one cluster. All state is the caller's thread's; Dask's threads only fill the inbox.

    The next job is asked for only when a worker is free, or when nothing else is left to do.
    """

    def __init__(
        self, executor: DaskExecutor, client: Any, jobs: Iterator[Job], tell: Callable[[SweepEvent], None]
    ) -> None:
        self._executor, self._client, self._jobs, self._tell = executor, client, jobs, tell
        self._sweep = f"firstgrad-{uuid.uuid4().hex}"
        self._workers = Workers()
        self._inbox: queue.SimpleQueue[tuple[str, Event | None]] = queue.SimpleQueue()
        """Key of a Dask task, and what happened in it; none where the task is over."""
        self._waiting: deque[Job] = deque()
        self._losses: dict[Job, list[str]] = defaultdict(list)
        self._attempts: dict[str, Attempt] = {}
        self._looked, self._answered = float("-inf"), time.monotonic()
        self._has_said_waiting = False

    def run(self) -> Iterator[tuple[Job, Record]]:
        """Measure all jobs, each once."""
        self._client.subscribe_topic(self._sweep, self._hear)
        try:
            while self._has_work():
                for worker in self._look():
                    yield from self._lose_all_of(worker)
                for worker in self._workers.free:
                    self._hand_out(worker)
                with suppress(queue.Empty):
                    yield from self._take(*self._inbox.get(timeout=_LOOK_SECONDS))
        except Exception as error:
            if self._is_connected:
                raise
            raise FirstgradError(
                "the Dask scheduler is gone. What was measured is kept: start the cluster again, then the same command "
                "goes on from there"
            ) from error
        finally:
            self._stop()

    @property
    def _is_connected(self) -> bool:
        return self._client.status in ("running", "connecting")

    def _has_work(self) -> bool:
        if self._waiting or any(attempt.job for attempt in self._attempts.values()):
            return True
        # Nothing runs, so nothing can happen that would change what the next job is.
        job = next(self._jobs, None)
        if job is not None:
            self._waiting.append(job)
        return job is not None

    def _look(self) -> list[ClusterWorker]:
        """Look who is there now and then; returns who has left."""
        if not self._is_connected:
            raise ConnectionError("Dask's client gave up")
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return []
        try:
            addresses = self._client.nthreads(callback_timeout=_ANSWER_SECONDS)
            self._answered = time.monotonic()
        # ValueError is Tornado's, where a connection ends amid the handshake of TLS.
        except (OSError, ValueError) as error:
            self._miss_scheduler(error)
            return []  # it may come back; without a connection Dask's client tries for a while, then closes itself
        finally:
            self._looked = time.monotonic()
        joined, left = self._workers.update(addresses)
        for worker in joined:
            # By a function that every Python has: one that can't be found there would end the whole Dask worker.
            self._ask(worker, None, pkgutil.resolve_name, "firstgrad.sweep.remote:PROCESS")
        if self._workers.is_hopeless:
            raise FirstgradError(f"no worker of the Dask cluster is fit: {self._workers.refusals()}")
        if not self._workers.has_fit and not self._has_said_waiting:
            refused = self._workers.refusals()
            self._executor.warn(
                "no worker is there to measure on; waiting for one" + (f" ({refused})" if refused else "")
            )
        self._has_said_waiting = not self._workers.has_fit
        return left

    def _miss_scheduler(self, error: Exception) -> None:
        """Say that the scheduler doesn't answer, and give up where that lasts."""
        silent_seconds = time.monotonic() - self._answered
        if not isinstance(error, TimeoutError):
            return
        self._executor.warn(f"the Dask scheduler has not answered for {silent_seconds:.0f} s; waiting for it")
        if silent_seconds > _SILENT_SECONDS:
            raise FirstgradError(
                f"the Dask scheduler has not answered for {silent_seconds:.0f} s. What was measured is kept: is it "
                "stopped or overloaded? Then the same command goes on from there"
            ) from error

    def _hand_out(self, worker: ClusterWorker) -> None:
        """Give a free worker the next sample, where there is one."""
        job = self._waiting.popleft() if self._waiting else next(self._jobs, None)
        if job is None:
            return
        assert worker.info is not None  # noqa: S101 - only fit ones are free
        request = remote.MeasureRequest(
            case=job.case,
            label=self._executor.label,
            threads=self._executor.threads,
            process=worker.info.process,
            sweep=self._sweep,
            needed=tuple(sorted(job.needed)),
        )
        self._ask(worker, job, remote.measure_sample, to_json(request))
        self._tell(SampleBegan(job=job, worker=worker.name))

    def _ask(self, worker: ClusterWorker, job: Job | None, function: Callable[..., Any], *given: str | int) -> None:
        future = self._submit(worker, function, *given)
        worker.is_busy = True
        self._attempts[future.key] = Attempt(future, worker, job)
        future.add_done_callback(lambda future: self._inbox.put((future.key, None)))

    def _submit(self, worker: ClusterWorker, function: Callable[..., Any], *given: str | int) -> Any:
        return self._client.submit(
            function,
            *given,
            key=f"firstgrad-{uuid.uuid4().hex}",
            workers=[worker.address],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )

    def _hear(self, logged: tuple[float, tuple[str, str, str]]) -> None:
        """Take what a worker sent, in a thread of Dask's."""
        key, kind, text = logged[1]
        event: Event = from_json(text, MemoryNow) if kind == "MemoryNow" else read_event(f"{kind} {text}".encode())
        self._inbox.put((key, event))

    def _take(self, key: str, event: Event | None) -> Iterator[tuple[Job, Record]]:
        attempt = self._attempts.get(key)
        if attempt is None:
            return  # it was given up
        if event is None:
            del self._attempts[key]
            attempt.worker.is_busy = False
            yield from self._conclude(attempt)
            return
        if isinstance(event, PhaseBegan):
            attempt.phase = event.phase
        if attempt.job is not None:
            self._tell(SampleProgress(job=attempt.job, event=event))

    def _conclude(self, attempt: Attempt) -> Iterator[tuple[Job, Record]]:
        """Take what came of an attempt."""
        future, worker = attempt.future, attempt.worker
        if future.status == "error":
            yield from self._take_error(attempt, future.exception())
            return
        try:
            text = future.result(timeout=_RESULT_SECONDS)
        except Exception as error:  # noqa: BLE001 - of many kinds: the result went away with its worker
            # Cancelled where the scheduler went away and came back: the worker is not to blame.
            yield from self._lose(attempt, type(error).__name__, counts=future.status != "cancelled")
            return
        if attempt.job is None:
            self._get_to_know(worker, text)
            return
        try:
            record = from_json(text, Record)
        except DecodeError as error:
            yield from self._take_error(attempt, error)
            return
        worker.failures = 0
        yield attempt.job, record

    def _take_error(self, attempt: Attempt, error: Exception) -> Iterator[tuple[Job, Record]]:
        from distributed.scheduler import KilledWorker, NoValidWorkerError

        worker = attempt.worker
        if isinstance(error, remote.OtherProcessError | remote.NotWantedError | KilledWorker | NoValidWorkerError):
            self._workers.remove(worker)  # another process has this address now, or will have
        else:
            worker.failures += 1
            if attempt.job is None or worker.failures == _MOST_FAILURES:
                worker.refused = why_failed(error)
                self._warn_of(worker)
        yield from self._lose(attempt, f"it {why_failed(error)}")

    def _get_to_know(self, worker: ClusterWorker, text: str) -> None:
        """Take what a worker said of itself; the first answer shows that it has firstgrad, the next which one."""
        if worker.has_firstgrad:
            worker.take_info(text)
            self._warn_of(worker)
        else:
            worker.has_firstgrad = True
            self._ask(worker, None, remote.describe_worker, self._executor.threads, self._executor.label)

    def _warn_of(self, worker: ClusterWorker) -> None:
        if worker.refused:
            self._executor.warn(f"the Dask worker {worker.name} gets no work: it {worker.refused}")
        for line in self._workers.newly_crowded(threads=self._executor.threads):
            self._executor.warn(line)

    def _lose_all_of(self, worker: ClusterWorker) -> Iterator[tuple[Job, Record]]:
        for key, attempt in tuple(self._attempts.items()):
            if attempt.worker is worker:
                del self._attempts[key]
                if attempt.future.status == "finished" and attempt.job is not None:
                    yield from self._conclude(attempt)  # it had just ended, and went away in good order
                else:
                    yield from self._lose(attempt, "it left")

    def _lose(self, attempt: Attempt, why: str, *, counts: bool = True) -> Iterator[tuple[Job, Record]]:
        """Measure again what an attempt should have measured; or say that it can't be."""
        self._client.cancel([attempt.future])
        job, worker = attempt.job, attempt.worker
        if job is None:
            if not worker.refused:
                self._workers.remove(worker)  # to be asked anew, where it is still there
            return
        self._tell(SampleLost(job=job, worker=worker.name))
        losses = self._losses[job]
        if counts:
            losses.append(f"{worker.name}, {why}")
        if len(losses) < MOST_LOSSES:
            self._waiting.append(job)
        else:
            yield job, attempt.to_record(losses)

    def _stop(self) -> None:
        """End what still runs, and wait until the workers have cleaned up, as far as they answer."""
        if self._client.status != "running":
            return  # nobody to tell; without a scheduler the workers end by themselves
        until = time.monotonic() + _STOP_SECONDS
        # Whatever Dask raises here: the sweep's own end, or its error, is what counts.
        with suppress(Exception):
            self._client.cancel([attempt.future for attempt in self._attempts.values()])
            cleanups = [self._submit(worker, remote.forget, self._sweep) for worker in self._workers if worker.is_fit]
            for cleanup in cleanups:
                cleanup.result(timeout=max(until - time.monotonic(), 0.0))
