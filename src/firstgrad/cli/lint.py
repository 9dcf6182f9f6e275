"""``firstgrad lint``: what to write differently in a model, from the graph of its log-density, without a compile."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

import typer

from firstgrad.cli.console import ExitCode, OutputOptions, finish, note, say
from firstgrad.cli.options import ModelOptions, TierOfSuite, declare, memory_limit_bytes, spread
from firstgrad.errors import SpecError

if TYPE_CHECKING:
    from firstgrad.linting.finding import FindingName

EPILOG = """\b
Examples:
  firstgrad lint mymodel.py:build
      your model: which lines cost what, and what to write instead
  firstgrad lint 'models/*.py'
      several models, the worst first; also a folder, or the suite of firstgrad.toml
  firstgrad lint mymodel.py:build --ignore gradient-per-variable
      all findings except that one
  firstgrad lint mymodel.py:build --sarif lint.sarif
      for editors and code scanning, in addition to the report

\b
Exit codes: 0 nothing, or hints only; 1 findings; 2 wrong use; 3 the model could not be built; 4 broke off.
"""


@spread
def lint(
    model: ModelOptions,
    select: Annotated[
        list[str] | None, declare("--select", "Only these findings, with commas.", metavar="NAMES")
    ] = None,
    ignore: Annotated[
        list[str] | None, declare("--ignore", "Not these findings, with commas.", metavar="NAMES")
    ] = None,
    tier: TierOfSuite = None,
    sarif: Annotated[str | None, declare("--sarif", "Also write SARIF 2.1.0.", metavar="FILE")] = None,
    time_limit: Annotated[float, declare("--time-limit", "Seconds.")] = 300.0,
    memory_limit: Annotated[
        str | None, declare("--memory-limit", "Memory limit of the process tree, such as 4GiB.")
    ] = None,
    *,
    output: OutputOptions,
) -> None:
    """Look for what costs time or gives wrong numbers in a model: your lines, and what to write instead. No compile."""
    from firstgrad.linting.finding import LintReport
    from firstgrad.linting.launch import lint as lint_apart
    from firstgrad.record import Failure
    from firstgrad.show.findings import lint_result, lint_results, merge_reports, to_sarif
    from firstgrad.sources import check_reference

    output.refuse_both()
    selected, ignored = read_names("--select", select), read_names("--ignore", ignore)
    models, omitted = model.to_models_once(tier)
    for asked in models:
        check_reference(asked.reference)
    reports = []
    try:
        for number, asked in enumerate(models, start=1):
            if model.is_several:
                note(f"[{number}/{len(models)}] {asked}")
            report = lint_apart(
                asked, time_limit_seconds=time_limit, memory_limit_bytes=memory_limit_bytes(memory_limit)
            )
            wanted = (one for one in report.findings if not selected or one.name in selected)
            reports.append(replace(report, findings=tuple(one for one in wanted if one.name not in ignored)))
    except KeyboardInterrupt:
        say("firstgrad: interrupted")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    reports += [
        LintReport(model=one.what, failure=Failure(kind="NoModel", message=one.reason))
        for one in omitted
        if one.is_failure
    ]
    if sarif is not None:
        from firstgrad.codec import to_json
        from firstgrad.store.files import write_file

        write_file(sarif, f"{to_json(to_sarif(merge_reports(reports), version('firstgrad')))}\n".encode())
    good, found, failed = ExitCode.GOOD, ExitCode.DIFFERENT, ExitCode.CASE_FAILED
    make = lint_results if model.is_several else lambda reports, **codes: lint_result(*reports, **codes)
    finish(make(reports, good=good, found=found, failed=failed), output)


def read_names(option: str, given: list[str] | None) -> frozenset[FindingName]:
    """Read names of findings; raises SpecError naming the option and what there is."""
    from firstgrad.linting.finding import FindingName

    names = [name.strip() for text in given or () for name in text.split(",")]
    unknown = next((name for name in names if name not in FindingName), None)
    if unknown is not None:
        raise SpecError(option, f"there is no finding {unknown!r}. There are: {', '.join(FindingName)}")
    return frozenset(map(FindingName, names))
