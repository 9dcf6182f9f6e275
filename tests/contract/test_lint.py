"""What lint finds in real models, and that it finds nothing in clean ones."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("pymc", minversion="6")
import lint_models as models

from firstgrad.linting.backends import EVERYWHERE
from firstgrad.linting.engine import LogpGraph, NotLookedError, lint_model
from firstgrad.linting.finding import Finding, FindingName, Harm
from firstgrad.linting.rules import backward_once_a_variable, many_operands
from firstgrad.observe import probes
from firstgrad.observe.lines import deep_traces

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "models").glob("*.py"))
CLEAN = (
    ("wells", {"loop": False}),
    ("quadrature", {"loop": False}),
    ("store", {"loop": False}),
    ("autoregressive", {}),
    ("plain_data", {}),
    ("few", {}),
    ("resizable", {"kind": "Normal"}),
    ("large", {"size": 1000}),
)


@cache
def look(name, **options):
    with deep_traces():
        return lint_model(getattr(models, name)(**options))


def found(name, **options):
    report = look(name, **options)
    assert not report.skipped
    return {finding.name: finding for finding in report.findings}


def texts(finding):
    return [line.text for line in finding.lines]


@pytest.mark.parametrize(("name", "options"), CLEAN, ids=[name for name, _ in CLEAN])
def test_clean_models_have_no_finding(name, options):
    report = look(name, **options)
    assert (report.findings, report.skipped, report.is_clean) == ((), (), True)


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_of_the_examples_only_the_unrolled_one_has_findings(path):
    spec = importlib.util.spec_from_file_location(f"linted_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    with deep_traces():
        spec.loader.exec_module(module)
        report = lint_model(module.build())
    named = [finding.name for finding in report.findings if not finding.is_hint]
    assert named == ([FindingName.SCALAR_LOOP] if path.stem == "unrolled_time_series" else [])
    assert not report.skipped


def test_a_term_for_each_datum_is_one_finding_with_the_variables_that_serve_it():
    (finding,) = look("wells").findings
    assert (finding.name, finding.harm, finding.count) == (FindingName.GROWS_WITH_DATA, Harm.COMPILE, 24)
    assert finding.variables == ("seen_#_#", "shift_#_#")
    assert texts(finding)[0].startswith('pm.Normal(f"seen_{well}_{depth}"')
    assert finding.instead.splitlines() == [
        "shift = pm.Normal('shift', 0.0, 0.5, shape=(WELLS, DEPTHS))",
        "level = pm.Deterministic('level', mean + pt.exp(shift))",
        "pm.Normal('seen', level, 1.0, observed=LEVELS)",
    ]


def test_a_variable_for_each_element_without_terms_of_their_own():
    (finding,) = look("offsets").findings
    assert (finding.name, finding.count, finding.variables) == (FindingName.VARIABLE_PER_ELEMENT, 12, ("offset[#]",))
    assert finding.instead == "each = pm.Normal('offset', 0.0, spread, shape=12)"


def test_an_unrolled_integral_is_the_line_of_the_loop():
    (finding,) = look("quadrature").findings
    assert finding.name is FindingName.SAME_SUBGRAPH
    assert finding.count == 29
    assert [text.partition(" ")[0] for text in texts(finding)[:2]] == ["return", "area"]
    assert finding.instead.splitlines() == [
        "number = np.arange(1, nodes)[:, None]",
        "area = area + height(number / nodes * RAIN).sum(axis=0)",
    ]


@pytest.mark.parametrize(("how", "pattern"), [("added", "addends"), ("read", "expressions"), ("stacked", "stacked")])
def test_how_the_turns_meet_decides_what_they_are_measured_by(how, pattern):
    (finding,) = look("meeting", how=how).findings
    jax = next(one for one in finding.estimates if one.of_what.endswith("jax"))
    assert (finding.count, jax.evidence.partition(" ")[0]) == (12, pattern)


def test_a_chain_of_switches_is_to_be_one_index():
    (finding,) = look("switches").findings
    assert finding.name is FindingName.SAME_SUBGRAPH
    assert "pick once: values[which]" in finding.instead


def test_densities_that_leave_the_logarithm():
    (finding,) = look("mixture").findings
    assert finding.name is FindingName.UNSTABLE_FORMULA
    assert "logsumexp" in finding.instead


def test_what_a_density_of_pymcs_takes_the_log_of_is_kept_above_0_where_it_is_given():
    (finding,) = look("hours").findings
    assert "mu=pt.maximum(usual * np.r_[0.0, np.ones(4)], 1e-300)" in finding.instead


def test_more_turns_are_more_nodes():
    short, long = (look("quadrature", nodes=nodes).findings[0] for nodes in (20, 40))
    assert (short.count, long.count) == (19, 39)
    assert long.nodes / short.nodes == pytest.approx(39 / 19, rel=0.02)


def test_a_recursion_becomes_a_scan():
    (finding,) = look("store").findings
    assert (finding.name, finding.count) == (FindingName.SCALAR_LOOP, 39)
    assert "sequences=[push[1:]]" in finding.instead
    ast.parse(finding.instead)


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("walk", "level = pt.cumsum(size * step, axis=0)"),
        ("fading", "stored = kernel @ RAIN"),
        ("mapped", "mean = base + slope * pt.log(RAIN)"),
    ],
)
def test_scans_with_a_closed_form(name, cure):
    (finding,) = look(name).findings
    assert (finding.name, finding.count) == (FindingName.SCAN_CLOSED_FORM, models.DAYS)
    assert cure in finding.instead
    assert texts(finding)[0] == finding.lines[0].text != ""


def test_jax_lacks_the_gradient_of_a_function_that_has_a_name():
    finding = found("arrival")[FindingName.UNKNOWN_TO_JAX]
    assert "the lower incomplete gamma function (pt.gammainc)" in finding.fact
    assert finding.variables == ("shape",)
    assert "gammainc" in texts(finding)[0]
    assert finding.is_hint
    assert "ScalarLoop" not in finding.fact + finding.instead


def test_what_is_not_asked_about_is_known_to_both_backends():
    for dispatcher in (probes.JAX_FUNCIFY.find(), probes.NUMBA_FUNCIFY.find()):
        known = {kind.__name__ for kind in dispatcher.registry}
        assert known >= EVERYWHERE


def test_an_operation_of_the_users_own():
    both = found("own_operation")
    assert both.keys() == {FindingName.UNKNOWN_TO_JAX, FindingName.PYTHON_IN_NUMBA}
    for finding in both.values():
        assert "Settle" in finding.fact
        assert texts(finding)[0].startswith('pm.Normal("flow", Settle()')
        assert "Settle)\ndef settle_in_" in finding.instead


def test_a_size_that_jax_must_know_is_tried_and_so_is_the_cure():
    finding = found("moving")[FindingName.NO_STATIC_SHAPE]
    assert finding.variables == ("lengths",)
    assert "freeze_dims_and_data(model)" in finding.instead


def test_so_is_one_that_only_the_gradient_must_know():
    finding = found("resizable")[FindingName.NO_STATIC_SHAPE]
    assert (finding.variables, finding.is_hint) == (("effect",), True)
    assert "day" in finding.fact
    assert 'gradient_backend="jax"' in finding.instead
    assert "shape=(40,)" in finding.instead


def test_and_one_of_a_random_walk():
    assert found("resizable", kind="GaussianRandomWalk")[FindingName.NO_STATIC_SHAPE].variables == ("effect",)


def test_a_matrix_filled_by_loops_is_no_recursion():
    (finding,) = look("cells").findings
    assert finding.name is FindingName.SAME_SUBGRAPH
    assert "cov = height ** 2 * pt.exp(-(x[:, None] - x) ** 2 / length ** 2)" in finding.instead


def test_what_a_library_makes_for_one_line_counts():
    (finding,) = look("rows").findings
    assert (finding.name, finding.count) == (FindingName.SAME_SUBGRAPH, models.DAYS)
    assert texts(finding)[0].startswith("total += pm.logp")


def test_a_constant_that_no_cache_takes():
    (finding,) = look("large").findings
    assert (finding.name, finding.variables) == (FindingName.LARGE_CONSTANT, ("flow",))
    assert "pm.Data" in finding.instead


def test_a_sum_of_more_operands_than_numba_takes():
    def named(parts):
        return [one.count for one in many_operands(LogpGraph(models.long_sum(parts=parts)))]

    assert (named(1010), named(900)) == ([1010], [])


COMPILE, DERIVE = (f"model.{name}()" for name in ("compile_dlogp", "dlogp"))  # in parts: this file is a user's, too


@pytest.mark.parametrize(("call", "count"), [(COMPILE, 9), (f"# {COMPILE}", 9), ("", 9), (DERIVE, 3)])
def test_who_differentiates_once_a_variable_is_told_and_nobody_else(tmp_path, call, count):
    path = tmp_path / "script.py"
    path.write_text(
        "import pymc as pm\n\n\ndef build(count):\n    with pm.Model() as model:\n        for number in range(count):\n"
        f'            pm.Normal(f"x_{{number}}")\n    return model\n\n\ndef use(model):\n    return {call or None}\n'
    )
    spec = importlib.util.spec_from_file_location("asks_for_gradients", path)
    module = importlib.util.module_from_spec(spec)
    with deep_traces():
        spec.loader.exec_module(module)
        findings = list(backward_once_a_variable(LogpGraph(module.build(count))))
    if call == COMPILE:
        (finding,) = findings
        assert (finding.name, finding.count) == (FindingName.GRADIENT_PER_VARIABLE, 9)
        assert texts(finding) == [f"return {COMPILE}"]
    else:
        assert findings == []


def test_depends_on_names_what_a_node_is_computed_from():
    graph = LogpGraph(models.walk())
    flow = next(term for term in graph.terms if term.name == "flow")
    assert set(graph.depends_on(flow.logp)) == {"size", "step"}
    assert graph.is_free(flow.logp)


def test_a_rule_that_fails_or_cannot_look_is_told_and_the_others_look_on():
    def broken(_):
        raise ValueError("a strange graph")

    def blind(_):
        raise NotLookedError("too large")
        yield

    def good(_):
        yield Finding(name=FindingName.NARROW_TYPE, harm=Harm.WRONG, fact="seen")

    report = lint_model(models.few(), rules=(broken, blind, good))
    assert [(one.rule, one.reason) for one in report.skipped] == [
        ("broken", "ValueError: a strange graph"),
        ("blind", "too large"),
    ]
    assert [one.fact for one in report.findings] == ["seen"]


def test_select_and_ignore():
    def both(_):
        yield Finding(name=FindingName.NARROW_TYPE, harm=Harm.WRONG, fact="one")
        yield Finding(name=FindingName.SAME_SUBGRAPH, harm=Harm.COMPILE, fact="two")

    def facts(**choice):
        return [one.fact for one in lint_model(models.few(), rules=(both,), **choice).findings]

    assert facts() == ["one", "two"]
    assert facts(select=[FindingName.SAME_SUBGRAPH]) == ["two"]
    assert facts(ignore=[FindingName.SAME_SUBGRAPH]) == ["one"]
