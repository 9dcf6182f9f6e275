from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.errors import SpecError
from firstgrad.measuring.private import (
    PREFIX,
    PrivateCaches,
    make_private_folder,
    remove_abandoned,
    user_flags,
    worker_variables,
)
from firstgrad.measuring.watcher import ProcTree, kill_all
from helpers import linux_only

PLACES = ("NUMBA_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR", "TMPDIR")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@pytest.fixture
def base(tmp_path, monkeypatch):
    """The folder for temporary files, empty."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def private(base):  # noqa: ARG001 - it is made there
    return make_private_folder()


def flags_of(environment):
    return [flag.split("=", 1) for flag in environment["PYTENSOR_FLAGS"].split(",")]


def test_every_cache_is_inside_of_the_private_folder():
    folder = Path("/private")
    inherited = dict.fromkeys(PLACES, "/home/user/cache") | {"HOME": "/home/user"}
    written = worker_variables(folder, inherited)
    assert flags_of(written) == [["base_compiledir", "/private/caches/pytensor"]]
    for name in PLACES:
        assert Path(written[name]).is_relative_to(folder)
    assert written["HOME"] == "/home/user"


def test_the_users_own_flags_are_kept_but_for_the_caches_place():
    given = "floatX=float32, base_compiledir=/home/user/.pytensor,compiledir=/other , optimizer_verbose=True,"
    written = worker_variables(Path("/private"), {"PYTENSOR_FLAGS": given})
    assert flags_of(written) == [
        ["floatX", "float32"],
        ["optimizer_verbose", "True"],
        ["base_compiledir", "/private/caches/pytensor"],
    ]
    assert user_flags({"PYTENSOR_FLAGS": given}) == ["floatX=float32", "optimizer_verbose=True"]
    assert user_flags({}) == []
    assert user_flags({"PYTENSOR_FLAGS": "compiledir_format=x"}) == ["compiledir_format=x"]  # only begins like it


def pytensor_reads(flags):
    """As PyTensor's `parse_config_string` does."""
    reader = shlex.shlex(flags, posix=True)
    reader.whitespace, reader.whitespace_split = ",", True
    return dict(flag.strip().split("=", 1) for flag in reader)


@given(st.text(st.sampled_from("""ab,\\'"# =%$~:;\n\tµ"""), min_size=1), st.sampled_from(["", "a", "a b", "a,b", "'"]))
def test_pytensor_reads_whatever_path_and_flags_are_written(name, flag):
    inherited = {"PYTENSOR_FLAGS": "gcc__cxxflags=" + _quoted_by_hand(flag)} if flag else {}
    written = worker_variables(Path(f"/{name}"), inherited)["PYTENSOR_FLAGS"]
    expected = {"gcc__cxxflags": flag} if flag else {}
    assert pytensor_reads(written) == expected | {"base_compiledir": str(Path(f"/{name}") / "caches" / "pytensor")}


def _quoted_by_hand(flag):
    return '"' + flag + '"'


def test_flags_that_pytensor_could_not_read_are_refused():
    with pytest.raises(SpecError, match="PYTENSOR_FLAGS: PyTensor can't read it"):
        user_flags({"PYTENSOR_FLAGS": "a='b"})


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_fixed_whatever_the_user_had_set(threads):
    written = worker_variables(Path("/private"), dict.fromkeys(THREADS, "64"), threads=threads)
    assert {written[name] for name in THREADS} == {str(threads)}


def test_jax_keeps_every_entry_and_stays_where_the_user_wants_it():
    written = worker_variables(Path("/private"), {})
    assert written["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "0"
    assert written["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] == "-1"
    assert written["JAX_PLATFORMS"] == "cpu"
    assert worker_variables(Path("/private"), {"JAX_PLATFORMS": "cuda"})["JAX_PLATFORMS"] == "cuda"


def test_the_order_of_hashes_is_fixed_and_nothing_given_is_changed():
    inherited = {"PYTHONHASHSEED": "random", "PATH": "/bin"}
    written = worker_variables(Path("/private"), inherited)
    assert (written["PYTHONHASHSEED"], written["PATH"]) == ("0", "/bin")
    assert inherited == {"PYTHONHASHSEED": "random", "PATH": "/bin"}


def test_a_private_folder_is_empty_and_nobody_elses(base, private):
    assert private.parent == base.resolve()
    assert private.name.startswith(PREFIX)
    assert private.stat().st_mode & 0o077 == 0
    assert list((private / "caches").iterdir()) == list((private / "tmp").iterdir()) == []
    assert make_private_folder() != private


@linux_only
def test_only_folders_whose_owner_is_dead_are_removed(base, private):
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as owner:
        abandoned = make_folder(base, "abandoned", as_if_by(private, owner.pid))
        assert remove_abandoned(base) == [], "its owner lives"
    no_owner = base / "firstgrad-being-made"
    no_owner.mkdir()
    foreign = base / "other-program"
    foreign.mkdir()
    (foreign / "owner").write_text((abandoned / "owner").read_text())
    assert remove_abandoned(base) == [abandoned]
    assert set(base.iterdir()) == {private, no_owner, foreign}


@linux_only
def test_a_process_that_took_a_dead_owners_number_is_not_the_owner(base, private):
    pid, _, place = (private / "owner").read_text().split()
    reused = make_folder(base, "reused", f"{pid} 1 {place}")
    assert remove_abandoned(base) == [reused]
    assert private.exists()


@linux_only
@pytest.mark.parametrize("owner", ["", "1", "one two three", "-1 x y", "a b c d", "12 34", "\xff\xfe"])
def test_a_folder_whose_owner_cannot_be_read_is_kept(base, owner):
    folder = make_folder(base, "strange", owner)
    assert remove_abandoned(base) == []
    assert folder.exists()
    assert make_private_folder().exists()


@linux_only
def test_a_folder_of_another_host_or_container_is_kept(base, private):
    # A temporary folder may be shared, and the number of a process says nothing elsewhere.
    pid, _, place = (private / "owner").read_text().split()
    elsewhere = make_folder(base, "elsewhere", f"{pid} 1 other-{place}")
    assert remove_abandoned(base) == []
    assert elsewhere.exists()


def make_folder(base, name, owner):
    folder = base / f"{PREFIX}{name}"
    folder.mkdir()
    (folder / "owner").write_text(owner, encoding="latin-1")
    return folder


def as_if_by(private, pid):
    """What the owner's file would say if another process had made the folder."""
    place = (private / "owner").read_text().split()[2]
    started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return f"{pid} {started} {place}"


@linux_only
def test_a_number_that_another_process_took_is_not_killed():
    class Tree(ProcTree):
        looks = 0

        def members(self, root):
            Tree.looks += 1
            return [root] if Tree.looks == 1 else []  # from then on the number is somebody else's

    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as other:
        kill_all(Tree(), other.pid, "")
        assert (Tree.looks, other.poll()) == (3, None)
        kill_all(ProcTree(), other.pid, "")
        assert other.wait(timeout=5) == -signal.SIGKILL


def test_saved_caches_come_back_as_they_were(base):  # noqa: ARG001 - they are made there
    with PrivateCaches() as private:
        entry = private.caches / "numba" / "a.nbc"
        entry.parent.mkdir()
        entry.write_bytes(b"compiled")
        os.utime(entry, ns=(10**18, 10**18))
        (private.caches / "latest").symlink_to("numba/a.nbc")
        private.save()
        assert private.restore()

        for _ in range(2):
            entry.write_bytes(b"overwritten")
            (private.caches / "more").write_bytes(b"by a sample")
            private.restore()
            assert sorted(place.name for place in private.caches.iterdir()) == ["latest", "numba"]
            assert entry.read_bytes() == b"compiled"
            assert entry.stat().st_mtime_ns == 10**18, "compilers look at times"
            assert (private.caches / "latest").is_symlink()
    assert not private.folder.exists()


def test_caches_of_which_nothing_was_saved_are_empty_again(base):  # noqa: ARG001 - they are made there
    with PrivateCaches() as private:
        (private.caches / "numba").mkdir()
        (private.caches / "numba" / "a.nbc").write_bytes(b"compiled")
        assert not private.restore()
        assert list(private.caches.iterdir()) == []
        assert (private.folder / "tmp").is_dir()
