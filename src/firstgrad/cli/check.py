"""``firstgrad check``: whether the gradient is right and finite, group by group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firstgrad.case import BackendName, Scenario, Target
from firstgrad.cli.options import MeasureOptions, ModelOptions, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from firstgrad.record import GroupFiniteness, Record

EPILOG = """\b
Examples:
  firstgrad check pose
      log-density and gradient against the oracle
  firstgrad check pose --missing naive
      names the groups whose gradient is NaN
  firstgrad check mymodel.py:build
      your own model: every group and term for NaN and infinity, the gradient against finite differences

\b
Exit codes: 0 right and finite; 1 not; 2 wrong use; 3 the model could not be compiled.
"""


@spread
def check(
    model: ModelOptions,
    backend: Annotated[
        BackendName, typer.Option("--backend", help="JAX compiles a single gradient fastest.")
    ] = BackendName.JAX,
    time_limit: Annotated[float, typer.Option("--time-limit", help="Seconds.")] = 3600.0,
    json: Annotated[bool, typer.Option("--json", help="The record as JSON on standard output.")] = False,
) -> None:
    """Check log-density and gradient against the oracle, and every group of the gradient for NaN and infinity.

    Unlike a loop with isinstance(g, np.ndarray), it looks at the one flat vector that PyMC returns.
    """
    from firstgrad.cli.console import make_console
    from firstgrad.cli.exit_codes import ExitCode
    from firstgrad.cli.measure import exit_code, measure_and_store
    from firstgrad.cli.tables import show_failure

    options = MeasureOptions(
        backend=backend,
        target=Target.LOGP_DLOGP,
        scenario=Scenario.COLD,
        evaluations=0,
        time_limit=time_limit,
        store="none",
    )
    (record,) = measure_and_store(options.to_case(model.to_model()), options)
    if json:
        from firstgrad.codec import to_json

        typer.echo(to_json(record))
    elif record.failure is not None:
        show_failure(make_console(stderr=True), record)
    else:
        show_check(make_console(), record)
    code = exit_code([record])
    found = record.check
    suspect = found.n_not_finite or found.logp_not_finite or (found.slope is not None and found.slope.differs)
    if code == ExitCode.GOOD and suspect:
        code = ExitCode.DIFFERENT
    raise typer.Exit(code)


def show_check(console: Console, record: Record) -> None:
    """Print the verdict and the groups that are not finite."""
    from rich.text import Text

    from firstgrad.cli.tables import verdict_text

    found = record.check
    console.print(Text(str(record.case), style="bold"))
    console.print(f"log-density at the start point: {found.logp!r}")
    console.print(Text(verdict_text(record)), soft_wrap=True)
    show_not_finite(console, found.finiteness)


def show_not_finite(console: Console, finiteness: Sequence[GroupFiniteness]) -> None:
    """Print the groups of a gradient that are not finite, and a frequent cause; nothing where all are."""
    from rich.table import Table

    bad = [group for group in finiteness if group.nan + group.infinite]
    if not bad:
        return
    table = Table(title="gradient values that are not finite", title_justify="left")
    table.add_column("group")
    for name in ("values", "NaN", "infinite"):
        table.add_column(name, justify="right")
    for group in bad:
        table.add_row(group.group, str(group.values), str(group.nan), str(group.infinite))
    totals = (sum(group.values for group in bad), sum(g.nan for g in bad), sum(g.infinite for g in bad))
    table.add_section()
    table.add_row(f"{len(bad)} of {len(finiteness)} groups", *(str(total) for total in totals), style="bold")
    console.print(table)
    console.print(
        "A frequent cause: where(mask, f(nan), 0) has a finite value and a NaN gradient, since 0 x NaN is NaN. "
        "Replace missing data by a finite stand-in before the arithmetic, and mask afterwards.",
        soft_wrap=True,
    )
