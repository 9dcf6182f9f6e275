"""The base class of an asv suite that measures first gradients; see `firstgrad.plugins.asv`."""

from __future__ import annotations

from firstgrad.plugins.asv import GradientBenchmarks

__all__ = ["GradientBenchmarks"]
