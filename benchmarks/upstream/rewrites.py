"""Which rewrites can be left out: what each choice saves up to the first gradient, costs an evaluation, and breaks.

No ``PYTENSOR_FLAGS`` can be used for that: PyTensor's modes ``JAX`` and ``NUMBA`` and an explicit ``Mode`` are made
without a look at ``mode``, `optimizer` and ``optimizer_excluding``. So the worker's backend gets another mode.
Samples are cold, each in a process of its own, and the variants take turns. Seconds are processor seconds.

Usage: ``python -m benchmarks.upstream.rewrites [--backend jax] [--variants as_is,fast_compile] [--samples 2]
[--timesteps 100] [--directions 5] [--hmm]``.
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.upstream.variants import CHOSEN, VARIANTS
from firstgrad.case import BackendName, Case
from firstgrad.measuring.launch import conclude, make_task
from firstgrad.measuring.private import PrivateCaches
from firstgrad.measuring.session import Transcript, run_worker
from firstgrad.phase import Phase
from firstgrad.pose.spec import HmmSpec, PoseSpec
from firstgrad.record import Status, Verdict
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.record import Record

ROOT = Path(__file__).parents[2]
PHASES = (Phase.GRAD_GRAPH, Phase.REWRITE, Phase.LINK, Phase.FIRST_CALL)


def measure(case: Case, variant: str, *, label: str = "") -> Record:
    """Measure one cold sample of a variant."""
    os.environ[CHOSEN] = variant
    os.environ["PYTHONPATH"] = str(ROOT)
    with PrivateCaches() as private:
        task = make_task(case, private, label=label or f"rewrites {variant}")
        return conclude(task, run_worker(task, private, Transcript(), worker="benchmarks.upstream.variant_worker"))


def row(variant: str, records: list[Record]) -> str:
    """Write one variant's samples as a row: medians, and the first failure if there is one."""
    failed = next((record for record in records if record.status is not Status.OK or record.failure), None)
    if failed is not None:
        reason = failed.failure.message if failed.failure else "the oracle disagrees"
        return f"| {variant} | {failed.status}: {reason.splitlines()[0][:100]} |"
    first = records[0]
    assert first.counts is not None

    def middle(read: Callable[[Record], float]) -> float:
        return statistics.median(read(record) for record in records)

    def phase_seconds(phase: Phase) -> str:
        spent = middle(lambda record: sum(each.cpu_seconds for each in record.phases if each.phase is phase))
        return format_seconds(spent)

    agree = all(record.check.verdict is Verdict.AGREES for record in records)
    cells = (
        variant,
        f"**{format_seconds(middle(lambda record: record.time_to_first_gradient_cpu_seconds or 0.0))}**",
        *(phase_seconds(phase) for phase in PHASES),
        f"{first.counts.nodes_before:,} to {first.counts.nodes_after:,}",
        f"{first.counts.compiled_units}",
        format_bytes(int(middle(lambda record: record.memory.peak_rss_bytes if record.memory else 0))),
        # The least, not the median: what else the machine does can only add.
        format_seconds(min(min(record.evaluation_seconds) for record in records)),
        "agrees" if agree else f"{first.check.verdict}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure all variants in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="jax", choices=["jax", "numba", "c"])
    parser.add_argument("--variants", default=",".join(VARIANTS), help="Names, with commas.")
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--timesteps", type=int, default=100)
    parser.add_argument("--directions", type=int, default=5)
    parser.add_argument("--hmm", action="store_true")
    chosen = parser.parse_args()
    spec = PoseSpec(n_timesteps=chosen.timesteps, n_directions=chosen.directions, hmm=HmmSpec() if chosen.hmm else None)
    case = Case(model=spec, backend=BackendName(chosen.backend), evaluations=200)
    names = chosen.variants.split(",")
    records: dict[str, list[Record]] = {name: [] for name in names}
    head = ("rewrites", "first gradient, CPU", *PHASES, "nodes", "units", "peak memory", "least evaluation", "verdict")
    print(f"{case}; {chosen.samples} samples each\n")
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for _ in range(chosen.samples):
        for name in names:
            records[name].append(measure(case, name))
            if len(records[name]) == chosen.samples:
                print(row(name, records[name]), flush=True)


if __name__ == "__main__":
    main()
