"""The parent's side: a case in, records out. Imports no PyMC, PyTensor, JAX or Numba."""

from __future__ import annotations

import logging
import signal
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from firstgrad.case import Counting, Scenario
from firstgrad.columns import WHILE_FILLING
from firstgrad.doubts import NEVER_CONTINUED, SUSPENDED_SECONDS, find_doubts, why_impossible, why_unusable
from firstgrad.errors import FirstgradError, SpecError
from firstgrad.measuring.environment import (
    check_devices,
    describe_environment,
    is_same_version,
    look_at_clone,
    packages_here,
    with_sampler,
)
from firstgrad.measuring.events import Task
from firstgrad.measuring.private import PrivateCaches
from firstgrad.measuring.session import Transcript, run_worker
from firstgrad.observe.simulator import find_valgrind
from firstgrad.record import Failure, Memory, MemoryPoint, Record, Status
from firstgrad.sources import HELD, LIVE, SAMPLERS, check_reference, read_source
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from firstgrad.case import Case
    from firstgrad.measuring.events import Event
    from firstgrad.measuring.interpreter import Interpreter
    from firstgrad.measuring.session import TreeSample
    from firstgrad.record import Environment, PhaseRecord

_LOG = logging.getLogger(__name__)
logging.getLogger("firstgrad").addHandler(logging.NullHandler())  # who wants to hear it sets up logging

STOPPED = "Stopped"
"""Kind of failure of a sample that whoever listened to it had stopped."""
TIMELINE_POINTS = 600
"""At most so many points of a memory time line are kept."""


class SampleOptions(TypedDict, total=False):
    """How each sample of a call is measured; `measure` says what they are."""

    label: str
    threads: int
    on_event: Callable[[Event], None] | None
    interpreter: Interpreter | None


def measure(
    case: Case,
    *,
    samples: int = 1,
    label: str = "",
    threads: int = 1,
    on_event: Callable[[Event], None] | None = None,
    keep_filled: Path | None = None,
    interpreter: Interpreter | None = None,
    warn: Callable[[str], object] = _LOG.warning,
) -> Generator[Record]:
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
        Folder in which a filled cache is kept between calls: a ``cold`` or the first ``warm`` one moves it there when
        it is asked for more than its last record, further ``warm`` ones read it. Only for calls that differ in
        nothing but the scenario.
    interpreter : Interpreter, optional
        Another Python that is to measure; this process's where left out.
    warn : callable
        Told where a filled cache can't be kept. Later samples fill their own then.

    Yields
    ------
    Record
        One a sample, as soon as it is there. Failures, crashes and limits are records too.
    """
    check_devices([case], interpreter.python if interpreter else None)
    if case.counting is Counting.SIMULATED:
        find_valgrind()
    options = SampleOptions(label=label, threads=threads, on_event=on_event, interpreter=interpreter)
    with PrivateCaches() as private:
        if case.scenario is Scenario.WARM and keep_filled is not None and keep_filled.is_dir():
            private.load_from(keep_filled)
        record = None
        for _ in range(samples):
            failed = _prepare(case, private, **options)
            if failed is not None:
                yield failed
                return
            record = run_sample(case, private, **options)
            yield record
        # Last: whoever takes a record has stored it before anything else can go wrong
        if keep_filled is not None and record is not None and record.failure is None:
            try:
                private.keep(keep_filled, was_saved=case.scenario is Scenario.WARM)
            except OSError as error:
                why = error.strerror or type(error).__name__
                warn(f"the cache that {case} filled can't be kept ({why}): warm samples of it fill their own")


def _prepare(case: Case, private: PrivateCaches, **options: Unpack[SampleOptions]) -> Record | None:
    """Bring the caches into the state from which a sample starts; a record of the failure where that can't be."""
    try:
        if not private.restore() and case.scenario is Scenario.WARM:
            failed = fill(case, private, **options)
            if failed is not None:
                return failed
            private.restore()
    except FirstgradError as error:  # this cache has no room; those of other cases may have
        return _unmeasured(make_task(case, private, **options), Failure(kind="NoRoom", message=str(error)))
    return None


def fill(case: Case, private: PrivateCaches, **options: Unpack[SampleOptions]) -> Record | None:
    """Fill the caches for warm samples, by an identical process.

    Returns
    -------
    Record or None
        The failure, as a record of `case`; None where the caches are filled and saved.
    """
    _LOG.info("warm: an identical process fills the caches first, and each sample starts from a copy of them")
    filled = run_sample(replace(case, scenario=Scenario.COLD, evaluations=0), private, **options)
    if filled.failure is not None:
        reason = replace(filled.failure, message=WHILE_FILLING + filled.failure.message)
        limit = filled.case.time_limit_seconds  # shorter where it was stopped earlier
        return replace(filled, case=replace(case, time_limit_seconds=limit), failure=reason)
    if not private.caches.is_dir():
        message = f"{WHILE_FILLING}somebody removed it, {private.caches}. Does the model remove folders not its own?"
        reason = Failure(kind="CacheRemoved", message=message)
        return replace(filled, case=case, status=Status.FAILED, failure=reason)
    private.save()
    return None


def run_sample(case: Case, private: PrivateCaches, **options: Unpack[SampleOptions]) -> Record:
    """Measure one sample with the caches as they are.

    Returns
    -------
    Record
        Always: a worker that crashes, is killed or passes a limit gives a record that says so.
    """
    task = make_task(case, private, **options)
    on_event, interpreter = options.get("on_event"), options.get("interpreter")
    record = conclude(task, run_worker(task, private, Transcript(), on_event, interpreter=interpreter))
    used = "no caches"
    if caches := record.caches:
        before, read, written = caches.entries_before, caches.entries_read, caches.entries_written
        used = f"{before} cache entries before, {read} read, {written} written"
    _LOG.info("sample %.8s: %s; %s", task.record_id, why_unusable(record) or record.status, used)
    return record


def make_task(case: Case, private: PrivateCaches, sampler: str = "", **options: Unpack[SampleOptions]) -> Task:
    """Make the task of one sample, with the environment and the model's files as they are now.

    Of samplers the environment has `sampler`, or whom the case may draw with: another one's version says nothing.
    """
    interpreter = options.get("interpreter")
    threads, label = options.get("threads", 1), options.get("label", "")
    sampler = sampler or case.sampler_package
    packages = with_sampler(interpreter.packages if interpreter else packages_here(), sampler)
    if interpreter:
        environment = interpreter.describe(threads=threads, label=label, sampler=sampler)
    else:
        environment = describe_environment(threads=threads, label=label, packages=packages)
    source = read_source(case.model.reference, interpreter.folder if interpreter else None)
    live_file = _put_live_model(case, private, interpreter)
    return Task(
        case=case,
        record_id=uuid.uuid4().hex,
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        environment=replace(environment, source_digest=source.digest),
        cache_folder=str(private.caches),
        packages=tuple((package.name, package.folder) for package in packages),
        live_file=live_file,
    )


def _put_live_model(case: Case, private: PrivateCaches, interpreter: Interpreter | None) -> str:
    """Write a live model where its worker finds it; '' for any other model."""
    reference = case.model.reference
    if not reference.startswith(LIVE):
        return ""
    check_reference(reference)
    if interpreter is not None:
        raise SpecError(
            "model",
            f"{reference} is a live model, which only this Python can measure. For another one write a "
            "function that makes it, and give file.py:function",
        )
    file = private.folder / "model.live"
    file.write_bytes(HELD[reference].content)
    return str(file)


def conclude(task: Task, transcript: Transcript) -> Record:
    """Make a record of what was heard.

    Returns
    -------
    Record
        The worker's own where it sent one, with memory, process-tree peaks and doubts filled in; else one with
        the phases that ended and the reason why there is no more.
    """
    if transcript.stopped and transcript.record is None:
        limit = max(round(transcript.stopped_seconds, 3), 0.001)  # its numbers are censored there, as by a limit
        task = replace(task, case=replace(task.case, time_limit_seconds=limit))
    phases = tuple(transcript.record.phases if transcript.record else transcript.phases)
    phases = with_tree_peaks(phases, transcript.samples, transcript.zero)
    retained = None
    if transcript.record is not None:
        failure = transcript.record.failure
        if failure is not None:
            failure = replace(failure, stderr_tail=transcript.stderr_tail)
        retained = transcript.record.memory.retained_bytes if transcript.record.memory else None
        record = replace(transcript.record, failure=failure)
    else:
        status, kind, message = explain_end(task.case, transcript)
        failure = Failure(kind=kind, message=message, phase=transcript.phase, stderr_tail=transcript.stderr_tail)
        record = _unmeasured(task, failure, status)
    whole = phases if record.status in (Status.OK, Status.MISMATCH) else ()
    memory = summarise_memory(whole, transcript.samples, transcript.zero, retained)
    environment = with_conditions(record.environment, transcript)
    suspended_seconds = round(transcript.suspended_seconds, 3)
    record = replace(record, environment=environment, phases=phases, memory=memory, suspended_seconds=suspended_seconds)
    why = why_impossible(record, lasted_seconds=transcript.lasted_seconds)
    failure = find_untrue(task, transcript, why)
    if failure is not None:
        record = replace(record, status=Status.FAILED, failure=failure)
    return replace(record, doubts=find_doubts(record))


def _unmeasured(task: Task, failure: Failure, status: Status = Status.FAILED) -> Record:
    """Make the record of a sample that told none itself."""
    return Record(
        record_id=task.record_id,
        started_at=task.started_at,
        case=task.case,
        status=status,
        environment=task.environment,
        failure=failure,
    )


def find_untrue(task: Task, transcript: Transcript, impossible: str) -> Failure | None:
    """Find why what a worker told isn't true: of what it imported, or for numbers that are impossible ('' for none)."""
    kind, message = "OtherImport", _find_other_import(task, transcript)
    if impossible and not message:
        kind, message = (
            "ImpossibleNumbers",
            f"{impossible}: no clock shows that. Does the model's code change clocks, or firstgrad's own "
            "modules? Where it doesn't, please report it with this record",
        )
    return Failure(kind=kind, message=message, stderr_tail=transcript.stderr_tail) if message else None


def _find_other_import(task: Task, transcript: Transcript) -> str:
    """Find a package that was imported from elsewhere than announced, in another version, or from changed sources."""
    folders, environment = dict(task.packages), task.environment
    versions, clones = dict(environment.versions), {clone.name: clone for clone in environment.clones}
    reasons = []
    for package in transcript.conditions.imported if transcript.conditions and folders else ():
        if package.name in SAMPLERS - folders.keys():
            continue  # which the model imports, and nobody draws with
        name, announced, version = package.name, folders.get(package.name), versions.get(package.name, "")
        if package.folder != announced:
            reasons.append(
                f"{name} {package.version} was imported from {package.folder}, and announced was "
                f"{announced or 'none'}: these are no numbers of {name} {version or 'as announced'}. Does the model "
                "change sys.path, or what is installed? To measure a clone, install it (pip install -e) or name its "
                "folder in PYTHONPATH"
            )
        elif name != "firstgrad" and name not in clones and not is_same_version(package.version, version):
            reasons.append(
                f"{name} in {package.folder} says that it is {package.version}, and {version} is installed there. "
                f"Install {name} anew, and measure again"
            )
    for clone in clones.values():
        if (now := look_at_clone(clone.name, Path(clone.folder))) != clone:
            where = f"the sources of {clone.name} in {clone.folder}"
            reasons.append(f"{where} were {clone.state} before the sample, and {now.state} after it. Measure again")
    return ". ".join(reasons)


def with_conditions(environment: Environment, transcript: Transcript) -> Environment:
    """Add what only the worker sees of its environment, as far as it came to tell."""
    conditions = transcript.conditions
    if conditions is None:
        return environment
    own = {package.name: package.version for package in conditions.imported}
    clones = {clone.name for clone in environment.clones}
    versions = ((name, own.get(name, number) if name in clones else number) for name, number in environment.versions)
    return replace(environment, device=conditions.device, bytecode=conditions.bytecode, versions=tuple(versions))


def explain_end(case: Case, transcript: Transcript) -> tuple[Status, str, str]:
    """Say why a worker ended without a last word.

    Returns
    -------
    tuple of (Status, str, str)
        How it ended, the kind of failure, and a message with the next step.
    """
    where = f" in phase {transcript.place}" if transcript.place else " before its first phase"
    if transcript.over_limit_bytes and case.memory_limit_bytes:
        return (
            Status.OUT_OF_MEMORY,
            "MemoryLimit",
            f"the process tree reached {format_bytes(transcript.over_limit_bytes)}, over its limit of "
            f"{format_bytes(case.memory_limit_bytes)},{where}. Raise --memory-limit or make the model smaller",
        )
    if transcript.timed_out and case.time_limit_seconds:
        return _explain_time(transcript, where, case.time_limit_seconds)
    if transcript.garbage:
        return (
            Status.CRASHED,
            "WorkerError",
            f"the worker broke the protocol{where}: {transcript.garbage}. Does the model write to file descriptors "
            "that are not its own?",
        )
    if transcript.watcher_ended:
        return (
            Status.CRASHED,
            "WatcherEnded",
            f"firstgrad's own watcher process was ended{where}, or didn't speak any more, so the worker was stopped. "
            "Measure again; if it recurs, look for what kills or stops processes here (the system's out-of-memory "
            "killer does that)",
        )
    if transcript.return_code < 0:
        name = _signal_name(-transcript.return_code)
        hint = " (the system's out-of-memory killer does that)" if name == "SIGKILL" else ""
        return Status.CRASHED, name, f"the worker was ended by {name}{hint}{where}"
    return (
        Status.CRASHED,
        "WorkerExit",
        f"the worker ended with code {transcript.return_code} and without a record{where}",
    )


def _explain_time(transcript: Transcript, where: str, limit_seconds: float) -> tuple[Status, str, str]:
    """Say what it means that a time limit was passed: of one that stood still for a while, nothing."""
    if transcript.stopped:
        return Status.TIMEOUT, STOPPED, f"stopped{where} after {format_seconds(limit_seconds)}: {transcript.stopped}"
    how = f"stopped{where} after its limit of {format_seconds(limit_seconds)}"
    if transcript.suspended_seconds < SUSPENDED_SECONDS:
        return Status.TIMEOUT, "TimeLimit", f"{how}. Raise --time-limit or make the model smaller"
    if transcript.never_continued:
        return (
            Status.FAILED,
            NEVER_CONTINUED,
            f"{how}: one of its processes was stopped for {format_seconds(transcript.suspended_seconds)}, and nobody "
            "let it go on. Does the model stop itself, or read from a terminal in the background?",
        )
    return (
        Status.FAILED,
        "Suspended",
        f"{how}, but it stood still for {format_seconds(transcript.suspended_seconds)} (stopped by Ctrl-Z or a signal, "
        "or the machine slept): this says nothing about the model. Measure again, and let it run",
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have no name
        return f"signal {number}"


def with_tree_peaks(
    phases: Sequence[PhaseRecord], samples: Sequence[TreeSample], zero: float
) -> tuple[PhaseRecord, ...]:
    """Give each phase the peak of its process tree.

    The process's own peak is exact; a tree that was seen larger from outside (compilers) counts instead.

    Parameters
    ----------
    phases : sequence of PhaseRecord
        As the worker sent them.
    samples : sequence of TreeSample
        In order of time.
    zero : float
        Reading of the monotonic clock at the start of the worker's clock.
    """
    result = []
    for phase, after in zip_longest(phases, phases[1:]):
        began = zero + phase.began_seconds
        ended = began + phase.wall_seconds
        if after is not None:
            # `link` has seconds that passed before `rewrite`: it is longer than the time until the next phase.
            ended = min(ended, zero + after.began_seconds)
        peaks = [sample.rss_bytes for sample in samples if began <= sample.monotonic_seconds <= ended]
        if phase.self_peak_rss_bytes is not None:
            peaks.append(phase.self_peak_rss_bytes)
        result.append(replace(phase, peak_rss_bytes=max(peaks, default=None)))
    return tuple(result)


def summarise_memory(
    phases: Sequence[PhaseRecord], samples: Sequence[TreeSample], zero: float, retained_bytes: int | None
) -> Memory | None:
    """Summarise a sample's memory, from its start to the end of its last phase; None where nothing at all was seen.

    What comes after the last phase (the check against the oracle) is firstgrad's own and not counted.
    """
    ended = max((phase.began_seconds + phase.wall_seconds for phase in phases), default=None)
    counted = [sample for sample in samples if ended is None or sample.monotonic_seconds <= zero + ended]
    own = [phase.self_peak_rss_bytes for phase in phases if phase.self_peak_rss_bytes is not None]
    peaks = [*(sample.rss_bytes for sample in counted), *own]
    if not peaks:
        return None
    return Memory(
        peak_rss_bytes=max(peaks),
        self_peak_rss_bytes=max(own, default=None),
        children_peak_rss_bytes=max((sample.children_rss_bytes for sample in counted), default=0),
        retained_bytes=retained_bytes,
        timeline=thin_timeline(counted, zero),
    )


def thin_timeline(
    samples: Sequence[TreeSample], zero: float, *, points: int = TIMELINE_POINTS
) -> tuple[MemoryPoint, ...]:
    """Thin a time line to at most `points`, counted from `zero`: of each stretch its highest point is kept."""
    stretch = max(1, -(-len(samples) // points))
    highest = (
        max(samples[start : start + stretch], key=lambda sample: sample.rss_bytes)
        for start in range(0, len(samples), stretch)
    )
    return tuple(
        MemoryPoint(
            at_seconds=round(sample.monotonic_seconds - zero, 4),
            rss_bytes=sample.rss_bytes,
            children_rss_bytes=sample.children_rss_bytes,
        )
        for sample in highest
    )
