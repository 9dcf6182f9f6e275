"""What changed between two sides of records: case by case, metric by metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.analysis.compare_case import CaseComparison, compare_case
from firstgrad.analysis.judge import ComparisonVerdict, Thresholds
from firstgrad.analysis.likeness import Difference, find_differences, refuse_unlike
from firstgrad.analysis.sides import Side, find_side
from firstgrad.metrics import METRICS, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from firstgrad.record import Record


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
    cases : tuple of CaseComparison
        In the order of their first records, those of BASE first.
    """

    base: Side
    head: Side
    thresholds: Thresholds
    differences: tuple[Difference, ...]
    is_forced: bool
    shared_samples: int
    cases: tuple[CaseComparison, ...]

    @property
    def has_regression(self) -> bool:
        """Whether a metric of any case got worse, or a case failed."""
        return any(each.verdict in (ComparisonVerdict.WORSE, ComparisonVerdict.FAILED) for each in self.cases)

    @property
    def has_compared(self) -> bool:
        """Whether anything was on both sides: a comparison of nothing must not pass for a good one."""
        return any(each.is_compared for each in self.cases)


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

    Raises
    ------
    UnknownSideError
        Where a side has no records.
    UnlikeSidesError
        Where hosts, versions, threads or flags differ that are not in `across`, without `force`.
    SpecError
        Where `across` names nothing.
    """
    thresholds = thresholds or Thresholds()
    base_side, before = find_side(records, base, resolve)
    head_side, after = find_side(records, head, resolve)
    matched = _match(before, after)
    differences = find_differences([pair for pair in matched if all(pair)], across)
    if not force:
        refuse_unlike(differences)
    return Comparison(
        base=base_side,
        head=head_side,
        thresholds=thresholds,
        differences=differences,
        is_forced=any(not each.is_declared for each in differences),
        shared_samples=len({each.record_id for each in before} & {each.record_id for each in after}),
        cases=tuple(compare_case(one, other, metrics, thresholds) for one, other in matched),
    )


def _match(before: Sequence[Record], after: Sequence[Record]) -> list[tuple[list[Record], list[Record]]]:
    found: dict[str, tuple[list[Record], list[Record]]] = {}
    for side, records in enumerate((before, after)):
        for record in records:
            found.setdefault(record.case.id, ([], []))[side].append(record)
    return list(found.values())
