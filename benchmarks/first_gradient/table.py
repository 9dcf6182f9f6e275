"""Write the findings' table of backends from stored records, as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.estimates import estimate_median
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from firstgrad.record import Record


def row(record: Record) -> str:
    """Write one record as a row."""
    whole = record.time_to_first_gradient_seconds
    if whole is None or record.memory is None:
        return f"| {record.case.backend} | {record.status} |"
    longest = record.longest_phase
    one = estimate_median(record.evaluation_seconds)
    cells = (
        "on, S=2" if dict(record.case.model.parameters).get("hmm") else "off",
        str(record.case.backend),
        str(record.case.scenario),
        f"**{format_seconds(whole)}**",
        format_seconds(record.time_to_first_gradient_cpu_seconds or 0.0),
        f"{longest.phase} {longest.wall_seconds / whole:.0%}",
        f"{format_seconds(one.value)} [{format_seconds(one.low)}, {format_seconds(one.high)}]",
        format_bytes(record.memory.peak_rss_bytes),
    )
    return f"| {' | '.join(cells)} |"


DEFAULT = "The default pose model (T=100, K=5, per_joint, target dlogp)"


def table(records: list[Record], of: str = DEFAULT, script: str = "benchmarks/first_gradient/run.py") -> str:
    """Write the table with where and how it was measured."""
    first = records[0].environment
    versions = dict(first.versions)
    verdicts = ", ".join(sorted({str(record.check.verdict) for record in records}))
    head = (
        "HMM",
        "backend",
        "scenario",
        "first gradient, wall",
        "CPU",
        "longest phase",
        "evaluation, median [95%]",
        "peak memory",
    )
    lines = [
        f"{of}, one sample a row, PyMC {versions['pymc']}, "
        f"PyTensor {versions['pytensor']}, Numba {versions['numba']}, JAX {versions['jax']}, Python {first.python}, "
        f"{first.host.cores} cores of {first.host.processor}, {records[0].started_at[:10]}. Made by "
        f"`python {script}`. Verdicts: {verdicts}. The machine is shared and noisy: take the orders of "
        "magnitude, not the digits.",
        "",
        f"| {' | '.join(head)} |",
        f"|{' --- |' * len(head)}",
        *(row(record) for record in records),
    ]
    return "\n".join(lines)
