"""The pose model on the tier that FIRSTGRAD_TIER chooses: `make bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.tiers import cases
from firstgrad.pytest_benchmark import bench, questions, worker_clock

if TYPE_CHECKING:
    from firstgrad import Case, Store
    from firstgrad.plugins.pytest_benchmark import Benchmark


@pytest.mark.timeout(0)  # a case brings its own limit
@pytest.mark.benchmark(timer=worker_clock)
@pytest.mark.parametrize(("case", "metric"), questions(cases()))
def test_gradient(benchmark: Benchmark, store: Store, case: Case, metric: str) -> None:
    """Measure a case, three fresh processes for all of its metrics."""
    bench(benchmark, case, metric=metric, store=store, label="make bench")
