"""The samples of an advice: those that are stored, and those that are measured because they are missing."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.analysis.advice_offers import Choice, is_complete
from firstgrad.case import Case, Scenario
from firstgrad.model import as_model
from firstgrad.pose.spec import Formulation
from firstgrad.record import Record
from firstgrad.units import format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from firstgrad.case import BackendName
    from firstgrad.cli.advise_options import AdviseOptions
    from firstgrad.model import Model
    from firstgrad.row import Row
    from firstgrad.store import Store
    from firstgrad.sweep.plan import Job
    from firstgrad.sweep.rounds import Executor, SweepEvent

SCENARIOS = (Scenario.COLD, Scenario.WARM)
LABEL = "advise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A choice in a scenario, and the case that measures it."""

    choice: Choice
    case: Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Records that an advice is made of, under equal conditions.

    Attributes
    ----------
    records : tuple of Record
        Good and bad ones.
    place : str
        Where they are kept.
    notes : tuple of str
        What the reader has to know of them.
    """

    records: tuple[Record, ...]
    place: str
    notes: tuple[str, ...] = ()


def list_wanted(model: Model, backends: Sequence[BackendName], options: AdviseOptions) -> tuple[Wanted, ...]:
    """List what may be chosen: of the pose model both formulations, the given one first."""
    limit = min(options.time_limit, options.budget_seconds or options.time_limit)
    return tuple(
        Wanted(
            choice=Choice(backend=backend, formulation=_formulation(each)),
            case=Case(
                model=each, backend=backend, target=options.chosen_target, scenario=scenario, time_limit_seconds=limit
            ),
        )
        for each in _models(model)
        for backend in backends
        for scenario in SCENARIOS
    )


def from_export(records: Iterable[Record], wanted: Sequence[Wanted], place: str) -> Found:
    """Take the samples of an export; of unlike conditions those that answer most of what was asked."""
    questions = {each.case.question for each in wanted}
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.case.question in questions:
            groups.setdefault(record.environment.conditions, []).append(record)
    if not groups:
        return Found(records=(), place=place)
    # The newest of those that tell equally much.
    best = max(groups.values(), key=_answers)
    one = best[-1].environment
    packages = ", ".join(f"{name} {version}" for name, version in one.versions if name != "firstgrad")
    notes = [f"Measured on {one.host.cores} cores of {one.host.processor}, Python {one.python}, {packages}."]
    if len(groups) > 1:
        notes.append(f"{sum(map(len, groups.values())) - len(best)} samples of unlike conditions are left out.")
    return Found(records=tuple(best), place=place, notes=tuple(notes))


def from_store(store: Store, wanted: Sequence[Wanted], options: AdviseOptions) -> Found:
    """Take what a store has of this host and these conditions; measure what is missing, unless that isn't wanted."""
    from firstgrad.measure.environment import measured_here

    is_here = measured_here()
    notes: tuple[str, ...] = ()
    if not options.no_measure:
        notes = _measure_missing(store, wanted, options, is_here)
    questions = {each.case.question for each in wanted}
    rows = [
        row for row in store.rows() if row.question in questions and is_here(row.backend, row.device, row.conditions)
    ]
    since = changed_at(wanted[0].case.model)
    ids = [row.record_id for row in rows if row.started_at >= since]
    if older := len(rows) - len(ids):
        notes = (*notes, f"{format_count(older, 'sample')} older than the model's file as it is now are left out.")
    records = tuple(store.records(record_ids=ids)) if ids else ()
    return Found(records=records, place=store.place, notes=notes)


def changed_at(model: Model) -> str:
    """Tell when a user's file was changed last, as records write times; '' where that isn't known."""
    if model.pose is not None:
        return ""
    file = Path(model.reference.rpartition(":")[0])
    if file.suffix != ".py" or not file.is_file():
        return ""
    return datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec="milliseconds")


def _answers(records: Sequence[Record]) -> tuple[int, str]:
    return len({each.case.question for each in records}), max(each.started_at for each in records)


def _measure_missing(
    store: Store, wanted: Sequence[Wanted], options: AdviseOptions, is_here: Callable[[BackendName, str, str], bool]
) -> tuple[str, ...]:
    from firstgrad.cli.display import SweepState, describe_plan, show_sweep
    from firstgrad.store.patient import add_patiently
    from firstgrad.sweep.grid import Grid
    from firstgrad.sweep.local import LocalExecutor
    from firstgrad.sweep.plan import Durations, count_done, plan_sweep
    from firstgrad.sweep.rounds import Notice, run_sweep

    rows = list(store.rows())
    cases = [each.case for each in wanted]
    # Samples without steady-state calls, or with nothing checked, answer nothing here: they are measured anew.
    since = changed_at(wanted[0].case.model)
    fresh = [row for row in rows if row.started_at >= since and (row.reason or is_complete(row))]
    done = count_done(row for row in fresh if is_here(row.backend, row.device, row.conditions))
    plan = plan_sweep(cases, samples=options.samples, done=done)
    if not plan.jobs:
        return ()
    durations = Durations(rows)
    executor = Budgeted(LocalExecutor(label=LABEL), seconds=options.budget_seconds, expect=durations.of)
    opening = describe_plan(Grid(cases=tuple(cases)), plan)
    with show_sweep(SweepState(plan, durations), opening) as display:

        def keep(record: Record) -> None:
            add_patiently(store, record, on_wait=lambda error, _: display(Notice(message=str(error))))

        run_sweep(plan, executor, keep=keep, tell=display)
    return executor.notes()


class Budgeted:
    """An executor that begins no sample that is not expected to end in time.

    Parameters
    ----------
    inner : Executor
        Who measures.
    seconds : float, optional
        In all; none for no end.
    expect : callable
        Seconds of a case; none where nothing is known: then it is begun while there is time.
    clock : callable
        In seconds.
    """

    def __init__(
        self,
        inner: Executor,
        *,
        seconds: float | None,
        expect: Callable[[Case], float | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner, self._seconds, self._expect, self._clock = inner, seconds, expect, clock
        self.left_out: list[Case] = []

    def run(self, jobs: Iterator[Job], tell: Callable[[SweepEvent], None]) -> Iterator[tuple[Job, Record]]:
        """Measure jobs; see `firstgrad.sweep.rounds.Executor`."""
        began = self._clock()

        def within() -> Iterator[Job]:
            for job in jobs:
                left = math.inf if self._seconds is None else self._seconds - (self._clock() - began)
                if left > 0 and (self._expect(job.case) or 0.0) <= left:
                    yield job
                else:
                    self.left_out.append(job.case)

        yield from self._inner.run(within(), tell)

    def notes(self) -> tuple[str, ...]:
        """Say what there was no time for; nothing where there was."""
        if not self.left_out:
            return ()
        counts = Counter(f"{case.backend} {case.scenario}" for case in self.left_out)
        listed = ", ".join(f"{number} {name}" for name, number in counts.items())
        return (f"The time budget of {self._seconds:g} s left out {len(self.left_out)} samples: {listed}.",)


def _models(model: Model) -> tuple[Model, ...]:
    pose = model.pose
    if pose is None:
        return (model,)
    others = (formulation for formulation in Formulation if formulation is not pose.formulation)
    return model, *(as_model(replace(pose, formulation=formulation)) for formulation in others)


def _formulation(model: Model) -> str:
    return str(model.pose.formulation) if model.pose else ""


def rows_of_records(records: Iterable[Record]) -> list[Row]:
    """Make their rows."""
    from firstgrad.row import make_row

    return [make_row(each) for each in records]
