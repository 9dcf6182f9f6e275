"""``firstgrad sweep``: a grid of cases, measured until it is whole; run it again after any interruption."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from firstgrad.cli.exit_codes import ExitCode
from firstgrad.cli.options import AxesOptions, spread
from firstgrad.cli.sweep_options import MACHINES, SAMPLING, SweepOptions

if TYPE_CHECKING:
    from firstgrad.record import Record
    from firstgrad.sweep.cluster import Certificates
    from firstgrad.sweep.rounds import Executor, SweepSummary

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
Interrupted? Run the same command again: what is in the store under the same label isn't measured again.

\b
Exit codes: 0 good; 1 the oracle disagrees somewhere; 2 wrong use; 3 a case failed; 130 interrupted.
"""


@spread
def sweep(
    model: AxesOptions,
    options: SweepOptions,
    label: Annotated[
        str,
        typer.Option(
            "--label", help="Name of the sweep; under another one all is measured anew.", rich_help_panel=SAMPLING
        ),
    ] = "sweep",
    order_seed: Annotated[int, typer.Option("--order-seed", help="Of the random order.", rich_help_panel=SAMPLING)] = 0,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Measure again what gave no numbers.", rich_help_panel=SAMPLING)
    ] = False,
    at_once: Annotated[
        int,
        typer.Option("--at-once", min=1, help="Samples side by side on this machine.", rich_help_panel=SAMPLING),
    ] = 1,
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="Of BLAS and OpenMP, a sample.", rich_help_panel=SAMPLING)
    ] = 1,
    overload: Annotated[
        bool, typer.Option("--overload", help="Allow more samples than cores.", rich_help_panel=SAMPLING)
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="A Dask cluster's, tcp://HOST:PORT or tls://...: its workers measure, one sample each.",
            rich_help_panel=MACHINES,
        ),
    ] = None,
    tls_ca_file: Annotated[
        str | None, typer.Option("--tls-ca-file", help="Who is trusted.", rich_help_panel=MACHINES)
    ] = None,
    tls_cert: Annotated[
        str | None, typer.Option("--tls-cert", help="Your certificate.", rich_help_panel=MACHINES)
    ] = None,
    tls_key: Annotated[str | None, typer.Option("--tls-key", help="Your key.", rich_help_panel=MACHINES)] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would be measured, and measure nothing.", rich_help_panel=SAMPLING),
    ] = False,
    store: Annotated[
        str | None,
        typer.Option("--store", help="File or database URL [.firstgrad/results.sqlite].", rich_help_panel=SAMPLING),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Each record as a line of JSON on standard output.", rich_help_panel=SAMPLING)
    ] = False,
) -> None:
    """Measure a grid of cases, with several samples each; resumes where it stopped."""
    from firstgrad.cli.sweep_display import show_plan, show_summary, show_sweep
    from firstgrad.codec import to_json
    from firstgrad.errors import SpecError
    from firstgrad.measure.environment import describe_environment
    from firstgrad.row import conditions_of
    from firstgrad.store import DEFAULT_PATH, Store
    from firstgrad.store.patient import add_patiently
    from firstgrad.sweep.cluster import Certificates, DaskExecutor
    from firstgrad.sweep.local import LocalExecutor
    from firstgrad.sweep.plan import Durations, count_done, plan_sweep
    from firstgrad.sweep.rounds import Notice, run_sweep

    if store == "none":
        raise SpecError("--store", "a sweep keeps its records, so that it can go on: give a file or a database URL")
    certificates = Certificates.of_options(ca_file=tls_ca_file, certificate=tls_cert, key=tls_key)
    _check_machines(scheduler, certificates, at_once=at_once, threads=threads, overload=overload)
    grid, samples = options.to_grid(model)
    with Store.open(store or DEFAULT_PATH) as opened:
        rows = list(opened.rows())
        # None for a cluster, whose hosts may be of any kind.
        conditions = conditions_of(describe_environment(threads=threads)) if scheduler is None else None
        done = count_done([row for row in rows if row.label == label], conditions=conditions)
        plan = plan_sweep(grid.cases, samples=samples, done=done, seed=order_seed, retry_failed=retry_failed)
        durations = Durations(rows)
        if dry_run:
            show_plan(grid, plan, durations, at_once=at_once)
            return
        try:
            with show_sweep(grid, plan, durations, at_once=at_once) as display:

                def keep(record: Record) -> None:
                    add_patiently(opened, record, on_wait=lambda error, _: display(Notice(message=str(error))))
                    if json:
                        typer.echo(to_json(record))

                executor: Executor = LocalExecutor(label=label, threads=threads, at_once=at_once)
                if scheduler is not None:
                    executor = DaskExecutor(
                        scheduler,
                        label=label,
                        threads=threads,
                        certificates=certificates,
                        warn=lambda message: display(Notice(message=message)),
                    )
                summary = run_sweep(plan, executor, keep=keep, tell=display)
        except KeyboardInterrupt:
            typer.echo(
                f"firstgrad: interrupted. What was measured is in {opened.place}; the same command goes on from there",
                err=True,
            )
            raise typer.Exit(ExitCode.INTERRUPTED) from None
    show_summary(plan, summary, place=opened.place)
    raise typer.Exit(exit_code(summary))


def _check_machines(
    scheduler: str | None, certificates: Certificates | None, *, at_once: int, threads: int, overload: bool
) -> None:
    """Refuse options of a cluster on this machine, and the other way round."""
    from firstgrad.errors import SpecError
    from firstgrad.sweep.local import check_cores

    if scheduler is None:
        if certificates is not None:
            raise SpecError("--tls-ca-file, --tls-cert, --tls-key", "are for --scheduler tls://HOST:PORT")
        check_cores(at_once=at_once, threads=threads, cores=os.cpu_count() or 1, allowed=overload)
    elif at_once != 1:
        raise SpecError("--at-once", "is for this machine; a cluster measures one sample a worker at a time")


def exit_code(summary: SweepSummary) -> int:
    """Say how a sweep ended; a sample that its limit stopped is a result, not a failure."""
    from firstgrad.record import Status

    if summary.statuses.keys() & {Status.FAILED, Status.CRASHED}:
        return ExitCode.CASE_FAILED
    return ExitCode.DIFFERENT if Status.MISMATCH in summary.statuses else ExitCode.GOOD
