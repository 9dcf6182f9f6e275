"""How large a change must be before it is one, and before it is an alarm."""

from __future__ import annotations

import math
from dataclasses import dataclass

from firstgrad.errors import SpecError
from firstgrad.metrics import Metric, Unit

_GATING_SECONDS = ("time_to_first_gradient", "time_to_first_gradient_cpu", "evaluation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The numbers of the rules; `docs/method.md` gives the reasons.

    Attributes
    ----------
    seconds_factor, memory_factor, counts_factor : float
        Growth that is found is an alarm beyond this factor of BASE, at least 1.
    noise_factor : float
        A change of seconds or bytes by less than this factor is none, where the case has no history.
    same_factor : float
        Sides are the same where the whole interval lies within this factor of 1, both ways.
    counts_noise_factor : float
        The same as `noise_factor` of counts, which hardly have noise.
    least_bytes : int
        Smaller changes of memory are none.
    least_seconds, least_evaluation_seconds : float
        The same of seconds: all but one steady-state call, and that.
    least_samples : int
        Fewer on a side leave seconds undecided.
    confidence : float
        Probability that of all gating durations of a comparison none is said to have changed that did not.

    Raises
    ------
    SpecError
        Where a factor is no finite number, or below 1.
    """

    seconds_factor: float = 1.0
    memory_factor: float = 1.10
    counts_factor: float = 1.05
    noise_factor: float = 1.02
    same_factor: float = 1.05
    counts_noise_factor: float = 1.005
    least_bytes: int = 5 * 2**20
    least_seconds: float = 0.01
    least_evaluation_seconds: float = 1e-6
    least_samples: int = 3
    confidence: float = 0.97

    def __post_init__(self) -> None:
        options = {"seconds_factor": "--threshold", "memory_factor": "--threshold-memory"}
        options |= {"counts_factor": "--threshold-counts"}
        for name in (*options, "noise_factor", "same_factor", "counts_noise_factor"):
            factor = getattr(self, name)
            if not (math.isfinite(factor) and factor >= 1):
                raise SpecError(options.get(name, name), f"expected a number of 1 or more, such as 1.1, got {factor!r}")
        if not 0 < self.confidence < 1:
            raise SpecError("confidence", f"expected a number between 0 and 1, got {self.confidence!r}")

    def alarm_factor(self, unit: Unit) -> float:
        """Find beyond which factor growth is an alarm."""
        match unit:
            case Unit.COUNT:
                return self.counts_factor
            case Unit.BYTES:
                return self.memory_factor
            case Unit.SECONDS:
                return self.seconds_factor

    def margin(self, noise_factor: float) -> float:
        """Find the margin of practical equality, which is never narrower than the noise."""
        return max(self.same_factor, noise_factor)

    def least(self, metric: Metric) -> float:
        """Find the least difference that is one, in the metric's unit."""
        match metric.unit:
            case Unit.COUNT:
                return 0.0
            case Unit.BYTES:
                return self.least_bytes
            case Unit.SECONDS:
                return self.least_evaluation_seconds if metric.name == "evaluation" else self.least_seconds


def is_gating(metric: Metric) -> bool:
    """Whether a metric can be an alarm: phases explain where time went, and the times that they make up alarm."""
    return metric.unit is not Unit.SECONDS or metric.name in _GATING_SECONDS
