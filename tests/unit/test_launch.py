"""What the parent makes of what it heard, without any process."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.measuring.launch import TIMELINE_POINTS, conclude, summarise_memory, thin_timeline, with_tree_peaks
from firstgrad.measuring.session import Transcript, TreeSample, read_sample
from firstgrad.phase import Phase
from firstgrad.record import CacheUse, Doubt, Failure, Memory, MemoryPoint, PhaseRecord, Status
from helpers import MIB, make_case, make_environment, make_record, make_task

ZERO = 1000.0
TASK = make_task(case=make_case(time_limit_seconds=60.0, memory_limit_bytes=200 * MIB))


def phase(name, began, wall, own=None):
    return PhaseRecord(phase=name, began_seconds=began, wall_seconds=wall, cpu_seconds=0.0, self_peak_rss_bytes=own)


def heard(**fields):
    known = {"zero": ZERO, "phase": Phase.REWRITE, "phases": [phase(Phase.BUILD, 0.0, 1.0)]}
    return Transcript(**known | fields)


def end_of(**fields):
    record = conclude(TASK, heard(**fields))
    assert record.failure is not None
    return record.status, record.failure.kind, record.failure.message


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (-signal.SIGSEGV, "SIGSEGV"),
        (-signal.SIGABRT, "SIGABRT"),
        (-signal.SIGKILL, "SIGKILL"),
        (-40, "signal 40"),  # a real-time signal, which has no name
    ],
)
def test_a_signal_is_named(code, kind):
    status, found, message = end_of(return_code=code)
    assert (status, found) == (Status.CRASHED, kind)
    assert message.startswith(f"the worker was ended by {kind}")
    assert message.endswith("in phase rewrite")
    assert ("out-of-memory killer" in message) == (kind == "SIGKILL")


@pytest.mark.parametrize("code", [0, 1, 3])
def test_an_exit_without_a_record_is_a_crash(code):
    why = f"the worker ended with code {code} and without a record in phase rewrite"
    assert end_of(return_code=code) == (Status.CRASHED, "WorkerExit", why)
    assert end_of(phase=None, return_code=code)[2].endswith("without a record before its first phase")


def test_the_time_limit_is_named_with_what_to_do():
    status, kind, message = end_of(timed_out=True, return_code=-signal.SIGKILL)
    assert (status, kind) == (Status.TIMEOUT, "TimeLimit")
    assert message.startswith("stopped in phase rewrite after its limit of 60.0 s.")
    assert "--time-limit" in message


def test_a_time_limit_of_one_that_stood_still_says_nothing_about_the_model():
    status, kind, message = end_of(timed_out=True, suspended_seconds=8.0, return_code=-signal.SIGKILL)
    assert (status, kind) == (Status.FAILED, "Suspended")
    assert [
        word for word in ("limit of 60.0 s", "stood still for 8.00 s", "Measure again") if word not in message
    ] == []
    record = conclude(TASK, heard(timed_out=True, suspended_seconds=8.0))
    assert (record.suspended_seconds, record.doubts) == (8.0, (Doubt.SUSPENDED,))
    assert end_of(timed_out=True, suspended_seconds=0.01)[0] is Status.TIMEOUT


@pytest.mark.parametrize(
    ("fields", "status", "kind", "words"),
    [
        (
            {"over_limit_bytes": 300 * MIB},
            Status.OUT_OF_MEMORY,
            "MemoryLimit",
            ("300 MiB", "limit of 200 MiB", "in phase rewrite", "--memory-limit"),
        ),
        ({"garbage": "not an event: b'hello'"}, Status.CRASHED, "WorkerError", ("not an event: b'hello'",)),
        ({"watcher_ended": True}, Status.CRASHED, "WatcherEnded", ("watcher",)),
    ],
)
def test_the_memory_limit_a_broken_protocol_and_a_dead_watcher_are_named(fields, status, kind, words):
    *found, message = end_of(**fields, return_code=-signal.SIGKILL)
    assert found == [status, kind]
    assert [word for word in words if word not in message] == []


def test_a_limit_explains_more_than_what_followed_from_it():
    limits = {"over_limit_bytes": 300 * MIB, "timed_out": True, "garbage": "its last line broke off"}
    assert end_of(**limits, watcher_ended=True, return_code=-9)[0] is Status.OUT_OF_MEMORY
    del limits["over_limit_bytes"]
    assert end_of(**limits, watcher_ended=True, return_code=-9)[0] is Status.TIMEOUT


def test_what_is_known_of_a_dead_worker_is_kept():
    samples = [TreeSample(ZERO + 0.5, 50, 10, 2), TreeSample(ZERO + 9.0, 90, 30, 3)]
    found = heard(return_code=-signal.SIGSEGV, samples=samples, stderr_tail=("first", "last"))
    record = conclude(TASK, found)
    assert (record.record_id, record.started_at, record.case) == (TASK.record_id, TASK.started_at, TASK.case)
    assert record.environment == TASK.environment
    assert record.failure.phase is Phase.REWRITE
    assert record.failure.stderr_tail == ("first", "last")
    assert [(each.phase, each.peak_rss_bytes) for each in record.phases] == [(Phase.BUILD, 50)]
    # Also what was seen after the last phase that ended: that is where it died.
    assert (record.memory.peak_rss_bytes, record.memory.children_peak_rss_bytes) == (90, 30)


def test_of_a_worker_that_said_and_used_nothing_there_is_still_a_record():
    record = conclude(TASK, Transcript(zero=ZERO, return_code=1))
    assert (record.status, record.phases, record.memory) == (Status.CRASHED, (), None)


def test_the_workers_own_record_gets_memory_and_peaks():
    phases = (phase(Phase.BUILD, 0.0, 1.0, own=55), phase(Phase.EVALUATE, 1.0, 1.0, own=40))
    own = make_record(phases=phases, memory=Memory(peak_rss_bytes=0, retained_bytes=7))
    samples = [
        TreeSample(ZERO + 0.5, 50, 0, 1),
        TreeSample(ZERO + 1.5, 70, 20, 2),
        TreeSample(ZERO + 2.5, 999, 888, 2),
    ]
    record = conclude(TASK, heard(record=own, samples=samples, phases=[]))
    assert record.status is Status.OK
    assert record.failure is None
    assert [each.peak_rss_bytes for each in record.phases] == [55, 70]
    assert record.memory == Memory(
        peak_rss_bytes=70,
        self_peak_rss_bytes=55,
        children_peak_rss_bytes=20,
        retained_bytes=7,
        timeline=(
            MemoryPoint(at_seconds=0.5, rss_bytes=50),
            MemoryPoint(at_seconds=1.5, rss_bytes=70, children_rss_bytes=20),
        ),
    )


def test_a_failure_that_the_worker_told_gets_its_last_lines():
    own = make_record(status=Status.FAILED, failure=Failure(kind="ModelError", message="no", phase=Phase.BUILD))
    record = conclude(TASK, heard(record=own, stderr_tail=("Traceback", "ModelError: no")))
    assert record.status is Status.FAILED
    assert record.failure == Failure(
        kind="ModelError", message="no", phase=Phase.BUILD, stderr_tail=("Traceback", "ModelError: no")
    )


def test_a_record_counts_whatever_was_heard_after_it():
    own = make_record()
    record = conclude(TASK, heard(record=own, garbage="hello", timed_out=True, return_code=-9))
    assert (record.status, record.failure) == (Status.OK, None)


def test_doubts_are_noted():
    caches = CacheUse(
        entries_before=1, entries_read=0, entries_written=1, bytes_written=1, contradiction="cold, but ..."
    )
    own = make_record(caches=caches, environment=make_environment(load_before=99.0))
    record = conclude(TASK, heard(record=own))
    assert record.doubts == (Doubt.SCENARIO_CONTRADICTED, Doubt.HIGH_LOAD)


def seen(at, rss, children=0):
    return TreeSample(ZERO + at, rss, children, 1 + bool(children))


TREE_PEAKS = {
    "the highest look within each phase": (
        [phase(Phase.BUILD, 1.0, 2.0), phase(Phase.LINK, 3.5, 1.0)],
        [seen(0.9, 99), seen(1.0, 5), seen(2.0, 7), seen(3.0, 6), seen(3.2, 88), seen(4.0, 9), seen(4.6, 77)],
        [7, 9],
    ),
    "the kernel's exact peak is higher": ([phase(Phase.BUILD, 1.0, 1.0, own=70)], [seen(1.5, 40)], [70]),
    "the kernel's exact peak is lower": ([phase(Phase.BUILD, 1.0, 1.0, own=30)], [seen(1.5, 40)], [40]),
    "nobody saw it": ([phase(Phase.BUILD, 1.0, 0.001)], [seen(5.0, 40)], [None]),
    "no phase": ([], [seen(5.0, 40)], []),
    # One second of linking passed before the rewrites: `link` is longer than the time until `first_call`.
    "time moved from another phase brings none of the next one's looks": (
        [phase(Phase.LINK, 3.0, 2.0), phase(Phase.FIRST_CALL, 4.0, 3.0)],
        [seen(3.5, 10), seen(4.5, 500)],
        [10, 500],
    ),
}


@pytest.mark.parametrize(("phases", "samples", "peaks"), TREE_PEAKS.values(), ids=TREE_PEAKS)
def test_the_peak_of_the_tree_in_each_phase(phases, samples, peaks):
    assert [each.peak_rss_bytes for each in with_tree_peaks(phases, samples, ZERO)] == peaks


def test_what_comes_after_the_last_phase_is_not_counted():
    phases = [phase(Phase.IMPORT, 0.0, 1.0, own=30), phase(Phase.EVALUATE, 2.0, 1.0, own=45)]
    samples = [seen(0.5, 20), seen(1.5, 60, children=15), seen(3.0, 50), seen(3.1, 900, children=800)]
    memory = summarise_memory(phases, samples, ZERO, 12)
    assert memory == Memory(
        peak_rss_bytes=60,
        self_peak_rss_bytes=45,
        children_peak_rss_bytes=15,
        retained_bytes=12,
        timeline=(
            MemoryPoint(at_seconds=0.5, rss_bytes=20),
            MemoryPoint(at_seconds=1.5, rss_bytes=60, children_rss_bytes=15),
            MemoryPoint(at_seconds=3.0, rss_bytes=50),
        ),
    )


def test_what_counts_for_the_whole_memory():
    def summary(phases, samples, retained=None):
        return summarise_memory(phases, samples, ZERO, retained)

    memory = summary((), [seen(1.0, 10), seen(9.0, 90, children=5)])  # without phases everything seen
    assert (memory.peak_rss_bytes, memory.children_peak_rss_bytes, memory.self_peak_rss_bytes) == (90, 5, None)
    memory = summary([phase(Phase.BUILD, 0.0, 1.0, own=500)], [seen(0.5, 20)])  # the exact mark of a phase
    assert (memory.peak_rss_bytes, memory.self_peak_rss_bytes) == (500, 500)
    assert summary((), ()) is None
    assert summary([phase(Phase.BUILD, 0.0, 1.0)], [seen(2.0, 9)], 7) is None


looks = st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)), max_size=200).map(
    lambda sizes: [seen(number * 0.25, *size) for number, size in enumerate(sizes)]
)


@given(looks, st.integers(1, 50))
def test_thinning_keeps_the_peak_and_the_order(samples, points):
    kept = thin_timeline(samples, ZERO, points=points)
    assert len(kept) <= points
    assert max((look.rss_bytes for look in kept), default=None) == max(
        (look.rss_bytes for look in samples), default=None
    )
    times = [look.at_seconds for look in kept]
    assert times == sorted(set(times))
    real = {(look.monotonic_seconds - ZERO, look.rss_bytes, look.children_rss_bytes) for look in samples}
    assert {(look.at_seconds, look.rss_bytes, look.children_rss_bytes) for look in kept} <= real


@given(looks)
def test_a_short_time_line_is_kept_whole(samples):
    assert len(samples) <= TIMELINE_POINTS
    assert [look.rss_bytes for look in thin_timeline(samples, ZERO)] == [look.rss_bytes for look in samples]


def test_a_line_of_the_watchers_is_read():
    assert read_sample("12.500000 300 100 3 8.25 4.5") == TreeSample(12.5, 300, 100, 3, 8.25, 4.5)


@pytest.mark.parametrize("line", ["", "1 2 3 4", "1 2 3 4 5 6 7", "a 2 3 4 5 6", "1 2.5 3 4 5 6"])
def test_any_other_line_is_refused(line):
    with pytest.raises(ValueError, match=r".+"):
        read_sample(line)
