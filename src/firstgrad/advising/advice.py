"""Advice: which choice gives the least total time for the planned work, and whether the samples allow to say so."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from firstgrad.advising.breakeven import BreakEven, Option, break_even
from firstgrad.advising.workload import DRAWS, TUNE, Counted, Workload
from firstgrad.backends import facts_of
from firstgrad.case import BackendName, Sampler, Scenario, Target
from firstgrad.columns import WHILE_FILLING, metric_named
from firstgrad.comparing.ratio import PooledScatter, fit_ratio, pool_scatter
from firstgrad.doubts import why_unusable
from firstgrad.errors import SpecError
from firstgrad.estimates import Estimate, estimate_median
from firstgrad.grouping import grouped
from firstgrad.model import FREEZE
from firstgrad.phase import FIRST_DRAW_PHASES, FIRST_GRADIENT_PHASES, Phase
from firstgrad.record import Doubt, Status, Verdict
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from firstgrad.case import Case
    from firstgrad.record import Record

CONFIDENCE = 0.95
_GOOD_VERDICTS = (Verdict.AGREES, Verdict.NO_ORACLE, Verdict.DREW)
_OF_ONE_PROCESS = (BackendName.JAX_DIRECT, BackendName.JAX_QUICK)
_LEAST_EVALUATIONS, _MOST_EVALUATIONS = 1e4, 1e9
_BEYOND = 30.0  # how far beyond the last crossing and the planned number is looked
_MOST_SAMPLES = 200
FAR = 1.5
"""Of one that takes so many times as long, nobody takes a second sample to be sure."""


# --- what may be chosen -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class OfferedChoice:
    """A backend and a way of writing the model; or a sampler and what it compiles to.

    All of it can be had without a change of the model's code: `lines` are what is typed for it.
    """

    backend: BackendName
    formulation: str = ""  # of the pose model; '' for a user's own, which is written in one way, and for a sampler's
    sampler: str = ""  # '' where gradients are planned
    gradient_backend: str = ""  # '' for the sampler's own default
    is_frozen: bool = False  # with constants for the model's dims and data

    @classmethod
    def of(cls, case: Case) -> Self:
        """Return the choice that a case measures."""
        pose = case.model.pose
        return cls(
            backend=case.backend,
            formulation=str(pose.formulation) if pose and not case.is_draw else "",
            sampler=str(case.sampler) if case.is_draw else "",
            gradient_backend=str(case.gradient_backend or ""),
            is_frozen=case.model.is_frozen,
        )

    @property
    def name(self) -> str:
        """As tables and figures show it."""
        own = f"({self.gradient_backend}'s gradient)" if self.gradient_backend else ""
        frozen = "(frozen data)" if self.is_frozen else ""
        return " ".join(filter(None, (self.sampler, str(self.backend), self.formulation, own, frozen)))

    def lines(self, workload: Workload, target: Target) -> tuple[str, ...]:
        """Write what takes it, as lines of Python to paste; the last one samples, or makes the gradient."""
        model = f"{FREEZE}(model)" if self.is_frozen else "model"
        imports = [f"from pymc.model.transform.optimization import {FREEZE}"] * self.is_frozen
        last = self._sample(workload, model) if self.sampler else self._compile(target, model)
        imports += [f"import {name}" for name in ("firstgrad", "pytensor") if f"{name}." in last]
        written = [f"# the model with --formulation {self.formulation}"] * bool(self.formulation)
        return (*written, *imports, last)

    def _sample(self, workload: Workload, model: str) -> str:
        arguments = [f"draws={workload.draws}"] * (workload.draws != DRAWS)
        arguments += [f"tune={workload.tune}"] * (workload.tune != TUNE)
        arguments += [f"chains={workload.chains}, cores={workload.cores}"]
        if self.sampler == Sampler.FIRSTGRAD:
            return f"firstgrad.sample({', '.join((model, *arguments))})"
        arguments += [f'nuts_sampler="{self.sampler}"']
        if self.backend is BackendName.JAX_FAST:
            arguments += ['compile_kwargs={"mode": firstgrad.fast_mode()}']
        elif self.sampler in (Sampler.PYMC, Sampler.NUTPIE):
            arguments += [f'backend="{self.backend}"']
        if self.gradient_backend:
            arguments += [f'compile_kwargs={{"gradient_backend": "{self.gradient_backend}"}}']
        arguments += [f"model={model}"] * self.is_frozen
        return f"pm.sample({', '.join(arguments)})"

    def _compile(self, target: Target, model: str) -> str:
        if self.backend in _OF_ONE_PROCESS:
            effort = ', effort="least"' if self.backend is BackendName.JAX_QUICK else ""
            return f"gradient = firstgrad.fast_gradient({model}{effort})"
        names = facts_of(self.backend).mode
        mode = f"pytensor.compile.mode.Mode({', '.join(f'"{name}"' for name in names)})"
        if len(names) < 2:  # noqa: PLR2004 - a linker and its rewrites
            mode = "firstgrad.fast_mode()" if self.backend is BackendName.JAX_FAST else f'"{self.backend.upper()}"'
        if target is Target.LOGP_DLOGP:
            return f"function = {model}.logp_dlogp_function(ravel_inputs=True, mode={mode})"
        return f"gradient = {model}.compile_dlogp(mode={mode})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A choice in one scenario that gives right gradients, and what it costs."""

    choice: OfferedChoice
    scenario: Scenario  # state of the caches
    option: Option  # its first gradient and its evaluation, for break-even; the former as often as it is compiled
    import_seconds: Estimate | None  # of the phase `import`, which is in no total
    firsts: tuple[float, ...]  # seconds to the first gradient, one a sample, as often as it is compiled
    totals: tuple[float, ...]  # seconds of the planned work, one a sample
    n_busy: int  # how many of the samples have the doubt `high_load`
    steps: float | None = None  # leapfrog steps a draw, as counted

    @property
    def median_total(self) -> float:
        """Median seconds of the planned work, by which offers are ordered."""
        return statistics.median(self.totals)

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
    STOPPED = "stopped"
    NOT_MEASURED = "not_measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceLeftOut:
    """A choice that cannot be offered, and why."""

    choice: OfferedChoice
    scenario: Scenario
    trouble: Trouble
    reason: str
    first_seconds: float | None = None  # to its first gradient or draw, where that is all that is known

    @property
    def is_loud(self) -> bool:
        """Whether its gradients are wrong, not just unknown."""
        return self.trouble in (Trouble.WRONG, Trouble.NOT_FINITE)


type Offers = tuple[Sequence[Offer], Sequence[ChoiceLeftOut]]


def find_offers(
    records: Iterable[Record],
    wanted: Iterable[Case],
    workload: Workload,
    untried: Mapping[str, tuple[Trouble, str]] | None = None,
) -> Offers:
    """Sort samples into offers, in the order of the wanted cases.

    One sample with a wrong or infinite gradient is enough to leave a choice out. Records are of equal conditions, and
    those of other questions than the wanted ones are passed over. `untried` says by question why there
    are no samples.
    """
    samples = defaultdict(list, grouped((question_of(record), record) for record in records))
    offers, left_out = list[Offer](), list[ChoiceLeftOut]()
    for question, case in {case.question: case for case in wanted}.items():
        choice, scenario = OfferedChoice.of(case), case.scenario
        trouble = find_trouble(samples[question], workload)
        if trouble is not None and trouble[0] is Trouble.NOT_MEASURED and untried:
            trouble = untried.get(question, trouble)
        if trouble is None and workload.cores > 1 and choice.backend in _OF_ONE_PROCESS and not choice.sampler:
            trouble = Trouble.NO_NUMBERS, "it can't be sent to other processes: only with --cores 1"
        if trouble is None:
            offers.append(_offer(choice, scenario, samples[question], workload))
        else:
            firsts = [seconds for record in samples[question] if (seconds := _first_alone(record, workload))]
            left_out.append(
                ChoiceLeftOut(
                    choice=choice,
                    scenario=scenario,
                    trouble=trouble[0],
                    reason=trouble[1],
                    first_seconds=statistics.median(firsts) if firsts else None,
                )
            )
    return offers, left_out


def question_of(record: Record) -> str:
    """Return what a sample answers: where `auto` was asked for, what was asked of the sampler that was taken."""
    case = record.case
    if record.draw is not None and case.sampler is Sampler.AUTO:
        case = replace(case, sampler=record.draw.sampler)
    return case.question


def is_complete(reason: str, verdict: str, first_seconds: float | None, call_seconds: float | None) -> bool:
    """Whether a sample's check holds and it tells what the first gradient or draw costs, and what one after it."""
    return not reason and verdict in _GOOD_VERDICTS and (first_seconds or 0.0) > 0 and (call_seconds or 0.0) > 0


def find_trouble(records: Sequence[Record], workload: Workload) -> tuple[Trouble, str] | None:
    """Say why samples of one question are no offer; none where they are."""
    for record in records:
        if record.status is Status.MISMATCH or record.check.verdict is Verdict.DISAGREES:
            return Trouble.WRONG, why_unusable(record) or "the oracle disagrees"
    doubts = {doubt for record in records for doubt in record.doubts}
    if Doubt.NOT_FINITE in doubts:
        of = "draws" if workload.counted is not Counted.EVALUATIONS else "gradient or log-density"
        return Trouble.NOT_FINITE, f"{of} have NaN or infinite values"
    if Doubt.GRADIENT_SUSPECT in doubts:
        return Trouble.WRONG, "the gradient differs from finite differences of the log-density"
    return None if any(costs_of(record, workload) for record in records) else _why_no_costs(records, workload)


def _why_no_costs(records: Sequence[Record], workload: Workload) -> tuple[Trouble, str]:
    if not records:
        return Trouble.NOT_MEASURED, "no samples"
    last = records[-1]
    if last.status is Status.TIMEOUT and last.failure is not None:
        return Trouble.STOPPED, last.failure.message
    reason = next(filter(None, map(why_unusable, records)), "")
    firsts = [first for record in records if (first := _first_alone(record, workload))]
    if not reason and firsts and workload.counted is Counted.DRAWS:
        after = format_seconds(statistics.median(firsts))
        reason = f"its first draw comes after {after}, but what the next ones cost isn't known"
    return Trouble.NO_NUMBERS, reason or "no steady-state calls were timed, or nothing was checked"


def censored_seconds(record: Record) -> tuple[float, bool]:
    """Return how much of its window a sample that was stopped had behind it, and whether that was all of it.

    The window is that of the first gradient or draw; zero where it was not stopped, or not within its window.
    """
    failure, limit = record.failure, record.case.time_limit_seconds
    if record.status is not Status.TIMEOUT or failure is None or limit is None:
        return 0.0, False
    if failure.message.startswith(WHILE_FILLING):  # that was another process
        return 0.0, False
    window = FIRST_DRAW_PHASES if record.case.is_draw else FIRST_GRADIENT_PHASES
    if failure.phase is Phase.EVALUATE:
        return sum(phase.wall_seconds for phase in record.phases if phase.phase in window), True
    before = [phase.began_seconds + phase.wall_seconds for phase in record.phases if phase.phase not in window]
    return (max(limit - max(before), 0.0) if before else 0.0), False


def _first_alone(record: Record, workload: Workload) -> float | None:
    """Return the seconds to the first gradient or draw of a sample, also of one that was stopped after it."""
    seconds, is_whole = censored_seconds(record)
    return seconds if is_whole else metric_named(workload.counted.metrics[0]).read(record)


def has_pace(record: Record) -> bool:
    """Whether a sample tells what draws cost after the first."""
    return record.draw is not None and record.draw.pace is not None


def costs_of(record: Record, workload: Workload) -> tuple[float, float] | None:
    """Return the seconds to the first gradient and of an evaluation, or of draws; none of a sample with less."""
    first, call = (metric_named(name).read(record) for name in workload.counted.metrics)
    is_first_alone = workload.counted is Counted.FIRST_DRAW
    if not is_complete(why_unusable(record), record.check.verdict, first, 1.0 if is_first_alone else call):
        return None
    if is_first_alone:
        return first, 0.0
    steps = _steps(record)
    if workload.leapfrog is not None and workload.counted is Counted.DRAWS and steps:
        call *= workload.leapfrog / steps
    return first, call


def _steps(record: Record) -> float | None:
    return record.draw.pace.steps_a_draw if record.draw is not None and record.draw.pace is not None else None


def _offer(choice: OfferedChoice, scenario: Scenario, records: Sequence[Record], workload: Workload) -> Offer:
    good = [(record, costs) for record in records if (costs := costs_of(record, workload))]
    firsts = [workload.compiles(choice.backend) * first for _, (first, _) in good]
    calls = [call for _, (_, call) in good]
    imports = [phase.wall_seconds for record, _ in good if (phase := record.phase(Phase.IMPORT))]
    steps = [number for record, _ in good if (number := _steps(record)) is not None]
    return Offer(
        choice=choice,
        scenario=scenario,
        option=Option(name=choice.name, first_gradient=estimate_median(firsts), evaluation=estimate_median(calls)),
        import_seconds=estimate_median(imports) if imports else None,
        firsts=tuple(firsts),
        totals=tuple(first + workload.in_a_row * call for first, call in zip(firsts, calls, strict=True)),
        n_busy=sum(Doubt.HIGH_LOAD in record.doubts for record, _ in good),
        steps=statistics.median(steps) if steps else None,
    )


# --- ratios of times ----------------------------------------------------------------------------------------------


def ratio_of_times(
    first: Sequence[float],
    second: Sequence[float],
    *,
    confidence: float = CONFIDENCE,
    scatter: PooledScatter | None = None,
) -> Estimate:
    """Estimate how many times as much the first group takes as the second.

    As `firstgrad.comparing.ratio.fit_ratio` has it, each group by its own scatter where none of all groups is given;
    with a single sample on a side the ends are 0 and infinity.

    Raises SpecError where a group is empty or a number isn't positive.
    """
    for group in (first, second):
        if not group or not all(seconds > 0 and math.isfinite(seconds) for seconds in group):
            raise SpecError("ratio", f"needs positive numbers on both sides, got {list(group)!r}")
    is_single = min(len(first), len(second)) == 1
    fit = fit_ratio(second, first, paired=False, scatter=None if is_single else scatter, pool_below=0)
    ratio = fit.estimate(confidence)
    return Estimate(ratio.value, 0.0, math.inf, confidence, ratio.samples) if is_single else ratio


def ratio_text(ratio: Estimate) -> str:
    """Write a ratio with its interval, such as ``0.40 [0.38, 0.43]``."""
    high = "?" if math.isinf(ratio.high) else f"{ratio.high:.2f}"
    return f"{ratio.value:.2f} [{ratio.low:.2f}, {high}]"


def more_samples(
    first: Sequence[float],
    second: Sequence[float],
    *,
    confidence: float = CONFIDENCE,
    scatter: PooledScatter | None = None,
) -> int | None:
    """Estimate how many more samples of each group might tell their ratio from 1.

    It takes the ratio and the scatter seen so far for the true ones, so it is a guess: half of the time more are
    needed. None where a group has no two samples, so that nothing is known of the scatter, or where even hundreds
    would not do: then the two cost the same for all that matters.
    """
    from scipy.special import stdtrit

    own, have = pool_scatter((first, second)), min(len(first), len(second))
    if have == 1 or own is None:
        return None
    difference = abs(fit_ratio(second, first, paired=False).log_ratio)
    variance = max(own.variance, scatter.variance if scatter else 0.0)
    for wanted in range(have + 1, _MOST_SAMPLES + 1):
        if float(stdtrit(2 * (wanted - 1), (1 + confidence) / 2)) * math.sqrt(2 * variance / wanted) < difference:
            return wanted - have
    return None


# --- the advice ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """An offer that is behind by the medians."""

    offer: Offer
    ratio: Estimate  # total time of the leader by that of this one
    more_samples: int | None  # how many more of each might tell, where it isn't beaten

    @property
    def is_beaten(self) -> bool:
        """Whether the interval lies below 1."""
        return self.ratio.high < 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioAdvice:
    """What to take with caches in one state."""

    scenario: Scenario
    offers: tuple[Offer, ...]  # least total first; never empty
    rivals: tuple[Rival, ...]  # all but the first
    breakeven: BreakEven  # over evaluations that wait for each other

    @property
    def leader(self) -> Offer:
        """The one with the least total time, by the medians."""
        return self.offers[0]

    @property
    def open_rivals(self) -> tuple[Rival, ...]:
        """Those that may be as good as the leader, for all that the samples tell."""
        return tuple(rival for rival in self.rivals if not rival.is_beaten)

    @property
    def near_rivals(self) -> tuple[Rival, ...]:
        """Those of them that aren't far behind by the one sample that a side has."""
        return tuple(one for one in self.open_rivals if one.ratio.samples > 1 or FAR * one.ratio.value > 1)

    @property
    def is_decided(self) -> bool:
        """Whether the leader surely takes the least time."""
        return not self.open_rivals


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to take for the planned work."""

    workload: Workload
    scenarios: tuple[ScenarioAdvice, ...]  # those of which something is known: cold, warm
    left_out: tuple[ChoiceLeftOut, ...]

    @property
    def alarms(self) -> tuple[ChoiceLeftOut, ...]:
        """Choices whose gradients are wrong, then those where they are not finite: to be said first."""
        loud = (choice for choice in self.left_out if choice.is_loud)
        return tuple(sorted(loud, key=lambda choice: list(Trouble).index(choice.trouble)))

    @property
    def leader(self) -> Offer | None:
        """The one that leads in the first of the scenarios; none where there is none."""
        return self.scenarios[0].leader if self.scenarios else None

    def of_scenario(self, scenario: Scenario) -> ScenarioAdvice | None:
        """Return what is said of a scenario."""
        return next((advice for advice in self.scenarios if advice.scenario is scenario), None)


def make_advice(offers: Offers, workload: Workload) -> Advice:
    """Say which offer takes the least time for the planned work.

    The leader has the least median total. It is decided where its total lies below each other's: an interval of the
    ratio each, with the scatter of all offers of the scenario, and 95% for all rivals together (Bonferroni).
    """
    offered, left_out = sorted(offers[0], key=lambda offer: offer.median_total), tuple(offers[1])
    by_scenario = {scenario: [one for one in offered if one.scenario is scenario] for scenario in Scenario}
    scenarios = tuple(_advise(scenario, those, workload) for scenario, those in by_scenario.items() if those)
    return Advice(workload=workload, scenarios=scenarios, left_out=left_out)


def _advise(scenario: Scenario, offers: Sequence[Offer], workload: Workload) -> ScenarioAdvice:
    leader, *others = offers
    confidence = 1 - (1 - CONFIDENCE) / max(len(others), 1)
    scatter = pool_scatter(offer.totals for offer in offers)
    rivals = []
    for other in others:
        ratio = ratio_of_times(leader.totals, other.totals, confidence=confidence, scatter=scatter)
        more = None
        if ratio.high >= 1:
            more = more_samples(leader.totals, other.totals, confidence=confidence, scatter=scatter)
        rivals.append(Rival(offer=other, ratio=ratio, more_samples=more))
    options = [offer.option for offer in sorted(offers, key=lambda offer: offer.choice)]
    most = max(_MOST_EVALUATIONS, _BEYOND * workload.in_a_row)
    last = max((crossing.evaluations.value for crossing in break_even(options, most).crossings), default=0.0)
    n_max = min(max(_BEYOND * max(last, workload.in_a_row), _LEAST_EVALUATIONS), most)
    return ScenarioAdvice(
        scenario=scenario, offers=tuple(offers), rivals=tuple(rivals), breakeven=break_even(options, n_max)
    )
