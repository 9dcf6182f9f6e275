"""An advice as a document: what ``--json`` writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.analysis.advice_ratio import Ratio
from firstgrad.analysis.advice_words import advice_sentences, alarm_sentences
from firstgrad.case import BackendName, Scenario
from firstgrad.estimates import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.analysis.advice import Advice, ScenarioAdvice
    from firstgrad.analysis.advice_offers import Offer
    from firstgrad.analysis.remedies.base import Finding
    from firstgrad.cli.advise_samples import Found
    from firstgrad.model import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferRow:
    """A choice: seconds to the first gradient, of an evaluation, in all, and of the import beside.

    Attributes
    ----------
    backend, formulation
        What.
    first_gradient_seconds, evaluation_seconds, total_seconds, import_seconds : Estimate
        As in `firstgrad.analysis.advice_offers.Offer`.
    leader_over_this : Ratio, optional
        Total time of the leader by this one's; none of the leader.
    is_beaten : bool
        Whether the leader surely takes less.
    more_samples : int, optional
        How many more might tell.
    """

    backend: BackendName
    formulation: str
    first_gradient_seconds: Estimate
    evaluation_seconds: Estimate
    total_seconds: Estimate
    import_seconds: Estimate | None
    leader_over_this: Ratio | None
    is_beaten: bool
    more_samples: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossingRow:
    """From how many evaluations on another choice is ahead."""

    before: str
    after: str
    evaluations: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioRow:
    """A state of the caches: offers with the least total first, and break-even points."""

    scenario: Scenario
    is_decided: bool
    offers: tuple[OfferRow, ...]
    crossings: tuple[CrossingRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutRow:
    """A choice that is not offered, and why."""

    backend: BackendName
    formulation: str
    scenario: Scenario
    trouble: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingRow:
    """What a remedy leaves of a time; ``basis`` is ``measured`` on this model or an ``estimate``.

    ``saved_seconds`` has the value, the least and the most; negative where it costs.
    """

    basis: str
    ratio: Ratio
    saved_seconds: tuple[float, float, float] | None
    is_sure: bool
    of_what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemedyRow:
    """A remedy that fits."""

    remedy: str
    because: str
    how: str
    instead: str
    savings: tuple[SavingRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceDocument:
    """An advice.

    Attributes
    ----------
    model, place : str
        Of what, and where its records are.
    evaluations, evaluations_in_a_row : int, float
        Planned in all, and those that wait for each other.
    alarms, sentences, assumptions : tuple of str
        What is said in words.
    scenarios, left_out, remedies
        See their types.
    """

    model: str
    place: str
    evaluations: int
    evaluations_in_a_row: float
    alarms: tuple[str, ...]
    sentences: tuple[str, ...]
    assumptions: tuple[str, ...]
    scenarios: tuple[ScenarioRow, ...]
    left_out: tuple[LeftOutRow, ...]
    remedies: tuple[RemedyRow, ...]


def to_document(model: Model, found: Found, advice: Advice, findings: Sequence[Finding]) -> AdviceDocument:
    """Write an advice as a document."""
    return AdviceDocument(
        model=str(model),
        place=found.place,
        evaluations=advice.workload.evaluations,
        evaluations_in_a_row=advice.workload.in_a_row,
        alarms=tuple(alarm_sentences(advice)),
        sentences=tuple(advice_sentences(advice)),
        assumptions=(*advice.workload.assumptions(), *found.notes),
        scenarios=tuple(_scenario(each) for each in advice.scenarios),
        left_out=tuple(
            LeftOutRow(
                backend=each.choice.backend,
                formulation=each.choice.formulation,
                scenario=each.scenario,
                trouble=str(each.trouble),
                reason=each.reason,
            )
            for each in advice.left_out
        ),
        remedies=tuple(_remedy(each) for each in findings),
    )


def _scenario(advice: ScenarioAdvice) -> ScenarioRow:
    return ScenarioRow(
        scenario=advice.scenario,
        is_decided=advice.is_decided,
        offers=tuple(_offer(each, advice) for each in advice.offers),
        crossings=tuple(
            CrossingRow(before=each.before.name, after=each.after.name, evaluations=each.evaluations)
            for each in advice.breakeven.crossings
        ),
    )


def _offer(offer: Offer, advice: ScenarioAdvice) -> OfferRow:
    rival = next((each for each in advice.rivals if each.offer is offer), None)
    return OfferRow(
        backend=offer.choice.backend,
        formulation=offer.choice.formulation,
        first_gradient_seconds=offer.option.first_gradient,
        evaluation_seconds=offer.option.evaluation,
        total_seconds=offer.total,
        import_seconds=offer.import_seconds,
        leader_over_this=rival.ratio if rival else None,
        is_beaten=rival is not None and rival.is_beaten,
        more_samples=rival.more_samples if rival else None,
    )


def _remedy(finding: Finding) -> RemedyRow:
    return RemedyRow(
        remedy=str(finding.remedy),
        because=finding.because,
        how=finding.how,
        instead=finding.instead,
        savings=tuple(
            SavingRow(
                basis=str(each.basis),
                ratio=each.ratio,
                saved_seconds=each.seconds,
                is_sure=each.is_sure,
                of_what=each.of_what,
            )
            for each in finding.savings
        ),
    )
