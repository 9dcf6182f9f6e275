"""Time that stood still: a sample that was stopped is no slow one, no censored one, and is measured again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tracemalloc

import pytest

from builders import FIRSTGRAD
from firstgrad.case import Scenario
from firstgrad.codec import to_json
from firstgrad.doubts import is_to_be_repeated, why_unusable
from firstgrad.measuring import session
from firstgrad.measuring.events import PhaseBegan
from firstgrad.measuring.interpreter import Interpreter
from firstgrad.measuring.launch import measure
from firstgrad.model import Model
from firstgrad.phase import Phase
from firstgrad.record import Doubt, Status
from firstgrad.store import Store
from helpers import MIB, is_alive, linux_only, make_case, numbers_in, wait_for, write_model

pytestmark = [linux_only, pytest.mark.timeout(100)]

STOPPED_SECONDS = 3.0
"""As long as the time limit, which a sample that took it for its own would pass."""

STOP = """
pid = {who}
subprocess.Popen(["sh", "-c", f"sleep {seconds}; kill -CONT {{pid}}"])
os.kill(pid, signal.SIGSTOP)
"""
A_CHILD = 'subprocess.Popen(["sleep", "0.1"]).pid'


def run(folder, body, **fields):
    (record,) = measure(make_case(write_model(folder, body), **fields))
    return record


@pytest.mark.parametrize(("who", "then"), [("os.getpid()", ""), (A_CHILD, "os.waitpid(pid, 0)\n")])
def test_a_worker_or_one_of_its_compilers_that_was_stopped_is_no_timeout(tmp_path, who, then):
    body = STOP.format(who=who, seconds=STOPPED_SECONDS) + then + "return Model()"
    record = run(tmp_path, body, time_limit_seconds=STOPPED_SECONDS)
    assert (record.status, record.failure) == (Status.OK, None)
    # As far as it was seen so, which on a busy machine is less than all of it.
    assert 0.6 * STOPPED_SECONDS < record.suspended_seconds < STOPPED_SECONDS + 1
    assert Doubt.SUSPENDED in record.doubts
    assert why_unusable(record).startswith("it stood still for ")


def test_one_that_is_never_continued_ends_all_the_same_and_is_not_censored(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "_SILENT_SECONDS", 1.0)
    record = run(tmp_path, "os.kill(os.getpid(), signal.SIGSTOP)", time_limit_seconds=1.0)
    assert (record.status, record.failure.kind) == (Status.FAILED, "NeverContinued")
    assert "nobody let it go on" in record.failure.message
    assert not is_to_be_repeated(record)
    assert Doubt.SUSPENDED in record.doubts


@pytest.mark.parametrize("stop", [os.killpg, os.kill], ids=["the group, as Ctrl-Z does", "the parent alone"])
def test_a_sweep_that_is_stopped_and_continued_measures_that_sample_again_and_skips_none(tmp_path, stop):
    body = f"""
with open({str(tmp_path / "workers")!r}, "a") as file: file.write(f"{{os.getpid()}}\\n")
if len(open(file.name).readlines()) == 1:
    time.sleep(0.7)
return Model()
"""
    command = [FIRSTGRAD, "sweep", write_model(tmp_path, body), "--backend", "fake", "--evaluations", "3"]
    options = ["--samples", "2", "--time-limit", str(STOPPED_SECONDS)]
    with subprocess.Popen(
        [*command, *options], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as sweep:
        try:
            wait_for(lambda: numbers_in(tmp_path / "workers"), seconds=30, what="the first sample")
            stop(sweep.pid, signal.SIGSTOP)
            time.sleep(STOPPED_SECONDS)
            stop(sweep.pid, signal.SIGCONT)
            _, said = sweep.communicate(timeout=60)
        finally:
            sweep.kill()
    with Store.open(tmp_path / ".firstgrad" / "results.sqlite") as store:
        records = list(store.records())
    assert sweep.returncode == 0, said
    assert [Doubt.SUSPENDED in record.doubts for record in records] == [True, False, False]
    assert [record.status for record in records] == [Status.OK] * 3
    assert "it stood still for" in said
    assert "2 ok" in said


def test_a_display_that_is_stuck_beyond_the_limit_costs_no_record_that_is_there(tmp_path):
    # As with Ctrl-S on a terminal: the worker has more to say than its pipe holds, and waits to be heard.
    stuck = iter([2.5])
    case = make_case(write_model(tmp_path, "return Model()"), evaluations=20_000, time_limit_seconds=2.0)
    (record,) = measure(case, on_event=lambda event: time.sleep(next(stuck, 0)) if is_build(event) else None)
    assert (record.status, record.suspended_seconds) == (Status.OK, 0.0)
    assert len(record.evaluation_seconds) == 20_000


def is_build(event):
    return isinstance(event, PhaseBegan) and event.phase is Phase.BUILD


def test_a_busy_machine_is_no_suspension(tmp_path):
    spinners = [
        subprocess.Popen([sys.executable, "-ISc", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        record = run(tmp_path, "time.sleep(0.5); sum(range(3_000_000)); return Model()", time_limit_seconds=60.0)
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()
    assert (record.status, record.suspended_seconds) == (Status.OK, 0.0)


def test_a_sample_that_sleeps_is_no_suspension(tmp_path):
    record = run(tmp_path, "time.sleep(2.5); return Model()")
    assert (record.status, record.suspended_seconds) == (Status.OK, 0.0)


STOP_WATCHER = """
for name in os.listdir("/proc"):
    try: words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\\0") if name.isdigit() else []
    except OSError: continue
    own = os.environ["TMPDIR"].removesuffix("/tmp").encode() in words
    if own and any(word.endswith(b"watcher.py") for word in words):
        os.kill(int(name), signal.SIGSTOP)
        Path(WATCHER).write_text(f"{name}\\n")
        break
"""


@pytest.mark.parametrize(
    ("then", "status"), [("time.sleep(60)", Status.CRASHED), ("return Model()", Status.OK)], ids=["stuck", "ended"]
)
def test_a_watcher_that_is_stopped_is_missed_and_ended(tmp_path, monkeypatch, then, status):
    monkeypatch.setattr(session, "_SILENT_SECONDS", 2.0)
    monkeypatch.setattr(session, "_STOP_SECONDS", 2.0)
    pid = tmp_path / "watcher"
    body = STOP_WATCHER.replace("WATCHER", repr(str(pid)))
    first = "if True:\n" + "".join(f"    {line}\n" for line in (body + then).strip().splitlines())
    began = time.monotonic()
    stopped = run(tmp_path, first + "return Model()")
    assert time.monotonic() - began < 30
    assert stopped.status is status
    assert stopped.failure is None or stopped.failure.kind == "WatcherEnded"
    (watcher,) = numbers_in(pid)
    assert not is_alive(watcher)


def test_what_a_model_prints_is_kept_from_filling_the_disk_and_its_end_is_kept(tmp_path):
    # It waits until the disk is free again: on a busy machine that may take a moment, and it must happen.
    body = """
most = 16 << 20
for _ in range(8):
    os.write(2, b"x" * most)
    while os.fstat(2).st_blocks * 512 > most:
        time.sleep(0.01)
os.write(2, b"\\n" + b"the last words\\n" * 3)
os._exit(1)
"""
    record = run(tmp_path, body, time_limit_seconds=60.0)
    assert (record.status, record.failure.kind) == (Status.CRASHED, "WorkerExit")
    assert record.failure.stderr_tail[-3:] == ("the last words",) * 3


def test_of_a_huge_file_only_the_end_is_read(tmp_path):
    tracemalloc.start()
    try:
        record = run(tmp_path, 'os.ftruncate(2, 2**36); os.write(2, b"\\nthe end\\n"); os._exit(1)')
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert record.failure.stderr_tail[-1] == "the end"
    assert most_bytes < 32 * MIB


@pytest.mark.parametrize("when", ["now", "at its end"])
@pytest.mark.parametrize("scenario", [Scenario.COLD, Scenario.WARM])
def test_a_private_folder_that_a_model_removes_gives_a_record_and_the_next_sample_has_another(tmp_path, scenario, when):
    body = f"""
import atexit, shutil
first = Path({str(tmp_path / "first")!r})
if not first.exists():
    first.touch()
    folder = os.environ["TMPDIR"].removesuffix("/tmp")
    {"shutil.rmtree(folder)" if when == "now" else "atexit.register(shutil.rmtree, folder)"}
return Model()
"""
    one, good = measure_twice(make_case(write_model(tmp_path, body), scenario=scenario))
    assert (good.status, why_unusable(good)) == (Status.OK, "")
    if scenario is Scenario.WARM and when == "at its end":
        assert one.status is Status.FAILED
        assert one.failure.message.startswith("while filling the cache: ")
    else:
        assert (one.status, why_unusable(one)) == (Status.OK, "")


def measure_twice(case):
    """Two samples, in one call where the first leaves one."""
    records = list(measure(case, samples=2))
    return records if len(records) == 2 else [*records, *measure(case)]


@pytest.mark.parametrize("mib", [1, 100])
def test_a_huge_message_is_cut_and_breaks_nothing(tmp_path, mib):
    record = run(tmp_path, f"class Long(MemoryError): pass\nraise Long('begins ' + 'x' * ({mib} << 20) + ' ends')")
    assert (record.status, record.failure.kind) == (Status.OUT_OF_MEMORY, "Long")
    assert record.failure.message.startswith("begins xxx")
    assert record.failure.message.endswith("xxx ends")
    assert "characters left out" in record.failure.message
    assert len(to_json(record)) < 200_000


def test_an_error_whose_text_cannot_be_had_is_a_failure_all_the_same(tmp_path):
    record = run(tmp_path, "class Mute(MemoryError):\n    def __str__(self): return 1 / 0\nraise Mute")
    assert (record.status, record.failure.kind) == (Status.OUT_OF_MEMORY, "Mute")
    assert "ZeroDivisionError" in record.failure.message


def test_a_worker_that_never_reads_its_task_passes_its_limit(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 1000\n")
    python.chmod(0o755)
    model = Model(reference=write_model(tmp_path, "return Model()"), parameters=(("s", "x" * (1 << 20)),))
    interpreter = Interpreter(python=python, version="3.13.0", packages=())
    (record,) = measure(make_case(model=model, time_limit_seconds=1.0), interpreter=interpreter)
    assert (record.status, record.failure.kind) == (Status.TIMEOUT, "TimeLimit")
