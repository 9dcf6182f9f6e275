"""Measured cases as pytest-benchmark tests; see `firstgrad.plugins.pytest_benchmark`.

::

    @pytest.mark.benchmark(timer=worker_clock)
    def test_my_model(benchmark):
        bench(benchmark, Case(model=Model(reference="my/model.py:build"), backend=BackendName.JAX))
"""

from __future__ import annotations

from firstgrad.plugins.pytest_benchmark import bench, questions, worker_clock

__all__ = ["bench", "questions", "worker_clock"]
