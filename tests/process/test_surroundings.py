"""What a machine may lack: files that may be open, room, a working folder, a plain name for a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from firstgrad.case import BackendName
from firstgrad.measuring.launch import measure
from helpers import linux_only, make_case, write_model

pytestmark = linux_only


def firstgrad(folder, *words, before="", **options):
    """Run the command line with its temporary files in ``folder/tmp``, after a line of shell."""
    environment = os.environ | {"TMPDIR": str(folder / "tmp")}
    command = [sys.executable, "-m", "firstgrad", *words, "--samples", "1", "--store", str(folder / "s.sqlite")]
    if before:
        command = ["sh", "-c", f'{before} && exec "$@"', "sh", *command]
    return subprocess.run(
        command,
        **{"env": environment, "cwd": folder} | options,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def reference(tmp_path):
    (tmp_path / "tmp").mkdir()
    return write_model(tmp_path, "return Model()")


def assert_one_line(done, what):
    last = done.stderr.strip().splitlines()[-1]
    assert (done.returncode, last.startswith("firstgrad: "), what in last) == (2, True, True), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("verb", "files"), [("measure", 8), ("measure", 11), ("measure", 14), ("sweep", 13)])
def test_too_few_files_that_may_be_open_are_said_in_one_line(tmp_path, reference, verb, files):
    done = firstgrad(tmp_path, verb, reference, "--backend", "fake", before=f"ulimit -n {files}")
    assert_one_line(done, "ulimit -n 1024")
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("verb", ["measure", "sweep"])
def test_a_working_folder_that_is_gone_is_said_in_one_line(tmp_path, reference, verb):
    gone = tmp_path / "gone"
    gone.mkdir()
    done = firstgrad(tmp_path, verb, reference, "--backend", "fake", cwd=gone, before=f"rmdir '{gone}'")
    assert_one_line(done, "the working folder is gone")


@pytest.mark.parametrize("inodes", [2, 4, 5, 6, 8])
def test_where_no_more_files_can_be_made_it_is_said_and_nothing_is_left(tmp_path, reference, inodes):
    base = tmp_path / "tmp"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size=4m,nr_inodes={inodes}", "none", str(base)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        done = firstgrad(tmp_path, "measure", reference, "--backend", "fake")
        left = list(base.iterdir())
    finally:
        subprocess.run(["umount", str(base)], check=True)
    assert left == []
    assert "Traceback" not in done.stderr
    if done.returncode == 2:
        assert_one_line(done, "No space left on device")
        assert "df -i" in done.stderr
    elif done.returncode == 3:  # a record, which says why
        assert "No space left on device" in done.stdout
    else:
        assert (done.returncode, inodes > 6) == (0, True)


@pytest.mark.compiles
@pytest.mark.skipif(not find_spec("numba"), reason="needs numba")
def test_whatever_letters_the_folder_for_temporary_files_has_nothing_is_left_outside(tmp_path, monkeypatch):
    base = tmp_path / """a,b\\c'd"e f=g#h%i$j"""
    base.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(base))
    before = sorted(tmp_path.iterdir())
    model = tmp_path / "model.py"
    model.write_text("import pymc\ndef build():\n    with pymc.Model() as model: pymc.Normal('x')\n    return model\n")
    (record,) = measure(make_case(f"{model}:build", backend=BackendName.NUMBA, evaluations=0))
    assert (record.status, record.failure) == ("ok", None)
    assert record.caches.is_proven
    assert sorted(tmp_path.iterdir()) == [*before, model]
    assert list(base.iterdir()) == []
