"""``firstgrad measure``: one case, live, then its phases, memory and verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import typer

from firstgrad.cli.console import ExitCode, OutputOptions, finish, is_quiet, say, show, shown
from firstgrad.cli.options import MeasureOptions, ModelOptions, spread
from firstgrad.errors import StoreError
from firstgrad.record import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from firstgrad.case import Case
    from firstgrad.record import Record
    from firstgrad.show.result import Result
    from firstgrad.store import Keeper
    from firstgrad.suite import Suite
    from firstgrad.sweep.plan import Durations, Plan

EPILOG = """\b
Examples:
  firstgrad measure pose --backend jax
      the pose model, cold
  firstgrad measure pose --hmm --states 3 --scenario warm --samples 5
      medians with intervals
  firstgrad measure mymodel.py:build --param n=100 --backend c
      your own: build(n=100) returns a pm.Model, or a pair (model, initial_point)
  firstgrad measure 'models/*.py' --backend jax --samples 3
      a folder of models: a table, the worst first; also files, models/*.py:build, or the suite of firstgrad.toml
  firstgrad measure pose --json --store none | jq .time_to_first_gradient_seconds

\b
Exit codes: 0 good; 1 the oracle disagrees; 2 wrong use; 3 the measured case failed; 4 broke off.
"""


@spread
def measure(model: ModelOptions, measurement: MeasureOptions, output: OutputOptions) -> None:
    """Measure a model, or several: time to first gradient phase by phase, evaluation time, memory, verdict."""
    output.refuse_both()
    model.refuse_tier(measurement.tier)
    if model.is_several:
        measure_suite(model.to_suite(measurement, measurement.tier), measurement, output)
    case = measurement.to_case(model.to_model())
    records = measure_and_store(case, measurement, lambda records: show(make_result(records), output))
    finish(make_result(records), output)


def make_result(records: list[Record]) -> Result:
    """Make what is shown of a case's samples."""
    from firstgrad.show.records import records_parts
    from firstgrad.show.result import JsonLines, Result

    return Result(parts=tuple(records_parts(records)), document=JsonLines(records), exit_code=exit_code(records))


def measure_and_store(
    case: Case, options: MeasureOptions, show_unkept: Callable[[list[Record]], object] = lambda _: None
) -> list[Record]:
    """Measure a case with live progress; each record is in the store before the next sample starts.

    Where one can't be stored, `show_unkept` shows what was measured before the error ends it.
    """
    from firstgrad.api import take_samples
    from firstgrad.measuring.environment import check_devices
    from firstgrad.sources import check_reference

    check_reference(case.model.reference)  # before a store is looked for: it names a working folder that is gone
    check_devices([case])
    keeper = _make_keeper(options.store)
    records: list[Record] = []
    try:
        take_samples(
            case, records, samples=options.samples, label=options.label, keeper=keeper, progress=not is_quiet()
        )
    except KeyboardInterrupt:
        kept = f"in {keeper.address}" if keeper else "not kept"
        say(f"firstgrad: interrupted after {len(records)} of {options.samples} samples, {kept}")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except StoreError:
        if records:
            show_unkept(records)
        raise
    return records


def _make_keeper(place: str | None) -> Keeper | None:
    from firstgrad.store import Keeper

    return None if place == "none" else Keeper(place, tell=lambda line: say(f"firstgrad: {line}"))


def measure_suite(suite: Suite, options: MeasureOptions, output: OutputOptions) -> NoReturn:
    """Measure each case of a suite, in rounds; one that fails is a row with its reason."""
    from firstgrad.api import take_suite
    from firstgrad.cli.sweep import with_models
    from firstgrad.columns import cells_of
    from firstgrad.show.display import SweepState, show_sweep
    from firstgrad.show.result import JsonLines, Result

    grid = suite.grid()
    records: list[Record] = []

    def display(plan: Plan, durations: Durations, opening: Iterable[str]) -> Any:
        return shown(show_sweep(SweepState(plan, durations), opening))

    def make() -> Result:
        result = Result(parts=(), document=JsonLines(records), exit_code=exit_code(records))
        return with_models(result, list(map(cells_of, records)), grid, suite.metrics)

    try:
        take_suite(suite, grid, records, label=options.label, keeper=_make_keeper(options.store), show=display)
    except KeyboardInterrupt:
        say(f"firstgrad: interrupted after {len(records)} of {len(grid.cases) * suite.samples} samples")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except StoreError:
        if records:
            show(make(), output)
        raise
    finish(make(), output)


def exit_code(records: list[Record]) -> int:
    """Say how a measurement ended."""
    statuses = {record.status for record in records}
    if statuses - {Status.OK, Status.MISMATCH}:
        return ExitCode.CASE_FAILED
    return ExitCode.DIFFERENT if Status.MISMATCH in statuses else ExitCode.GOOD
