"""An answer within its budget: lint's findings, the race of the ways, what is known in the end, and what isn't.

The verb and `firstgrad.advise` both call `make_answer`; `conclude` makes the same of samples that are there already.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.advising.advice import Trouble, find_offers, has_pace, make_advice, question_of, ratio_of_times
from firstgrad.advising.race import Race, prior_seconds, run_race
from firstgrad.advising.samples import from_store, with_frozen
from firstgrad.advising.workload import Counted
from firstgrad.backends import facts_of
from firstgrad.case import BackendName, Scenario
from firstgrad.errors import SpecError
from firstgrad.estimates import Estimate
from firstgrad.units import format_count, format_seconds, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from firstgrad.advising.advice import Advice, ChoiceLeftOut, OfferedChoice
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


# --- caches that are lost -------------------------------------------------------------------------------------------

_FRESH_SECONDS = 3600.0
_LINES = {
    "jax": (
        "export JAX_COMPILATION_CACHE_DIR=$HOME/.cache/jax",
        "export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0  # else JAX keeps only what took it a second",
    ),
    "firstgrad": (
        "export FIRSTGRAD_CACHE_DIR=$HOME/.firstgrad-functions  # a folder that stays, and is closed to others",
    ),
    "pytensor": ("export PYTENSOR_FLAGS=base_compiledir=$HOME/.pytensor  # a folder that stays",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What tells whether a compile's cache is going to be there next time."""

    in_ci: bool  # whether this is a run of continuous integration
    in_container: bool
    cache_folder: str  # PyTensor's `base_compiledir`
    cache_doubt: str  # why that folder may not last; '' where nothing is against it
    has_jax_cache: bool  # whether JAX was given a folder

    def reasons(self, kind: str) -> tuple[str, ...]:
        """Say why caches of PyTensor (``pytensor``), of JAX, or of firstgrad itself may be lost between runs."""
        if kind == "jax":
            return () if self.has_jax_cache else ("JAX_COMPILATION_CACHE_DIR is not set, so JAX keeps nothing",)
        reasons = {
            "this is a CI run (CI is set)": self.in_ci,
            "this is a container": self.in_container,
            f"PyTensor's cache folder {self.cache_folder} {self.cache_doubt}": kind == "pytensor" and self.cache_doubt,
        }
        return tuple(reason for reason, holds in reasons.items() if holds)


def look_around(
    environment: Mapping[str, str] = os.environ, *, root: Path = Path("/"), now: float | None = None
) -> Surroundings:
    """Look at the environment variables and a few files; nothing is imported or run.

    Containers leave their marks below `root`: ``.dockerenv``, ``run/.containerenv``.
    """
    flags = environment.get("PYTENSOR_FLAGS", "")
    parts = (part.partition("=") for part in flags.split(","))
    given = next((value.strip() for key, _, value in parts if key.strip() == "base_compiledir"), "")
    folder = Path(given or Path(environment.get("HOME", "~")).expanduser() / ".pytensor")
    return Surroundings(
        in_ci=environment.get("CI", "").lower() not in ("", "0", "false"),
        in_container=any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv")),
        cache_folder=str(folder),
        cache_doubt=_doubt(folder, environment, time.time() if now is None else now),
        has_jax_cache=bool(environment.get("JAX_COMPILATION_CACHE_DIR")),
    )


def _doubt(folder: Path, environment: Mapping[str, str], now: float) -> str:
    temporary = Path(environment.get("TMPDIR", tempfile.gettempdir()))
    if folder.expanduser().is_relative_to(temporary):
        return f"is in {temporary}, which is emptied now and then"
    try:
        # Nothing in the folder is old either: its own time changes with every new entry.
        ages = [now - path.stat().st_mtime for path in (folder, *folder.iterdir())]
    except OSError:
        return "is not there yet"
    if len(ages) == 1:
        return "is empty"
    return "is younger than an hour" if max(ages) < _FRESH_SECONDS else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostCaches:
    """What the leading choice's processes compile again since nothing is kept, and how it is kept."""

    reasons: tuple[str, ...]  # why they may be lost
    choice: str  # whose
    cold_seconds: float | None  # its first gradient or draw with empty caches; none where that wasn't measured
    warm_over_cold: Estimate | None  # what filled ones leave of it, as measured
    lines: tuple[str, ...]  # for a shell


def find_lost_caches(advice: Advice, surroundings: Surroundings) -> LostCaches | None:
    """Say what it costs that the caches of the choice that leads with empty ones aren't kept; none where they are.

    Nor is anything said where filled caches save nothing for sure.
    """
    cold = advice.of_scenario(Scenario.COLD)
    leader = advice.leader
    if leader is None:
        return None
    backend = leader.choice.backend
    is_own = backend in (BackendName.JAX_DIRECT, BackendName.JAX_QUICK)
    kind = "firstgrad" if is_own else "jax" if str(backend).startswith("jax") else "pytensor"
    if not (reasons := surroundings.reasons(kind)):
        return None
    ratio = None
    if cold is not None and (warm := advice.of_scenario(Scenario.WARM)) is not None:
        for offer in warm.offers:
            if offer.choice == leader.choice:
                ratio = ratio_of_times(offer.firsts, leader.firsts)
    if ratio is not None and ratio.value >= 1:
        return None
    return LostCaches(
        reasons=reasons,
        choice=leader.choice.name,
        cold_seconds=leader.option.first_gradient.value if cold is not None else None,
        warm_over_cold=ratio,
        lines=_LINES[kind],
    )
