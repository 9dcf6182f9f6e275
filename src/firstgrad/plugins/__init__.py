"""Other tools' ways to send cases: asv suites and pytest-benchmark tests; here is what both share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from firstgrad.case import BackendName, Target
from firstgrad.columns import Column, first_metric, metrics_of, require_metrics
from firstgrad.suite import SUITE_FILE, read_suite

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from firstgrad.suite import Suite

TIER_VARIABLE = "FIRSTGRAD_TIER"
"""Environment variable that names the tier of a suite file."""
METRICS_VARIABLE = "FIRSTGRAD_METRICS"
"""Environment variable with other metrics than a suite's own: names with commas, or ``all``."""
ALL = "all"
_SHORT = ("evaluation", "peak_memory", "nodes", "compiled_units")
_COMPILED = {
    BackendName.C: "c_lines",
    BackendName.NUMBA: "llvm_instructions",
    BackendName.JAX: "hlo_operations",
    BackendName.JAX_FAST: "hlo_operations",
    BackendName.JAX_DIRECT: "hlo_operations",
    BackendName.JAX_QUICK: "hlo_operations",
}
"""How much of what a backend compiles there is, after its own optimising where it has any."""


def choose_metrics(names: Sequence[str], target: Target, backends: Iterable[str]) -> tuple[Column, ...]:
    """Choose the metrics of a suite: a few that tell most where none is named; in the order of the columns.

    By default the times to what is compiled, evaluation, peak memory and the exact counts of the graph, of what was
    compiled apart, and of what these backends compile. Raises SpecError for a name that no metric has.
    """
    names = os.environ.get(METRICS_VARIABLE, "").replace(",", " ").split() or names
    require_metrics(names, "metrics", ALL)
    first = first_metric(target).name
    short = {first, f"{first}_cpu", *_SHORT, *(_COMPILED.get(BackendName(one), "") for one in backends)}
    chosen = set(names or short)
    return tuple(metric for metric in metrics_of(target) if metric.name in chosen or ALL in chosen)


def open_suite(file: str | Path = SUITE_FILE, tier: str | None = None) -> Suite:
    """Read a suite file, and of it the tier that is named, here or by the environment; raises SpecError."""
    return read_suite(file).tier(tier or os.environ.get(TIER_VARIABLE) or None)
