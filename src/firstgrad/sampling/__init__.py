"""Short sampling runs, each in a process of its own: what a gradient's numbers mean for a sampler.

`plan` holds what is asked and answered, `launch` is the parent's side; `worker`, `watch` and `samplers` are the
process that samples.
"""

from __future__ import annotations

from firstgrad.sampling.plan import (
    DrawCounts,
    Sampler,
    SamplerUnavailable,
    SamplingPlan,
    SamplingRun,
    SamplingStage,
    StageTime,
    StartGradient,
)

__all__ = [
    "DrawCounts",
    "Sampler",
    "SamplerUnavailable",
    "SamplingPlan",
    "SamplingRun",
    "SamplingStage",
    "StageTime",
    "StartGradient",
]
