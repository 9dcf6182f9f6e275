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

from firstgrad.measure.launch import measure
from firstgrad.measure.private import PREFIX, make_private_folder, remove_abandoned
from helpers import is_alive, linux_only, make_case, numbers_in, wait_for, write_model

pytestmark = linux_only

PARENT = """
import sys
from firstgrad.case import BackendName, Case
from firstgrad.model import Model
from firstgrad.measure.launch import measure

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
with pids.open("w") as file:
    print(os.getpid(), one.pid, other.pid, sep="\\n", file=file)
while not Path({go!r}).exists():
    time.sleep(0.02)
"""


class Stuck:
    """A measuring parent, in a process group of its own, whose worker is in phase `build` and stays there."""

    def __init__(self, folder):
        self.base, self._pids, self._go = folder / "tmp", folder / "pids", folder / "go"
        self.base.mkdir()
        reference = write_model(folder, STUCK.format(pids=str(self._pids), go=str(self._go)) + "\nreturn Model()")
        self.parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, reference, "fake"],
            env=os.environ | {"TMPDIR": str(self.base)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.worker, *self.grandchildren = wait_for(
            lambda: numbers_in(self._pids)[:3] if len(numbers_in(self._pids)) == 3 else [], what="phase build"
        )
        (self.folder,) = self.base.iterdir()
        self.watcher = self._find_watcher()

    def _find_watcher(self):
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            except OSError:
                continue
            if str(self.folder).encode() in words:
                return int(entry.name)
        pytest.fail("no watcher is there")

    @property
    def alive(self):
        return [pid for pid in (self.worker, self.watcher, *self.grandchildren) if is_alive(pid)]

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
    assert len(stuck.alive) == 4
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


def test_where_the_watcher_is_killed_too_the_next_measurement_removes_the_folder(stuck, monkeypatch):
    os.kill(stuck.parent.pid, signal.SIGSTOP)  # or it would notice
    os.kill(stuck.watcher, signal.SIGKILL)
    stuck.parent.kill()
    stuck.parent.wait()
    wait_for(lambda: not is_alive(stuck.watcher), what="the watcher's end")
    assert stuck.folder.exists()
    assert is_alive(stuck.worker), "nobody is left who would have stopped it"

    monkeypatch.setattr(tempfile, "tempdir", str(stuck.base))
    new = make_private_folder()
    assert list(stuck.base.iterdir()) == [new]
    # With nobody to tell, the worker ends by itself at the next thing it has to say.
    stuck.go_on()
    wait_for(lambda: not is_alive(stuck.worker), what="the worker's end")


def test_a_living_parents_folder_is_left_alone(stuck, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(stuck.base))
    new = make_private_folder()
    assert set(stuck.base.iterdir()) == {new, stuck.folder}
    shutil.rmtree(new)
    stuck.go_on()
    output, _ = stuck.parent.communicate(timeout=20)
    assert output.split() == [b"ok", b"1"]
    assert_all_is_gone(stuck)


def test_a_watcher_that_was_killed_is_missed_by_its_parent(stuck):
    os.kill(stuck.watcher, signal.SIGKILL)
    output, _ = stuck.parent.communicate(timeout=20)
    assert output.startswith(b"crashed None ")
    assert b"WatcherEnded" in output
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
        "from firstgrad.measure.private import make_private_folder\n"
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
