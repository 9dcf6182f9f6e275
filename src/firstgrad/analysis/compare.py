"""What changed between two sides of records: case by case, metric by metric."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from firstgrad.analysis.compare_case import CaseComparison, conclude_case, gather_case
from firstgrad.analysis.judge import judge
from firstgrad.analysis.likeness import Difference, find_differences, refuse_unlike
from firstgrad.analysis.multiplicity import adjust_holm
from firstgrad.analysis.sides import Side, find_side
from firstgrad.analysis.thresholds import Thresholds, is_gating
from firstgrad.metrics import METRICS, Metric, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from firstgrad.analysis.compare_case import CaseSides
    from firstgrad.analysis.judge import MetricComparison, Sides
    from firstgrad.analysis.ratio_estimate import RatioFit
    from firstgrad.case import Case
    from firstgrad.record import Record
    from firstgrad.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All of it.

    Attributes
    ----------
    base, head : Side
        What was compared.
    thresholds : Thresholds
        By which rules.
    differences : tuple of Difference
        Conditions that aren't alike: declared, or overridden by force.
    is_forced : bool
        Whether sides are compared that may not be.
    shared_samples : int
        Records that are on both sides.
    looks : int
        How often it is looked at in all, which each look pays for.
    tested : int
        How many gating durations were tested, which each of them pays for.
    cases : tuple of CaseComparison
        In the order of their first records, those of BASE first.
    """

    base: Side
    head: Side
    thresholds: Thresholds
    differences: tuple[Difference, ...]
    is_forced: bool
    shared_samples: int
    looks: int
    tested: int
    cases: tuple[CaseComparison, ...]

    @property
    def has_regression(self) -> bool:
        """Whether a gating metric of any case grew by more than its threshold, or a case failed."""
        return any(each.is_alarm for each in self.cases)

    @property
    def has_compared(self) -> bool:
        """Whether anything was on both sides: a comparison of nothing must not pass for a good one."""
        return any(each.is_compared for each in self.cases)

    @property
    def is_decided(self) -> bool:
        """Whether every gating duration that both sides have is decided; false where nothing was compared."""
        return self.has_compared and all(each.is_decided for each in self.cases)


class _Family(StrEnum):
    """What is corrected together."""

    GATING_SECONDS = "gating seconds"
    PHASES = "phases"
    BYTES = "bytes"


def compare(
    records: Sequence[Record],
    base: str,
    head: str,
    *,
    thresholds: Thresholds | None = None,
    metrics: Sequence[Metric] = METRICS,
    across: Collection[str] = (),
    force: bool = False,
    resolve: Callable[[str], str] = lambda _: "",
    history: Sequence[Row] = (),
    looks: int = 1,
    key: Callable[[Case], str] = lambda case: case.id,
) -> Comparison:
    """Compare the records of two labels or commits.

    Parameters
    ----------
    records : sequence of Record
        Of both sides, and any others, oldest first.
    base, head : str
        Labels, commits, or names that `resolve` knows.
    thresholds : Thresholds, optional
        Firstgrad's own where left out.
    metrics : sequence of Metric
        Which to compare.
    across : collection of str
        Packages (or ``python``, ``compiler``, ``threads``, ``flags``) that are the compared thing.
    force : bool
        Compare unlike sides too.
    resolve : callable, optional
        As `firstgrad.analysis.sides.find_side` takes it.
    history : sequence of Row
        Earlier samples, from which noise thresholds are found; those of other cases don't disturb.
    looks : int
        How often the comparison will be looked at in all, this time included (`firstgrad.analysis.looks`): each look
        has that part of the error probability (Bonferroni).
    key : callable
        By what cases of the two sides are matched: equal ones, or for example all, where another formulation is the
        compared thing.

    Raises
    ------
    UnknownSideError
        Where a side has no records.
    UnlikeSidesError
        Where hosts, versions, threads or flags differ that are not in `across`, without `force`.
    SpecError
        Where `across` names nothing.
    ValueError
        Where `looks` is below 1.
    """
    if looks < 1:
        raise ValueError(f"looks: expected 1 or more, got {looks}")
    thresholds = thresholds or Thresholds()
    base_side, before = find_side(records, base, resolve)
    head_side, after = find_side(records, head, resolve)
    matched = _match(before, after, key)
    differences = find_differences([pair for pair in matched.values() if all(pair)], across)
    if not force:
        refuse_unlike(differences)
    ids = [frozenset(each.record_id for each in side) for side in (before, after)]
    started = min(each.started_at for each in (*before, *after))
    earlier = _by_question(history)
    gathered = [
        gather_case(
            name,
            pair,
            metrics,
            thresholds,
            history=earlier.get((*pair[0], *pair[1])[0].case.question, ()),
            started=started,
            compared=ids[0] | ids[1],
        )
        for name, pair in matched.items()
    ]
    judged, tested = _judge_all(gathered, thresholds, looks)
    return Comparison(
        base=base_side,
        head=head_side,
        thresholds=thresholds,
        differences=differences,
        is_forced=any(not each.is_declared for each in differences),
        shared_samples=len(ids[0] & ids[1]),
        looks=looks,
        tested=tested,
        cases=tuple(conclude_case(case, told) for case, told in zip(gathered, judged, strict=True)),
    )


def _match(
    before: Sequence[Record], after: Sequence[Record], key: Callable[[Case], str]
) -> dict[str, tuple[list[Record], list[Record]]]:
    found: dict[str, tuple[list[Record], list[Record]]] = {}
    for side, records in enumerate((before, after)):
        for record in records:
            found.setdefault(key(record.case), ([], []))[side].append(record)
    return found


def _by_question(history: Sequence[Row]) -> dict[str, list[Row]]:
    found = defaultdict(list)
    for row in history:
        found[row.question].append(row)
    return found


def _judge_all(
    gathered: Sequence[CaseSides], thresholds: Thresholds, looks: int
) -> tuple[list[tuple[MetricComparison, ...]], int]:
    """Judge every metric of every case by what all of them together may cost; also how many gating ones were tested."""
    fits = [[sides.fit() for sides in case.metrics] for case in gathered]
    families: defaultdict[_Family, list[tuple[int, int]]] = defaultdict(list)
    for number, case in enumerate(gathered):
        for place, (sides, fit) in enumerate(zip(case.metrics, fits[number], strict=True)):
            if (family := _family_of(sides, fit, thresholds)) is not None:
                families[family].append((number, place))
    corrected: dict[tuple[int, int], float] = {}
    for places in families.values():
        found = [fit.p_value for number, place in places if (fit := fits[number][place]) is not None]
        corrected |= dict(zip(places, adjust_holm(found), strict=True))
    judged = [
        tuple(
            judge(sides, fits[number][place], corrected.get((number, place)), thresholds, looks=looks)
            for place, sides in enumerate(case.metrics)
        )
        for number, case in enumerate(gathered)
    ]
    return judged, len(families[_Family.GATING_SECONDS])


def _family_of(sides: Sides, fit: RatioFit | None, thresholds: Thresholds) -> _Family | None:
    """Find with which others a metric is corrected; none where it isn't tested."""
    if fit is None or not fit.has_interval or sides.metric.unit is Unit.COUNT:
        return None
    if sides.metric.unit is Unit.BYTES:
        return _Family.BYTES
    if fit.samples < thresholds.least_samples:
        return None
    return _Family.GATING_SECONDS if is_gating(sides.metric) else _Family.PHASES
