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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from firstgrad.case import Case, Scenario
from firstgrad.codec import from_json, to_json
from firstgrad.measure import environment
from firstgrad.measure.events import Finished, MemoryNow, PassBegan
from firstgrad.measure.launch import measure
from firstgrad.measure.private import PrivateCaches
from firstgrad.record import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from firstgrad.measure.events import Event

PROCESS = uuid.uuid4().hex
"""Unique name of this process."""
_AT_WORK = ("running", "paused", "closing_gracefully")
_LOOK_SECONDS = 0.5
_TELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a Dask worker says of itself.

    Attributes
    ----------
    firstgrad : str
        Version of the package.
    schema_version : int
        Of its records.
    process : str
        Unique name of the process: a restarted one may get the same address.
    machine : str
        Name of the host.
    cores : int
        Of the whole host.
    environment : str
        The `firstgrad.record.Environment` as JSON, to be read only where the versions are equal.
    """

    firstgrad: str
    schema_version: int
    process: str
    machine: str
    cores: int
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a Dask worker is asked to measure.

    Attributes
    ----------
    case : Case
        A sample of this.
    label, threads
        As for `firstgrad.measure.launch.measure`.
    process : str
        Of the `Card`; another process refuses.
    sweep : str
        Unique name of the sweep: topic of the events, and owner of the caches that are kept.
    keep_filled : bool
        Whether to keep a filled cache for the next samples of the same model.
    """

    case: Case
    label: str
    threads: int
    process: str
    sweep: str
    keep_filled: bool


class OtherProcessError(Exception):
    """An order came to another process than the one it was meant for."""


class NotWantedError(Exception):
    """Nobody waits for this sample any more."""


def introduce(threads: int, label: str) -> str:
    """Say what this worker is.

    Returns
    -------
    str
        A `Card` as JSON.
    """
    return to_json(
        Card(
            firstgrad=environment.installed_version("firstgrad"),
            schema_version=SCHEMA_VERSION,
            process=PROCESS,
            machine=platform.node(),
            cores=os.cpu_count() or 1,
            environment=to_json(environment.describe_environment(threads=threads, label=label)),
        )
    )


def measure_order(text: str) -> str:
    """Measure one sample.

    Parameters
    ----------
    text : str
        An `Order` as JSON.

    Returns
    -------
    str
        The record as JSON.

    Raises
    ------
    OtherProcessError
        Where the order was meant for an earlier process at this address.
    NotWantedError
        Where the sweep was stopped, or gave this worker up; nothing of the sample is left alive.
    """
    order = from_json(text, Order)
    if order.process != PROCESS:
        raise OtherProcessError(order.process)
    task = _Task(order.sweep)
    while not _turn.acquire(timeout=_LOOK_SECONDS):
        task.check()
    try:
        # This process may live for weeks, while people commit and update.
        environment.git_commit.cache_clear()
        environment.compiler_version.cache_clear()
        with _without_settings_of(task.worker):
            (record,) = measure(
                order.case,
                label=order.label,
                threads=order.threads,
                on_event=task.hear,
                keep_filled=_kept.folder(order),
            )
        return to_json(record)
    finally:
        _turn.release()


def forget(sweep: str) -> None:
    """Remove what was kept for a sweep, as soon as no sample of it runs any more."""
    with _turn:
        _kept.forget(sweep)


class _Task:
    """The Dask task that this thread runs."""

    def __init__(self, topic: str) -> None:
        from distributed import get_worker

        self.worker = get_worker()
        self._key = self.worker.get_current_task()
        self._topic = topic
        self._told: dict[type[Event], float] = {}

    def check(self) -> None:
        """Raise where the client has cancelled the task or is gone, or where the worker closes."""
        state = self.worker.state.tasks.get(self._key)
        if state is None or state.state != "executing" or self.worker.status.name not in _AT_WORK:
            raise NotWantedError(self._key)

    def hear(self, event: Event) -> None:
        """Pass an event on to the client: each phase, and once a second what comes more often."""
        self.check()
        if isinstance(event, Finished):
            return  # the record is the task's result
        if isinstance(event, MemoryNow | PassBegan):
            now = time.monotonic()
            if now - self._told.get(type(event), 0.0) < _TELL_SECONDS:
                return
            self._told[type(event)] = now
        self.worker.log_event(self._topic, [self._key, type(event).__name__, to_json(event)])


class _Kept:
    """Filled caches of one sweep, in a folder that goes away with this process, even when it is killed."""

    def __init__(self) -> None:
        self._sweep = ""
        self._caches: PrivateCaches | None = None

    def folder(self, order: Order) -> Path | None:
        """Find where the cache that an order fills or reads is kept; none where it needs none."""
        if not order.keep_filled or order.case.scenario is Scenario.HOT:
            return None
        if self._caches is None or order.sweep != self._sweep:
            self.forget(self._sweep)
            self._sweep, self._caches = order.sweep, PrivateCaches()
        return self._caches.folder / "kept" / replace(order.case, scenario=Scenario.WARM).question

    def forget(self, sweep: str) -> None:
        """Remove what belongs to a sweep."""
        if self._caches is not None and sweep == self._sweep:
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
_kept = _Kept()
