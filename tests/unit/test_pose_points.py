"""Groups are the known ones; a point survives every way of writing it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstgrad.points import flatten, unflatten
from firstgrad.pose.points import to_per_joint, to_vectorised
from firstgrad.pose.spec import Formulation, HmmSpec, Likelihood, PoseSpec


def n_values(spec):
    return sum(group.size for group in spec.groups)


def numbered(spec):
    """Give a point whose every value is its own place: a swap of any two shows."""
    return unflatten(np.arange(n_values(spec), dtype=np.float64), spec)


@st.composite
def small_specs(draw):
    n_states = draw(st.integers(0, 3))
    return PoseSpec(
        n_timesteps=draw(st.integers(1, 4)),
        n_directions=draw(st.integers(1, 12)),
        formulation=draw(st.sampled_from(Formulation)),
        likelihood=draw(st.sampled_from(Likelihood)),
        hmm=HmmSpec(n_states=n_states) if n_states else None,
    )


@pytest.mark.parametrize(
    ("hmm", "n_groups", "values"),
    [(None, 16, 2313), (HmmSpec(n_states=2), 42, 2367), (HmmSpec(n_states=3), 54, 2397)],
)
def test_the_default_case_has_the_published_counts(hmm, n_groups, values):
    spec = PoseSpec(hmm=hmm)
    assert len(spec.groups) == n_groups
    assert n_values(spec) == values
    assert n_values(replace(spec, formulation=Formulation.VECTORISED)) == values


def test_per_joint_groups_are_named_as_the_model_names_them():
    spec = PoseSpec(n_timesteps=2, n_directions=2, hmm=HmmSpec(n_states=1))
    assert [(group.value_name, group.shape) for group in spec.groups] == [
        ("eta2_root_log__", ()),
        ("rho_log__", (2,)),
        ("sigma2_log__", (2,)),
        ("x_root", (2, 3)),
        ("raw_u_1", (2, 3)),
        ("raw_u_2", (2, 3)),
        ("length_1", (2,)),
        ("length_2", (2,)),
        ("obs_sigma_log__", ()),
        ("logodds_inlier", ()),
        *((f"hmm_mu_raw_s0_j{joint}", (3,)) for joint in range(3)),
        *((f"hmm_kappa_s0_j{joint}_log__", ()) for joint in range(3)),
        ("hmm_init_logits", (1,)),
        ("hmm_trans_logits", (1, 1)),
    ]


def test_vectorised_groups_are_one_array_a_quantity():
    spec = PoseSpec(n_timesteps=7, n_directions=2, formulation=Formulation.VECTORISED, hmm=HmmSpec(n_states=4))
    shapes = {group.name: group.shape for group in spec.groups}
    assert shapes["raw_u"] == (7, 2, 3)
    assert shapes["length"] == (7, 2)
    assert shapes["hmm_mu_raw"] == (4, 3, 3)
    assert shapes["hmm_kappa"] == (4, 3)
    assert shapes["hmm_trans_logits"] == (4, 4)


def test_gaussian_has_no_log_odds():
    names = [group.name for group in PoseSpec(likelihood=Likelihood.GAUSSIAN).groups]
    assert len(names) == 15
    assert "logodds_inlier" not in names


@given(small_specs())
@settings(max_examples=60, deadline=None)
def test_flatten_and_unflatten_undo_each_other(spec):
    vector = np.random.default_rng(0).normal(size=n_values(spec))
    point = unflatten(vector, spec)
    np.testing.assert_array_equal(flatten(point, spec), vector)
    assert [(name, value.shape) for name, value in point.items()] == [
        (group.value_name, group.shape) for group in spec.groups
    ]


@given(small_specs())
@settings(max_examples=60, deadline=None)
def test_the_two_formulations_map_to_each_other(spec):
    point = numbered(spec)
    forth, back = (
        (to_vectorised, to_per_joint) if spec.formulation is Formulation.PER_JOINT else (to_per_joint, to_vectorised)
    )
    other = replace(spec, formulation=next(each for each in Formulation if each is not spec.formulation))
    mapped = forth(point, spec)
    returned = back(mapped, other)
    assert [(name, value.shape) for name, value in mapped.items()] == [
        (group.value_name, group.shape) for group in other.groups
    ]
    assert sorted(flatten(mapped, other)) == list(range(n_values(spec)))
    assert list(returned) == list(point)
    for name, value in point.items():
        np.testing.assert_array_equal(returned[name], value)


def test_each_bone_and_state_lands_in_its_place():
    spec = PoseSpec(n_timesteps=2, n_directions=11, hmm=HmmSpec(n_states=2))
    point = numbered(spec)
    mapped = to_vectorised(point, spec)
    np.testing.assert_array_equal(mapped["raw_u"][:, 10], point["raw_u_11"])
    np.testing.assert_array_equal(mapped["length"][:, 1], point["length_2"])
    np.testing.assert_array_equal(mapped["hmm_mu_raw"][1, 11], point["hmm_mu_raw_s1_j11"])
    assert mapped["hmm_kappa_log__"][1, 3] == point["hmm_kappa_s1_j3_log__"]
    np.testing.assert_array_equal(mapped["x_root"], point["x_root"])


@pytest.mark.parametrize("formulation", Formulation)
@pytest.mark.parametrize("mapping", [to_vectorised, to_per_joint])
def test_mapped_arrays_are_copies(formulation, mapping):
    spec = PoseSpec(n_timesteps=2, n_directions=2, formulation=formulation)
    point = numbered(spec)
    mapped = mapping(point, spec)
    assert not any(np.shares_memory(copy, value) for copy in mapped.values() for value in point.values())


@pytest.mark.parametrize("extra", [-1, 1])
def test_a_vector_of_the_wrong_length_is_refused_and_unflattened_groups_are_copies(extra):
    spec = PoseSpec(n_timesteps=2, n_directions=2)
    vector = np.zeros(n_values(spec))
    unflatten(vector, spec)["x_root"] += 1
    assert not vector.any()
    with pytest.raises(ValueError, match=f"expected a vector of {n_values(spec)} values"):
        unflatten(np.zeros(n_values(spec) + extra), spec)
