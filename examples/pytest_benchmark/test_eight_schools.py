"""A benchmark of one's own model. Run it from the project's root: the reference is seen from there."""

import pytest

from firstgrad import BackendName, Case, Model
from firstgrad.pytest_benchmark import bench, worker_clock

CASE = Case(model=Model(reference="examples/models/eight_schools.py:build"), backend=BackendName.JAX)


@pytest.mark.benchmark(timer=worker_clock)
def test_time_to_first_gradient(benchmark):
    bench(benchmark, CASE)
