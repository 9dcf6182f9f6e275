from __future__ import annotations

import json
import math
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import assume, given, settings

import builders
from benchmarks.spread.run import cost_of, spread_of
from firstgrad.case import BackendName, Case, Counting, Scenario
from firstgrad.columns import AT_LEAST, FRAME_COLUMNS, METRICS, cells_of, parameters_of, samples_table
from firstgrad.doubts import why_unusable
from firstgrad.measuring import launch
from firstgrad.model import Model, as_model, make_model
from firstgrad.phase import FIRST_GRADIENT_PHASES, Phase
from firstgrad.pose.spec import (
    Formulation,
    HmmAlgorithm,
    HmmSpec,
    Likelihood,
    Missing,
    PosePriors,
    PoseSpec,
    Skeleton,
    WalkAxis,
)
from firstgrad.record import Counts, Doubt, Failure, Memory, MemoryPoint, Status
from helpers import make_case, make_environment, make_record
from strategies import cases, environments, records

POSE = Case(model=PoseSpec(), backend=BackendName.FAKE, time_limit_seconds=10.0)
OWN = make_case(time_limit_seconds=10.0)
DURATIONS = {
    Phase.IMPORT: 2.0,
    Phase.BUILD: 0.5,
    Phase.LOGP_GRAPH: 0.25,
    Phase.GRAD_GRAPH: 0.75,
    Phase.REWRITE: 1.0,
    Phase.LINK: 1.5,
    Phase.FIRST_CALL: 0.125,
    Phase.EVALUATE: 0.5,
}
PAUSE_SECONDS = 1.0
"""Between `build` and `logp_graph`: the search for a start point."""


def phases_until(last):
    """All phases up to this one, one after the other, with their pause."""
    made, now = [], 0.0
    for phase, seconds in DURATIONS.items():
        if phase is Phase.LOGP_GRAPH:
            now += PAUSE_SECONDS
        made.append(builders.phase(phase, seconds, began=now))
        now += seconds
        if phase is last:
            break
    return tuple(made)


def stopped(phase, *, after, at, case=POSE, status=Status.TIMEOUT, **more):
    """A sample that was stopped in a phase (none: between two) after another one had ended."""
    looks = tuple(MemoryPoint(at_seconds=seconds, rss_bytes=size) for seconds, size in ((0.5, 700), (at, 600)))
    memory = Memory(peak_rss_bytes=700, timeline=looks)
    failure = Failure(kind="TimeLimit", message="stopped", phase=phase)
    known = {"memory": memory, "failure": failure, "phases": phases_until(after) if after else ()}
    return make_record(case=case, status=status, **known | more)


def numbers_of(record):
    """The metrics that there are, by their name."""
    cells = cells_of(record)
    return {metric.name: cells[metric.name] for metric in METRICS if cells[metric.name] is not None}


def bounds_of(record):
    """The lower bounds that there are, by the metric's name."""
    cells = cells_of(record)
    return {metric.name: bound for metric in METRICS if (bound := cells[metric.name + AT_LEAST]) is not None}


def seconds_known(record):
    numbers, bounds = numbers_of(record), bounds_of(record)
    assert bounds.pop("peak_memory") == numbers.pop("peak_memory") == 700
    return numbers, bounds


# What a line says


def test_a_line_repeats_its_record():
    case = replace(make_case(), scenario=Scenario.HOT, memory_limit_bytes=2**30)
    environment = make_environment(
        versions=(("pymc", "6.4.0"),), label="main", git_commit="a" * 40, load_before=0.5, python="3.13.1"
    )
    record = make_record(
        case=case,
        environment=environment,
        doubts=(Doubt.HIGH_LOAD,),
        counts=Counts(groups=1, values=1, nodes_before=9, nodes_after=7, compiled_units=3),
        phases=phases_until(Phase.EVALUATE),
        time_to_first_gradient_seconds=4.25,
        evaluation_seconds=(0.3, 0.1, 0.2),
    )
    cells = cells_of(record)
    for name in ("record_id", "started_at", "status"):
        assert cells[name] == getattr(record, name)
    for name in ("backend", "target", "scenario", "evaluations", "time_limit_seconds", "memory_limit_bytes"):
        assert cells[name] == getattr(case, name)
    for name in ("label", "git_commit", "load_before", "python"):
        assert cells[name] == getattr(environment, name)
    assert (cells["reference"], cells["model"], cells["doubts"]) == (
        "some/file.py:build",
        "some/file.py:build",
        "high_load",
    )
    assert (cells["host"], cells["verdict"], cells["reason"]) == (environment.host.digest, record.check.verdict, "")
    assert json.loads(cells["packages"]) == [["pymc", "6.4.0"]]
    assert cells["sample_seconds"] == 2.0 + 0.5 + PAUSE_SECONDS + 0.25 + 0.75 + 1.0 + 1.5 + 0.125 + 0.5
    assert numbers_of(record) == {
        "time_to_first_gradient": 4.25,
        **{f"phase_{phase}": seconds for phase, seconds in DURATIONS.items() if phase is not Phase.EVALUATE},
        "evaluation": 0.2,
        "nodes_before": 9,
        "nodes": 7,
        "compiled_units": 3,
    }
    assert bounds_of(record) == {}


@settings(max_examples=100, deadline=None)
@given(records())
def test_any_record_has_a_line_with_its_reason_and_its_metrics(record):
    cells = cells_of(record)
    assert tuple(cells) == FRAME_COLUMNS
    assert cells["reason"] == why_unusable(record)
    assert cells["question"] == record.case.question
    for metric in METRICS:
        read, number = metric.read(record), cells[metric.name]
        assert read is None or number == float(read) or (math.isnan(read) and math.isnan(number))


def test_a_question_is_the_digest_of_the_case_without_limits_and_evaluations():
    asked = replace(POSE, evaluations=0, time_limit_seconds=None)
    assert cells_of(make_record(case=POSE))["question"] == asked.id
    others = [replace(POSE, evaluations=7), replace(POSE, time_limit_seconds=1.0), replace(POSE, memory_limit_bytes=1)]
    assert {cells_of(make_record(case=each))["question"] for each in others} == {asked.id}
    unlike = [replace(POSE, backend=BackendName.C), replace(POSE, model=PoseSpec(seed=1))]
    assert asked.id not in {cells_of(make_record(case=each))["question"] for each in unlike}


@pytest.mark.parametrize(
    ("changes", "is_equal"),
    [
        ({"versions": (("firstgrad", "0.2"), ("pymc", "6.4.0"))}, True),
        ({"label": "x", "git_commit": "b" * 40, "load_before": 3.0, "bytecode": True, "device": "cpu"}, True),
        ({"bytecode": False}, False),
        ({"device": "cuda, NVIDIA H100"}, False),
        ({"versions": (("firstgrad", "0.1"), ("pymc", "6.4.1"))}, False),
        ({"python": "3.12.1"}, False),
        ({"compiler": "g++ 13"}, False),
        ({"threads": 2}, False),
        ({"flags": "floatX=float32"}, False),
        ({"host": replace(make_environment().host, cores=2)}, False),
    ],
    ids=str,
)
def test_conditions_are_what_must_be_equal_before_numbers_are_put_together(changes, is_equal):
    environment = make_environment(versions=(("firstgrad", "0.1"), ("pymc", "6.4.0")))
    other = replace(environment, **changes)
    assert (environment.conditions == other.conditions) is is_equal
    assert cells_of(make_record(environment=other))["conditions"] == other.conditions


@settings(max_examples=60, deadline=None)
@given(environments(), environments())
def test_different_environments_have_different_conditions(one, other):
    assume(one.versions != other.versions and "firstgrad" not in dict(one.versions) | dict(other.versions))
    assert one.conditions != other.conditions


# Parameters


def test_parameters_are_columns_of_the_table_with_the_pose_models_defaults():
    own = Model(reference="a.py:f", parameters=(("label", "x"), ("n", 3), ("slope", 2.5)))
    cases = [POSE, replace(POSE, model=PoseSpec(hmm=HmmSpec(n_states=3))), replace(POSE, model=own)]
    table = samples_table([make_record(case=case) for case in cases])
    assert list(table.timesteps[:2]) == [100, 100]
    assert list(table.states[:2]) == [0, 3]
    assert list(table.hmm_algorithm[:2]) == ["", "scan"]
    assert (table.n[2], table.slope[2], table.parameter_label[2], table.label[2]) == (3, 2.5, "x", "")
    assert table.n[:2].isna().all()
    assert math.isnan(table.timesteps[2])


def test_every_field_of_a_pose_model_is_a_parameter():
    changes = {
        "n_timesteps": 7,
        "n_directions": 2,
        "n_cameras": 7,
        "seed": 7,
        "missed_fraction": 0.5,
        "formulation": Formulation.VECTORISED,
        "likelihood": Likelihood.GAUSSIAN,
        "missing": Missing.NAIVE,
        "walk_axis": WalkAxis.LAST,
        "skeleton": Skeleton.STAR,
        "hmm": HmmSpec(),
        "priors": PosePriors(rho_sigma=3),
        "force_unrolled": True,
    }
    assert {*changes, "parents"} == {each.name for each in fields(PoseSpec)}
    custom = [PoseSpec(n_directions=2, skeleton=Skeleton.CUSTOM, parents=(-1, 0, last)) for last in (0, 1)]
    others = [PoseSpec(hmm=HmmSpec(n_states=3)), PoseSpec(hmm=HmmSpec(algorithm=HmmAlgorithm.TREE))]
    specs = [PoseSpec(), *(PoseSpec(**{name: value}) for name, value in changes.items()), *custom, *others]
    models = [as_model(spec) for spec in specs]
    assert [model.pose for model in models] == specs
    assert len({model.parameters for model in models}) == len({str(model) for model in models}) == len(specs)
    assert len(parameters_of(samples_table([make_record(case=replace(POSE, model=m)) for m in models]))) == len(specs)


def test_defaults_of_the_pose_model_are_left_out_of_its_parameters():
    assert as_model(PoseSpec()) == make_model("pose") == make_model("pose", {"timesteps": 100, "hmm": False})
    assert make_model("pose", {"rho_sigma": 3}).parameters == (("rho_sigma", 3.0),)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_a_models_values_are_all_that_it_is_told_by(case):
    model = case.model
    assert make_model(model.reference, dict(model.parameters)) == model
    assert set(dict(model.parameters)) <= set(model.values)


# What a limit leaves known


def test_the_phase_that_was_stopped_and_the_whole_are_known_to_be_at_least_what_had_passed():
    numbers, bounds = seconds_known(stopped(Phase.REWRITE, after=Phase.GRAD_GRAPH, at=9.5))
    # `rewrite` began at 4.5; the whole counts from 2.0, without the pause.
    assert bounds == {"phase_rewrite": 5.0, "time_to_first_gradient": 6.5}
    assert numbers == {f"phase_{phase}": DURATIONS[phase] for phase in list(DURATIONS)[:4]}
    # A phase that just began has no bound.
    _, bounds = seconds_known(stopped(Phase.REWRITE, after=Phase.GRAD_GRAPH, at=0.5))
    assert bounds == {"time_to_first_gradient": 1.5}


@pytest.mark.parametrize(
    ("phase", "after", "case", "expected"),
    [
        (Phase.IMPORT, None, POSE, {"phase_import": 9.5}),
        (Phase.BUILD, Phase.IMPORT, POSE, {"phase_build": 7.5, "time_to_first_gradient": 7.5}),
        (Phase.LOGP_GRAPH, Phase.BUILD, POSE, {"phase_logp_graph": 7.0, "time_to_first_gradient": 7.5}),
        # Only a user's model has its start point searched for, which counts for neither.
        (Phase.LOGP_GRAPH, Phase.BUILD, OWN, {"time_to_first_gradient": 0.5}),
        (Phase.BUILD, Phase.BUILD, OWN, {"time_to_first_gradient": 0.5}),
        (Phase.GRAD_GRAPH, Phase.LOGP_GRAPH, OWN, {"phase_grad_graph": 5.75, "time_to_first_gradient": 6.5}),
        # A hot sample compiles once before `build` begins.
        (Phase.IMPORT, Phase.IMPORT, replace(POSE, scenario=Scenario.HOT), {}),
        (Phase.BUILD, Phase.IMPORT, replace(POSE, scenario=Scenario.HOT), {}),
        (None, None, POSE, {}),
    ],
)
def test_nothing_is_claimed_of_what_may_not_have_begun(phase, after, case, expected):
    _, bounds = seconds_known(stopped(phase, after=after, at=9.5, case=case))
    assert bounds == expected


@pytest.mark.parametrize("after", [Phase.FIRST_CALL, Phase.EVALUATE], ids=["in evaluate", "in the check"])
def test_once_the_first_gradient_was_there_its_time_is_a_number(after):
    record = stopped(Phase.EVALUATE, after=after, at=9.5)
    numbers, bounds = seconds_known(record)
    assert bounds == {}
    assert numbers["time_to_first_gradient"] == sum(DURATIONS[phase] for phase in FIRST_GRADIENT_PHASES)
    assert "time_to_first_gradient_cpu" not in numbers


def test_the_memory_limit_stops_like_the_time_limit_and_is_a_bound_itself():
    limited = replace(POSE, memory_limit_bytes=1000)
    failure = Failure(kind="MemoryLimit", message="over", phase=Phase.IMPORT)
    record = stopped(Phase.IMPORT, after=None, at=9.5, case=limited, status=Status.OUT_OF_MEMORY, failure=failure)
    assert bounds_of(record) == {"peak_memory": 1000, "phase_import": 9.5}
    refused = replace(record, failure=replace(failure, kind="MemoryError"))  # by the system, below the limit
    assert bounds_of(refused) == {"peak_memory": 700, "phase_import": 9.5}


def test_of_one_that_stood_still_no_seconds_are_known():
    limited = replace(POSE, memory_limit_bytes=1000)
    failure = Failure(kind="MemoryLimit", message="over", phase=Phase.IMPORT)
    record = stopped(Phase.IMPORT, after=None, at=9.5, case=limited, status=Status.OUT_OF_MEMORY, failure=failure)
    suspended = replace(record, suspended_seconds=8.0, doubts=(Doubt.SUSPENDED,))
    assert bounds_of(suspended) == {"peak_memory": 1000}


@pytest.mark.parametrize("status", [Status.OK, Status.FAILED, Status.CRASHED, Status.MISMATCH])
def test_what_no_limit_stopped_has_no_bounds(status):
    record = stopped(Phase.REWRITE, after=Phase.GRAD_GRAPH, at=9.5, status=status)
    assert bounds_of(record) == {}
    assert "time_to_first_gradient" not in numbers_of(record)


def test_a_filling_that_was_stopped_tells_nothing_of_the_warm_sample(monkeypatch):
    def run_sample(case, *_, **__):
        return stopped(Phase.REWRITE, after=Phase.GRAD_GRAPH, at=9.5, case=case)

    monkeypatch.setattr(launch, "run_sample", run_sample)
    monkeypatch.setattr(launch, "PrivateCaches", lambda: nullcontext(SimpleNamespace(restore=lambda: False)))
    (record,) = launch.measure(replace(POSE, scenario=Scenario.WARM))
    assert record.case.scenario is Scenario.WARM
    assert bounds_of(record) == {}


def test_a_sample_lasted_until_it_was_last_seen():
    record = stopped(Phase.REWRITE, after=Phase.GRAD_GRAPH, at=9.5)
    assert cells_of(record)["sample_seconds"] == 9.5
    assert cells_of(replace(record, memory=None))["sample_seconds"] == 4.5
    assert cells_of(replace(record, memory=None, phases=()))["sample_seconds"] == 10.0
    unseen = replace(record, memory=None, phases=(), status=Status.CRASHED)
    assert cells_of(unseen)["sample_seconds"] == 0.0


def test_spreads_and_costs_are_those_that_were_measured():
    measured = json.loads((Path(__file__).parents[2] / "docs/data/spread.json").read_text())
    declared = {metric.name: metric for metric in METRICS}
    spreads: dict[str, list[float]] = {}
    for one in measured.values():
        for name, counts in one["counts"].items():
            assert counts["samples"] >= 20
            spreads.setdefault(name, []).append(spread_of(counts))
    for name, metric in declared.items():
        assert (metric.spread is None) is (name not in spreads), name
    for name, found in spreads.items():
        assert max(found) <= declared[name].spread <= 1.5 * max(found), name
        assert declared[name].is_exact is (max(found) < 0.001), name
    for counting in (Counting.PLAIN, Counting.INSTRUMENTED):
        dearest = max(cost_of(one["cpu_seconds"], counting) for one in measured.values())
        (declared_cost,) = {metric.cost for metric in METRICS if metric.cost and metric.counting is counting}
        assert declared_cost == pytest.approx(dearest, abs=0.01)
