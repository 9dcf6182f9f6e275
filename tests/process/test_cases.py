"""The situations of `examples/cases`: what lint must say of each and of which line, and where it must be silent."""

from __future__ import annotations

import importlib.util
import json
import warnings
from pathlib import Path

import pytest
from pymc.exceptions import ImputationWarning

from benchmarks.lint_precision import cures, run
from benchmarks.markers import replace_between_markers
from firstgrad.linting.engine import lint_model
from firstgrad.linting.finding import FindingName
from firstgrad.observe.lines import deep_traces

CASES = Path(__file__).parents[2] / "examples" / "cases"
# What lint must find, and a piece of the line that it must name.
FAULTS = {
    "hypergeometric": (FindingName.UNKNOWN_TO_JAX, "pt.hyp2f1(tail, near"),
    "interpolated_prior": (FindingName.UNKNOWN_TO_JAX, "pm.Interpolated(name"),
    "likelihood_per_clinic": (FindingName.GROWS_WITH_DATA, 'pm.LogNormal(f"days_{clinic}"'),
    "own_op": (FindingName.UNKNOWN_TO_JAX, "FreeDrug(cured)(dose"),
    "unknown_length": (FindingName.NO_STATIC_SHAPE, "pt.arange(data.shape[0])"),
    "unrolled_integral": (FindingName.SAME_SUBGRAPH, "return pt.exp(level + slope * time"),
    "variable_per_cell": (FindingName.GROWS_WITH_DATA, 'pm.Poisson(f"caught_{trap}_{week}"'),
    "variable_per_pair": (FindingName.GROWS_WITH_DATA, 'pm.Bernoulli(f"lent_{left}_{right}"'),
    "variable_per_pair discrete": (FindingName.GROWS_WITH_DATA, 'pm.Bernoulli(f"lent_{left}_{right}"'),
}
SILENT = (
    "interpolated_prior cured",
    "likelihood_per_clinic cured",
    "log_of_exp",
    "minibatch",
    "missing_observations",
    "near_equal_eigenvalues cured",
    "power_at_zero cured",
    "sparse_design dense",
    "unknown_length frozen",
    "small_integers cured",
    "unrolled_integral cured",
    "variable_per_cell cured",
    "variable_per_pair cured",
    "zero_rate cured",
)
SAME_DENSITY = (
    "likelihood_per_clinic",
    "own_op",
    "unrolled_integral",
    "variable_per_cell",
    "variable_per_pair",
    "near_equal_eigenvalues",
    "zero_rate",
)


def _build(name):
    stem, *sides = name.split()
    spec = importlib.util.spec_from_file_location(f"case_{stem}", CASES / f"{stem}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build(**dict.fromkeys(sides, True))


@pytest.fixture(scope="module")
def reports():
    """Lint all of them in this process: nothing is compiled."""
    with deep_traces(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ImputationWarning)  # what missing_observations is about
        return {name: lint_model(_build(name), name=name) for name in (*FAULTS, *SILENT)}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_with_its_line_and_its_cure(reports, name):
    kind, line = FAULTS[name]
    (finding,) = [one for one in reports[name].findings if one.name is kind]
    first = finding.lines[0]
    assert line in first.text
    assert Path(first.file).name == f"{name.split()[0]}.py"
    assert line in Path(first.file).read_text().splitlines()[first.line - 1]
    assert finding.instead


@pytest.mark.parametrize("name", SILENT)
def test_nothing_is_said_where_nothing_is_wrong(reports, name):
    assert [finding.fact for finding in reports[name].findings if not finding.is_hint] == []


def test_every_rule_could_look_at_every_case(reports):
    assert {name: report.skipped for name, report in reports.items() if report.skipped} == {}


@pytest.mark.parametrize("name", SAME_DENSITY)
def test_a_cure_changes_nothing_of_the_density(name):
    assert run.log_density(_build(f"{name} cured")) == pytest.approx(run.log_density(_build(name)), rel=1e-6)


def test_every_case_is_tested():
    tested = {name.split()[0] for name in (*FAULTS, *SILENT)}
    assert tested == {path.stem for path in CASES.glob("*.py")}


def test_every_finding_of_the_catalogue_is_judged():
    rows = json.loads(run.DATA.read_text())["models"]
    assert [(row["model"], finding["name"]) for row, finding, verdict in run.judge(rows) if verdict is None] == []


@pytest.mark.parametrize(("name", "block"), [("lint-precision", run.page), ("lint-cures", cures.page)])
def test_the_tables_are_made_from_the_data(name, block):
    text = run.PAGE.read_text()
    assert replace_between_markers(text, name, block()) == text, "--only-page"
