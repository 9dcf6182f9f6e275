"""``firstgrad measure``: one case, live, then its phases, memory and verdict."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from firstgrad.cli.console import ExitCode, OutputOptions, finish, say, show
from firstgrad.cli.options import MeasureOptions, ModelOptions, spread
from firstgrad.errors import StoreError
from firstgrad.record import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.case import Case
    from firstgrad.record import Record
    from firstgrad.show.result import Result
    from firstgrad.store import Store

EPILOG = """\b
Examples:
  firstgrad measure pose --backend jax
      the pose model, cold
  firstgrad measure pose --hmm --states 3 --scenario warm --samples 5
      medians with intervals
  firstgrad measure mymodel.py:build --param n=100 --backend c
      your own: build(n=100) returns a pm.Model, or a pair (model, initial_point)
  firstgrad measure pose --json --store none | jq .time_to_first_gradient_seconds

\b
Exit codes: 0 good; 1 the oracle disagrees; 2 wrong use; 3 the measured case failed; 4 broke off.
"""


@spread
def measure(model: ModelOptions, measurement: MeasureOptions, output: OutputOptions) -> None:
    """Measure one case: time to first gradient phase by phase, evaluation time, memory, verdict."""
    output.refuse_both()
    case = measurement.to_case(model.to_model())
    records = measure_and_store(case, measurement, lambda records: show(make_result(records), output))
    finish(make_result(records), output)


def make_result(records: list[Record]) -> Result:
    """Make what is shown of a case's samples: each of them, and where there are several their medians."""
    from firstgrad.show.records import record_parts, samples_table
    from firstgrad.show.result import JsonLines, Result

    parts = [part for record in records for part in record_parts(record)]
    if len(records) > 1:
        parts.append(samples_table(records))
    return Result(parts=parts, document=JsonLines(records), exit_code=exit_code(records))


def measure_and_store(
    case: Case, options: MeasureOptions, show_unkept: Callable[[list[Record]], object] = lambda _: None
) -> list[Record]:
    """Measure a case with live progress; each record is in the store before the next sample starts.

    Where one can't be stored, `show_unkept` shows what was measured before the error ends it.
    """
    from firstgrad.measuring import launch
    from firstgrad.show.display import show_progress
    from firstgrad.sources import check_reference
    from firstgrad.store import Keeper

    check_reference(case.model.reference)
    keeper = None if options.store == "none" else Keeper(options.store, tell=lambda line: say(f"firstgrad: {line}"))
    records: list[Record] = []
    try:
        with keeper or nullcontext():
            expected = expect(case, keeper.store if keeper else None)
            with show_progress(str(case), expected_seconds=expected) as display:
                for record in launch.measure(case, samples=options.samples, label=options.label, on_event=display):
                    records.append(record)
                    if keeper is not None:
                        keeper.keep(record)
    except KeyboardInterrupt:
        kept = f"in {keeper.address}" if keeper else "not kept"
        say(f"firstgrad: interrupted after {len(records)} of {options.samples} samples, {kept}")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except StoreError:
        if records:
            show_unkept(records)
        raise
    return records


def expect(case: Case, store: Store | None) -> list[float | None]:
    """Expect so many seconds of each process that measures a case, from former samples in a store.

    For ``warm`` the process that fills the cache comes first; None where no sample is known.
    """
    from firstgrad.case import Scenario
    from firstgrad.sweep.plan import Durations

    cold = replace(case, scenario=Scenario.COLD)
    cases = [cold, case] if case.scenario is Scenario.WARM else [case]
    if store is None:
        return [None for _ in cases]
    durations = Durations(sample for process in cases for sample in store.cells(question=process.question))
    # A case of another kind is no promise: only samples of the very same question count.
    return [durations.of_same(process) for process in cases]


def exit_code(records: list[Record]) -> int:
    """Say how a measurement ended."""
    statuses = {record.status for record in records}
    if statuses - {Status.OK, Status.MISMATCH}:
        return ExitCode.CASE_FAILED
    return ExitCode.DIFFERENT if Status.MISMATCH in statuses else ExitCode.GOOD
