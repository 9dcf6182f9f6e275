"""What findings cost: seconds that were measured for each kind on each backend, and estimates made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from firstgrad.grouping import grouped
from firstgrad.linting.finding import CostEstimate

MEASURED_PATH = Path(__file__).with_name("measured.json")
"""Shipped with the package; ``benchmarks.lint.run`` writes it."""
_WIDER = 1.5  # models of the same kind differ from each other, beside what their size explains
_LEAST_SECONDS = 0.1


class Pattern(StrEnum):
    """What was measured: a model with a finding, and the same density written as the finding says."""

    TERMS = "terms"  # a free variable and an observed vector for each group
    CELLS = "cells"  # a free variable and an observed number for each cell
    EXPRESSIONS = "expressions"  # an unrolled integral that a density reads: XLA computes it within all that reads it
    ADDENDS = "addends"  # one that goes into the log-density as it is; with Numba as `EXPRESSIONS`
    STACKED = "stacked"  # arrays put side by side: a kernel each with Numba
    NUMBERS = "numbers"  # numbers put side by side, or added up
    FILLED = "filled"  # an array set cell by cell
    RECURSION = "recursion"  # an unrolled recursion
    ADDING = "adding"  # a scan that adds up
    FADING = "fading"  # a scan over data that fade
    CONSTANT = "constant"  # a constant that no cache takes
    PYTHON = "python"  # an operation that Numba leaves to Python


_WHAT = {
    Pattern.TERMS: "groups",
    Pattern.CELLS: "cells",
    Pattern.ADDING: "steps",
    Pattern.FADING: "steps",
    Pattern.RECURSION: "steps",
    Pattern.FILLED: "cells",
    Pattern.CONSTANT: "rows",
    Pattern.PYTHON: "calls",
}
_FIXED = frozenset({Pattern.ADDING, Pattern.FADING, Pattern.CONSTANT, Pattern.PYTHON})
_BY_NODES = frozenset({Pattern.TERMS, Pattern.CELLS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How large a finding is, in what its cost goes by."""

    nodes: int  # that a gradient goes through: PyTensor's part, and all of what a loop of terms costs
    turns: int = 1  # the backend's part
    arrays: int = 0  # different ones that the turns take: each is one more operand of Numba's one kernel

    def units(self, pattern: Pattern, backend: str) -> int:
        """Say what the backend's part goes by."""
        if pattern in _BY_NODES:
            return self.nodes
        return self.arrays if backend == "numba" and pattern is Pattern.EXPRESSIONS else self.turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One pair of measured models."""

    pattern: Pattern
    backend: str
    scenario: str
    size: int  # turns of the loop, steps, or rows
    extent: Extent  # of the finding
    with_seconds: float  # CPU seconds to the first gradient, the median
    without_seconds: float
    graph_seconds: float  # how much of the difference is PyTensor's: to write the gradient and to rewrite it
    measured_on: str  # date, machine, versions


@cache
def load_measured() -> tuple[Measured, ...]:
    """Read what is shipped."""
    from firstgrad.codec import from_json

    return from_json(MEASURED_PATH.read_text(), tuple[Measured, ...])


def estimate(pattern: Pattern, extent: Extent) -> tuple[CostEstimate, ...]:
    """Estimate what a finding costs on each backend, worst first; less than a tenth of a second is left out.

    PyTensor's part goes by the nodes, the backend's by what it makes kernels of; each between measured sizes as a
    power, and beyond them as the nearest two have it. A scan's and a constant's cost grows with neither: there the
    measured seconds stand as they are.
    """
    by_backend = grouped(
        ((one.backend, one.scenario), one)
        for one in load_measured()
        if one.pattern is _alike(pattern, one.backend, extent)
    )
    estimates = []
    for (backend, scenario), pairs in by_backend.items():
        pairs.sort(key=lambda one: one.size)
        largest = pairs[-1]
        what = f"{largest.size} {_WHAT.get(pattern, 'turns')} with {largest.extent.nodes:,} nodes"
        if pattern in _FIXED:
            seconds = largest.with_seconds - largest.without_seconds
        else:
            graph = [(one.extent.nodes, one.graph_seconds) for one in pairs]
            rest = [
                (
                    one.extent.units(largest.pattern, backend),
                    one.with_seconds - one.without_seconds - one.graph_seconds,
                )
                for one in pairs
            ]
            seconds = _interpolate(graph, extent.nodes) + _interpolate(rest, extent.units(largest.pattern, backend))
        if seconds < _LEAST_SECONDS:
            continue
        estimates.append(
            CostEstimate(
                low_seconds=_two_digits(seconds / _WIDER),
                high_seconds=_two_digits(seconds * _WIDER),
                of_what=f"a {scenario} first gradient with {backend}",
                evidence=f"{largest.pattern} of {what} took {largest.with_seconds:.3g} s, and "
                f"{largest.without_seconds:.3g} s without, {largest.measured_on}",
            )
        )
    return tuple(sorted(estimates, key=lambda one: -one.middle_seconds))


def _alike(pattern: Pattern, backend: str, extent: Extent) -> Pattern:
    """Say which measured pattern a backend takes as long for: Numba's one kernel is as large whoever reads the sum."""
    if pattern is Pattern.ADDENDS and backend == "numba":
        return Pattern.EXPRESSIONS if extent.arrays else Pattern.NUMBERS
    return pattern


def _interpolate(measured: list[tuple[int, float]], size: int) -> float:
    """Read seconds off a line through the measured ones, logarithm against logarithm."""
    known = [(at, seconds) for at, seconds in measured if seconds > 0]
    if not known:
        return 0.0
    if len(known) == 1:
        return known[0][1] * size / known[0][0]
    place = next((at for at, (large, _) in enumerate(known[1:], 1) if size <= large), len(known) - 1)
    (small, less), (large, more) = known[place - 1], known[place]
    power = min(max(math.log(more / less) / math.log(large / small), 0.5), 2.5)
    at, cost = (large, more) if size >= small else (small, less)
    return float(cost * (size / at) ** power)


def _two_digits(seconds: float) -> float:
    return float(f"{seconds:.2g}")
