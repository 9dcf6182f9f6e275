"""Measures both sides of a comparison, in rounds."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from firstgrad.cli.compare_sides import Place, read_side
from firstgrad.cli.exit_codes import ExitCode
from firstgrad.errors import SpecError
from firstgrad.units import format_count, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from firstgrad.case import Case
    from firstgrad.cli.compare_options import DuelOptions
    from firstgrad.cli.compare_sides import SideRequest
    from firstgrad.cli.options import CaseOptions, ModelOptions
    from firstgrad.measure.interpreter import Interpreter
    from firstgrad.record import Record
    from firstgrad.store import Store
    from firstgrad.sweep.rounds import Duel, DuelSummary, SidesExecutor


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Two sides that were measured, or are.

    Attributes
    ----------
    base, head : str
        Labels of their records.
    across : frozenset of str
        Conditions that differ since the sides' environments do: they are what is compared.
    """

    base: str
    head: str
    across: frozenset[str]


type Judge = Callable[[Sequence[Record], Sides], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What measuring gave.

    Attributes
    ----------
    sides : Sides
        Under which labels.
    records : tuple of Record
        Of both, oldest first; with those that were stored before under the same labels.
    summary : DuelSummary
        How it ended.
    """

    sides: Sides
    records: tuple[Record, ...]
    summary: DuelSummary


def measure_sides(
    base: str,
    head: str,
    model: ModelOptions,
    case: CaseOptions,
    options: DuelOptions,
    *,
    store: str | None,
    rounds: int,
    looks: Collection[int],
    is_decided: Judge,
) -> Measured:
    """Measure both sides, round by round; each record is in the store before the next sample begins.

    Parameters
    ----------
    base, head : str
        As `firstgrad.cli.compare_sides.read_side` takes them.
    model, case
        Common to both sides, as far as a side says nothing else.
    options : DuelOptions
        How long, and in which order.
    store : str, optional
        File or URL.
    rounds : int
        At most so many.
    looks : collection of int
        After which rounds `is_decided` is asked.
    is_decided : callable
        Takes the records so far, and the sides.

    Raises
    ------
    SpecError
        Where a side or an option cannot be understood.
    PythonEnvironmentError
        Where a side's environment can't be made or used.
    """
    from firstgrad.cli.compare_places import make_ready
    from firstgrad.cli.console import make_console
    from firstgrad.store import DEFAULT_PATH, Store
    from firstgrad.sweep.local import LocalExecutor
    from firstgrad.sweep.rounds import Duel, DuelSide, SidesExecutor

    if store == "none":
        raise SpecError("--store", "what is measured is kept, so that it can be judged again: give a file or a URL")
    budget_seconds = _budget_seconds(options.time_budget)
    requests = read_side(base), read_side(head)
    cases = [request.to_case(model, case) for request in requests]
    for request, each in zip(requests, cases, strict=True):
        _refuse_one_file_for_all(request, each)
    name = case.label or datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    labels = _labels(name, *(request.short_name for request in requests))
    console = make_console(stderr=True)
    with ExitStack() as stack:
        opened = stack.enter_context(Store.open(store or DEFAULT_PATH))
        stored = [_stored(opened, label, each.question) for label, each in zip(labels, cases, strict=True)]
        interpreters = [
            make_ready(
                request,
                each.backend,
                stack=stack,
                tell=lambda line: console.print(f"firstgrad: {line}", soft_wrap=True),
            )
            for request, each in zip(requests, cases, strict=True)
        ]
        _refuse_other_commits(requests, labels, stored, interpreters)
        duel = Duel(
            base=DuelSide(label=labels[0], case=cases[0], done=len(stored[0])),
            head=DuelSide(label=labels[1], case=cases[1], done=len(stored[1])),
            rounds=rounds,
            looks=looks,
            budget_seconds=budget_seconds,
            seed=options.order_seed,
        )
        executor = SidesExecutor(
            {
                label: LocalExecutor(label=label, interpreter=interpreter)
                for label, interpreter in zip(labels, interpreters, strict=True)
            }
        )
        sides = Sides(base=labels[0], head=labels[1], across=_differing(*interpreters))
        records = sorted([*stored[0], *stored[1]], key=lambda record: record.started_at)
        try:
            summary = _run(duel, executor, opened, records, lambda: is_decided(tuple(records), sides))
        except KeyboardInterrupt:
            typer.echo(f"firstgrad: interrupted. {_go_on(sides, records, opened.place, name, store)}", err=True)
            raise typer.Exit(ExitCode.INTERRUPTED) from None
    return Measured(sides=sides, records=tuple(records), summary=summary)


def describe_ending(summary: DuelSummary, options: DuelOptions) -> str:
    """Say in one line how measuring ended, and why."""
    from firstgrad.sweep.rounds import Ending

    reasons = {
        Ending.ALL_ROUNDS: "all rounds were measured",
        Ending.DECIDED: "it is decided",
        Ending.OUT_OF_TIME: f"another round would end after {options.time_budget}",
        Ending.FAILED: "a sample gave no numbers, and more of them would give none either",
    }
    return f"{format_count(summary.rounds, 'round')}: {reasons[summary.ending]}"


def _run(
    duel: Duel, executor: SidesExecutor, store: Store, records: list[Record], is_decided: Callable[[], bool]
) -> DuelSummary:
    from firstgrad.cli.sweep_display import SweepState, show_state
    from firstgrad.store.patient import add_patiently
    from firstgrad.sweep.plan import Durations, Plan
    from firstgrad.sweep.rounds import Notice, run_duel

    rows = [row for each in {duel.base.case, duel.head.case} for row in store.rows(question=each.question)]
    state = SweepState(Plan(jobs=duel.jobs()), Durations(rows))
    with show_state(state, _opening(duel)) as display:

        def keep(record: Record) -> None:
            add_patiently(store, record, on_wait=lambda error, _: display(Notice(message=str(error))))
            records.append(record)

        return run_duel(duel, executor, keep=keep, tell=display, is_decided=is_decided)


def _opening(duel: Duel) -> Iterator[str]:
    until = ", until it is decided" if duel.looks else ""
    yield f"{format_count(duel.rounds, 'round')} of both sides{until}: {duel.base.label} and {duel.head.label}"
    there = duel.base.done + duel.head.done
    if there:
        yield f"{format_count(there, 'sample')} are there already"
    for each in (duel.base, duel.head):
        yield f"{each.label}: {each.case}"


def _labels(name: str, base: str, head: str) -> tuple[str, str]:
    """Name both sides' records; a side against itself (is this machine quiet enough?) has two labels, too."""
    if base == head:
        base, head = f"{base}.a", f"{head}.b"
    return f"{base}@{name}", f"{head}@{name}"


def _stored(store: Store, label: str, question: str) -> list[Record]:
    return [record for record in store.records(label=label) if record.case.question == question]


def _differing(base: Interpreter | None, head: Interpreter | None) -> frozenset[str]:
    """List the conditions in which two sides' environments differ."""
    from firstgrad.measure.environment import describe_environment
    from firstgrad.row import packages_of

    ours, theirs = (
        {"python": environment.python} | dict(packages_of(environment.versions))
        for environment in (describe_environment(interpreter=each) for each in (base, head))
    )
    return frozenset(name for name in ours | theirs if ours.get(name) != theirs.get(name))


def _budget_seconds(text: str | None) -> float | None:
    try:
        return None if text is None else parse_seconds(text)
    except SpecError as error:
        raise SpecError("--time-budget", error.problem) from None


def _refuse_one_file_for_all(request: SideRequest, case: Case) -> None:
    place = Path(str(getattr(case.model, "reference", "")).rpartition(":")[0])
    if request.place is Place.COMMIT and place.is_absolute():
        raise SpecError("MODEL", f"{place} is one file for all commits. Give its path as seen from this folder")


def _refuse_other_commits(
    requests: Sequence[SideRequest],
    labels: Sequence[str],
    stored: Sequence[Sequence[Record]],
    interpreters: Sequence[Interpreter | None],
) -> None:
    for request, label, there, interpreter in zip(requests, labels, stored, interpreters, strict=True):
        if request.place is not Place.COMMIT or interpreter is None:
            continue
        others = {each.environment.git_commit for each in there} - {interpreter.git_commit}
        if others:
            raise SpecError(
                "--label",
                f"{label} has samples of commit {min(others)[:10]}, and {request.where} is "
                f"{interpreter.git_commit[:10]} now. Give another label",
            )


def _go_on(sides: Sides, records: Sequence[Record], place: str, name: str, store: str | None) -> str:
    across = "".join(f" --across {each}" for each in sorted(sides.across))
    where = f" --store {shlex.quote(store)}" if store else ""
    judge = f"firstgrad compare {shlex.quote(sides.base)} {shlex.quote(sides.head)}{across}{where}"
    there = f"{format_count(len(records), 'sample')} of both sides are in {place}"
    return f"{there}. Judge them: {judge}. Go on measuring: the same command with --label {shlex.quote(name)}"
