"""What a writer was told is saved is there, whenever it was killed.

SIGKILL proves that `add` reports nothing before its transaction is committed, and that what a killed writer
leaves behind neither harms older records nor stops the next writer. It is no power cut: for that the store
asks SQLite to sync each commit, which `test_store.py` looks at.
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import store_writer

from firstgrad.store import Store
from strategies import same

KILLS = 20
WRITER = Path(store_writer.__file__)


@contextmanager
def writer(path, prefix, *count):
    """A started writer that waits for its signal; dead afterwards, whatever happened."""
    command = [sys.executable, str(WRITER), str(path), prefix, *map(str, count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def begin(process):
    process.stdin.write(b"go\n")
    process.stdin.flush()


def whole_lines(output):
    """Lines that were written to their end."""
    return [line.decode().strip() for line in output.splitlines(keepends=True) if line.endswith(b"\n")]


def check_integrity(path):
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_what_was_reported_as_saved_survives_kills(tmp_path):
    path = tmp_path / "results.sqlite"
    chance = random.Random(20)  # noqa: S311 - reproducible, not secret
    reported, rounds_with_reports = [], 0
    for kill in range(KILLS):
        with writer(path, f"round{kill}") as process:
            begin(process)
            # Some before the store is open, some after a few records: always somewhere within an `add`
            lines = b"".join(process.stdout.readline() for _ in range(chance.choice((0, 1, 5, 15))))
            time.sleep(chance.uniform(0, 0.02))
            process.kill()
            lines += process.stdout.read()
            assert process.wait() == -9, "the writer ended before it was killed"
        saved = whole_lines(lines)
        rounds_with_reports += bool(saved)
        reported += saved
    assert rounds_with_reports >= KILLS / 2, "hardly anything was saved: this run proves little"

    with Store.open(path) as store:
        found = {record.record_id: record for record in store.records()}
    assert set(reported) <= set(found)
    # Each kill can hide the report of one record that was saved
    assert len(found) - len(reported) <= KILLS
    assert all(same(record, store_writer.sample(name)) for name, record in found.items())
    check_integrity(path)


def test_two_writers_at_once_lose_nothing(tmp_path):
    path = tmp_path / "results.sqlite"  # absent: they also race to create it
    count = 60
    with writer(path, "left", count) as left, writer(path, "right", count) as right:
        begin(left)
        begin(right)
        saved = {side: whole_lines(process.stdout.read()) for side, process in (("left", left), ("right", right))}
        assert (left.wait(), right.wait()) == (0, 0)
    expected = {side: [f"{side}-{number}" for number in range(count)] for side in saved}
    assert saved == expected

    with Store.open(path) as store:
        found = list(store.records())
    for side, names in expected.items():
        assert [record.record_id for record in found if record.record_id.startswith(side)] == names
    assert len(found) == 2 * count
    assert all(same(record, store_writer.sample(record.record_id)) for record in found)
    check_integrity(path)
