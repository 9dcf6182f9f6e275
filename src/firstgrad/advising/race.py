"""The race: soonest ways first, one sample of each before a second of any, and what can no longer win is stopped.

A way is a case: a choice in one state of the caches. What a running one costs is bounded from below: the seconds of its
window so far, and nothing for the rest, unless another sample told what its calls or draws cost. Where even that is
clearly more than the leader takes for the planned work, and where the budget is over, its worker is ended. The
sample's record says so (``timeout``, censored at that moment), so that the next race knows it, too. Only the first
sample of a way is ended so: of later ones the lucky would be left.
"""

from __future__ import annotations

import math
import re
import statistics
import time
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from firstgrad.advising.advice import (
    FAR,
    OfferedChoice,
    Trouble,
    censored_seconds,
    costs_of,
    find_trouble,
    question_of,
)
from firstgrad.case import TELL_AT_ONCE, BackendName, GradientBackend, Sampler, Scenario
from firstgrad.columns import WHILE_FILLING
from firstgrad.doubts import is_to_be_repeated, why_unusable
from firstgrad.measuring.events import Finished, PhaseBegan, Started
from firstgrad.measuring.session import SampleStopped
from firstgrad.phase import FIRST_DRAW_PHASES, FIRST_GRADIENT_PHASES, Phase
from firstgrad.record import Status
from firstgrad.sweep.plan import Job
from firstgrad.sweep.rounds import SampleEnded, SampleProgress
from firstgrad.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from firstgrad.advising.workload import Workload
    from firstgrad.case import Case
    from firstgrad.measuring.events import Event
    from firstgrad.record import Record
    from firstgrad.sweep.rounds import Executor, SweepEvent

_PRIOR_SECONDS = {
    BackendName.FAKE: 0.1,
    BackendName.JAX_QUICK: 2.5,
    BackendName.JAX_DIRECT: 3.0,
    BackendName.JAX_FAST: 3.8,
    BackendName.JAX: 4.0,
    BackendName.NUMBA: 45.0,
    BackendName.C: 60.0,
    BackendName.INTERPRETER: 300.0,  # by its calls
}
"""Cold, of a small pose model (``docs/findings.md``): their order counts, not their size."""
_PRIOR_SLOWER, _PRIOR_AT_ONCE, _PRIOR_OWN_GRADIENT = 1.3, 20.0, 0.9
_OWN_GRADIENT = (BackendName.JAX_DIRECT, BackendName.JAX_QUICK)
_UNKNOWN_OP = ("No JAX conversion for the given", "has no JAX for")
"""What is said of an operation that PyTensor doesn't know in JAX: constants for data don't change that."""
_UNKNOWN_SHAPE = re.compile("concrete|tracer|dynamic|static|shape", re.IGNORECASE)
"""What is said where JAX had to know a value: constants for data may do."""
_MORE_TRIES = 2  # of samples that stood still
_AT_LEAST_SECONDS = 2.0
"""Nobody is stopped for being less behind: that may be scatter, as may be anything below `FAR` times."""
_START_SECONDS = 1.0
"""At most so long a worker takes before its clock begins."""


def prior_seconds(choice: OfferedChoice) -> float:
    """Expect so many seconds of a choice of which nothing is known, with empty caches: JAX before Numba before C."""
    seconds = _PRIOR_SECONDS[choice.backend]
    if choice.sampler in TELL_AT_ONCE:
        return seconds * _PRIOR_AT_ONCE  # what their draws cost isn't told, so they can't win
    if choice.sampler == (Sampler.NUTPIE if choice.backend is BackendName.NUMBA else Sampler.PYMC):
        return seconds * _PRIOR_SLOWER  # nutpie wraps what Numba compiles once more
    return seconds * _PRIOR_OWN_GRADIENT if choice.gradient_backend else seconds


class Race:
    """Which way is tried next, when one is stopped, and why another one is not tried.

    Parameters
    ----------
    ways : sequence of Case
        What may be chosen.
    workload : Workload
        What is planned.
    known : iterable of Record
        Samples of these ways, under the same conditions, that are there already.
    samples : int
        Of each way; with a budget a second one only of those that are near the leader.
    budget_seconds : float, optional
        For all of it. Without one nothing is stopped: every way is measured to its end.
    expect : callable
        Seconds that a whole sample of a case takes, from what the store knows; none where it knows nothing.
    clock : callable
        In seconds.
    began : float, optional
        When the budget began; now where left out.
    """

    def __init__(
        self,
        ways: Sequence[Case],
        workload: Workload,
        *,
        known: Iterable[Record] = (),
        samples: int = 3,
        budget_seconds: float | None = None,
        expect: Callable[[Case], float | None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        began: float | None = None,
    ) -> None:
        self._ways = {case.question: case for case in ways}
        self._workload, self._samples, self._budget = workload, samples, budget_seconds
        self._expect, self._clock, self._began = expect, clock, clock() if began is None else began
        self._records: dict[str, list[Record]] = defaultdict(list)
        self._tried: Counter[str] = Counter()
        self._out: dict[str, str] = {}  # ways that give no numbers, and why
        self._stopped: set[str] = set()
        self._seconds: dict[str, float] = {}  # what the last sample took in all
        self._filled: set[str] = set()
        self._refused: set[str] = set()  # those that may be had with constants for data
        self._sample_began = self._began
        self._starts, self._window_began, self._first_seconds = 0, math.inf, 0.0
        self._paced_since = self._began
        self._rival, self._call_seconds = ("", math.inf), 0.0
        for record in known:
            self._records[question_of(record)].append(record)
        judged: set[str] = set()
        while new := self._ways.keys() - judged:  # what is refused brings another way
            judged |= new
            for question in new:
                for record in self._records[question]:
                    self._judge(question, record)

    # --- which one is next ----------------------------------------------------------------------------------------

    @property
    def ways(self) -> tuple[Case, ...]:
        """All that were looked at: the given ones, and in a refused one's place that with constants for data."""
        return tuple(self._ways.values())

    def left_seconds(self) -> float:
        """Return what is left of the budget."""
        return math.inf if self._budget is None else self._budget - (self._clock() - self._began)

    def jobs(self) -> Iterator[Job]:
        """Yield what is to be measured next, until the budget is over or nothing more would tell anything."""
        while open_ways := tuple(self.open_ways()):
            case = min(open_ways, key=self._order)
            self._tried[case.question] += 1
            self._sample_began = self._clock()
            self._starts, self._window_began, self._first_seconds = 0, math.inf, 0.0
            self._rival, self._call_seconds = self._leader(case), self._calls(case)
            number = len(self._answers(case.question)) + 1
            yield Job(case=case, number=number, needed=self._needed())

    def open_ways(self) -> Iterator[Case]:
        """Yield the ways that may be tried now."""
        return (case for case in self._ways.values() if self.left_seconds() > 0 and not self.why_not(case))

    def why_not(self, case: Case) -> str:
        """Say why a way gets no (further) sample now; '' where it may be tried."""
        question = case.question
        settled = self._out.get(question) or ("it was stopped" if question in self._stopped else "")
        if settled:
            return settled
        if len(self._answers(question)) >= self._samples or self._tried[question] >= self._samples + _MORE_TRIES:
            return "as many samples as were asked for"
        no_cache = self._why_no_cache(case) if case.scenario is Scenario.WARM else ""
        return no_cache or ("" if self._budget is None else self._why_not_in_time(case))

    def _why_not_in_time(self, case: Case) -> str:
        question, done, left = case.question, len(self._answers(case.question)), self.left_seconds()
        leader, least = self._leader(case)
        if left <= 0:
            return "the time budget was over"
        if not done and (floor := self._floor(case)) > least:
            whole = format_seconds(least)
            return f"it takes {format_seconds(floor)} or more, and {leader} {whole} for all that is planned"
        if done and self._least(question) > FAR * least:
            return "it is far behind"
        seconds = self._expected(case) or 0.0
        if seconds > left and (done or any(record.status is Status.TIMEOUT for record in self._records[question])):
            return f"a sample of it takes some {format_seconds(seconds)}, and {format_seconds(left)} were left"
        return ""

    def untried(self) -> dict[str, tuple[Trouble, str]]:
        """Say why each way that has no samples at all was not tried, by its question."""
        reasons = {}
        for question, case in self._ways.items():
            if not self._records[question]:
                is_hopeless = {question, replace(case, scenario=Scenario.COLD).question} & self._out.keys()
                reason = self.why_not(case) or "the time budget was over"
                reasons[question] = Trouble.NO_NUMBERS if is_hopeless else Trouble.NOT_MEASURED, reason
        return reasons

    def _order(self, case: Case) -> tuple[int, bool, float]:
        seconds, scale = self._expected(case), self._scale()
        if self._refused and _is_jax(case) and not case.model.is_frozen:
            seconds = scale * _PRIOR_SECONDS[BackendName.NUMBA]  # likely to be refused as well
        if seconds is None:
            seconds = scale * prior_seconds(OfferedChoice.of(case))
        return len(self._answers(case.question)), case.scenario is Scenario.WARM, seconds

    def _expected(self, case: Case) -> float | None:
        """Expect so many seconds of a whole sample; none where nothing is known of the way, nor with an empty cache."""
        known = self._seconds.get(case.question, self._expect(case))
        if known is None and case.scenario is Scenario.WARM:
            return self._expected(replace(case, scenario=Scenario.COLD))
        return known

    def _scale(self) -> float:
        """How many times as long as expected beforehand this model takes, as far as is known."""
        known = {case: seconds for case in self._ways.values() if (seconds := self._expected(case))}
        ratios = [seconds / prior_seconds(OfferedChoice.of(case)) for case, seconds in known.items()]
        return statistics.median(ratios) if ratios else 1.0

    def _why_no_cache(self, case: Case) -> str:
        """Say why no cache can be filled for a warm sample, or not yet."""
        cold = replace(case, scenario=Scenario.COLD)
        if cold.question not in self._ways or self._answers(cold.question) or self._answers(case.question):
            return ""
        if cold.question in self._stopped:
            return "filling its cache was stopped"
        return self.why_not(cold)

    def _needed(self) -> frozenset[str]:
        """List the filled caches that samples still to come begin with."""
        warm = (case for case in self._ways.values() if case.scenario is Scenario.WARM)
        return frozenset(
            case.question
            for case in warm
            if case.question not in self._out.keys() | self._stopped
            and len(self._complete(case.question)) < self._samples
        )

    # --- what is known --------------------------------------------------------------------------------------------

    def _complete(self, question: str) -> list[Record]:
        return [record for record in self._records[question] if costs_of(record, self._workload)]

    def _answers(self, question: str) -> list[Record]:
        """List the samples that tell all that can be known: of some samplers that is the first draw alone."""
        at_once = self._ways[question].sampler in TELL_AT_ONCE
        drew = (record for record in self._records[question] if at_once and not why_unusable(record))
        return self._complete(question) or list(drew)

    def _total(self, case: Case, first_seconds: float, call_seconds: float) -> float:
        return self._workload.compiles(case.backend) * first_seconds + self._workload.in_a_row * call_seconds

    def _totals(self, question: str) -> list[float]:
        case = self._ways[question]
        known = (costs_of(record, self._workload) for record in self._complete(question))
        return [self._total(case, *costs) for costs in known if costs]

    def _least(self, question: str) -> float:
        return min(self._totals(question), default=math.inf)

    def _leader(self, way: Case) -> tuple[str, float]:
        """Find which other choice takes the least time for the planned work, and how long at most; infinite for none.

        With filled caches nobody takes longer than with empty ones. A choice is no rival of its own: where its filled
        caches seem to take longer than its empty ones, that is scatter, and a second sample tells.
        """
        choice = OfferedChoice.of(way)
        known = {
            question: max(totals)
            for question, case in self._ways.items()
            if case.scenario in (way.scenario, Scenario.COLD)
            and OfferedChoice.of(case) != choice
            and (totals := self._totals(question))
            and find_trouble(self._records[question], self._workload) is None
        }
        if not known:
            return "", math.inf
        question = min(known, key=known.__getitem__)
        return OfferedChoice.of(self._ways[question]).name, known[question]

    def _calls(self, case: Case) -> float:
        """Return the least that a call or draw of this choice is known to take, whatever the caches; else zero."""
        choice = OfferedChoice.of(case)
        alike = (question for question, other in self._ways.items() if OfferedChoice.of(other) == choice)
        known = [costs for one in alike for record in self._records[one] if (costs := costs_of(record, self._workload))]
        return min((call for _, call in known), default=0.0)

    def _floor(self, case: Case) -> float:
        """Bound from below what a way costs that was stopped before, or whose calls are known, less some scatter."""
        firsts = (censored_seconds(record) for record in self._records[case.question])
        first = max((max(seconds - _START_SECONDS, 0.0) for seconds, _ in firsts), default=0.0)
        total = self._total(case, first, self._calls(case))
        return total if first else total / FAR

    # --- while one runs -------------------------------------------------------------------------------------------

    def watch(self, event: SweepEvent) -> None:
        """Take an event of the running sample; raises SampleStopped where it is to be ended."""
        if not isinstance(event, SampleProgress) or self._budget is None or isinstance(event.event, Finished):
            return
        case, now = event.job.case, self._clock()
        self._follow(case, event.event, now)
        if self.left_seconds() <= 0:
            raise SampleStopped(f"the time budget of {format_seconds(self._budget)} was over")
        is_filling = case.scenario is Scenario.WARM and case.question not in self._filled and self._starts < 2  # noqa: PLR2004 - the second process is the sample
        spent = self._first_seconds or max(now - self._window_began, 0.0)
        if is_filling or not spent or self._complete(case.question):
            return  # a further sample is of one that is near: only those that are sooner would be left of it
        leader, least = self._rival
        # A short run compiles once more, which takes no longer than the first time; all else are draws, of which more
        # are planned.
        is_part = case.is_draw and self._first_seconds and case.timed_draws <= self._workload.in_a_row
        drawing = now - self._paced_since if is_part else 0.0
        if max(self._total(case, spent, self._call_seconds), drawing) > max(FAR * least, least + _AT_LEAST_SECONDS):
            whole = format_seconds(least)
            raise SampleStopped(f"it could no longer win: {leader} takes {whole} for all that is planned")

    def _follow(self, case: Case, event: Event, now: float) -> None:
        """Follow where in its window a sample is."""
        window = FIRST_DRAW_PHASES if case.is_draw else FIRST_GRADIENT_PHASES
        match event:
            case Started():
                self._starts += 1
                self._window_began, self._first_seconds = math.inf, 0.0
            case PhaseBegan(phase=Phase.EVALUATE):
                self._first_seconds, self._paced_since = max(now - self._window_began, 0.0), now
            case PhaseBegan(phase=phase) if phase in window:
                self._window_began = min(self._window_began, now)
            case _:
                pass

    # --- when one has ended ---------------------------------------------------------------------------------------

    def take(self, record: Record) -> None:
        """Take the record of the sample that ran, and draw conclusions for the other ways."""
        question = record.case.question
        self._seconds[question] = self._clock() - self._sample_began
        self._records[question_of(record)].append(record)
        if record.case.scenario is Scenario.COLD and record.failure is None:
            self._filled.add(replace(record.case, scenario=Scenario.WARM).question)
        if record.case.scenario is Scenario.WARM and record.failure is None:
            self._filled.add(question)
        if question in self._ways:
            self._judge(question, record)
        if record.status is Status.TIMEOUT:
            self._stopped.add(question)

    def _judge(self, question: str, record: Record) -> None:
        """Settle a way whose sample gives no numbers; a limit is another matter, and so is one that stood still."""
        case = self._ways[question]
        limits = (Status.TIMEOUT, Status.OUT_OF_MEMORY)
        if not why_unusable(record) or record.status in limits or is_to_be_repeated(record):
            return
        self._out[question] = why_unusable(record)
        message = record.failure.message if record.failure else ""
        if not _is_jax(case) or record.status is not Status.FAILED or message.startswith(WHILE_FILLING):
            return
        if any(words in message for words in _UNKNOWN_OP):
            self._rule_out(case, message)
        elif _UNKNOWN_SHAPE.search(message) and case.model.pose is None and not case.model.is_frozen:
            self._refused.add(question)
            for scenario in (Scenario.COLD, Scenario.WARM):
                frozen = replace(case, model=case.model.frozen(), scenario=scenario)
                self._ways.setdefault(frozen.question, frozen)

    def _rule_out(self, case: Case, message: str) -> None:
        """Rule out the ways that need the operation, too: all of JAX's, or those with PyTensor's gradient."""
        name = OfferedChoice.of(case).name
        for question, other in self._ways.items():
            needs_it = _is_jax(other) and (_differentiates_itself(case) or not _differentiates_itself(other))
            if needs_it and not self._complete(question):
                self._out.setdefault(question, f"JAX can't have it, as {name} showed: {message.partition('\n')[0]}")


def _is_jax(case: Case) -> bool:
    return str(case.backend).startswith("jax")


def _differentiates_itself(case: Case) -> bool:
    """Whether JAX differentiates the log-density, so that PyTensor's gradient isn't needed in JAX."""
    own = case.gradient_backend is GradientBackend.JAX or case.sampler in TELL_AT_ONCE
    return own or case.backend in _OWN_GRADIENT


def run_race(
    race: Race, executor: Executor, *, keep: Callable[[Record], None], tell: Callable[[SweepEvent], None]
) -> None:
    """Measure what a race asks for; `keep` puts a record where it lasts before the next sample begins."""

    def hear(event: SweepEvent) -> None:
        tell(event)
        race.watch(event)

    for job, record in executor.run(race.jobs(), hear):
        try:
            keep(record)
        finally:
            tell(SampleEnded(job=job, record=record))
        race.take(record)
