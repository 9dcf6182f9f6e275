"""Measures both sides of a comparison, in rounds."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.comparing.places import SidePlace, make_ready
from firstgrad.comparing.sides import read_history
from firstgrad.errors import SpecError, StoreError
from firstgrad.measuring.environment import check_devices
from firstgrad.record import Doubt
from firstgrad.sources import check_reference, read_source, split_reference
from firstgrad.units import format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from contextlib import AbstractContextManager

    from firstgrad.case import Case
    from firstgrad.comparing.comparison import Comparison
    from firstgrad.comparing.places import SideRequest
    from firstgrad.measuring.interpreter import Interpreter
    from firstgrad.record import Record
    from firstgrad.store import Keeper, StoreAddress
    from firstgrad.sweep.plan import Durations, Plan
    from firstgrad.sweep.rounds import Duel, DuelSummary, SidesExecutor, SweepEvent

    type Display = Callable[[Plan, Durations, Iterator[str]], AbstractContextManager[Callable[[SweepEvent], None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSides:
    """Two sides that were measured, or are."""

    base: str  # label of its records
    head: str
    across: frozenset[str]  # conditions that differ since the sides' environments do: they are what is compared
    records: list[Record] = field(default_factory=list)
    """Of both, oldest first; with those that were stored before under the same labels."""


def measure_sides(
    requests: tuple[SideRequest, SideRequest],
    cases: tuple[Case, Case],
    *,
    label: str,
    store: str | None,
    rounds: int,
    looks: Collection[int],
    time_budget: tuple[str, float] | None,
    order_seed: int,
    is_decided: Callable[[MeasuredSides], bool],
    show: Display,
    tell: Callable[[str], None],
) -> MeasuredSides:
    """Measure both sides, round by round; each record is in the store before the next sample begins.

    `cases` are what the `requests` for BASE and HEAD ask for. Samples under `label` are taken up again; '' begins anew.
    `is_decided` is asked after the rounds in `looks`. `show` opens the display of a plan, with what samples take and
    the lines to begin with; `tell` takes lines for a person: how it ended, or how to go on where it was interrupted.

    Raises SpecError where a side cannot be measured so, or `label` has samples of something else;
    PythonEnvironmentError where a side's environment can't be made or used.
    """
    from firstgrad.store import Keeper
    from firstgrad.sweep.local import LocalExecutor
    from firstgrad.sweep.rounds import Duel, DuelSide, Ending, SidesExecutor

    if store == "none":
        raise SpecError("--store", "what is measured is kept, so that it can be judged again: give a file or a URL")
    for request, case in zip(requests, cases, strict=True):
        place = Path(split_reference(case.model.reference)[0])
        if request.place is SidePlace.COMMIT and place.is_absolute():
            raise SpecError("MODEL", f"{place} is one file for all commits. Give its path as seen from this folder")
    name = label or datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    # A side against itself (is this machine quiet enough?) has two labels, too.
    suffixes = (".a", ".b") if requests[0].short_name == requests[1].short_name else ("", "")
    with ExitStack() as stack:
        keeper = stack.enter_context(Keeper(store))
        duel_sides, executors, interpreters = [], {}, []
        records: list[Record] = []
        for request, case, suffix in zip(requests, cases, suffixes, strict=True):
            side_label = f"{request.short_name}{suffix}@{name}"
            stored = [one for one in keeper.store.records(label=side_label) if one.case.question == case.question]
            done = sum(Doubt.SUSPENDED not in one.doubts for one in stored)
            interpreter = make_ready(request, case, stack=stack, tell=tell)
            _refuse_other_code(request, side_label, stored, interpreter)
            check_reference(case.model.reference, (interpreter.folder or Path.cwd()) if interpreter else None)
            check_devices([case], interpreter.python if interpreter else None)
            duel_sides.append(DuelSide(label=side_label, case=case, done=done))
            executors[side_label] = LocalExecutor(label=side_label, interpreter=interpreter)
            interpreters.append(interpreter)
            records += stored
        base, head = duel_sides
        budget = time_budget[1] if time_budget else None
        duel = Duel(base=base, head=head, rounds=rounds, looks=looks, budget_seconds=budget, seed=order_seed)
        executor = SidesExecutor(executors)
        sides = MeasuredSides(
            base=base.label,
            head=head.label,
            across=_differing(interpreters, cases),
            records=sorted(records, key=lambda record: record.started_at),
        )
        try:
            summary = _run(duel, executor, keeper, sides, is_decided, show)
        except KeyboardInterrupt:
            tell(f"interrupted. {_go_on(sides, keeper.make_sure(), name)}")
            raise
        except StoreError:
            tell(f"a sample can't be stored. {_go_on(sides, keeper.address, name)}")
            raise
    reasons = {
        Ending.ALL_ROUNDS: "all rounds were measured",
        Ending.DECIDED: "it is decided",
        Ending.OUT_OF_TIME: f"another round would end after {time_budget[0] if time_budget else ''}",
        Ending.FAILED: "a sample gave no numbers, and more of them would give none either",
    }
    tell(f"{format_count(summary.rounds, 'round')}: {reasons[summary.ending]}")
    return sides


def compare_measured(
    requests: tuple[SideRequest, SideRequest],
    cases: tuple[Case, Case],
    *,
    judge: Callable[..., Comparison],
    until_decided: bool,
    store: str | None,
    looks: Sequence[int],
    across: Collection[str] = (),
    **how: Any,
) -> Comparison:
    """Measure both sides in rounds, and compare them at each look and at the end.

    The cases of the sides may differ, since that may be what is compared; whatever differs between their environments
    is declared as compared, too. `judge` is `firstgrad.comparing.comparison.compare`, or that with its options;
    the others are those of `measure_sides`.
    """
    from firstgrad.store import Store, StoreAddress

    def compare_sides(sides: MeasuredSides) -> Comparison:
        with Store.open(StoreAddress.of(store)) as opened:
            history = read_history(opened, sides.records)
        return judge(
            tuple(sides.records),
            sides.base,
            sides.head,
            across=frozenset(across) | sides.across,
            history=history,
            looks=len(looks),
            key=lambda _: "",  # one question
        )

    return compare_sides(
        measure_sides(
            requests,
            cases,
            store=store,
            looks=looks if until_decided else (),
            is_decided=lambda sides: compare_sides(sides).is_decided,
            **how,
        )
    )


def _run(
    duel: Duel,
    executor: SidesExecutor,
    keeper: Keeper,
    sides: MeasuredSides,
    is_decided: Callable[[MeasuredSides], bool],
    show: Display,
) -> DuelSummary:
    from firstgrad.sweep.plan import Durations, Plan
    from firstgrad.sweep.rounds import Notice, run_duel

    questions = {duel.base.case.question, duel.head.case.question}
    samples = [sample for question in questions for sample in keeper.store.cells(question=question)]
    with show(Plan(jobs=duel.jobs()), Durations(samples), _opening(duel)) as display:
        keeper.tell = lambda line: display(Notice(message=line))

        def keep(record: Record) -> None:
            keeper.keep(record)
            sides.records.append(record)

        return run_duel(duel, executor, keep=keep, tell=display, is_decided=lambda: is_decided(sides))


def _opening(duel: Duel) -> Iterator[str]:
    until = ", until it is decided" if duel.looks else ""
    yield f"{format_count(duel.rounds, 'round')} of both sides{until}: {duel.base.label} and {duel.head.label}"
    there = duel.base.done + duel.head.done
    if there:
        yield f"{format_count(there, 'sample')} are there already"
    for side in (duel.base, duel.head):
        yield f"{side.label}: {side.case}"


def _differing(interpreters: Sequence[Interpreter | None], cases: Sequence[Case]) -> frozenset[str]:
    """List the conditions in which two sides' environments differ."""
    from firstgrad.measuring.environment import describe_environment, packages_here, with_sampler

    samplers = [case.sampler_package for case in cases]
    environments = [
        interpreter.describe(sampler=sampler)
        if interpreter
        else describe_environment(packages=with_sampler(packages_here(), sampler))
        for interpreter, sampler in zip(interpreters, samplers, strict=True)
    ]
    one, other = ({"python": known.python} | dict(known.packages) for known in environments)
    device = {"device"} if cases[0].device != cases[1].device else set()
    return frozenset(name for name in one | other if one.get(name) != other.get(name)) | device


def _refuse_other_code(
    request: SideRequest, label: str, stored: Sequence[Record], interpreter: Interpreter | None
) -> None:
    """Refuse to go on with samples of another commit, or of the model's files as they were once."""
    if request.place is SidePlace.COMMIT and interpreter is not None:
        others = {record.environment.git_commit for record in stored} - {interpreter.git_commit}
        if others:
            raise SpecError(
                "--label",
                f"{label} has samples of commit {min(others)[:10]}, and {request.where} is "
                f"{interpreter.git_commit[:10]} now. Give another label",
            )
    for record in stored:
        source = read_source(record.case.model.reference, interpreter.folder if interpreter else None)
        if not source.gave(record.environment.source_digest, record.started_at):
            raise SpecError(
                "--label",
                f"{label} has samples of {record.case.model.reference} as it was: its file, or one that it imports, "
                "has changed since. Give another label",
            )


def _go_on(sides: MeasuredSides, address: StoreAddress, name: str) -> str:
    across = "".join(f" --across {condition}" for condition in sorted(sides.across))
    judge = f"firstgrad compare {shlex.quote(sides.base)} {shlex.quote(sides.head)}{across}{address.option}"
    there = f"{format_count(len(sides.records), 'sample')} of both sides are in {address}"
    return f"{there}. Judge them: {judge}. Go on measuring: the same command with --label {shlex.quote(name)}"
