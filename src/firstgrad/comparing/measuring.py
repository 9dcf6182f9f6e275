"""Measures both sides of a comparison, in rounds."""

from __future__ import annotations

import shlex
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.backends import facts_of
from firstgrad.case import Counting
from firstgrad.comparing.comparison import plain
from firstgrad.comparing.environments import find_untracked, seen_from_here
from firstgrad.comparing.places import SidePlace, make_ready
from firstgrad.comparing.sides import read_history
from firstgrad.errors import SpecError, StoreError
from firstgrad.measuring.environment import check_devices
from firstgrad.record import Doubt
from firstgrad.sources import check_reference, read_source, split_reference
from firstgrad.sweep.grid import OmittedModel
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
    questions: tuple[str, ...]  # of BASE's cases, one for each pair
    key: Callable[[Case], str]  # by which the cases of a pair are matched: BASE's question
    left_out: tuple[OmittedModel, ...] = ()  # what is not measured, and why
    copied: tuple[str, ...] = ()  # files that were put beside commits that don't have them
    records: list[Record] = field(default_factory=list)
    """Of both, oldest first; with those that were stored before under the same labels."""


def measure_sides(
    requests: tuple[SideRequest, SideRequest],
    pairs: Sequence[tuple[Case, Case]],
    *,
    label: str,
    store: str | None,
    rounds: int,
    looks: Collection[int],
    time_budget: tuple[str, float] | None,
    order_seed: int,
    find_decided: Callable[[MeasuredSides], Collection[str]],
    show: Display,
    tell: Callable[[str], None],
    left_out: Sequence[OmittedModel] = (),
    is_counted: bool = False,
    devices_from: str = "--device",
) -> MeasuredSides:
    """Measure both sides, round by round; each record is in the store before the next sample begins.

    `pairs` are the cases of BASE and HEAD that the `requests` ask for. Of several, one that can't be measured joins
    `left_out`, and stops no other. With `is_counted` one more sample a side counts calls, which costs its seconds.
    Samples under `label` are taken up again; '' begins anew. `find_decided` is asked after the rounds in `looks` for
    the keys of decided pairs. `devices_from` names what asks for devices. `show` opens the display of a plan, with what
    samples take and the lines to begin with; `tell` takes lines for a person. An interrupt, and an error of the store,
    say in a note how to go on.

    Raises SpecError where nothing can be measured so, or `label` has samples of something else;
    PythonEnvironmentError where a side's environment can't be made or used.
    """
    from firstgrad.store import Keeper
    from firstgrad.sweep.local import LocalExecutor
    from firstgrad.sweep.rounds import Duel, DuelSide, Pair, SidesExecutor

    if store == "none":
        raise SpecError("--store", "what is measured is kept, so that it can be judged again: give a file or a URL")
    copies: tuple[Path, ...] = ()
    if any(request.place is SidePlace.COMMIT for request in requests):
        pairs = [(_from_here(base), _from_here(head)) for base, head in pairs]
        copies = find_untracked({case.model.reference for pair in pairs for case in pair})
    _refuse_merged(requests, pairs)
    name = label or datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    # A side against itself (is this machine quiet enough?) has two labels, too.
    suffixes = (".a", ".b") if requests[0].short_name == requests[1].short_name else ("", "")
    labels = [f"{request.short_name}{suffix}@{name}" for request, suffix in zip(requests, suffixes, strict=True)]
    with ExitStack() as stack:
        keeper = stack.enter_context(Keeper(store))
        interpreters = [
            make_ready(request, cases, copies=copies, stack=stack, tell=tell)
            for request, cases in zip(requests, zip(*pairs, strict=True), strict=True)
        ]
        pairs, missing = _find_missing(pairs, interpreters)
        measured = [*pairs, *(_counted(pair) for pair in pairs if is_counted and facts_of(pair[0].backend).is_real)]
        records: list[Record] = []
        done: list[Counter[str]] = []
        for place, side in enumerate(labels):
            questions = {pair[place].question for pair in measured}
            stored = [one for one in keeper.store.records(label=side) if one.case.question in questions]
            interpreter = interpreters[place]
            _refuse_other_code(requests[place], side, stored, interpreter)
            asked = [pair[place] for pair in pairs]
            check_devices(asked, interpreter.python if interpreter else None, field=devices_from)
            done.append(Counter(one.case.question for one in stored if Doubt.SUSPENDED not in one.doubts))
            records += stored
        base, head = (
            [DuelSide(label=side, case=pair[place], done=done[place][pair[place].question]) for pair in measured]
            for place, side in enumerate(labels)
        )
        most = [None if base.counting is Counting.PLAIN else 1 for base, _ in measured]
        duel = Duel(
            pairs=tuple(
                Pair(base=one, head=other, most=rounds) for one, other, rounds in zip(base, head, most, strict=True)
            ),
            rounds=rounds,
            looks=looks,
            budget_seconds=time_budget[1] if time_budget else None,
            seed=order_seed,
        )
        executor = SidesExecutor(
            {
                side: LocalExecutor(label=side, interpreter=interpreter)
                for side, interpreter in zip(labels, interpreters, strict=True)
            }
        )
        keys = {plain(case).question: pair[0].question for pair in pairs for case in pair}
        sides = MeasuredSides(
            base=labels[0],
            head=labels[1],
            across=_differing(interpreters, pairs),
            questions=tuple(plain(base).question for base, _ in measured),
            key=lambda case: keys[plain(case).question],
            left_out=(*left_out, *missing),
            copied=tuple(map(seen_from_here, copies)),
            records=sorted(records, key=lambda record: record.started_at),
        )
        for line in note_left_out(sides):
            tell(line)
        try:
            summary = _run(duel, executor, keeper, sides, find_decided, show)
        except KeyboardInterrupt as error:
            error.add_note(f"interrupted. {_go_on(sides, keeper.make_sure(), name)}")
            raise
        except StoreError as error:
            error.add_note(f"a sample can't be stored. {_go_on(sides, keeper.address, name)}")
            raise
    tell(_say_ending(summary, len(pairs), time_budget[0] if time_budget else ""))
    return sides


def _counted(pair: tuple[Case, Case]) -> tuple[Case, Case]:
    base, head = (replace(case, counting=Counting.INSTRUMENTED) for case in pair)
    return base, head


def _say_ending(summary: DuelSummary, count: int, budget: str) -> str:
    """Say how many rounds there were, and why no more; of several models how many ended how."""
    from firstgrad.sweep.rounds import Ending

    reasons = {
        Ending.ALL_ROUNDS: "all rounds were measured",
        Ending.DECIDED: "it is decided",
        Ending.OUT_OF_TIME: f"another round would end after {budget}",
        Ending.FAILED: "a sample gave no numbers, and more of them would give none either",
    }
    pairs = summary.pairs[:count]
    ended = Counter((pair.ending, pair.rounds) for pair in pairs)
    if count == 1:
        (pair,) = pairs
        return f"{format_count(pair.rounds, 'round')}: {reasons[pair.ending or Ending.ALL_ROUNDS]}"
    parts = (
        f"{often} after {format_count(rounds, 'round')}: {reasons[ending or Ending.ALL_ROUNDS]}"
        for (ending, rounds), often in ended.most_common()
    )
    return f"{format_count(count, 'case')} of both sides: {'; '.join(parts)}"


def note_left_out(sides: MeasuredSides) -> Iterator[str]:
    """Say what is not measured, and what was copied."""
    for one in sides.left_out:
        yield f"{one.what} is left out: {one.reason}"
    if sides.copied:
        yield f"copied beside both commits as they are now, since Git doesn't have them: {', '.join(sides.copied)}"


def _from_here(case: Case) -> Case:
    """Name a model's file as it is seen from this folder: from there each commit has its own, or a copy."""
    place, name = split_reference(case.model.reference)
    if not place.endswith(".py") or not Path(place).is_absolute():
        return case
    reference = seen_from_here(Path(place)) + (f":{name}" if name else "")
    return replace(case, model=replace(case.model, reference=reference))


def _refuse_merged(requests: Sequence[SideRequest], pairs: Sequence[tuple[Case, Case]]) -> None:
    """Refuse a side whose own options make one case of several."""
    for place, request in enumerate(requests):
        often = Counter(pair[place].question for pair in pairs)
        merged = next((pair[place] for pair in pairs if often[pair[place].question] > 1), None)
        if merged is not None:
            raise SpecError(
                request.field,
                f"makes one case of several, {merged}: what it sets is what they differ by. Leave one out",
            )


def _find_missing(
    pairs: Sequence[tuple[Case, Case]], interpreters: Sequence[Interpreter | None]
) -> tuple[list[tuple[Case, Case]], list[OmittedModel]]:
    """Tell pairs whose models are there from those where one isn't; raises SpecError where none is left."""
    there, missing = [], []
    for pair in pairs:
        side = "BASE"
        try:
            for case, interpreter in zip(pair, interpreters, strict=True):
                check_reference(case.model.reference, (interpreter.folder or Path.cwd()) if interpreter else None)
                side = "HEAD"
            there.append(pair)
        except SpecError as error:
            if len(pairs) == 1:
                raise
            missing.append(
                OmittedModel(what=str(pair[side == "HEAD"].model), reason=f"on {side} {error.problem}", is_failure=True)
            )
    if not there:
        first = missing[0] if missing else OmittedModel(what="MODEL", reason="there is none")
        raise SpecError("MODEL", f"nothing can be measured: {first.what}: {first.reason}")
    return there, missing


def compare_measured(
    requests: tuple[SideRequest, SideRequest],
    pairs: Sequence[tuple[Case, Case]],
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
            key=sides.key,
        )

    def find_decided(sides: MeasuredSides) -> list[str]:
        return [case.case_id for case in compare_sides(sides).cases if case.is_compared and case.is_decided]

    sides = measure_sides(
        requests, pairs, store=store, looks=looks if until_decided else (), find_decided=find_decided, **how
    )
    return replace(compare_sides(sides), left_out=sides.left_out, copied=sides.copied)


def _run(
    duel: Duel,
    executor: SidesExecutor,
    keeper: Keeper,
    sides: MeasuredSides,
    find_decided: Callable[[MeasuredSides], Collection[str]],
    show: Display,
) -> DuelSummary:
    from firstgrad.sweep.plan import Durations, Plan
    from firstgrad.sweep.rounds import Notice, run_duel

    questions = {side.case.question for pair in duel.pairs for side in pair.sides}
    samples = [sample for question in questions for sample in keeper.store.cells(question=question)]
    with show(Plan(jobs=duel.jobs()), Durations(samples), _opening(duel)) as display:
        keeper.tell = lambda line: display(Notice(message=line))

        def keep(record: Record) -> None:
            keeper.keep(record)
            sides.records.append(record)

        def decided_places() -> list[int]:
            decided = set(find_decided(sides))
            return [place for place, question in enumerate(sides.questions) if question in decided]

        return run_duel(duel, executor, keep=keep, tell=display, find_decided=decided_places)


def _opening(duel: Duel) -> Iterator[str]:
    until = ", until it is decided" if duel.looks else ""
    pairs = [pair for pair in duel.pairs if pair.most is None]
    base, head = pairs[0].sides
    several = f" of {len(pairs)} cases" if len(pairs) > 1 else ""
    counted = ", and one that counts calls" if len(pairs) < len(duel.pairs) else ""
    yield f"{format_count(duel.rounds, 'round')} of both sides{several}{until}{counted}: {base.label} and {head.label}"
    there = sum(side.done for pair in duel.pairs for side in pair.sides)
    if there:
        yield f"{format_count(there, 'sample')} are there already"
    for pair in pairs:
        if several and pair.base.case == pair.head.case:
            yield f"{pair.base.case}"
        else:
            yield from (f"{side.label}: {side.case}" for side in pair.sides)


def _differing(interpreters: Sequence[Interpreter | None], pairs: Sequence[tuple[Case, Case]]) -> frozenset[str]:
    """List the conditions in which two sides' environments differ."""
    from firstgrad.measuring.environment import describe_environment, packages_here, with_sampler

    differing: set[str] = set()
    for samplers in {tuple(case.sampler_package for case in pair) for pair in pairs}:
        environments = [
            interpreter.describe(sampler=sampler)
            if interpreter
            else describe_environment(packages=with_sampler(packages_here(), sampler))
            for interpreter, sampler in zip(interpreters, samplers, strict=True)
        ]
        one, other = ({"python": known.python} | dict(known.packages) for known in environments)
        differing |= {name for name in one | other if one.get(name) != other.get(name)}
    if any(base.device != head.device for base, head in pairs):
        differing.add("device")
    return frozenset(differing)


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
    folder = interpreter.folder if interpreter else None
    references = {record.case.model.reference for record in stored}
    sources = {reference: read_source(reference, folder) for reference in references}
    for record in stored:
        source = sources[record.case.model.reference]
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
