import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.case import BackendName, Scenario
from firstgrad.errors import SpecError
from firstgrad.model import make_model
from firstgrad.sweep.grid import make_grid, models_of

SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=4, unique=True).map(tuple)


def test_the_default_axes_are_the_default_pose_model():
    models, left_out = models_of("pose", {})
    assert models == (make_model("pose"),)
    assert not left_out


def test_states_and_algorithms_multiply_only_where_there_is_an_hmm():
    axes = {"hmm": (False, True), "states": (2, 4, 8), "hmm_algorithm": ("scan", "tree")}
    models, _ = models_of("pose", axes)
    assert len(models) == 1 + 3 * 2
    assert sum(model.pose.hmm is None for model in models) == 1


@given(timesteps=SIZES, directions=SIZES, formulations=st.sampled_from([("per_joint", "vectorised"), ("per_joint",)]))
def test_the_whole_grid_has_every_combination_once(timesteps, directions, formulations):
    chosen = formulations
    models, _ = models_of("pose", {"timesteps": timesteps, "directions": directions, "formulation": chosen})
    assert len(models) == len(set(models)) == len(timesteps) * len(directions) * len(chosen)


@given(timesteps=SIZES, directions=SIZES)
def test_one_at_a_time_moves_one_size_from_the_base(timesteps, directions):
    models, _ = models_of("pose", {"timesteps": timesteps, "directions": directions}, one_at_a_time=True)
    assert len(models) == len(timesteps) + len(directions) - 1
    for model in models:
        assert model.pose.n_timesteps == timesteps[0] or model.pose.n_directions == directions[0]


def test_one_at_a_time_crosses_what_is_no_size():
    axes = {"timesteps": (10, 30), "states": (2, 3), "hmm": (False, True), "formulation": ("per_joint", "vectorised")}
    models, _ = models_of("pose", axes, one_at_a_time=True)
    # Each formulation: without an HMM T=10 and 30; with it T=10 and 30 at S=2, and T=10 at S=3.
    assert len(models) == 2 * (2 + 3)


def test_an_impossible_combination_is_left_out_and_named():
    axes = {"timesteps": (10, 300), "hmm": (True,), "hmm_algorithm": ("unrolled",)}
    models, left_out = models_of("pose", axes)
    assert [model.pose.n_timesteps for model in models] == [10]
    assert len(left_out) == 1
    assert "timesteps=300" in left_out[0].what
    assert "200" in left_out[0].reason


def test_parameters_of_a_users_model_are_axes():
    models, _ = models_of("mine.py:build", {"n": (1, 2, 3), "kind": ("a", "b")})
    assert len(set(models)) == 6
    assert models[0].parameters == (("kind", "a"), ("n", 1))


def test_a_grid_crosses_models_with_backends_and_scenarios():
    models, _ = models_of("pose", {"timesteps": (3, 4)})
    grid = make_grid(models, backends=(BackendName.C, BackendName.JAX), scenarios=tuple(Scenario))
    assert len(grid.cases) == 2 * 2 * 3
    assert len({case.id for case in grid.cases}) == 12


def test_an_empty_grid_is_refused():
    with pytest.raises(SpecError, match="every combination was left out"):
        make_grid((), backends=(BackendName.C,))
