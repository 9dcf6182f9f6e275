from __future__ import annotations

import hashlib
import json
import math
from contextlib import nullcontext
from dataclasses import fields, replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from firstgrad.case import BackendName, Case, Scenario
from firstgrad.measure import launch
from firstgrad.metrics import METRICS
from firstgrad.model import Model, as_model
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
from firstgrad.record import (
    FIRST_GRADIENT_PHASES,
    Counts,
    Doubt,
    Failure,
    Memory,
    MemoryPoint,
    Phase,
    PhaseRecord,
    Status,
)
from firstgrad.row import Row, axes_of, conditions_of, family_of, make_row
from firstgrad.row.text import ROW_VERSION, read_row, write_row
from firstgrad.usability import why_unusable
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
        made.append(PhaseRecord(phase=phase, began_seconds=now, wall_seconds=seconds, cpu_seconds=seconds))
        now += seconds
        if phase is last:
            break
    return tuple(made)


def stopped(phase, *, after, at, case=POSE, status=Status.TIMEOUT, **more):
    """A sample that was stopped in a phase (none: between two) after another one had ended."""
    memory = Memory(
        peak_rss_bytes=700,
        timeline=(MemoryPoint(at_seconds=0.5, rss_bytes=700), MemoryPoint(at_seconds=at, rss_bytes=600)),
    )
    failure = Failure(kind="TimeLimit", message="stopped", phase=phase)
    known = {"memory": memory, "failure": failure, "phases": phases_until(after) if after else ()}
    return make_record(case=case, status=status, **known | more)


def named(values):
    """Those that there are, by the metric's name."""
    return {metric.name: each for metric, each in zip(METRICS, values, strict=True) if each is not None}


def seconds_known(record):
    row = make_row(record)
    numbers, bounds = named(row.numbers), named(row.bounds)
    assert bounds.pop("peak_memory") == numbers.pop("peak_memory") == 700
    return numbers, bounds


# What a row says


def test_a_row_repeats_its_record():
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
    row = make_row(record)
    for name in ("record_id", "started_at", "status", "doubts"):
        assert getattr(row, name) == getattr(record, name)
    for name in ("backend", "target", "scenario", "evaluations", "time_limit_seconds", "memory_limit_bytes"):
        assert getattr(row, name) == getattr(case, name)
    for name in ("versions", "label", "git_commit", "load_before"):
        assert getattr(row, name) == getattr(environment, name)
    assert (row.family, row.model) == ("some/file.py:build", "some/file.py:build")
    assert (row.host, row.verdict, row.reason) == (environment.host.digest, record.check.verdict, "")
    assert row.sample_seconds == 2.0 + 0.5 + PAUSE_SECONDS + 0.25 + 0.75 + 1.0 + 1.5 + 0.125 + 0.5
    assert named(row.numbers) == {
        "time_to_first_gradient": 4.25,
        **{f"phase_{phase}": seconds for phase, seconds in DURATIONS.items() if phase is not Phase.EVALUATE},
        "evaluation": 0.2,
        "nodes_before": 9,
        "nodes": 7,
        "compiled_units": 3,
    }
    assert named(row.bounds) == {}


@settings(max_examples=100, deadline=None)
@given(records())
def test_any_record_has_a_row_with_its_reason_and_its_metrics(record):
    row = make_row(record)
    assert row.reason == why_unusable(record)
    assert row.question == record.case.question
    assert len(row.numbers) == len(row.bounds) == len(METRICS)
    for metric, number in zip(METRICS, row.numbers, strict=True):
        read = metric.read(record)
        assert read is None or number == read or (math.isnan(read) and math.isnan(number))


def test_a_question_is_the_digest_of_the_case_without_limits_and_evaluations():
    asked = replace(POSE, evaluations=0, time_limit_seconds=None)
    assert make_row(make_record(case=POSE)).question == asked.id
    others = [replace(POSE, evaluations=7), replace(POSE, time_limit_seconds=1.0), replace(POSE, memory_limit_bytes=1)]
    assert {make_row(make_record(case=each)).question for each in others} == {asked.id}
    unlike = [replace(POSE, backend=BackendName.C), replace(POSE, model=PoseSpec(seed=1))]
    assert asked.id not in {make_row(make_record(case=each)).question for each in unlike}


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
    assert (conditions_of(environment) == conditions_of(other)) is is_equal
    assert make_row(make_record(environment=other)).conditions == conditions_of(other)


@settings(max_examples=60, deadline=None)
@given(environments(), environments())
def test_different_environments_have_different_conditions(one, other):
    assume(one.versions != other.versions and "firstgrad" not in dict(one.versions) | dict(other.versions))
    assert conditions_of(one) != conditions_of(other)


def test_axes_are_what_varies_within_a_family():
    assert family_of(as_model(PoseSpec())) == "pose"
    assert axes_of(as_model(PoseSpec())) == (
        ("cameras", 3),
        ("directions", 5),
        ("formulation", "per_joint"),
        ("hmm_algorithm", ""),
        ("likelihood", "mixture"),
        ("missing", "safe"),
        ("other", ""),
        ("seed", 42),
        ("skeleton", "chain"),
        ("states", 0),
        ("timesteps", 100),
    )
    hmm = dict(axes_of(as_model(PoseSpec(hmm=HmmSpec(n_states=3, algorithm=HmmAlgorithm.TREE)))))
    assert (hmm["states"], hmm["hmm_algorithm"], hmm["other"]) == (3, "tree", "")
    external = Model(reference="a.py:f", parameters=(("n", 3), ("slope", 2.5)))
    assert (family_of(external), axes_of(external)) == ("a.py:f", (("n", 3), ("slope", 2.5)))


def test_what_has_no_axis_of_its_own_is_told_where_it_is_not_as_by_default():
    spec = PoseSpec(
        n_directions=2,
        skeleton=Skeleton.CUSTOM,
        parents=(-1, 0, 0),
        walk_axis=WalkAxis.LAST,
        priors=PosePriors(rho_sigma=3),
        missed_fraction=0.5,
    )
    assert dict(axes_of(as_model(spec)))["other"] == (
        '{"missed_fraction":0.5,"parents":"-1,0,0","rho_sigma":3.0,"walk_axis":"last"}'
    )


@settings(max_examples=60, deadline=None)
@given(cases())
def test_axes_are_sorted_by_their_name(case):
    names = [name for name, _ in axes_of(case.model)]
    assert names == sorted(set(names))


def test_every_field_of_a_model_is_in_its_axes():
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
    states = PoseSpec(hmm=HmmSpec(n_states=3))
    specs = [PoseSpec(), *(PoseSpec(**{name: value}) for name, value in changes.items()), *custom, states]
    assert len({axes_of(as_model(spec)) for spec in specs}) == len(specs)


# What a limit leaves known


def test_the_phase_that_was_stopped_and_the_whole_are_known_to_be_at_least_what_had_passed():
    numbers, bounds = seconds_known(stopped(Phase.REWRITE, after=Phase.GRAD_GRAPH, at=9.5))
    # `rewrite` began at 4.5; the whole counts from 2.0, without the pause.
    assert bounds == {"phase_rewrite": 5.0, "time_to_first_gradient": 6.5}
    assert numbers == {
        "phase_import": 2.0,
        "phase_build": 0.5,
        "phase_logp_graph": 0.25,
        "phase_grad_graph": 0.75,
    }


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
    assert named(make_row(record).bounds) == {"peak_memory": 1000, "phase_import": 9.5}
    refused = replace(record, failure=replace(failure, kind="MemoryError"))  # by the system, below the limit
    assert named(make_row(refused).bounds) == {"peak_memory": 700, "phase_import": 9.5}


@pytest.mark.parametrize("status", [Status.OK, Status.FAILED, Status.CRASHED, Status.MISMATCH])
def test_what_no_limit_stopped_has_no_bounds(status):
    row = make_row(stopped(Phase.REWRITE, after=Phase.GRAD_GRAPH, at=9.5, status=status))
    assert named(row.bounds) == {}
    assert "time_to_first_gradient" not in named(row.numbers)


def test_a_phase_that_just_began_has_no_bound():
    _, bounds = seconds_known(stopped(Phase.REWRITE, after=Phase.GRAD_GRAPH, at=0.5))
    assert bounds == {"time_to_first_gradient": 1.5}


def test_a_filling_that_was_stopped_tells_nothing_of_the_warm_sample(monkeypatch):
    def run_sample(case, *_, **__):
        return stopped(Phase.REWRITE, after=Phase.GRAD_GRAPH, at=9.5, case=case)

    monkeypatch.setattr(launch, "run_sample", run_sample)
    monkeypatch.setattr(launch, "PrivateCaches", nullcontext)
    (record,) = launch.measure(replace(POSE, scenario=Scenario.WARM))
    assert record.case.scenario is Scenario.WARM
    assert named(make_row(record).bounds) == {}


def test_a_sample_lasted_until_it_was_last_seen():
    record = stopped(Phase.REWRITE, after=Phase.GRAD_GRAPH, at=9.5)
    assert make_row(record).sample_seconds == 9.5
    assert make_row(replace(record, memory=None)).sample_seconds == 4.5
    assert make_row(replace(record, memory=None, phases=())).sample_seconds == 10.0
    unseen = replace(record, memory=None, phases=(), status=Status.CRASHED)
    assert make_row(unseen).sample_seconds == 0.0


# Text


@settings(max_examples=200, deadline=None)
@given(records())
def test_any_row_comes_back_from_its_text(record):
    row = make_row(record)
    text = write_row(row)
    assert repr(read_row(text)) == repr(row)  # unlike ==, holds for nan, and tells 1 from 1.0
    assert text.isascii()


@given(st.text(), st.floats(), st.lists(st.none() | st.floats() | st.integers(-(2**62), 2**62)), st.data())
def test_any_text_and_number_of_a_row_comes_back(text, seconds, numbers, data):
    bounds = data.draw(st.just([None] * len(numbers)) | st.permutations(numbers))
    row = replace(
        make_row(make_record()),
        label=text,
        reason="half a pair \udcff",
        axes=(("a", True), ("b", 1), ("c", 1.0), ("d", text), ("e", -0.0)),
        versions=((text, "1"),),
        sample_seconds=seconds,
        numbers=tuple(numbers),
        bounds=tuple(bounds),
    )
    assert repr(read_row(write_row(row))) == repr(row)


@pytest.mark.parametrize("text", ["", "{}", "null", "[]\n[]\n[]", "[]\n[]\nnull", "[1]\n[]\n[]", "[]\n[]\n[1,2"])
def test_another_text_is_no_row(text):
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_row(text)


def test_no_change_of_what_a_row_says_goes_without_a_new_version():
    told = [
        [each.name for each in fields(Row)],
        [[metric.name, metric.version] for metric in METRICS],
        write_row(make_row(stopped(Phase.REWRITE, after=Phase.GRAD_GRAPH, at=9.5))),
    ]
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    # Stored rows of the same version are not made anew: with another digest, ROW_VERSION must be another too.
    assert (ROW_VERSION, digest) == (4, "339dd8caf2511214")
