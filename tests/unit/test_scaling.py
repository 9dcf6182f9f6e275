import random
from dataclasses import replace

import pytest

from firstgrad.analysis.contrasts import Contrast, find_contrasts
from firstgrad.analysis.scaling import find_growth
from firstgrad.case import Scenario
from firstgrad.columns import METRICS, metric_named
from firstgrad.growth.law import GrowthLaw, GrowthVerdict
from firstgrad.pose.spec import Formulation, PoseSpec
from firstgrad.row import make_row
from firstgrad.show.growth import growth_pictures, ratio_pictures
from planted_sweep import EXPONENT_K, FIXED_SECONDS, HMM_FACTOR, planted_record, planted_records

SECONDS = metric_named("time_to_first_gradient")
EVALUATION = metric_named("evaluation")
NODES = metric_named("nodes")


@pytest.fixture(scope="module")
def rows():
    return [make_row(record) for record in planted_records()]


def laws(rows, axis, metric):
    (growth,) = find_growth(rows, [axis], [metric])
    return {grown.name: grown.law for grown in growth.lines}


def test_what_was_planted_to_be_constant_does_not_grow(rows):
    found = laws(rows, "timesteps", SECONDS)
    assert list(found) == ["no HMM, cold", "no HMM, warm", "HMM S=2 scan, cold", "HMM S=2 scan, warm"]
    assert {law.verdict for law in found.values()} == {GrowthVerdict.DOES_NOT_GROW}


def test_a_planted_law_with_a_fixed_cost_comes_back(rows):
    law = laws(rows, "directions", SECONDS)["no HMM, cold"]
    assert EXPONENT_K in law.exponent
    assert law.exponent.low > 0.9
    assert FIXED_SECONDS in law.fixed_cost
    assert law.n_samples == 15


def test_what_is_linear_is_called_so(rows):
    law = laws(rows, "timesteps", EVALUATION)["no HMM, cold"]
    assert law.verdict is GrowthVerdict.LINEAR
    assert law.exponent.value == pytest.approx(1.0, abs=1e-6)


def test_metrics_that_nobody_measured_are_left_out(rows):
    found = find_growth(rows, ["timesteps", "directions"], METRICS)
    names = {growth.metric.name for growth in found}
    assert "phase_rewrite" not in names
    assert {"phase_link", "peak_memory", "nodes"} <= names


def test_the_planted_price_of_an_hmm_is_found_along_each_size(rows):
    for axis in ("timesteps", "directions"):
        for each in find_contrasts(rows, axis, [SECONDS], [Contrast.HMM]):
            assert HMM_FACTOR in each.curve.overall
            assert each.curve.overall.width < 0.3
            assert len(each.curve.points) == 5
            assert each.name in {"cold", "warm"}
            assert "HMM S=2 scan" in each.common
            assert all(point.interval.low < point.ratio < point.interval.high for point in each.curve.points)


def test_warm_over_cold_is_found_too(rows):
    curves = find_contrasts(rows, "timesteps", [SECONDS], [Contrast.SCENARIO])
    assert len(curves) == 2
    for each in curves:
        assert 0.1 in each.curve.overall
        assert each.numerator.scenario is Scenario.WARM


def test_formulations_are_compared_where_all_else_is_equal(rows):
    chance = random.Random(1)  # noqa: S311 - reproducible, not secret
    spec = PoseSpec(formulation=Formulation.VECTORISED)
    more = [make_row(planted_record(spec, Scenario.COLD, chance, number=number)) for number in range(3)]
    more = [replace(row, label="planted") for row in more]
    assert find_contrasts([*rows, *more], "timesteps", [SECONDS], [Contrast.FORMULATION]) == ()
    (found,) = find_contrasts([*rows, *more], "timesteps", [SECONDS], [Contrast.FORMULATION], least_sizes=1)
    (point,) = found.curve.points
    assert point.size == 100
    assert point.interval.low < 0.5 < point.interval.high


def test_figures_are_one_a_size_backend_and_scenario_with_a_panel_a_metric(rows):
    figures = growth_pictures(find_growth(rows, ["timesteps", "directions"], [SECONDS, NODES]))
    assert [figure.name for figure in figures] == [
        "scaling-timesteps-jax-cold",
        "scaling-timesteps-jax-warm",
        "scaling-directions-jax-cold",
        "scaling-directions-jax-warm",
    ]
    axes, _ = figures[0].draw().axes
    assert {line.get_label() for line in axes.lines} >= {"no HMM", "HMM S=2 scan"}
    assert "direction vectors K" in figures[2].description


def test_ratio_figures_are_one_a_choice_size_and_metric(rows):
    figures = ratio_pictures(find_contrasts(rows, "timesteps", [SECONDS, NODES], [Contrast.HMM]))
    assert [figure.name for figure in figures] == [
        "ratio-hmm-timesteps-time_to_first_gradient",
        "ratio-hmm-timesteps-nodes",
    ]
    assert figures[0].draw().axes
    assert "HMM / no HMM" in figures[0].description


def test_a_single_size_is_no_line(rows):
    assert find_growth([row for row in rows if dict(row.axes)["timesteps"] == 10], ["timesteps"], [SECONDS]) == ()


def test_two_sizes_are_a_line_without_a_law(rows):
    two = [row for row in rows if dict(row.axes)["timesteps"] in (10, 30)]
    (growth,) = find_growth(two, ["timesteps"], [SECONDS])
    assert not any(isinstance(grown.law, GrowthLaw) for grown in growth.lines)
    assert "3" in growth.lines[0].law.reason
