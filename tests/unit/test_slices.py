from dataclasses import replace

import pytest

from firstgrad.analysis.slices import NODES, find_axes, find_lines, name_lines, observe
from firstgrad.case import BackendName, Case, Scenario
from firstgrad.columns import metric_named
from firstgrad.model import Model
from firstgrad.pose.spec import HmmAlgorithm, HmmSpec, PoseSpec
from firstgrad.record import Counts, Failure, Phase, PhaseRecord, Status
from firstgrad.row import make_row
from helpers import make_environment, make_record

SECONDS = metric_named("time_to_first_gradient")
NUMBERS = iter(range(10**6))


def row(model, seconds=1.0, *, backend=BackendName.JAX, scenario=Scenario.COLD, **fields):
    case = Case(model=model, backend=backend, scenario=scenario)
    known = {"counts": Counts(groups=1, values=1, nodes_after=100)} | fields
    record = make_record(record_id=f"{next(NUMBERS)}", case=case, time_to_first_gradient_seconds=seconds, **known)
    return make_row(record)


def pose(steps, bones=5, states=0, algorithm=HmmAlgorithm.SCAN, **fields):
    hmm = HmmSpec(n_states=states, algorithm=algorithm) if states else None
    return PoseSpec(n_timesteps=steps, n_directions=bones, hmm=hmm, **fields)


def test_rows_that_differ_in_one_size_make_a_line():
    rows = [row(pose(steps, bones)) for steps in (10, 100) for bones in (1, 5)]
    along_steps, along_bones = find_lines(rows, "timesteps"), find_lines(rows, "directions")
    assert [(dict(line.rest)["directions"], line.sizes) for line in along_steps] == [
        (1, (10.0, 100.0)),
        (5, (10.0, 100.0)),
    ]
    assert [(dict(line.rest)["timesteps"], line.sizes) for line in along_bones] == [(10, (1.0, 5.0)), (100, (1.0, 5.0))]


@pytest.mark.parametrize(
    "other",
    [
        row(pose(100), backend=BackendName.C),
        row(pose(100), scenario=Scenario.WARM),
        row(pose(100, states=2)),
        row(pose(100, n_cameras=4)),
        row(pose(100, missed_fraction=0.5)),
        row(pose(100, seed=1)),
        row(pose(100), environment=make_environment(versions=(("pymc", "5.0"),))),
    ],
)
def test_what_differs_in_more_than_the_size_is_another_line(other):
    assert find_lines([row(pose(10)), other], "timesteps", least_sizes=2) == ()
    assert len(find_lines([row(pose(10)), other], "timesteps", least_sizes=1)) == 2


def test_another_host_or_firstgrad_is_the_same_line_and_another_block():
    host = replace(make_environment().host, cores=99)
    rows = [
        row(pose(10)),
        row(pose(100), environment=make_environment(host=host, versions=(("firstgrad", "9"),))),
    ]
    (line,) = find_lines(rows, "timesteps")
    assert len(set(observe(line, SECONDS).hosts)) == 2


def test_without_an_hmm_there_is_no_line_along_states():
    rows = [row(pose(10, states=states)) for states in (0, 2, 4)]
    (line,) = find_lines(rows, "states")
    assert line.sizes == (2.0, 4.0)


def test_along_nodes_all_sizes_may_vary():
    rows = [
        row(pose(steps, bones), counts=Counts(groups=1, values=1, nodes_after=steps * bones))
        for steps, bones in ((10, 1), (20, 5), (30, 2))
    ]
    (line,) = find_lines(rows, NODES)
    assert line.sizes == (10.0, 100.0, 60.0)


def test_parameters_of_a_users_model_are_sizes_where_they_are_numbers():
    rows = [
        row(Model(reference="a.py:build", parameters=(("kind", kind), ("n", n))))
        for kind in ("x", "y")
        for n in (10, 20)
    ]
    assert find_axes(rows) == ("n",)
    assert [dict(line.rest)["kind"] for line in find_lines(rows, "n")] == ["x", "y"]


def test_axes_are_those_that_vary_those_of_the_pose_model_first():
    rows = [row(pose(10, 1)), row(pose(10, 2, states=2)), row(pose(10, 2, states=3, seed=7))]
    assert find_axes(rows) == ("directions", "states")


def test_failures_are_left_out_and_limits_are_censored():
    failure = Failure(kind="TimeLimit", message="stopped", phase=Phase.LINK)
    build = PhaseRecord(phase=Phase.BUILD, began_seconds=2.0, wall_seconds=3.0, cpu_seconds=3.0)
    rows = [
        row(pose(10), 4.0),
        row(pose(30), None, status=Status.FAILED, failure=failure),
        row(pose(100), None, status=Status.TIMEOUT, failure=failure, phases=(build,)),
    ]
    (line,) = find_lines(rows, "timesteps")
    seen = observe(line, SECONDS)
    assert seen.sizes == (10.0, 100.0)
    assert seen.is_censored == (False, True)
    assert seen.values == (4.0, 3.0)  # the clock is known to have run to 5.0, and build began at 2.0


def test_where_nothing_was_seen_there_are_no_observations():
    failure = Failure(kind="Error", message="bad")
    rows = [row(pose(steps), None, status=Status.FAILED, failure=failure) for steps in (10, 20)]
    (line,) = find_lines(rows, "timesteps")
    assert observe(line, SECONDS) is None


def test_names_hold_what_differs_and_the_rest_is_common():
    rows = [
        row(pose(steps, states=states), backend=backend)
        for steps in (10, 20)
        for states in (0, 2)
        for backend in (BackendName.C, BackendName.JAX)
    ]
    common, names = name_lines(find_lines(rows, "timesteps"))
    assert names == ("no HMM, c", "no HMM, jax", "HMM S=2 scan, c", "HMM S=2 scan, jax")
    assert common == "pose, K=5, C=3, per_joint, cold"


def test_a_single_line_is_named_by_backend_and_scenario():
    common, names = name_lines(find_lines([row(pose(10)), row(pose(20))], "timesteps"))
    assert names == ("jax, cold",)
    assert "no HMM" in common
