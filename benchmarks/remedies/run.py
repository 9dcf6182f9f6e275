"""Measure the cases that back the remedies of ``firstgrad advise``, each without and with its remedy.

A round takes a sample of each cell, in an order of its own, so that what else the machine does falls on all alike. The
records go to ``docs/data/remedies.jsonl``; those of cells that are not measured now stay. What ``firstgrad advise``
tells of them is in ``src/firstgrad/advising/measured.json``, and is made anew at the end.

Usage: ``python -m benchmarks.remedies.run [--samples 3] [--only CELL,CELL] [--evidence-only]``, some ten minutes.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.upstream.rewrites import measure as measure_variant
from firstgrad.advising.advice import ratio_of_times
from firstgrad.advising.situation import MEASURED_PATH, WHAT, Evidence, RemedyName
from firstgrad.case import BackendName, Case, Scenario
from firstgrad.codec import to_json
from firstgrad.columns import metric_named
from firstgrad.measuring.launch import measure
from firstgrad.pose.spec import Formulation, HmmAlgorithm, HmmSpec, Missing, PoseSpec
from firstgrad.record import Status
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
"""All cells; the remedies name them as their sides."""


SIDES = {
    RemedyName.MASK_FIRST: ("naive", "per_joint"),
    RemedyName.VECTORISE: ("per_joint", "vectorised"),
    RemedyName.ROLL_LOOPS: ("hmm_unrolled", "hmm_scan"),
    RemedyName.SCAN_NOT_TREE: ("hmm_tree", "hmm_scan"),
    RemedyName.KEEP_CACHES: ("per_joint", "per_joint_warm"),
    RemedyName.ONE_GRADIENT: ("hmm_each_variable", "one_gradient"),
    RemedyName.EXCLUDE_REWRITES: ("per_joint", "excluded_rewrites"),
    RemedyName.FAST_COMPILE: ("per_joint", "fast_compile"),
}
"""The labels of the records that back a remedy, without it and with it. Where there are none, it is proposed without a
saving, or not at all."""
_OF_WRONG_GRADIENTS = RemedyName.MASK_FIRST  # so that the samples without it are those that disagree


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


def find_evidence(records: Sequence[Record]) -> tuple[Evidence, ...]:
    """Make the ratios of all remedies whose two sides are in ``docs/data/remedies.jsonl``, with right gradients."""
    evidence = []
    for remedy, labels in SIDES.items():
        bad = Status.MISMATCH if remedy is _OF_WRONG_GRADIENTS else Status.OK
        without, having = (
            [record for record in records if record.environment.label == label and record.status is status]
            for label, status in zip(labels, (bad, Status.OK), strict=True)
        )
        for metric in WHAT:
            numbers = [_numbers(side, metric) for side in (having, without)]
            if all(numbers):
                evidence.append(
                    Evidence(
                        remedy=remedy,
                        metric=metric,
                        ratio=ratio_of_times(*numbers),
                        case=str(without[0].case),
                        versions=having[0].environment.versions,
                        measured_on=f"{having[0].started_at[:10]}, {having[0].environment.host.processor}",
                    )
                )
    return tuple(evidence)


def _numbers(records: Sequence[Record], metric: str) -> list[float]:
    values = (metric_named(metric).read(record) for record in records)
    return [value for value in values if value is not None and value > 0]


def main() -> None:
    """Measure, then distil."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--only", default="", help="labels of cells, with commas")
    parser.add_argument("--evidence-only", action="store_true", help="measure nothing")
    given = parser.parse_args()
    wanted = {part for part in given.only.split(",") if part}
    if unknown := wanted - {cell.label for cell in CELLS}:
        parser.error(f"there is no cell {', '.join(sorted(unknown))}")
    if not given.evidence_only:
        measure_cells([cell for cell in CELLS if not wanted or cell.label in wanted], samples=given.samples)
    MEASURED_PATH.write_text(to_json(find_evidence(list(import_jsonl(DATA)))) + "\n")
    print(f"{MEASURED_PATH.relative_to(ROOT)}: written")


if __name__ == "__main__":
    main()
