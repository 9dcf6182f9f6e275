"""What lint shows: terminal, Markdown, JSON, SARIF, exit codes, names; the pages; estimates."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from builders import firstgrad
from firstgrad.codec import from_json, to_json
from firstgrad.linting.finding import (
    CostEstimate,
    Extent,
    Finding,
    FindingName,
    Harm,
    LintReport,
    Measured,
    Pattern,
    SkippedRule,
    estimate,
    load_measured,
    worst_first,
)
from firstgrad.observe.events import CodeLine
from firstgrad.record import Failure
from firstgrad.show.findings import lint_result, lint_results, merge_reports, to_sarif
from firstgrad.show.result import Form, render

ROOT = Path(__file__).parents[2]
LINE = CodeLine(
    file=str(Path.cwd() / "models" / "my wells.py"), line=12, function="build", text="x = pm.Normal(f'x_{i}')"
)
FAR = CodeLine(file="/elsewhere/helper.py", line=3, function="shift", text="")
LOOP = Finding(
    name=FindingName.SAME_SUBGRAPH,
    harm=Harm.COMPILE,
    fact="one line stands 99 times in the graph",
    lines=(LINE, FAR),
    variables=("rate", "x_#"),
    count=99,
    nodes=495,
    instead="k = np.arange(99)[:, None]\narea = height(k).sum(axis=0)",
    estimates=(
        CostEstimate(
            low_seconds=4.0, high_seconds=9.0, of_what="a cold first gradient with numba", evidence="measured"
        ),
    ),
)
HINT = Finding(
    name=FindingName.UNKNOWN_TO_JAX, harm=Harm.UNSUPPORTED, fact="JAX lacks <b>it</b>", backends=("jax",), is_hint=True
)
WRONG = Finding(name=FindingName.SINGULAR_AT_DATA, harm=Harm.WRONG, fact="zero to a power")
REPORT = LintReport(
    model="models/wells.py:build",
    findings=(LOOP, HINT),
    terms=4,
    nodes=724,
    seconds=0.4,
    skipped=(SkippedRule(rule="static shapes", reason="too large"),),
)


def test_the_terminal_has_lines_costs_and_what_to_write():
    shown = render(lint_result(REPORT), Form.TERMINAL)
    assert "models/wells.py:build: 1 finding, 1 hint" in shown
    assert "same-subgraph (time to compile): one line stands 99 times in the graph" in shown
    assert "  models/my wells.py:12  x = pm.Normal(f'x_{i}')" in shown
    assert "/elsewhere/helper.py:3" in shown
    assert "costs 4.00 s to 9.00 s of a cold first gradient with numba (estimated: measured)" in shown
    assert "  | area = height(k).sum(axis=0)" in shown
    assert "more: docs/lint/same-subgraph.md" in shown
    assert "not looked for: static shapes (too large)" in shown


def test_markdown_keeps_code_as_code_and_names_as_texts():
    shown = render(lint_result(REPORT), Form.MARKDOWN)
    assert "```\nk = np.arange(99)[:, None]\n" in shown
    assert "<b>" not in shown.replace(r"\<b>", "")


def test_json_reads_back():
    assert from_json(render(lint_result(REPORT), Form.JSON), LintReport) == REPORT


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (LintReport(model="m"), 0),
        (LintReport(model="m", findings=(HINT,)), 0),
        (LintReport(model="m", findings=(HINT, LOOP)), 1),
        (LintReport(model="m", failure=Failure(kind="ModelError", message="no")), 3),
    ],
)
def test_exit_codes(report, code):
    assert lint_result(report).exit_code == code


def test_wrong_numbers_first_then_seconds_hints_last():
    small = Finding(name=FindingName.SCALAR_LOOP, harm=Harm.COMPILE, fact="small")
    assert worst_first([HINT, small, LOOP, WRONG]) == (WRONG, LOOP, small, HINT)


def test_sarif_has_what_the_standard_requires():
    document = json.loads(to_json(to_sarif(REPORT, "1.2.3")))
    assert document["version"] == "2.1.0"
    assert document["$schema"].endswith("sarif-2.1.0.json")
    (run,) = document["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["semanticVersion"]) == ("firstgrad", "1.2.3")
    rules = [rule["id"] for rule in driver["rules"]]
    assert len(set(rules)) == len(rules)
    assert run["invocations"][0]["executionSuccessful"] is True
    assert len(run["results"]) == 2
    for result, finding in zip(run["results"], REPORT.findings, strict=True):
        assert result["ruleId"] == rules[result["ruleIndex"]] == finding.name
        assert result["level"] == ("note" if finding.is_hint else "warning")
        assert result["message"]["text"]
        for place in (*result.get("locations", ()), *result.get("relatedLocations", ())):
            physical = place["physicalLocation"]
            assert physical["region"]["startLine"] >= 1
            assert re.fullmatch(r"[!-~]+", physical["artifactLocation"]["uri"])
    (place,) = run["results"][0]["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "models/my%20wells.py"
    (other,) = run["results"][0]["relatedLocations"]
    assert other["physicalLocation"]["artifactLocation"]["uri"] == "file:///elsewhere/helper.py"


def test_sarif_of_what_could_not_be_looked_at():
    failed = to_sarif(LintReport(model="m", failure=Failure(kind="ModelError", message="no")), "1")
    (run,) = failed["runs"]
    assert run["results"] == []
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert "ModelError: no" in invocation["toolExecutionNotifications"][0]["message"]["text"]


def test_each_finding_has_a_page_and_stands_in_the_list():
    pages = {path.stem for path in (ROOT / "docs" / "lint").glob("*.md")} - {"README"}
    assert pages == set(FindingName)
    listed = (ROOT / "docs" / "lint" / "README.md").read_text()
    for name in FindingName:
        assert (ROOT / name.page).read_text().startswith(f"# {name}\n")
        assert f"]({name}.md)" in listed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--select", "same-subgraf"), "--select: there is no finding 'same-subgraf'. There are: variable-per-element"),
        (("--ignore", "same-subgraph,no"), "--ignore: there is no finding 'no'"),
        (("--json", "--markdown"), "give one of them"),
        (("nowhere.py:build",), "nowhere.py"),
    ],
)
def test_wrong_use(words, message):
    run = firstgrad("lint", *words)
    assert run.code == 2
    assert message in run.err


def planted(monkeypatch, *pairs):
    rows = tuple(
        Measured(
            pattern=Pattern.TERMS,
            backend=backend,
            scenario="cold",
            size=size,
            extent=Extent(nodes=nodes),
            graph_seconds=0.0,
            with_seconds=cost + 2.0,
            without_seconds=2.0,
            measured_on="here",
        )
        for backend, size, nodes, cost in pairs
    )
    monkeypatch.setattr("firstgrad.linting.finding.load_measured", lambda: rows)


def test_estimates_follow_the_measured_power(monkeypatch):
    planted(monkeypatch, ("numba", 10, 100, 1.0), ("numba", 40, 400, 8.0), ("jax", 10, 100, 3.0))
    between = estimate(Pattern.TERMS, Extent(nodes=200))
    assert [one.of_what for one in between] == ["a cold first gradient with jax", "a cold first gradient with numba"]
    assert [one.middle_seconds for one in between] == pytest.approx([6.0, 8**0.5], rel=0.05)
    (beyond, _) = estimate(Pattern.TERMS, Extent(nodes=1600))
    assert beyond.of_what.endswith("numba")
    assert beyond.middle_seconds == pytest.approx(64.0, rel=0.05)
    assert beyond.low_seconds < beyond.middle_seconds < beyond.high_seconds


def test_each_backend_goes_by_its_own_measure_beside_the_graphs_part(monkeypatch):
    def row(backend, nodes, turns, arrays, cost):
        extent = Extent(nodes=nodes, turns=turns, arrays=arrays)
        seconds = {"with_seconds": cost + 3.0, "without_seconds": 2.0, "graph_seconds": 1.0}
        return Measured(
            pattern=Pattern.EXPRESSIONS,
            backend=backend,
            scenario="cold",
            size=9,
            extent=extent,
            measured_on="",
            **seconds,
        )

    rows = (row("numba", 100, 10, 20, 4.0), row("jax", 100, 10, 20, 6.0))
    monkeypatch.setattr("firstgrad.linting.finding.load_measured", lambda: rows)

    def seconds(pattern, **extent):
        return {one.of_what.rpartition(" ")[2]: one.middle_seconds for one in estimate(pattern, Extent(**extent))}

    assert seconds(Pattern.EXPRESSIONS, nodes=200, turns=10, arrays=20) == pytest.approx(
        {"jax": 8, "numba": 6}, rel=0.05
    )
    assert seconds(Pattern.EXPRESSIONS, nodes=100, turns=20, arrays=10) == pytest.approx(
        {"jax": 13, "numba": 3}, rel=0.05
    )
    assert seconds(Pattern.ADDENDS, nodes=100, turns=20, arrays=10) == pytest.approx({"numba": 3}, rel=0.05)


def test_what_saves_nothing_has_no_estimate(monkeypatch):
    planted(monkeypatch, ("numba", 10, 100, -1.0), ("numba", 40, 400, 0.0))
    assert estimate(Pattern.TERMS, Extent(nodes=300)) == ()


def test_the_shipped_table_has_both_backends_for_each_loop():
    loops = (Pattern.TERMS, Pattern.EXPRESSIONS, Pattern.STACKED, Pattern.NUMBERS, Pattern.FILLED, Pattern.RECURSION)
    for pattern in loops:
        assert {one.backend for one in load_measured() if one.pattern is pattern} == {"numba", "jax"}


def test_several_models_are_a_table_the_worst_first_and_the_exit_code_is_the_worst():
    failed = LintReport(model="gone.py:build", failure=Failure(kind="ModelError", message="no data"))
    wrong, clean = LintReport(model="wrong.py:build", findings=(WRONG,)), LintReport(model="clean.py:build")
    result = lint_results([clean, wrong, failed, REPORT])
    rows = [line for line in render(result, Form.MARKDOWN).splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [
        "gone.py:build",
        "models/wells.py:build",
        "wrong.py:build",
        "clean.py:build",
    ]
    assert "no data" in rows[0]
    assert "| 1 finding, 1 hint | same-subgraph | 6.00 s |" in rows[1]
    assert "| nothing found |" in rows[3]
    assert "firstgrad profile" in render(lint_result(clean), Form.TERMINAL)
    assert "firstgrad profile" not in render(lint_result(wrong), Form.TERMINAL)
    assert json.loads(render(result, Form.JSON).splitlines()[0])["model"] == "gone.py:build"
    assert (result.exit_code, lint_results([clean, REPORT]).exit_code, lint_results([clean]).exit_code) == (3, 1, 0)
    (run,) = to_sarif(merge_reports([clean, wrong, REPORT]), "1.0")["runs"]
    assert [one["ruleId"] for one in run["results"]] == ["singular-at-data", "same-subgraph", "unknown-to-jax"]
