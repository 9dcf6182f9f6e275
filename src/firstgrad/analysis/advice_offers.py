"""Offers: what one may choose for a model, each with the samples that say what it costs."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from firstgrad.analysis.breakeven import Option
from firstgrad.case import BackendName
from firstgrad.columns import METRICS
from firstgrad.estimates import Estimate, estimate_median
from firstgrad.record import Doubt, Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from firstgrad.analysis.advice_workload import Workload
    from firstgrad.case import Scenario
    from firstgrad.row import Row

_PLACES = {metric.name: number for number, metric in enumerate(METRICS)}
_GOOD_VERDICTS = (Verdict.AGREES, Verdict.NO_ORACLE)
_OF_ONE_PROCESS = (BackendName.JAX_DIRECT, BackendName.JAX_QUICK)
_SUSPECT = (Doubt.NOT_FINITE, Doubt.GRADIENT_SUSPECT)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Choice:
    """A backend and a way of writing the model.

    Attributes
    ----------
    backend : BackendName
        What it is compiled to.
    formulation : str
        Of the pose model; '' for a user's own, which is written in one way.
    """

    backend: BackendName
    formulation: str = ""

    @property
    def name(self) -> str:
        """As tables and figures show it."""
        return f"{self.backend} {self.formulation}" if self.formulation else str(self.backend)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A choice in one scenario that gives right gradients, and what it costs.

    Attributes
    ----------
    choice : Choice
        What.
    scenario : Scenario
        State of the caches.
    option : Option
        Its first gradient and its evaluation, for break-even; the former as often as it is compiled.
    import_seconds : Estimate, optional
        Of the phase `import`, which is in no total.
    firsts : tuple of float
        Seconds to the first gradient, one a sample, as often as it is compiled.
    totals : tuple of float
        Seconds of the planned work, one a sample.
    n_busy : int
        How many of the samples have the doubt `high_load`.
    """

    choice: Choice
    scenario: Scenario
    option: Option
    import_seconds: Estimate | None
    firsts: tuple[float, ...]
    totals: tuple[float, ...]
    n_busy: int

    @property
    def total(self) -> Estimate:
        """Median of the totals with its interval."""
        return estimate_median(self.totals)

    @property
    def import_or_zero_seconds(self) -> float:
        """The import's median; 0 where it is not known."""
        return self.import_seconds.value if self.import_seconds else 0.0


class Trouble(StrEnum):
    """Why a choice is no offer. ``wrong`` and ``not_finite`` are said first: who samples with them samples nonsense."""

    WRONG = "wrong"
    NOT_FINITE = "not_finite"
    NO_NUMBERS = "no_numbers"
    NOT_MEASURED = "not_measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A choice that cannot be offered, and why.

    Attributes
    ----------
    choice, scenario
        What.
    trouble : Trouble
        The kind.
    reason : str
        In words.
    """

    choice: Choice
    scenario: Scenario
    trouble: Trouble
    reason: str

    @property
    def is_loud(self) -> bool:
        """Whether its gradients are wrong, not just unknown."""
        return self.trouble in (Trouble.WRONG, Trouble.NOT_FINITE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """All that was asked about."""

    offers: tuple[Offer, ...]
    left_out: tuple[LeftOut, ...]


def find_offers(rows: Iterable[Row], wanted: Mapping[str, tuple[Choice, Scenario]], workload: Workload) -> Offers:
    """Sort samples into offers.

    Parameters
    ----------
    rows : iterable of Row
        Of equal conditions; those of other questions are passed over.
    wanted : mapping of str to (Choice, Scenario)
        By question: what may be offered.
    workload : Workload
        What is planned.

    Returns
    -------
    Offers
        In the order of `wanted`. One sample with a wrong or infinite gradient is enough to leave a choice out.
    """
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.question in wanted:
            found[row.question].append(row)
    offers: list[Offer] = []
    left_out: list[LeftOut] = []
    for question, (choice, scenario) in wanted.items():
        trouble = _find_trouble(found[question])
        if trouble is None and workload.cores > 1 and choice.backend in _OF_ONE_PROCESS:
            trouble = Trouble.NO_NUMBERS, "it can't be sent to other processes: only with --cores 1"
        if trouble is None:
            offers.append(_offer(choice, scenario, found[question], workload))
        else:
            left_out.append(LeftOut(choice=choice, scenario=scenario, trouble=trouble[0], reason=trouble[1]))
    return Offers(offers=tuple(offers), left_out=tuple(left_out))


def is_complete(row: Row) -> bool:
    """Whether a sample's check holds and it tells both what a first gradient and what an evaluation costs."""
    numbers = _number(row, "time_to_first_gradient"), _number(row, "evaluation")
    return not row.reason and row.verdict in _GOOD_VERDICTS and all(each is not None and each > 0 for each in numbers)


def _find_trouble(rows: Sequence[Row]) -> tuple[Trouble, str] | None:
    wrong = next((row for row in rows if row.status is Status.MISMATCH or row.verdict is Verdict.DISAGREES), None)
    if wrong is not None:
        return Trouble.WRONG, wrong.reason or "the oracle disagrees"
    if any(Doubt.NOT_FINITE in row.doubts for row in rows):
        return Trouble.NOT_FINITE, "gradient or log-density have NaN or infinite values"
    if any(Doubt.GRADIENT_SUSPECT in row.doubts for row in rows):
        return Trouble.WRONG, "the gradient differs from finite differences of the log-density"
    if any(is_complete(row) for row in rows):
        return None
    if not rows:
        return Trouble.NOT_MEASURED, "no samples"
    reason = next((row.reason for row in rows if row.reason), "")
    return Trouble.NO_NUMBERS, reason or "no steady-state calls were timed, or nothing was checked"


def _offer(choice: Choice, scenario: Scenario, rows: Sequence[Row], workload: Workload) -> Offer:
    good = [row for row in rows if is_complete(row)]
    compiles = workload.compiles(choice.backend)
    firsts = [compiles * (_number(row, "time_to_first_gradient") or 0.0) for row in good]
    calls = [_number(row, "evaluation") or 0.0 for row in good]
    imports = [each for row in good if (each := _number(row, "phase_import")) is not None]
    return Offer(
        choice=choice,
        scenario=scenario,
        option=Option(name=choice.name, first_gradient=estimate_median(firsts), evaluation=estimate_median(calls)),
        import_seconds=estimate_median(imports) if imports else None,
        firsts=tuple(firsts),
        totals=tuple(first + workload.in_a_row * call for first, call in zip(firsts, calls, strict=True)),
        n_busy=sum(Doubt.HIGH_LOAD in row.doubts for row in good),
    )


def _number(row: Row, name: str) -> float | None:
    return row.numbers[_PLACES[name]]


def median_total(offer: Offer) -> float:
    """Median seconds of an offer's planned work, by which offers are ordered."""
    return statistics.median(offer.totals)
