"""``firstgrad compare``: what got slower or larger between two sides, stored or measured now."""

from __future__ import annotations

import functools
import json
import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstgrad.case import MOST_SAMPLES
from firstgrad.cli.console import (
    PICTURES,
    ExitCode,
    OutputOptions,
    command_line,
    note,
    open_store,
    say,
    say_notes,
    show,
    shown,
)
from firstgrad.cli.options import (
    CaseOptions,
    ModelOptions,
    StoreToRead,
    TierOfSuite,
    choose_metrics,
    declare,
    option_of,
    replace_options,
    spread,
)
from firstgrad.comparing.judge import Gate, is_gating
from firstgrad.errors import SpecError
from firstgrad.model import POSE
from firstgrad.pose.spec import PARAMETERS
from firstgrad.units import parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from firstgrad.case import Case
    from firstgrad.columns import Column
    from firstgrad.comparing.comparison import Comparison
    from firstgrad.comparing.places import SideRequest
    from firstgrad.growth.change import GrowthChanges
    from firstgrad.pose.spec import Scalar
    from firstgrad.record import Record
    from firstgrad.show.comparison import Proof
    from firstgrad.show.result import Result
    from firstgrad.sweep.grid import Grid

    type Judge = Callable[..., Comparison]

EPILOG = """\b
Examples:
  firstgrad compare before after
      two labels, as given to measure --label
  firstgrad compare main HEAD --markdown
      two commits, for a comment on a pull request
  firstgrad compare pymc-5 pymc-6 --across pymc --across pytensor
      the packages are what is compared
  firstgrad compare formulation=per_joint formulation=vectorised --backend jax --until-decided --time-budget 30m
      two formulations, measured now in turn; any option of the case, without its dashes
  firstgrad compare main HEAD models/mine.py:build --measure
      two commits, each with its own files, and in its own environment where it can be installed
  firstgrad compare pymc==6.2.0 pymc==6.4.0+jax==0.12.0.1 --backend jax
      two releases, each in an environment of its own; also env:PATH, and . for here and now

\b
A verdict says what is real: slower, faster (for bytes and counts larger, smaller), same, or undecided.
A threshold says what is an alarm: growth that is real but below it is shown, and ends with 0.

\b
Exit codes: 0 no alarm; 1 something grew beyond its threshold, or failed; 2 wrong use, unlike sides, or nothing on both;
4 broke off: no verdict.
"""

DEFAULT_ROUNDS = 10
_COUNTS_ROUNDS = 3  # where times only inform: counts need one
_NOT_OF_A_SIDE = ("label", "param")
_PARAM = "param."


_sides = functools.partial(declare, panel="Measuring both sides")


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelOptions:
    """Whether, how often and how long both sides are measured."""

    measure: Annotated[bool, _sides("--measure", "Measure both sides now, in turn; BASE and HEAD are commits.")] = False
    samples: Annotated[
        int | None,
        _sides(
            "--samples",
            "Rounds, a sample of each side [3; with times as a gate, and between backends, 10].",
            min=1,
            max=MOST_SAMPLES,
            metavar="ROUNDS",
        ),
    ] = None
    until_decided: Annotated[bool, _sides("--until-decided", "Go on measuring until every verdict is decided.")] = False
    time_budget: Annotated[
        str | None, _sides("--time-budget", "Begin no round that would end later.", metavar="30m")
    ] = None
    order_seed: Annotated[int, _sides("--order-seed", "Seed of the order within a round.")] = 0
    counted: Annotated[
        bool, _sides("--counted/--not-counted", "Take one more sample of each side that counts calls, for the gate.")
    ] = True
    tier: TierOfSuite = None

    def plan(self, default: int) -> tuple[int, tuple[int, ...]]:
        """Plan how many rounds there are at most, and after which of them to look whether it is decided.

        Without ``--until-decided`` there is one look, after the last round.
        """
        from firstgrad.comparing.judge import plan_looks

        if not self.until_decided:
            rounds = self.samples or default
            return rounds, (rounds,)
        planned = plan_looks()
        if self.samples is not None:  # a round too few for the next look is of use all the same
            planned = (*(look for look in planned if look < self.samples), self.samples)
        return planned[-1], planned


@spread
def compare(
    base: Annotated[
        str,
        typer.Argument(metavar="BASE", help="A label, a commit as git names it (main, HEAD~1), or what to measure."),
    ],
    head: Annotated[str, typer.Argument(metavar="HEAD", help="The other side: does it take more than BASE?")],
    model: ModelOptions,
    case: CaseOptions,
    duel: DuelOptions,
    out: OutputOptions,
    gate: Annotated[
        Gate | None,
        declare("--gate", "What raises an alarm: exact counts and memory [counts], or times as well."),
    ] = None,
    threshold: Annotated[
        float | None,
        declare("--threshold", "With times as a gate: slower beyond this, such as 1.1 [any].", metavar="FACTOR"),
    ] = None,
    threshold_memory: Annotated[
        float | None, declare("--threshold-memory", "The same for bytes [1.10].", metavar="FACTOR")
    ] = None,
    threshold_counts: Annotated[
        float | None, declare("--threshold-counts", "The same for counts [1.01].", metavar="FACTOR")
    ] = None,
    metric: Annotated[list[str] | None, declare("--metric", "Only this metric; may be repeated.", metavar="NAME")] = (
        None
    ),
    across: Annotated[
        list[str] | None,
        declare("--across", "This package may differ between the sides; may be repeated.", metavar="PACKAGE"),
    ] = None,
    force: Annotated[bool, declare("--force", "Compare sides that are unlike, and say so.")] = False,
    show_all: Annotated[bool, declare("--all", "Also show what is the same.")] = False,
    store: StoreToRead = None,
    output: Annotated[
        str | None, declare("--output", "A forest plot of the ratios, .png or .svg.", metavar="FILE")
    ] = None,
) -> None:
    """Compare two sides, stored or measured now: time, memory, counts, failures. Ends with 1 on a regression."""
    from firstgrad.comparing.comparison import compare as compare_records
    from firstgrad.comparing.comparison import compile_alike
    from firstgrad.comparing.judge import Thresholds
    from firstgrad.comparing.places import asks_to_measure, read_side
    from firstgrad.comparing.sides import resolve_commit

    out.refuse_both()
    budget = None if duel.time_budget is None else (duel.time_budget, _budget_seconds(duel.time_budget))
    if output is not None and Path(output).suffix not in PICTURES:
        raise SpecError("--output", f"expected a file that ends in {' or '.join(PICTURES)}, got {output!r}")
    factors: dict[str, Any] = {
        "seconds_factor": threshold,
        "memory_factor": threshold_memory,
        "counts_factor": threshold_counts,
    }
    is_measured = duel.measure or asks_to_measure(base) or asks_to_measure(head)
    suite = model.to_suite(case, duel.tier) if is_measured and model.is_several else None
    metric = metric or (list(suite.metrics) if suite else [])
    metrics = choose_metrics(metric)
    gate = _choose_gate(gate, metrics if metric else (), threshold)
    judge = functools.partial(
        compare_records,
        thresholds=Thresholds(gate=gate, **{name: factor for name, factor in factors.items() if factor is not None}),
        metrics=metrics,
        force=force,
        resolve=resolve_commit,
    )
    growth: GrowthChanges | None = None
    requests: tuple[SideRequest, ...] = ()
    if is_measured:
        requests = one, other = read_side(base), read_side(head)
        model.refuse_tier(duel.tier)
        grid = suite.grid() if suite else None
        pairs = [
            (side_case(one, *options), side_case(other, *options))
            for options in (_split_cases(grid, case) if grid else [(model, case)])
        ]
        is_timed = gate is Gate.SECONDS or not all(compile_alike(*pair) for pair in pairs)
        samples = suite.samples if suite and suite.samples > 1 else DEFAULT_ROUNDS if is_timed else _COUNTS_ROUNDS
        rounds, looks = duel.plan(samples)
        comparison = _measure_and_judge(
            (one, other),
            pairs,
            duel,
            time_budget=budget,
            label=case.label,
            rounds=rounds,
            looks=looks,
            store=store,
            across=across or (),
            judge=judge,
            left_out=grid.omitted if grid else (),
            devices_from=suite.devices_from if suite else "--device",
        )
    else:
        refuse_unused(model, case, duel)
        comparison, growth = _judge_stored(base, head, metrics, store=store, across=across or (), judge=judge)
    proof = _prove(comparison, requests) if out.markdown else None
    result = comparison_result(comparison, growth, show_all=show_all, proof=proof)
    show(result, out)
    # Last: a figure that can't be drawn must not cost the verdict.
    if output is not None:
        _write_figure(comparison, Path(output), tuple(metric or ()))
    if not comparison.has_compared:
        say(
            f"firstgrad: nothing was compared: {comparison.base} and {comparison.head} have no numbers of one case "
            "in common. Measure the same cases on both sides"
        )
    raise typer.Exit(result.exit_code)


def _choose_gate(gate: Gate | None, metrics: Sequence[Column], threshold: float | None) -> Gate:
    """Choose what alarms: times, too, where a threshold for them, or one of them and no exact count, was asked for."""
    if threshold is not None and gate is Gate.COUNTS:
        raise SpecError("--threshold", f"is for times, which raise no alarm with --gate {gate}")
    is_asked = threshold is not None or (bool(metrics) and not any(is_gating(metric) for metric in metrics))
    return gate or (Gate.SECONDS if is_asked else Gate.COUNTS)


def _prove(comparison: Comparison, requests: Sequence[SideRequest]) -> Proof:
    """Say how the comparison was made, without the store, which is one's own; and how to see its worst case."""
    from firstgrad.comparing.reproducer import make_reproducer
    from firstgrad.show.comparison import Proof

    words = [word for word in command_line() if not word.startswith("--store=")]
    if "--store" in words:
        place = words.index("--store")
        del words[place : place + 2]
    return Proof(command=shlex.join(words), reproducer=make_reproducer(comparison, requests))


def comparison_result(
    comparison: Comparison, growth: GrowthChanges | None, *, show_all: bool, proof: Proof | None = None
) -> Result:
    """Put a comparison, and the growth laws beside it, into words, tables and a document."""
    from firstgrad.cli.compare_growth import growth_change_documents, growth_change_parts, is_growth_alarm
    from firstgrad.codec import to_json
    from firstgrad.show.comparison import comparison_parts
    from firstgrad.show.result import Result

    is_alarm = is_growth_alarm(growth, comparison)
    exit_code = ExitCode.GOOD
    if comparison.has_regression or is_alarm:
        exit_code = ExitCode.DIFFERENT
    elif not comparison.has_compared:  # wrong use: a gate must not pass on a comparison of nothing
        exit_code = ExitCode.WRONG_USE
    parts, document = (
        list(comparison_parts(comparison, show_all=show_all, proof=proof)),
        json.loads(to_json(comparison)),
    )
    if growth is not None:
        parts += growth_change_parts(growth, show_all=show_all, is_alarm=is_alarm)
        document |= {"growth": growth_change_documents(growth)} if growth.lines else {}
    return Result(parts=parts, document=document, exit_code=exit_code)


# --- stored sides -------------------------------------------------------------------------------------------------


def _judge_stored(
    base: str, head: str, metrics: Sequence[Column], *, store: str | None, across: Collection[str], judge: Judge
) -> tuple[Comparison, GrowthChanges]:
    from firstgrad.cli.compare_growth import find_growth
    from firstgrad.comparing.sides import read_history, read_sides, resolve_commit

    with open_store(store) as opened:
        records = read_sides(opened, base, head, resolve_commit)
        history = read_history(opened, records)
    key = _choose_key(records, base, head)
    comparison = judge(records, base, head, across=frozenset(across), history=history, key=key)
    return comparison, find_growth(records, base, head, resolve_commit, metrics)


def _choose_key(records: Sequence[Record], base: str, head: str) -> Callable[[Case], str]:
    """Choose by what cases are matched: equal ones are; but labels of sides measured together are one question."""
    from firstgrad.comparing.comparison import plain

    names = {label.partition("@")[2] for label in (base, head)}
    if len(names) == 1 and names != {""}:
        sides = [
            {plain(record.case).question for record in records if record.environment.label == label}
            for label in (base, head)
        ]
        if all(len(questions) == 1 for questions in sides):
            return lambda _: ""
        if sides[0] != sides[1]:
            return _key_of_several(records, (base, head))
    return lambda case: plain(case).id


def _key_of_several(records: Sequence[Record], labels: tuple[str, str]) -> Callable[[Case], str]:
    """Match cases by all but what each side has one value of, and the other another: that is what is compared."""
    cases = [[_axes(record.case) for record in records if record.environment.label == label] for label in labels]
    names = {name for side in cases for axes in side for name in axes}
    values = {name: [{axes.get(name) for axes in side} for side in cases] for name in names}
    compared = {name for name, (one, other) in values.items() if len(one) == len(other) == 1 and one != other}
    return lambda case: repr(sorted((name, value) for name, value in _axes(case).items() if name not in compared))


def _axes(case: Case) -> dict[str, str]:
    """Return what is asked of a sample, but for limits."""
    left_out = ("model", "evaluations", "timed_draws", "time_limit_seconds", "memory_limit_bytes", "counting")
    axes = {entry.name: str(getattr(case, entry.name)) for entry in fields(case) if entry.name not in left_out}
    values = {f"param.{name}": repr(value) for name, value in case.model.values.items()}
    return {"reference": case.model.reference, **axes, **values}


def refuse_unused(model: ModelOptions, case: CaseOptions, duel: DuelOptions) -> None:
    """Refuse options that only measuring has a use for: a stored comparison would ignore them; raises SpecError."""
    names = [*model.given, *["param"] * bool(model.param)]
    for options in (case, duel):
        names += [entry.name for entry in fields(options) if getattr(options, entry.name) != entry.default]
    given = ["MODEL"] * (model.words != (POSE,)) + [option_of(one) for one in names if one not in model.from_file]
    if given:
        raise SpecError(
            given[0],
            "is for sides that are measured now. Both labels or commits are in the store already? Then leave it out; "
            "else add --measure",
        )


# --- sides that are measured now ----------------------------------------------------------------------------------


def _measure_and_judge(
    requests: tuple[SideRequest, SideRequest],
    pairs: Sequence[tuple[Case, Case]],
    duel: DuelOptions,
    **how: Any,
) -> Comparison:
    """Measure both sides in rounds, with a display of them."""
    from firstgrad.comparing.measuring import compare_measured
    from firstgrad.show.display import SweepState, show_sweep

    try:
        return compare_measured(
            requests,
            pairs,
            until_decided=duel.until_decided,
            order_seed=duel.order_seed,
            is_counted=duel.counted,
            show=lambda plan, durations, opening: shown(show_sweep(SweepState(plan, durations), opening)),
            tell=lambda line: note(f"firstgrad: {line}"),
            **how,
        )
    except KeyboardInterrupt as error:
        say_notes(error)
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _split_cases(grid: Grid, case: CaseOptions) -> Iterator[tuple[ModelOptions, CaseOptions]]:
    """Write each case of a suite as the options that ask for it alone: a side replaces some of them."""
    for one in grid.cases:
        param = [f"{name}={_write_scalar(one, name, value)}" for name, value in one.model.parameters]
        memory = None if one.memory_limit_bytes is None else str(one.memory_limit_bytes)
        yield (
            ModelOptions(words=(one.model.reference,), param=param),
            CaseOptions(
                backend=one.backend,
                target=one.target,
                scenario=one.scenario,
                device=one.device,
                sampler=one.sampler,
                gradient_backend=one.gradient_backend,
                chains=one.chains,
                evaluations=one.evaluations,
                time_limit=one.time_limit_seconds or case.time_limit,
                memory_limit=memory,
            ),
        )


def _write_scalar(case: Case, name: str, value: Scalar) -> str:
    """Write a parameter so that it is read as it is."""
    return PARAMETERS[name].write(value) if case.model.reference == POSE else json.dumps(value)


def _budget_seconds(text: str) -> float:

    try:
        return parse_seconds(text)
    except SpecError as error:
        raise SpecError("--time-budget", error.problem) from None


def side_case(request: SideRequest, model: ModelOptions, case: CaseOptions) -> Case:
    """Make a side's case: the common options, with its own in their place; raises SpecError naming the side."""
    if not request.options:
        return case.to_case(model.to_model())
    words = [_option_word(request, option) for option in request.options]
    side_model, side_options = replace_options(words, model, case, where=request.field)
    try:
        return side_options.to_case(side_model.to_model())
    except SpecError as error:
        raise SpecError(request.field, str(error)) from error


def _option_word(request: SideRequest, option: str) -> str:
    """Write an option of a side as it would stand on a command line."""
    written, _, value = option.partition("=")
    name = written.strip().replace("-", "_")
    if name.startswith(_PARAM):
        return f"--param={written.strip().removeprefix(_PARAM)}={value}"
    names = {one.name for one in (*ModelOptions.option_parameters(), *ModelOptions.last_parameters())}
    known = sorted((names | {entry.name for entry in fields(CaseOptions)}) - {"param", *_NOT_OF_A_SIDE})
    if name not in known:
        raise SpecError(request.field, f"{written.strip()!r} is no option of a case. There are {', '.join(known)}")
    return value if name == "model" else f"{option_of(name)}={value}"


def _write_figure(comparison: Comparison, path: Path, metrics: Sequence[str]) -> None:
    """Draw a comparison's ratios into a file; one that is there is replaced."""
    from firstgrad.show.forest import DRAWN, forest_picture
    from firstgrad.show.style import write_picture

    try:
        picture = forest_picture(comparison, metrics or DRAWN)
    except ValueError as error:
        raise SpecError("--output", str(error)) from error
    write_picture(picture, path)
