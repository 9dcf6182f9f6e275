"""What happens between samples anyway: rounds in which drift cancels, and noise thresholds from a case's history."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from firstgrad.columns import METRICS
from firstgrad.doubts import why_unusable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firstgrad.columns import Column
    from firstgrad.record import Record
    from firstgrad.row import Row

LEAST_ROUNDS = 5
"""With fewer, pairs have half the degrees of freedom of two sides, which costs more than drift does."""
_WHOLE = 0.8
LEAST_CHANGES = 5
"""Fewer changes have no quartiles worth the name."""
LEAST_SAMPLES = 3
MOST_FACTOR = 1.25
"""Runs that usually change by more were changed by somebody: such a history must not blind the gate."""
_GAP_SECONDS = 3600.0
_FENCE = 1.5
_PLACES = {metric.name: place for place, metric in enumerate(METRICS)}


# --- rounds -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """Samples of two sides, put together."""

    pairs: tuple[tuple[Record, Record], ...] = ()
    """BASE and HEAD of each round, in the order of time; only usable ones."""
    is_interleaved: bool = False
    """Whether the sides were measured in turn, on one host: only then do rounds mean anything."""

    @property
    def is_paired(self) -> bool:
        """Whether there are rounds enough to compare within them."""
        return self.is_interleaved and len(self.pairs) >= LEAST_ROUNDS


def find_rounds(base: Sequence[Record], head: Sequence[Record]) -> Rounds:
    """Pair the samples of two sides of one case by the time they were started.

    In the order of time, a sample and the next one make a round where they are of different sides; so a sample that
    failed and has none beside it takes no other's partner. Where each side was taken in turn, that pairs the k-th of
    one with the k-th of the other. The sides are interleaved where four in five of all usable samples have a partner.
    There are no pairs where the order is unknown: times that are missing or equal, one sample on both sides.
    """
    timed = [
        (_seconds(record), side, record)
        for side, records in enumerate((base, head))
        for record in records
        if not why_unusable(record)
    ]
    known = [at for at, _, _ in timed if at is not None]
    if len(set(known)) < len(timed) or len({record.environment.host for _, _, record in timed}) > 1:
        return Rounds()
    ordered = [(side, record) for _, side, record in sorted(timed, key=lambda sample: sample[0] or 0.0)]
    pairs: list[tuple[Record, Record]] = []
    place = 0
    while place + 1 < len(ordered):
        (side, one), (other_side, other) = ordered[place], ordered[place + 1]
        if side == other_side:
            place += 1
            continue
        pairs.append((other, one) if side else (one, other))
        place += 2
    return Rounds(pairs=tuple(pairs), is_interleaved=len(pairs) > 1 and 2 * len(pairs) >= _WHOLE * len(ordered))


def _seconds(record: Record) -> float | None:
    try:
        return datetime.fromisoformat(record.started_at).timestamp()
    except ValueError:
        return None


# --- history ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """A noise threshold."""

    factor: float
    """A change by less than this, up or down, is none."""
    changes: int = 0
    """From how many changes of the case's history; 0 where it has too few, and the factor is the default one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierRun:
    """Samples of one label and commit that were taken without a long gap, in the order of time."""

    rows: tuple[Row, ...]

    @property
    def began(self) -> str:
        """When its first sample was started."""
        return self.rows[0].started_at

    @property
    def ended(self) -> str:
        """When its last sample was started."""
        return self.rows[-1].started_at


def find_runs(history: Iterable[Row], *, question: str, conditions: str) -> tuple[EarlierRun, ...]:
    """Find the earlier runs of a case, in the order in which they began.

    A label that was measured again after more than an hour is another run.

    Parameters
    ----------
    history : iterable of Row
        Samples that were taken earlier, of this case and any others.
    question, conditions : str
        Of the case: what was asked, on which host and with which packages.
    """
    alike: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in history:
        if row.question == question and row.conditions == conditions and not row.reason:
            alike[row.label, row.git_commit].append(row)
    runs = [run for rows in alike.values() for run in _split(sorted(rows, key=lambda row: row.started_at))]
    return tuple(sorted(runs, key=lambda run: run.began))


def find_noise(runs: Sequence[EarlierRun], metric: Column, *, default: float, is_interleaved: bool) -> Noise:
    """Find beyond which factor a change is unusual.

    As in rustc-perf (its comparison analysis), that is a fence by the interquartile range of changes in the past:
    Q3 + 1.5 IQR of the absolute logarithms of ratios between the medians of successive runs. rustc-perf takes 3 IQR,
    for it has no other test; here the interval has to exclude 1 as well. Runs of fewer than 3 samples say more of their
    spread than of noise between runs, and are left out.

    The history has to be of the kind that is compared: between runs that were taken at different times the machine
    drifts, which cancels where sides were measured in turn. So for these only changes between runs count that overlap.

    Parameters
    ----------
    runs : sequence of EarlierRun
        From `find_runs`.
    metric : Column
    default : float
        The factor where there are fewer than 5 changes.
    is_interleaved : bool
        Whether the compared sides were measured in turn.
    """
    known = [(run, number) for run in runs if (number := _median(run, metric)) is not None]
    changes = sorted(
        abs(math.log(later / earlier))
        for (one, earlier), (other, later) in pairwise(known)
        if not is_interleaved or other.began < one.ended
    )
    if len(changes) < LEAST_CHANGES:
        return Noise(factor=default)
    lower, _, upper = statistics.quantiles(changes, method="inclusive")
    fence = upper + _FENCE * (upper - lower)
    return Noise(factor=min(math.exp(min(fence, 1.0)), MOST_FACTOR), changes=len(changes))


def _split(rows: Sequence[Row]) -> list[EarlierRun]:
    """Split where nothing was measured for long."""
    parts: list[list[Row]] = [[rows[0]]]
    for one, other in pairwise(rows):
        if _seconds_between(one.started_at, other.started_at) > _GAP_SECONDS:
            parts.append([])
        parts[-1].append(other)
    return [EarlierRun(rows=tuple(part)) for part in parts]


def _median(run: EarlierRun, metric: Column) -> float | None:
    numbers = (row.numbers[_PLACES[metric.name]] for row in run.rows)
    known = [number for number in numbers if number is not None and math.isfinite(number) and number > 0]
    return statistics.median(known) if len(known) >= LEAST_SAMPLES else None


def _seconds_between(one: str, other: str) -> float:
    try:
        return (datetime.fromisoformat(other) - datetime.fromisoformat(one)).total_seconds()
    except (ValueError, TypeError):  # no times, or one without its zone
        return 0.0
