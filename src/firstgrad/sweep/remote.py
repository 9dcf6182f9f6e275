"""What runs on a Dask worker: it says what it is, and measures one sample at a time.

Texts go in and come out, not objects: a worker of another version then says so instead of misunderstanding.
"""

from __future__ import annotations

import os
import platform
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firstgrad.case import Case
from firstgrad.codec import from_json, to_json
from firstgrad.measuring import environment
from firstgrad.measuring.events import Finished, MemoryNow, PassBegan
from firstgrad.measuring.launch import measure
from firstgrad.measuring.private import PrivateCaches
from firstgrad.record import SCHEMA_VERSION
from firstgrad.sweep.local import make_room
from firstgrad.sweep.plan import Job

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from firstgrad.measuring.events import Event
    from firstgrad.record import Record

PROCESS = uuid.uuid4().hex  # unique name of this process
_AT_WORK = ("running", "paused", "closing_gracefully")
_CHECK_SECONDS = 0.5
_TELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """What a Dask worker says of itself."""

    firstgrad: str  # version of the package
    schema_version: int  # of its records
    process: str  # unique name of the process: a restarted one may get the same address
    machine: str  # name of the host
    cores: int  # of the whole host
    environment: str  # the `firstgrad.record.Environment` as JSON, to be read only where the versions are equal


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureRequest:
    """What a Dask worker is asked to measure."""

    case: Case
    label: str
    threads: int
    process: str  # of the `WorkerInfo`; another process refuses
    sweep: str  # unique name of the sweep: topic of the events, and owner of the caches that are kept
    needed: tuple[str, ...]  # filled caches that other samples begin with


class OtherProcessError(Exception):
    """A request came to another process than the one it was meant for."""


class NotWantedError(Exception):
    """Nobody waits for this sample any more."""


def describe_worker(threads: int, label: str) -> str:
    """Say what this worker is: a `WorkerInfo` as JSON."""
    return to_json(
        WorkerInfo(
            firstgrad=environment.installed_version("firstgrad"),
            schema_version=SCHEMA_VERSION,
            process=PROCESS,
            machine=platform.node(),
            cores=os.cpu_count() or 1,
            environment=to_json(environment.describe_environment(threads=threads, label=label)),
        )
    )


def measure_sample(text: str) -> str:
    """Measure what a `MeasureRequest` in JSON asks for, and return the record as JSON.

    Raises OtherProcessError where the request was meant for an earlier process at this address; NotWantedError
    where the sweep was stopped, or gave this worker up; nothing of the sample is left alive.
    """
    request = from_json(text, MeasureRequest)
    if request.process != PROCESS:
        raise OtherProcessError(request.process)
    task = _Task(request.sweep)
    while not _turn.acquire(timeout=_CHECK_SECONDS):
        task.check()
    try:
        # This process may live for weeks, while people commit and update.
        environment.git_commit.cache_clear()
        environment.compiler_version.cache_clear()
        with _without_settings_of(task.worker):
            folder = _filled.folder(request)
            samples = measure(
                request.case,
                label=request.label,
                threads=request.threads,
                on_event=task.pass_on,
                keep_filled=folder,
            )
            record = next(samples)
        _filled.unfinished = samples
        return to_json(record)
    finally:
        _turn.release()


def forget(sweep: str) -> None:
    """Remove what was kept for a sweep, as soon as no sample of it runs any more."""
    with _turn:
        _filled.forget(sweep)


class _Task:
    """The Dask task that this thread runs."""

    def __init__(self, topic: str) -> None:
        from distributed import get_worker

        self.worker = get_worker()
        self._key = self.worker.get_current_task()
        self._topic = topic
        self._sent: dict[type[Event], float] = {}

    def check(self) -> None:
        """Raise where the client has cancelled the task or is gone, or where the worker closes."""
        state = self.worker.state.tasks.get(self._key)
        if state is None or state.state != "executing" or self.worker.status.name not in _AT_WORK:
            raise NotWantedError(self._key)

    def pass_on(self, event: Event) -> None:
        """Pass an event on to the client: each phase, and once a second what comes more often."""
        self.check()
        if isinstance(event, Finished):
            return  # the record is the task's result
        if isinstance(event, MemoryNow | PassBegan):
            now = time.monotonic()
            if now - self._sent.get(type(event), 0.0) < _TELL_SECONDS:
                return
            self._sent[type(event)] = now
        self.worker.log_event(self._topic, [self._key, type(event).__name__, to_json(event)])


class _FilledCaches:
    """Filled caches of one sweep, in a folder that goes away with this process, even when it is killed.

    `unfinished` is the last sample: it keeps its cache when the next one comes, since its own record goes first.
    """

    def __init__(self) -> None:
        self._sweep = ""
        self._caches: PrivateCaches | None = None
        self.unfinished: Generator[Record] | None = None

    def folder(self, request: MeasureRequest) -> Path | None:
        """Find where the cache that a request fills or reads is kept; none where it is to be forgotten."""
        if self._caches is None or request.sweep != self._sweep:
            self.forget(self._sweep)
            self._sweep, self._caches = request.sweep, PrivateCaches()
        if self.unfinished is not None:
            next(self.unfinished, None)
        return make_room(
            self._caches.folder / "kept", Job(case=request.case, number=1, needed=frozenset(request.needed))
        )

    def forget(self, sweep: str) -> None:
        """Remove what belongs to a sweep."""
        if self._caches is not None and sweep == self._sweep:
            if self.unfinished is not None:
                self.unfinished.close()
                self.unfinished = None
            self._caches.close()
            self._caches = None


@contextmanager
def _without_settings_of(worker: Any) -> Iterator[None]:
    """Take Dask's own settings out of what the sample inherits: they change how memory is given back."""
    import dask

    settings = dask.config.get("distributed.nanny.pre-spawn-environ", {}) if worker.nanny else {}
    taken = {name: str(value) for name, value in settings.items() if os.environ.get(name) == str(value)}
    for name in taken:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(taken)


_turn = threading.Lock()
_filled = _FilledCaches()
