"""A benchmark of one's own model. Run it from the project's root: the reference is seen from there."""

import pytest

from firstgrad import BackendName, Case, Model
from firstgrad.pytest_benchmark import bench, questions, worker_clock

CASE = Case(model=Model(reference="examples/models/eight_schools.py:build"), backend=BackendName.JAX)


@pytest.mark.benchmark(timer=worker_clock)
@pytest.mark.parametrize(("case", "metric"), questions(CASE))
def test_gradient(benchmark, case, metric):
    bench(benchmark, case, metric=metric)
