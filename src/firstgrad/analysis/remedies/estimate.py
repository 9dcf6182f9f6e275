"""Savings: measured on this model where that was done, otherwise estimated from a measured case that is like it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.analysis.advice_ratio import estimate_ratio
from firstgrad.analysis.remedies.base import Basis, Saving
from firstgrad.analysis.remedies.evidence import COMMAND
from firstgrad.case import Scenario

if TYPE_CHECKING:
    from firstgrad.analysis.advice_offers import Offer
    from firstgrad.analysis.remedies.base import RemedyName, Situation

FIRST_GRADIENT, EVALUATION = "time_to_first_gradient_cpu", "evaluation"
_WHAT = {FIRST_GRADIENT: "first gradient (CPU time)", EVALUATION: "evaluation"}


def estimate_savings(
    situation: Situation, remedy: RemedyName, metrics: tuple[str, ...] = (FIRST_GRADIENT, EVALUATION)
) -> tuple[Saving, ...]:
    """Estimate what a remedy leaves of a cold first gradient and of an evaluation.

    Returns
    -------
    tuple of Saving
        Empty where no measured case backs it.
    """
    found = []
    own = own_offer(situation)
    for metric in metrics:
        evidence = situation.evidence_of(remedy, metric)
        if evidence is None:
            continue
        whole = None
        # What helps one backend need not help another: no seconds where the case was measured on one.
        if own is not None and f", {own.choice.backend}, " in evidence.case:
            row = situation.advice.workload.in_a_row
            whole = own.option.first_gradient.value if metric == FIRST_GRADIENT else row * own.option.evaluation.value
        found.append(
            Saving(
                basis=Basis.ESTIMATE,
                ratio=evidence.ratio,
                whole_seconds=whole,
                of_what=f"{_WHAT[metric]} of {evidence.case} ({evidence.measured_on}; {COMMAND})",
            )
        )
    return tuple(found)


def measured_saving(without: Offer, having: Offer) -> Saving:
    """Compare the totals of two offers."""
    return Saving(
        basis=Basis.MEASURED,
        ratio=estimate_ratio(having.totals, without.totals),
        whole_seconds=without.total.value,
        of_what=f"total time with {without.choice.backend}, {without.scenario}",
    )


def own_offer(situation: Situation) -> Offer | None:
    """Find the best cold offer of the model in the formulation in which it was given; warm where there is none."""
    pose = situation.model.pose
    formulation = str(pose.formulation) if pose else ""
    for scenario in (Scenario.COLD, Scenario.WARM):
        advice = situation.advice.of_scenario(scenario)
        offers = advice.offers if advice else ()
        for offer in offers:
            if offer.choice.formulation == formulation:
                return offer
    return None
