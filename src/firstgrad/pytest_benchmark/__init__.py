"""Measured cases as pytest-benchmark tests.

::

    @pytest.mark.benchmark(timer=worker_clock)
    def test_my_model(benchmark):
        bench(benchmark, Case(model=ExternalModel(reference="my/model.py:build"), backend=BackendName.JAX))

Each round is one fresh worker process. What pytest-benchmark times is not that process but its seconds by the
worker's own clock: `worker_clock` is a timer that goes on only by them. Importing this imports neither pytest nor
pytest-benchmark.
"""

from firstgrad.pytest_benchmark.clock import worker_clock
from firstgrad.pytest_benchmark.rounds import bench

__all__ = ["bench", "worker_clock"]
