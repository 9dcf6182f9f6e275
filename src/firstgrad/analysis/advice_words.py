"""Advice in plain sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from firstgrad.analysis.advice_offers import Trouble, median_total
from firstgrad.backends import facts_of
from firstgrad.case import Scenario
from firstgrad.units import format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firstgrad.analysis.advice import Advice, ScenarioAdvice
    from firstgrad.analysis.advice_offers import Offer
    from firstgrad.estimates import Estimate

_IF = {
    Scenario.COLD: "If your cache is empty (cold)",
    Scenario.WARM: "If your cache is warm",
    Scenario.HOT: "If it is compiled for the second time in one process (hot)",
}


def alarm_sentences(advice: Advice) -> Iterator[str]:
    """Say which choices give wrong gradients, a sentence each; nothing where all are right.

    Yields
    ------
    str
    """
    for each in advice.alarms:
        what = "a gradient that is not finite" if each.trouble is Trouble.NOT_FINITE else "WRONG numbers"
        yield (
            f"WARNING: {each.choice.name}, {each.scenario}, gives {what}, and is not offered: {each.reason}. "
            "Mend that before anything else: firstgrad check names the groups"
        )


def advice_sentences(advice: Advice) -> Iterator[str]:
    """Give the advice, a sentence each.

    Yields
    ------
    str
    """
    if not advice.scenarios:
        yield "There is nothing to advise: no choice has samples whose check holds."
        return
    for each in advice.scenarios:
        yield lead_sentence(each)
        yield _decision(each, advice)
        yield from _import_sentences(each)
    yield from _cache_sentences(advice)
    yield from _load_sentences(advice)
    if missing := [each.choice.name for each in advice.left_out if each.reason == "no samples"]:
        yield f"Not measured, so not compared: {'; '.join(dict.fromkeys(missing))}."


def lead_sentence(advice: ScenarioAdvice) -> str:
    """Say who is ahead up to how many evaluations, by the medians."""
    result = advice.breakeven
    parts = [f"{result.leaders[0].name} is ahead"]
    parts += [f" up to {_crossing(each.evaluations)} evaluations, then {each.after.name}" for each in result.crossings]
    if not result.crossings:
        if len(advice.offers) == 1:
            return f"{_IF[advice.scenario]}: {advice.leader.choice.name} is all that can be offered."
        parts.append(f" all the way, up to {count(result.n_max)} evaluations")
    never = [each.choice.name for each in advice.offers if each.option not in result.leaders]
    if never:
        parts.append(f"; never ahead: {', '.join(never)}")
    return f"{_IF[advice.scenario]}: {''.join(parts)}."


def count(number: float) -> str:
    """Write a number of evaluations with two significant digits: more would not be known."""
    if math.isinf(number):
        return "never"
    if number < 1:
        return "0"
    return f"{round(number, 1 - math.floor(math.log10(number))):,.10g}"


def _crossing(at: Estimate) -> str:
    return count(at.value) if at.low == at.high else f"{count(at.value)} [{count(at.low)}, {count(at.high)}]"


def _decision(advice: ScenarioAdvice, whole: Advice) -> str:
    planned = f"{whole.workload.in_a_row:,.0f}"
    leader = advice.leader
    takes = f"{leader.choice.name} takes {_seconds(leader)}"
    if not advice.rivals:
        return f"At {planned} evaluations {takes}."
    if advice.is_decided:
        second = min(advice.rivals, key=lambda each: median_total(each.offer))
        return (
            f"At {planned} evaluations {takes}, surely the least: {second.ratio} times {second.offer.choice.name}'s "
            f"{format_seconds(median_total(second.offer))}."
        )
    rivals = ", ".join(f"{each.offer.choice.name} ({_seconds(each.offer)})" for each in advice.open_rivals)
    return (
        f"At {planned} evaluations the samples do not allow a decision between {leader.choice.name} "
        f"({_seconds(leader)}) and {rivals}. {_more(advice)}"
    )


def _more(advice: ScenarioAdvice) -> str:
    open_rivals = advice.open_rivals
    if any(each.ratio.samples == 1 for each in open_rivals):
        return "One sample tells nothing of its scatter: take --samples 3 or more."
    known = [each.more_samples for each in open_rivals if each.more_samples is not None]
    if len(known) < len(open_rivals):
        more = f" {format_count(max(known), 'more sample')} of each might tell the others." if known else ""
        return f"Hundreds of samples would not tell all of them apart: take whichever you like.{more}"
    return f"About {format_count(max(known), 'more sample')} of each might (raise --samples)."


def interval_text(estimate: Estimate) -> str:
    """Write seconds with their interval, the unit only once where it can be: ``2.54 s [2.20, 2.81]``."""
    value, low, high = (format_seconds(each) for each in (estimate.value, estimate.low, estimate.high))
    if estimate.samples == 1:
        return f"{value}, 1 sample"
    unit = value.rpartition(" ")[2]
    if all(each.rpartition(" ")[2] == unit for each in (low, high)):
        low, high = low.rpartition(" ")[0], high.rpartition(" ")[0]
    return f"{value} [{low}, {high}]"


def _seconds(offer: Offer) -> str:
    return interval_text(offer.total)


def _import_sentences(advice: ScenarioAdvice) -> Iterator[str]:
    other = advice.leader_with_import
    if other is not advice.leader:
        yield (
            f"With the imports counted ({format_seconds(advice.leader.import_or_zero_seconds)} and "
            f"{format_seconds(other.import_or_zero_seconds)}), {other.choice.name} is ahead of "
            f"{advice.leader.choice.name} instead."
        )


def _cache_sentences(advice: Advice) -> Iterator[str]:
    warm = advice.of_scenario(Scenario.WARM)
    if warm is None:
        return
    if keeps := facts_of(warm.leader.choice.backend).keeps:
        yield f"A warm cache needs a folder that stays: {keeps}."


def _load_sentences(advice: Advice) -> Iterator[str]:
    offers = [offer for each in advice.scenarios for offer in each.offers]
    if busy := sum(each.n_busy for each in offers):
        yield (
            f"{busy} of {sum(len(each.totals) for each in offers)} samples have the doubt high_load: their times are "
            "longer than on a quiet machine, and unevenly so."
        )
