"""``firstgrad measure``: one case, live, then its phases, memory and verdict."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from firstgrad.cli.console import ExitCode, OutputOptions, finish, say
from firstgrad.cli.options import MeasureOptions, ModelOptions, spread
from firstgrad.record import Status

if TYPE_CHECKING:
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
    finish(make_result(measure_and_store(case, measurement)), output)


def make_result(records: list[Record]) -> Result:
    """Make what is shown of a case's samples: each of them, and where there are several their medians."""
    from firstgrad.show.records import record_parts, samples_table
    from firstgrad.show.result import JsonLines, Result

    parts = [part for record in records for part in record_parts(record)]
    if len(records) > 1:
        parts.append(samples_table(records))
    return Result(parts=parts, document=JsonLines(records), exit_code=exit_code(records))


def measure_and_store(case: Case, options: MeasureOptions) -> list[Record]:
    """Measure a case with live progress; each record is in the store before the next sample starts."""
    from firstgrad.cli.display import show_progress
    from firstgrad.measure import launch
    from firstgrad.sources import check_reference
    from firstgrad.store import DEFAULT_PATH, Store

    check_reference(case.model.reference)
    store = nullcontext() if options.store == "none" else Store.open(options.store or DEFAULT_PATH)
    records: list[Record] = []
    try:
        with store as opened, show_progress(str(case), expected_seconds=expect(case, opened)) as display:
            for record in launch.measure(case, samples=options.samples, label=options.label, on_event=display):
                if opened is not None:
                    opened.add(record)
                records.append(record)
    except KeyboardInterrupt:
        kept = "not kept" if options.store == "none" else f"in {options.store or DEFAULT_PATH}"
        say(f"firstgrad: interrupted after {len(records)} of {options.samples} samples, {kept}")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
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
