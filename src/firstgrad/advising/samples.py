"""The samples of an advice: those that are stored, and those that are measured because they are missing."""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from firstgrad.advising.advice import is_complete, question_of
from firstgrad.case import TELL_AT_ONCE, BackendName, Case, GradientBackend, Sampler, Scenario, Target, check_sampler
from firstgrad.errors import SpecError
from firstgrad.model import as_model
from firstgrad.pose.spec import Formulation
from firstgrad.record import Record, Verdict
from firstgrad.units import format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from firstgrad.advising.workload import Counted, Workload
    from firstgrad.model import Model
    from firstgrad.store import Keeper, Store
    from firstgrad.sweep.grid import Grid
    from firstgrad.sweep.plan import Durations, Job, Plan
    from firstgrad.sweep.rounds import Executor, SweepEvent

    type Display = Callable[[Grid, Plan, Durations], AbstractContextManager[Callable[[SweepEvent], None]]]

SCENARIOS = (Scenario.COLD, Scenario.WARM)
LABEL = "advise"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceSamples:
    """Records that an advice is made of, under equal conditions."""

    records: tuple[Record, ...]  # good and bad ones
    place: str  # where they are kept
    notes: tuple[str, ...] = ()  # what the reader has to know of them


def list_wanted(
    model: Model, backends: Sequence[BackendName], *, target: Target, time_limit_seconds: float
) -> tuple[Case, ...]:
    """List what may be chosen: of the pose model both formulations, the given one first."""
    models = [model]
    if (pose := model.pose) is not None:
        others = (formulation for formulation in Formulation if formulation is not pose.formulation)
        models += [as_model(replace(pose, formulation=formulation)) for formulation in others]
    return tuple(
        Case(model=one, backend=backend, target=target, scenario=scenario, time_limit_seconds=time_limit_seconds)
        for one in models
        for backend in backends
        for scenario in SCENARIOS
    )


def list_wanted_draws(
    model: Model,
    backends: Sequence[BackendName],
    samplers: Sequence[Sampler],
    *,
    workload: Workload,
    timed: int,
    time_limit_seconds: float,
) -> tuple[Case, ...]:
    """List the samplers that may be chosen, each with what it compiles to; `timed` draws are made after the first."""
    choices: list[tuple[Sampler, BackendName, GradientBackend | None]] = []
    for sampler, backend in itertools.product(samplers, backends):
        try:
            check_sampler(sampler, backend)
        except SpecError:
            continue
        has_own = sampler is Sampler.NUTPIE and backend is BackendName.JAX
        choices += [(sampler, backend, own) for own in (None, GradientBackend.JAX)[: 1 + has_own]]
    return tuple(
        Case(
            model=model,
            backend=backend,
            target=Target.FIRST_DRAW,
            scenario=scenario,
            sampler=sampler,
            gradient_backend=own,
            chains=workload.cores,
            timed_draws=0 if sampler in TELL_AT_ONCE else timed,
            time_limit_seconds=time_limit_seconds,
        )
        for sampler, backend, own in choices
        for scenario in SCENARIOS
    )


def _questions(wanted: Iterable[Case]) -> set[str]:
    """List what may answer: a sample of ``auto`` does, where it says that the wanted sampler was taken."""
    autos = (replace(case, sampler=Sampler.AUTO) for case in wanted if case.is_draw)
    return {case.question for case in (*wanted, *autos)}


def from_export(records: Iterable[Record], wanted: Sequence[Case], place: str) -> AdviceSamples:
    """Take the samples of an export; of unlike conditions those that answer most of what was asked."""
    questions = _questions(wanted)
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.case.question in questions:
            groups.setdefault(replace(record.environment, device="").conditions, []).append(record)
    if not groups:
        return AdviceSamples(records=(), place=place)
    # Backends that know no devices stand beside JAX's on each of its own.
    alike = [
        [record for record in group if not _knows_devices(record) or record.environment.device == device]
        for group in groups.values()
        for device in dict.fromkeys(one.environment.device for one in group if _knows_devices(one)) or ("",)
    ]

    def answers(group: Sequence[Record]) -> tuple[int, str]:
        """Rank by how much it answers; the newest of those that tell equally much."""
        return len({question_of(record) for record in group}), max(record.started_at for record in group)

    best = max(alike, key=answers)
    environment = best[-1].environment
    packages = ", ".join(f"{name} {version}" for name, version in environment.versions if name != "firstgrad")
    where = f"{environment.host.cores} cores of {environment.host.processor}"
    notes = [f"Measured on {where}, Python {environment.python}, {packages}."]
    if unlike := sum(map(len, groups.values())) - len(best):
        notes.append(f"{unlike} samples of unlike conditions are left out.")
    return AdviceSamples(records=tuple(best), place=place, notes=tuple(notes))


def _knows_devices(record: Record) -> bool:
    return str(record.case.backend).startswith("jax")


def from_store(store: Store, wanted: Sequence[Case], notes: tuple[str, ...] = ()) -> AdviceSamples:
    """Take what a store has of this host, these conditions, and the model's files as they are now."""
    from firstgrad.sweep.plan import current_samples, samples_here

    questions = _questions(wanted)
    here = samples_here(sample for sample in store.cells() if sample["question"] in questions)
    ids = [sample["record_id"] for sample in current_samples(here, wanted[0].model.reference)]
    if older := len(here) - len(ids):
        notes = (*notes, f"{format_count(older, 'sample')} older than the model's file as it is now are left out.")
    records = tuple(store.records(record_ids=ids)) if ids else ()
    return AdviceSamples(records=records, place=str(store.address), notes=notes)


def measure_missing(
    keeper: Keeper,
    wanted: Sequence[Case],
    *,
    counted: Counted,
    samples: int,
    budget_seconds: float | None,
    show: Display,
) -> tuple[str, ...]:
    """Measure what a store hasn't of this host, these conditions, and the model's files as they are now.

    So many samples of each, with `show` to open the display of the plan. Returns what there was no time for.
    """
    from firstgrad.sources import check_reference
    from firstgrad.sweep.grid import Grid
    from firstgrad.sweep.local import LocalExecutor
    from firstgrad.sweep.plan import Durations, count_done, current_samples, plan_sweep, samples_here
    from firstgrad.sweep.rounds import Notice, run_sweep

    stored = keeper.store.cells()
    # Samples without steady-state calls, or with nothing checked, answer nothing here: they are measured anew.
    done = count_done(
        sample
        for sample in current_samples(samples_here(stored), wanted[0].model.reference)
        if sample["reason"] or is_complete("", Verdict(sample["verdict"]), *_told(sample, counted))
    )
    plan = plan_sweep(wanted, samples=samples, done=done)
    if not plan.jobs:
        return ()
    check_reference(wanted[0].model.reference)
    durations = Durations(stored)
    executor = Budgeted(LocalExecutor(label=LABEL), seconds=budget_seconds, expect=durations.of)
    with show(Grid(cases=tuple(wanted)), plan, durations) as display:
        keeper.tell = lambda line: display(Notice(message=line))
        run_sweep(plan, executor, keep=keeper.keep, tell=display)
    return executor.notes()


def _told(sample: Mapping[str, Any], counted: Counted) -> tuple[float | None, float | None]:
    """Read what a sample tells of the first and of the next; nothing is missing where nothing more can be known."""
    first, after = (sample[metric] for metric in counted.metrics)
    return first, first if sample["sampler"] in TELL_AT_ONCE else after


@dataclass(slots=True)
class Budgeted:
    """An executor that begins no sample which is not expected to end in time.

    `expect` tells seconds of a case, none where nothing is known: then it is begun while there is time.
    """

    inner: Executor
    _: KW_ONLY
    seconds: float | None
    expect: Callable[[Case], float | None]
    clock: Callable[[], float] = time.monotonic
    left_out: list[Case] = field(default_factory=list, init=False)

    def run(self, jobs: Iterator[Job], tell: Callable[[SweepEvent], None]) -> Iterator[tuple[Job, Record]]:
        """Measure jobs; see `firstgrad.sweep.rounds.Executor`."""
        began = self.clock()

        def within() -> Iterator[Job]:
            for job in jobs:
                left = math.inf if self.seconds is None else self.seconds - (self.clock() - began)
                if left > 0 and (self.expect(job.case) or 0.0) <= left:
                    yield job
                else:
                    self.left_out.append(job.case)

        yield from self.inner.run(within(), tell)

    def notes(self) -> tuple[str, ...]:
        """Say what there was no time for; nothing where there was."""
        if not self.left_out:
            return ()
        counts = Counter(f"{case.backend} {case.scenario}" for case in self.left_out)
        listed = ", ".join(f"{number} {name}" for name, number in counts.items())
        return (f"The time budget of {self.seconds:g} s left out {len(self.left_out)} samples: {listed}.",)
