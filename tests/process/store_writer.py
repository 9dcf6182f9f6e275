"""A process that adds records to a store until it is killed, or has added as many as it was asked for.

Usage: store_writer.py STORE PREFIX [COUNT]. It prints "ready", waits for a line, opens the store, and prints
each record_id once `Store.add` returned.
"""

from __future__ import annotations

import itertools
import random
import sys

from firstgrad.case import BackendName, Case
from firstgrad.pose.spec import PoseSpec
from firstgrad.record import Environment, HostFingerprint, Record, Status
from firstgrad.store import Store


def sample(record_id: str) -> Record:
    """Make the record of this name: always the same, and like no other."""
    chance = random.Random(record_id)  # noqa: S311 - reproducible, not secret
    return Record(
        record_id=record_id,
        started_at="2025-01-01T00:00:00Z",
        case=Case(model=PoseSpec(seed=chance.randrange(2**32)), backend=BackendName.FAKE),
        status=Status.OK,
        environment=Environment(
            python="3.13.1",
            versions=(),
            flags="",
            compiler="",
            threads=1,
            host=HostFingerprint(processor="p", cores=1, memory_bytes=1, operating_system="Linux"),
            load_before=0.0,
        ),
        # Some fill many of SQLite's pages, so that a write can be torn
        evaluation_seconds=tuple(chance.random() for _ in range(chance.choice((1, 50, 2000)))),
    )


def main() -> None:
    path, prefix, *count = sys.argv[1:]
    say("ready")
    sys.stdin.readline()
    with Store.open(path) as store:
        for number in range(int(count[0])) if count else itertools.count():
            record = sample(f"{prefix}-{number}")
            store.add(record)
            say(record.record_id)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
