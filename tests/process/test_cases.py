"""The situations of `examples/cases`: what lint must say of each and of which line, and where it must be silent."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from benchmarks.lint_precision.run import log_density
from firstgrad.linting.engine import lint_model
from firstgrad.linting.finding import FindingName
from firstgrad.observe.lines import deep_traces

CASES = Path(__file__).parents[2] / "examples" / "cases"
# What is wrong: the first finding, and a piece of the line that it names.
FAULTS = {
    "hypergeometric": (FindingName.UNKNOWN_TO_JAX, "pt.hyp2f1(tail, near"),
    "interpolated_prior": (FindingName.UNKNOWN_TO_JAX, "pm.Interpolated(name"),
    "likelihood_per_clinic": (FindingName.GROWS_WITH_DATA, 'pm.LogNormal(f"days_{clinic}"'),
    "own_op": (FindingName.UNKNOWN_TO_JAX, "FreeDrug(cured)(dose"),
    "power_at_zero": (FindingName.SINGULAR_AT_DATA, "soil**bend"),
    "unknown_length": (FindingName.NO_STATIC_SHAPE, "pytensor.scan("),
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
    with deep_traces():
        return {name: lint_model(_build(name), name=name) for name in (*FAULTS, *SILENT)}


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_the_first_finding_and_has_its_line(reports, name):
    finding, line = FAULTS[name]
    first = reports[name].findings[0]
    assert (first.name, first.is_hint) == (finding, False)
    assert line in first.lines[0].text
    place = Path(first.lines[0].file)
    assert place.name == f"{name.split()[0]}.py"
    assert line in place.read_text().splitlines()[first.lines[0].line - 1]
    assert first.instead


@pytest.mark.parametrize("name", SILENT)
def test_nothing_is_said_where_nothing_is_wrong(reports, name):
    assert [finding.fact for finding in reports[name].findings if not finding.is_hint] == []


def test_every_rule_could_look_at_every_case(reports):
    assert {name: report.skipped for name, report in reports.items() if report.skipped} == {}


@pytest.mark.parametrize("name", SAME_DENSITY)
def test_a_cure_changes_nothing_of_the_density(name):
    assert log_density(_build(f"{name} cured")) == pytest.approx(log_density(_build(name)), rel=1e-9)


def test_every_case_is_tested():
    tested = {name.split()[0] for name in (*FAULTS, *SILENT)}
    assert tested == {path.stem for path in CASES.glob("*.py")}
