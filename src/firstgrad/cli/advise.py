"""``firstgrad advise``: which backend and formulation cost least for what is planned, and what else would help."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from firstgrad.cli.advise_options import AdviseOptions, installed_backends
from firstgrad.cli.options import ModelOptions, spread

if TYPE_CHECKING:
    from pathlib import Path

    from firstgrad.analysis.advice import Advice
    from firstgrad.analysis.remedies.base import Finding
    from firstgrad.cli.advise_samples import Found, Wanted
    from firstgrad.model import Model

EPILOG = """\b
Examples:
  firstgrad advise pose --evaluations 20000
      measures what is not stored yet: every installed backend, both formulations, cold and warm
  firstgrad advise mymodel.py:build --chains 4 --tune 1000 --draws 1000 --leapfrog 15 --cores 4
      your own model, and the number of evaluations as sampling makes it
  firstgrad advise pose --evaluations 20000 --from docs/data/growth.jsonl --output advice.png
      from an export; the chart as a file

\b
Exit codes: 0 good; 1 a choice gives wrong or infinite gradients; 2 wrong use; 3 no choice has numbers; 130 interrupted.
"""


@spread
def advise(model: ModelOptions, options: AdviseOptions) -> None:
    """Say which backend and formulation take the least time for N gradient evaluations, and what else would help."""
    from firstgrad.analysis.advice import make_advice
    from firstgrad.analysis.advice_offers import find_offers
    from firstgrad.cli.advise_rows import to_document
    from firstgrad.cli.advise_samples import rows_of_records

    options.check()
    workload, described = options.to_workload(), model.to_model()
    wanted, found = _find_samples(described, options)
    questions = {each.case.question: (each.choice, each.case.scenario) for each in wanted}
    advice = make_advice(find_offers(rows_of_records(found.records), questions, workload), workload)
    findings = _find_remedies(described, found, advice)
    if options.json:
        from firstgrad.codec import to_json

        typer.echo(to_json(to_document(described, found, advice, findings)))
    else:
        from firstgrad.cli.advise_table import show_advice
        from firstgrad.cli.console import make_console

        show_advice(make_console(), described, found, advice, findings)
    if options.output is not None and advice.scenarios:
        typer.echo(_draw(advice, options.output), err=options.json)
    raise typer.Exit(exit_code(advice))


def exit_code(advice: Advice) -> int:
    """Say how it ended."""
    from firstgrad.cli.exit_codes import ExitCode

    if advice.alarms:
        return ExitCode.DIFFERENT
    return ExitCode.GOOD if advice.scenarios else ExitCode.CASE_FAILED


def _find_samples(model: Model, options: AdviseOptions) -> tuple[tuple[Wanted, ...], Found]:
    from dataclasses import replace

    from firstgrad.case import BackendName, Target
    from firstgrad.cli.advise_samples import from_export, from_store, list_wanted
    from firstgrad.cli.exit_codes import ExitCode
    from firstgrad.cli.rows import open_store
    from firstgrad.errors import SpecError
    from firstgrad.store import DEFAULT_PATH, Store, import_jsonl

    if options.source is not None:
        wanted = list_wanted(model, options.to_backends(tuple(BackendName)), options)
        records = list(import_jsonl(options.source))
        found = from_export(records, wanted, options.source)
        if not found.records and options.target is None and options.chosen_target is Target.LOGP_DLOGP:
            # Better the gradient alone than nothing; its samples say which they are.
            wanted = list_wanted(model, options.to_backends(tuple(BackendName)), replace(options, target=Target.DLOGP))
            found = from_export(records, wanted, options.source)
            told = "These samples are of the gradient alone (dlogp); NUTS compiles value and gradient (logp_dlogp)."
            found = replace(found, notes=(*found.notes, told))
        if not found.records:
            raise SpecError("--from", f"{options.source} has no samples of this model, target {options.chosen_target}")
        there = {record.case.backend for record in found.records}
        return tuple(each for each in wanted if options.backend or each.choice.backend in there), found
    wanted = list_wanted(model, options.to_backends(installed_backends()), options)
    opened = open_store(options.store) if options.no_measure else Store.open(options.store or DEFAULT_PATH)
    try:
        with opened as store:
            return wanted, from_store(store, wanted, options)
    except KeyboardInterrupt:
        typer.echo(
            "firstgrad: interrupted. What was measured is kept: the same command goes on from there, and with "
            "--no-measure it advises from what is there",
            err=True,
        )
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _find_remedies(model: Model, found: Found, advice: Advice) -> tuple[Finding, ...]:
    from firstgrad.analysis.remedies import find_remedies
    from firstgrad.analysis.remedies.base import Situation
    from firstgrad.analysis.remedies.evidence import load_evidence
    from firstgrad.analysis.remedies.surroundings import look_around

    situation = Situation(
        model=model,
        records=found.records,
        advice=advice,
        surroundings=look_around(),
        evidence=load_evidence(),
    )
    return find_remedies(situation)


def _draw(advice: Advice, output: str) -> Path:
    from pathlib import Path

    from firstgrad.show.style import firstgrad_style
    from firstgrad.show.totals import describe_advice, draw_advice

    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"Description": describe_advice(advice)} | ({"Date": None} if path.suffix == ".svg" else {})
    with firstgrad_style():
        draw_advice(advice).savefig(path, metadata=metadata)
    return path
