"""The situations of `examples/cases`: what lint and check must say of each and its line, and where they are silent.

All of it in this process, without a compiler, but for one that goes the whole way.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from pymc.exceptions import ImputationWarning

from benchmarks.lint_precision import run
from firstgrad.backends.base import Answer, BuiltModel
from firstgrad.linting.derivatives import GraphExplainer
from firstgrad.linting.engine import lint_model
from firstgrad.linting.finding import FindingName
from firstgrad.linting.values import Density
from firstgrad.measuring.verify import check_answers
from firstgrad.measuring.worker import nearby_points
from firstgrad.observe.lines import deep_traces
from firstgrad.points import Group

CASES = Path(__file__).parents[2] / "examples" / "cases"
# What lint must find, and a piece of the line that it must name.
FAULTS = {
    "hypergeometric": (FindingName.UNKNOWN_TO_JAX, "pt.hyp2f1(tail, near"),
    "interpolated_prior": (FindingName.UNKNOWN_TO_JAX, "pm.Interpolated(name"),
    "likelihood_per_clinic": (FindingName.GROWS_WITH_DATA, 'pm.LogNormal(f"days_{clinic}"'),
    "own_op": (FindingName.UNKNOWN_TO_JAX, "FreeDrug(cured)(dose"),
    "power_at_zero": (FindingName.SINGULAR_AT_DATA, "soil**bend"),
    "small_integers": (FindingName.NARROW_TYPE, "pm.Beta("),
    "unknown_length": (FindingName.NO_STATIC_SHAPE, "pt.arange(data.shape[0])"),
    "unrolled_integral": (FindingName.SAME_SUBGRAPH, "return pt.exp(level + slope * time"),
    "variable_per_cell": (FindingName.GROWS_WITH_DATA, 'pm.Poisson(f"caught_{trap}_{week}"'),
    "variable_per_pair": (FindingName.GROWS_WITH_DATA, 'pm.Bernoulli(f"lent_{left}_{right}"'),
    "variable_per_pair discrete": (FindingName.GROWS_WITH_DATA, 'pm.Bernoulli(f"lent_{left}_{right}"'),
    "zero_rate": (FindingName.MASK_AFTER_ARITHMETIC, "pm.Poisson("),
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
# What check must be content with: finite, and as finite differences say.
RIGHT = (
    "log_of_exp",
    "missing_observations",
    "near_equal_eigenvalues cured",
    "own_op cured",
    "power_at_zero cured",
    "small_integers cured",
    "sparse_design",
    "unknown_length",
    "variable_per_cell",
    "zero_rate",
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


def _check(name):
    """Check a case's gradient as the interpreter gives it."""
    with deep_traces(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ImputationWarning)
        model = _build(name)
    density = Density.with_lines(model)
    start = {value: np.asarray(array) for value, array in model.initial_point().items()}
    names = {model.rvs_to_values[rv].name: rv.name for rv in model.free_RVs}
    groups = [Group(names[v.name], start[v.name].shape, value_name=v.name) for v in model.continuous_value_vars]
    answers = [(at, Answer(*reversed(density.gradient(at)))) for at in (start, *nearby_points(start, count=1))]
    explainer = GraphExplainer(density, lambda: model)
    return check_answers(BuiltModel(model, None, is_own=True), groups, answers, density, lambda: explainer)


def test_a_power_at_zero_is_named_and_no_mask_is():
    check = _check("power_at_zero")
    assert {group.group: group.nan for group in check.finiteness if group.nan} == {"kept": 1}
    (origin,) = check.origins
    assert origin.places == ("kept[gauge=gauge 1]",)
    assert "runoff = share * soil**bend" in origin.line
    assert "mask" not in origin.fact
    assert "pt.maximum" in origin.instead


def test_a_wrong_derivative_is_pinned_to_its_group_and_its_op():
    slope = _check("own_op").slope
    assert [one.group for one in slope.groups] == ["half"]
    assert [one.operation for one in slope.derivatives] == ["FreeDrug"]


def test_eigenvalues_that_nearly_coincide_make_a_wrong_gradient():
    slope = _check("near_equal_eigenvalues").slope
    assert slope.differs
    assert [one.operation for one in slope.derivatives] == ["Eigh"]
    assert "pm.gp.MarginalKron" in slope.derivatives[0].line


def test_a_minibatch_is_no_alarm():
    check = _check("minibatch")
    assert "draws anew" in check.slope.skipped
    assert (check.n_not_finite, check.logp_not_finite) == (0, ())


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_called_right(name):
    check = _check(name)
    assert (check.n_not_finite, check.logp_not_finite, check.slope.skipped) == (0, (), "")
    assert not check.slope.differs


@pytest.mark.compiles
def test_check_compiles_with_jax_and_says_where_jaxs_own_derivative_errs(tmp_path):
    pytest.importorskip("jax")
    command = [sys.executable, "-m", "firstgrad", "check", f"{CASES / 'zero_rate.py'}:build", "--param", "nights=8"]
    run = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, timeout=110, cwd=tmp_path)
    record = json.loads(run.stdout)
    assert (run.returncode, record["status"], record["case"]["backend"]) == (0, "ok", "jax")
    check = record["check"]
    assert [group["nan"] for group in check["finiteness"]] == [0, 0]
    assert abs(check["slope"]["got"] - check["slope"]["expected"]) <= check["slope"]["allowed"]
    (own,) = check["others"]
    assert (own["backend"], own["not_finite"]) == ("jax_direct", ["usual", "moon"])
    assert own["origins"][0]["line"].startswith("zero_rate.py:")


@pytest.mark.parametrize("name", SAME_DENSITY)
def test_a_cure_changes_nothing_of_the_density(name):
    assert run.log_density(_build(f"{name} cured")) == pytest.approx(run.log_density(_build(name)), rel=1e-6)


def test_every_case_is_tested():
    tested = {name.split()[0] for name in (*FAULTS, *SILENT)}
    assert tested == {path.stem for path in CASES.glob("*.py")}


def test_every_finding_of_the_catalogue_is_judged():
    rows = json.loads(run.DATA.read_text())["models"]
    assert [(row["model"], finding["name"]) for row, finding, verdict in run.judge(rows) if verdict is None] == []
