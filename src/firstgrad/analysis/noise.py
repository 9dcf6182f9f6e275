"""The noise threshold: by how much a case's numbers change between runs anyway, by its own history."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from firstgrad.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from firstgrad.metrics import Metric
    from firstgrad.row import Row

LEAST_CHANGES = 5
"""Fewer changes have no quartiles worth the name."""
LEAST_SAMPLES = 3
MOST_FACTOR = 1.25
"""Runs that usually change by more were changed by somebody: such a history must not blind the gate."""
_GAP_SECONDS = 3600.0
_FENCE = 1.5
_PLACES = {metric.name: place for place, metric in enumerate(METRICS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """A noise threshold.

    Attributes
    ----------
    factor : float
        A change by less than this, up or down, is none.
    changes : int
        From how many changes of the case's history; 0 where it has too few, and the factor is the default one.
    """

    factor: float
    changes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Samples of one label and commit that were taken without a long gap."""

    rows: tuple[Row, ...]

    @property
    def began(self) -> str:
        """When its first sample was started."""
        return self.rows[0].started_at

    @property
    def ended(self) -> str:
        """When its last sample was started."""
        return self.rows[-1].started_at


def find_runs(
    history: Iterable[Row], *, question: str, conditions: str, before: str, without: Collection[str] = ()
) -> tuple[Run, ...]:
    """Find the earlier runs of a case.

    Parameters
    ----------
    history : iterable of Row
        Of this case, and any others.
    question, conditions : str
        Of the case: what was asked, on which host and with which packages.
    before : str
        Only samples that were started before this time; one that began earlier but is in `without` is left out, too.
    without : collection of str
        Samples by their `record_id`: those that are compared.

    Returns
    -------
    tuple of Run
        In the order in which they began. A label that was measured again after more than an hour is another run.
    """
    alike: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in history:
        is_alike = row.question == question and row.conditions == conditions and not row.reason
        if is_alike and row.started_at < before and row.record_id not in without:
            alike[row.label, row.git_commit].append(row)
    runs = [run for rows in alike.values() for run in _split(sorted(rows, key=lambda row: row.started_at))]
    return tuple(sorted(runs, key=lambda run: run.began))


def find_noise(runs: Sequence[Run], metric: Metric, *, default: float, is_interleaved: bool) -> Noise:
    """Find beyond which factor a change is unusual.

    As in rustc-perf (its comparison analysis), that is a fence by the interquartile range of changes in the past:
    Q3 + 1.5 IQR of the absolute logarithms of ratios between the medians of successive runs. rustc-perf takes 3 IQR,
    for it has no other test; here the interval has to exclude 1 as well. Runs of fewer than 3 samples say more of their
    spread than of noise between runs, and are left out.

    The history has to be of the kind that is compared: between runs that were taken at different times the machine
    drifts, which cancels where sides were measured in turn. So for these only changes between runs count that overlap.

    Parameters
    ----------
    runs : sequence of Run
        From `find_runs`.
    metric : Metric
        Whose numbers.
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


def _split(rows: Sequence[Row]) -> list[Run]:
    """Split where nothing was measured for long."""
    found: list[list[Row]] = [[rows[0]]]
    for one, other in pairwise(rows):
        if _seconds_between(one.started_at, other.started_at) > _GAP_SECONDS:
            found.append([])
        found[-1].append(other)
    return [Run(rows=tuple(each)) for each in found]


def _median(run: Run, metric: Metric) -> float | None:
    numbers = (row.numbers[_PLACES[metric.name]] for row in run.rows)
    known = [number for number in numbers if number is not None and math.isfinite(number) and number > 0]
    return statistics.median(known) if len(known) >= LEAST_SAMPLES else None


def _seconds_between(one: str, other: str) -> float:
    try:
        return (datetime.fromisoformat(other) - datetime.fromisoformat(one)).total_seconds()
    except (ValueError, TypeError):  # no times, or one without its zone
        return 0.0
