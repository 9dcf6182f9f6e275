"""How long samples are going to take, from what is stored of the same or similar cases."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from firstgrad.case import Case, ExternalModel, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firstgrad.case import BackendName, Scalar
    from firstgrad.row import Row
    from firstgrad.spec import PoseSpec
    from firstgrad.sweep.plan import Job

_SIZES = ("timesteps", "directions", "cameras", "states")


class Durations:
    """Expected seconds of a sample.

    A case that was measured before takes as long as then (the median). Another takes as long as the nearest in size
    among those of its backend and scenario, first of those that differ in nothing but sizes, then of any of the same
    model family.

    Parameters
    ----------
    rows : iterable of Row
        What is stored, from whichever host and label: an estimate of a waiting time may be rough.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._same: dict[str, list[float]] = defaultdict(list)
        self._near: dict[tuple[object, ...], list[tuple[dict[str, Scalar], str]]] = defaultdict(list)
        for row in rows:
            axes = dict(row.axes)
            if row.question not in self._same:
                for key in _keys(row.family, axes, row.backend, row.scenario):
                    self._near[key].append((axes, row.question))
            self._same[row.question].append(row.sample_seconds)

    def learn(self, case: Case, seconds: float) -> None:
        """Take a new sample into account."""
        if case.question not in self._same:
            axes = _axes(case.model)
            for key in _keys(_family(case.model), axes, case.backend, case.scenario):
                self._near[key].append((axes, case.question))
        self._same[case.question].append(seconds)

    def of(self, case: Case) -> float | None:
        """Expect so many seconds of one sample; none where nothing like it is known."""
        if (same := self.of_same(case)) is not None:
            return same
        axes = _axes(case.model)
        for key in _keys(_family(case.model), axes, case.backend, case.scenario):
            if near := self._near.get(key):
                _, question = min(near, key=lambda each: _distance(each[0], axes))
                return statistics.median(self._same[question])
        return None

    def of_same(self, case: Case) -> float | None:
        """Return the median of this very case's samples; none where there is none."""
        known = self._same.get(case.question)
        return statistics.median(known) if known else None

    def of_all(self, jobs: Iterable[Job]) -> tuple[float, int]:
        """Expect so many seconds of many samples one after the other.

        The first ``warm`` sample of a case without a ``cold`` one before it fills its cache itself.

        Returns
        -------
        seconds : float
            Of those that can be told.
        unknown : int
            How many can't.
        """
        seconds, unknown = 0.0, 0
        filled: set[Case] = set()
        for job in jobs:
            cold = replace(job.case, scenario=Scenario.COLD)
            parts = [self.of(job.case)]
            if job.case.scenario is Scenario.WARM and cold not in filled:
                parts.append(self.of(cold))
            if job.case.scenario is not Scenario.HOT:
                filled.add(cold)
            seconds += sum(part for part in parts if part is not None)
            unknown += None in parts
        return seconds, unknown


def _keys(
    family: str, axes: dict[str, Scalar], backend: BackendName, scenario: Scenario
) -> tuple[tuple[object, ...], ...]:
    rest = tuple(sorted((name, str(value)) for name, value in axes.items() if name not in _SIZES))
    has_hmm = bool(axes.get("hmm_algorithm"))
    return ((family, backend, scenario, rest), (family, backend, scenario, has_hmm), (family, backend, scenario))


def _distance(one: dict[str, Scalar], other: dict[str, Scalar]) -> float:
    """How unlike two sizes are: the sum of the absolute logarithms of their ratios."""
    return sum(abs(math.log(_positive(one.get(name)) / _positive(other.get(name)))) for name in one | other)


def _positive(value: Scalar | None) -> float:
    return max(float(value), 1.0) if isinstance(value, int | float) else 1.0


def _family(model: PoseSpec | ExternalModel) -> str:
    from firstgrad.row import family_of

    return family_of(model)


def _axes(model: PoseSpec | ExternalModel) -> dict[str, Scalar]:
    from firstgrad.row import axes_of

    return dict(axes_of(model))
