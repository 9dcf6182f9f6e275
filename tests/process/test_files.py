"""What is written to: files, whole or not at all; pipes, devices and links, as a shell would."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest

from builders import FIRSTGRAD, make_record, run_firstgrad, store_of
from firstgrad.store import import_jsonl
from helpers import linux_only, small_disk

pytestmark = linux_only


@pytest.fixture
def folder(tmp_path):
    """A folder with a project's store of two records."""
    (tmp_path / ".firstgrad").mkdir()
    store_of([make_record(record_id=name) for name in "ab"], tmp_path / ".firstgrad" / "results.sqlite")
    return tmp_path


@pytest.mark.parametrize("name", ["-", "/proc/self/fd/1", "link"])
def test_standard_output_is_written_to_and_keeps_what_was_there(folder, name):
    (folder / "link").symlink_to("/proc/self/fd/1")
    with (folder / "all").open("wb") as file:
        file.write(b"before\n")
        file.flush()
        done = subprocess.run(
            [FIRSTGRAD, "export", name], cwd=folder, stdout=file, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert done.returncode == 0, done.stderr
    before, *lines = (folder / "all").read_bytes().splitlines(keepends=True)
    assert before == b"before\n"
    (folder / "records").write_bytes(b"".join(lines))
    assert [record.record_id for record in import_jsonl(folder / "records")] == ["a", "b"]
    assert (folder / "link").is_symlink()
    assert not (folder / "-").exists()


def test_a_page_and_a_table_go_to_standard_output_without_a_word_between(folder):
    page = run_firstgrad("report", "--output", "-", cwd=folder)
    assert page.stdout.startswith("<!DOCTYPE html>")
    assert page.stdout.endswith("</html>")
    table = run_firstgrad("export", "-", "--format", "csv", cwd=folder)
    assert len(table.stdout.splitlines()) == 3


def test_a_fifo_stays_one_and_its_reader_gets_all(folder):
    fifo = folder / "fifo.jsonl"
    os.mkfifo(fifo)
    # Opened for both, it never waits: a program that replaces it cannot make this test hang
    reader = os.open(fifo, os.O_RDWR)
    try:
        done = run_firstgrad("export", fifo, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert os.read(reader, 2**16).count(b"\n") == 2
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_device_stays_one(folder):
    device = folder / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("needs to be root, to make a device that may be lost")
    for words in (("export", device), ("report", "--output", device)):
        done = run_firstgrad(*words, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert stat.S_ISCHR(device.stat().st_mode)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_and_its_file_keeps_its_mode(folder, is_there):
    target, link = folder / "elsewhere" / "real.jsonl", folder / "link.jsonl"
    link.symlink_to(target)
    if is_there:
        target.parent.mkdir()
        target.write_text("before")
        target.chmod(0o640)
    done = run_firstgrad("export", link, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert link.is_symlink()
    assert len(target.read_text().splitlines()) == 2
    assert not is_there or stat.S_IMODE(target.stat().st_mode) == 0o640
    assert list(target.parent.iterdir()) == [target]


def test_an_older_file_is_whole_where_the_disk_is_full(folder):
    with small_disk(folder / "disk", kib=500) as disk:
        words = (("export", disk / "x.jsonl"), ("export", disk / "x.csv"), ("report", "--output", disk / "x.html"))
        for verb in words:
            assert run_firstgrad(*verb, cwd=folder).returncode == 0
        before = {path: path.read_bytes() for path in disk.iterdir()}
        assert len(before) == 3
        disk.fill()
        for verb in words:
            done = run_firstgrad(*verb, cwd=folder)
            assert done.returncode == 2, done.stdout
            assert "cannot be written (No space left on device). Free some space" in done.stderr
            assert "Traceback" not in done.stderr
        disk.free()
        assert {path: path.read_bytes() for path in disk.iterdir()} == before


def test_a_reader_that_went_away_is_one_line(folder):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [FIRSTGRAD, "export", "-"], cwd=folder, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
        )
    finally:
        os.close(writer)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        b"firstgrad: -: cannot be written (Broken pipe). Whatever reads it ended before all was written"
    ]
