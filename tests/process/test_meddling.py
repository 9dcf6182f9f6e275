"""A model's code runs in the process that is measured: what it does to clocks, forks and the pipe changes no number."""

from __future__ import annotations

import pytest

from firstgrad.case import Scenario
from firstgrad.measuring.launch import measure
from firstgrad.record import Status
from helpers import linux_only, make_case, write_model

pytestmark = linux_only

AS_THE_CHILD = "Model(), {'x': [0.0, 0.0]}"
"""What only a child returns: its values are two."""


def run(folder, body, **fields):
    (record,) = measure(make_case(write_model(folder, body), time_limit_seconds=30.0, **fields))
    return record


@pytest.mark.parametrize(
    ("child", "code"),
    [
        (f"return {AS_THE_CHILD}", 1),
        ("raise SystemExit(0)", 0),
        ("sys.exit(7)", 7),
        ("raise ValueError('in the child')", 1),
        ("os._exit(5)", 5),
        (f"subprocess.run(['true'], check=True); return {AS_THE_CHILD}", 1),
    ],
)
def test_a_forked_child_says_nothing_and_ends_where_it_comes_back(tmp_path, child, code):
    body = f"""
pid = os.fork()
if pid == 0:
    {child}
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == {code}
return Model()
"""
    record = run(tmp_path, body)
    assert (record.status, record.failure) == (Status.OK, None)
    assert record.counts.values == 1
    assert record.time_to_first_gradient_cpu_seconds > 0


def test_a_forked_child_has_no_pipe_to_write_to(tmp_path):
    body = """
pid = os.fork()
if pid == 0:
    try:
        os.write(int(sys.argv[2]), b"garbage\\n")
    except OSError:
        os._exit(3)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
return Model()
"""
    assert run(tmp_path, body).failure is None


def test_children_that_the_model_forks_for_its_own_work_go_on_working(tmp_path):
    body = """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(abs, range(-9, 0)) == list(range(9, 0, -1))
return Model()
"""
    record = run(tmp_path, body)
    assert (record.status, record.failure) == (Status.OK, None)


def test_clocks_and_the_pipe_are_taken_before_the_model_can_change_them(tmp_path):
    body = """
now = [0.0]
def fake():
    now[0] -= 10.0
    return now[0]
for name in ("process_time", "monotonic", "perf_counter", "time"):
    setattr(time, name, fake)
os.times = lambda: os.times_result((fake(),) * 5)
os.write = lambda *_: 0
return Model()
"""
    record = run(tmp_path, body, evaluations=20)
    assert (record.status, record.failure) == (Status.OK, None)
    seconds = (record.time_to_first_gradient_seconds, record.time_to_first_gradient_cpu_seconds, record.gc_seconds)
    assert all(0 <= each < 30 for each in (*seconds, *record.evaluation_seconds))


@pytest.mark.parametrize(
    ("meddling", "reason"),
    [
        ("PhaseTimer.now = lambda self: -1000.0", "the time to first gradient"),
        ("PhaseTimer.read = lambda self: phases.Reading(-2.0, 1.0)", "the time to first gradient"),
        ("phases.PhaseRecord = lambda **known: made(**known | {'cpu_seconds': 1e6})", "processor cores"),
        ("phases.PhaseRecord = lambda **known: made(**known | {'began_seconds': 1e6})", "outside of the sample"),
    ],
)
def test_what_no_clock_can_have_shown_is_a_failure(tmp_path, meddling, reason):
    body = f"""
from firstgrad.measuring import phases
PhaseTimer, made = phases.PhaseTimer, phases.PhaseRecord
still = iter([1.0])
{meddling}
return Model()
"""
    record = run(tmp_path, body)
    assert (record.status, record.failure.kind) == (Status.FAILED, "ImpossibleNumbers")
    assert reason in record.failure.message


@pytest.mark.parametrize("scenario", Scenario)
def test_a_file_that_the_model_puts_into_the_private_cache_does_not_count(tmp_path, scenario):
    def caches(body):
        return run(tmp_path, f"{body}\nreturn Model()", scenario=scenario).caches

    plant = """
folder = Path(os.environ["NUMBA_CACHE_DIR"])
folder.mkdir(parents=True, exist_ok=True)
(folder / f"foreign-{os.getpid()}.nbc").write_bytes(b"foreign")
(folder / f"foreign-{os.getpid()}.1.nbc").write_bytes(b"foreign")
(folder / f"foreign-{os.getpid()}.so").write_bytes(b"foreign")
"""
    assert caches(plant) == caches("")
