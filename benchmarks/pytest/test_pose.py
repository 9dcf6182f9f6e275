"""The pose model on the tier that FIRSTGRAD_TIER chooses: `make bench`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from benchmarks.tiers import cases
from firstgrad.pytest_benchmark import bench, worker_clock

if TYPE_CHECKING:
    from firstgrad import Store
    from firstgrad.plugins.pytest_benchmark import Benchmark

# A case's description in characters that a shell leaves alone. Names stay, so saved runs can be compared.
CASES = {re.sub(r"\W+", "-", str(case).replace("=", "")): case for case in cases()}


@pytest.mark.timeout(0)  # a case brings its own limit
@pytest.mark.benchmark(timer=worker_clock)
@pytest.mark.parametrize("name", CASES)
def test_time_to_first_gradient(benchmark: Benchmark, store: Store, name: str) -> None:
    """Measure a case, three fresh processes."""
    bench(benchmark, CASES[name], rounds=3, store=store, label="make bench")
