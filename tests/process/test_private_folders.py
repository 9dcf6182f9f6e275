"""What is left behind: nothing, whoever is killed; and the user's own caches are neither read nor written."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from firstgrad.errors import FirstgradError
from firstgrad.measuring import private as making
from firstgrad.measuring.launch import measure
from firstgrad.measuring.private import PREFIX, make_private_folder, remove_abandoned
from firstgrad.measuring.starter import remove_folder
from helpers import is_alive, linux_only, make_case, numbers_in, wait_for, write_model

pytestmark = linux_only

PARENT = """
import sys
from firstgrad.case import BackendName, Case
from firstgrad.model import Model
from firstgrad.measuring.launch import measure

def main():
    model, backend = Model(reference=sys.argv[1]), BackendName(sys.argv[2])
    for record in measure(Case(model=model, backend=backend, evaluations=3)):
        print(record.status, record.caches and record.caches.entries_written, record.failure or "")

main()
"""

STUCK = """
pids = Path({pids!r})
one = subprocess.Popen(["sleep", "1000"])
other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
orphan = subprocess.run(["sh", "-c", {orphan!r}], stdout=subprocess.PIPE, check=True, text=True).stdout
with pids.open("w") as file:
    print(os.getpid(), one.pid, other.pid, int(orphan), sep="\\n", file=file)
while not Path({go!r}).exists():
    time.sleep(0.02)
"""


ORPHAN = "setsid env -i sleep 1000 > /dev/null & echo $!"
"""No parent, no session, no group and no variable of a worker's."""


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Stuck:
    """A measuring parent, in a process group of its own, whose worker is in phase `build` and stays there."""

    def __init__(self, folder):
        self.base, self._pids, self._go = folder / "tmp", folder / "pids", folder / "go"
        self.base.mkdir()
        reference = write_model(
            folder, STUCK.format(pids=str(self._pids), go=str(self._go), orphan=ORPHAN) + "\nreturn Model()"
        )
        self.parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, reference, "fake"],
            env=os.environ | {"TMPDIR": str(self.base)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.worker, *self.grandchildren = wait_for(
            lambda: numbers_in(self._pids) if len(numbers_in(self._pids)) == 4 else [], what="phase build"
        )
        (self.folder,) = self.base.iterdir()
        (self.watcher,) = children(self.parent.pid)
        (self.starter,) = children(self.watcher)

    @property
    def alive(self):
        return [pid for pid in (self.worker, self.watcher, self.starter, *self.grandchildren) if is_alive(pid)]

    def kill(self, *pids):
        """Kill several at once: none of them sees another one's end."""
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                os.kill(pid, number)
        self.parent.wait(timeout=5)

    def go_on(self):
        self._go.touch()

    def close(self):
        for pid in (self.parent.pid, *self.alive):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.parent.communicate()


@pytest.fixture
def stuck(tmp_path):
    stuck = Stuck(tmp_path)
    assert len(stuck.alive) == 6
    yield stuck
    stuck.close()


def assert_all_is_gone(stuck):
    wait_for(lambda: not stuck.alive, seconds=5, what="the end of worker, grandchildren and watcher")
    wait_for(lambda: not stuck.folder.exists(), seconds=5, what="the removal of the folder")
    assert list(stuck.base.iterdir()) == []


def test_after_a_measurement_no_folder_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    during = []
    reference = write_model(tmp_path, "return Model()")
    list(measure(make_case(reference), on_event=lambda _: during.extend((tmp_path / "tmp").iterdir())))
    assert {place.name.startswith(PREFIX) for place in during} == {True}
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_killed_parent_leaves_nothing(stuck):
    stuck.parent.kill()
    assert_all_is_gone(stuck)
    output, _ = stuck.parent.communicate(timeout=5)
    assert output == b"", "the watcher should go in silence"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_group_leaves_nothing(stuck, number):
    # The way asv ends a benchmark that takes too long.
    os.killpg(stuck.parent.pid, number)
    assert_all_is_gone(stuck)
    assert stuck.parent.wait(timeout=5) == -number


def test_a_killed_parent_and_watcher_leave_nothing(stuck):
    stuck.kill(stuck.parent.pid, stuck.watcher)
    assert_all_is_gone(stuck)


def test_a_killed_parent_and_a_stopped_watcher_leave_nothing(stuck):
    os.kill(stuck.watcher, signal.SIGSTOP)
    stuck.kill(stuck.parent.pid)
    assert_all_is_gone(stuck)


def test_a_killed_parent_and_a_stopped_starter_leave_nothing(stuck):
    os.kill(stuck.starter, signal.SIGSTOP)
    stuck.kill(stuck.parent.pid)
    assert_all_is_gone(stuck)


def test_a_killed_parent_and_starter_leave_nothing(stuck):
    stuck.kill(stuck.parent.pid, stuck.starter)
    assert_all_is_gone(stuck)


def test_where_all_are_killed_the_worker_ends_and_the_next_measurement_removes_the_rest(stuck, monkeypatch):
    stuck.kill(stuck.parent.pid, stuck.watcher, stuck.starter)
    wait_for(lambda: not is_alive(stuck.worker), what="the worker's end")
    assert stuck.folder.exists()

    monkeypatch.setattr(tempfile, "tempdir", str(stuck.base))
    new = make_private_folder()
    assert list(stuck.base.iterdir()) == [new]
    assert stuck.alive == []


def test_a_killed_watcher_and_starter_leave_nothing(stuck):
    # The starter first: without a watcher its group is an orphan, and such a one with a stopped member gets SIGHUP.
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in (stuck.starter, stuck.watcher):
            os.kill(pid, number)
    output, _ = stuck.parent.communicate(timeout=20)
    assert output.startswith(b"crashed None ")
    assert_all_is_gone(stuck)


FORKING_PARENT = """
import os, sys, time
from firstgrad.case import BackendName, Case
from firstgrad.measuring.launch import measure
from firstgrad.model import Model

def fork_and_die(event):
    if type(event).__name__ == "PhaseBegan" and event.phase == "build":
        pid = os.fork()
        if not pid:
            time.sleep(1000)
        print(pid, flush=True)
        os.kill(os.getpid(), 9)

list(measure(Case(model=Model(reference=sys.argv[1]), backend=BackendName.FAKE), on_event=fork_and_die))
"""


def test_a_killed_parent_whose_forked_child_goes_on_leaves_nothing(tmp_path):
    # The child holds all that its parent had open: no pipe tells of the parent's end.
    base, pids = tmp_path / "tmp", tmp_path / "pids"
    base.mkdir()
    body = f"Path({str(pids)!r}).write_text(f'{{os.getpid()}}\\n'); time.sleep(1000)"
    with (tmp_path / "child").open("w") as output:
        parent = subprocess.run(
            [sys.executable, "-c", FORKING_PARENT, write_model(tmp_path, body)],
            env=os.environ | {"TMPDIR": str(base)},
            stdout=output,
            check=False,
            timeout=20,
        )
    try:
        assert parent.returncode == -signal.SIGKILL
        wait_for(lambda: not list(base.iterdir()), what="the removal of the folder")
        wait_for(lambda: not any(map(is_alive, numbers_in(pids))), what="the worker's end")
        wait_for(
            lambda: not any(str(base) in words_of(process) for process in Path("/proc").iterdir()),
            what="the end of watcher and starter",
        )
    finally:
        for pid in numbers_in(tmp_path / "child"):
            os.kill(pid, signal.SIGKILL)


def words_of(process):
    """The command line of what a folder in /proc is of; '' for other folders, and where it is gone."""
    try:
        return (process / "cmdline").read_text() if process.name.isdigit() else ""
    except OSError:
        return ""


def test_a_living_parents_folder_is_left_alone(stuck, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(stuck.base))
    new = make_private_folder()
    assert set(stuck.base.iterdir()) == {new, stuck.folder}
    shutil.rmtree(new)
    stuck.go_on()
    output, _ = stuck.parent.communicate(timeout=20)
    assert output.split() == [b"ok", b"1"]
    assert_all_is_gone(stuck)


@pytest.mark.parametrize(
    ("killed", "said"), [("starter", b"the worker was ended by SIGKILL"), ("watcher", b"WatcherEnded")]
)
def test_who_was_killed_is_missed_by_its_parent_and_leaves_nothing(stuck, killed, said):
    os.kill(getattr(stuck, killed), signal.SIGKILL)
    output, _ = stuck.parent.communicate(timeout=20)
    assert output.startswith(b"crashed None ")
    assert said in output
    assert_all_is_gone(stuck)


def plant_fifo(place):
    os.mkfifo(place)


def plant_endless_link(place):
    place.symlink_to("/dev/zero")


def plant_endless_file(place):
    with place.open("wb") as file:
        file.truncate(1 << 40)  # holes only


def plant_device(place):
    try:
        os.mknod(place, 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # what /dev/zero is
        place.open("rb").close()
    except PermissionError:
        pytest.skip("devices can't be made here")


@pytest.mark.parametrize("plant", [plant_fifo, plant_endless_link, plant_endless_file, plant_device])
def test_nothing_that_others_put_into_a_shared_folder_is_waited_for_or_removed(tmp_path, plant):
    base, home = tmp_path / "tmp", tmp_path / "home"
    planted = base / f"{PREFIX}x" / "owner"
    history = home / ".cache" / "firstgrad" / "compiles.jsonl"
    for place in (planted, history):
        place.parent.mkdir(parents=True)
        plant(place)
    made = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))\n"
        "from firstgrad.measuring.private import make_private_folder\n"
        "from firstgrad.progress.history import FormerRun, History, default_path\n"
        "run = FormerRun(key='k', seconds=1.0); History(default_path()).add(run); History(default_path()).runs('k')\n"
        "print(make_private_folder())"
    )
    environment = os.environ | {"TMPDIR": str(base), "HOME": str(home), "XDG_CACHE_HOME": ""}
    done = subprocess.run(
        [sys.executable, "-c", made], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stderr == ""
    assert set(base.iterdir()) == {planted.parent, Path(done.stdout.strip())}
    assert planted.lstat()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another user's folder")
@pytest.mark.parametrize("theirs", ["folder", "owner"])
def test_a_folder_of_another_user_is_left_alone(tmp_path, theirs):
    folder = tmp_path / f"{PREFIX}x"
    folder.mkdir()
    own = make_private_folder()
    pid, _, place = (own / "owner").read_text().split()
    shutil.rmtree(own)
    (folder / "owner").write_text(f"{pid} 1 {place}")
    os.chown(folder if theirs == "folder" else folder / "owner", 12345, 12345)
    assert remove_abandoned(tmp_path) == []
    os.chown(folder, 0, 0)
    os.chown(folder / "owner", 0, 0)
    assert remove_abandoned(tmp_path) == [folder]


def test_a_folder_whose_rights_a_model_took_away_is_removed():
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    inner = folder / "cache" / "below"
    inner.mkdir(parents=True)
    (inner / "file").touch()
    own, places = os.geteuid(), (inner, folder / "cache", folder)
    user = own or 12345
    try:
        for place in places:
            os.chown(place, user, -1)
            place.chmod(0o500)
        inner.chmod(0)
        os.seteuid(user)  # rights mean nothing to root
        remove_folder(folder)
        os.seteuid(own)
        assert [place for place in places[:2] if place.exists()] == []
    finally:
        os.seteuid(own)
        shutil.rmtree(folder, ignore_errors=True)


CACHE_VARIABLES = ("NUMBA_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR", "PYTENSOR_FLAGS")


@pytest.mark.parametrize(
    "backend",
    ["fake", *(pytest.param(name, marks=pytest.mark.compiles) for name in ("jax", "numba"))],
)
def test_the_users_own_caches_are_neither_read_nor_written(tmp_path, backend):
    if backend != "fake" and not find_spec(backend):
        pytest.skip(f"needs {backend}")
    home, base, own = tmp_path / "home", tmp_path / "tmp", tmp_path / "own caches"
    for folder in (home, base, own):
        folder.mkdir()
    model = tmp_path / "model.py"
    model.write_text(
        "class Model:\n    free_RVs = 'x'\n    def compile_fn(self): ...\ndef build(): return Model()\n"
        if backend == "fake"
        else "import pymc\ndef build():\n    with pymc.Model() as model:\n        pymc.Normal('x')\n    return model\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in CACHE_VARIABLES}
    environment |= {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "MPLCONFIGDIR": str(tmp_path / "matplotlib"),  # its own, of fonts; nothing that is compiled
        "TMPDIR": str(base),
        # Where a user who set these keeps what was compiled: equal work would find it there a second time.
        "NUMBA_CACHE_DIR": str(own),
        "JAX_COMPILATION_CACHE_DIR": str(own),
        "PYTENSOR_FLAGS": f"base_compiledir={own}",
    }
    done = subprocess.run(
        [sys.executable, "-c", PARENT, f"{model}:build", backend],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
        text=True,
    )
    status, written, *failure = done.stdout.split()
    assert (status, failure) == ("ok", [])
    assert int(written) >= 1
    assert list(home.iterdir()) == list(own.iterdir()) == list(base.iterdir()) == []


class Cleaner:
    """Somebody who removes private folders while they are made, so often, at the call of what is watched."""

    def __init__(self, times):
        self.times = times

    def clean_before(self, function):
        def cleaned(*arguments):
            if self.times:
                self.times -= 1
                for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
                    shutil.rmtree(folder)
            return function(*arguments)

        return cleaned


@pytest.fixture
def own_tmp(tmp_path, monkeypatch):
    base = tmp_path / "tmp"
    base.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(base))
    return base


@pytest.mark.parametrize("moment", ["_start_time", "Starter"])
def test_a_private_folder_that_is_removed_while_it_is_made_is_made_again(own_tmp, tmp_path, monkeypatch, capfd, moment):
    case, cleaner = make_case(write_model(tmp_path, "return Model()")), Cleaner(1)
    monkeypatch.setattr(making, moment, cleaner.clean_before(getattr(making, moment)))
    (record,) = measure(case)
    assert (record.status, record.failure) == ("ok", None)
    assert "Traceback" not in capfd.readouterr().err
    assert list(own_tmp.iterdir()) == []


def test_where_private_folders_are_always_removed_it_is_said(own_tmp, tmp_path, monkeypatch):
    cleaner = Cleaner(1000)
    monkeypatch.setattr(making, "_start_time", cleaner.clean_before(making._start_time))
    with pytest.raises(FirstgradError, match="somebody removes what firstgrad makes in"):
        list(measure(make_case(write_model(tmp_path, "return Model()"))))
    assert cleaner.times == 1000 - 3
    assert list(own_tmp.iterdir()) == []
