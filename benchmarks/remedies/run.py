"""Measure known ways to spend less, each case without and with its remedy.

A round takes a sample of each cell, in an order of its own, so that what else the machine does falls on all alike. The
records go to ``docs/data/remedies.jsonl``; those of cells that are not measured now stay.

Usage: ``python -m benchmarks.remedies.run [--samples 3] [--only CELL,CELL]``, some ten minutes.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.upstream.rewrites import measure as measure_variant
from firstgrad.case import BackendName, Case, Scenario
from firstgrad.measuring.launch import measure
from firstgrad.pose.spec import Formulation, HmmAlgorithm, HmmSpec, Missing, PoseSpec
from firstgrad.store import export_jsonl, import_jsonl
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.record import Record

ROOT = Path(__file__).parents[2]
DATA = ROOT / "docs" / "data" / "remedies.jsonl"
BASE = PoseSpec(n_timesteps=20, n_directions=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One side of a remedy: the label of its records, the case, and a variant of `benchmarks.upstream.variants`."""

    label: str
    case: Case
    variant: str = ""


def _cell(label: str, model: PoseSpec = BASE, *, scenario: Scenario = Scenario.COLD, variant: str = "") -> Cell:
    return Cell(label=label, case=Case(model=model, backend=BackendName.JAX, scenario=scenario), variant=variant)


def _hmm(algorithm: HmmAlgorithm) -> PoseSpec:
    # Longer: what an unrolled loop costs grows with its steps.
    return replace(BASE, n_timesteps=60, hmm=HmmSpec(algorithm=algorithm))


CELLS = (
    _cell("per_joint"),
    _cell("vectorised", replace(BASE, formulation=Formulation.VECTORISED)),
    _cell("naive", replace(BASE, missing=Missing.NAIVE)),
    _cell("hmm_scan", _hmm(HmmAlgorithm.SCAN)),
    _cell("hmm_tree", _hmm(HmmAlgorithm.TREE)),
    _cell("hmm_unrolled", _hmm(HmmAlgorithm.UNROLLED)),
    _cell("per_joint_warm", scenario=Scenario.WARM),
    _cell("hmm_each_variable", _hmm(HmmAlgorithm.SCAN)),
    _cell("one_gradient", _hmm(HmmAlgorithm.SCAN), variant="one_gradient"),
    _cell("excluded_rewrites", variant="no_specialize"),
    _cell("fast_compile", variant="fast_compile"),
)
"""All cells."""


def measure_cells(cells: Sequence[Cell], *, samples: int) -> None:
    """Measure rounds of all cells; every record is in the file before the next sample begins."""
    labels = {cell.label for cell in cells}
    records = [each for each in import_jsonl(DATA) if each.environment.label not in labels] if DATA.exists() else []
    for number in range(samples):
        order = list(cells)
        random.Random(number).shuffle(order)  # noqa: S311 - an order, no secret
        for cell in order:
            if cell.variant:
                record = measure_variant(cell.case, cell.variant, label=cell.label)
            else:
                (record,) = measure(cell.case, label=cell.label)
            records.append(record)
            export_jsonl(records, DATA)
            print(f"round {number + 1}: {_tell(record)}", flush=True)


def _tell(record: Record) -> str:
    seconds = record.time_to_first_gradient_seconds
    return (
        f"{record.environment.label}: {record.status}, first gradient "
        f"{'none' if seconds is None else format_seconds(seconds)}, load before {record.environment.load_before}"
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--only", default="", help="labels of cells, with commas")
    given = parser.parse_args()
    wanted = {part for part in given.only.split(",") if part}
    if unknown := wanted - {cell.label for cell in CELLS}:
        parser.error(f"there is no cell {', '.join(sorted(unknown))}")
    measure_cells([cell for cell in CELLS if not wanted or cell.label in wanted], samples=given.samples)


if __name__ == "__main__":
    main()
