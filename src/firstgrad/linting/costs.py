"""What findings cost: seconds that were measured for each kind on each backend, and estimates made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from firstgrad.linting.finding import CostEstimate

MEASURED_PATH = Path(__file__).with_name("measured.json")
"""Shipped with the package; ``benchmarks.lint.run`` writes it."""
COMMAND = "python -m benchmarks.lint.run"
_WIDER = 1.5  # models of the same kind differ from each other, beside what their size explains
_LEAST_SECONDS = 0.1


class Pattern(StrEnum):
    """What was measured: a model with a finding, and the same density written as the finding says."""

    TERMS = "terms"  # a free variable and an observed vector for each group
    CELLS = "cells"  # a free variable and an observed number for each cell
    EXPRESSIONS = "expressions"  # an unrolled integral
    RECURSION = "recursion"  # an unrolled recursion
    ADDING = "adding"  # a scan that adds up
    FADING = "fading"  # a scan over data that fade
    CONSTANT = "constant"  # a constant that no cache takes


_WHAT = {
    Pattern.TERMS: "groups",
    Pattern.CELLS: "cells",
    Pattern.EXPRESSIONS: "turns",
    Pattern.RECURSION: "steps",
    Pattern.ADDING: "steps",
    Pattern.FADING: "steps",
    Pattern.CONSTANT: "rows",
}


_FIXED = frozenset({Pattern.ADDING, Pattern.FADING, Pattern.CONSTANT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One pair of measured models."""

    pattern: Pattern
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


def estimate(pattern: Pattern, nodes: int) -> tuple[CostEstimate, ...]:
    """Estimate what a finding costs on each backend, worst first; less than a tenth of a second is left out.

    Between measured sizes as a power of the nodes, and beyond them as the nearest two have it. A scan's and a
    constant's cost doesn't grow with nodes: there the measured seconds stand as they are.
    """
    by_backend: dict[tuple[str, str], list[Measured]] = {}
    for one in load_measured():
        if one.pattern is pattern:
            by_backend.setdefault((one.backend, one.scenario), []).append(one)
    estimates = []
    for (backend, scenario), pairs in by_backend.items():
        pairs.sort(key=lambda one: one.nodes)
        costs = [(one.nodes, max(one.with_seconds - one.without_seconds, 0.0)) for one in pairs]
        seconds = costs[-1][1] if pattern in _FIXED else _interpolate([pair for pair in costs if pair[1]], nodes)
        if seconds < _LEAST_SECONDS:
            continue
        largest = pairs[-1]
        estimates.append(
            CostEstimate(
                low_seconds=_two_digits(seconds / _WIDER),
                high_seconds=_two_digits(seconds * _WIDER),
                of_what=f"a {scenario} first gradient with {backend}",
                evidence=f"{pattern} of {largest.size} {_WHAT[pattern]} with {largest.nodes:,} nodes took "
                f"{largest.with_seconds:.3g} s, and {largest.without_seconds:.3g} s without, {largest.measured_on}",
            )
        )
    return tuple(sorted(estimates, key=lambda one: -one.middle_seconds))


def _interpolate(known: list[tuple[int, float]], nodes: int) -> float:
    """Read seconds off a line through the measured ones, logarithm against logarithm."""
    if not known:
        return 0.0
    if len(known) == 1:
        return known[0][1] * nodes / known[0][0]
    place = next((at for at, (size, _) in enumerate(known[1:], 1) if nodes <= size), len(known) - 1)
    (small, less), (large, more) = known[place - 1], known[place]
    power = min(max(math.log(more / less) / math.log(large / small), 0.5), 2.0)
    size, cost = (large, more) if nodes >= small else (small, less)
    return float(cost * (nodes / size) ** power)


def _two_digits(seconds: float) -> float:
    return float(f"{seconds:.2g}")
