"""Generated data are reproducible and as published; given data are checked, field by field."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from firstgrad.errors import SpecError
from firstgrad.points import flatten
from firstgrad.pose.data import (
    IMAGE_HEIGHT,
    IMAGE_WIDTH,
    ancestor_matrix,
    check_data,
    generate,
    initial_point,
    joint_positions,
    project,
    unit_directions,
)
from firstgrad.pose.points import to_vectorised
from firstgrad.pose.spec import Formulation, HmmSpec, Likelihood, PoseSpec, Skeleton

SMALL = PoseSpec(n_timesteps=4, n_directions=3, n_cameras=2, hmm=HmmSpec(n_states=2))


def changed(data, name, place, value):
    """Copy the data with one value of a field changed."""
    values = getattr(data, name).copy()
    values[place] = value
    return replace(data, **{name: values})


def test_the_default_case_misses_36_of_1800_points():
    data = generate(PoseSpec())
    assert data.seen.size == 1800
    assert np.count_nonzero(~data.seen) == 36
    assert np.isnan(data.observations).sum() == 72


def test_equal_seeds_give_equal_data():
    first, second, other = (generate(replace(SMALL, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.observations, second.observations)
    np.testing.assert_array_equal(first.cameras, second.cameras)
    np.testing.assert_array_equal(flatten(first.initial, SMALL), flatten(second.initial, SMALL))
    assert not np.array_equal(first.observations, other.observations, equal_nan=True)
    assert not np.array_equal(flatten(first.initial, SMALL), flatten(other.initial, SMALL))


def test_data_do_not_touch_the_global_generator():
    np.random.seed(0)  # noqa: NPY002 - the global generator is what is tested
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    generate(SMALL)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_the_way_of_writing_changes_nothing_in_the_data():
    vectorised = replace(SMALL, formulation=Formulation.VECTORISED)
    one, other = generate(SMALL), generate(vectorised)
    np.testing.assert_array_equal(one.observations, other.observations)
    np.testing.assert_array_equal(
        flatten(to_vectorised(one.initial, SMALL), vectorised), flatten(other.initial, vectorised)
    )


@pytest.mark.parametrize("skeleton", [Skeleton.CHAIN, Skeleton.STAR, Skeleton.BINARY])
@pytest.mark.parametrize("n_states", [0, 1, 3])
@pytest.mark.parametrize("steps", [1, 5])
def test_generated_data_pass_their_own_check(skeleton, n_states, steps):
    spec = PoseSpec(
        n_timesteps=steps,
        n_directions=4,
        skeleton=skeleton,
        hmm=HmmSpec(n_states=n_states) if n_states else None,
    )
    data = generate(spec)
    check_data(spec, data)
    assert list(data.initial) == [group.value_name for group in spec.groups]
    assert tuple(data.parents) == spec.joint_parents


def test_start_values_are_the_true_ones():
    spec = PoseSpec(formulation=Formulation.VECTORISED)
    data = generate(spec)
    start = data.initial
    pixels = project(joint_positions(start["x_root"], start["raw_u"], start["length"], data.parents), data.cameras)
    noise = (data.observations - pixels)[data.seen]
    assert noise.std() == pytest.approx(0.5, rel=0.05)
    assert noise.mean() == pytest.approx(0, abs=0.05)
    assert math.exp(start["obs_sigma_log__"]) == pytest.approx(0.5)
    np.testing.assert_allclose(start["length"].mean(axis=0), np.exp(start["rho_log__"]), atol=0.03)


def test_the_cameras_look_at_the_scene():
    data = generate(PoseSpec(n_cameras=5, missed_fraction=0))
    assert (data.observations >= 0).all()
    assert (data.observations <= (IMAGE_WIDTH, IMAGE_HEIGHT)).all()


def test_some_points_are_missed_but_never_all():
    for fraction, missed in ((0.0, 0), (0.5, 16), (0.999, 31)):
        data = generate(replace(SMALL, missed_fraction=fraction))
        assert np.count_nonzero(~data.seen) == missed


def test_a_point_with_one_missing_coordinate_is_missed():
    data = changed(generate(replace(SMALL, missed_fraction=0)), "observations", (0, 1, 2, 1), np.nan)
    assert np.argwhere(~data.seen).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("name", ["observations", "cameras"])
def test_wrong_shapes_are_refused(name):
    data = generate(SMALL)
    for value in (getattr(data, name)[:1], getattr(data, name)[..., :1], getattr(data, name)[None]):
        with pytest.raises(SpecError, match="expected shape") as caught:
            check_data(SMALL, replace(data, **{name: value}))
        assert caught.value.field == name


@pytest.mark.parametrize(
    ("name", "place", "wrong", "message"),
    [
        ("cameras", (1, 2, 3), math.nan, "not finite"),
        ("cameras", (1, 2, 3), math.inf, "not finite"),
        ("observations", (0, 0, 0, 0), -math.inf, "infinite"),
        ("observations", (..., 0), math.nan, "every point is missed"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(name, place, wrong, message):
    data = changed(generate(SMALL), name, place, wrong)
    with pytest.raises(SpecError, match=message) as caught:
        check_data(SMALL, data)
    assert caught.value.field == name


@pytest.mark.parametrize("parents", [(0, 0, 1, 2), (-1, 2, 0, 0), (-1, 0, 1), (-1, 0, 0, 0)])
def test_a_wrong_skeleton_is_refused(parents):
    data = replace(generate(SMALL), parents=np.array(parents))
    with pytest.raises(SpecError) as caught:
        check_data(SMALL, data)
    assert caught.value.field == "parents"


@pytest.mark.parametrize("formulation", Formulation)
def test_start_values_come_in_either_formulation(formulation):
    data = generate(replace(SMALL, formulation=formulation))
    for wanted in Formulation:
        spec = replace(SMALL, formulation=wanted)
        check_data(spec, data)
        np.testing.assert_array_equal(flatten(initial_point(spec, data), spec), flatten(generate(spec).initial, spec))


@pytest.mark.parametrize("given", Formulation)
@pytest.mark.parametrize("wanted", Formulation)
@pytest.mark.parametrize("wrong", ["missing", "shape", "nan", "inf"])
@pytest.mark.parametrize("name", ["rho_log__", "hmm_init_logits"])
def test_bad_start_values_are_refused_by_name(given, wanted, wrong, name):
    start = dict(generate(replace(SMALL, formulation=given)).initial)
    if wrong == "missing":
        del start[name]
    elif wrong == "shape":
        start[name] = start[name][:1]
    else:
        start[name] = np.full_like(start[name], float(wrong))
    data = replace(generate(SMALL), initial=start)
    with pytest.raises(SpecError, match=name) as caught:
        check_data(replace(SMALL, formulation=wanted), data)
    assert caught.value.field == "initial"


def test_an_empty_start_is_refused():
    with pytest.raises(SpecError, match="eta2_root_log__"):
        check_data(SMALL, replace(generate(SMALL), initial={}))


def test_start_values_of_a_richer_model_serve_a_simpler_one():
    simple = replace(SMALL, hmm=None, likelihood=Likelihood.GAUSSIAN)
    check_data(simple, generate(SMALL))
    assert list(initial_point(simple, generate(SMALL))) == [group.value_name for group in simple.groups]


def test_directions_have_length_one():
    raw = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(np.linalg.norm(unit_directions(raw), axis=-1), 1, atol=1e-7)
    assert unit_directions(np.zeros(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("skeleton", [Skeleton.CHAIN, Skeleton.STAR, Skeleton.BINARY])
def test_the_ancestor_matrix_follows_the_skeleton(skeleton):
    np.testing.assert_array_equal(ancestor_matrix((-1, 0, 1)), [[0, 0], [1, 0], [1, 1]])
    spec = PoseSpec(n_timesteps=2, n_directions=6, skeleton=skeleton, formulation=Formulation.VECTORISED)
    data = generate(spec)
    start = data.initial
    offsets = start["length"][..., None] * unit_directions(start["raw_u"])
    by_product = start["x_root"][:, None] + ancestor_matrix(spec.joint_parents) @ offsets
    np.testing.assert_allclose(
        by_product,
        joint_positions(start["x_root"], start["raw_u"], start["length"], data.parents),
        atol=1e-13,
    )


def test_projection_divides_by_depth_and_keeps_it_positive():
    camera = np.hstack([np.eye(3), np.zeros((3, 1))])[None]
    seen = project(np.array([[[2.0, 4.0, 2.0], [1.0, 1.0, -5.0]]]), camera)
    np.testing.assert_allclose(seen[0, 0], [[1, 2], [1e6, 1e6]])
