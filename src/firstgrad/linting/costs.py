"""What findings cost: seconds that were measured for each kind on each backend, and estimates made of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from firstgrad.linting.finding import CostEstimate

MEASURED_PATH = Path(__file__).with_name("measured.json")
"""Shipped with the package; ``benchmarks.lint.run`` writes it."""
COMMAND = "python -m benchmarks.lint.run"
_WIDER = 1.4
"""By so much models of the same kind differed from each other, beside what the size explains."""


class Pattern(StrEnum):
    """What was measured: a model with a finding, and the same density written as the finding says."""

    TERMS = "terms"  # a free variable and an observed one for each group
    EXPRESSIONS = "expressions"  # an unrolled integral
    RECURSION = "recursion"  # an unrolled recursion
    ADDING = "adding"  # a scan that adds up
    FADING = "fading"  # a scan over data that fade
    CONSTANT = "constant"  # a constant that no cache takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One pair of measured models."""

    situation: Pattern
    backend: str
    scenario: str
    size: int  # turns of the loop, steps, or rows
    nodes: int  # that the finding counts
    with_seconds: float  # CPU seconds to the first gradient, the median
    without_seconds: float
    measured_on: str  # date, machine, versions


@cache
def load_measured() -> tuple[Measured, ...]:
    """Read what is shipped."""
    from firstgrad.codec import from_json

    return from_json(MEASURED_PATH.read_text(), tuple[Measured, ...])


def estimate(situation: Pattern, nodes: int) -> tuple[CostEstimate, ...]:
    """CostEstimate what a finding costs on each backend, by the seconds a node in its measured situation; worst first.

    A scan's and a constant's cost doesn't grow with nodes: there the measured seconds stand as they are.
    """
    by_backend: dict[tuple[str, str], list[Measured]] = {}
    for one in load_measured():
        if one.situation is situation:
            by_backend.setdefault((one.backend, one.scenario), []).append(one)
    grows = situation in (Pattern.TERMS, Pattern.EXPRESSIONS, Pattern.RECURSION)
    estimates = []
    for (backend, scenario), pairs in by_backend.items():
        costs = [
            max(one.with_seconds - one.without_seconds, 0.0) * (nodes / one.nodes if grows else 1.0) for one in pairs
        ]
        sizes = " and ".join(str(one.size) for one in pairs)
        what = "rows" if situation is Pattern.CONSTANT else "steps" if not grows else "turns"
        if max(costs) <= 0:
            continue
        estimates.append(
            CostEstimate(
                low_seconds=round(min(costs) / _WIDER, 2),
                high_seconds=round(max(costs) * _WIDER, 2),
                of_what=f"a {scenario} first gradient with {backend}",
                evidence=f"measured for {sizes} {what} of {situation}, {pairs[0].measured_on}",
            )
        )
    return tuple(sorted(estimates, key=lambda one: -one.middle_seconds))
