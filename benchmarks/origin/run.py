"""Measure the model of the report that started this project, as it was: per bone a variable, compiled to C.

To be run with the packages of that time (PyMC 5.27.1 is of December 2025), in an environment that has firstgrad's
dependencies, too. A cold sample, then a warm one from the cache that the cold one filled, with missed points masked
before the arithmetic; then a cold one with points masked after it, as the report had them, whose gradient is NaN and
whose times so don't count. With ``--finiteness``: the gradient with both maskings, on JAX.

Usage: ``python benchmarks/origin/run.py [--output docs/data/origin.jsonl]`` and, with the newest packages,
``python benchmarks/origin/run.py --finiteness [--output docs/data/finiteness.jsonl]``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.case import BackendName, Case, Scenario
from firstgrad.measuring.launch import run_sample
from firstgrad.measuring.private import PrivateCaches
from firstgrad.pose.spec import Missing, PoseSpec, WalkAxis
from firstgrad.store import export_jsonl
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from firstgrad.record import Record


def as_reported() -> list[Record]:
    """Measure cold, then warm; then what the report had."""
    case = Case(model=PoseSpec(walk_axis=WalkAxis.LAST), backend=BackendName.C)
    with PrivateCaches() as private:
        cold = run_sample(case, private, label="origin")
        private.save()
        private.restore()
        warm = run_sample(replace(case, scenario=Scenario.WARM), private, label="origin")
    with PrivateCaches() as private:
        naive = PoseSpec(walk_axis=WalkAxis.LAST, missing=Missing.NAIVE)
        return [cold, warm, run_sample(replace(case, model=naive), private, label="origin")]


def both_maskings() -> list[Record]:
    """Measure the default model with points masked after the arithmetic, and before it."""
    records = []
    for missing in (Missing.NAIVE, Missing.SAFE):
        with PrivateCaches() as private:
            case = Case(model=PoseSpec(missing=missing), backend=BackendName.JAX)
            records.append(run_sample(case, private, label="finiteness"))
    return records


def main() -> None:
    """Measure, tell, keep."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--finiteness", action="store_true")
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    records = both_maskings() if chosen.finiteness else as_reported()
    for record in records:
        bad = sum(each.nan + each.infinite for each in record.check.finiteness)
        print(f"{record.case}: {record.status}, {bad} gradient values are not finite")
        for phase in record.phases:
            print(f"  {phase.phase}: {format_seconds(phase.wall_seconds)}")
    name = "finiteness" if chosen.finiteness else "origin"
    export_jsonl(records, chosen.output or Path("docs/data", f"{name}.jsonl"))


if __name__ == "__main__":
    main()
