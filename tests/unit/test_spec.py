"""A spec takes what makes sense and names the field of what doesn't."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from firstgrad.errors import FirstgradError, SpecError
from firstgrad.pose.spec import (
    UNROLLED_MAX_TIMESTEPS,
    Formulation,
    HmmAlgorithm,
    HmmSpec,
    PosePriors,
    PoseSpec,
    Skeleton,
)

CUSTOM = {"skeleton": Skeleton.CUSTOM, "n_directions": 3}


def test_the_default_is_the_published_case():
    spec = PoseSpec()

    assert (spec.n_timesteps, spec.n_directions, spec.n_cameras, spec.seed) == (100, 5, 3, 42)
    assert (spec.skeleton, spec.likelihood, spec.hmm) == ("chain", "mixture", None)
    assert (spec.formulation, spec.missing, spec.walk_axis) == ("per_joint", "safe", "time")
    assert spec.n_joints == 6


def test_the_default_priors_are_the_published_ones():
    assert PosePriors() == PosePriors(
        eta2_root_sigma=0.5,
        rho_sigma=2.0,
        sigma2_sigma=0.2,
        root_first_sigma=100.0,
        obs_sigma_mode=1.0,
        obs_sigma_sd=0.5,
        logodds_sigma=5.0,
        kappa_sigma=5.0,
        logits_sigma=1.0,
    )


@pytest.mark.parametrize(("mode", "deviation"), [(1.0, 0.5), (0.01, 3.0), (40.0, 0.2)])
def test_gamma_prior_has_the_wanted_mode_and_deviation(mode, deviation):
    shape, rate = PosePriors(obs_sigma_mode=mode, obs_sigma_sd=deviation).obs_sigma_gamma

    assert (shape - 1) / rate == pytest.approx(mode)
    assert math.sqrt(shape) / rate == pytest.approx(deviation)


@pytest.mark.parametrize("name", ["n_timesteps", "n_directions", "n_cameras"])
@pytest.mark.parametrize("wrong", [0, -1, True, False, 2.0, "3", None, math.nan])
def test_counts_are_whole_and_positive(name, wrong):
    with pytest.raises(SpecError, match=f"^{name}: ") as caught:
        PoseSpec(**{name: wrong})
    assert caught.value.field == name


@pytest.mark.parametrize("wrong", [-1, True, 1.0, "1", None])
def test_the_seed_is_a_whole_number(wrong):
    with pytest.raises(SpecError) as caught:
        PoseSpec(seed=wrong)
    assert caught.value.field == "seed"


@pytest.mark.parametrize("wrong", [-0.01, 1, 1.0, 2, True, False, math.nan, math.inf, "0.1", None])
def test_the_missed_fraction_is_below_one(wrong):
    with pytest.raises(SpecError) as caught:
        PoseSpec(missed_fraction=wrong)
    assert caught.value.field == "missed_fraction"


@pytest.mark.parametrize("name", ["formulation", "likelihood", "missing", "walk_axis", "skeleton"])
@pytest.mark.parametrize("wrong", ["nonsense", None, True, 1])
def test_choices_are_members(name, wrong):
    with pytest.raises(SpecError, match="expected one of") as caught:
        PoseSpec(**{name: wrong})
    assert caught.value.field == name


@pytest.mark.parametrize("name", [each.name for each in fields(PosePriors)])
@pytest.mark.parametrize("wrong", [0, 0.0, -1.0, math.nan, math.inf, True, "1", None])
def test_prior_scales_are_positive_and_finite(name, wrong):
    with pytest.raises(SpecError) as caught:
        PosePriors(**{name: wrong})
    assert caught.value.field == f"priors.{name}"


@pytest.mark.parametrize("wrong", [0, -2, True, 2.0, "2", None])
def test_states_are_counted(wrong):
    with pytest.raises(SpecError) as caught:
        HmmSpec(n_states=wrong)
    assert caught.value.field == "n_states"


@pytest.mark.parametrize("wrong", ["nonsense", None, True])
def test_the_algorithm_is_a_member(wrong):
    with pytest.raises(SpecError) as caught:
        HmmSpec(algorithm=wrong)
    assert caught.value.field == "algorithm"


def test_unrolled_is_refused_above_its_limit_unless_forced():
    unrolled = HmmSpec(algorithm=HmmAlgorithm.UNROLLED)
    too_many = UNROLLED_MAX_TIMESTEPS + 1

    PoseSpec(n_timesteps=UNROLLED_MAX_TIMESTEPS, hmm=unrolled)
    PoseSpec(n_timesteps=too_many, hmm=unrolled, force_unrolled=True)
    for algorithm in (HmmAlgorithm.SCAN, HmmAlgorithm.TREE):
        PoseSpec(n_timesteps=too_many, hmm=HmmSpec(algorithm=algorithm))
    with pytest.raises(SpecError, match="--force-unrolled") as caught:
        PoseSpec(n_timesteps=too_many, hmm=unrolled)
    assert caught.value.field == "algorithm"


@pytest.mark.parametrize(
    ("skeleton", "parents"),
    [
        (Skeleton.CHAIN, (-1, 0, 1, 2, 3, 4)),
        (Skeleton.STAR, (-1, 0, 0, 0, 0, 0)),
        (Skeleton.BINARY, (-1, 0, 0, 1, 1, 2)),
    ],
)
def test_skeletons_hang_together(skeleton, parents):
    assert PoseSpec(skeleton=skeleton).joint_parents == parents


@pytest.mark.parametrize("skeleton", [Skeleton.CHAIN, Skeleton.STAR, Skeleton.BINARY])
def test_one_bone_hangs_from_the_root(skeleton):
    assert PoseSpec(skeleton=skeleton, n_directions=1).joint_parents == (-1, 0)


def test_own_parents_are_taken():
    assert PoseSpec(**CUSTOM, parents=(-1, 0, 0, 2)).joint_parents == (-1, 0, 0, 2)


@pytest.mark.parametrize(
    ("parents", "problem"),
    [
        ((-1, 0, 1), "expected one a joint, 4"),
        ((-1, 0, 1, 2, 3), "expected one a joint, 4"),
        ((), "expected one a joint, 4"),
        ((0, 0, 1, 2), "joint 0 is the root"),
        ((-1, 0, 2, 1), "joint 2: its parent must come before it"),
        ((-1, 0, 3, 0), "joint 2: its parent must come before it"),
        ((-1, -1, 0, 0), "joint 1: its parent must come before it"),
        ((-1, 0, 1, 2.0), "joint 3: expected a whole number"),
        ((-1, 0, True, 0), "joint 2: expected a whole number"),
        ((-1, False, 0, 0), "joint 1: expected a whole number"),
    ],
)
def test_bad_parents_are_refused_by_joint(parents, problem):
    with pytest.raises(SpecError, match=problem) as caught:
        PoseSpec(**CUSTOM, parents=parents)
    assert caught.value.field == "parents"


@pytest.mark.parametrize("wrong", [{"skeleton": Skeleton.CUSTOM}, {"parents": (-1, 0, 1, 2, 3, 4)}])
def test_parents_and_custom_come_together(wrong):
    with pytest.raises(SpecError) as caught:
        PoseSpec(**wrong)
    assert caught.value.field == "parents"


def test_specs_are_frozen_equal_and_hashable():
    spec = PoseSpec(hmm=HmmSpec(n_states=3))

    assert hash(spec) == hash(PoseSpec(hmm=HmmSpec(n_states=3)))
    assert replace(spec, formulation=Formulation.VECTORISED) != spec
    with pytest.raises(FrozenInstanceError):
        spec.seed = 1


def test_a_spec_error_is_caught_as_firstgrads_and_as_a_value_error():
    with pytest.raises(FirstgradError):
        PoseSpec(n_cameras=0)
    with pytest.raises(ValueError, match="n_cameras"):
        PoseSpec(n_cameras=0)
