"""The parent's side: a case in, records out. Imports no PyMC, PyTensor, JAX or Numba."""

from __future__ import annotations

import signal
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from firstgrad.case import Scenario
from firstgrad.doubts import find_doubts
from firstgrad.measure import caches
from firstgrad.measure.environment import describe_environment
from firstgrad.measure.events import Task
from firstgrad.measure.memory import summarise, with_tree_peaks
from firstgrad.measure.private import PrivateCaches
from firstgrad.measure.session import Heard, Session
from firstgrad.record import Failure, Record, Status
from firstgrad.row.bounds import WHILE_FILLING
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from firstgrad.case import Case
    from firstgrad.measure.events import Event
    from firstgrad.measure.interpreter import Interpreter


def measure(
    case: Case,
    *,
    samples: int = 1,
    label: str = "",
    threads: int = 1,
    on_event: Callable[[Event], None] | None = None,
    keep_filled: Path | None = None,
    interpreter: Interpreter | None = None,
) -> Iterator[Record]:
    """Measure a case, each sample in its own fresh process.

    For ``warm``, an identical process first fills the cache; every sample starts from a copy of it.

    Parameters
    ----------
    case : Case
        What to measure.
    samples : int
        How many.
    label : str
        The user's name for this run.
    threads : int
        Threads of BLAS and OpenMP.
    on_event : callable, optional
        Takes each event as it happens, for a display.
    keep_filled : Path, optional
        Folder in which a filled cache is kept between calls: a ``cold`` or the first ``warm`` one leaves it there,
        further ``warm`` ones read it. Only for calls that differ in nothing but the scenario.
    interpreter : Interpreter, optional
        Another Python that is to measure; this process's where left out.

    Yields
    ------
    Record
        One a sample, as soon as it is there. Failures, crashes and limits are records too.
    """
    with PrivateCaches() as private:
        if case.scenario is Scenario.WARM and keep_filled is not None and keep_filled.is_dir():
            private.load_from(keep_filled)
        elif case.scenario is Scenario.WARM:
            failed = fill(case, private, label=label, threads=threads, on_event=on_event, interpreter=interpreter)
            if failed is not None:
                yield failed
                return
            if keep_filled is not None:
                private.keep(keep_filled)
        for _ in range(samples):
            private.restore()
            record = run_sample(case, private, label=label, threads=threads, on_event=on_event, interpreter=interpreter)
            if case.scenario is Scenario.COLD and keep_filled is not None and record.failure is None:
                private.keep(keep_filled)
            yield record


def fill(
    case: Case,
    private: PrivateCaches,
    *,
    label: str = "",
    threads: int = 1,
    on_event: Callable[[Event], None] | None = None,
    interpreter: Interpreter | None = None,
) -> Record | None:
    """Fill the caches for warm samples, by an identical process.

    Returns
    -------
    Record or None
        The failure, as a record of `case`; None where the caches are filled and saved.
    """
    filling = replace(case, scenario=Scenario.COLD, evaluations=0)
    filled = run_sample(filling, private, label=label, threads=threads, on_event=on_event, interpreter=interpreter)
    if filled.failure is not None:
        reason = replace(filled.failure, message=WHILE_FILLING + filled.failure.message)
        return replace(filled, case=case, failure=reason)
    private.save()
    return None


def run_sample(
    case: Case,
    private: PrivateCaches,
    *,
    label: str = "",
    threads: int = 1,
    on_event: Callable[[Event], None] | None = None,
    interpreter: Interpreter | None = None,
) -> Record:
    """Measure one sample with the caches as they are.

    Returns
    -------
    Record
        Always: a worker that crashes, is killed or passes a limit gives a record that says so.
    """
    task = make_task(case, private, label=label, threads=threads, interpreter=interpreter)
    heard = Session(task, private, on_event or (lambda _: None), heard=Heard(), interpreter=interpreter).run()
    return conclude(task, heard)


def make_task(
    case: Case,
    private: PrivateCaches,
    *,
    label: str = "",
    threads: int = 1,
    interpreter: Interpreter | None = None,
) -> Task:
    """Make the task of one sample, with the environment as it is now."""
    return Task(
        case=case,
        record_id=uuid.uuid4().hex,
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        environment=describe_environment(threads=threads, label=label, interpreter=interpreter),
        cache_folder=str(private.folder / caches.CACHES),
    )


def conclude(task: Task, heard: Heard) -> Record:
    """Make a record of what was heard.

    Parameters
    ----------
    task : Task
        What was asked for.
    heard : Heard
        What came back.

    Returns
    -------
    Record
        The worker's own where it sent one, with memory, process-tree peaks and doubts filled in; else one with
        the phases that ended and the reason why there is no more.
    """
    phases = tuple(heard.record.phases if heard.record else heard.phases)
    phases = with_tree_peaks(phases, heard.samples, heard.zero)
    if heard.record is not None:
        failure = heard.record.failure
        if failure is not None:
            failure = replace(failure, stderr_tail=heard.stderr_tail)
        retained = heard.record.memory.retained_bytes if heard.record.memory else None
        record = replace(heard.record, failure=failure)
    else:
        status, kind, message = explain_end(task.case, heard)
        retained = None
        record = Record(
            record_id=task.record_id,
            started_at=task.started_at,
            case=task.case,
            status=status,
            environment=task.environment,
            failure=Failure(kind=kind, message=message, phase=heard.phase, stderr_tail=heard.stderr_tail),
        )
    whole = phases if record.status in (Status.OK, Status.MISMATCH) else ()
    memory = summarise(whole, heard.samples, heard.zero, retained)
    record = replace(record, phases=phases, memory=memory)
    return replace(record, doubts=find_doubts(record))


def explain_end(case: Case, heard: Heard) -> tuple[Status, str, str]:
    """Say why a worker ended without a last word.

    Returns
    -------
    tuple of (Status, str, str)
        How it ended, the kind of failure, and a message with the next step.
    """
    where = f" in phase {heard.place}" if heard.place else " before its first phase"
    if heard.over_limit_bytes and case.memory_limit_bytes:
        return (
            Status.OUT_OF_MEMORY,
            "MemoryLimit",
            f"the process tree reached {format_bytes(heard.over_limit_bytes)}, over its limit of "
            f"{format_bytes(case.memory_limit_bytes)},{where}. Raise --memory-limit or make the model smaller",
        )
    if heard.timed_out and case.time_limit_seconds:
        return (
            Status.TIMEOUT,
            "TimeLimit",
            f"stopped{where} after its limit of {format_seconds(case.time_limit_seconds)}. Raise --time-limit "
            "or make the model smaller",
        )
    if heard.garbage:
        return (
            Status.CRASHED,
            "WorkerError",
            f"the worker broke the protocol{where}: {heard.garbage}. Does the model write to file descriptors "
            "that are not its own?",
        )
    if heard.watcher_ended:
        return (
            Status.CRASHED,
            "WatcherEnded",
            f"firstgrad's own watcher process was ended{where}, so the worker was stopped. Measure again; if it "
            "recurs, look for what kills processes here (the system's out-of-memory killer does that)",
        )
    if heard.return_code < 0:
        name = _signal_name(-heard.return_code)
        hint = " (the system's out-of-memory killer does that)" if name == "SIGKILL" else ""
        return Status.CRASHED, name, f"the worker was ended by {name}{hint}{where}"
    return (
        Status.CRASHED,
        "WorkerExit",
        f"the worker ended with code {heard.return_code} and without a record{where}",
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have no name
        return f"signal {number}"
