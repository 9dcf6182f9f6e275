"""Measure the findings' table of backends: the default pose model, HMM off and on, every backend, cold and warm.

Each backend and model has one private folder: the cold sample fills its caches, the warm sample starts from a copy. The
records go to a JSON lines file, from which ``make plots`` draws and the table in docs/findings.md is
taken. About 20 minutes.

Usage: ``python run.py [OUTPUT.jsonl]``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.case import BackendName, Case, Scenario
from firstgrad.measuring.launch import run_sample
from firstgrad.measuring.private import PrivateCaches
from firstgrad.pose.spec import HmmSpec, PoseSpec
from firstgrad.store import export_jsonl
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from firstgrad.record import Record

BACKENDS = (BackendName.JAX, BackendName.C, BackendName.NUMBA)


def measure_pair(case: Case) -> list[Record]:
    """Measure a case cold, then warm."""
    with PrivateCaches() as private:
        cold = run_sample(case, private, label="first-gradient")
        private.save()
        private.restore()
        return [cold, run_sample(replace(case, scenario=Scenario.WARM), private, label="first-gradient")]


def show(record: Record) -> None:
    """Print a record's line of the table."""
    whole = record.time_to_first_gradient_seconds
    if whole is None or record.memory is None:
        print(f"{record.case}: {record.status}: {record.failure}")
        return
    print(
        f"{record.case}: {format_seconds(whole)} wall, "
        f"{format_seconds(record.time_to_first_gradient_cpu_seconds or 0.0)} CPU, "
        f"peak {format_bytes(record.memory.peak_rss_bytes)}, {record.check.verdict}, "
        f"proven: {record.caches.is_proven if record.caches else None}",
        flush=True,
    )


def main() -> None:
    """Measure everything, write the file after every pair."""
    output = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/data/first-gradient.jsonl")
    records: list[Record] = []
    for backend in BACKENDS:
        for hmm in (None, HmmSpec(n_states=2)):
            pair = measure_pair(Case(model=PoseSpec(hmm=hmm), backend=backend))
            for record in pair:
                show(record)
            records += pair
            export_jsonl(records, output)


if __name__ == "__main__":
    main()
