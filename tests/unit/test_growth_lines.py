"""Samples to lines along a size, their names, laws fitted to them, and contrasts between them."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from builders import make_environment, make_record, pose
from firstgrad.case import BackendName, Case, Scenario
from firstgrad.columns import METRICS, cells_of, metric_named, samples_table
from firstgrad.growth.contrasts import Contrast, find_contrasts
from firstgrad.growth.law import GrowthLaw, GrowthVerdict
from firstgrad.growth.lines import NODES, find_axes, find_growth, find_lines, name_lines
from firstgrad.model import Model
from firstgrad.phase import Phase
from firstgrad.pose.spec import Formulation, PoseSpec
from firstgrad.record import Counts, Failure, PhaseRecord, Status
from firstgrad.show.growth import growth_pictures, ratio_pictures
from planted_sweep import EXPONENT_K, FIXED_SECONDS, HMM_FACTOR, planted_record, planted_records

SECONDS = metric_named("time_to_first_gradient")
EVALUATION = metric_named("evaluation")
NODE_COUNT = metric_named("nodes")
NUMBERS = iter(range(10**6))
SEEDED, MISSED = {"seed": 7}, {"missed_fraction": 0.5}


def sample(model, seconds=1.0, *, backend=BackendName.JAX, scenario=Scenario.COLD, **fields):
    case = Case(model=model, backend=backend, scenario=scenario)
    known = {"counts": Counts(groups=1, values=1, nodes_after=100)} | fields
    record = make_record(record_id=f"{next(NUMBERS)}", case=case, time_to_first_gradient_seconds=seconds, **known)
    return cells_of(record)


def test_rows_that_differ_in_one_size_make_a_line():
    samples = samples_table([sample(pose(steps, bones)) for steps in (10, 100) for bones in (1, 5)])
    along_steps, along_bones = find_lines(samples, "timesteps"), find_lines(samples, "directions")
    assert [(dict(line.rest)["directions"], line.sizes) for line in along_steps] == [
        (1, (10.0, 100.0)),
        (5, (10.0, 100.0)),
    ]
    assert [(dict(line.rest)["timesteps"], line.sizes) for line in along_bones] == [(10, (1.0, 5.0)), (100, (1.0, 5.0))]


@pytest.mark.parametrize(
    "other",
    [
        sample(pose(100), backend=BackendName.C),
        sample(pose(100), scenario=Scenario.WARM),
        sample(pose(100, states=2)),
        sample(pose(100, n_cameras=4)),
        sample(pose(100, missed_fraction=0.5)),
        sample(pose(100, seed=1)),
        sample(pose(100), environment=make_environment(versions=(("pymc", "5.0"),))),
        sample(pose(100), environment=make_environment(label="other")),
        sample(pose(100), environment=make_environment(git_commit="c" * 40)),
    ],
)
def test_what_differs_in_more_than_the_size_is_another_line(other):
    samples = samples_table([sample(pose(10)), other])
    assert find_lines(samples, "timesteps", least_sizes=2) == ()
    assert len(find_lines(samples, "timesteps", least_sizes=1)) == 2


def test_another_host_or_firstgrad_is_the_same_line_and_another_block():
    host = replace(make_environment().host, cores=99)
    samples = samples_table(
        [
            sample(pose(10)),
            sample(pose(100), environment=make_environment(host=host, versions=(("firstgrad", "9"),))),
        ]
    )
    (line,) = find_lines(samples, "timesteps")
    assert len(set(line.observe(SECONDS).hosts)) == 2


def test_without_an_hmm_there_is_no_line_along_states():
    samples = samples_table([sample(pose(10, states=states)) for states in (0, 2, 4)])
    (line,) = find_lines(samples, "states")
    assert line.sizes == (2.0, 4.0)


def test_along_nodes_all_sizes_may_vary():
    samples = samples_table(
        [
            sample(pose(steps, bones), counts=Counts(groups=1, values=1, nodes_after=steps * bones))
            for steps, bones in ((10, 1), (20, 5), (30, 2))
        ]
    )
    (line,) = find_lines(samples, NODES)
    assert line.sizes == (10.0, 100.0, 60.0)


def test_parameters_of_a_users_model_are_sizes_where_they_are_numbers():
    samples = samples_table(
        [
            sample(Model(reference="a.py:build", parameters=(("kind", kind), ("n", n))))
            for kind in ("x", "y")
            for n in (10, 20)
        ]
    )
    assert find_axes(samples) == ("n",)
    assert [dict(line.rest)["kind"] for line in find_lines(samples, "n")] == ["x", "y"]


def test_axes_are_those_that_vary_those_of_the_pose_model_first():
    samples = samples_table([sample(pose(10, 1)), sample(pose(10, 2, states=2)), sample(pose(10, 2, states=3, seed=7))])
    assert find_axes(samples) == ("directions", "states")


def test_failures_are_left_out_and_limits_are_censored():
    failure = Failure(kind="TimeLimit", message="stopped", phase=Phase.LINK)
    build = PhaseRecord(phase=Phase.BUILD, began_seconds=2.0, wall_seconds=3.0, cpu_seconds=3.0)
    samples = samples_table(
        [
            sample(pose(10), 4.0),
            sample(pose(30), None, status=Status.FAILED, failure=failure),
            sample(pose(100), None, status=Status.TIMEOUT, failure=failure, phases=(build,)),
        ]
    )
    (line,) = find_lines(samples, "timesteps")
    seen = line.observe(SECONDS)
    assert seen.sizes == (10.0, 100.0)
    assert seen.is_censored == (False, True)
    assert seen.values == (4.0, 3.0)  # the clock is known to have run to 5.0, and build began at 2.0


def test_where_nothing_was_seen_there_are_no_observations():
    failure = Failure(kind="Error", message="bad")
    samples = samples_table([sample(pose(steps), None, status=Status.FAILED, failure=failure) for steps in (10, 20)])
    (line,) = find_lines(samples, "timesteps")
    assert line.observe(SECONDS) is None


def test_names_hold_what_differs_and_the_rest_is_common():
    samples = samples_table(
        [
            sample(pose(steps, states=states), backend=backend)
            for steps in (10, 20)
            for states in (0, 2)
            for backend in (BackendName.C, BackendName.JAX)
        ]
    )
    common, names = name_lines(find_lines(samples, "timesteps"))
    assert names == ("no HMM, c", "no HMM, jax", "HMM S=2 scan, c", "HMM S=2 scan, jax")
    assert common == "pose, K=5, C=3, per_joint, cold"


def test_labels_and_commits_are_named_only_where_they_differ():
    samples = samples_table(
        [sample(pose(steps), environment=make_environment(label=label)) for steps in (10, 20) for label in ("", "slow")]
    )
    common, names = name_lines(find_lines(samples, "timesteps"))
    assert names == ("label none", "label slow")
    assert "label" not in common
    assert len(find_lines(samples, "timesteps", is_one_side=True)) == 1


def test_parameters_are_named_as_a_models_label_names_them():
    samples = samples_table([sample(pose(steps, **other)) for steps in (10, 20) for other in ({}, SEEDED, MISSED)])
    _, names = name_lines(find_lines(samples, "timesteps"))
    assert names == ("jax, cold", "seed=7", "missed_fraction=0.5")


def test_a_single_line_is_named_by_backend_and_scenario():
    common, names = name_lines(find_lines(samples_table([sample(pose(10)), sample(pose(20))]), "timesteps"))
    assert names == ("jax, cold",)
    assert "no HMM" in common


@pytest.fixture(scope="module")
def samples():
    return samples_table(planted_records())


def laws(samples, axis, metric):
    (growth,) = find_growth(samples, [axis], [metric])
    return {grown.name: grown.law for grown in growth.lines}


def test_what_was_planted_to_be_constant_does_not_grow(samples):
    found = laws(samples, "timesteps", SECONDS)
    assert list(found) == ["no HMM, cold", "no HMM, warm", "HMM S=2 scan, cold", "HMM S=2 scan, warm"]
    assert {law.verdict for law in found.values()} == {GrowthVerdict.DOES_NOT_GROW}


def test_a_planted_law_with_a_fixed_cost_comes_back(samples):
    law = laws(samples, "directions", SECONDS)["no HMM, cold"]
    assert EXPONENT_K in law.exponent
    assert law.exponent.low > 0.9
    assert FIXED_SECONDS in law.fixed_cost
    assert len(law.observations.sizes) == 15


def test_what_is_linear_is_called_so(samples):
    law = laws(samples, "timesteps", EVALUATION)["no HMM, cold"]
    assert law.verdict is GrowthVerdict.LINEAR
    assert law.exponent.value == pytest.approx(1.0, abs=1e-6)


def test_metrics_that_nobody_measured_are_left_out(samples):
    found = find_growth(samples, ["timesteps", "directions"], METRICS)
    names = {growth.metric.name for growth in found}
    assert "phase_rewrite" not in names
    assert {"phase_link", "peak_memory", "nodes"} <= names


def test_the_planted_price_of_an_hmm_is_found_along_each_size(samples):
    for axis in ("timesteps", "directions"):
        for each in find_contrasts(samples, axis, [SECONDS], [Contrast.HMM]):
            assert HMM_FACTOR in each.curve.overall
            assert each.curve.overall.width < 0.3
            assert len(each.curve.points) == 5
            assert each.name in {"cold", "warm"}
            assert "HMM S=2 scan" in each.common
            assert all(point.interval.low < point.ratio < point.interval.high for point in each.curve.points)


def test_warm_over_cold_is_found_too(samples):
    curves = find_contrasts(samples, "timesteps", [SECONDS], [Contrast.SCENARIO])
    assert len(curves) == 2
    for each in curves:
        assert 0.1 in each.curve.overall
        assert each.numerator.scenario is Scenario.WARM


def test_formulations_are_compared_where_all_else_is_equal():
    chance = random.Random(1)  # noqa: S311 - reproducible, not secret
    spec = PoseSpec(formulation=Formulation.VECTORISED)
    more = [planted_record(spec, Scenario.COLD, chance, number=number) for number in range(3)]
    more = [replace(record, environment=replace(record.environment, label="planted")) for record in more]
    both = samples_table([*planted_records(), *more])
    assert find_contrasts(both, "timesteps", [SECONDS], [Contrast.FORMULATION]) == ()
    (found,) = find_contrasts(both, "timesteps", [SECONDS], [Contrast.FORMULATION], least_sizes=1)
    (point,) = found.curve.points
    assert point.size == 100
    assert point.interval.low < 0.5 < point.interval.high


def test_figures_are_one_a_size_backend_and_scenario_with_a_panel_a_metric(samples):
    figures = growth_pictures(find_growth(samples, ["timesteps", "directions"], [SECONDS, NODE_COUNT]))
    assert [figure.name for figure in figures] == [
        "scaling-timesteps-jax-cold",
        "scaling-timesteps-jax-warm",
        "scaling-directions-jax-cold",
        "scaling-directions-jax-warm",
    ]
    axes, _ = figures[0].draw().axes
    assert {line.get_label() for line in axes.lines} >= {"no HMM", "HMM S=2 scan"}
    assert "direction vectors K" in figures[2].description


def test_ratio_figures_are_one_a_choice_size_and_metric(samples):
    figures = ratio_pictures(find_contrasts(samples, "timesteps", [SECONDS, NODE_COUNT], [Contrast.HMM]))
    assert [figure.name for figure in figures] == [
        "ratio-hmm-timesteps-time_to_first_gradient",
        "ratio-hmm-timesteps-nodes",
    ]
    assert figures[0].draw().axes
    assert "HMM / no HMM" in figures[0].description


def test_a_single_size_is_no_line(samples):
    assert find_growth(samples[samples["timesteps"] == 10], ["timesteps"], [SECONDS]) == ()


def test_two_sizes_are_a_line_without_a_law(samples):
    two = samples[samples["timesteps"].isin([10, 30])]
    (growth,) = find_growth(two, ["timesteps"], [SECONDS])
    assert not any(isinstance(grown.law, GrowthLaw) for grown in growth.lines)
    assert "3" in growth.lines[0].law.reason
