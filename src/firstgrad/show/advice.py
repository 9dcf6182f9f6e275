"""Advice in plain sentences, tables and a document."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from firstgrad.advising.advice import CONFIDENCE, Trouble, ratio_of_times, ratio_text
from firstgrad.advising.workload import Counted
from firstgrad.backends import facts_of
from firstgrad.case import Scenario
from firstgrad.comparing.ratio import pool_scatter
from firstgrad.show.findings import finding_parts
from firstgrad.show.result import BLANK, Heading, Items, Result, Style, Table, Text, Verbatim, left, right
from firstgrad.units import format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firstgrad.advising.advice import Advice, ChoiceLeftOut, Offer, OfferedChoice, ScenarioAdvice
    from firstgrad.advising.answer import AdviceAnswer, LostCaches
    from firstgrad.advising.workload import Workload
    from firstgrad.estimates import Estimate
    from firstgrad.linting.finding import LintReport
    from firstgrad.show.result import Part

_ALARM, _NO_NUMBERS = 1, 3  # exit codes
_LEFT_OUT = {
    Trouble.STOPPED: "Stopped",
    Trouble.NO_NUMBERS: "No numbers",
    Trouble.NOT_MEASURED: "Not tried",
}
_IF = {
    Scenario.COLD: "If your cache is empty (cold)",
    Scenario.WARM: "If your cache is warm",
    Scenario.HOT: "If it is compiled for the second time in one process (hot)",
}


def alarm_sentences(advice: Advice) -> Iterator[str]:
    """Yield a sentence for each choice that gives wrong gradients; nothing where all are right."""
    for alarm in advice.alarms:
        of = "draws that are" if alarm.choice.sampler else "a gradient that is"
        what = f"{of} not finite" if alarm.trouble is Trouble.NOT_FINITE else "WRONG numbers"
        yield (
            f"WARNING: {alarm.choice.name}, {alarm.scenario}, gives {what}, and is not offered: {alarm.reason}. "
            "Mend that before anything else: firstgrad check names the groups"
        )


def advice_sentences(advice: Advice) -> Iterator[str]:
    """Yield the advice, a sentence each."""
    if not advice.scenarios:
        yield "There is nothing to advise: no choice has samples whose check holds."
        return
    workload = advice.workload
    for scenario in advice.scenarios:
        if workload.counted is not Counted.FIRST_DRAW:
            yield lead_sentence(scenario, workload.counted)
        if workload.counted is not Counted.EVALUATIONS:
            yield _soonest(scenario)
        if workload.counted is not Counted.FIRST_DRAW:
            yield _decision(scenario, f"{workload.in_a_row:,.0f} {workload.counted}")
        leader = scenario.leader
        other = min(scenario.offers, key=lambda offer: offer.median_total + offer.import_or_zero_seconds)
        if other is not leader:
            imports = " and ".join(format_seconds(offer.import_or_zero_seconds) for offer in (leader, other))
            yield (
                f"With the imports counted ({imports}), {other.choice.name} is ahead of {leader.choice.name} instead."
            )
    warm = advice.of_scenario(Scenario.WARM)
    if warm is not None and (keeps := facts_of(warm.leader.choice.backend).keeps):
        yield f"A warm cache needs a folder that stays: {keeps}."
    offers = [offer for scenario in advice.scenarios for offer in scenario.offers]
    if busy := sum(offer.n_busy for offer in offers):
        yield (
            f"{busy} of {sum(len(offer.totals) for offer in offers)} samples have the doubt high_load: their times are "
            "longer than on a quiet machine, and unevenly so."
        )


def left_out_sentences(advice: Advice) -> Iterator[str]:
    """Yield why a way isn't offered: stopped, without numbers, not tried; those of one reason together."""
    reasons: dict[tuple[Trouble, str], dict[str, list[str]]] = {}
    for one in advice.left_out:
        if not one.is_loud:
            how, _, why = one.reason.partition(": ") if one.trouble is Trouble.STOPPED else ("", "", one.reason)
            where = f"{one.scenario} {how.removeprefix('stopped ')}".strip()
            if how and one.first_seconds is not None:
                where += f" (its {advice.workload.counted.first} came after {format_seconds(one.first_seconds)})"
            reasons.setdefault((one.trouble, why), {}).setdefault(one.choice.name, []).append(where)
    for (trouble, why), names in sorted(reasons.items(), key=lambda item: list(Trouble).index(item[0][0])):
        listed = "; ".join(f"{name}, {' and '.join(places)}" for name, places in names.items())
        yield f"{_LEFT_OUT[trouble]}, since {why}: {listed}"


def guess_sentences(answer: AdviceAnswer) -> Iterator[str]:
    """Yield what is known and what isn't where no way has samples to compare it by."""
    what = answer.workload.counted
    known = [one for one in answer.guesses if one.first_seconds is not None]
    others = [one.choice.name for one in answer.guesses if one.first_seconds is None]
    yield "No way of running this model was measured to its end, so the time for all planned draws is unknown."
    for one in known:
        yield (
            f"{one.choice.name} had its {what.first} after {format_seconds(one.first_seconds or 0.0)}; what "
            f"{what.one} costs after it isn't known."
        )
    if others:
        yield (
            f"Of {'the others' if known else 'this model'} nothing is known. By what is known of other models, the "
            f"soonest first (JAX before Numba before C): {', '.join(others)}."
        )
    yield "A longer --time-budget measures more, and continues from these samples."


def cache_sentences(lost: LostCaches | None) -> Iterator[str]:
    """Yield what it costs that caches aren't kept; nothing where they are."""
    if lost is None:
        return
    ratio, cold = lost.warm_over_cold, lost.cold_seconds
    costs = "filled caches weren't measured, so what that costs isn't known"
    if ratio is not None and cold is not None:
        costs = f"filled ones leave {ratio_text(ratio)} of the {format_seconds(cold)} that it takes to begin with"
        costs += f" (measured), and save {format_seconds((1 - ratio.value) * cold)} at every start"
    yield f"Caches may be lost ({'; '.join(lost.reasons)}). With {lost.choice}, {costs}. What keeps them is below."


def _soonest(advice: ScenarioAdvice) -> str:
    """Say whose first draw comes first, and whether that is sure."""
    first, *others = sorted(advice.offers, key=lambda offer: offer.option.first_gradient.value)
    says = f"{first.choice.name} draws first, after {interval_text(first.option.first_gradient)}"
    if not others:
        return f"{_IF[advice.scenario]}, {says}."
    confidence, scatter = 1 - (1 - CONFIDENCE) / len(others), pool_scatter(offer.firsts for offer in advice.offers)
    ratios = [ratio_of_times(first.firsts, other.firsts, confidence=confidence, scatter=scatter) for other in others]
    after = format_seconds(others[0].option.first_gradient.value)
    second = f"{ratio_text(ratios[0])} times {others[0].choice.name}'s {after}"
    sure = "certain to be the soonest" if all(ratio.high < 1 for ratio in ratios) else "which is not certain"
    return f"{_IF[advice.scenario]}, {says}, {sure}: {second}."


def lead_sentence(advice: ScenarioAdvice, counted: Counted = Counted.EVALUATIONS) -> str:
    """Say who is ahead up to how many evaluations or draws, by the medians."""
    result = advice.breakeven
    parts = [f"{result.leaders[0].name} is ahead"]
    for crossing in result.crossings:
        at = crossing.evaluations
        ends = "" if at.low == at.high else f" [{count(at.low)}, {count(at.high)}]"
        parts.append(f" up to {count(at.value)}{ends} {counted}, then {crossing.after.name}")
    if not result.crossings:
        if len(advice.offers) == 1:
            return f"{_IF[advice.scenario]}: {advice.leader.choice.name} is the only choice."
        parts.append(f" all the way, up to {count(result.n_max)} {counted}")
    never = [offer.choice.name for offer in advice.offers if offer.option not in result.leaders]
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


def interval_text(estimate: Estimate) -> str:
    """Write seconds with their interval, the unit only once where it can be: ``2.54 s [2.20, 2.81]``."""
    value, low, high = (format_seconds(seconds) for seconds in (estimate.value, estimate.low, estimate.high))
    if estimate.samples == 1:
        return f"{value}, 1 sample"
    unit = value.rpartition(" ")[2]
    if all(end.rpartition(" ")[2] == unit for end in (low, high)):
        low, high = low.rpartition(" ")[0], high.rpartition(" ")[0]
    return f"{value} [{low}, {high}]"


def _decision(advice: ScenarioAdvice, planned: str) -> str:
    leader = advice.leader
    takes = f"{leader.choice.name} takes {interval_text(leader.total)}"
    if not advice.rivals:
        return f"At {planned} {takes}."
    if advice.is_decided:
        second = min(advice.rivals, key=lambda rival: rival.offer.median_total)
        return (
            f"At {planned} {takes}, certain to be the least: {ratio_text(second.ratio)} times "
            f"{second.offer.choice.name}'s {format_seconds(second.offer.median_total)}."
        )
    near = advice.near_rivals
    if not near:
        second = advice.rivals[0]
        return (
            f"At {planned} {takes}; the next, {second.offer.choice.name}, {format_seconds(second.offer.median_total)} "
            f"({ratio_text(second.ratio)} times). One sample says nothing about scatter, which is hardly so large."
        )
    rivals = ", ".join(_with_seconds(rival.offer) for rival in near)
    return (
        f"At {planned} the samples do not allow a decision between {_with_seconds(leader)} and {rivals}. "
        f"{_more(advice)}"
    )


def _with_seconds(offer: Offer) -> str:
    return f"{offer.choice.name} ({interval_text(offer.total)})"


def _more(advice: ScenarioAdvice) -> str:
    open_rivals = advice.near_rivals
    if any(rival.ratio.samples == 1 for rival in open_rivals):
        return "One sample says nothing about scatter: take --samples 3 or more, and a time budget for them."
    known = [rival.more_samples for rival in open_rivals if rival.more_samples is not None]
    if len(known) < len(open_rivals):
        more = f" {format_count(max(known), 'more sample')} of each might tell the others." if known else ""
        return f"Hundreds of samples would not separate all of them: take any of them.{more}"
    return f"About {format_count(max(known), 'more sample')} of each might (raise --samples)."


# --- tables and the document ----------------------------------------------------------------------


def advice_result(answer: AdviceAnswer) -> Result:
    """Make what the verb prints, and its exit code."""
    code = 0 if answer.advice.scenarios else _NO_NUMBERS
    return Result(
        parts=list(advice_parts(answer)),
        document=advice_document(answer),
        exit_code=_ALARM if answer.advice.alarms else code,
    )


def advice_parts(answer: AdviceAnswer) -> Iterator[Part]:
    """Yield an answer: what the graph shows first, what is wrong, sentences and tables, what to type last."""
    advice, workload = answer.advice, answer.workload
    planned = "gradient evaluations" if workload.counted is Counted.EVALUATIONS else "draws"
    yield from lint_parts(answer.lint)
    yield Items(list(alarm_sentences(advice)), Style.BAD)
    yield Heading(str(answer.model))
    yield from [Text(note) for note in dict.fromkeys(record.model_note for record in answer.samples.records) if note]
    yield Items(
        [
            f"Planned: {workload.evaluations:,} {planned} ({workload.origin}).",
            *workload.assumptions(),
            *answer.samples.notes,
        ]
    )
    yield BLANK
    yield Items(list(answer_sentences(answer)))
    for scenario in advice.scenarios:
        yield _offers_table(scenario, workload.counted)
    yield Items(list(left_out_sentences(advice)))
    if answer.lines:
        yield BLANK
        yield Heading("What to type")
        yield Verbatim(answer.lines, is_to_paste=True)


def lint_parts(report: LintReport | None) -> Iterator[Part]:
    """Yield what lint found, the worst first; nothing of a clean graph."""
    if report is None:
        return
    if report.failure is not None:
        yield Text(f"lint could not look at the graph: {report.failure.kind}: {report.failure.message}", Style.DOUBT)
    for finding in report.findings:
        yield from finding_parts(finding)
        yield BLANK


def answer_sentences(answer: AdviceAnswer) -> Iterator[str]:
    """Yield the advice, or else what is guessed, a sentence each."""
    yield from (
        guess_sentences(answer) if answer.guesses and not answer.advice.scenarios else advice_sentences(answer.advice)
    )
    yield from cache_sentences(answer.lost_caches)


def _offers_table(advice: ScenarioAdvice, counted: Counted) -> Part:
    against = {
        rival.offer.choice: f"x{1 / rival.ratio.value:.2f}{'' if rival.is_beaten else ', undecided'}"
        for rival in advice.rivals
    }
    columns: dict[str, Callable[[Offer], str]] = {
        "samples": lambda offer: str(len(offer.totals)),
        counted.first: lambda offer: interval_text(offer.option.first_gradient),
    }
    if counted is not Counted.FIRST_DRAW:
        columns[counted.one] = lambda offer: interval_text(offer.option.evaluation)
    if counted is Counted.DRAWS:
        columns["steps a draw"] = lambda offer: "" if offer.steps is None else f"{offer.steps:.3g}"
    if counted is not Counted.FIRST_DRAW:
        name = "total, import not" if counted is Counted.EVALUATIONS else "last draw, import not"
        columns[name] = lambda offer: interval_text(offer.total)
    columns["import beside"] = lambda offer: format_seconds(offer.import_seconds.value) if offer.import_seconds else ""
    columns["against the first"] = lambda offer: against.get(offer.choice, "")
    return Table(
        title=f"{advice.scenario} caches, least total first",
        columns=(*left("choice"), *right(*columns)),
        rows=[(offer.choice.name, *(write(offer) for write in columns.values())) for offer in advice.offers],
    )


def advice_document(answer: AdviceAnswer) -> dict[str, Any]:
    """Return what ``advise --json`` writes."""
    advice = answer.advice
    return {
        "model": str(answer.model),
        "lint": answer.lint and _fields(answer.lint, "findings", "skipped", "failure", "seconds"),
        "place": answer.samples.place,
        **_planned_document(advice.workload),
        "alarms": list(alarm_sentences(advice)),
        "sentences": list(answer_sentences(answer)),
        "assumptions": [*advice.workload.assumptions(), *answer.samples.notes],
        "scenarios": [_scenario_document(scenario) for scenario in advice.scenarios],
        "left_out": [_left_out_document(one) for one in advice.left_out],
        "guesses": [] if advice.scenarios else [_left_out_document(one) for one in answer.guesses],
        "lost_caches": answer.lost_caches
        and _fields(answer.lost_caches, "choice", "cold_seconds", "warm_over_cold", "lines"),
        "type": list(answer.lines),
    }


def _left_out_document(one: ChoiceLeftOut) -> dict[str, Any]:
    return _choice(one.choice) | _fields(one, "scenario", "trouble", "reason", "first_seconds")


def _planned_document(workload: Workload) -> dict[str, Any]:
    if workload.counted is Counted.EVALUATIONS:
        return {"evaluations": workload.evaluations, "evaluations_in_a_row": workload.in_a_row}
    planned = _fields(workload, "draws", "tune", "chains", "cores", "leapfrog")
    return planned | {"draws_in_all": workload.evaluations, "draws_in_a_row": workload.in_a_row}


def _fields(thing: object, *names: str) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in names}


def _choice(choice: OfferedChoice) -> dict[str, Any]:
    names = ("sampler", "backend", "gradient_backend") if choice.sampler else ("backend", "formulation")
    return _fields(choice, *names) | ({"is_frozen": True} if choice.is_frozen else {})


def _costs(offer: Offer) -> dict[str, Any]:
    first, after = offer.option.first_gradient, offer.option.evaluation
    if not offer.choice.sampler:
        return {"first_gradient_seconds": first, "evaluation_seconds": after}
    return {"first_draw_seconds": first, "draw_seconds": after, "steps_a_draw": offer.steps}


def _scenario_document(advice: ScenarioAdvice) -> dict[str, Any]:
    rivals = {rival.offer.choice: rival for rival in advice.rivals}
    return {
        "scenario": advice.scenario,
        "is_decided": advice.is_decided,
        "offers": [
            _choice(offer.choice)
            | _costs(offer)
            | {
                "total_seconds": offer.total,
                "import_seconds": offer.import_seconds,
                "leader_over_this": rival.ratio if (rival := rivals.get(offer.choice)) else None,
                "is_beaten": rival is not None and rival.is_beaten,
                "more_samples": rival.more_samples if rival else None,
            }
            for offer in advice.offers
        ],
        "crossings": [
            {"before": crossing.before.name, "after": crossing.after.name, "evaluations": crossing.evaluations}
            for crossing in advice.breakeven.crossings
        ],
    }
