"""Hands samples to Dask workers and takes their records; what a lost worker had is handed out again."""

from __future__ import annotations

import pkgutil
import queue
import time
import uuid
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from firstgrad.codec import DecodeError, from_json, to_json
from firstgrad.errors import FirstgradError
from firstgrad.measure.events import MemoryNow, PhaseBegan, read_event
from firstgrad.record import Record
from firstgrad.sweep import remote
from firstgrad.sweep.attempt import Attempt, Over, Sample, Told, record_of_loss
from firstgrad.sweep.crew import Crew, why_failed
from firstgrad.sweep.events import SampleBegan, SampleLost, SampleProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firstgrad.measure.events import Event
    from firstgrad.sweep.crew import Member
    from firstgrad.sweep.events import SweepEvent
    from firstgrad.sweep.plan import Job

MOST_LOSSES = 3
"""A sample that lost so many workers gets a record that says so, and is not tried again."""
_MOST_FAILURES = 2
_LOOK_SECONDS = 1.0
_RESULT_SECONDS = 30.0
_STOP_SECONDS = 10.0


class Dispatch:
    """One sweep on one cluster. All state is the caller's thread's; Dask's threads only fill the inbox.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    jobs : iterator of Job
        Asked for the next one only when a worker is free, or when nothing else is left to do.
    label, threads, keep_filled
        As for `firstgrad.sweep.cluster.DaskExecutor`.
    tell : callable
        Takes events.
    warn : callable
        Takes lines for people.
    """

    def __init__(
        self,
        client: Any,
        jobs: Iterator[Job],
        *,
        label: str,
        threads: int,
        keep_filled: bool,
        tell: Callable[[SweepEvent], None],
        warn: Callable[[str], None],
    ) -> None:
        self._client, self._jobs, self._tell, self._warn = client, jobs, tell, warn
        self._label, self._threads, self._keep_filled = label, threads, keep_filled
        self._sweep = f"firstgrad-{uuid.uuid4().hex}"
        self._crew = Crew()
        self._inbox: queue.SimpleQueue[Over | Told] = queue.SimpleQueue()
        self._waiting: deque[Sample] = deque()
        self._attempts: dict[str, Attempt] = {}
        self._looked = float("-inf")
        self._has_said_waiting = False

    def run(self) -> Iterator[tuple[Job, Record]]:
        """Measure all jobs.

        Yields
        ------
        tuple of Job and Record
            Each job once.

        Raises
        ------
        FirstgradError
            Where the scheduler has ended, or no worker is fit.
        """
        self._client.subscribe_topic(self._sweep, self._hear)
        try:
            while self._has_work():
                for member in self._look():
                    yield from self._lose_all_of(member)
                for member in self._crew.free:
                    self._hand_out(member)
                with suppress(queue.Empty):
                    yield from self._take(self._inbox.get(timeout=_LOOK_SECONDS))
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
        if self._waiting or any(attempt.sample for attempt in self._attempts.values()):
            return True
        # Nothing runs, so nothing can happen that would change what the next job is.
        job = next(self._jobs, None)
        if job is not None:
            self._waiting.append(Sample(job))
        return job is not None

    def _look(self) -> list[Member]:
        """Look who is there now and then; returns who has left."""
        if not self._is_connected:
            raise ConnectionError("Dask's client gave up")
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return []
        try:
            addresses = self._client.nthreads()
        except OSError:
            return []  # it may come back; Dask's client tries for a while, then closes itself
        finally:
            self._looked = time.monotonic()
        joined, left = self._crew.update(addresses)
        for member in joined:
            # By a function that every Python has: one that can't be found there would end the whole Dask worker.
            self._submit(member, None, pkgutil.resolve_name, "firstgrad.sweep.remote:PROCESS")
        if self._crew.is_hopeless:
            raise FirstgradError(f"no worker of the Dask cluster is fit: {self._crew.refusals()}")
        if not self._crew.has_fit and not self._has_said_waiting:
            refused = self._crew.refusals()
            self._warn("no worker is there to measure on; waiting for one" + (f" ({refused})" if refused else ""))
        self._has_said_waiting = not self._crew.has_fit
        return left

    def _hand_out(self, member: Member) -> None:
        """Give a free worker the next sample, where there is one."""
        if self._waiting:
            sample = self._waiting.popleft()
        elif (job := next(self._jobs, None)) is not None:
            sample = Sample(job)
        else:
            return
        assert member.card is not None  # noqa: S101 - only fit ones are free
        order = remote.Order(
            case=sample.job.case,
            label=self._label,
            threads=self._threads,
            process=member.card.process,
            sweep=self._sweep,
            keep_filled=self._keep_filled,
        )
        self._submit(member, sample, remote.measure_order, to_json(order))
        self._tell(SampleBegan(job=sample.job, place=member.place))

    def _submit(self, member: Member, sample: Sample | None, function: Callable[..., Any], *given: str | int) -> None:
        key = f"firstgrad-{uuid.uuid4().hex}"
        future = self._client.submit(
            function,
            *given,
            key=key,
            workers=[member.address],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )
        member.is_busy = True
        self._attempts[key] = Attempt(future, member, sample)
        future.add_done_callback(lambda _: self._inbox.put(Over(key)))

    def _hear(self, logged: tuple[float, tuple[str, str, str]]) -> None:
        """Take what a worker said, in a thread of Dask's."""
        key, kind, text = logged[1]
        event: Event = from_json(text, MemoryNow) if kind == "MemoryNow" else read_event(f"{kind} {text}".encode())
        self._inbox.put(Told(key, event))

    def _take(self, message: Over | Told) -> Iterator[tuple[Job, Record]]:
        attempt = self._attempts.get(message.key)
        if attempt is None:
            return  # of an attempt that was given up
        if isinstance(message, Told):
            if isinstance(message.event, PhaseBegan):
                attempt.phase = message.event.phase
            if attempt.sample is not None:
                self._tell(SampleProgress(job=attempt.sample.job, event=message.event))
            return
        del self._attempts[message.key]
        attempt.member.is_busy = False
        yield from self._conclude(attempt)

    def _conclude(self, attempt: Attempt) -> Iterator[tuple[Job, Record]]:
        """Take what came of an attempt."""
        future, member = attempt.future, attempt.member
        if future.status == "error":
            yield from self._take_error(attempt, future.exception())
            return
        try:
            text = future.result(timeout=_RESULT_SECONDS)
        except Exception as error:  # noqa: BLE001 - of many kinds: the result went away with its worker
            # Cancelled where the scheduler went away and came back: the worker is not to blame.
            yield from self._lose(attempt, type(error).__name__, counts=future.status != "cancelled")
            return
        if attempt.sample is None:
            self._get_to_know(member, text)
            return
        try:
            record = from_json(text, Record)
        except DecodeError as error:
            yield from self._take_error(attempt, error)
            return
        member.failures = 0
        yield attempt.sample.job, record

    def _take_error(self, attempt: Attempt, error: Exception) -> Iterator[tuple[Job, Record]]:
        from distributed.scheduler import KilledWorker, NoValidWorkerError

        member = attempt.member
        if isinstance(error, remote.OtherProcessError | remote.NotWantedError | KilledWorker | NoValidWorkerError):
            self._crew.dismiss(member)  # another process has this address now, or will have
        else:
            member.failures += 1
            if attempt.sample is None or member.failures == _MOST_FAILURES:
                member.refused = why_failed(error)
                self._greet(member)
        yield from self._lose(attempt, f"it {why_failed(error)}")

    def _get_to_know(self, member: Member, text: str) -> None:
        """Take what a worker said of itself; the first word shows that it has firstgrad, the next which one."""
        if member.has_firstgrad:
            member.take_card(text)
            self._greet(member)
        else:
            member.has_firstgrad = True
            self._submit(member, None, remote.introduce, self._threads, self._label)

    def _greet(self, member: Member) -> None:
        if member.refused:
            self._warn(f"the Dask worker {member.place} gets no work: it {member.refused}")
        for line in self._crew.newly_crowded(threads=self._threads):
            self._warn(line)

    def _lose_all_of(self, member: Member) -> Iterator[tuple[Job, Record]]:
        for key, attempt in tuple(self._attempts.items()):
            if attempt.member is member:
                del self._attempts[key]
                if attempt.future.status == "finished" and attempt.sample is not None:
                    yield from self._conclude(attempt)  # it had just ended, and went away in good order
                else:
                    yield from self._lose(attempt, "it left")

    def _lose(self, attempt: Attempt, why: str, *, counts: bool = True) -> Iterator[tuple[Job, Record]]:
        """Measure again what an attempt should have measured; or say that it can't be."""
        self._client.cancel([attempt.future])
        sample, place = attempt.sample, attempt.member.place
        if sample is None:
            if not attempt.member.refused:
                self._crew.dismiss(attempt.member)  # to be asked anew, where it is still there
            return
        self._tell(SampleLost(job=sample.job, place=place))
        if counts:
            sample.losses.append(f"{place}, {why}")
        if len(sample.losses) < MOST_LOSSES:
            self._waiting.append(sample)
        else:
            yield sample.job, record_of_loss(attempt)

    def _stop(self) -> None:
        """End what still runs, and wait until the workers have cleaned up, as far as they answer."""
        if self._client.status != "running":
            return  # nobody to tell; without a scheduler the workers end by themselves
        until = time.monotonic() + _STOP_SECONDS
        # Whatever Dask raises here: the sweep's own end, or its error, is what counts.
        with suppress(Exception):
            self._client.cancel([attempt.future for attempt in self._attempts.values()])
            farewells = [
                self._client.submit(
                    remote.forget,
                    self._sweep,
                    key=f"firstgrad-{uuid.uuid4().hex}",
                    workers=[member.address],
                    allow_other_workers=False,
                    pure=False,
                    retries=0,
                )
                for member in self._crew
                if member.is_fit
            ]
            for farewell in farewells:
                farewell.result(timeout=max(until - time.monotonic(), 0.0))
