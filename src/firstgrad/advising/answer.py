"""An answer within its budget: lint's findings, the race of the ways, what is known in the end, and what isn't.

The verb and `firstgrad.advise` both call `make_answer`; `conclude` makes the same of samples that are there already.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from firstgrad.advising.advice import Trouble, find_offers, has_pace, make_advice, question_of
from firstgrad.advising.caches import find_lost_caches, look_around
from firstgrad.advising.race import Race, prior_seconds, run_race
from firstgrad.advising.samples import from_store, with_frozen
from firstgrad.advising.workload import Counted
from firstgrad.backends import facts_of
from firstgrad.case import Scenario
from firstgrad.errors import SpecError
from firstgrad.units import format_count, format_seconds, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from firstgrad.advising.advice import Advice, ChoiceLeftOut, OfferedChoice
    from firstgrad.advising.caches import LostCaches
    from firstgrad.advising.samples import AdviceSamples
    from firstgrad.advising.workload import Workload
    from firstgrad.case import Case, Target
    from firstgrad.linting.finding import LintReport
    from firstgrad.model import Model
    from firstgrad.store import Keeper
    from firstgrad.sweep.plan import Durations
    from firstgrad.sweep.rounds import Executor, SweepEvent

    type Display = Callable[[Sequence[Case], Durations], AbstractContextManager[Callable[[SweepEvent], None]]]

BUDGET_SECONDS = 180.0
LINT_SECONDS, LINT_SHARE = 60.0, 0.5
"""As long as lint may take: the import of PyMC and the model's own making are most of it."""
LABEL = "advise"
_AS_GOOD = 1.1


def parse_budget(text: str) -> float | None:
    """Read a time budget: a duration, 0 for what is known already, ``none`` for no end; raises SpecError."""
    if text.strip() in ("none", "0", "0s"):
        return None if text.strip() == "none" else 0.0
    try:
        return parse_seconds(text)
    except SpecError as error:
        raise SpecError("--time-budget", f"{error}; none for no end") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvicePlan:
    """What is asked."""

    workload: Workload
    ways: tuple[Case, ...]  # what may be chosen: all of one model, in one of its formulations or in several
    samples: int = 3  # of each way; with a budget a second one only of those that are near the leader
    budget_seconds: float | None = BUDGET_SECONDS  # for all of it; none: every way is measured to its end

    @property
    def model(self) -> Model:
        """The model as it was given."""
        return self.ways[0].model


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceAnswer:
    """What is advised, and from what."""

    model: Model
    target: Target
    samples: AdviceSamples
    advice: Advice
    lost_caches: LostCaches | None
    lint: LintReport | None = None  # what the graph shows; none where there was no time to look

    @property
    def workload(self) -> Workload:
        """What is planned."""
        return self.advice.workload

    @property
    def guesses(self) -> tuple[ChoiceLeftOut, ...]:
        """List the choices that might do although none has samples to compare it by, the most promising first.

        Those whose first gradient or draw is known, then those of which nothing is known, as it is elsewhere: JAX
        before Numba before C.
        """
        hopeful = (Trouble.STOPPED, Trouble.NOT_MEASURED)
        known = {
            left.choice: left
            for left in reversed(self.advice.left_out)
            if left.trouble in hopeful or left.first_seconds is not None
            if not left.is_loud
        }
        bad = {left.choice for left in self.advice.alarms}
        guesses = [left for choice, left in known.items() if choice not in bad]

        def promise(left: ChoiceLeftOut) -> tuple[bool, float]:
            is_known = left.first_seconds is not None
            return not is_known, left.first_seconds if left.first_seconds is not None else prior_seconds(left.choice)

        return tuple(sorted(guesses, key=promise))

    @property
    def best(self) -> dict[Scenario, OfferedChoice]:
        """The choice to take in each state of the caches; of what is only guessed, with empty ones.

        One for all of them where it is as good as each's leader. One that wasn't measured with filled caches takes no
        longer with them than with empty ones.
        """
        scenarios = self.advice.scenarios
        if not scenarios:
            return {Scenario.COLD: self.guesses[0].choice} if self.guesses else {}
        held: dict[OfferedChoice, float] = {}
        totals = {}
        for one in scenarios:
            held = totals[one.scenario] = held | {offer.choice: offer.median_total for offer in one.offers}
        near = [
            {choice for choice in known if known[choice] <= _AS_GOOD * min(known.values())} for known in totals.values()
        ]
        if alike := set.intersection(*near):
            chosen = min(alike, key=lambda choice: (sum(known[choice] for known in totals.values()), choice))
            return dict.fromkeys(totals, chosen)
        return {scenario: min(known, key=lambda choice: known[choice]) for scenario, known in totals.items()}

    @property
    def lines(self) -> tuple[str, ...]:
        """What to type: variables of a shell, then Python; the choice itself last. Empty where nothing is known."""
        shell = self.lost_caches.lines if self.lost_caches else ()
        typed = {scenario: choice.lines(self.workload, self.target) for scenario, choice in self.best.items()}
        if len(set(typed.values())) < 2:  # noqa: PLR2004 - nothing to choose between
            return (*shell, *next(iter(typed.values()), ()))
        when = {Scenario.COLD: "# with empty caches:", Scenario.WARM: "# with filled caches, in later processes:"}
        return (*shell, *(line for scenario, lines in typed.items() for line in (when[scenario], *lines)))


def conclude(
    plan: AdvicePlan, samples: AdviceSamples, untried: Mapping[str, tuple[Trouble, str]] | None = None
) -> AdviceAnswer:
    """Make the answer of the samples that are there; with constants for data where there are samples of that."""
    workload, asked = plan.workload, {question_of(record) for record in samples.records}
    ways = [case for case in with_frozen(plan.ways) if case in plan.ways or case.question in asked]
    drew = [record for record in samples.records if record.draw is not None]
    if workload.counted is Counted.DRAWS and drew and not any(map(has_pace, drew)):
        workload = replace(workload, counted=Counted.FIRST_DRAW)
    advice = make_advice(find_offers(samples.records, ways, workload, untried), workload)
    return AdviceAnswer(
        model=plan.model,
        target=plan.ways[0].target,
        samples=samples,
        advice=advice,
        lost_caches=find_lost_caches(advice, look_around()),
    )


def look_at_graph(plan: AdvicePlan, on_event: Callable[[Any], None] | None = None) -> LintReport | None:
    """Have lint look at the model's graph, for a part of the budget; none where there is no time, or no real backend.

    That it could not look is told in the report.
    """
    from firstgrad.linting.launch import lint

    if plan.budget_seconds == 0 or not any(facts_of(case.backend).is_real for case in plan.ways):
        return None
    limit = min(LINT_SECONDS, LINT_SHARE * (plan.budget_seconds or math.inf))
    return lint(plan.model, time_limit_seconds=limit, on_event=on_event)


def make_answer(
    plan: AdvicePlan,
    keeper: Keeper,
    *,
    show: Display,
    look: Callable[[AdvicePlan], LintReport | None] = look_at_graph,
    executor: Executor | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AdviceAnswer:
    """Look at the graph, measure what a store hasn't of this host and the model as it is now, and conclude.

    Soonest ways first; what can no longer win is stopped, and so is what runs when the budget is over.

    Parameters
    ----------
    plan : AdvicePlan
        What is asked.
    keeper : Keeper
        Where samples are, and are kept.
    show : callable
        Opens the display of these ways.
    look : callable
        Has lint look at the graph of the plan's model.
    executor : Executor, optional
        Who measures; this machine, one sample at a time, where left out.
    clock : callable
        In seconds.

    Raises
    ------
    SpecError
        Where the model's reference names nothing.
    """
    from firstgrad.sources import check_reference
    from firstgrad.sweep.local import LocalExecutor
    from firstgrad.sweep.plan import Durations
    from firstgrad.sweep.rounds import Notice

    began = clock()
    check_reference(plan.model.reference)
    report = look(plan)
    known = from_store(keeper.store, with_frozen(plan.ways))
    durations = Durations(keeper.store.cells())
    race = Race(
        plan.ways,
        plan.workload,
        known=known.records,
        samples=plan.samples,
        budget_seconds=plan.budget_seconds,
        expect=durations.of_same,
        clock=clock,
        began=began,
    )
    if next(race.open_ways(), None) is not None:
        with show(plan.ways, durations) as display:
            keeper.tell = lambda line: display(Notice(message=line))
            run_race(race, executor or LocalExecutor(label=LABEL), keep=keeper.keep, tell=display)
    samples = from_store(keeper.store, race.ways)
    measured = len(samples.records) - len(known.records)
    if plan.budget_seconds is not None:
        note = (
            f"{format_count(measured, 'sample')} measured now, within the time budget of "
            f"{format_seconds(plan.budget_seconds)}: the soonest ways first, and what can no longer win is stopped "
            "(--time-budget none measures all of them to the end)."
        )
        samples = replace(samples, notes=(*samples.notes, note))
    return replace(conclude(replace(plan, ways=race.ways), samples, race.untried()), lint=report)
