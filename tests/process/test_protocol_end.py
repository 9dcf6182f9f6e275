"""How a measurement is ended by the one who asked for it: Ctrl-C, once or impatiently."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from helpers import is_alive, linux_only, numbers_in, wait_for, write_model

pytestmark = linux_only

PARENT = """
import sys
from firstgrad.case import BackendName, Case
from firstgrad.model import Model
from firstgrad.measuring.launch import measure

case = Case(model=Model(reference=sys.argv[1]), backend=BackendName.FAKE)
try:
    for record in measure(case, samples=3):
        print(record.status, flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

BODY = """
if Path({done!r}).exists():
    process = subprocess.Popen(["sleep", "1000"])
    other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    with open({pids!r}, "w") as file:
        print(os.getpid(), process.pid, other.pid, sep="\\n", file=file)
    time.sleep(1000)
Path({done!r}).touch()
return Model()
"""


@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_ends_it_at_once_and_keeps_what_was_measured(tmp_path, times):
    base, pids, done = tmp_path / "tmp", tmp_path / "pids", tmp_path / "done"
    base.mkdir()
    reference = write_model(tmp_path, BODY.format(done=str(done), pids=str(pids)))
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, reference],
        env=os.environ | {"TMPDIR": str(base)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as parent:
        try:
            processes = wait_for(lambda: len(numbers_in(pids)) == 3 and numbers_in(pids), what="the second sample")
            assert all(map(is_alive, processes))
            began = time.monotonic()
            for number in range(times):
                # As a terminal does: the whole foreground group, the worker among them.
                os.killpg(parent.pid, signal.SIGINT)
                wait_for(lambda after=0.02 * (number + 1): time.monotonic() - began > after)
            output, errors = parent.communicate(timeout=10)
        finally:
            parent.kill()
    assert time.monotonic() - began < 5
    assert output.splitlines()[0] == "ok"
    if times == 1:
        assert (output, errors, parent.returncode) == ("ok\ninterrupted\n", "", 0)
    wait_for(lambda: not any(map(is_alive, processes)), seconds=5, what="the end of the worker's tree")
    wait_for(lambda: not list(base.iterdir()), seconds=5, what="the removal of the folder")


def test_a_worker_in_the_same_group_does_not_die_of_ctrl_c_by_itself(tmp_path):
    # The parent decides: a worker that got SIGINT and whose parent did not goes on.
    body = "os.kill(os.getpid(), signal.SIGINT); return Model()"
    parent = subprocess.run(
        [sys.executable, "-c", PARENT, write_model(tmp_path, body)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert parent.stdout == "ok\n" * 3
