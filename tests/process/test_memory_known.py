"""Memory against known answers, within 5%.

Everything is compared with a control that does the same but for the allocation, so that what an interpreter takes
by itself cancels.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys

import pytest

from firstgrad.measuring import watcher
from firstgrad.measuring.launch import measure
from firstgrad.phase import Phase
from firstgrad.record import Status
from helpers import MIB, linux_only, make_case, write_model

pytestmark = linux_only

SIZE = 300 * MIB

CHILD = """
import sys, time
data = b"1" * int(sys.argv[1])
time.sleep(0.3)
"""

FORKING = """
import os, signal
pid = os.fork()
if pid == 0:
    signal.pause()
print(pid, flush=True)
os.waitpid(pid, 0)
"""

CPP = """
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>
template <int N> struct Chain : Chain<N - 1> { std::map<int, Chain<N - 1>*> links; };
template <> struct Chain<0> {};
template <int... N> auto chains(std::integer_sequence<int, N...>) { return std::tuple<Chain<N>...>(); }
int main() { auto all = chains(std::make_integer_sequence<int, 20>()); return sizeof(all) % 2; }
"""

TRUTH = """
import json, os, sys, time
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
driver, ended = 0, 0
while not ended:
    with open(f"/proc/{pid}/status") as file:
        driver = max([driver, *(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))])
    time.sleep(0.01)
    ended, status, used = os.wait4(pid, os.WNOHANG)
assert status == 0
print(json.dumps([used.ru_maxrss * 1024, driver * 1024]))
"""


def run(folder, body, **parameters):
    """Measure a model whose factory does what `body` says."""
    (record,) = measure(make_case(write_model(folder, f"{body}\nreturn Model()"), **parameters))
    assert record.status is Status.OK, record.failure
    return record


def with_child(size):
    return f'subprocess.run([sys.executable, "-ISc", {CHILD!r}, "{size}"], check=True)'


def test_a_child_that_takes_300_mib(tmp_path):
    control, record = run(tmp_path, with_child(1)), run(tmp_path, with_child(SIZE))
    more = record.memory.children_peak_rss_bytes - control.memory.children_peak_rss_bytes
    assert more == pytest.approx(SIZE, rel=0.05)
    assert record.memory.peak_rss_bytes - control.memory.peak_rss_bytes == pytest.approx(SIZE, rel=0.05)
    phases = {each.phase: each for each in record.phases}
    of_build = phases[Phase.BUILD].peak_rss_bytes - control.phase(Phase.BUILD).peak_rss_bytes
    assert of_build == pytest.approx(SIZE, rel=0.05)
    # Neither the process itself nor another phase is charged with it.
    assert record.memory.self_peak_rss_bytes < control.memory.self_peak_rss_bytes + SIZE / 20
    for other in set(phases) - {Phase.BUILD}:
        assert phases[other].peak_rss_bytes < control.memory.peak_rss_bytes + SIZE / 20
    assert record.memory.retained_bytes < SIZE / 20


def test_two_children_at_once_are_added_up(tmp_path):
    child = f'subprocess.Popen([sys.executable, "-ISc", {CHILD!r}, SIZE])'
    body = f"both = [{child}, {child}]; [each.wait() for each in both]"
    control = run(tmp_path, body.replace("SIZE", '"1"'))
    record = run(tmp_path, body.replace("SIZE", f'"{SIZE // 2}"'))
    more = record.memory.children_peak_rss_bytes - control.memory.children_peak_rss_bytes
    assert more == pytest.approx(SIZE, rel=0.05)


def test_300_mib_of_the_process_itself_that_no_thread_of_it_could_see(tmp_path):
    # One call in C that holds the interpreter's lock; freed before the next instruction.
    control, record = run(tmp_path, "len(b'1' * 1)"), run(tmp_path, f"n = {SIZE}; len(b'1' * n)")
    assert record.memory.self_peak_rss_bytes - control.memory.self_peak_rss_bytes == pytest.approx(SIZE, rel=0.05)
    build = record.phase(Phase.BUILD)
    assert build.self_peak_rss_bytes - control.phase(Phase.BUILD).self_peak_rss_bytes == pytest.approx(SIZE, rel=0.05)
    assert build.peak_rss_bytes >= build.self_peak_rss_bytes
    # The kernel's mark starts anew with each phase, and freed memory isn't retained.
    assert record.phase(Phase.LOGP_GRAPH).self_peak_rss_bytes < control.memory.self_peak_rss_bytes + SIZE / 20
    assert record.memory.retained_bytes < SIZE / 20


def test_memory_that_is_kept_is_retained(tmp_path):
    record = run(tmp_path, f"n = {SIZE}; Model.data = b'1' * n")
    assert record.memory.retained_bytes == pytest.approx(SIZE, rel=0.05)
    assert record.phase(Phase.EVALUATE).self_peak_rss_bytes > SIZE


def test_a_forked_child_that_shares_its_parents_pages_is_not_counted_twice(tmp_path):
    body = f"""
n = {SIZE}; data = b"1" * n
pid = os.fork()
if pid == 0:
    time.sleep(0.4); os._exit(0)
os.waitpid(pid, 0)
"""
    record = run(tmp_path, body)
    assert record.memory.self_peak_rss_bytes > SIZE
    assert record.memory.peak_rss_bytes < record.memory.self_peak_rss_bytes + SIZE / 20
    assert record.memory.children_peak_rss_bytes < SIZE / 20


def test_what_a_forked_child_takes_by_itself_is_counted(tmp_path):
    body = f"""
pid = os.fork()
if pid == 0:
    n = {SIZE}; data = b"1" * n
    time.sleep(0.4); os._exit(0)
os.waitpid(pid, 0)
"""
    assert run(tmp_path, body).memory.children_peak_rss_bytes == pytest.approx(SIZE, rel=0.05)


@pytest.mark.parametrize("ends", [True, False])
def test_pages_of_a_child_that_ended_under_the_look_are_not_its_own(monkeypatch, ends):
    """A look keeps an ended child's pages mapped: what its parent frees meanwhile has the look as its only user."""
    with subprocess.Popen([sys.executable, "-ISc", FORKING], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())

        def smaps(path, mode):
            if not path.endswith("smaps_rollup"):
                return io.FileIO(path, mode)
            if ends:
                os.kill(child, signal.SIGKILL)
                parent.wait(10)
            return io.BytesIO(b"Private_Clean:  1024 kB\nPrivate_Dirty:  306176 kB\n")

        monkeypatch.setattr(watcher, "_FORKED_SECONDS", 0.0)
        monkeypatch.setattr(watcher, "open", smaps, raising=False)
        try:
            assert watcher.ProcTree().look(child)[0] == (0 if ends else SIZE)
        finally:
            if parent.poll() is None:
                os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
def test_a_compiler(tmp_path):
    """The compiler proper (cc1plus) is a grandchild, beside g++ which waits for it.

    Truth is the kernel's: ru_maxrss of a g++ that a small fresh interpreter spawned is the largest of g++ and its
    descendants, that is of cc1plus. A process's ru_maxrss is at least its parent's at the exec, so the spawning
    interpreter must be smaller than the compiler, and is: some 10 MB. The watcher sees g++ itself at the same
    time, a driver of 3 MB; its own high-water mark is added.
    """
    source, compiler = tmp_path / "code.cpp", shutil.which("g++")
    source.write_text(CPP)
    compile_it = [compiler, "-S", "-o", str(tmp_path / "code.s"), str(source)]
    done = subprocess.run([sys.executable, "-ISc", TRUTH, *compile_it], stdout=subprocess.PIPE, check=True)
    largest, driver = json.loads(done.stdout)
    assert largest > 60 * MIB > 10 * driver
    record = run(tmp_path, f"subprocess.run({compile_it!r}, check=True)")
    assert record.memory.children_peak_rss_bytes == pytest.approx(largest + driver, rel=0.05)
    assert record.phase(Phase.BUILD).peak_rss_bytes == record.memory.peak_rss_bytes
    assert record.memory.peak_rss_bytes - record.memory.children_peak_rss_bytes == pytest.approx(
        statistics.median(each.self_peak_rss_bytes for each in record.phases), rel=0.2
    )
