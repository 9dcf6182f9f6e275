"""``firstgrad check``: whether the gradient is right and finite, group by group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from firstgrad.case import BackendName  # noqa: TC001 - Typer reads it
from firstgrad.cli.console import ExitCode, OutputOptions, finish
from firstgrad.cli.options import MeasureOptions, ModelOptions, TierOfSuite, declare, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.case import Case
    from firstgrad.record import Record
    from firstgrad.show.result import Result
    from firstgrad.sweep.grid import OmittedModel

EPILOG = """\b
Examples:
  firstgrad check pose
      log-density and gradient against the oracle
  firstgrad check pose --missing naive
      names the groups whose gradient is NaN
  firstgrad check models
      a folder of models, each with its verdict, the worst first
  firstgrad check mymodel.py:build
      your own model: every group and term for NaN and infinity and where it is made, the gradient against finite
      differences and against JAX's own derivative

\b
Exit codes: 0 right and finite; 1 not; 2 wrong use; 3 the model could not be compiled; 4 broke off.
"""


@spread
def check(
    model: ModelOptions,
    backend: Annotated[
        BackendName | None, declare("--backend", "What compiles it [the first that works, jax first].")
    ] = None,
    tier: TierOfSuite = None,
    time_limit: Annotated[float, declare("--time-limit", "Seconds for each backend that is tried.")] = 3600.0,
    *,
    output: OutputOptions,
) -> None:
    """Check log-density and gradient against the oracle, and every group of the gradient for NaN and infinity.

    Unlike a loop with isinstance(g, np.ndarray), it looks at the one flat vector that PyMC returns.
    """
    from firstgrad.cli.measure import measure_and_store
    from firstgrad.measuring.ways import check_gradient_of

    output.refuse_both()

    def measure(case: Case) -> Record:
        (record,) = measure_and_store(case, MeasureOptions(store="none"))
        return record

    several = model.is_several
    models, omitted = model.to_models_once(tier)
    records = [check_gradient_of(one, measure, backend=backend, time_limit_seconds=time_limit) for one in models]
    finish(make_results(records, omitted) if several else make_result(*records), output)


def make_results(records: Sequence[Record], omitted: Sequence[OmittedModel]) -> Result:
    """Make what is shown of several checks: those that aren't good, and a table of all, the worst first."""
    from firstgrad.show.records import verdict_text
    from firstgrad.show.result import BLANK, JsonLines, Result, Span, Style, Table, TableColumn, TableRow, left

    rows = [(3, TableRow((one.what, "", one.reason), Style.BAD)) for one in omitted if one.is_failure]
    results = [(record, make_result(record)) for record in records]
    for record, result in results:
        told = verdict_text(record).partition("\n")[0] if record.failure is None else record.failure.message
        style = Style.PLAIN if result.exit_code == ExitCode.GOOD else Style.BAD
        model = Span(str(record.case.model), is_verbatim=True)
        rows.append((result.exit_code, TableRow((model, str(record.case.backend), told), style)))
    rows.sort(key=lambda row: -row[0])
    columns = (TableColumn("model", is_kept=True), *left("backend"), *left("verdict", is_folded=True))
    bad = [result for record, result in results if result.exit_code != ExitCode.GOOD and record.failure is None]
    seen = [part for result in bad for part in (BLANK, *result.parts)]
    return Result(
        parts=[Table(columns=columns, rows=[row for _, row in rows]), *seen],
        document=JsonLines(records),
        exit_code=rows[0][0],
    )


def make_result(record: Record) -> Result:
    """Make what is shown of a check; only a right and finite gradient is good."""
    from firstgrad.cli.measure import exit_code
    from firstgrad.show.records import check_parts, failure_parts
    from firstgrad.show.result import Result

    is_failure = record.failure is not None
    parts = failure_parts(record) if is_failure else check_parts(record)
    check, code = record.check, exit_code([record])
    suspect = check.n_not_finite or check.logp_not_finite or (check.slope is not None and check.slope.differs)
    if code == ExitCode.GOOD and suspect:
        code = ExitCode.DIFFERENT
    return Result(parts=tuple(parts), document=record, exit_code=code, is_failure=is_failure)
