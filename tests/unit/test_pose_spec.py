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

COUNTS = ("n_timesteps", "n_directions", "n_cameras")
CHOICES = ("formulation", "likelihood", "missing", "walk_axis", "skeleton")
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


@pytest.mark.parametrize(("mode", "deviation"), [(1.0, 0.5), (1.7, 0.6), (0.01, 3.0), (40.0, 0.2)])
def test_gamma_prior_has_the_wanted_mode_and_deviation(mode, deviation):
    shape, rate = PosePriors(obs_sigma_mode=mode, obs_sigma_sd=deviation).obs_sigma_gamma
    assert (shape - 1) / rate == pytest.approx(mode)
    assert math.sqrt(shape) / rate == pytest.approx(deviation)


PRIOR_SCALES = [field.name for field in fields(PosePriors)]
REFUSED = [
    *((PoseSpec, name, [0, -1, True, False, 2.0, "3", None, math.nan]) for name in COUNTS),
    (PoseSpec, "seed", [-1, True, 1.0, "1", None]),
    (PoseSpec, "missed_fraction", [-0.01, 1, 1.0, 2, True, False, math.nan, math.inf, "0.1", None]),
    *((PoseSpec, name, ["nonsense", None, True, 1]) for name in CHOICES),
    *((PosePriors, name, [0, 0.0, -1.0, math.nan, math.inf, True, "1", None]) for name in PRIOR_SCALES),
    (HmmSpec, "n_states", [0, -2, True, 2.0, "2", None]),
    (HmmSpec, "algorithm", ["nonsense", None, True]),
]


@pytest.mark.parametrize(("kind", "name", "wrong"), [(*which, wrong) for *which, many in REFUSED for wrong in many])
def test_what_makes_no_sense_is_refused_by_name(kind, name, wrong):
    with pytest.raises(SpecError, match="expected one of" if name in CHOICES else None) as caught:
        kind(**{name: wrong})
    assert caught.value.field == (f"priors.{name}" if kind is PosePriors else name)
    if name in COUNTS:
        assert str(caught.value).startswith(f"{name}: ")


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
    ("fields", "parents"),
    [
        ({"skeleton": Skeleton.CHAIN}, (-1, 0, 1, 2, 3, 4)),
        ({"skeleton": Skeleton.STAR}, (-1, 0, 0, 0, 0, 0)),
        ({"skeleton": Skeleton.BINARY}, (-1, 0, 0, 1, 1, 2)),
        *(({"skeleton": kind, "n_directions": 1}, (-1, 0)) for kind in Skeleton if kind is not Skeleton.CUSTOM),
        (CUSTOM | {"parents": (-1, 0, 0, 2)}, (-1, 0, 0, 2)),
    ],
)
def test_skeletons_hang_together(fields, parents):
    assert PoseSpec(**fields).joint_parents == parents


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


def test_specs_are_frozen_equal_and_hashable_and_their_errors_caught_as_firstgrads_and_as_value_errors():
    spec = PoseSpec(hmm=HmmSpec(n_states=3))
    assert hash(spec) == hash(PoseSpec(hmm=HmmSpec(n_states=3)))
    assert replace(spec, formulation=Formulation.VECTORISED) != spec
    with pytest.raises(FrozenInstanceError):
        spec.seed = 1
    for kind in (FirstgradError, ValueError):
        with pytest.raises(kind, match="n_cameras"):
            PoseSpec(n_cameras=0)
