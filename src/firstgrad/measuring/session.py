"""One sample's processes as the parent hears them: a worker, its pipe, the watcher's lines, a deadline."""

from __future__ import annotations

import logging
import math
import os
import selectors
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from firstgrad.case import Counting
from firstgrad.codec import DecodeError, to_json
from firstgrad.measuring.events import (
    KINDS,
    MAX_LINE_BYTES,
    Conditions,
    Finished,
    MemoryNow,
    PhaseBegan,
    PhaseEnded,
    Profiled,
    Started,
    read_event,
)
from firstgrad.measuring.private import worker_variables
from firstgrad.measuring.starter import PIPES, StartedWorker, StarterGoneError
from firstgrad.measuring.watcher import STDERR_BYTES, kill_all, make_tree
from firstgrad.observe.simulator import in_valgrind
from firstgrad.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import IO

    from firstgrad.measuring.events import Task
    from firstgrad.measuring.interpreter import Interpreter
    from firstgrad.measuring.private import PrivateCaches
    from firstgrad.observe.events import Attribution
    from firstgrad.phase import Phase
    from firstgrad.record import PhaseRecord, Record

_LOG = logging.getLogger(__name__)
_LISTEN_SECONDS = 0.2
_STOP_SECONDS = 30.0
_SILENT_SECONDS = 30.0
"""The watcher speaks ten times a second; after so long it won't any more."""
_END_SECONDS = 5.0
_EXIT_SECONDS = 1.0
_MARK = "FIRSTGRAD_RUN"


class SampleStopped(Exception):  # noqa: N818 - no error: what is known of the sample is enough
    """Raised by who listens to a worker's events, with the reason: the worker is ended as by a time limit."""


@dataclass(frozen=True, slots=True)
class TreeSample:
    """One look of the watcher's: when (by the machine's monotonic clock), and what it saw of a worker's tree.

    With it, for how long the tree could run so far, and for how long it stood still (`firstgrad.measuring.watcher`).
    """

    monotonic_seconds: float
    rss_bytes: int
    children_rss_bytes: int
    processes: int
    ran_seconds: float = 0.0
    stood_seconds: float = 0.0


def read_sample(line: str) -> TreeSample:
    """Read a line of the watcher's; raises ValueError where it is none."""
    when, total, children, processes, ran, stood = line.split()
    return TreeSample(float(when), int(total), int(children), int(processes), float(ran), float(stood))


@dataclass(slots=True)
class Transcript:
    """What came through the pipes of one sample."""

    zero: float = field(default_factory=time.monotonic)
    """Reading of the monotonic clock at the start of the worker's clock."""
    lasted_seconds: float = math.inf
    """From there, or from the worker's start where that was later, to its end; by this process's clock."""
    conditions: Conditions | None = None
    phase: Phase | None = None
    """The last one that began."""
    phases: list[PhaseRecord] = field(default_factory=list)
    """Those that ended."""
    samples: list[TreeSample] = field(default_factory=list)
    attribution: Attribution | None = None
    record: Record | None = None
    """The worker's last word."""
    garbage: str = ""
    """Why the pipe could not be understood; '' where it could."""
    over_limit_bytes: int = 0
    """Size of the tree when it passed its memory limit; 0 where it didn't."""
    timed_out: bool = False
    stopped: str = ""
    """Why who listens had it stopped; '' where nobody did."""
    stopped_seconds: float = 0.0
    """After how long that was."""
    suspended_seconds: float = 0.0
    """For how long the tree stood still."""
    never_continued: bool = False
    """Whether it stood still until it was ended."""
    watcher_ended: bool = False
    """Whether the watcher ended before it was told to, or didn't speak any more."""
    return_code: int = 0
    stderr_tail: tuple[str, ...] = ()

    kinds: ClassVar[Mapping[str, type]] = KINDS

    @property
    def has_last_word(self) -> bool:
        """Whether the worker said all it had to say."""
        return self.record is not None

    @property
    def place(self) -> str:
        """The phase that began last; '' before the first."""
        return str(self.phase or "")

    def take(self, event: Any, record_id: str) -> None:
        """Keep what an event of this record's worker tells."""
        match event:
            case Started(monotonic_seconds=zero):
                self.zero = zero
            case Conditions():
                self.conditions = event
            case PhaseBegan(phase=phase):
                self.phase = phase
            case PhaseEnded(record=record):
                self.phases.append(record)
            case Profiled(attribution=attribution):
                self.attribution = attribution
            case Finished(record=record):
                if record.record_id != record_id:
                    raise DecodeError(f"a record of another sample: {record.record_id}")
                self.record = record
            case _:
                pass


def run_worker[T: Transcript](
    task: Task,
    private: PrivateCaches,
    transcript: T,
    on_event: Callable[[Any], None] | None = None,
    *,
    worker: str = "firstgrad.measuring.worker",
    interpreter: Interpreter | None = None,
) -> T:
    """Start a worker, listen until it ends or is ended, and leave nothing of it alive.

    Parameters
    ----------
    task : Task
        For the worker.
    private : PrivateCaches
        Folder and watcher.
    transcript : Transcript
        Takes what comes, still empty.
    on_event : callable, optional
        Takes each event as it happens.
    worker : str
        The worker's module.
    interpreter : Interpreter, optional
        Who runs it; this process's Python where left out.
    """
    began = time.monotonic()
    _WorkerSession(task, private, transcript, on_event or (lambda _: None), worker, interpreter).run()
    transcript.lasted_seconds = time.monotonic() - max(began, transcript.zero)
    return transcript


class _WorkerSession:
    """Runs one worker from its start to its end."""

    def __init__(
        self,
        task: Task,
        private: PrivateCaches,
        transcript: Transcript,
        on_event: Callable[[Any], None],
        worker: str,
        interpreter: Interpreter | None,
    ) -> None:
        self._task, self._private, self._on_event, self._worker = task, private, on_event, worker
        self._interpreter = interpreter
        self._heard = transcript
        self._event_bytes = bytearray()
        self._watcher_bytes = b""
        self._stopped = False
        self._ran_seconds = 0.0

    def run(self) -> None:
        try:
            events, worker = self._start()
        except StarterGoneError:
            self._heard.watcher_ended = True
            self._private.kill_watcher()
            return
        try:
            self._private.watch(worker.pid, self._mark, self._task.case.memory_limit_bytes)
            started = time.monotonic()
            try:
                self._listen(events, worker)
            except SampleStopped as stop:
                self._heard.stopped, self._heard.timed_out = str(stop), True
                self._heard.stopped_seconds = self._ran_seconds or time.monotonic() - started
            self._let_end(worker)
        finally:
            self._on_event = lambda _: None  # what comes now changes nothing, and nobody may break this off
            self._private.stop()
            self._await_stopped(worker)
            os.close(events)
            with suppress(TimeoutError):  # killed, and yet there: it waits for a disk or a device
                self._heard.return_code = worker.wait(timeout=_EXIT_SECONDS)
        self._heard.stderr_tail = _tail(self._private.printed.fileno())

    def _start(self) -> tuple[int, StartedWorker]:
        event_read, event_write = os.pipe()
        threads, device = self._task.environment.threads, self._task.case.device
        variables = worker_variables(self._private.folder, os.environ, threads=threads, device=device)
        python, folder = sys.executable, None
        if self._interpreter is not None:
            python, folder = str(self._interpreter.python), self._interpreter.folder
            variables = self._interpreter.variables(self._private.folder, variables)
        command = [python, "-P", "-m", self._worker, *map(str, PIPES)]
        if self._task.case.counting is Counting.SIMULATED:
            command, variables = in_valgrind(command, variables)
        self._private.printed.truncate(0)
        self._log(python, threads, device)
        try:
            with _task_file(self._task) as task:
                worker = self._private.starter.start(
                    command,
                    variables | {_MARK: self._task.record_id},
                    folder=folder,
                    mark=self._mark,
                    files=(self._private.printed.fileno(), task.fileno(), event_write),
                )
        except BaseException:
            os.close(event_read)
            raise
        finally:
            os.close(event_write)
        return event_read, worker

    def _log(self, python: str, threads: int, device: str) -> None:
        task, case = self._task, self._task.case
        seconds, size = case.time_limit_seconds, case.memory_limit_bytes
        limits = (
            "no time limit" if seconds is None else f"at most {seconds:g} s",
            "no memory limit" if size is None else f"at most {format_bytes(size)}",
        )
        how = ", ".join((f"threads {threads}", *filter(None, [device]), *limits))
        _LOG.info("sample %.8s: %s by %s (%s), caches in %s", task.record_id, case, python, how, task.cache_folder)

    @property
    def _mark(self) -> str:
        return f"{_MARK}={self._task.record_id}"

    def _listen(self, events: int, worker: StartedWorker) -> None:
        """Hear both pipes until the worker's closes, its last word comes, or a limit is passed."""
        heard, limit, started = self._heard, self._task.case.time_limit_seconds, time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(events, selectors.EVENT_READ, self._hear_worker)
            selector.register(self._private.output, selectors.EVENT_READ, self._hear_watcher)
            silent_seconds = idle_seconds = ran_seconds = hear_until = 0.0
            while True:
                # Asked before listening: what the worker wrote before it ended is heard to its end.
                is_over, began = worker.poll() is not None, time.monotonic()
                ready = [key for key, _ in selector.select(0.0 if is_over else _LISTEN_SECONDS)]
                for key in ready:
                    if not key.data(os.read(key.fd, 1 << 16)):
                        return
                if is_over and all(key.fd != events for key in ready):
                    return  # a child that it forked still holds its pipe open
                now = time.monotonic()
                # A turn takes no longer, so where it did, this process was stopped, too, or its terminal.
                passed = min(now - began, 2 * _LISTEN_SECONDS)
                if limit is not None and now - began > passed and now - started > limit:
                    # In time or not, it may have had more to say than its pipe holds.
                    hear_until = hear_until or now + _END_SECONDS
                silent_seconds = 0.0 if any(key.fd != events for key in ready) else silent_seconds + passed
                idle_seconds = 0.0 if self._ran_seconds > ran_seconds else idle_seconds + passed
                ran_seconds = self._ran_seconds
                if silent_seconds > _SILENT_SECONDS:
                    heard.watcher_ended = True
                    return
                if limit is not None and (ran_seconds > limit or idle_seconds > max(limit, _SILENT_SECONDS)):
                    heard.timed_out, heard.never_continued = now > hear_until, ran_seconds <= limit
                    if heard.timed_out:
                        return

    def _hear_worker(self, data: bytes) -> bool:
        """Take bytes of the worker's; false when there is nothing more to hear."""
        first, *others = data.split(b"\n")
        self._event_bytes += first
        try:
            for rest in others:
                self._take_event(bytes(self._event_bytes))
                self._event_bytes = bytearray(rest)
        except DecodeError as error:
            self._heard.garbage = str(error)
            return False
        if len(self._event_bytes) > MAX_LINE_BYTES:
            self._heard.garbage = f"a line of more than {MAX_LINE_BYTES} bytes"
            return False
        if not data and self._event_bytes:
            self._heard.garbage = f"its last line broke off: {bytes(self._event_bytes[:80])!r}"
        return bool(data) and not self._heard.has_last_word

    def _take_event(self, line: bytes) -> None:
        event = read_event(line, self._heard.kinds)
        self._heard.take(event, self._task.record_id)
        self._on_event(event)

    def _hear_watcher(self, data: bytes) -> bool:
        """Take bytes of the watcher's; false when the tree was killed for its size."""
        *lines, self._watcher_bytes = (self._watcher_bytes + data).split(b"\n")
        for line in lines:
            text = line.decode()
            if text == "stopped":
                self._stopped = True
            elif text.startswith("limit "):
                self._heard.over_limit_bytes = int(text.split()[2])
            else:
                sample = read_sample(text)
                self._heard.samples.append(sample)
                self._ran_seconds, self._heard.suspended_seconds = sample.ran_seconds, sample.stood_seconds
                self._on_event(
                    MemoryNow(
                        at_seconds=sample.monotonic_seconds - self._heard.zero,
                        rss_bytes=sample.rss_bytes,
                        processes=sample.processes,
                    )
                )
        self._heard.watcher_ended |= not data
        return bool(data) and not self._heard.over_limit_bytes

    def _let_end(self, worker: StartedWorker) -> None:
        """Give a worker that said all it had to say, or closed its pipe, a moment to end by itself."""
        heard = self._heard
        if heard.timed_out or heard.over_limit_bytes or heard.garbage or heard.watcher_ended:
            return
        try:
            worker.wait(timeout=_END_SECONDS if heard.has_last_word else _EXIT_SECONDS)
        except TimeoutError:
            if not heard.has_last_word:
                heard.garbage = "it closed its pipe and went on"

    def _await_stopped(self, worker: StartedWorker) -> None:
        """Wait until the watcher has killed the tree; where it is gone or doesn't answer, kill the tree here."""
        output, until = self._private.output.fileno(), time.monotonic() + _STOP_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while not (self._stopped or self._heard.watcher_ended) and (left := until - time.monotonic()) > 0:
                if selector.select(left):
                    self._hear_watcher(os.read(output, 1 << 16))
        if not self._stopped:
            self._private.kill_watcher()
            kill_all(make_tree(), worker.pid, self._mark)


def _task_file(task: Task) -> IO[bytes]:
    """Write a task into a file without a name: it is whole before the worker starts, so nobody waits for a reader."""
    if hasattr(os, "memfd_create"):
        file: IO[bytes] = os.fdopen(os.memfd_create("task"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.write(to_json(task).encode())
    file.seek(0)
    return file


def _tail(file: int) -> tuple[str, ...]:
    """Read the last lines of what was printed, whatever its size."""
    begin = max(os.fstat(file).st_size - STDERR_BYTES, 0)
    return tuple(os.pread(file, STDERR_BYTES, begin).decode(errors="replace").splitlines())
