"""Measure what lint's findings cost: each pattern, and the same density written as lint says.

Samples go to ``docs/data/lint.jsonl``; what ``firstgrad lint`` estimates from is made of them:
``src/firstgrad/linting/measured.json``. Processor seconds, since other users of a machine change them least.

Usage: ``python -m benchmarks.lint.run [--only terms,adding] [--evidence-only]``, some ten minutes.
"""

from __future__ import annotations

import argparse
import random
import statistics
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from firstgrad.case import BackendName, Case, Scenario, Target
from firstgrad.codec import to_json
from firstgrad.columns import metric_named
from firstgrad.linting.finding import MEASURED_PATH, Extent, Measured, Pattern
from firstgrad.measuring.launch import measure
from firstgrad.model import make_model
from firstgrad.phase import Phase
from firstgrad.record import Status
from firstgrad.store import export_jsonl, import_jsonl

if TYPE_CHECKING:
    from firstgrad.record import Record

ROOT = Path(__file__).parents[2]
CPU = metric_named("time_to_first_gradient_cpu")
DATA = ROOT / "docs" / "data" / "lint.jsonl"
MODELS = "benchmarks/lint/models.py"
SIZES = {
    Pattern.TERMS: (12, 36, 100),
    Pattern.CELLS: (36, 100),
    Pattern.EXPRESSIONS: (15, 45, 100),
    Pattern.ADDENDS: (15, 60, 100),
    Pattern.STACKED: (15, 45),
    Pattern.NUMBERS: (45, 135),
    Pattern.FILLED: (25, 81),
    Pattern.RECURSION: (45, 135),
    Pattern.ADDING: (100,),
    Pattern.FADING: (100,),
    Pattern.CONSTANT: (150_000,),
    Pattern.PYTHON: (100,),
}
BACKENDS = (BackendName.NUMBA, BackendName.JAX)
OF_CACHES = (Pattern.CONSTANT, Pattern.PYTHON)
"""What costs the second process most: measured warm, with Numba alone."""
GRAPH = (Phase.BUILD, Phase.LOGP_GRAPH, Phase.GRAD_GRAPH, Phase.REWRITE)


def backends_of(pattern: Pattern) -> tuple[BackendName, ...]:
    """Say which backends a pattern is measured with."""
    return BACKENDS[:1] if pattern in OF_CACHES else BACKENDS[1:] if pattern is Pattern.ADDENDS else BACKENDS


def cells(pattern: Pattern) -> list[tuple[str, Case]]:
    """List what is measured of a pattern: the label of the records, and the case."""
    found = []
    is_of_caches = pattern in OF_CACHES
    for size in SIZES[pattern]:
        for backend in backends_of(pattern):
            for loop in (True, False):
                model = make_model(f"{MODELS}:{pattern}", {"size": size, "loop": loop})
                found.append(
                    (
                        f"{pattern}-{size}-{'with' if loop else 'without'}",
                        Case(
                            model=model,
                            backend=backend,
                            target=Target.LOGP_DLOGP,
                            scenario=Scenario.WARM if is_of_caches else Scenario.COLD,
                            evaluations=20,
                            time_limit_seconds=600.0,
                        ),
                    )
                )
    return found


def distil(records: list[Record], extents: dict[tuple[Pattern, int], Extent]) -> list[Measured]:
    """Make the table of all patterns whose two sides are there."""
    measured = []
    for pattern, sizes in SIZES.items():
        for size in sizes:
            for backend in backends_of(pattern):
                sides = []
                for side in ("with", "without"):
                    label = f"{pattern}-{size}-{side}"
                    good = [
                        record
                        for record in records
                        if (record.environment.label, record.case.backend, record.status) == (label, backend, Status.OK)
                    ]
                    sides.append(good)
                if not all(sides):
                    continue
                first = sides[0][0]
                versions = dict(first.environment.versions)
                packages = ", ".join(f"{name} {versions[name]}" for name in ("pytensor", backend) if name in versions)
                seconds = [statistics.median(filter(None, map(CPU.read, side))) for side in sides]
                graph = [statistics.median(map(graph_seconds, side)) for side in sides]
                measured.append(
                    Measured(
                        pattern=pattern,
                        backend=str(backend),
                        scenario=str(first.case.scenario),
                        size=size,
                        extent=extents[pattern, size],
                        with_seconds=round(seconds[0], 3),
                        without_seconds=round(seconds[1], 3),
                        graph_seconds=round(graph[0] - graph[1], 3),
                        measured_on=f"{first.started_at[:10]}, {first.environment.host.processor}, {packages}",
                    )
                )
    return measured


def graph_seconds(record: Record) -> float:
    """Sum up what PyTensor's own part took."""
    return sum(phase.cpu_seconds for phase in record.phases if phase.phase in GRAPH)


def extent_of(pattern: Pattern, size: int) -> Extent:
    """Ask lint how large a finding is; what costs the same at any size is of one node."""
    from benchmarks.lint import models
    from firstgrad.linting.engine import lint_model
    from firstgrad.linting.loops import loops
    from firstgrad.observe.lines import deep_traces

    # No estimates, which are what is made here; and the small ones, too
    nothing = patch("firstgrad.linting.finding.load_measured", return_value=())
    with deep_traces(), nothing, patch("firstgrad.linting.loops._FEWEST_NODES", 0):
        report = lint_model(getattr(models, pattern)(size), rules=(loops,))
    assert not report.skipped, report.skipped
    one = max(report.findings, key=lambda finding: finding.work, default=None)
    return Extent(nodes=1) if one is None else Extent(nodes=one.work, turns=one.count, arrays=one.arrays)


def main() -> None:
    """Measure, then distil."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--only", default="", help="patterns, with commas")
    parser.add_argument("--evidence-only", action="store_true", help="measure nothing")
    given = parser.parse_args()
    wanted = [Pattern(part) for part in given.only.split(",") if part] or list(SIZES)
    kept = list(import_jsonl(DATA)) if DATA.exists() else []
    if not given.evidence_only:
        plan = [cell for pattern in wanted for cell in cells(pattern)]
        labels = {label for label, _ in plan}
        kept = [record for record in kept if record.environment.label not in labels]
        for number in range(given.samples):
            for label, case in random.Random(number).sample(plan, len(plan)):  # noqa: S311 - an order, no secret
                (record,) = measure(case, label=label)
                kept.append(record)
                export_jsonl(kept, DATA)
                print(label, case.backend, record.status, CPU.read(record), flush=True)
    extents = {(pattern, size): extent_of(pattern, size) for pattern, sizes in SIZES.items() for size in sizes}
    MEASURED_PATH.write_text(to_json(distil(kept, extents)) + "\n")
    print(f"{MEASURED_PATH.relative_to(ROOT)}: written")


if __name__ == "__main__":
    main()
