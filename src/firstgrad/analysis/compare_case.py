"""One case of a comparison: its numbers, then its verdicts, and what its failures say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.analysis.judge import ComparisonVerdict, MetricComparison, Sides
from firstgrad.analysis.noise import Noise, find_noise, find_runs
from firstgrad.analysis.pairing import LEAST_ROUNDS, Rounds, find_rounds
from firstgrad.case import Case
from firstgrad.metrics import Unit
from firstgrad.record import Doubt, Record, Status
from firstgrad.row import conditions_of
from firstgrad.usability import why_unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from firstgrad.analysis.thresholds import Thresholds
    from firstgrad.metrics import Metric
    from firstgrad.row import Row

    type Measured = tuple[Sequence[Record], Sequence[Record]]

_GRAVEST_FIRST = (
    ComparisonVerdict.SLOWER,
    ComparisonVerdict.LARGER,
    ComparisonVerdict.UNDECIDED,
    ComparisonVerdict.FASTER,
    ComparisonVerdict.SMALLER,
    ComparisonVerdict.SAME,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseComparison:
    """One case.

    Attributes
    ----------
    case_id : str
        By which it was matched: the case's id, where nobody asked for another key.
    case : Case
        What was measured on BASE, or on HEAD alone.
    head_case : Case, optional
        What was measured on HEAD, where that is another case.
    verdict : ComparisonVerdict
        The gravest of its gating metrics, or what its failures say.
    reason : str
        Which samples failed, or why it is missing; empty for most.
    metrics : tuple of MetricComparison
        Those that either side has; none where a side has no sample that ended well.
    doubts : tuple of Doubt
        Of all its records.
    is_interleaved : bool
        Whether its sides were measured in turn.
    rounds : int
        How many, with a usable sample of both sides.
    """

    case_id: str
    case: Case
    head_case: Case | None = None
    verdict: ComparisonVerdict
    reason: str = ""
    metrics: tuple[MetricComparison, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    is_interleaved: bool = False
    rounds: int = 0

    @property
    def is_compared(self) -> bool:
        """Whether there was anything to compare: numbers of both sides, or a failure of one."""
        failure = self.verdict in (ComparisonVerdict.FAILED, ComparisonVerdict.REPAIRED)
        return failure or any(each.verdict is not ComparisonVerdict.MISSING for each in self.metrics)

    @property
    def is_alarm(self) -> bool:
        """Whether a metric grew by more than its threshold, or samples fail that didn't."""
        return self.verdict is ComparisonVerdict.FAILED or any(each.is_alarm for each in self.metrics)

    @property
    def is_decided(self) -> bool:
        """Whether no gating duration is undecided; a failure decides, too."""
        return not any(
            each.verdict is ComparisonVerdict.UNDECIDED and each.is_gating and each.unit is Unit.SECONDS
            for each in self.metrics
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSides:
    """What both sides have of one case.

    Attributes
    ----------
    key : str
        By which they were matched.
    before, after : sequence of Record
        Of BASE and HEAD; one of them may be empty.
    rounds : Rounds
        Of their usable samples.
    metrics : tuple of Sides
        Numbers, where both sides have samples that ended well.
    """

    key: str
    before: Sequence[Record]
    after: Sequence[Record]
    rounds: Rounds
    metrics: tuple[Sides, ...]


def gather_case(
    key: str,
    measured: Measured,
    metrics: Sequence[Metric],
    thresholds: Thresholds,
    *,
    history: Sequence[Row] = (),
    started: str = "",
    compared: Collection[str] = (),
) -> CaseSides:
    """Gather the numbers of one case.

    Parameters
    ----------
    key : str
        By which the sides were matched.
    measured : pair of sequences of Record
        Of BASE and of HEAD; one of them may be empty.
    metrics : sequence of Metric
        Which to compare.
    thresholds : Thresholds
        With the noise threshold where there is no history.
    history : sequence of Row
        Earlier samples of the case.
    started : str
        When the first of the compared samples was started: the history ends there.
    compared : collection of str
        Samples on either side, by `record_id`.
    """
    before, after = measured
    rounds = find_rounds(before, after)
    ours, theirs = ([each for each in side if not why_unusable(each)] for side in measured)
    if not (ours and theirs):
        return CaseSides(key=key, before=before, after=after, rounds=rounds, metrics=())
    runs = find_runs(
        history,
        question=ours[0].case.question,
        conditions=conditions_of(ours[0].environment),
        before=started,
        without=compared,
    )

    def noise(metric: Metric) -> Noise:
        if metric.unit is Unit.COUNT:  # they change because somebody changed them, never by themselves
            return Noise(factor=thresholds.counts_noise_factor)
        return find_noise(runs, metric, default=thresholds.noise_factor, is_interleaved=rounds.is_paired)

    numbers = ((metric, _numbers(ours, metric.read), _numbers(theirs, metric.read)) for metric in metrics)
    return CaseSides(
        key=key,
        before=before,
        after=after,
        rounds=rounds,
        metrics=tuple(
            Sides(metric=metric, base=base, head=head, pairs=_pairs(rounds, metric.read), noise=noise(metric))
            for metric, base, head in numbers
            if base or head
        ),
    )


def conclude_case(gathered: CaseSides, metrics: tuple[MetricComparison, ...]) -> CaseComparison:
    """Put the verdicts of a case's metrics and its failures together."""
    before, after = gathered.before, gathered.after
    case = (*before, *after)[0].case
    other = after[0].case if before and after else case
    doubts = {doubt for record in (*before, *after) for doubt in record.doubts}
    verdict, reason = _conclude(before, after, metrics)
    return CaseComparison(
        case_id=gathered.key,
        case=case,
        head_case=None if other == case else other,
        verdict=verdict,
        reason=reason,
        metrics=metrics,
        doubts=tuple(each for each in Doubt if each in doubts),
        is_interleaved=gathered.rounds.is_interleaved,
        rounds=len(gathered.rounds.pairs),
    )


def _numbers(records: Sequence[Record], read: Callable[[Record], float | None]) -> list[float]:
    found = (read(each) for each in records)
    return [number for number in found if number is not None and math.isfinite(number)]


def _pairs(rounds: Rounds, read: Callable[[Record], float | None]) -> list[tuple[float, float]] | None:
    if not rounds.is_paired:
        return None
    both = (_numbers(pair, read) for pair in rounds.pairs)
    found = [(one[0], one[1]) for one in both if len(one) == 2]  # noqa: PLR2004 - both of the round
    return found if len(found) >= LEAST_ROUNDS else None


def _conclude(
    before: Sequence[Record], after: Sequence[Record], compared: Sequence[MetricComparison]
) -> tuple[ComparisonVerdict, str]:
    if not (before and after):
        failure = _why(before or after)
        side = "BASE" if before else "HEAD"
        return ComparisonVerdict.MISSING, f"on {side} only" + (f", {failure}" if failure else "")
    if _is_new_failure(before, after):
        return ComparisonVerdict.FAILED, f"on HEAD {_why(after)}"
    # Phases explain the times that they make up; where only phases were asked for, they tell.
    telling = [each for each in compared if each.is_gating] or compared
    gravest = next((verdict for verdict in _GRAVEST_FIRST if any(one.verdict is verdict for one in telling)), None)
    if _is_new_failure(after, before):
        grown = gravest is not None and gravest.is_growth
        return gravest if gravest and grown else ComparisonVerdict.REPAIRED, f"on BASE {_why(before)}"
    if not compared and _why(before):
        return ComparisonVerdict.UNDECIDED, f"on BASE {_why(before)}; on HEAD {_why(after)}"
    return (gravest, "") if gravest else (ComparisonVerdict.MISSING, "no metric that both sides have")


def _is_new_failure(before: Sequence[Record], after: Sequence[Record]) -> bool:
    """Whether samples fail that didn't: any where all were well, or all where some were."""
    bad_before, bad_after = _n_bad(before), _n_bad(after)
    return bool(bad_after) and (not bad_before or (bad_after == len(after) and bad_before < len(before)))


def _n_bad(records: Sequence[Record]) -> int:
    return sum(each.status is not Status.OK for each in records)


def _why(records: Sequence[Record]) -> str:
    """Say how many failed, and how the first of them did."""
    bad = next((each for each in records if each.status is not Status.OK), None)
    if bad is None:
        return ""
    detail = ""
    if bad.failure is not None:
        first_line = bad.failure.message.partition("\n")[0]
        phase = f" in {bad.failure.phase}" if bad.failure.phase else ""
        detail = f"{phase}: {bad.failure.kind}: {first_line}"
    elif bad.check.mismatches:
        detail = f" with the oracle: {', '.join(each.group for each in bad.check.mismatches)}"
    return f"{_n_bad(records)} of {len(records)} samples: {bad.status}{detail}"
