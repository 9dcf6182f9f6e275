"""What lint finds. Imports nothing heavy: the parent's side reads it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path

from firstgrad.grouping import grouped
from firstgrad.observe.events import CodeLine
from firstgrad.record import Environment, Failure


class FindingName(StrEnum):
    """The closed list of findings; each has a page of this name in ``docs/lint/``."""

    VARIABLE_PER_ELEMENT = "variable-per-element"  # one line of a loop makes a free variable for each element
    GROWS_WITH_DATA = "grows-with-data"  # one line of a loop makes an observed variable or a potential for each datum
    SAME_SUBGRAPH = "same-subgraph"  # one line stands many times in the graph, as in an unrolled integral
    SCALAR_LOOP = "scalar-loop"  # a Python loop writes a recursion step by step
    SCAN_CLOSED_FORM = "scan-closed-form"  # a scan that a cumulative sum or one array operation does
    NO_STATIC_SHAPE = "no-static-shape"  # a size that JAX must know depends on data that may change
    LARGE_CONSTANT = "large-constant"  # a constant that Numba's cache doesn't take
    MANY_OPERANDS = "many-operands"  # a sum of more operands than a backend takes
    UNKNOWN_TO_JAX = "unknown-to-jax"  # an operation that PyTensor's JAX backend doesn't have
    PYTHON_IN_NUMBA = "python-in-numba"  # an operation that Numba leaves to Python
    GRADIENT_PER_VARIABLE = "gradient-per-variable"  # `compile_dlogp` walks backwards once for each variable
    SINGULAR_AT_DATA = "singular-at-data"  # a power, log, root or division meets its singular point at the data
    MASK_AFTER_ARITHMETIC = (
        "mask-after-arithmetic"  # `where` picks the good values after they were computed with the bad
    )
    UNSTABLE_FORMULA = "unstable-formula"  # softplus, logsumexp, erfc written by hand
    NARROW_TYPE = "narrow-type"  # float32 or int where it matters

    @property
    def page(self) -> str:
        """Its page, from the project's root."""
        return f"docs/lint/{self}.md"


class Harm(StrEnum):
    """What a finding costs."""

    WRONG = "wrong"
    UNSUPPORTED = "unsupported"
    COMPILE = "compile"
    MEMORY = "memory"
    EVALUATION = "evaluation"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """Seconds that a finding costs here, from what was measured elsewhere."""

    low_seconds: float
    high_seconds: float
    of_what: str  # "first gradient with numba, cold"
    evidence: str  # where it was measured

    @property
    def middle_seconds(self) -> float:
        """Geometric middle of both ends."""
        return float((max(self.low_seconds, 0.0) * max(self.high_seconds, 0.0)) ** 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about a model that its author would want to know."""

    name: FindingName
    harm: Harm
    fact: str  # one sentence, without its full stop
    lines: tuple[CodeLine, ...] = ()  # the user's, the one that matters most first
    variables: tuple[str, ...] = ()  # of the model; many numbered ones are one, with # for the number
    count: int = 1  # how many times
    nodes: int = 0  # of the log-density's graph
    work: int = 0  # those of them that a gradient goes through; estimates go by these,
    arrays: int = 0  # and by the different arrays that they take
    instead: str = ""  # what to write, on the user's own names; lines of code, comments begin with #
    estimates: tuple[CostEstimate, ...] = ()  # worst backend first
    backends: tuple[str, ...] = ()  # that it concerns; empty for all
    is_hint: bool = False  # worth knowing, nothing to mend

    @property
    def seconds(self) -> float:
        """What it is estimated to cost at most among the backends that it concerns."""
        return max((estimate.middle_seconds for estimate in self.estimates), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedRule:
    """A rule that could not look."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LintReport:
    """What was found in one model, the worst first."""

    model: str
    findings: tuple[Finding, ...] = ()
    terms: int = 0  # of the log-density
    nodes: int = 0
    seconds: float = 0.0  # of looking, without building the model
    skipped: tuple[SkippedRule, ...] = ()
    environment: Environment | None = None  # none where it was looked at in the caller's process
    failure: Failure | None = None  # why nothing could be looked at
    notes: tuple[str, ...] = field(default=())

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing to mend."""
        return self.failure is None and all(finding.is_hint for finding in self.findings)


_ORDER = tuple(Harm)


def worst_first(findings: list[Finding]) -> tuple[Finding, ...]:
    """Order findings: what is wrong or doesn't run, then by seconds, then by size; hints last."""
    return tuple(
        sorted(
            findings,
            key=lambda one: (
                one.is_hint,
                _ORDER.index(one.harm) if one.harm in (Harm.WRONG, Harm.UNSUPPORTED) else len(_ORDER),
                -one.seconds,
                -one.nodes,
                str(one.name),
            ),
        )
    )


# --- what findings cost ---------------------------------------------------------------------------------------------

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
