"""``firstgrad check``: whether the gradient is right and finite, group by group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from firstgrad.case import BackendName  # noqa: TC001 - Typer reads it
from firstgrad.cli.console import ExitCode, OutputOptions, finish
from firstgrad.cli.options import MeasureOptions, ModelOptions, declare, spread

if TYPE_CHECKING:
    from firstgrad.case import Case
    from firstgrad.record import Record
    from firstgrad.show.result import Result

EPILOG = """\b
Examples:
  firstgrad check pose
      log-density and gradient against the oracle
  firstgrad check pose --missing naive
      names the groups whose gradient is NaN
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
        BackendName | None, declare("--backend", "What compiles it [the first that works, jax before all].")
    ] = None,
    time_limit: Annotated[float, declare("--time-limit", "Seconds, of each backend that is tried.")] = 3600.0,
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

    record = check_gradient_of(model.to_model(), measure, backend=backend, time_limit_seconds=time_limit)
    finish(make_result(record), output)


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
