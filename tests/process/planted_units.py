"""A child of ``firstgrad.precompile`` whose units are planted: files, a crash, an error, one without end."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from firstgrad.precompiling import worker
from firstgrad.precompiling.schedule import PlannedUnit

KINDS = os.environ["PLANTED_UNITS"].split()


class Planted:
    types = likely = {}  # noqa: RUF012 - nobody changes it

    def __init__(self, task):
        if KINDS == ["unbuilt"]:
            raise ValueError("there is no such data file")
        self.cache = Path(task.folder) / "caches" / "planted"
        self.cache.mkdir()
        self.listed = tuple(PlannedUnit(name=f"{kind} {number}", key=str(number)) for number, kind in enumerate(KINDS))

    def make(self, number, _takes, _others):
        kind = KINDS[number]
        if kind == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "endless":
            while True:
                time.sleep(60)
        if kind == "raise":
            raise TypeError("no such function")
        (self.cache / f"unit{number}").write_text("machine code")
        return (), True, ""


def merge(source, target):
    target.mkdir(parents=True, exist_ok=True)
    units = list(source.glob("unit*"))
    for unit in units:
        unit.rename(target / unit.name)
    return len(units), 12 * len(units)


worker.open_units, worker.merge = Planted, merge
worker.main()
