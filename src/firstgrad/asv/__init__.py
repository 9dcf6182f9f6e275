"""A third party's asv suite, with all of firstgrad's metrics from one measured process a sample."""

from __future__ import annotations

from firstgrad.asv.suite import GradientBenchmarks

__all__ = ["GradientBenchmarks"]
