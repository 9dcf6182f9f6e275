"""Alarms on growth laws: whether a metric grows faster along a size than it did, or costs more at any size.

A change of law is what a comparison of single cases cannot tell: an exponent that rose from 1 to 1.5 may hide in the
noise of every measured size and be ruinous at the next one. An interval of a difference is made from those of both
sides (Zou and Donner, Statistics in Medicine 27, 2008): where each reaches by itself, both reach together by the root
of the sum of squares. So the laws' own profile likelihoods are used, as lopsided as they are, and nothing is fitted
again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from firstgrad.columns import Column, metric_named
from firstgrad.growth.fit import fit_growth_laws
from firstgrad.growth.law import CONFIDENCE, GrowthLaw, Interval, NoLaw, Observations
from firstgrad.growth.lines import SizeLine, find_axes, find_lines, name_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

_GATING = ("time_to_first_gradient_cpu", "time_to_first_draw_cpu", "peak_memory", "nodes", "compiled_units")
GATING = tuple(metric_named(name) for name in _GATING)
"""The metrics whose laws raise alarms."""

CHANGE_CONFIDENCE = 0.99
"""That no alarm of a whole comparison is a false one."""

LEAST_EXPONENT, SAME_EXPONENT = 0.05, 0.25
"""A smaller difference of exponents is none; an interval within the second one shows that there is none."""

LEAST_SHARE, SAME_SHARE = 0.05, 0.25
"""The same of fixed costs, as a share of BASE's value at the smallest size."""

_LEAST_SIZES = 3
_PARTS = 2


class GrowthChangeVerdict(StrEnum):
    """What is said of a part of two laws. The first rule that fits decides.

    1. *grew*: the interval of the difference lies above zero, and the difference is at least the least one.
    2. *shrank*: the reverse.
    3. *same*: the interval lies within what counts as the same.
    4. *undecided*: the samples don't tell. More of them do, or more sizes.
    """

    GREW = "grew"
    SHRANK = "shrank"
    SAME = "same"
    UNDECIDED = "undecided"


_GRAVEST_FIRST = (
    GrowthChangeVerdict.GREW,
    GrowthChangeVerdict.UNDECIDED,
    GrowthChangeVerdict.SHRANK,
    GrowthChangeVerdict.SAME,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedPart:
    """An exponent or a fixed cost on both sides."""

    what: str  # `exponent`, or `mean slope` where not both sides surely grow; `fixed cost`, or `level` where neither
    base: Interval
    head: Interval  # as the laws have them, each with 95 % confidence
    difference: Interval  # HEAD less BASE, with the confidence that was asked for
    verdict: GrowthChangeVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class LawChange:
    """One metric of one line, on both sides."""

    axis: str
    name: str  # what tells the line from the others of that size
    common: str  # what it shares with them
    metric: Column
    base: GrowthLaw | NoLaw
    head: GrowthLaw | NoLaw
    exponent: ChangedPart | None  # none where a side has no law
    fixed_cost: ChangedPart | None
    """None where a side has no law, too few sizes to tell a fixed cost, or no host that the other has."""
    reason: str = ""  # why a part is none; '' where both are there
    is_alike: bool = True  # whether both sides compile in one way: counts of two are not of the same work

    @property
    def verdict(self) -> GrowthChangeVerdict:
        """The gravest of both parts; without any undecided, unless both sides have the very same numbers."""
        if _has_equal_numbers(self.base, self.head):
            return GrowthChangeVerdict.SAME
        verdicts = {part.verdict for part in (self.exponent, self.fixed_cost) if part is not None}
        return next((verdict for verdict in _GRAVEST_FIRST if verdict in verdicts), GrowthChangeVerdict.UNDECIDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthChanges:
    """All lines of a comparison."""

    lines: tuple[LawChange, ...]  # by axis, metric and line
    confidence: float  # that no interval of all these misses
    n_tests: int
    """Among how many intervals the rest was divided (Bonferroni): two for each line and metric with two laws."""
    unmatched: tuple[str, ...]  # lines that only one side has, by size, side and name

    @property
    def has_alarm(self) -> bool:
        """Whether anything grew."""
        return any(line.verdict is GrowthChangeVerdict.GREW for line in self.lines)


def find_growth_changes(
    base: pd.DataFrame,
    head: pd.DataFrame,
    *,
    axes: Sequence[str] | None = None,
    metrics: Sequence[Column] = GATING,
    confidence: float = CHANGE_CONFIDENCE,
) -> GrowthChanges:
    """Compare the growth laws of two sides, line by line and metric by metric.

    Lines are matched by model, backend, target, scenario and all other sizes. Packages may differ, for they may be the
    compared thing; where a side has several sets of them, equal ones are matched. Only sizes count that both sides
    have; `axes` left out are all that vary. Where each side has one backend (or device), and the other another, that
    is what is compared. What failed is left out, what a limit stopped is censored. `confidence` is
    that no interval of all these misses.
    """
    import pandas as pd

    chosen = find_axes(pd.concat([base, head])) if axes is None else tuple(axes)
    asked: list[tuple[str, str, Column, tuple[SizeLine, SizeLine]]] = []
    observations: list[Observations] = []
    unmatched: list[str] = []
    for axis in chosen:
        pairs, alone = _match(
            *(find_lines(side, axis, least_sizes=_LEAST_SIZES, is_one_side=True) for side in (base, head))
        )
        for side, line in alone:
            common, (name,) = name_lines([line])
            unmatched.append(f"{axis}, {side} only: {common or name}")
        common, names = _name_pairs(pairs)
        for metric in metrics:
            for pair, name in zip(pairs, names, strict=True):
                seen = [observed for line in pair if (observed := line.observe(metric)) is not None]
                if len(seen) == len(pair):
                    asked.append((common, name, metric, pair))
                    # at common sizes only: a law that bends has other slopes elsewhere, without any change
                    shared = set(seen[0].sizes) & set(seen[1].sizes)
                    observations += [side.at(shared) for side in seen]
    laws = fit_growth_laws(observations)
    fitted = list(zip(laws[::2], laws[1::2], strict=True))
    n_tests = _PARTS * sum(all(isinstance(law, GrowthLaw) for law in both) for both in fitted)
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


def _match(
    base: Sequence[SizeLine], head: Sequence[SizeLine]
) -> tuple[list[tuple[SizeLine, SizeLine]], list[tuple[str, SizeLine]]]:
    """Pair lines that are alike but for their packages, equal packages first; and list those that stay alone."""
    alike: dict[tuple[object, ...], tuple[list[SizeLine], list[SizeLine]]] = defaultdict(lambda: ([], []))
    ways = [{_way_of(line) for line in lines} for lines in (base, head)]
    is_compared = all(len(way) == 1 for way in ways) and ways[0] != ways[1]
    for side, lines in enumerate((base, head)):
        for line in lines:
            way = "" if is_compared else _way_of(line)
            alike[line.reference, line.rest, way, line.target, line.scenario][side].append(line)
    pairs: list[tuple[SizeLine, SizeLine]] = []
    alone: list[tuple[str, SizeLine]] = []
    for base_lines, head_lines in alike.values():
        by_packages = {line.packages: line for line in base_lines}
        equal = [(by_packages.pop(line.packages), line) for line in head_lines if line.packages in by_packages]
        left = list(by_packages.values())
        right = [line for line in head_lines if all(line is not paired for _, paired in equal)]
        if len(left) == len(right) == 1:
            equal.append((left.pop(), right.pop()))
        pairs += equal
        alone += [("BASE", line) for line in left] + [("HEAD", line) for line in right]
    return pairs, alone


def _way_of(line: SizeLine) -> str:
    """Name what a line is compiled to, and for which device."""
    return str(line.backend) if line.device == "cpu" else f"{line.backend}, on {line.device}"


def _name_pairs(pairs: Sequence[tuple[SizeLine, SizeLine]]) -> tuple[str, tuple[str, ...]]:
    """Name pairs as `name_lines` does lines, by HEAD's; where what they are compiled to is compared, by both."""
    ways = [tuple(map(_way_of, pair)) for pair in pairs]
    if all(base == head for base, head in ways):
        return name_lines([head for _, head in pairs])
    common, names = name_lines([line for side in zip(*pairs, strict=True) for line in side])
    compared = (
        ", ".join([f"{base} to {head}", *(part for part in name.split(", ") if part not in head.split(", "))])
        for (base, head), name in zip(ways, names[len(pairs) :], strict=True)
    )
    return common, tuple(compared)


def _compare(
    common: str,
    name: str,
    metric: Column,
    pair: tuple[SizeLine, SizeLine],
    laws: tuple[GrowthLaw | NoLaw, GrowthLaw | NoLaw],
    confidence: float,
) -> LawChange:
    base, head = laws
    exponent = fixed_cost = None
    reasons = [
        f"{side}: {law.reason}" for side, law in zip(("BASE", "HEAD"), laws, strict=True) if isinstance(law, NoLaw)
    ]
    if isinstance(base, GrowthLaw) and isinstance(head, GrowthLaw):
        exponent = _compare_exponents(base, head, confidence)
        hosts = _common_host(pair, base, head)
        if not (base.has_fixed_cost and head.has_fixed_cost):
            reasons.append("three sizes can't tell a fixed cost")
        elif hosts is None:
            reasons.append("fixed costs of different hosts can't be compared")
        else:
            fixed_cost = _compare_fixed_costs(base, head, hosts, confidence)
    return LawChange(
        axis=pair[0].axis,
        name=name,
        is_alike=_way_of(pair[0]) == _way_of(pair[1]),
        common=common,
        metric=metric,
        base=base,
        head=head,
        exponent=exponent,
        fixed_cost=fixed_cost,
        reason="; ".join(reasons),
    )


def _common_host(pair: tuple[SizeLine, SizeLine], base: GrowthLaw, head: GrowthLaw) -> tuple[int, int] | None:
    """Find a host that both laws have a level of, whatever its packages: its numbers among each law's hosts."""
    base_hosts, head_hosts = (
        {
            host: law.hosts.index(conditions)
            for host, conditions in line.samples[["host", "conditions"]].itertuples(index=False)
            if conditions in law.hosts
        }
        for line, law in zip(pair, (base, head), strict=True)
    )
    return next(((number, head_hosts[host]) for host, number in base_hosts.items() if host in head_hosts), None)


def _compare_exponents(base: GrowthLaw, head: GrowthLaw, confidence: float) -> ChangedPart:
    """Compare how fast two sides grow.

    By the exponents where both surely grow, else by the mean slopes on log-log axes, from the smallest size to the
    largest: where nothing grows, a fixed cost makes any exponent possible, and growth alone is determined.
    """
    laws = base, head
    both_grow = all(law.verdict.is_growing for law in laws) and base.has_fixed_cost == head.has_fixed_cost
    sides = tuple(law.plausible.exponent if both_grow else _mean_slope(law) for law in laws)
    what = "exponent" if both_grow else "mean slope"
    return _changed(what, sides, laws, confidence, LEAST_EXPONENT, SAME_EXPONENT)


def _compare_fixed_costs(base: GrowthLaw, head: GrowthLaw, hosts: tuple[int, int], confidence: float) -> ChangedPart:
    """Compare what two sides cost at any size, each on the host with that number.

    Where neither side surely grows, all its cost is a fixed one: then the laws' values in the middle of the sizes are
    compared.
    """
    laws, scale = (base, head), base.levels[hosts[0]]
    what = "fixed cost" if any(law.verdict.is_growing for law in laws) else "level"
    middles = [math.sqrt(min(law.observations.sizes) * max(law.observations.sizes)) for law in laws]
    sides = tuple(
        law.plausible.fixed_cost(host) if what == "fixed cost" else law.plausible.value_at(middle, host)
        for law, host, middle in zip(laws, hosts, middles, strict=True)
    )
    return _changed(what, sides, laws, confidence, LEAST_SHARE * scale, SAME_SHARE * scale)


def _has_equal_numbers(base: GrowthLaw | NoLaw, head: GrowthLaw | NoLaw) -> bool:
    """Whether the very same numbers were measured at each size: no law can have changed, however badly it fits."""
    base_numbers, head_numbers = (
        set(zip(seen.sizes, seen.values, seen.is_censored, strict=True))
        for seen in (base.observations, head.observations)
    )
    is_any_censored = any(is_censored for *_, is_censored in base_numbers)
    return bool(base_numbers) and base_numbers == head_numbers and not is_any_censored


def _mean_slope(law: GrowthLaw) -> Interval:
    growth = law.plausible.growth() if law.observations.is_exact else law.growth
    span = law.plausible.span
    return Interval(
        *(math.log(end) / span if end > 0 else -math.inf for end in (growth.value, growth.low, growth.high))
    )


def _changed(
    what: str,
    sides: tuple[Interval, ...],
    laws: tuple[GrowthLaw, GrowthLaw],
    confidence: float,
    least: float,
    same: float,
) -> ChangedPart:
    base, head = sides
    if _has_equal_numbers(*laws):
        difference = Interval(0.0, 0.0, 0.0)
    else:
        base_stretch, head_stretch = (_stretch(law, confidence) for law in laws)
        value = head.value - base.value
        down = math.hypot(head_stretch * (head.value - head.low), base_stretch * (base.high - base.value))
        up = math.hypot(head_stretch * (head.high - head.value), base_stretch * (base.value - base.low))
        difference = Interval(value, value - down, value + up)
    return ChangedPart(base=base, head=head, difference=difference, verdict=_judge(difference, least, same), what=what)


def _stretch(law: GrowthLaw, confidence: float) -> float:
    """Say by how much a law's interval widens from its own confidence to another, by Student's distribution."""
    from scipy.special import stdtrit

    wanted, given = (float(stdtrit(law.plausible.freedom, 0.5 + level / 2)) for level in (confidence, CONFIDENCE))
    return wanted / given


def _judge(difference: Interval, least: float, same: float) -> GrowthChangeVerdict:
    if difference.low > 0 and difference.value >= least:
        return GrowthChangeVerdict.GREW
    if difference.high < 0 and difference.value <= -least:
        return GrowthChangeVerdict.SHRANK
    if difference.low >= -same and difference.high <= same:
        return GrowthChangeVerdict.SAME
    return GrowthChangeVerdict.UNDECIDED
