"""An asv suite that measures first gradients, by its base class or a suite file; see `firstgrad.plugins.asv`."""

from __future__ import annotations

from firstgrad.plugins.asv import GradientBenchmarks, suite_benchmarks

__all__ = ["GradientBenchmarks", "suite_benchmarks"]
