"""``firstgrad sweep``: a grid of cases, measured until it is whole; run it again after any interruption."""

from __future__ import annotations

import functools
import os
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from firstgrad.case import MOST_SAMPLES, GradientBackend
from firstgrad.cli.console import ExitCode, OutputOptions, finish, is_quiet, say, shown
from firstgrad.cli.options import AxesOptions, declare, spread
from firstgrad.errors import SpecError
from firstgrad.record import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from firstgrad.record import Record
    from firstgrad.show.result import Result
    from firstgrad.sweep.cluster import Certificates
    from firstgrad.sweep.grid import Grid
    from firstgrad.sweep.plan import Durations, Plan, Sample
    from firstgrad.sweep.rounds import Executor, SweepEvent, SweepSummary

EPILOG = """\b
Examples:
  firstgrad sweep --tier quick --dry-run
      what would be measured, and how long that takes
  firstgrad sweep --timesteps 100,10,30,300,1000 --directions 5,1,20 --hmm off,on --backend jax --one-at-a-time
      growth in T and in K, around T=100 and K=5; then: firstgrad scaling
  firstgrad sweep mymodel.py:build --param n=10,100,1000 --backend jax,c --scenario cold,warm --samples 3
      your own model
  firstgrad sweep --tier standard --scheduler tcp://head:8786 --store postgresql://me@head/firstgrad
      on the workers of a Dask cluster

\b
Interrupted? Run the same command again: samples in the store under the same label are not measured again.

\b
Exit codes: 0 good; 1 the oracle disagrees somewhere; 2 wrong use; 3 a case failed; 4 broke off; 130 interrupted.
"""


_AXES = "Axes (values with commas; the first of each is the base)"
_axis = functools.partial(declare, panel=_AXES, metavar="A,B,...")
_option = functools.partial(declare, panel="The sweep")
_machines = functools.partial(declare, panel="Many machines")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOptions:
    """How it is swept."""

    tier: Annotated[
        str | None,
        declare(
            "--tier",
            "A tier of the suite file, or of the pose model; axes given as options replace those of the tier.",
            metavar="quick|standard|full|NAME",
        ),
    ] = None
    backend: Annotated[str | None, _axis("--backend", "c, numba, jax [numba].")] = None
    device: Annotated[
        str | None, _axis("--device", "Where JAX's backends run: cpu, cuda [JAX_PLATFORMS, else cpu].")
    ] = None
    scenario: Annotated[str | None, _axis("--scenario", "cold, warm, hot [cold].")] = None
    target: Annotated[str | None, _axis("--target", "dlogp, logp_dlogp, first_draw [dlogp].")] = None
    sampler: Annotated[
        str | None,
        _axis("--sampler", "With target first_draw: auto, pymc, nutpie, numpyro, blackjax, firstgrad [auto]."),
    ] = None
    gradient_backend: Annotated[
        GradientBackend | None, _option("--gradient-backend", "What differentiates for nutpie with jax [pytensor].")
    ] = None
    chains: Annotated[int, _option("--chains", "Number of chains, with --target first_draw.", min=1)] = 1
    one_at_a_time: Annotated[
        bool | None,
        declare(
            "--one-at-a-time/--all-combinations",
            "Vary one of T, K, C and S at a time, the others at their base; growth laws need no more.",
            panel=_AXES,
        ),
    ] = None
    samples: Annotated[
        int | None, _option("--samples", "Processes to measure for each case [1].", min=1, max=MOST_SAMPLES)
    ] = None
    evaluations: Annotated[int, _option("--evaluations", "Timed steady-state calls.", min=0)] = 200
    time_limit: Annotated[float, _option("--time-limit", "Seconds after which a sample is stopped.")] = 3600.0
    memory_limit: Annotated[
        str | None, _option("--memory-limit", "Memory limit of a sample's process tree, such as 4GiB.")
    ] = None


@spread
def sweep(
    model: AxesOptions,
    options: SweepOptions,
    output: OutputOptions,
    label: Annotated[str, _option("--label", "Name of the sweep; another name measures everything anew.")] = "sweep",
    order_seed: Annotated[int, _option("--order-seed", "Seed of the random order.")] = 0,
    retry_failed: Annotated[bool, _option("--retry-failed", "Measure the samples again that gave no numbers.")] = False,
    at_once: Annotated[int, _option("--at-once", "Samples side by side on this machine.", min=1)] = 1,
    threads: Annotated[int, _option("--threads", "Threads of BLAS and OpenMP for each sample.", min=1)] = 1,
    overload: Annotated[bool, _option("--overload", "Allow more samples than cores.")] = False,
    scheduler: Annotated[
        str | None,
        _machines(
            "--scheduler",
            "Scheduler of a Dask cluster, tcp://HOST:PORT or tls://...; its workers measure, one sample each.",
            metavar="ADDRESS",
        ),
    ] = None,
    tls_ca_file: Annotated[
        str | None, _machines("--tls-ca-file", "Certificates of the authorities that are trusted.")
    ] = None,
    tls_cert: Annotated[str | None, _machines("--tls-cert", "Your certificate.")] = None,
    tls_key: Annotated[str | None, _machines("--tls-key", "Your key.")] = None,
    dry_run: Annotated[bool, _option("--dry-run", "Show what would be measured, and measure nothing.")] = False,
    store: Annotated[str | None, _option("--store", "File or database URL [.firstgrad/results.sqlite].")] = None,
) -> None:
    """Measure a grid of cases, with several samples each; resumes where it stopped."""
    from firstgrad.codec import to_json
    from firstgrad.columns import cells_of
    from firstgrad.measuring.environment import check_devices
    from firstgrad.show.display import SweepState, describe_outdated, describe_plan, describe_sample, show_sweep
    from firstgrad.store import Keeper
    from firstgrad.sweep.cluster import Certificates, DaskExecutor
    from firstgrad.sweep.local import LocalExecutor
    from firstgrad.sweep.plan import Durations, count_done, plan_sweep
    from firstgrad.sweep.rounds import Notice, run_sweep

    output.refuse_both()
    if store == "none":
        raise SpecError("--store", "a sweep keeps its records, so that it can go on: give a file or a database URL")
    certificates = Certificates.of_options(ca_file=tls_ca_file, certificate=tls_cert, key=tls_key)
    # The workers of a cluster may have what isn't here.
    suite = replace(model.to_suite(options, options.tier), are_here=scheduler is None)
    grid = suite.grid()
    _check_machines(scheduler, certificates, at_once=at_once, threads=threads, overload=overload)
    if scheduler is None:  # the workers of a cluster may have what isn't here
        check_devices(grid.cases, field=suite.devices_from)
    with Keeper(store) as keeper:
        stored = keeper.store.cells()
        durations = Durations(stored)
        # The hosts of a cluster may be of any kind.
        current, outdated = _current(stored, grid, label, threads=threads if scheduler is None else None)
        done = count_done(current)
        plan = plan_sweep(grid.cases, samples=suite.samples, done=done, seed=order_seed, retry_failed=retry_failed)
        opening = [*describe_plan(grid, plan), *describe_outdated(outdated)]
        if dry_run:
            finish(plan_result(grid, plan, durations, opening, at_once=at_once), output)
        ended: list[tuple[str, str]] = []
        measured = list(current)

        def keep(record: Record) -> None:
            keeper.keep(record)
            ended.append((str(record.case), describe_sample(record)))
            measured.append(cells_of(record))
            if output.json:
                say(to_json(record), out=True)

        def make_executor(display: Callable[[SweepEvent], None]) -> Executor:
            if scheduler is None:
                return LocalExecutor(label=label, threads=threads, at_once=at_once)
            return DaskExecutor(
                scheduler,
                label=label,
                threads=threads,
                certificates=certificates,
                warn=lambda message: display(Notice(message=message)),
            )

        state = SweepState(plan, durations, at_once=at_once)
        try:
            with shown(show_sweep(state, opening)) as display:
                keeper.tell = lambda line: display(Notice(message=line))
                summary = run_sweep(plan, make_executor(display), keep=keep, tell=display)
        except KeyboardInterrupt:
            place = keeper.make_sure()
            say(f"firstgrad: interrupted. What was measured is in {place}; the same command goes on from there")
            raise typer.Exit(ExitCode.INTERRUPTED) from None
    result = sweep_result(plan, summary, ended, place=str(keeper.address))
    _end(with_models(result, measured, grid, suite.metrics) if model.is_several else result, output)


def _end(result: Result, output: OutputOptions) -> NoReturn:
    """Show how a sweep ended: beside its records, not among them."""
    from firstgrad.show.result import make_console, print_parts

    if output.markdown:
        finish(result, output)
    print_parts(make_console(stderr=True), result.parts)
    raise typer.Exit(result.exit_code)


def plan_result(grid: Grid, plan: Plan, durations: Durations, opening: Sequence[str], *, at_once: int = 1) -> Result:
    """Make what is shown of a plan: what would be measured, and how long it is going to take."""
    from firstgrad.show.result import Items, Result, Table, Text, left, right
    from firstgrad.units import span

    counts = Counter(job.case for job in plan.jobs)
    expected = {case: durations.of(case) for case in counts}
    rows = [
        (str(case), str(count), "not known" if (seconds := expected[case]) is None else f"about {span(seconds)}")
        for case, count in counts.items()
    ]
    seconds, unknown = durations.of_all(plan.jobs)
    more = f", and {unknown} samples unlike any stored one" if unknown else ""
    return Result(
        parts=[
            Items(opening),
            Table(columns=(*left("case"), *right("samples", "a sample")), rows=rows),
            Text(f"In all about {span(seconds / at_once)}{more}."),
        ],
        document={
            "cases": [
                {"case": case, "samples": count, "expected_seconds": expected[case]} for case, count in counts.items()
            ],
            "stored": plan.stored,
            "settled": plan.settled,
            "omitted": grid.omitted,
            "expected_seconds": seconds / at_once,
            "samples_of_unknown_length": unknown,
        },
    )


def sweep_result(plan: Plan, summary: SweepSummary, ended: Sequence[tuple[str, str]], *, place: str) -> Result:
    """Make what is shown of a sweep that ended: how, and what to do with it; in Markdown each sample, too."""
    from firstgrad.show.result import Form, Heading, Only, Result, Table, Text, left

    counts = ", ".join(f"{count} {status}" for status, count in summary.statuses.items()) or "nothing to measure"
    skipped = f", {summary.skipped} skipped after a failure" if summary.skipped else ""
    return Result(
        parts=[
            Only(Form.MARKDOWN, (Heading("Samples"), Table(columns=left("case", "result"), rows=ended))),
            Text(f"{counts}{skipped}; {plan.stored} were there already. Records: {place}"),
            *[Text("Next: firstgrad scaling (growth laws), firstgrad report (one page)")] * (not is_quiet()),
        ],
        document=None,
        exit_code=exit_code(summary),
    )


def with_models(result: Result, samples: Sequence[Sample], grid: Grid, metrics: Sequence[str]) -> Result:
    """Put a suite's tables of models before what is shown; a file that holds no one model has failed, too."""
    from firstgrad.show.suites import suite_parts

    questions = {case.question for case in grid.cases}
    wanted = [sample for sample in samples if sample["question"] in questions]
    failed = {Status.FAILED, Status.CRASHED}
    has_failed = any(one.is_failure for one in grid.omitted) or any(one["status"] in failed for one in wanted)
    return replace(
        result,
        parts=[*suite_parts(wanted, grid.omitted, metrics), *result.parts],
        exit_code=ExitCode.CASE_FAILED if has_failed else result.exit_code,
    )


def _current(stored: Iterable[Sample], grid: Grid, label: str, *, threads: int | None) -> tuple[list[Sample], int]:
    """Take what a sweep has measured already, and count what it had of the models' files as they were before."""
    from firstgrad.sweep.plan import current_samples, samples_here

    references = {case.model.reference for case in grid.cases}
    same = [sample for sample in stored if sample["label"] == label and sample["reference"] in references]
    if threads is not None:
        same = samples_here(same, threads=threads)
    current = current_samples(same)
    return current, len(same) - len(current)


def _check_machines(
    scheduler: str | None,
    certificates: Certificates | None,
    *,
    at_once: int,
    threads: int,
    overload: bool,
) -> None:
    """Refuse options of a cluster on this machine, and the other way round."""
    from firstgrad.sweep.local import check_cores

    if scheduler is None:
        if certificates is not None:
            raise SpecError("--tls-ca-file, --tls-cert, --tls-key", "are for --scheduler tls://HOST:PORT")
        check_cores(at_once=at_once, threads=threads, cores=os.cpu_count() or 1, allowed=overload)
    elif "@" in scheduler:  # not repeated: before it there may be a password
        raise SpecError("--scheduler", "has no user and no password. Write tcp://HOST:PORT, or tls://HOST:PORT")
    elif at_once != 1:
        raise SpecError("--at-once", "is for this machine; a cluster measures one sample a worker at a time")


def exit_code(summary: SweepSummary) -> int:
    """Say how a sweep ended; a sample that its limit stopped is a result, not a failure."""
    if summary.statuses.keys() & {Status.FAILED, Status.CRASHED}:
        return ExitCode.CASE_FAILED
    return ExitCode.DIFFERENT if Status.MISMATCH in summary.statuses else ExitCode.GOOD
