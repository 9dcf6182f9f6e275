"""Advice: which choice gives the least total time for the planned work, and whether the samples allow to say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.analysis.advice_offers import Trouble, median_total
from firstgrad.analysis.advice_ratio import CONFIDENCE, Ratio, Scatter, estimate_ratio, more_samples, pool_scatter
from firstgrad.analysis.breakeven import BreakEven, break_even
from firstgrad.case import Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.analysis.advice_offers import LeftOut, Offer, Offers
    from firstgrad.analysis.advice_workload import Workload

_LEAST_EVALUATIONS, _MOST_EVALUATIONS = 1e4, 1e9
_BEYOND = 30.0  # how far beyond the last crossing and the planned number is looked


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """An offer that is behind by the medians.

    Attributes
    ----------
    offer : Offer
        Which.
    ratio : Ratio
        Total time of the leader by that of this one.
    is_beaten : bool
        Whether the interval lies below 1.
    more_samples : int, optional
        How many more of each might tell, where it isn't.
    """

    offer: Offer
    ratio: Ratio
    is_beaten: bool
    more_samples: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioAdvice:
    """What to take with caches in one state.

    Attributes
    ----------
    scenario : Scenario
        The state.
    offers : tuple of Offer
        Least total first; never empty.
    rivals : tuple of Rival
        All but the first.
    breakeven : BreakEven
        Over evaluations that wait for each other.
    """

    scenario: Scenario
    offers: tuple[Offer, ...]
    rivals: tuple[Rival, ...]
    breakeven: BreakEven

    @property
    def leader(self) -> Offer:
        """The one with the least total time, by the medians."""
        return self.offers[0]

    @property
    def open_rivals(self) -> tuple[Rival, ...]:
        """Those that may be as good as the leader, for all that the samples tell."""
        return tuple(each for each in self.rivals if not each.is_beaten)

    @property
    def is_decided(self) -> bool:
        """Whether the leader surely takes the least time."""
        return not self.open_rivals

    @property
    def leader_with_import(self) -> Offer:
        """The one with the least time where the import counts, too."""
        return min(self.offers, key=lambda each: median_total(each) + each.import_or_zero_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to take for the planned work.

    Attributes
    ----------
    workload : Workload
        What is planned.
    scenarios : tuple of ScenarioAdvice
        Those of which something is known: cold, warm.
    left_out : tuple of LeftOut
        What could not be offered.
    """

    workload: Workload
    scenarios: tuple[ScenarioAdvice, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def alarms(self) -> tuple[LeftOut, ...]:
        """Choices whose gradients are wrong, then those where they are not finite: to be said first."""
        loud = (each for each in self.left_out if each.is_loud)
        return tuple(sorted(loud, key=lambda each: list(Trouble).index(each.trouble)))

    def of_scenario(self, scenario: Scenario) -> ScenarioAdvice | None:
        """Find what is said of a scenario."""
        return next((each for each in self.scenarios if each.scenario is scenario), None)


def make_advice(found: Offers, workload: Workload) -> Advice:
    """Say which offer takes the least time for the planned work.

    Parameters
    ----------
    found : Offers
        From `firstgrad.analysis.advice_offers.find_offers`.
    workload : Workload
        What is planned.

    Returns
    -------
    Advice
        The leader has the least median total. It is decided where its total lies below each other's: an interval of
        the ratio each, with the scatter of all offers of the scenario, and 95% for all rivals together (Bonferroni).
    """
    scenarios = []
    for scenario in Scenario:
        offers = sorted((each for each in found.offers if each.scenario is scenario), key=median_total)
        if offers:
            scenarios.append(_advise(scenario, offers, workload))
    return Advice(workload=workload, scenarios=tuple(scenarios), left_out=found.left_out)


def _advise(scenario: Scenario, offers: Sequence[Offer], workload: Workload) -> ScenarioAdvice:
    leader, *others = offers
    confidence = 1 - (1 - CONFIDENCE) / max(len(others), 1)
    scatter = pool_scatter(each.totals for each in offers)
    return ScenarioAdvice(
        scenario=scenario,
        offers=tuple(offers),
        rivals=tuple(_rival(leader, each, confidence, scatter) for each in others),
        breakeven=_break_even(offers, workload),
    )


def _rival(leader: Offer, other: Offer, confidence: float, scatter: Scatter | None) -> Rival:
    ratio = estimate_ratio(leader.totals, other.totals, confidence=confidence, scatter=scatter)
    more = None
    if not ratio.is_below_one:
        more = more_samples(leader.totals, other.totals, confidence=confidence, scatter=scatter)
    return Rival(offer=other, ratio=ratio, is_beaten=ratio.is_below_one, more_samples=more)


def _break_even(offers: Sequence[Offer], workload: Workload) -> BreakEven:
    options = [each.option for each in sorted(offers, key=lambda each: each.choice)]
    most = max(_MOST_EVALUATIONS, _BEYOND * workload.in_a_row)
    last = max((each.evaluations.value for each in break_even(options, most).crossings), default=0.0)
    return break_even(options, min(max(_BEYOND * max(last, workload.in_a_row), _LEAST_EVALUATIONS), most))
