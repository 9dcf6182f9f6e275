"""What lint found, for people and for programs: terminal, Markdown, pages, JSON, SARIF."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from firstgrad.linting.finding import FindingName, Harm, LintReport
from firstgrad.show.result import (
    BLANK,
    Form,
    Heading,
    Items,
    JsonLines,
    Only,
    Result,
    Span,
    Style,
    Table,
    TableColumn,
    Text,
    Verbatim,
    left,
    right,
)
from firstgrad.units import format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from firstgrad.linting.finding import CostEstimate, Finding
    from firstgrad.observe.events import CodeLine
    from firstgrad.show.result import Inline, Part

_MOST_LINES = 6
_HARMS = {
    Harm.WRONG: "wrong numbers",
    Harm.UNSUPPORTED: "does not run everywhere",
    Harm.COMPILE: "time to compile",
    Harm.MEMORY: "memory",
    Harm.EVALUATION: "time of each evaluation",
}
_LEVELS = {True: "note", False: "warning"}
SARIF_VERSION, SARIF_SCHEMA = "2.1.0", "https://json.schemastore.org/sarif-2.1.0.json"


def lint_result(report: LintReport, *, good: int = 0, found: int = 1, failed: int = 3) -> Result:
    """Make what is shown of a report; the numbers are the exit codes."""
    code = failed if report.failure is not None else good if report.is_clean else found
    return Result(
        parts=tuple(report_parts(report)), document=report, exit_code=code, is_failure=report.failure is not None
    )


def lint_results(reports: Sequence[LintReport], *, good: int = 0, found: int = 1, failed: int = 3) -> Result:
    """Make what is shown of several reports: a table of models, the worst first, then what was found in each."""
    worst = sorted(reports, key=lambda one: (one.failure is None, one.is_clean, -_seconds(one), -len(one.findings)))
    rows = [
        (
            Span(report.model, is_verbatim=True),
            _verdict(report) if report.failure is None else Span(report.failure.message, Style.BAD, is_verbatim=True),
            str(report.findings[0].name) if report.findings else "",
            format_seconds(seconds) if (seconds := _seconds(report)) else "",
        )
        for report in worst
    ]
    columns = (TableColumn("model", is_kept=True), *left("found", is_folded=True), *left("above all"))
    return Result(
        parts=(
            Heading(f"{format_count(len(reports), 'model')}, the worst first"),
            Table(columns=(*columns, *right("may cost")), rows=rows),
            BLANK,
            *(part for report in worst if report.findings for part in report_parts(report)),
        ),
        document=JsonLines(worst),
        exit_code=max(lint_result(one, good=good, found=found, failed=failed).exit_code for one in reports),
    )


def merge_reports(reports: Sequence[LintReport]) -> LintReport:
    """Put several models' findings into one report: a file of SARIF has one run."""
    return LintReport(
        model=", ".join(report.model for report in reports),
        findings=tuple(finding for report in reports for finding in report.findings),
        skipped=tuple(dict.fromkeys(one for report in reports for one in report.skipped)),
        failure=next((report.failure for report in reports if report.failure is not None), None),
    )


def _seconds(report: LintReport) -> float:
    """Sum what findings are estimated to cost."""
    return sum(finding.seconds for finding in report.findings if not finding.is_hint)


def report_parts(report: LintReport) -> Iterator[Part]:
    """Yield all that is shown of a report."""
    from firstgrad.show.records import why_parts

    if report.failure is not None:
        yield Heading((Span(report.model, is_verbatim=True), ": could not be looked at"))
        yield from why_parts("failed", report.failure)
        return
    size = f"{format_count(report.terms, 'term')}, {format_count(report.nodes, 'node')}, looked at in "
    yield Heading((Span(report.model, is_verbatim=True), f": {_verdict(report)}"))
    yield Text(f"the log-density's graph has {size}{format_seconds(report.seconds)}", Style.DIM)
    for note in report.notes:
        yield Text(note, Style.DIM)
    if not report.findings:
        yield Text(
            "Lint knows no better way to write this model. firstgrad profile says where its seconds go, and "
            "firstgrad.sample(model) often draws sooner without a change of the model.",
            Style.DIM,
        )
    for finding in report.findings:
        yield BLANK
        yield from finding_parts(finding)
    if report.skipped:
        yield BLANK
        yield Items([f"not looked for: {one.rule} ({one.reason})" for one in report.skipped], Style.DOUBT)
    yield BLANK


def _verdict(report: LintReport) -> str:
    wanted = sum(not finding.is_hint for finding in report.findings)
    hints = len(report.findings) - wanted
    told = [format_count(wanted, "finding")] if wanted or not hints else []
    told += [format_count(hints, "hint")] if hints else []
    return "nothing found" if not report.findings else ", ".join(told)


def finding_parts(finding: Finding) -> Iterator[Part]:
    """Yield what is shown of a finding: what it is, where it stands, what it costs, what to write."""
    kind = f"{_HARMS[finding.harm]}{f', {" and ".join(finding.backends)}' if finding.backends else ''}"
    style = Style.DIM if finding.is_hint else Style.BAD if finding.harm is Harm.WRONG else Style.DOUBT
    head: Inline = (Span(str(finding.name), style), f" ({'hint, ' if finding.is_hint else ''}{kind}): {finding.fact}")
    yield Only(Form.TERMINAL, (Text(head),))
    yield Only(Form.MARKDOWN, (Heading(head, level=4),))
    yield Only(Form.HTML, (Heading(head, level=4),))
    lines = list(dict.fromkeys(finding.lines))
    if lines:
        yield Items([_line_text(line) for line in lines[:_MOST_LINES]])
    if finding.variables:
        yield Text(("variables: ", Span(", ".join(finding.variables[:_MOST_LINES]), is_verbatim=True)))
    for estimate in finding.estimates:
        yield Text(estimate_text(estimate))
    if finding.instead:
        yield Text("instead:")
        yield Verbatim(finding.instead.splitlines())
    yield Text(f"more: {finding.name.page}", Style.DIM)


def estimate_text(estimate: CostEstimate) -> str:
    """Say what an estimate is, and on what it rests."""
    low, high = format_seconds(estimate.low_seconds), format_seconds(estimate.high_seconds)
    amount = f"about {low}" if low == high else f"{low} to {high}"
    return f"costs {amount} of {estimate.of_what} (estimated: {estimate.evidence})"


def place_of(line: CodeLine) -> str:
    """Name a line by its file, from the working folder where it is below it; of a notebook's cell by the cell."""
    path = Path(line.file)
    if path.parent.name.startswith("ipykernel_"):
        return f"the cell, line {line.line}"
    try:
        shown = path.relative_to(Path.cwd()) if path.is_absolute() else path
    except (ValueError, OSError):
        shown = path
    return f"{shown}:{line.line}"


def _line_text(line: CodeLine) -> Inline:
    return (f"  {place_of(line)}  ", Span(line.text, is_verbatim=True)) if line.text else f"  {place_of(line)}"


# --- SARIF --------------------------------------------------------------------------------------------------------


def to_sarif(report: LintReport, version: str) -> dict[str, Any]:
    """Write a report as SARIF 2.1.0, for editors and code scanning.

    Files below the working folder are named from there, as code scanning wants it.
    """
    numbers = Counter(finding.name for finding in report.findings)
    names = [name for name in FindingName if numbers[name]]
    rules = [
        {
            "id": str(name),
            "shortDescription": {"text": str(name).replace("-", " ")},
            "help": {"text": f"See {name.page} of firstgrad's documentation."},
        }
        for name in names
    ]
    problem = [] if report.failure is None else [_notification(f"{report.failure.kind}: {report.failure.message}")]
    skipped = [_notification(f"not looked for: {one.rule} ({one.reason})") for one in report.skipped]
    return {
        "$schema": SARIF_SCHEMA,
        "version": SARIF_VERSION,
        "runs": [
            {
                "tool": {"driver": {"name": "firstgrad", "semanticVersion": version, "rules": rules}},
                "invocations": [
                    {
                        "executionSuccessful": report.failure is None,
                        "toolExecutionNotifications": [*problem, *skipped],
                    }
                ],
                "columnKind": "utf16CodeUnits",
                "results": [_sarif_result(finding, names) for finding in report.findings],
            }
        ],
    }


def _notification(text: str) -> dict[str, Any]:
    return {"level": "warning", "message": {"text": text}}


def _sarif_result(finding: Finding, names: list[FindingName]) -> dict[str, Any]:
    costs = "".join(f" It {estimate_text(one)}." for one in finding.estimates)
    instead = f"\n\nInstead:\n{finding.instead}" if finding.instead else ""
    result: dict[str, Any] = {
        "ruleId": str(finding.name),
        "ruleIndex": names.index(finding.name),
        "level": _LEVELS[finding.is_hint],
        "message": {"text": f"{finding.fact[:1].upper()}{finding.fact[1:]}.{costs}{instead}"},
        "properties": {"harm": str(finding.harm), "variables": list(finding.variables), "nodes": finding.nodes},
    }
    places = [_sarif_place(line) for line in dict.fromkeys(finding.lines)]
    if places:
        result["locations"] = places[:1]
    if places[1:]:
        result["relatedLocations"] = [{"id": number, **place} for number, place in enumerate(places[1:], 1)]
    return result


def _sarif_place(line: CodeLine) -> dict[str, Any]:
    path = Path(line.file)
    try:
        uri = quote(path.resolve().relative_to(Path.cwd()).as_posix())
    except (ValueError, OSError):
        uri = path.as_uri() if path.is_absolute() else quote(line.file)
    region: dict[str, Any] = {"startLine": max(line.line, 1)}
    if line.text:
        region["snippet"] = {"text": line.text}
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}
