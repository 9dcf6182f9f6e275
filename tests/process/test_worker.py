"""A worker may do whatever it likes: the parent returns a record, and nothing of the worker stays alive."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace

import pytest

from firstgrad.case import Scenario
from firstgrad.measuring import session
from firstgrad.measuring.events import Finished
from firstgrad.measuring.launch import STOPPED, measure
from firstgrad.measuring.session import SampleStopped
from firstgrad.phase import FIRST_GRADIENT_PHASES, Phase
from firstgrad.record import CacheUse, Status, Verdict
from helpers import MIB, FakeClock, is_alive, linux_only, make_case, numbers_in, wait_for, write_model

pytestmark = linux_only

OFFSPRING = """
pids = Path({pids!r})
def note(process):
    with pids.open("a") as file:
        print(process.pid, file=file)
note(subprocess.Popen(["sleep", "1000"]))
note(subprocess.Popen(["sleep", "1000"], start_new_session=True))
# One whose parent is gone: no tree leads to it.
subprocess.run(["sh", "-c", f"setsid env -i sleep 1000 > /dev/null 2>&1 & echo $! >> {{pids}}"])
daemon = "import subprocess; print(subprocess.Popen(['sleep', '1000'], start_new_session=True, stdout=2).pid)"
with pids.open("a") as file:
    subprocess.run([sys.executable, "-ISc", daemon], stdout=file)
"""


@pytest.fixture(autouse=True)
def base(tmp_path, monkeypatch):
    """Where private folders are made; each must be gone at the end."""
    base = tmp_path / "tmp"
    base.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(base))
    yield base
    assert list(base.iterdir()) == []


def run(folder, body, **fields):
    """Measure a model whose factory does what `body` says."""
    (record,) = measure(make_case(write_model(folder, body), **fields))
    return record


def with_offspring(folder, body):
    return OFFSPRING.format(pids=str(folder / "pids")) + body


def assert_offspring_is_gone(folder):
    pids = numbers_in(folder / "pids")
    assert len(pids) == 4
    assert [pid for pid in pids if is_alive(pid)] == []


def test_a_model_that_is_all_right(tmp_path):
    record = run(tmp_path, "return Model()")
    assert record.status is Status.OK
    assert record.failure is None
    assert [each.phase for each in record.phases] == [Phase.IMPORT, *FIRST_GRADIENT_PHASES, Phase.EVALUATE]
    assert len(record.evaluation_seconds) == 3
    assert record.caches == CacheUse(entries_before=0, entries_read=0, entries_written=1, bytes_written=18)
    assert (record.check.verdict, record.counts.values) == (Verdict.NO_ORACLE, 1)
    assert (record.environment.device, record.environment.bytecode) == ("cpu", None)
    assert record.memory.peak_rss_bytes >= record.memory.self_peak_rss_bytes > 10 * MIB
    assert all(each.peak_rss_bytes >= each.self_peak_rss_bytes for each in record.phases)


@pytest.mark.parametrize(
    ("scenario", "use"),
    [
        (Scenario.COLD, CacheUse(entries_before=0, entries_read=0, entries_written=1, bytes_written=18)),
        (Scenario.WARM, CacheUse(entries_before=1, entries_read=1, entries_written=0, bytes_written=0)),
        (Scenario.HOT, CacheUse(entries_before=1, entries_read=1, entries_written=0, bytes_written=0)),
    ],
)
def test_each_scenario_is_proven_by_each_of_its_samples(tmp_path, scenario, use):
    case = make_case(write_model(tmp_path, "return Model()"), scenario=scenario)
    assert [record.caches for record in measure(case, samples=2)] == [use, use]


def test_a_segmentation_fault(tmp_path):
    body = 'sys.stderr.write("the last words\\n"); sys.stderr.flush(); os.kill(os.getpid(), signal.SIGSEGV)'
    record = run(tmp_path, body)
    assert (record.status, record.failure.kind, record.failure.phase) == (Status.CRASHED, "SIGSEGV", Phase.BUILD)
    assert record.failure.stderr_tail == ("the last words",)
    assert [each.phase for each in record.phases] == [Phase.IMPORT]
    assert record.memory.peak_rss_bytes > 10 * MIB


def test_a_crash_leaves_none_of_its_children(tmp_path):
    record = run(tmp_path, with_offspring(tmp_path, "os.kill(os.getpid(), signal.SIGSEGV)"))
    assert record.failure.kind == "SIGSEGV"
    assert_offspring_is_gone(tmp_path)


def test_a_forked_child_that_holds_the_pipe_does_not_hide_a_crash(tmp_path):
    # As multiprocessing's "fork" does: the child has all that its parent had open.
    body = f"""
pid = os.fork()
if pid == 0:
    time.sleep(1000)
Path({str(tmp_path / "pid")!r}).write_text(f"{{pid}}\\n")
os.kill(os.getpid(), signal.SIGSEGV)
"""
    began = time.monotonic()
    record = run(tmp_path, body, time_limit_seconds=30.0)
    assert (record.status, record.failure.kind) == (Status.CRASHED, "SIGSEGV")
    assert time.monotonic() - began < 10
    (pid,) = numbers_in(tmp_path / "pid")
    assert not is_alive(pid)


def test_a_kill_from_outside(tmp_path):
    record = run(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    assert (record.status, record.failure.kind, record.failure.phase) == (Status.CRASHED, "SIGKILL", Phase.BUILD)
    assert "out-of-memory killer" in record.failure.message


def test_an_exit_from_within(tmp_path):
    record = run(tmp_path, "os._exit(3)")
    assert (record.status, record.failure.kind) == (Status.CRASHED, "WorkerExit")
    assert record.failure.message == "the worker ended with code 3 and without a record in phase build"


def test_a_time_limit_ends_the_whole_tree(tmp_path, monkeypatch):
    # The watcher's clock jumps when the worker is busy: however slow the machine, the limit is passed in `build`.
    clock = FakeClock(0.0)
    read_sample = session.read_sample

    def read_later(line):
        sample = read_sample(line)
        return replace(sample, ran_seconds=sample.ran_seconds + clock.now)

    monkeypatch.setattr(session, "read_sample", read_later)

    def jump(_):
        if not clock.now and len(numbers_in(tmp_path / "pids")) == 4:
            clock.tick(60.0)

    body = "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32)); time.sleep(60)"  # no polite signal would do
    case = make_case(write_model(tmp_path, with_offspring(tmp_path, body)), time_limit_seconds=60.0)
    began = time.monotonic()
    (record,) = measure(case, on_event=jump)
    assert time.monotonic() - began < 20
    assert (record.status, record.failure.kind) == (Status.TIMEOUT, "TimeLimit")
    assert record.failure.phase is Phase.BUILD
    assert "60.0 s" in record.failure.message
    assert_offspring_is_gone(tmp_path)


def test_a_time_limit_is_kept_by_the_real_clock(tmp_path):
    began = time.monotonic()
    record = run(tmp_path, "time.sleep(60)", time_limit_seconds=1.0)
    assert 1 <= time.monotonic() - began < 5
    assert record.status is Status.TIMEOUT


def test_a_memory_limit_counts_children_and_ends_the_whole_tree(tmp_path):
    child = "import time; data = b'1' * (300 << 20); time.sleep(60)"
    body = with_offspring(tmp_path, f'subprocess.run([sys.executable, "-ISc", {child!r}])')
    record = run(tmp_path, body, memory_limit_bytes=200 * MIB, time_limit_seconds=30.0)
    assert (record.status, record.failure.kind) == (Status.OUT_OF_MEMORY, "MemoryLimit")
    assert record.failure.phase is Phase.BUILD
    assert "limit of 200 MiB" in record.failure.message
    assert record.memory.peak_rss_bytes > 200 * MIB
    assert_offspring_is_gone(tmp_path)


def test_under_its_memory_limit_nothing_happens(tmp_path):
    assert run(tmp_path, "return Model()", memory_limit_bytes=400 * MIB).status is Status.OK


def test_a_memory_error(tmp_path):
    record = run(tmp_path, 'raise MemoryError("no more")')
    assert (record.status, record.failure.kind, record.failure.message) == (
        Status.OUT_OF_MEMORY,
        "MemoryError",
        "no more",
    )
    assert record.failure.phase is Phase.BUILD


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        ('os.write(int(sys.argv[2]), b"hello\\n"); time.sleep(60)', "not an event: b'hello'"),
        ('os.write(int(sys.argv[2]), b"\\xff\\x00\\n\\n"); time.sleep(60)', "not an event"),
        ('os.write(int(sys.argv[2]), b"Started {}\\n"); return Model()', "not a Started"),
        ('os.write(int(sys.argv[2]), b"hel"); os._exit(0)', "its last line broke off: b'hel'"),
        ("[os.write(int(sys.argv[2]), bytes(1 << 20)) for _ in range(70)]", "a line of more than 67108864 bytes"),
        ("os.close(int(sys.argv[2])); time.sleep(60)", "it closed its pipe and went on"),
    ],
)
def test_garbage_on_the_pipe(tmp_path, write, reason):
    began = time.monotonic()
    record = run(tmp_path, write, time_limit_seconds=30.0)
    assert (record.status, record.failure.kind, record.failure.phase) == (Status.CRASHED, "WorkerError", Phase.BUILD)
    assert reason in record.failure.message
    assert time.monotonic() - began < 15


def test_a_record_of_another_sample_is_garbage(tmp_path):
    body = """
import __main__
write, own = __main__.write_event, os.environ["FIRSTGRAD_RUN"].encode()
__main__.write_event = lambda event: write(event).replace(own, b"another")
return Model()
"""
    record = run(tmp_path, body)
    assert (record.status, record.failure.kind) == (Status.CRASHED, "WorkerError")
    assert "a record of another sample: another" in record.failure.message


def test_what_a_model_prints_reaches_neither_the_pipe_nor_the_parents_output(tmp_path, capfd):
    body = """
print("Started {}")
sys.stdout.flush()
os.write(1, b"PhaseBegan garbage\\n")
subprocess.run(["echo", "from a child"])
return Model()
"""
    record = run(tmp_path, body)
    assert record.status is Status.OK
    assert capfd.readouterr() == ("", "")

    failed = run(tmp_path, body.replace("return Model()", "raise ValueError"))
    assert set(failed.failure.stderr_tail) == {"Started {}", "PhaseBegan garbage", "from a child"}
    assert capfd.readouterr() == ("", "")


def test_a_models_children_do_not_get_the_pipe(tmp_path):
    # Not even those that are started with all that is inheritable, as by os.system.
    child = "import os, sys; os.write(int(sys.argv[1]), b'garbage')"
    start = f'subprocess.run([sys.executable, "-ISc", {child!r}, sys.argv[2]], close_fds=False)'
    record = run(tmp_path, f"assert {start}.returncode == 1; return Model()")
    assert (record.status, record.failure) == (Status.OK, None)


def test_only_the_last_lines_of_a_talkative_model_are_kept(tmp_path):
    body = "for number in range(20_000): print(number)\nsys.stdout.flush(); os._exit(1)"
    tail = run(tmp_path, body).failure.stderr_tail
    assert tail == tuple(str(number) for number in range(20_000 - 40, 20_000))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("if :", "syntax error"),
        ('raise KeyError("data.csv")', "raised KeyError: 'data.csv'"),
    ],
)
def test_a_users_mistake_fails_with_its_reason(tmp_path, body, message):
    record = run(tmp_path, body)
    assert (record.status, record.failure.kind) == (Status.FAILED, "ModelError")
    assert message in record.failure.message
    assert str(tmp_path / "user_model.py") in record.failure.message
    assert record.failure.phase is (Phase.IMPORT if message == "syntax error" else Phase.BUILD)


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "SystemExit", "Own"])
@pytest.mark.parametrize("is_in_factory", [True, False])
def test_what_no_except_clause_takes_is_a_models_failure_and_no_signal(tmp_path, raised, is_in_factory):
    body = f"""
class Own(BaseException): pass
def fail(*_): raise {raised}("no")
if {is_in_factory}: fail()
Model.compile_fn = property(fail)
return Model()
"""
    record = run(tmp_path, body)
    assert (record.status, record.failure.phase) == (Status.FAILED, Phase.BUILD)
    if is_in_factory:
        assert record.failure.kind == "ModelError"
        assert f"raised {raised}: no" in record.failure.message
    else:
        assert (record.failure.kind, record.failure.message) == (raised, "no")


def test_a_file_that_is_not_there_fails(tmp_path):
    (record,) = measure(make_case(str(tmp_path / "absent.py:build")))
    assert record.status is Status.FAILED
    assert f"no file {tmp_path}/absent.py" in record.failure.message


@pytest.mark.parametrize(
    "puts_there", ["", "private.mkdir()", "private.touch()", "private.symlink_to(private.with_name('moved'))"]
)
def test_a_private_folder_that_a_model_moves_is_removed_where_it_is(tmp_path, base, puts_there):
    body = f"""
private = Path(os.environ["TMPDIR"]).parent
private.rename(private.with_name("moved"))
{puts_there}
return Model()
"""
    is_folder_of_a_cache = "touch" not in puts_there  # then the fake backend makes it anew
    assert (run(tmp_path, body).status is Status.OK) == is_folder_of_a_cache
    assert list(base.iterdir()) == []


def test_samples_go_on_after_a_failed_one(tmp_path):
    body = f"""
first = Path({str(tmp_path / "first")!r})
if not first.exists():
    first.touch()
    os.kill(os.getpid(), signal.SIGSEGV)
return Model()
"""
    crashed, good = measure(make_case(write_model(tmp_path, body)), samples=2)
    assert (crashed.status, good.status) == (Status.CRASHED, Status.OK)
    assert crashed.record_id != good.record_id
    assert good.caches.is_proven
    assert good.memory.peak_rss_bytes > 10 * MIB


def test_a_warm_cache_that_cannot_be_filled_gives_one_record_that_says_so(tmp_path):
    case = make_case(write_model(tmp_path, "raise ValueError"), scenario=Scenario.WARM)
    (record,) = measure(case, samples=3)
    assert (record.status, record.case) == (Status.FAILED, case)
    assert record.failure.message.startswith("while filling the cache: ")


def test_a_model_with_a_thread_that_never_ends_is_ended_after_its_record(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "_END_SECONDS", 0.3)
    body = with_offspring(
        tmp_path, "import threading; threading.Thread(target=time.sleep, args=(1000,)).start(); return Model()"
    )
    record = run(tmp_path, body)
    assert (record.status, record.failure) == (Status.OK, None)
    assert_offspring_is_gone(tmp_path)


def test_a_watcher_that_was_killed_is_said_and_leaves_nothing_alive(tmp_path):
    body = with_offspring(
        tmp_path,
        """
starter = Path(f"/proc/{os.getppid()}/stat").read_text()
os.kill(int(starter.rpartition(")")[2].split()[1]), signal.SIGKILL)
time.sleep(60)
""",
    )
    record = run(tmp_path, body, time_limit_seconds=30.0)
    assert (record.status, record.failure.kind) == (Status.CRASHED, "WatcherEnded")
    assert_offspring_is_gone(tmp_path)


def test_events_come_as_they_happen_and_an_error_of_their_taker_leaves_nothing_alive(tmp_path):
    reference = write_model(tmp_path, with_offspring(tmp_path, "time.sleep(60)"))

    def take(_):
        if len(numbers_in(tmp_path / "pids")) == 4:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(measure(make_case(reference), on_event=take))
    assert_offspring_is_gone(tmp_path)


def test_a_measurement_that_is_not_read_to_its_end_is_cleaned_up(tmp_path, base):
    samples = measure(make_case(write_model(tmp_path, "return Model()")), samples=5)
    assert next(samples).status is Status.OK
    assert len(list(base.iterdir())) == 1
    samples.close()
    wait_for(lambda: not list(base.iterdir()), what="the removal of the private folder")


def test_who_listens_may_stop_a_sample_which_is_then_censored(tmp_path):
    reference = write_model(tmp_path, with_offspring(tmp_path, "time.sleep(60)"))

    def stop(_):
        if len(numbers_in(tmp_path / "pids")) == 4:
            raise SampleStopped("another one was sooner")

    (record,) = measure(make_case(reference, scenario=Scenario.WARM), on_event=stop)
    assert (record.status, record.failure.kind, record.failure.phase) == (Status.TIMEOUT, STOPPED, Phase.BUILD)
    assert record.failure.message.endswith(": another one was sooner")
    assert 0 < record.case.time_limit_seconds < 60
    assert record.case.question == make_case(reference, scenario=Scenario.WARM).question
    assert_offspring_is_gone(tmp_path)


def test_who_wants_to_stop_what_is_over_stops_nothing(tmp_path):
    over = []

    def stop(event):
        over.extend([event] * isinstance(event, Finished))
        if over and not isinstance(event, Finished):
            raise SampleStopped("too late")

    (record,) = measure(make_case(write_model(tmp_path, "return Model()")), on_event=stop)
    assert record.status is Status.OK
    assert over
