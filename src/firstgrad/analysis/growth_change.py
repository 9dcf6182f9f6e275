"""Alarms on growth laws: whether a metric grows faster along a size than it did, or costs more at any size.

A change of law is what a comparison of single cases cannot tell: an exponent that rose from 1 to 1.5 may hide in the
noise of every measured size and be ruinous at the next one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.analysis.growth import fit_growth_laws
from firstgrad.analysis.growth_law import GrowthLaw, NoLaw, Observations
from firstgrad.analysis.growth_part import (
    ChangedPart,
    GrowthChangeVerdict,
    compare_exponents,
    compare_fixed_costs,
    has_equal_numbers,
)
from firstgrad.analysis.slices import Line, find_axes, find_lines, name_lines, observe
from firstgrad.metrics import Metric, metric_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firstgrad.row import Row

GATING = tuple(metric_named(name) for name in ("time_to_first_gradient_cpu", "peak_memory", "nodes", "compiled_units"))
"""The metrics whose laws raise alarms."""

CONFIDENCE = 0.99
"""That no alarm of a whole comparison is a false one."""

_LEAST_SIZES = 3
_PARTS = 2
_GRAVEST_FIRST = (
    GrowthChangeVerdict.GREW,
    GrowthChangeVerdict.UNDECIDED,
    GrowthChangeVerdict.SHRANK,
    GrowthChangeVerdict.SAME,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChange:
    """One metric of one line, on both sides.

    Attributes
    ----------
    axis, name, common : str
        The size, what tells the line from the others of that size, and what it shares with them.
    metric : Metric
        What is counted.
    base, head : GrowthLaw or NoLaw
        What was fitted to each side.
    exponent : ChangedPart, optional
        None where a side has no law.
    fixed_cost : ChangedPart, optional
        None where a side has no law, too few sizes to tell a fixed cost, or no host that the other has.
    reason : str
        Why a part is none; '' where both are there.
    """

    axis: str
    name: str
    common: str
    metric: Metric
    base: GrowthLaw | NoLaw
    head: GrowthLaw | NoLaw
    exponent: ChangedPart | None
    fixed_cost: ChangedPart | None
    reason: str = ""

    @property
    def verdict(self) -> GrowthChangeVerdict:
        """The gravest of both parts; without any undecided, unless both sides have the very same numbers."""
        if has_equal_numbers(self.base, self.head):
            return GrowthChangeVerdict.SAME
        found = {part.verdict for part in (self.exponent, self.fixed_cost) if part is not None}
        return next((each for each in _GRAVEST_FIRST if each in found), GrowthChangeVerdict.UNDECIDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthChanges:
    """All lines of a comparison.

    Attributes
    ----------
    lines : tuple of LineChange
        By axis, metric and line.
    confidence : float
        That no interval of all these misses.
    n_tests : int
        Among how many intervals the rest was divided (Bonferroni): two for each line and metric with two laws.
    unmatched : tuple of str
        Lines that only one side has, by size, side and name.
    """

    lines: tuple[LineChange, ...]
    confidence: float
    n_tests: int
    unmatched: tuple[str, ...]

    @property
    def has_alarm(self) -> bool:
        """Whether anything grew."""
        return any(each.verdict is GrowthChangeVerdict.GREW for each in self.lines)


def find_growth_changes(
    base: Iterable[Row],
    head: Iterable[Row],
    *,
    axes: Sequence[str] | None = None,
    metrics: Sequence[Metric] = GATING,
    confidence: float = CONFIDENCE,
) -> GrowthChanges:
    """Compare the growth laws of two sides, line by line and metric by metric.

    Lines are matched by model, backend, target, scenario and all other sizes. Packages may differ, for they may be the
    compared thing; where a side has several sets of them, equal ones are matched. Only sizes count that both sides
    have.

    Parameters
    ----------
    base, head : iterable of Row
        Of each side; what failed is left out, what a limit stopped is censored.
    axes : sequence of str, optional
        Sizes; all that vary where left out.
    metrics : sequence of Metric
        Which.
    confidence : float
        That no interval of all these misses.
    """
    before, after = list(base), list(head)
    chosen = find_axes([*before, *after]) if axes is None else tuple(axes)
    asked: list[tuple[str, str, Metric, tuple[Line, Line]]] = []
    seen: list[Observations] = []
    unmatched: list[str] = []
    for axis in chosen:
        ours, theirs = (find_lines(rows, axis, least_sizes=_LEAST_SIZES) for rows in (before, after))
        pairs, alone = _match(ours, theirs)
        unmatched += [f"{axis}, {side} only: {_describe(line)}" for side, line in alone]
        common, names = name_lines([theirs for _, theirs in pairs])
        for metric in metrics:
            for pair, name in zip(pairs, names, strict=True):
                one, other = (observe(line, metric) for line in pair)
                if one is not None and other is not None:
                    asked.append((common, name, metric, pair))
                    seen += _at_common_sizes(one, other)
    laws = fit_growth_laws(seen)
    fitted = list(zip(laws[::2], laws[1::2], strict=True))
    n_tests = _PARTS * sum(isinstance(one, GrowthLaw) and isinstance(other, GrowthLaw) for one, other in fitted)
    each_confidence = 1 - (1 - confidence) / max(n_tests, 1)
    return GrowthChanges(
        lines=tuple(
            _compare(common, name, metric, pair, both, each_confidence)
            for (common, name, metric, pair), both in zip(asked, fitted, strict=True)
        ),
        confidence=confidence,
        n_tests=n_tests,
        unmatched=tuple(unmatched),
    )


def _match(base: Sequence[Line], head: Sequence[Line]) -> tuple[list[tuple[Line, Line]], list[tuple[str, Line]]]:
    """Pair lines that are alike but for their packages, equal packages first; and list those that stay alone."""
    found: dict[tuple[object, ...], tuple[list[Line], list[Line]]] = defaultdict(lambda: ([], []))
    for side, lines in enumerate((base, head)):
        for line in lines:
            found[line.family, line.rest, line.backend, line.target, line.scenario][side].append(line)
    pairs: list[tuple[Line, Line]] = []
    alone: list[tuple[str, Line]] = []
    for ours, theirs in found.values():
        equal = [(one, other) for one in ours for other in theirs if one.packages == other.packages]
        left = [one for one in ours if all(one is not each for each, _ in equal)]
        right = [other for other in theirs if all(other is not each for _, each in equal)]
        if len(left) == len(right) == 1:
            equal.append((left.pop(), right.pop()))
        pairs += equal
        alone += [("BASE", each) for each in left] + [("HEAD", each) for each in right]
    return pairs, alone


def _at_common_sizes(base: Observations, head: Observations) -> tuple[Observations, Observations]:
    """Leave out the sizes that one side lacks: a law that bends has other slopes elsewhere, without any change."""
    common = set(base.sizes) & set(head.sizes)
    return _at(base, common), _at(head, common)


def _at(seen: Observations, sizes: set[float]) -> Observations:
    kept = [number for number, size in enumerate(seen.sizes) if size in sizes]
    return Observations(
        sizes=tuple(seen.sizes[number] for number in kept),
        values=tuple(seen.values[number] for number in kept),
        is_censored=tuple(seen.is_censored[number] for number in kept),
        hosts=tuple(seen.hosts[number] for number in kept),
    )


def _describe(line: Line) -> str:
    """Name a line by all that it is, as `name_lines` does where lines share everything."""
    common, (name,) = name_lines([line])
    return common or name


def _compare(
    common: str,
    name: str,
    metric: Metric,
    pair: tuple[Line, Line],
    laws: tuple[GrowthLaw | NoLaw, GrowthLaw | NoLaw],
    confidence: float,
) -> LineChange:
    base, head = laws
    exponent = fixed_cost = None
    reasons = [
        f"{side}: {law.reason}" for side, law in zip(("BASE", "HEAD"), laws, strict=True) if isinstance(law, NoLaw)
    ]
    if isinstance(base, GrowthLaw) and isinstance(head, GrowthLaw):
        exponent = compare_exponents(base, head, confidence=confidence)
        hosts = _common_host(pair, base, head)
        if not (base.has_fixed_cost and head.has_fixed_cost):
            reasons.append("three sizes can't tell a fixed cost")
        elif hosts is None:
            reasons.append("fixed costs of different hosts can't be compared")
        else:
            fixed_cost = compare_fixed_costs(base, head, hosts, confidence=confidence)
    return LineChange(
        axis=pair[0].axis,
        name=name,
        common=common,
        metric=metric,
        base=base,
        head=head,
        exponent=exponent,
        fixed_cost=fixed_cost,
        reason="; ".join(reasons),
    )


def _common_host(pair: tuple[Line, Line], base: GrowthLaw, head: GrowthLaw) -> tuple[int, int] | None:
    """Find a host that both laws have a level of, whatever its packages: its numbers among each law's hosts."""
    ours, theirs = (
        {row.host: law.hosts.index(row.conditions) for row in line.rows if row.conditions in law.hosts}
        for line, law in zip(pair, (base, head), strict=True)
    )
    return next(((number, theirs[host]) for host, number in ours.items() if host in theirs), None)
