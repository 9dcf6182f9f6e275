"""Every way of writing the pose model's graph against the oracle."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from firstgrad.agreement import compare_gradient, compare_logp
from firstgrad.backends import load_backend
from firstgrad.backends.base import BuiltModel
from firstgrad.case import BackendName
from firstgrad.errors import SpecError
from firstgrad.measuring.worker import nearby_points
from firstgrad.points import add_terms, unflatten
from firstgrad.pose.data import PoseData, generate
from firstgrad.pose.oracle import logp, value_and_gradient
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

pm = pytest.importorskip("pymc")

TINY = PoseSpec(n_timesteps=5, n_directions=2, n_cameras=2, missed_fraction=0.1)
HMMS = [None, HmmSpec(n_states=1), *(HmmSpec(n_states=3, algorithm=each) for each in HmmAlgorithm)]
OTHERS = [
    replace(TINY, n_timesteps=1),
    replace(TINY, n_timesteps=1, hmm=HmmSpec(n_states=2)),
    replace(TINY, n_timesteps=2, hmm=HmmSpec(n_states=2, algorithm=HmmAlgorithm.TREE)),
    replace(TINY, n_directions=1, n_cameras=1),
    replace(TINY, likelihood=Likelihood.GAUSSIAN),
    replace(TINY, walk_axis=WalkAxis.LAST),
    replace(TINY, skeleton=Skeleton.STAR, n_directions=3),
    replace(TINY, skeleton=Skeleton.BINARY, n_directions=4),
    replace(TINY, skeleton=Skeleton.CUSTOM, parents=(-1, 0, 0)),
    replace(TINY, priors=PosePriors(root_first_sigma=3.0, obs_sigma_mode=2.0, kappa_sigma=1.0), hmm=HmmSpec()),
]


def build(spec: PoseSpec, data: PoseData | None = None):
    from firstgrad.pose.graph import build_pose_model

    return build_pose_model(spec, data)


@cache
def backend():
    """JAX, the fastest to compile."""
    made = load_backend(BackendName.JAX)
    made.import_modules()
    return made


def logp_of(model):
    """Log-density by PyTensor's Python interpreter."""
    terms = backend().logp_terms(BuiltModel(model, None))
    return lambda point: add_terms(terms(point))


def gradient_of(model):
    """Flat gradient."""
    function = model.compile_dlogp(mode=backend().mode())
    return lambda point: np.asarray(function(point))


@pytest.mark.compiles
@pytest.mark.parametrize("formulation", Formulation)
@pytest.mark.parametrize(
    "spec",
    [*(replace(TINY, hmm=hmm) for hmm in HMMS), *OTHERS],
    ids=lambda spec: hashlib.sha256(repr(spec).encode()).hexdigest()[:4],
)
def test_graph_agrees_with_the_oracle(spec, formulation):
    spec = replace(spec, formulation=formulation)
    data = generate(spec)
    model = build(spec, data)
    assert [value.name for value in model.value_vars] == [group.value_name for group in spec.groups]
    logp_function, gradient_function = logp_of(model), gradient_of(model)
    for point in (dict(data.initial), *nearby_points(dict(data.initial), count=1, scale=0.05)):
        expected_logp, expected = value_and_gradient(spec, data, point)
        assert not compare_logp(expected_logp, float(logp_function(point)))
        assert not compare_gradient(spec, expected, unflatten(gradient_function(point), spec))


@pytest.mark.parametrize(
    ("hmm", "n_groups", "n_values"),
    [(None, 16, 2313), (HmmSpec(), 42, 2367), (HmmSpec(n_states=3), 54, 2397)],
)
def test_the_default_model_has_the_stated_groups_and_values(hmm, n_groups, n_values):
    model = build(PoseSpec(hmm=hmm))
    assert len(model.free_RVs) == n_groups
    sizes = [int(np.prod(value.type.shape)) for value in model.value_vars]
    assert sum(sizes) == n_values


@pytest.mark.compiles
def test_the_three_algorithms_give_the_same_number():
    found = []
    for algorithm in HmmAlgorithm:
        spec = replace(TINY, n_timesteps=9, hmm=HmmSpec(n_states=3, algorithm=algorithm))
        data = generate(spec)
        found.append(float(logp_of(build(spec, data))(data.initial)))
    assert found == pytest.approx([found[0]] * 3, rel=1e-10)


@pytest.mark.compiles
@pytest.mark.parametrize("formulation", Formulation)
def test_naive_missing_has_the_right_density_and_a_poisoned_gradient(formulation):
    spec = replace(TINY, missing=Missing.NAIVE, formulation=formulation)
    data = generate(spec)
    model = build(spec, data)
    assert not compare_logp(logp(spec, data, dict(data.initial)), float(logp_of(model)(data.initial)))
    assert np.isnan(gradient_of(model)(data.initial)).any()  # safe is finite: it agrees with the oracle, above


@pytest.mark.compiles
def test_data_from_outside_are_used_and_checked():
    spec = TINY
    other = generate(replace(spec, seed=7))
    assert not compare_logp(logp(spec, other, dict(other.initial)), float(logp_of(build(spec, other))(other.initial)))
    with pytest.raises(SpecError, match="observations"):
        build(replace(spec, n_timesteps=6), other)
