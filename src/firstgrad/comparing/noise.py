"""What happens between samples anyway: rounds in which drift cancels, and noise thresholds from a case's history."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from firstgrad.columns import METRICS
from firstgrad.doubts import why_unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from firstgrad.columns import Column
    from firstgrad.record import Record

LEAST_ROUNDS = 5  # with fewer, pairs have half the degrees of freedom of two sides, which costs more than drift does
_WHOLE = 0.8
LEAST_CHANGES = 5  # fewer changes have no quartiles worth the name
LEAST_SAMPLES = 3
MOST_FACTOR = 1.25  # runs that usually change by more were changed by somebody: such a history must not blind the gate
_GAP_SECONDS = 3600.0
_FENCE = 1.5


# --- rounds -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """Samples of two sides, put together."""

    pairs: tuple[tuple[Record, Record], ...] = ()  # BASE and HEAD of each round, in the order of time; only usable ones
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

    factor: float  # a change by less than this, up or down, is none
    changes: int = 0
    """From how many changes of the case's history; 0 where it has too few, and the factor is the default one."""


def find_runs(history: pd.DataFrame, *, question: str, conditions: str) -> pd.DataFrame:
    """Find the earlier runs of a case: its samples of one label and commit that were taken without a long gap.

    `history` has samples that were taken earlier, of this case and any others; `conditions` are host and packages.
    There is a line for each run, in the order in which they ``began``, with when its last sample was started
    (``ended``) and the median of each metric that 3 samples have; fewer say more of their spread than of noise between
    runs.
    """
    import pandas as pd

    names = [metric.name for metric in METRICS]
    is_alike = (history["question"] == question) & (history["conditions"] == conditions) & (history["reason"] == "")
    alike = history[is_alike].sort_values("started_at", kind="stable")
    moments = pd.to_datetime(alike["started_at"], format="ISO8601", utc=True, errors="coerce")
    of_one = [alike["label"], alike["git_commit"]]
    # A label that was measured again after more than an hour is another run.
    is_late = moments.groupby(of_one).diff() > pd.Timedelta(seconds=_GAP_SECONDS)
    key = [*of_one, is_late.groupby(of_one).cumsum()]
    numbers = alike[names].where((alike[names] > 0) & (alike[names] < math.inf)).groupby(key)
    runs = numbers.median().where(numbers.count() >= LEAST_SAMPLES)
    started = alike["started_at"].groupby(key)
    return runs.assign(began=started.min(), ended=started.max()).sort_values("began", kind="stable")


def find_noise(runs: pd.DataFrame | None, metric: Column, *, default: float, is_interleaved: bool) -> Noise:
    """Find beyond which factor a change is unusual; `default` where there are fewer than 5 changes.

    As in rustc-perf (its comparison analysis), that is a fence by the interquartile range of changes in the past:
    Q3 + 1.5 IQR of the absolute logarithms of ratios between the medians of successive runs. rustc-perf takes 3 IQR,
    for it has no other test; here the interval has to exclude 1 as well.

    The history has to be of the kind that is compared: between runs that were taken at different times the machine
    drifts, which cancels where sides were measured in turn. So for these only changes between runs count that overlap.
    """
    if runs is None:
        return Noise(factor=default)
    known = runs[runs[metric.name].notna()]
    medians = known[metric.name].tolist()
    overlaps = (known["began"] < known["ended"].shift()).tolist()
    changes = sorted(
        abs(math.log(later / earlier))
        for (earlier, later), overlap in zip(pairwise(medians), overlaps[1:], strict=True)
        if overlap or not is_interleaved
    )
    if len(changes) < LEAST_CHANGES:
        return Noise(factor=default)
    lower, _, upper = statistics.quantiles(changes, method="inclusive")
    fence = upper + _FENCE * (upper - lower)
    return Noise(factor=min(math.exp(min(fence, 1.0)), MOST_FACTOR), changes=len(changes))
